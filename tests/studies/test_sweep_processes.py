"""Sweeps whose processes go wrong: workers of other source, runs that hang or take all memory, lost schedulers."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import noisysim
from noisysim import papers
from noisysim.devices import models
from noisysim.studies import dispatch

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytest.importorskip("xarray")
SMALL = {"task": "student-teacher:n_in=5,n_out=3,n_train=24,n_test=6", "layers": [4], "epochs": 1, "learner": "bp"}
MOODY = """
import os
import time
from typing import NamedTuple


class Moody(NamedTuple):
    gain: float = 1.0


def readout(i, energy, z, u, d):
    return i * d.gain


def check(d):
    if "DASK_LOGGING__DISTRIBUTED" not in os.environ:  # no worker
        return
    if d.gain == 2.0:
        time.sleep(1000)
    if d.gain == 3.0:
        held = [b"x" * (1 << 20) for _ in range(4000)]
        time.sleep(1000)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def moody(place):
    """A device file whose chips hang, or take all memory, wherever they are not checked by this process."""
    source = place / "moody.py"
    source.write_text(MOODY)
    return str(source)


@pytest.fixture(scope="module")
def other(place):
    """A copy of noisysim, the version the same and a line of its source another."""
    skipped = shutil.ignore_patterns("__pycache__", "results", "models", "papers")
    for package, folder in ((noisysim, "noisysim"), (models, "noisysim/devices/models"), (papers, "noisysim/papers")):
        shutil.copytree(Path(package.__file__).parent, place / "site" / folder, ignore=skipped, dirs_exist_ok=True)
    losses = place / "site" / "noisysim" / "compute" / "losses.py"
    losses.write_text(losses.read_text() + "\n# another line\n")
    return place / "site"


class Cluster:
    """A scheduler and workers as a user starts them, each a process."""

    def __init__(self, place):
        self.file, self.processes = place / "scheduler.json", []
        self.start("scheduler", "--no-dashboard", "--port", "0", "--scheduler-file", str(self.file))
        when(self.file.exists)

    def start(self, *words, **environment):
        quiet = {
            "DASK_LOGGING__DISTRIBUTED": "critical", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            "NOISYSIM_THREADS": "1",
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words], env={**os.environ, **quiet, **environment}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.file.parent,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def worker(self, *words, **environment):
        return self.start(
            "worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--no-dashboard", *words, **environment
        )

    def end(self):
        for process in self.processes:
            kill(process)


def kill(process):
    """A process and all of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def cluster(tmp_path):
    """A cluster of one test's own, which the test may kill."""
    found = Cluster(tmp_path)
    yield found
    found.end()


@pytest.fixture
def client(cluster):
    waits = dask.config.set({"distributed.comm.timeouts.connect": "5s"})  # for a scheduler that is gone
    with waits, distributed.Client(scheduler_file=str(cluster.file), set_as_default=False) as found:
        yield found


def when(condition, seconds=120):
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


# --- a cluster ------------------------------------------------------------------------------------------------------


def test_runs_go_to_workers_of_the_same_source_and_a_study_ends_without_any(
    cluster, client, other, tmp_path, monkeypatch
):
    stranger = cluster.worker("--name", "stranger", PYTHONPATH=str(other))
    when(client.nthreads)
    monkeypatch.setattr(dispatch, "ALONE", 0.5)
    with (
        pytest.warns(RuntimeWarning, match="it has noisysim .*, source .*, here is noisysim .*, source") as said,
        pytest.raises(ConnectionError, match="no worker has this noisysim"),
    ):
        noisysim.sweep(**SMALL, seed=range(4), client=client)
    assert len(said) == 1
    assert stranger.poll() is None

    cluster.worker("--name", "fits")
    when(lambda: len(client.nthreads()) == 2)
    path = tmp_path / "study.h5"
    with pytest.warns(RuntimeWarning, match="its runs go to others") as said:
        study = noisysim.sweep(**SMALL, learning_rate=[1e-3, 2e-3, 3e-3, 4e-3], seed=range(2), client=client, out=path)
    assert len(said) == 1
    assert study.counts["finished"] == 8
    for rate in (1e-3, 4e-3):
        alone = noisysim.run(**SMALL, learning_rate=rate, seed=1)
        assert study.data.test_loss.sel(learning_rate=rate, seed=1) == alone.history["test_loss"][-1]


def test_a_run_that_hangs_is_given_up_and_one_that_takes_all_memory_too(cluster, client, moody):
    cluster.worker("--memory-limit", "1200MB")
    study = noisysim.sweep(**SMALL, device=noisysim.grid(moody, gain=[1.0, 2.0, 3.0, 0.5]), client=client, timeout=30)
    errors = dict(zip(study.axes["gain"], study.data.error.values.tolist(), strict=True))
    assert study.data.status.values.tolist() == ["finished", "failed", "failed", "finished"]
    assert errors[2.0] == "timed out: not done after 30 s"
    assert "its worker died repeatedly (out of memory?)" in errors[3.0]


def test_a_scheduler_that_dies_ends_the_study_and_what_is_done_is_kept(cluster, client, tmp_path, monkeypatch):
    monkeypatch.setattr(dispatch, "ALONE", 0.5)
    late = threading.Timer(2.0, cluster.worker)
    late.start()
    path = tmp_path / "lost.h5"
    put = dispatch.Dispatch._received

    def taken(self, event):
        found = put(self, event)
        if found:
            kill(cluster.processes[0])
        return found

    monkeypatch.setattr(dispatch.Dispatch, "_received", taken)
    with (
        pytest.warns(RuntimeWarning, match="has no worker: the study waits for one") as said,
        pytest.raises(ConnectionError, match="the cluster was lost"),
    ):
        noisysim.sweep(**SMALL, learning_rate=[1e-3, 2e-3, 3e-3, 4e-3], client=client, out=path)
    late.join()
    assert len(said) == 1
    assert 1 <= noisysim.load(path).counts["finished"] < 4


HOLDING = """
import multiprocessing, subprocess, sys, time

lock = multiprocessing.get_context("spawn").Lock()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
print(lock._semlock.name, child.pid, flush=True)
time.sleep(1000)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where semaphores have names differs")
def test_a_worker_that_is_ended_leaves_no_semaphore_and_no_process():
    """Python's tracker of resources is left to end by itself, and unlinks them, unsaid."""
    import psutil  # which distributed needs

    from noisysim.studies.processes import Process

    class Holding(Process):
        async def _start(self):
            arguments = {
                "stdout": asyncio.subprocess.PIPE,
                "stderr": asyncio.subprocess.PIPE,
                "env": self.environment(),
            }
            self.process = await asyncio.create_subprocess_exec(sys.executable, "-c", HOLDING, **arguments)

    async def ended():
        worker = Holding(scheduler="tcp://127.0.0.1:1")
        await worker.start()
        process = worker.process
        name, child = (await process.stdout.readline()).decode().split()
        semaphore = Path("/dev/shm", f"sem.{name.removeprefix('/')}")
        assert semaphore.exists()
        await worker.close()
        return process.returncode, semaphore, int(child), await process.stderr.read()  # as long as a tracker has it

    status, semaphore, child, said = asyncio.run(ended())
    assert (status, said) == (-signal.SIGKILL, b"")
    assert not semaphore.exists()
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
