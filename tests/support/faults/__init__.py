"""Faults done on purpose to the files of runs: full disks, kills, signals, rival writers, damaged and hostile files.

``tests/runs/test_faults.py`` does some of each. ``python -m tests.support.faults --hours 2`` does them at random for
that long, and prints how many there were of each kind; a fault that was not survived ends it, and says how it is done
again.
"""

import functools
import json
import os
import re
import tempfile
from pathlib import Path

import noisysim
from noisysim.common import writing
from noisysim.runs import storage

GIVEN = {
    "task": "student-teacher:n_in=5,n_out=3,n_train=24,n_test=6", "layers": [4], "batch_size": 8, "epochs": 2,
    "threads": 1, "progress": False,
}  # fmt: skip
FOREIGN = {".run.h5.b.4242.part": b"draft of run.h5.b", ".run1.h5.77.part": b"draft of run1.h5", "run.h5.part": b"own"}
"""Files beside ``run.h5`` that are none of its own, and have names much like them."""


def bits(path):
    """What a result file holds that must not depend on what happened to the run."""
    return bits_of(storage.read(path))


def bits_of(content):
    """The same, of the content of a file."""
    found = {f"{group}/{name}": array for group, arrays in content["arrays"].items() for name, array in arrays.items()}
    return {**found, **{name: json.dumps(content[name]) for name in ("config", "cost", "warnings", "status")}}


def same(first, second):
    """Whether two such tables are equal, bit for bit."""
    return first.keys() == second.keys() and all(
        first[n] == second[n] if isinstance(first[n], str) else first[n].tobytes() == second[n].tobytes() for n in first
    )


@functools.cache
def undisturbed(**changed):
    """The bits of a run that nothing happened to."""
    with tempfile.TemporaryDirectory() as folder:
        noisysim.run(**{**GIVEN, **changed}, out=Path(folder, "run.h5"))
        return bits(Path(folder, "run.h5"))


def make_foreign(folder):
    for name, content in FOREIGN.items():
        Path(folder, name).write_bytes(content)


def check_folder(folder, path):
    """Nothing is left beside the result, and nothing of others was touched."""
    assert sorted(os.listdir(folder)) == sorted([path.name, *FOREIGN]), sorted(os.listdir(folder))
    for name, content in FOREIGN.items():
        assert Path(folder, name).read_bytes() == content, name


def check_survived(folder, path):
    """A run that was cut short is resumed, or begun again, to the same bits."""
    if path.exists():
        assert storage.read(path)["status"] in ("finished", *storage.RESUMABLE)
        noisysim.resume(path, threads=1, progress=False)
    else:
        noisysim.run(**GIVEN, out=path)
    content = storage.read(path)
    assert same(bits_of(content), undisturbed())
    with writing.hold(path) as held:  # a finished run is not written again: the next writer cleans up
        storage.write(held, content)
    check_folder(folder, path)


def check_line(text):
    """One line, without a traceback and without commands for a terminal."""
    assert re.fullmatch(r"[^\n]+\n?", text), text
    assert "Traceback" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text.rstrip("\n")), repr(text)
