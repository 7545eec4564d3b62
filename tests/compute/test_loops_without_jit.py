"""Every loop and row of the CPU, with Numba switched off, gives what it gives compiled.

Run as a program (NUMBA_DISABLE_JIT=1), this file takes small chips of devices that have every hook and flag between
them through passes, writes, time and learning, and writes what came out and which functions ran. Without JIT the loops
are Python's, so that a debugger, a profiler and coverage see them.

Stated before looking: compiled code fuses products and sums and takes other routines for exp and pow, so single values
may differ by `CLOSE` of the largest; where a converter rounds or a level decides, by a step more on at most `FEW`. A
step is no more than `STEP` of the largest: of these devices one of a converter (8 bits of a full scale of at most three
times the largest output) is 2.4 %, a pulse 4.8 % of the largest weight, and up to twice that with its noise.
"""

import ast
import cProfile
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, Drive, batch_norm, conv, devices, dropout, pool
from noisysim.chip.decorrelation import decorrelate
from noisysim.compute import algebra, layered, losses
from noisysim.compute.cpu.loops import gather
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term
from noisysim.networks.recurrent_kinds import GATES

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import cell_device as bench

LOOPS = Path(noisysim.__file__).parent / "compute"
CLOSE, FEW, STEP = 2e-5, 0.05, 0.1
IMAGE = [(2, 6, 5), conv(3, 3, padding=1, activation="tanh"), batch_norm(), pool(2, 1), dropout(0.3), conv(4, 2), 4]
READS = {"cell_noise": 0.05, "jitter": 0.04, "amplitude": -0.3, "amplitude_spread": 0.6, "tau_up": 0.3, "tau_down": 0.1}
STEPS = {**bench.SPREADS, "read_noise": 0.02, "floor": 0.004, "write_step": 0.01}
MADE = {
    "ideal": ("ideal", {}),
    "crossbar": ("crossbar", {"tile_rows": 4, "iv_curve": 1.5, "stuck_low": 0.1, "dac_gain_spread": 0.05}),
    "ageing": (
        "crossbar:controller=copy",
        {"drift_nu": 0.05, "drift_nu_spread": 0.3, "flicker_noise": 0.05, "compensation": 1},
    ),
    "warmer": (
        "crossbar",
        {"controller": "copy", "drift_nu": 0.05, "temperature_coefficient": 2e-3, "temperature": 350.0},
    ),
    "scaled": ("crossbar", {"tile_rows": 4, "drift_nu": 0.05, "compensation": 1}),
    "wires": ("crossbar", {"wire_resistance": 5.0, "nodal": 0, "tile_columns": 3}),
    "rpu": ("rpu", {}),
    "shown": ("pulsed", {"apparent_noise": 9.0, "cells_per_weight": 2, "pulse_step": 0.02, "refresh_at": 0.5}),
    "pulses": (bench.__file__, bench.KINDS["pulses"]),
    "pairs": (bench.__file__, bench.KINDS["pulsed pairs"]),
    "closed loop": (bench.__file__, bench.KINDS["closed loop"]),
    "one cell, closed loop": ("rpu", {"verify_pulses": 3}),
    "slices": (bench.__file__, bench.KINDS["slices"]),
    "few bits": ("crossbar", {"controller": "copy", "target_bits": 6}),
    "steps": (bench.__file__, {**STEPS, "controller": "increment", "refresh_at": 0.3}),
    "accumulated": ("rpu", {"controller": "accumulate"}),
    "reads": (bench.__file__, {**STEPS, "controller": "read_modify_write", "slices": 2, "slice_bits": 3}),
    "reads, closed loop": ("rpu", {"controller": "read_modify_write", "verify_pulses": 3, "verify_tolerance": 0.02}),
    "cells that jump": (bench.__file__, {**READS, "tile_rows": 3, "read_time": 0.02, "adc_range": 4.0}),
}


def life(name):
    """Outputs and weights of a chip's life: passes of all kinds of drives, a large and a small change, and time."""
    (spec, settings), scaling = MADE[name], "column" if name == "scaled" else "fixed"
    device = devices.get(spec, **settings)
    chip = Chip([6, 5, 3], device, seed=3, decorrelate=True, bias=True, chips=2, weight_scaling=scaling)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((8, 6)).astype(np.float32)
    shapes = [(2 * n_out, n_in) for n_out, n_in in chip.network.shapes]
    drives = [
        Drive(),
        Drive([rng.standard_normal((8, n)).astype(np.float32) for n in (5, 3)]),
        Drive(outputs=[np.full((8, 5), 0.1, np.float32), None]),
        Drive(weights=[np.full(shape, 0.1, np.float32) for shape in shapes]),
    ]
    found = [o.output for o in chip.passes(x, drives)]
    for width in (0.3, 0.02):
        chip.program([width * rng.standard_normal(shape).astype(np.float32) for shape in shapes])
        few = [np.zeros(shape, np.float32) for shape in shapes]
        few[0][0, 0] = few[1][1, 1] = width
        chip.program(few)
        chip.wait(30.0)
        chip.decorrelate(chip.forward(x).inputs, 0.01)
        found.append(chip.forward(x).output)
    arrays = chip._hidden.arrays
    return [*found, *arrays.weight_arrays(), arrays.variances.copy()]  # a chip that is freed erases its own


def network():
    """What a convolutional network learns from images by three rules, and its optimizer."""
    rng = np.random.default_rng(2)
    images, labels = rng.random((20, 2, 6, 5), dtype=np.float32), rng.integers(0, 4, 20)
    found = []
    for learner, optimizer in (("bp", "adam"), ("dfa", "sgd"), ("anp", "sgd:momentum=0.5")):
        result = noisysim.run(
            (images[:12], labels[:12], images[12:], labels[12:]), layers=IMAGE[1:], device="ideal", learner=learner,
            optimizer=optimizer, epochs=1, batch_size=6, oracle=True, progress=False, seed=1,
        )  # fmt: skip
        found.append(np.asarray(result.history["train_loss"], np.float64))
    return found


def tangent():
    """How a convolutional network's output moves along a perturbation, by the oracle."""
    rng = np.random.default_rng(3)
    chip = Chip(IMAGE, "ideal", seed=2)
    batch = Batch(rng.random((4, 60), dtype=np.float32), np.eye(4, dtype=np.float32), losses.get("cce"))
    observation = chip.forward(batch)
    lines = [rng.standard_normal(a.shape).astype(np.float32) for a in observation.activities]
    oracle = chip.oracle(batch)
    return [oracle.tangent(observation, Drive(lines)), *oracle.gradient(observation)]


def branches():
    """What every operation of the periphery, and a recurrent layer, make of two samples, and of signals."""
    rng, found = np.random.default_rng(6), []
    nets = [
        [(2, 4, 3), "x = conv(4, 2, padding=1, dilation=2)", "a = conv(2, 1)(x)", "b = conv(2, 1)(x)", "add()(a, b)",
         "pool(2, 1, padding=1)", "m = leak(0.1)", "multiply()(m, m)", "n = affine(2.0, 1.0)", "q = divide()(m, n)",
         "concat()(q, n)", "clip(-1, 1)", "layer_norm()", "average_pool(2)", "s = softmax()",
         "t = take([5, -1, 3, 2, 1, 0], (1, 2, 3))(s)",
         "u = take([0, 1, 2, 3, 4, 5], (1, 3, 2))(s)", "matmul(1, 2, 3, 2)(t, u)", "output()"],
        [3, "embedding(4, 2)", "one_hot(3)", 2],
        *[[(1, 3, 2), f"recurrent(2, {cell!r})", "dense(2)", "output()"] for cell in GATES],
    ]  # fmt: skip
    for layers, device in zip(
        nets, ("ideal", "ideal", "crossbar", "ideal", bench_with_energy(), "crossbar"), strict=True
    ):
        chip = Chip(layers, device, seed=2, oracle=True, bias=True, decorrelate=True, inject="digital")
        net = chip.architecture
        batch = Batch(
            rng.random((2, net.sizes[0]), dtype=np.float32), rng.random((2, net.n_out), dtype=np.float32),
            losses.get("mse"),
        )  # fmt: skip
        lines = [rng.random(net.line_shape(k, 2), dtype=np.float32) for k in range(net.depth)]
        beside = [rng.random(shape, dtype=np.float32) for shape in net.shapes]
        observed = chip.passes(batch, [Drive(), Drive(lines), Drive(weights=beside)])
        oracle = chip.oracle(batch)
        found += [o.output for o in observed] + list(oracle.gradient(observed[0]))
        found.append(oracle.tangent(observed[0], Drive(lines)))
    return found


def bench_with_energy():
    """A device whose cells add variance to a read of their line, and whose lines are cut into tiles."""
    return devices.get("crossbar", read_noise=0.05, tile_rows=2)


def regression():
    """What a dense network learns of values, with noise on its inputs, and a batch of a single sample."""
    rng = np.random.default_rng(5)
    x, y = rng.random((20, 6), dtype=np.float32), rng.random((20, 2), dtype=np.float32)
    found = []
    for rows, learner in ((1, "np"), (6, "bp"), (6, "inp")):
        result = noisysim.run(
            (x[:12], y[:12], x[12:], y[12:]), layers=[5], device="ideal", learner=learner, epochs=1, batch_size=rows,
            progress=False, seed=1,
        )  # fmt: skip
        found.append(np.asarray(result.history["train_loss"], np.float64))
    return found


def algebra_of_layers():
    """The operations that no run above calls."""
    rng = np.random.default_rng(7)
    a, b = ([rng.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (6, 3))] for _ in range(2))
    y, t = a[1], np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    keys = np.array([[1, 2], [3, 4]], np.uint32)
    drawn = layered.zeros([(6, 5), (6, 3)])
    algebra.normals(drawn, 0.5, 0, 1, 0, keys)
    uniform = layered.zeros([(6, 5), (6, 3)])
    algebra.uniforms(uniform, [0.5, 1.0], 0, keys)
    total, squares = np.zeros(4, np.uint64), np.zeros(4, np.uint64)
    pixels, moved = rng.integers(0, 255, (5, 4)).astype(np.uint8), np.empty((2, 4), np.float32)
    gather.add_bytes(pixels, total, squares)
    affine, black = np.array([[9] * 4, [0.5] * 4], np.float32), np.full(4, -4.5, np.float32)
    gather.augmented(pixels, np.array([3, 1]), affine, black, 2, 2, 1, True, 4, *keys[0], moved)
    terms = [algebra.Term(rng.random(6), a, b), algebra.Term(rng.random((2, 6)), a)]
    outer = algebra.outer(terms, [a[0], a[0]])
    batch = Batch(a[0], t, losses.get("cce"))
    turned = [layered.layered([np.eye(n, dtype=np.float32)]) for n in (5, 32)]
    for rotation, rows in zip(turned, (40, 20), strict=True):  # many rows of few inputs, and few of many
        x = rng.standard_normal((rows, len(rotation[0]))).astype(np.float32)
        decorrelate(rotation, layered.layered([x]), 0.01)
    digital = Chip([5, 4, 3], "ideal", inject="digital", seed=3)
    lines = digital.forward(a[0][:, :5], Drive([np.ones((6, 4), np.float32), None])).activities
    return [
        *turned[0], *turned[1], *lines, *outer,
        algebra.squared_distances(a, b), algebra.layer_distances(a, b), algebra.moments(a[0]),
        algebra.combine(rng.random((2, 6)), [a[0], b[0]], np.zeros((6, 5), np.float32)),
        algebra.scale_by_slope(a[0].copy(), b[0], "tanh"), algebra.activate(a[0], "sigmoid"),
        algebra.passed_share(a, b), batch.loss(y, t), batch.loss.error(y, t), losses.get("mse")(y, t), drawn.flat,
        uniform.flat, total.astype(float), squares.astype(float), moved,
    ]  # fmt: skip


GROUPED = [(4, 2, 1), "conv(4, (1, 1), groups=2)", "output()"]


def updates_in_the_array():
    """Cells after updates by pulse trains of two words, and after some of any size; in groups of channels as well."""
    rng = np.random.default_rng(4)
    found = []
    ways = ({"pulse_slots": 40}, {"pulse_slots": 5, "update_bl_management": 0}, {"pulse_step": 0.0})
    for settings, layers in [*((way, [6, 8]) for way in ways), *((way, GROUPED) for way in ways[1:])]:
        kind = "pulsed pairs" if "pulse_step" in settings else "pulses"
        device = devices.get(bench.__file__, **{**bench.KINDS[kind], **settings, "update": "pulse_trains"})
        chip = Chip(layers, device, seed=3, chips=2)
        ((n_out, n_in),) = chip.network.shapes
        shape = (4, 2) if layers is GROUPED else (4,)  # samples, and positions of each
        x, s = (rng.standard_normal((*shape, n)).astype(np.float32) for n in (n_in, n_out))
        for rate in (0.3, 0.03):
            factors = Factors([Term(np.ones(4), [s])], [x], (), 2)
            chip.descend(factors, partial(noisysim.optimizers.SGD().step, {}, rate))
            chip.wait(30.0)
        arrays = chip._hidden.arrays
        found += [*arrays.weight_arrays(), arrays.variances.copy()]
    return found


PARTS = {name: partial(life, name) for name in MADE}
PARTS |= {
    "trains": updates_in_the_array,
    "network": network,
    "tangent": tangent,
    "branches": branches,
    "regression": regression,
    "algebra": algebra_of_layers,
}
COMPARED = [name for name in PARTS if name not in ("wires", "one cell, closed loop", "ageing", "rpu")]
"""What is compared with compiled loops: of the others every branch is in one of these."""


FILES = [
    "cpu/loops/*.py",
    "cpu/device_rows.py",
    "rules/cells.py",
    "rules/operations.py",
    "rules/ranges.py",
    "rules/recurrence.py",
    "rules/trains.py",
]
"""Where loops, rows and the rules that both take are."""


def written():
    """The functions of loops, rows and rules: (file, name)."""
    for path in sorted(path for pattern in FILES for path in LOOPS.glob(pattern)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield path.relative_to(LOOPS).as_posix(), node.name


def everything():
    """What all parts give, and the functions of loops and rules that ran."""
    profile = cProfile.Profile(builtins=False)  # which costs a fifth of what `sys.setprofile` does
    with np.errstate(all="ignore"), profile:
        results = {name: part() for name, part in PARTS.items()}
    called = [entry.code for entry in profile.getstats() if not isinstance(entry.code, str)]
    inside = [code for code in called if code.co_filename.startswith(str(LOOPS))]
    ran = {(str(Path(code.co_filename).relative_to(LOOPS)), code.co_name) for code in inside}
    return results, sorted(ran)


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The results without JIT, by a Python of its own, and what ran."""
    folder = tmp_path_factory.mktemp("without")
    space = {**os.environ, "NUMBA_DISABLE_JIT": "1", "NOISYSIM_THREADS": "1"}
    done = subprocess.run([sys.executable, __file__, folder], env=space, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "results.npz") as file:
        results = {name: [file[f"{name} {k}"] for k in range(count)] for name, count in counts(file).items()}
    return results, {tuple(one) for one in json.loads((folder / "ran.json").read_text())}


def counts(file):
    """How many arrays each part has."""
    names = [name.rpartition(" ")[0] for name in file.files]
    return {name: names.count(name) for name in names}


def test_every_loop_and_rule_runs_without_jit(without):
    results, ran = without
    assert set(written()) - ran == set()
    assert all(np.isfinite(array).all() for arrays in results.values() for array in arrays)
    assert results["crossbar"][0].any()


def check_close(expected, found):
    """Refuse what differs by more than rounding does."""
    one, other = np.asarray(expected, float), np.asarray(found, float)
    assert one.shape == other.shape
    assert np.isfinite(one).all()
    assert np.isfinite(other).all()
    if one.size:
        largest, difference = np.abs(one).max(initial=1e-30), np.abs(one - other)
        assert (difference > CLOSE * largest).mean() <= FEW
        assert difference.max() <= (CLOSE + STEP) * largest


@pytest.mark.parametrize("name", COMPARED)
def test_compiled_loops_give_the_same(name, without):
    expected, found = PARTS[name](), without[0][name]
    assert len(found) == len(expected) > 0
    for one, other in zip(expected, found, strict=True):
        check_close(one, other)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.5])
def test_even_one_value_of_many_differs_by_a_step_at_most(wrong):
    expected = np.linspace(-1.0, 1.0, 101)
    found = expected.copy()
    found[50] = 0.05
    check_close(expected, found)
    found[50] = wrong
    with pytest.raises(AssertionError):
        check_close(expected, found)


if __name__ == "__main__":
    results, ran = everything()
    arrays = {f"{name} {k}": np.asarray(a) for name, found in results.items() for k, a in enumerate(found)}
    np.savez(Path(sys.argv[1]) / "results.npz", **arrays)
    (Path(sys.argv[1]) / "ran.json").write_text(json.dumps(ran))
