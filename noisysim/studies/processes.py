"""Workers of a study on this machine: processes of their own, which Ctrl-C in a terminal does not reach."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys

import psutil
from distributed.deploy.subprocess import SubprocessWorker

from noisysim.studies import local_worker

_UNSAID = "ignore:resource_tracker:UserWarning"
"""That a tracker unlinks what processes left which were ended."""


class Process(SubprocessWorker):
    """Dask's worker process, in a session of its own: it ends when its scheduler says so, or this process is gone."""

    async def _start(self) -> None:
        spec = json.dumps({"cls": self.worker_class, "opts": self.worker_kwargs})
        dask = ("-m", "noisysim.studies.local_worker", str(os.getpid()))
        command = (sys.executable, *dask, "spec", self.scheduler, "--spec", spec)
        started = asyncio.create_subprocess_exec(*command, start_new_session=True, env=self.environment())
        self.process = await started

    @staticmethod
    def environment() -> dict[str, str]:
        """Environment variables of a worker: this process's, and that it is quiet."""
        filters = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _UNSAID)))
        return {**os.environ, "DASK_LOGGING__DISTRIBUTED": "error", "PYTHONWARNINGS": filters}

    async def close(self) -> None:
        if self.process and self.process.returncode is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                local_worker.end(self.process.pid)
            await self.process.wait()
        await super().close()
