"""What loops are made of: a shared rule is one text for all loops; any edit gives other machine code."""

import shutil

import numpy as np
import pytest

from noisysim import devices
from noisysim.compute.jit import specialised, templates

OWN: dict = {"cell": {}, "row": {}, "column": {}}
SOURCES = {
    "passes": [
        "rules/ranges", "rules/device", "rules/flags", "rules/marks", "layout", "cpu/loops/draws", "cpu/loops/driving",
        "cpu/loops/line_reads", "cpu/loops/rows", "jit/compiling", "jit/cache",
    ],
    "cells": [
        "rules/cells", "rules/device", "rules/flags", "cpu/loops/cell_writes", "cpu/loops/cell_pulses",
        "cpu/loops/cell_ageing", "cpu/loops/cell_weights", "cpu/loops/cell_places",
    ],
}  # fmt: skip
"""Sources that the loops depend on: some of many."""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of `noisysim.compute` that loops are made of instead, to be edited."""
    folder = tmp_path / "compute"
    shutil.copytree(templates.COMPUTE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(templates, "COMPUTE", folder)
    monkeypatch.setenv("NOISYSIM_CACHE", str(tmp_path / "cache"))
    templates.read.cache_clear()
    yield folder
    templates.read.cache_clear()


def loops(which):
    """The loops of the ideal device, made from the sources as they are now."""
    templates.read.cache_clear()
    return specialised.for_device(which, [], devices.hooks(devices.get("ideal")), OWN, {}, ["linear"])


def edit(path, old="", new="\n# edited\n"):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + new)


def followed(which_loops):
    """The ranges of three converters: saturated, idle, and neither."""
    ranges = np.full((1, 3), 8, np.float32)
    which_loops.follow_peaks(ranges, np.array([[8.0, 1.0, 6.0]], np.float32))
    return ranges[0].tolist()


def test_a_shared_rule_that_is_edited_gives_other_machine_code(sources):
    before = loops("passes")
    assert followed(before) == [10.0, np.float32(8) * np.float32(0.99), 8.0]
    assert loops("passes") is before
    edit(sources / "rules" / "ranges.py", "np.float32(1.25)", "np.float32(1.5)")
    assert followed(loops("passes")) == [12.0, np.float32(8) * np.float32(0.99), 8.0]


@pytest.mark.parametrize(("which", "source"), [(which, name) for which, names in SOURCES.items() for name in names])
def test_loops_depend_on_every_source(which, source, sources):
    before = loops(which).__name__
    assert loops(which).__name__ == before
    edit(sources / f"{source}.py")
    assert loops(which).__name__ != before


def test_loops_do_not_depend_on_rules_that_they_do_not_take(sources):
    before = loops("passes").__name__
    edit(sources / "rules" / "cells.py")
    assert loops("passes").__name__ == before


def test_both_backends_take_the_same_rules():
    """Of cells and ranges: what the CPU's loops import from the rules, CUDA's kernels import too."""

    def rules(folder):
        names = set()
        for path in sorted((templates.COMPUTE / folder).glob("*.py")):
            for link in templates.read(f"{folder}/{path.stem}").links:
                if link.template in ("rules/cells", "rules/ranges"):
                    names.add(link.name)
        return names

    on_cpu, on_gpu = rules("cpu/loops"), rules("cuda/kernels")
    assert {"goal_of", "retargeted", "needs_reset", "followed"} <= on_cpu
    assert on_cpu == on_gpu
