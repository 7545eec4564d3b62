"""Loops by themselves: each can be called from Python, compiled and not, and gives what it should.

What loops call for the most part is compiled without what Python needs to call it, which is made at the first call from
Python: such a call must never end the process, whatever called the function before, in this process or in another.
"""

import importlib
import os
import pkgutil
import subprocess
import sys

import numba
import numpy as np
import pytest

from noisysim import Chip, Drive
from noisysim.compute.cpu import loops as package
from noisysim.compute.cpu import passes
from noisysim.compute.cpu.loops import cell_reads, draws, driving, images, line_reads, rows, steps, sums
from noisysim.compute.jit.calls import JIT

F = np.float32
compiled = pytest.mark.skipif(not JIT, reason="nothing is compiled")


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


# --- on arrays: name -> what the loop gives, and what it should -------------------------------------------------------


def largest():
    row = floats(50)
    row[7] = -9
    return rows.largest(row), 9


def largest_of_nan():
    return rows.largest(np.array([1, np.nan, 2], F)), np.nan


def multiply(count=4, inputs=5, outputs=3):
    x, weights, out = floats(count, inputs), floats(outputs, inputs, seed=1), np.empty((count, outputs), F)
    rows.multiply(x, weights, out, np.empty(count * outputs + rows.SIDE**2, F))
    return out, x @ weights.T


def multiply_one():
    return multiply(1)


def multiply_turned():
    """Few rows of many inputs: whole squares, and what is left at both sides."""
    return multiply(11, 48, 19)


def copy():
    out = np.zeros((3, 4), F)
    rows.copy(floats(3, 8)[:, ::2].copy(), out)
    return out, floats(3, 8)[:, ::2]


def add():
    out = np.ones((3, 4), F)
    rows.add(floats(3, 4), out)
    return out, 1 + floats(3, 4)


def place():
    return rows.place(10, 3, (2, 4)), 46  # the third of four chips


def add_share():
    line, extra, scales, out = floats(6), floats(6, seed=1), np.array([1, 2, 4], F), np.empty(6, F)
    line_reads.add_share(line, extra, F(0.5), scales, out)
    return out, line + 0.5 * extra / np.tile(scales, 2)


def add_share_without_scales():
    line, extra, out = floats(6), floats(6, seed=1), np.empty(6, F)
    line_reads.add_share(line, extra, F(0.5), np.empty(0, F), out)
    return out, line + 0.5 * extra


def put_line():
    value, out = floats(6), np.ones(6, F)
    expected = 1 + 3 * value * np.tile([1, 2], 3)
    line_reads.put_line(value, F(3), np.array([1, 2], F), True, out)
    return out, expected


def read_reference():
    return cell_reads.read_reference(np.array([1, 2, 3], F), np.array([4, -5, 6], F)), 22  # cut where below 0


def all_finite():
    return [sums.all_finite(np.array(v, F)) for v in ([1, 2], [1, np.inf], [np.nan, 1])], [True, False, False]


def pack():
    activities, factors, out = floats(4, 6), np.array([2.0, 3.0]), np.ones((4, 3), F)
    sums.pack(out, factors, activities, np.empty((0, 0), F), 0.5, 2, False)
    return out, 1 + 0.5 * np.repeat(factors, 2)[:, None] * activities[:, 2:5]


def normalise():
    values, more, out = floats(2, 6), floats(2, 3, seed=1), np.empty((2, 6), F)
    steps.normalise(np.zeros(30, np.int64), 3, values, out, more)
    return out, ((values.reshape(2, 2, 3) - more[0]) * more[1]).reshape(2, 6)


def channels_last():
    out = np.empty((2, 6), F)
    images.channels_last(floats(2, 6), 2, out)
    return out, floats(2, 6).reshape(2, 2, 3).transpose(0, 2, 1).reshape(2, 6)


def normals():
    whole, part = np.empty((3, 9), F), np.empty((1, 9), F)
    for out, first in ((whole, 0), (part, 2)):
        draws.normals(out, F(0.5), first, 4, np.uint32(5), np.uint32(6), np.uint32(7))
    return part[0], whole[2]


CASES = [
    largest, largest_of_nan, multiply, multiply_one, multiply_turned, copy, add, place,
    add_share, add_share_without_scales, put_line,
    read_reference, all_finite, pack, normalise, channels_last, normals,
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.__name__ for case in CASES])
def test_a_loop_called_by_itself_gives_what_it_should(case):
    for _ in range(2):  # the second call is another way
        found, expected = case()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


# --- on records: a pass, part by part ---------------------------------------------------------------------------------

DEVICES = {
    "ideal": ("ideal", {}),
    "lines": ("crossbar", {"tile_rows": 4, "iv_curve": 1.5, "dac_gain_spread": 0.05, "adc_gain_spread": 0.05}),
    "cells": ("crossbar", {"telegraph": 0.2, "tau_capture": 1e-3, "tau_emission": 1e-3}),
}
X = floats(5, 6)
DRIVES = [Drive(), Drive([floats(5, 4, seed=2), None], outputs=[np.full((5, 4), 0.1, F), None])]


def chip_of(name):
    device, settings = DEVICES[name]
    return Chip([6, 4, 3], ":".join([device, ",".join(f"{k}={v}" for k, v in settings.items())]).rstrip(":"), seed=3)


def part_by_part(tiles, seen):
    """What `noisysim.compute.cpu.loops.passes.forward` does, by its parts, from Python."""

    def forward(span, members, layers, nets, stacks, calls, rooms):
        net, chips, call, room = nets[0], stacks[0], calls[0], rooms[0]
        for layer in range(*layers):
            rest = span, (0, 1), net, chips, call, room
            driving.drive_layer(layer, *rest)
            driven = driving.driven_in(layer, 0, span, net, call, room)
            seen.append((layer, *driven.shape))
            for k in range(tiles[layer]):
                line_reads.read_tile(layer, k, *rest)

    return forward


def observed(chip):
    return [array for o in chip.passes(X, DRIVES) for array in (*o.inputs, *o.activities)]


@pytest.mark.parametrize("name", DEVICES)
def test_a_pass_by_its_parts_is_the_pass(name, monkeypatch):
    expected, chip, seen = observed(chip_of(name)), chip_of(name), []
    net = chip._hidden.net
    monkeypatch.setattr(passes.loops, "forward", part_by_part([net.tiles(k) for k in range(net.depth)], seen))
    found = observed(chip)
    assert seen[-2:] == [(0, 5, 6), (1, 5, 4)]
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


# --- whatever called them before --------------------------------------------------------------------------------------

AFTER_A_PASS = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import numpy as np
import test_loops
test_loops.observed(test_loops.chip_of(sys.argv[1]))
for case in test_loops.CASES:
    found, expected = case()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
print("all", len(test_loops.CASES))
"""


@compiled
@pytest.mark.parametrize("device", ["ideal", pytest.param("lines", marks=pytest.mark.thorough)])
def test_calls_from_python_do_not_end_the_process_whatever_called_before(device, tmp_path):
    """First loops compile what they call, then Python calls it; the next process finds both in the cache."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", AFTER_A_PASS, device], 
            env={**os.environ, "NOISYSIM_CACHE": str(tmp_path), "NUMBA_OPT": "1"},  # which compiles faster
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["all", str(len(CASES))]


@compiled
def test_all_of_it_holds_without_jit():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@compiled
def test_functions_that_only_loops_call_get_a_wrapper_when_python_calls():
    """A function without one has an address for loops alone: each such function is of the kind that makes one."""
    inner = []
    for module in pkgutil.iter_modules(package.__path__):
        for value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).values():
            if isinstance(value, numba.core.registry.CPUDispatcher) and value.targetoptions.get("no_cpython_wrapper"):
                inner.append(value)
                assert value._compile_for_args.__qualname__.startswith("_wrapped_on_demand"), value
    assert len(inner) > 15


@compiled
def test_every_function_states_how_it_is_compiled():
    """What one does not state it would take from the first that calls it, so that bits would depend on the order."""
    stated = {}
    for module in pkgutil.iter_modules(package.__path__):
        for name, value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).items():
            if isinstance(value, numba.core.registry.CPUDispatcher):
                stated[f"{module.name}.{name}"] = {"fastmath", "error_model", "nogil"} - value.targetoptions.keys()
    assert len(stated) > 150
    assert {name: options for name, options in stated.items() if options} == {}
