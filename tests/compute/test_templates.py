"""What loops are made of: a shared rule is one text for all loops; any edit gives other machine code."""

import shutil
import sys
from collections import Counter

import numpy as np
import pytest

from noisysim import devices
from noisysim.compute.jit import build, specialised, templates
from noisysim.compute.jit.specialised import OF

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
RULES = {"rules/ranges", "rules/device", "rules/cells"}
OF_RULES = {
    "rules/ranges": {"rules/ranges"}, "rules/cells": {"rules/cells"}, "rules/device": {"rules/device", "rules/cells"},
    "rules/flags": {"rules/cells"}, "layout": {"rules/ranges"},
    "rules/marks": RULES, "jit/compiling": RULES, "jit/cache": RULES,
}  # fmt: skip
"""Source -> the rules that depend on it, of those that loops take: the last ones are how all are compiled."""


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


def linked_rules(module):
    """Template -> name of each module of rules that a module of loops takes functions from."""
    found, pending, seen = {}, [module.__name__], set()
    while pending:
        name = pending.pop()
        if name in seen or not name.startswith("noisysim_"):
            continue
        seen.add(name)
        template = name.removeprefix("noisysim_").rpartition("_")[0].replace("_", "/", 1)
        if template.startswith("rules/"):
            found[template] = name
        pending += [getattr(value, "__module__", None) or "" for value in vars(sys.modules[name]).values()]
    return found


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
def test_loops_and_their_rules_depend_on_every_source(which, source, sources):
    before = loops(which)
    assert loops(which).__name__ == before.__name__
    edit(sources / f"{source}.py")
    after = loops(which)
    assert after.__name__ != before.__name__
    rules, rules_now = linked_rules(before), linked_rules(after)
    assert len(rules) > 1
    assert rules.keys() == rules_now.keys()
    assert {rule for rule in rules if rules[rule] != rules_now[rule]} == OF_RULES.get(source, set()) & rules.keys()


def test_modules_that_are_there_are_found_without_a_second_look_at_what_they_share(monkeypatch):
    """Each template, and each function of a device, once: a new chip needs both loops."""
    seen = Counter()
    hooks = devices.hooks(devices.get("pcm"))

    def load(which):
        return specialised.for_device(which, ["g_max"], hooks, OWN, {}, ["tanh"])

    before = [load(which) for which in OF]
    named_in, fingerprint = build.Parts.named_in, build.fingerprint
    monkeypatch.setattr(build.Parts, "named_in", lambda parts, what: seen.update([what]) or named_in(parts, what))
    monkeypatch.setattr(build, "fingerprint", lambda function: seen.update([function]) or fingerprint(function))
    for which, module in zip(OF, before, strict=True):
        seen.clear()
        assert load(which) is module
        assert hooks[OF[which][0]] in seen
        assert set(seen.values()) == {1}


@pytest.mark.parametrize(
    "statement",
    [
        "from noisysim.compute import layout", "import noisysim.compute.layout as layout",
        "from noisysim import compute", "from .. import layout", "def late():\n    from noisysim.compute import layout",
    ],
)  # fmt: skip
def test_imports_that_hide_what_a_template_depends_on_are_refused(statement, sources):
    edit(sources / "rules" / "ranges.py", new=f"\n{statement}\n")
    with pytest.raises(
        ValueError, match=r"rules/ranges\.py:\d+: '.*import .*write 'from noisysim\.compute\.MODULE import"
    ):
        loops("passes")


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
