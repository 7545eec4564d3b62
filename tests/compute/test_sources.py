"""What machine code depends on: an edit of any function behind it gives other code, and nothing else does.

An edit is made in a copy of the package, which a process of its own runs with one cache folder for all.
"""

import ast
import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numba
import pytest

import noisysim
from noisysim.compute.cpu import bring, loops
from noisysim.compute.jit import cache, sources
from noisysim.devices import models

import thorough

LOOPS = [f"{loops.__name__}.{module.name}" for module in pkgutil.iter_modules(loops.__path__)]
OWNERS = [*LOOPS, bring.__name__]
"""Modules of functions that are compiled: loops, and what makes rows."""


def depends_on(module, monkeypatch):
    """The package's modules whose texts are in the name of a module's machine code."""
    seen, text = set(), sources._text
    with monkeypatch.context() as patch:
        patch.setattr(sources, "_text", lambda name: seen.add(name) or text(name))
        sources._imports.cache_clear()
        sources.digest.__wrapped__(module)
    return seen


# --- which sources -------------------------------------------------------------------------------------------------


def origins(module):
    """Name -> the package's module that it is imported from, at the top of a module, by Python's own parser."""
    found = {}
    for node in ast.parse(sources._text(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("noisysim"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found[alias.asname or alias.name] = whole if sources._file(whole) else node.module
    return found


def words(module):
    return {node.id for node in ast.walk(ast.parse(sources._text(module))) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("module", OWNERS, ids=[name.rpartition(".")[2] for name in OWNERS])
def test_machine_code_depends_on_every_module_that_its_functions_name(module, monkeypatch):
    found, pending = depends_on(module, monkeypatch), [module]
    reached = set()
    while pending:
        name = pending.pop()
        if name not in reached:
            reached.add(name)
            pending += [origin for word, origin in origins(name).items() if word in words(name)]
    assert len(reached) > 3
    assert reached <= found


def compiled_functions():
    """(module, function) of everything that Numba compiles in the modules of loops."""
    for module in LOOPS:
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, numba.core.registry.CPUDispatcher) and value.py_func.__module__ == module:
                yield module, value


def called(function):
    """The functions that one may call, compiled or not."""
    plain = getattr(function, "py_func", function)
    for name in plain.__code__.co_names:
        value = plain.__globals__.get(name)
        if callable(getattr(value, "py_func", None)) or type(value).__name__ in ("function", "_Intrinsic"):
            yield value


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_machine_code_depends_on_every_function_that_a_loop_calls(monkeypatch):
    held = {module: depends_on(module, monkeypatch) for module in LOOPS}
    checked = 0
    for module, function in compiled_functions():
        pending, seen = [function], set()
        while pending:
            one = pending.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            plain = getattr(one, "py_func", getattr(one, "_defn", one))
            if plain.__code__.co_filename.startswith(str(sources.ROOT)):
                file = Path(plain.__code__.co_filename).relative_to(sources.ROOT).with_suffix("")
                assert ".".join(["noisysim", *file.parts]) in held[module], (function, plain)
                checked += 1
            if plain is not getattr(one, "_defn", None):
                pending += called(one)
    assert checked > 300


def test_no_machine_code_depends_on_the_whole_package(monkeypatch):
    inside = ("noisysim.common.", "noisysim.compute.cpu.", "noisysim.compute.jit.", "noisysim.compute.rules")
    alone = {"noisysim.compute.layout", "noisysim.compute.noise"}
    for module in OWNERS:
        found = depends_on(module, monkeypatch)
        assert {name for name in found if not name.startswith(inside)} <= alone, module
        assert len(found) < 32, module
        users = {name for name in found if name.startswith("noisysim.compute.cpu.") and name.count(".") == 3}
        assert users <= {f"noisysim.compute.cpu.{n}" for n in ("bring", "cell_types", "device_rows", "row_types")}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from noisysim.compute.cpu.loops import draws, rows\n", {"draws", "rows"}),
        (
            "from noisysim.compute.cpu.loops import (  # some (of all)\n    draws,  # these\n    rows as others,\n)\n",
            {"draws", "rows"},
        ),
        ("from noisysim.compute.cpu.loops.rows import largest\n", {"rows"}),
        ("import noisysim.compute.cpu.loops.rows\n", {"rows"}),
        ("import noisysim.compute.cpu.loops.rows as rows\n", {"rows"}),
    ],
)
def test_imports_are_found_however_they_are_written(text, found, monkeypatch):
    monkeypatch.setattr(sources, "_text", lambda name: text)
    named = set(sources._imports.__wrapped__("any")) - {loops.__name__}  # more would do no harm
    assert {name.removeprefix(f"{loops.__name__}.") for name in named} == found


def test_a_module_that_is_not_there_is_an_error(monkeypatch):
    with pytest.raises(ModuleNotFoundError, match=r"noisysim\.nowhere: loops may depend on modules of noisysim alone"):
        sources.digest("noisysim.nowhere")


# --- edits, and what the next process does -------------------------------------------------------------------------

SCRIPT = """
import json
import numpy as np
from noisysim import devices
from noisysim.compute.cpu import bring, row_types
from noisysim.compute.cpu.loops import draws, passes, rows
from noisysim.devices.files import scalars
from noisysim.networks import activations

found = {}

def note(name, function, values):
    stats = getattr(function, "stats", None)
    hits, misses = (sum(s.values()) for s in (stats.cache_hits, stats.cache_misses))
    found[name] = [np.asarray(values, float).round(4).tolist(), hits, misses]

def row(factory):
    (name,) = [name for name in bring._rows if name.startswith(f"noisysim_{factory}-")]
    return bring._rows[name]

ranges = np.full((1, 1), 8, np.float32)
passes.follow_peaks(ranges, ranges.copy())
note("rule", passes.follow_peaks, ranges[0])
out = np.empty((1, 3), np.float32)
draws.uniforms(out, np.float32(1), 0, 0, np.uint32(0), np.uint32(1), np.uint32(2))
note("loop", draws.uniforms, out[0])
signal, at = np.ones(2, np.float32), np.array([0.5, -1], np.float32)
slope = bring.slope(activations.get("tanh"))
slope(signal, at)
note("activation", slope, signal)
device = devices.get("crossbar", levels=0)
numbers = {name: np.float32(value) for name, value in scalars(device).items()}
places = {row_types.LEVEL: {}, row_types.DAC: {}}
brought = bring.DeviceRows(devices.hooks(device), numbers, {}, places).compiled
goals, left = np.array([3, 5], np.float32), np.empty(2, np.float32)
row("levelled")(goals, left, brought.numbers[row_types.LEVEL])
note("hook", row("levelled"), left)
row("driven")(goals, left, np.float32(6), np.empty((1, 4), np.float32)[:, ::2], brought.numbers[row_types.DAC])
note("hook of a module", row("driven"), left)
print(json.dumps(found))
"""
PARTS = ("rule", "loop", "activation", "hook", "hook of a module")
TEXT_ALONE = "what nothing compiled depends on"
EDITS = {
    "a rule": ("compute/rules/ranges.py", "np.float32(1.25)", "np.float32(1.5)", {"rule"}, "rule"),
    "a function that a loop calls": (
        "compute/cpu/loops/draws.py", "u[i] = uniform(bits[i])", "u[i] = np.float32(0.5)", {"rule", "loop"}, "loop",
    ),
    "a plain function that loops share": (
        "compute/noise.py", "\ndef uniform(", "\ndef uniform(bits):\n    return np.float32(0.25)\n\n\ndef _former(",
        {"rule", "loop"}, "loop",
    ),
    "an activation function": (
        "networks/activations.py", "\ndef tanh_slope(a: Number) -> Any:\n",
        "\ndef tanh_slope(a: Number) -> Any:\n    return a + np.float32(7)\n\n\ndef _former(a: Number) -> Any:\n",
        {"activation"}, "activation",
    ),
    "a hook": (
        "devices/models/crossbar.py", "    g = nearest_level(g, d)\n", "    g = nearest_level(g, d) + 1\n", {"hook"},
        "hook",
    ),
    "what a hook calls": (
        "devices/models/crossbar.py", "    if d.levels < 2:\n", "    if d.levels < 2:\n        return g + 2\n",
        {"hook"}, "hook",
    ),
    "what makes a row": (
        "compute/cpu/device_rows.py", "np.float32(program(goals[j], ZERO, d))", "program(goals[j], ZERO, d) + goals[0]",
        {"activation", "hook", "hook of a module"}, "hook",
    ),
    "how all are compiled": ("compute/jit/compiling.py", '"nogil": True', '"nogil": False', set(PARTS), None),
    TEXT_ALONE: ("runs/training.py", '"""', '"""Edited. ', set(), None),
}  # fmt: skip
"""What is edited -> file, text, its replacement, what is compiled anew, and whose result is another."""


class Package:
    """A copy of the package, and the cache of those who run it."""

    def __init__(self, folder):
        self.site, ignored = folder / "site", shutil.ignore_patterns("__pycache__", "papers", "models")
        shutil.copytree(Path(noisysim.__file__).parent, self.site / "noisysim", ignore=ignored)
        shutil.copytree(Path(models.__file__).parent, self.site / "noisysim" / "devices" / "models", ignore=ignored)
        self.space = {**os.environ, "NOISYSIM_CACHE": str(folder / "cache"), "PYTHONPATH": str(self.site)}
        self.space.pop("PYTHONDONTWRITEBYTECODE", None)
        self.time = time.time()

    def write(self, path, text):
        """Write a module, whose bytecode is told by size and full seconds."""
        path.write_text(text)
        self.time += 2
        os.utime(path, (self.time, self.time))

    def run(self):
        """Part -> its result, how often its machine code was found, and how often it was compiled."""
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=self.space, cwd=self.site, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy whose parts are all compiled, and what they gave."""
    package = Package(tmp_path_factory.mktemp("package"))
    first = package.run()
    assert {part: counts for part, (_, *counts) in first.items()} == {part: [0, 1] for part in PARTS}
    return package, {part: result for part, (result, *_) in first.items()}


def test_nothing_is_compiled_twice(package):
    again = package[0].run()
    assert {part: counts for part, (_, *counts) in again.items()} == {part: [1, 0] for part in PARTS}
    assert {part: result for part, (result, *_) in again.items()} == package[1]


# every kind of part and the two extremes; the others are further ways to the same parts
@pytest.mark.parametrize("what", thorough.some(EDITS, ("a rule", "a hook", "how all are compiled", TEXT_ALONE)))
def test_an_edit_compiles_what_depends_on_it_and_nothing_else(what, package):
    (copy, before), (name, old, new, compiled, changed) = package, EDITS[what]
    path = copy.site / "noisysim" / name
    text = path.read_text()
    assert old in text
    try:
        copy.write(path, text.replace(old, new, 1))
        found = copy.run()
    finally:
        copy.write(path, text)
    assert {part for part, (_, _, misses) in found.items() if misses} == compiled
    assert {part for part, (result, *_) in found.items() if result != before[part]} == ({changed} if changed else set())


READS = """
import sys
import numpy as np
from noisysim import Chip, Drive
for path in sys.argv[1:]:
    chip = Chip([3, 2], path, seed=1)
    print(*chip.passes(np.ones((2, 3), np.float32), [Drive()])[0].output.ravel().tolist())
"""


def test_rows_of_two_devices_kept_by_two_processes_are_told_apart_in_a_third(tmp_path):
    """Each process numbers its functions alike, so that both rows had one symbol: the first became the other."""
    paths = []
    for factor in (1.0, 3.0, 5.0):
        path = tmp_path / f"times{factor:g}.py"
        path.write_text(
            "from typing import NamedTuple\n\n\nclass Times(NamedTuple):\n    offset: float = 0.5\n\n\n"
            f"def readout(i, energy, z, u, d):\n    return {factor} * i + d.offset\n"
        )
        paths.append(str(path))
    (kernels := tmp_path / "cache" / "kernels").mkdir(parents=True, mode=0o700)
    for file in cache.folder().glob("*.code"):  # what tests before have compiled, so that little but the rows is new
        shutil.copy(file, kernels)
    space = {**os.environ, "NOISYSIM_CACHE": str(tmp_path / "cache")}

    def outputs(*chosen):
        done = subprocess.run([sys.executable, "-c", READS, *chosen], env=space, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    outputs(paths[0])  # compiles all that the others need as well: these begin to count at their own row
    alone = [*outputs(paths[1]), *outputs(paths[2])]
    assert alone[0] != alone[1]
    assert outputs(*paths[1:], *paths[1:]) == alone * 2
