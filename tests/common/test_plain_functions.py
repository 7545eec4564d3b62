"""What tells two plain functions apart: what they do, not where they stand or what their file holds by now."""

import __future__

import ast
import collections
import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices
from noisysim.chip import ageing
from noisysim.common import plain_functions, source
from noisysim.common.plain_functions import fingerprint
from noisysim.compute import algebra
from noisysim.compute.cpu import bring
from noisysim.compute.rules.table import RULES
from noisysim.networks import activations
from noisysim.networks.activations import Activation

MODULE = """
import numba
import numpy as np

def helper(x):
    return x + 1

def other(x):
    return x + 2

def closing(called, number=2.0):
    def inner(x, *, factor=(1, 2.5)):
        return called(x) * number if x in {3.0, 5.0, 7.0, 11.0} else factor[0]
    return inner

def calling(x):
    return helper(x) if x > 0 else other(x)

def again(x):
    return again(x - 1) if x > 0 else helper(x)

@numba.njit
def compiled(x):
    return x + 1

@numba.njit(fastmath=True)
def fast(x):
    return x + 1

def by_compiled(x):
    return compiled(x)

def by_fast(x):
    return fast(x)

first, second = lambda a: a, lambda a: 2 * a
over_helper, over_other, by_three = closing(helper), closing(other), closing(helper, 3.0)
"""
NAMES = [
    "helper", "other", "calling", "again", "first", "second", "over_helper", "over_other", "by_three", "by_compiled",
    "by_fast",
]  # fmt: skip


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A user's module, and its file."""
    path = tmp_path / "own_functions.py"
    path.write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_functions", raising=False)
    return __import__("own_functions"), path


def executed(text):
    """The functions of a text."""
    space = {"__name__": "executed", source.SOURCE: text}
    exec(text, space)
    return space


@pytest.mark.pythons
def test_no_two_functions_are_one(module):
    told = {name: fingerprint(getattr(module[0], name)) for name in NAMES}
    assert len(set(told.values())) == len(NAMES)
    assert not any("0x" in text for text in told.values())  # an address, which another process has for another


@pytest.mark.pythons
def test_every_process_tells_the_same(module):
    code = f"import json, own_functions as m\nfrom noisysim.common.plain_functions import fingerprint\n" \
           f"print(json.dumps([fingerprint(getattr(m, n)) for n in {NAMES}]))"  # fmt: skip
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([str(module[1].parent), *filter(None, sys.path)])}
    for seed in "1", "2":  # of the order of sets
        said = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={**place, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert json.loads(said.stdout) == [fingerprint(getattr(module[0], name)) for name in NAMES]


@pytest.mark.pythons
def test_a_file_that_is_edited_meanwhile_changes_no_function_of_this_process(module):
    own, path = module
    before = {name: fingerprint(getattr(own, name)) for name in NAMES}
    assert all(source.is_current(getattr(own, name)) for name in NAMES)
    path.write_text(MODULE.replace("x + 1", "x + 9").replace("2 * a", "8 * a"))
    assert {name: fingerprint(getattr(own, name)) for name in NAMES} == before
    edited = executed(path.read_text())
    changed = {name for name in NAMES if fingerprint(edited[name]) != before[name]}
    assert changed == {*NAMES} - {"other", "first", "over_other"}
    assert not source.is_current(own.helper)


@pytest.mark.pythons
def test_a_cell_of_a_notebook_is_current():
    """With ``await`` at its top, and names of an earlier ``from __future__ import annotations``."""
    cell = "pause = None\nawait pause\ndef bend(a):\n    return 2 * a\n"
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | __future__.annotations.compiler_flag
    code = compile(cell, "<cell 7>", "exec", flags)
    (inner,) = (one for one in code.co_consts if isinstance(one, types.CodeType))
    bend = types.FunctionType(inner, {source.SOURCE: cell})
    assert source.is_current(bend)
    assert not source.is_current(types.FunctionType(inner, {source.SOURCE: cell.replace("2", "3")}))


@pytest.mark.pythons
def test_comments_and_places_are_no_part_of_it(module):
    moved = executed("# of mine\n\n" + MODULE.replace("    return x + 1", "    # one\n    return x + 1"))
    for name in NAMES:
        assert fingerprint(moved[name]) == fingerprint(getattr(module[0], name))


FROZEN = {
    "attribute of a module": ("import {other}\ndef f(a):\n    return a * {other}.GAIN", "GAIN = 1.5", "GAIN = 0.3"),
    "attribute of a module in it": (
        "import {other}\ndef f(a):\n    return a * {other}.inner.GAIN",
        "import types\ninner = types.ModuleType('inner')\ninner.GAIN = 1.5",
        "import types\ninner = types.ModuleType('inner')\ninner.GAIN = 0.3",
    ),
    "function of a module": (
        "import {other}\ndef f(a):\n    return {other}.g(a)", "def g(a):\n    return a", "def g(a):\n    return 2 * a",
    ),
    "compiled function of a module": (
        "import {other}\ndef f(a):\n    return {other}.g(a)",
        "import numba\n@numba.njit\ndef g(a):\n    return a", "import numba\n@numba.njit\ndef g(a):\n    return 2 * a",
    ),
    "fields of a named tuple": (
        "from {other} import P\ndef f(a):\n    return a * P.x",
        "from collections import namedtuple\nP = namedtuple('T', 'x y')(2.0, 3.0)",
        "from collections import namedtuple\nP = namedtuple('T', 'y x')(2.0, 3.0)",
    ),
    "class of a named tuple": (
        "from {other} import T\ndef f(a):\n    return T(a, 2.0).x",
        "from collections import namedtuple\nT = namedtuple('T', 'x y')",
        "from collections import namedtuple\nT = namedtuple('T', 'y x')",
    ),
    "enumeration": (
        "from {other} import E\ndef f(a):\n    return a * E.K.value",
        "import enum\nclass E(enum.Enum):\n    K = 2.0", "import enum\nclass E(enum.Enum):\n    K = 5.0",
    ),
    "vectorised function": (
        "from {other} import g\ndef f(a):\n    return g(a)",
        "import numba\n@numba.vectorize\ndef g(a):\n    return a",
        "import numba\n@numba.vectorize\ndef g(a):\n    return 2 * a",
    ),
    "signature": (
        "from {other} import g\ndef f(a):\n    return g(a)",
        "import numba\n@numba.njit('float64(float64)')\ndef g(a):\n    return a",
        "import numba\n@numba.njit('int64(int64)')\ndef g(a):\n    return a",
    ),
    "own name": ("from {other} import f as constant\ndef f(a):\n    return a * constant", "f = 2.0", "f = 5.0"),
}  # fmt: skip


@pytest.mark.parametrize("what", FROZEN)
def test_all_that_compiled_code_would_freeze_tells_functions_apart(what, monkeypatch):
    text, *contents = FROZEN[what]
    told = []
    for content in contents:
        other = types.ModuleType("frozen_by_numba")
        exec(content, vars(other))
        monkeypatch.setitem(sys.modules, "frozen_by_numba", other)
        told.append(fingerprint(executed(text.format(other="frozen_by_numba"))["f"]))
    assert told[0] != told[1]


def test_of_installed_packages_names_and_versions_are_told(tmp_path, monkeypatch):
    """All that such a package is made of would take seconds; but what one of its functions has made is told whole."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "installed_one.py").write_text(
        "__version__ = '1.0'\nSIZE = 2.0\ndef deep(a):\n    return a * SIZE\n"
        "def make(k):\n    def made(a):\n        return a * k\n    return made\n"
    )
    monkeypatch.syspath_prepend(folder)
    one = __import__("installed_one")

    def told(text):
        space = executed("import installed_one\ng = None\ndef f(a):\n    return " + text)

        def of(g=None):
            space["g"] = g
            return fingerprint(space["f"])

        return of

    calling, reading, making = told("installed_one.deep(a)"), told("a * installed_one.SIZE"), told("g(a)")
    before = calling(), reading()
    assert "1.0" in before[0]
    assert making(one.make(2.0)) != making(one.make(3.0))
    assert making(one.deep) != making(one.make)
    monkeypatch.setattr(one, "__version__", "1.1")
    assert calling() != before[0]
    assert reading() != before[1]
    assert "deep" not in fingerprint(one.make)
    assert (
        fingerprint(one.deep) != (monkeypatch.setattr(one, "SIZE", 5.0), fingerprint(one.deep))[1]
    )  # of its own package


def test_what_is_kept_by_behaviour_is_not_of_an_equal_thing_of_another_type():
    first = collections.namedtuple("first", "nu x")(0.1, 0.2)
    second = collections.namedtuple("second", "x nu")(0.1, 0.2)
    nu = plain_functions.cache_by_behaviour(lambda device, hook: device.nu)
    assert first == second
    assert (nu(first, len), nu(second, len)) == (0.1, 0.2)


def test_of_built_in_functions_all_is_told():
    """Of what is not, each process would compile its own."""
    functions = [f for kind in activations.ACTIVATIONS.values() for f in (kind.value, kind.slope)]
    functions += [f for rule in RULES.values() for f in rule if isinstance(f, types.FunctionType)]
    for name in devices.names():
        functions += devices.hooks(devices.get(name)).values()
    assert len(functions) > 100
    for function in functions:
        assert plain_functions._PROCESS not in fingerprint(function)


def test_functions_without_a_module_a_source_or_a_set_closure_are_told():
    space = {"gain": 2.0}
    exec("def act(a):\n    return a * gain\ndef gain_(a):\n    return a", space)
    space["gain_"].__module__ = None
    chip = Chip([2, 2], "ideal", Activation("act", space["act"], space["gain_"]), seed=0)
    assert chip.forward(np.ones((1, 2), np.float32)).output.shape == (1, 2)

    def later():
        return lambda a: a * unset

    one = later()
    assert fingerprint(one) == fingerprint(one)
    unset = 3.0
    assert fingerprint(one) != fingerprint(later().__class__(one.__code__, {}, "f", None, (types.CellType(4.0),)))


def test_two_activation_functions_on_one_line_are_two():
    one, two = Activation("one", lambda a: a, lambda a: 1.0), Activation("two", lambda a: 2 * a, lambda a: 2.0)
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    single, double = (Chip([6, 5, 3], "ideal", kind, seed=0).forward(x).output for kind in (one, two))
    np.testing.assert_allclose(double, 2 * single, rtol=1e-5)


LAYERS = [
    (1, 8, 8), "conv(3, 3, padding=1)", "residual([conv(3, 3, padding=1)])", "layer_norm()", "average_pool(2)",
    "dense(8)", "softmax()", 10,
]  # fmt: skip


@pytest.mark.parametrize("rule", ["bp", "fa", "dfa", "fdfa", "fg-a", "fg-w", "np", "danp"])
def test_after_the_first_step_none_tells_functions_apart_again(rule, monkeypatch):
    """It takes longer than all else of a small step."""
    task, learner = noisysim.tasks.get("digits"), noisysim.learners.get(rule)
    chip = Chip(LAYERS, "ideal", "gelu", seed=1, oracle=True, decorrelate=learner.decorrelation > 0)
    batches = iter(task.batches(32, seed=1))
    state = noisysim.prepare(learner, chip, next(batches), seed=1)
    for number, batch in zip(range(3), batches, strict=False):
        if number == 1:
            monkeypatch.setattr(bring, "fingerprint", lambda function: pytest.fail(f"looks at {function}"))
        observed = chip.passes(batch, learner.drives(state, len(batch.inputs)))
        oracle = chip.oracle(batch) if "oracle" in learner.requires() else None
        gradient, state = learner.update(state, observed, oracle=oracle)
        if gradient is not None:
            chip.program(gradient)


CHANGING = """
from typing import NamedTuple
SIZE = 1.0

def bend(a):
    return a * SIZE if a < 0 else a

class Ageing(NamedTuple):
    g_min: float = 0.0
    g_max: float = 25.0
    w_max: float = 1.0
    cells_per_weight: float = 2
    read_time: float = 1e-6

def drift(g, t, d):
    return g / (1 + SIZE * t)
"""


def test_a_global_that_changed_is_read_anew(tmp_path, monkeypatch):
    """As in a notebook, where a constant is set again in a later cell."""
    (tmp_path / "own_changing.py").write_text(CHANGING)
    monkeypatch.syspath_prepend(tmp_path)
    own = __import__("own_changing")
    at = np.array([[-2.0, 3.0]], np.float32)
    for size, slope in ((1.0, 1.0), (0.25, 0.25), (-0.5, -0.5)):
        own.SIZE = size
        one = activations.get(own.bend)
        assert activations.get(own.bend) is one
        signal = np.ones_like(at)
        algebra.scale_by_slope(signal, at, one)
        np.testing.assert_allclose(signal, [[slope, 1.0]])
        np.testing.assert_allclose(algebra.activate(at, one), [[-2 * size, 3.0]])
        assert one.never_falls == (size > 0)
    own.SIZE = 1e-3
    slow = ageing.pace_of(own.Ageing()).patience(0.0)
    own.SIZE = 10.0
    assert ageing.pace_of(own.Ageing()).patience(0.0) < slow / 100
