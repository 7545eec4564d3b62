"""A made-up reproduction: runs, values of a function, a row of each and one of both.

As a program it is the command line with this reproduction alone, and may kill itself: the process ends right after the
file that ``KILLED_AFTER`` counts to was written, as if the power had failed.
"""

import os
import signal
import sys
import types

import numpy as np

from noisysim.papers.parts import Measured
from noisysim.papers.report import histories

SMALL = {"task": "student-teacher:n_in=6,n_train=40,n_test=10", "layers": [5], "batch_size": 8, "device": "ideal"}
EPOCHS = 6
calls = []
"""Seeds that `spread` was called for."""


def spread(seed, scale):
    """A measurement that is no run."""
    calls.append(seed)
    numbers = scale * np.random.default_rng(seed).normal(size=50)
    return {"sd": numbers.std(), "numbers": numbers, "pair": (seed, None)}


def reproduce(report):
    ends = Measured(report)
    for rule in ("np", "bp"):
        with report.part(rule.upper()):
            results = report.runs(partial=True, **SMALL, epochs=EPOCHS, learner=rule)
            losses = histories(results, "test_loss", lost=0)
            ends[rule] = losses[:, -1].mean()
            report.row(
                f"{rule.upper()}, loss", ends.so_far[rule], 1.0, 20.0, curve=losses.mean(0), figure=ends.label(rule)
            )
    with report.part("spread"):
        values = [report.measure(spread, seed=seed, scale=2.0) for seed in range(report.seeds)]
        report.row("spread", np.mean([value["sd"] for value in values]), 2.0, 1.0, first=values[0]["numbers"])
    with report.derived():
        report.claim("BP below NP", ends["np"] - ends["bp"], "> -9")


def install(put=setattr):
    """Make it the only reproduction there is."""
    from noisysim import papers

    module = types.ModuleType("made_up", "A made-up reproduction that is long enough for a title.")
    module.SECONDS, module.reproduce = (9, 3), reproduce
    put(papers, "_FOUND", ["made_up"])
    put(papers, "_module", {"made_up": module}.__getitem__)


def kill_after(count):
    """End this process by SIGKILL once so many files were written."""
    from noisysim.common.writing import Held

    write, written = Held.write, []

    def write_and_count(self, *parts):
        write(self, *parts)
        written.append(self.path)
        if len(written) == count:
            os.kill(os.getpid(), signal.SIGKILL)

    Held.write = write_and_count


if __name__ == "__main__":
    from noisysim import cli

    install()
    kill_after(int(os.environ.get("KILLED_AFTER", 0)))
    sys.exit(cli.main())
