"""Sweeps on a real Dask cluster, and what is left of one whose workers, or which itself, are killed."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import noisysim
from noisysim.studies import journal

dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
pytest.importorskip("xarray")
ASKED = {
    "task": "digits", "layers": [16], "epochs": 60, "learner": ["danp", "bp"], "learning_rate": 1e-2, "seed": range(3),
}  # fmt: skip
QUIET = {"dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
"""No dashboard, and any free port for what is served: the usual one may be another cluster's."""


@pytest.fixture(scope="module")
def alone():
    """The study's runs, one after another in this process."""
    one = {k: v for k, v in ASKED.items() if k not in ("learner", "seed")}
    pairs = itertools.product(ASKED["learner"], ASKED["seed"])
    return {(name, seed): noisysim.run(**one, learner=name, seed=seed) for name, seed in pairs}


@pytest.fixture(scope="module")
def client():
    """Two worker processes of Dask's own, and a scheduler that gives a run up when it has taken two of them along."""
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **QUIET) as cluster,
        distributed.Client(cluster) as found,
    ):
        yield found


def same(study, alone):
    """Every value of a study is that of the run alone, to the bit."""
    assert study.counts == {"finished": len(alone), "diverged": 0, "failed": 0, "missing": 0}
    for (learner, seed), result in alone.items():
        here = study.data.sel(learner=learner, seed=seed)
        for name in ("train_loss", "test_loss", "test_accuracy"):
            np.testing.assert_array_equal(here[f"{name}_by_epoch"], result.history[name])
        assert {name: int(here[name]) for name in result.cost} == result.cost


def when(condition, seconds=60):
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_cluster_finds_what_this_process_finds(client, alone):
    same(noisysim.sweep(**ASKED, client=client), alone)


@pytest.mark.thorough  # below, a run takes worker after worker with it
def test_a_worker_that_dies_takes_nothing_with_it(client, alone, tmp_path, monkeypatch):
    """One of two workers is killed when the first runs have ended; each run is in the result once."""
    path, kept, killed = tmp_path / "study.h5", [], []
    append = journal.Journal.append
    monkeypatch.setattr(journal.Journal, "append", lambda self, r: (kept.append(r["key"]), append(self, r)))

    def kill():
        when(lambda: len(kept) >= 2)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        killed.append(len(kept))

    thread = threading.Thread(target=kill)
    thread.start()
    study = noisysim.sweep(**ASKED, client=client, out=path)
    thread.join()
    assert killed
    assert killed[0] < len(alone), "the worker was killed too late to matter"
    same(study, alone)
    same(noisysim.load(path), alone)
    assert sorted(kept) == sorted(set(kept))
    assert len(kept) == len(alone)


def test_a_run_that_kills_its_workers_is_labelled(client, tmp_path):
    """A device file that ends the process it is loaded in, but for this one."""
    source = tmp_path / "deadly.py"
    source.write_text(
        "import os\nfrom typing import NamedTuple\n\n\nclass Deadly(NamedTuple):\n    gain: float = 1.0\n\n\n"
        "def readout(i, energy, z, u, d):\n    return i * d.gain\n\n\n"
        f"def check(d):\n    if os.getpid() != {os.getpid()} and d.gain == 2.0:\n        os._exit(9)\n"
    )
    study = noisysim.sweep(
        "digits", layers=[16], epochs=1, learner="bp", device=noisysim.grid(str(source), gain=[1.0, 2.0]), client=client
    )
    assert study.data.status.values.tolist() == ["finished", "failed"]
    assert "died repeatedly" in str(study.data.error.sel(gain=2.0).values)


SCRIPT = """
import sys
import noisysim

noisysim.sweep("digits", layers=[16], epochs=60, learner=["danp", "bp"], learning_rate=1e-2, seed=range(3),
               workers=2, out=sys.argv[1])
"""


def script(path):
    """A process that sweeps: a script without ``if __name__ == "__main__"``."""
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(path)], start_new_session=True)


def test_a_killed_sweep_goes_on(alone, tmp_path):
    path = tmp_path / "study.h5"
    process = script(path)
    when(lambda: len(journal.read(path)[0]) >= 2)
    process.kill()
    process.wait()
    before = noisysim.load(path)
    assert 2 <= before.counts["finished"] < len(alone)
    study = noisysim.sweep(**ASKED, workers=2, out=path)
    same(study, alone)
    done = before.data.status == "finished"  # these were not done again: they took to the bit as long
    np.testing.assert_array_equal(study.data.elapsed.values[done], before.data.elapsed.values[done])


def test_ctrl_c_keeps_what_is_done_and_leaves_no_process(tmp_path):
    path = tmp_path / "study.h5"
    process = script(path)
    when(lambda: len(journal.read(path)[0]) >= 1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 0
    counts = noisysim.load(path).counts
    assert counts["finished"] >= 1
    assert counts["finished"] + counts["missing"] == 6
    assert not journal.beside(path).exists()
