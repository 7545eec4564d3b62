"""Cells on a GPU against the loops of the CPU: the same decisions and draws, values to rounding.

On a GPU, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from noisysim import devices
from noisysim.chip.arrays import Arrays
from noisysim.compute import backends, layout
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import network

import cell_device as bench

pytestmark = pytest.mark.gpu
CELL_DEVICE = Path(bench.__file__)

LAYERS, SEED = [36, 28, 5], 4  # with biases 1036 and 145 weights: two blocks of cells, and one
CLOSE = 1e-6  # of the span: of conductances, targets, and each of a weight's two cells
SPREAD = 1e-5  # of the largest variance
HELD = ("weights", "variances", "targets", "chi", "now", "fresh", "since", "aimed")
AGEING_READS = "return (ONE + np.log(ONE + t)) * d.read_noise * g"  # of cells whose read noise grows with age


@pytest.fixture
def ageing_bench(tmp_path):
    """The device of the tests, with read noise that grows with age."""
    path = tmp_path / "ageing_bench.py"
    path.write_text(CELL_DEVICE.read_text().replace("return d.read_noise * g", AGEING_READS))
    return str(path)


def kind(name, **settings):
    """A kind of the device of the tests."""
    return devices.get(str(CELL_DEVICE), **{**bench.KINDS, **bench.CONTROLLED}[name], **settings)


def crossbar(**settings):
    return devices.get("crossbar", controller="copy", tile_rows=20, **settings)


DRIFTS = {"drift_nu": 0.05, "drift_nu_spread": 0.3, "flicker_noise": 0.05, "temperature": 330.0}
CUT = {"stuck_low": 0.1, "dead_rows": 0.1}
MADE = {
    "plain": lambda: crossbar(),
    "drift": lambda: crossbar(**DRIFTS, **CUT, temperature_coefficient=1e-3),
    "pcm": lambda: devices.get("pcm"),
    "slices": lambda: kind("slices"),
    "one cell": lambda: kind("one cell"),
    "closed loop": lambda: kind("closed loop"),
    "one cell, closed loop": lambda: devices.get("rpu", verify_pulses=5, verify_tolerance=0.02),
    "quiet": lambda: crossbar(read_noise=0.0),
}
PULSED = {
    "pulses": lambda: kind("pulses"),
    "pulsed pairs": lambda: kind("pulsed pairs"),
    "rpu": lambda: devices.get("rpu"),
    "measured": lambda: devices.get("measured"),
    "shown": lambda: devices.get("rram_gong", stuck_low=0.1, pulse_scale_spread=0.2),
    "vectors": lambda: devices.get(
        "pulsed",
        cells_per_weight=2,
        slices=3,
        slice_bits=0,
        pulse_step=0.02,
        refresh_at=0.5,
        read_noise=0.05,
        write_noise=0.3,
        stuck_low=0.05,
        pulse_gain_spread=0.2,
        apparent_noise=2.0,
        tile_rows=20,
    ),
    "accumulated vectors": lambda: devices.get(
        "pulsed",
        cells_per_weight=2,
        slices=2,
        slice_bits=0,
        pulse_step=0.02,
        refresh_at=0.5,
        apparent_noise=2.0,
        controller="accumulate",
    ),
    "shown pairs": lambda: devices.get(
        "pulsed", cells_per_weight=2, apparent_noise=9.0, pulse_step=0.02, refresh_at=0.5, read_noise=0.05
    ),
}


def cells_of(device, chips=1, place="cuda", **tiling):
    net = replace(network(LAYERS, "linear", True, resolve(device)), **tiling)
    return Arrays(net, device, SEED, chips, place)


def taken(arrays, name):
    """What arrays on the GPU hold, as NumPy's."""
    return backends.get("cuda").take(getattr(arrays, name))


def block(arrays, layer, number):
    """Where a block of cells lies in a layer of one chip."""
    at, size = (int(arrays.table[layer, c]) for c in (layout.CELLS_AT, layout.N_IN))
    size *= int(arrays.table[layer, layout.N_OUT])
    return slice(at + number * layout.CELL_BLOCK, at + min((number + 1) * layout.CELL_BLOCK, size))


def full(arrays, width, rng):
    """A change of every weight, of so much of the largest weight."""
    sizes = arrays.table[:, layout.N_IN] * arrays.table[:, layout.N_OUT]
    change = width * rng.standard_normal(sizes.sum()) / np.repeat(arrays.scales, sizes)
    return change.astype(np.float32)


def part(arrays, width, rng, few, many):
    """A change of `few` weights of the first block and of `many` of the last; none in the one between."""
    change = full(arrays, width, rng)
    kept = np.zeros(change.size, bool)
    for where, count in ((block(arrays, 0, 0), few), (block(arrays, 1, 0), many)):
        kept[rng.choice(np.arange(where.start, where.stop), count, replace=False)] = True
    return np.where(kept, change, np.float32(0.0))


def program(arrays, changes):
    """A life of programming: all of it, little of it, some, time, most of it."""
    arrays.write(changes[0], True, 0.0)
    yield "all"
    arrays.write(changes[1], False, 3.0)
    yield "little"
    arrays.age(40.0)
    yield "aged"
    arrays.write(changes[2], False, 50.0)
    yield "some"
    arrays.write(changes[3], False, 700.0)
    yield "most"


def changes_of(arrays, seed=11):
    """Changes for `program`."""
    rng = np.random.default_rng(seed)
    return [
        full(arrays, 0.4, rng),
        part(arrays, 0.3, rng, 80, 2),
        part(arrays, 0.3, rng, 120, 120),
        full(arrays, 0.05, rng),
    ]


def pulses_of(arrays, seed=12):
    """Changes for `program` that ask for a few pulses a weight: of three weights of a block, of some, of all."""
    rng = np.random.default_rng(seed)
    step = 4 * float(arrays.scales[0] / arrays.pulsing[0])  # four pulses, of the largest weight
    return [
        full(arrays, 0.4, rng),
        part(arrays, step, rng, 3, 12),
        part(arrays, step, rng, 200, 140),
        full(arrays, step, rng),
    ]


def placed(changes):
    """Changes on the GPU."""
    return [backends.get("cuda").put(change) for change in changes]


def assert_alike(arrays, other, when):
    """Cells, weights and variances agree to rounding."""
    width, reach = float(arrays.span[1]), CLOSE * float(arrays.span[1]) * float(arrays.units.max())
    bounds = {"since": 0.0, "targets": CLOSE, "chi": CLOSE, "weights": 2 * reach}
    bounds |= dict.fromkeys(("now", "fresh", "aimed"), CLOSE * width)
    bounds["variances"] = SPREAD * float(arrays.variances.max(initial=0.0))
    for name in HELD:
        expected, found = getattr(arrays, name), taken(other, name)
        assert expected.shape == found.shape, (when, name)
        missed = np.abs(expected.astype(float) - found)
        assert missed.max(initial=0.0) <= bounds[name], (when, name, np.argmax(missed))


def compare(device, changes_for):
    """A life on both backends; returns (cells programmed, pulses given, cells read) after each of its parts."""
    arrays, other = cells_of(device, place="cpu"), cells_of(device)
    changes = changes_for(arrays)
    counted = []
    lives = zip(program(arrays, changes), program(other, placed(changes)), strict=True)
    for when, _ in lives:
        counted.append(arrays.done())
        assert counted[-1] == other.done(), when
        assert_alike(arrays, other, when)
    return counted


@pytest.mark.parametrize("name", MADE)
def test_programming_and_ageing_are_the_cpus(name):
    counted = compare(MADE[name](), changes_of)
    assert all(sum(c) > 0 for k, c in enumerate(counted) if k != 2)


@pytest.mark.parametrize("name", PULSED)
def test_pulses_are_the_cpus(name):
    counted = compare(PULSED[name](), pulses_of)
    assert counted[0][0] > 0
    assert all(counted[k][1] > 0 for k in (1, 3, 4))
    assert name != "pulsed pairs" or counted[4][0] > 0  # pairs set anew


def test_pulses_refresh_the_variances_of_the_weights_that_move_alone(ageing_bench):
    """Of pairs; of single cells "rpu" and "measured" show it above."""
    settings = {**bench.SPREADS, **bench.FAULTS, **bench.PULSES, "read_noise": 0.05, "tile_rows": 20}
    device = devices.get(ageing_bench, **settings)
    arrays = cells_of(device)
    changes = placed(pulses_of(arrays))
    arrays.write(changes[0], True, 0.0)
    before = taken(arrays, "variances").copy()
    arrays.write(changes[1], False, 100.0)
    moved = taken(arrays, "variances") != before
    sizes = arrays.table[:, layout.N_IN] * arrays.table[:, layout.N_OUT]
    assert 0 < moved[: sizes[0]].sum() <= 3  # three weights of a block of 1024: only they
    assert 0 < moved[sizes[0] :].sum() <= 12  # twelve of one of 155
    compare(device, pulses_of)


@pytest.mark.parametrize("name", bench.CONTROLLED)
def test_controllers_are_the_cpus(name):
    """Cells, what is kept, and cells, pulses and reads that are counted."""
    settings = bench.CONTROLLED[name]
    counted = compare(kind(name), changes_of if settings["controller"] == "copy" else pulses_of)
    assert all(sum(counted[k]) > 0 for k in (0, 1, 3, 4))
    assert settings["controller"] != "read_modify_write" or all(counted[k][2] > 0 for k in (1, 3, 4))


@pytest.mark.parametrize("tile_rows", [0, 20])
def test_exact_weights_are_the_cpus(tile_rows):
    arrays, other = (cells_of(devices.get("ideal"), 1, place, tile_rows=tile_rows) for place in ("cpu", "cuda"))
    change = full(arrays, 0.4, np.random.default_rng(3))
    for _ in range(2):
        arrays.write(change, False, 0.0)
        other.write(*placed([change]), False, 0.0)
    assert arrays.weights.any()
    assert np.array_equal(arrays.weights, taken(other, "weights"))
    assert other.done() == arrays.done() == (2 * change.size, 0, 0)


WIRES = {"tile_columns": 12, "wire_resistance": 5.0}
WIRED = {
    "divider": lambda: crossbar(**DRIFTS, **CUT, **WIRES, nodal=0),
    "nodal": lambda: crossbar(**DRIFTS, **CUT, **WIRES, nodal=1),
    "one cell": lambda: kind("one cell", **WIRES, nodal=0),
}


@pytest.mark.parametrize("name", WIRED)
def test_wires_are_the_cpus(name):
    compare(WIRED[name](), changes_of)


def of_chip(arrays, m, name):
    """Which entries of a stack's cells, or of its weights, are those of chip m."""
    chips, runs = arrays.chips, []
    for n_in, n_out, first, count, _, _, at, *_ in arrays.table.tolist():
        tiles = [(b - a, to) for a, b, to, _ in arrays.tiles[first : first + count].tolist()]
        for width, start in tiles if name in ("weights", "variances") else [(n_in, at)]:
            runs.append(chips * start + m * n_out * width + np.arange(n_out * width))
    return np.concatenate(runs)


def alone(stack, m):
    """Chip m of a stack, made the only one."""
    put, arrays = backends.get("cuda").put, cells_of(stack.device)
    arrays.write_keys = put(taken(stack, "write_keys")[m : m + 1])
    for name in ("now", "own", "stuck"):
        if getattr(arrays, name).size:
            setattr(arrays, name, put(taken(stack, name)[..., of_chip(stack, m, name)]))
    return arrays


@pytest.mark.parametrize("name", ["one cell, closed loop", "pulsed pairs"])
def test_chips_side_by_side_are_chips_alone(name):
    device, chips = {**MADE, **PULSED}[name](), 2
    stack = cells_of(device, chips)
    singles = [alone(stack, m) for m in range(chips)]
    changes = [(pulses_of if name in PULSED else changes_of)(stack, seed) for seed in range(chips)]
    ends = stack.table[1:, layout.CELLS_AT]
    parts = [[np.split(change, ends) for change in life] for life in changes]
    together = [
        np.concatenate([parts[m][k][layer] for layer in range(len(LAYERS) - 1) for m in range(chips)]) for k in range(4)
    ]
    lives = [program(stack, placed(together)), *map(program, singles, map(placed, changes))]
    for _ in zip(*lives, strict=True):
        counted = np.array([arrays.done() for arrays in (stack, *singles)])
        assert np.array_equal(counted[0], counted[1:].sum(0))
        for m, one in enumerate(singles):
            for held in (h for h in HELD if getattr(one, h).size):
                assert np.array_equal(taken(stack, held)[..., of_chip(stack, m, held)], taken(one, held)), held


def test_wires_of_chips_side_by_side_are_those_of_chips_alone():
    device = crossbar(**DRIFTS, tile_columns=12, wire_resistance=5.0)
    stack = cells_of(device, 2)
    singles = [alone(stack, m) for m in range(2)]
    change = full(stack, 0.4, np.random.default_rng(5))
    halves = np.split(change, stack.table[1:, layout.CELLS_AT])
    stack.write(*placed([np.concatenate([half for half in halves for _ in range(2)])]), True, 0.0)
    for m, one in enumerate(singles):
        one.write(*placed([change]), True, 0.0)
        for held in ("weights", "variances"):
            assert np.array_equal(taken(stack, held)[of_chip(stack, m, held)], taken(one, held))
