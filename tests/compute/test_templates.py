"""What kernels are made of: a shared rule is one text for all of them; any edit gives other machine code.

On a GPU, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

import re
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from noisysim import devices
from noisysim.compute import behaviour as behaviours
from noisysim.compute.behaviour import Behaviour
from noisysim.compute.gpu import missing

if not missing():
    from noisysim.compute.cuda import build, specialised, templates

pytestmark = pytest.mark.gpu
SOURCES = {
    "passes": [
        "rules/ranges", "rules/device", "rules/flags", "layout", "cuda/kernels/draws", "cuda/kernels/names",
        "cuda/kernels/target",
    ],
    "cells": [
        "rules/cells", "rules/device", "rules/trains", "rules/flags", "layout", "cuda/kernels/cell_writes",
        "cuda/kernels/cell_pulses", "cuda/kernels/cell_ageing", "cuda/kernels/cell_weights",
        "cuda/kernels/cell_places", "cuda/kernels/trains", "cuda/kernels/blocks",
    ],
}  # fmt: skip
"""Sources that the kernels depend on: some of many."""
ALL = {"rules/ranges", "rules/device", "rules/cells"}
OF_RULES = {
    "rules/ranges": {"rules/ranges"}, "rules/cells": {"rules/cells"}, "rules/device": {"rules/device"},
    "rules/trains": {"rules/trains"}, "rules/flags": {"rules/device"}, "layout": {"rules/ranges"},
    "cuda/kernels/names": ALL, "cuda/kernels/target": ALL,
}  # fmt: skip
"""Source -> the rules that depend on it, of those that kernels take: the last ones are how all are compiled."""


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of `noisysim.compute` that kernels are made of instead, to be edited."""
    folder = tmp_path / "compute"
    shutil.copytree(templates.COMPUTE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(templates, "COMPUTE", folder)
    monkeypatch.setenv("NOISYSIM_CACHE", str(tmp_path / "cache"))
    templates.read.cache_clear()
    yield folder
    templates.read.cache_clear()


def behaviour_of(name):
    device = devices.get(name)
    own: dict = {"cell": {}, "row": {}, "column": {}}
    return Behaviour(devices.hooks(device), devices.own_hooks(device), {}, own)


def kernels(which, device="ideal"):
    """The kernels of a device, made from the sources as they are now."""
    templates.read.cache_clear()
    return specialised.for_device(which, behaviour_of(device), {}, ["linear"])


def linked_rules(module):
    """Template -> name of each module of rules that a module of kernels takes functions from."""
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


def widened(module):
    """The range of a converter that is saturated."""
    return getattr(module.followed, "py_func", module.followed)(8.0, 8.0)


def test_a_shared_rule_that_is_edited_gives_other_kernels(sources):
    before = kernels("passes")
    assert widened(before) == 10.0
    assert kernels("passes") is before
    edit(sources / "rules" / "ranges.py", "np.float32(1.25)", "np.float32(1.5)")
    assert widened(kernels("passes")) == 12.0


@pytest.mark.parametrize(("which", "source"), [(which, name) for which, names in SOURCES.items() for name in names])
def test_kernels_and_their_rules_depend_on_every_source(which, source, sources):
    before = kernels(which)
    assert kernels(which).__name__ == before.__name__
    edit(sources / f"{source}.py")
    after = kernels(which)
    assert after.__name__ != before.__name__
    rules, rules_now = linked_rules(before), linked_rules(after)
    assert len(rules) > 1
    assert rules.keys() == rules_now.keys()
    assert {rule for rule in rules if rules[rule] != rules_now[rule]} == OF_RULES.get(source, set()) & rules.keys()


def test_modules_that_are_there_are_found_without_a_second_look_at_what_they_share(monkeypatch):
    """Each template, and each function of a device, once: a new chip needs both."""
    seen = Counter()
    pcm = behaviour_of("pcm")

    def load(which):
        return specialised.for_device(which, pcm, {}, ["tanh"])

    before = [load(which) for which in specialised.OF]
    named_in, fingerprint = build.Parts.named_in, build.fingerprint
    monkeypatch.setattr(build.Parts, "named_in", lambda parts, what: seen.update([what]) or named_in(parts, what))
    monkeypatch.setattr(build, "fingerprint", lambda function: seen.update([function]) or fingerprint(function))
    for which, module in zip(specialised.OF, before, strict=True):
        seen.clear()
        assert load(which) is module
        assert pcm.hooks[specialised.OF[which][0]] in seen
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
        kernels("passes")


def test_kernels_do_not_depend_on_rules_that_they_do_not_take(sources):
    before = kernels("passes").__name__
    edit(sources / "rules" / "cells.py")
    assert kernels("passes").__name__ == before


def test_both_backends_take_the_same_rules():
    """Of cells and ranges: what the CPU's loops take from the rules, CUDA's kernels take too."""
    compute, taken = Path(behaviours.__file__).parent, {}
    for folder in ("cpu/loops", "cuda/kernels"):
        texts = "\n".join(path.read_text() for path in sorted((compute / folder).glob("*.py")))
        taken[folder] = {
            name
            for rules in ("cells", "ranges")
            for name in re.findall(r"^def (\w+)", (compute / "rules" / f"{rules}.py").read_text(), re.MULTILINE)
            if re.search(rf"\b{name}\b", texts)
        }
    assert {"goal_of", "retargeted", "needs_reset", "followed"} <= taken["cpu/loops"]
    assert taken["cpu/loops"] == taken["cuda/kernels"]
