"""Workers of a study on this machine: processes of their own, which Ctrl-C in a terminal does not reach."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from distributed.deploy.subprocess import SubprocessWorker


class Process(SubprocessWorker):
    """Dask's worker process, in a session of its own: it ends when its scheduler says so, or this process is gone."""

    async def _start(self) -> None:
        spec = json.dumps({"cls": self.worker_class, "opts": self.worker_kwargs})
        dask = ("-m", "noisysim.studies.local_worker", str(os.getpid()))
        command = (sys.executable, *dask, "spec", self.scheduler, "--spec", spec)
        quiet = {**os.environ, "DASK_LOGGING__DISTRIBUTED": "error"}
        self.process = await asyncio.create_subprocess_exec(*command, start_new_session=True, env=quiet)
