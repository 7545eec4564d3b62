"""Scales of weights: what the cells hold, what the periphery makes of their lines, and that nothing else changes.

A chip that scales its weights W by s is the chip of fixed scale that was given W / s, whose lines are multiplied by s.
"""

import itertools

import numpy as np
import pytest

from noisysim import Chip, Drive, conv
from noisysim.chip.chip import restore, snapshot
from noisysim.chip.weight_scaling import FAINTEST
from noisysim.devices import get
from noisysim.devices.resolved import resolve

import naive

BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
NET = [13, 9, 4]
# as in test_chips: what is compiled there is compiled
DEVICES = {
    "crossbar": "crossbar",
    "tiles": "crossbar:controller=copy,tile_rows=7,tile_columns=3,slices=2,adc_gain_spread=0.1,adc_offset_spread=0.02,"
    "dac_gain_spread=0.1,stuck_low=0.1,dead_columns=0.2",
    "telegraph": "crossbar:telegraph=0.3,tau_capture=1e-6,tau_emission=1e-6,telegraph_spread=0.2",
    "wires": "crossbar:wire_resistance=20",
    "pulsed": "pulsed",
    "rpu": "rpu",
    "pcm": "pcm:compensation=1",
}
QUIET = "crossbar:read_noise=0,line_noise=0,program_noise=0,levels=0"


def weights(net=NET, bias=True, seed=0):
    """Small weights of lines of very different strength, a faint one and a silent one among them."""
    rng = np.random.default_rng(seed)
    arrays = []
    for n_in, n_out in itertools.pairwise(net):
        w = rng.standard_normal((n_out, n_in + bias)) * rng.uniform(0.02, 0.2, (n_out, 1))
        w[1] *= 1e-4
        w[2] = 0
        arrays.append(w.astype(np.float32))
    return arrays


def spans(device, net=NET):
    return [resolve(get(device)).full_span_weight(n) for n in net[:-1]]


def scales(given, spans, scaling):
    """What each line's weights are divided by, by the definition."""
    found = []
    for w, span in zip(given, spans, strict=True):
        lines = np.abs(w).max(axis=1)
        layer = np.full_like(lines, lines.max())
        chosen = np.where(lines >= FAINTEST * layer, lines, layer) if scaling == "column" else layer
        found.append((chosen / np.float32(span)).astype(np.float32))
    return found


def held(chip):
    """Conductances of all cells."""
    return [np.stack([cells.plus, cells.minus]) for cells in chip.cells()]


@pytest.mark.parametrize("scaling", ["array", "column"])
@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_it_is_the_chip_of_divided_weights(device, scaling):
    """Cells to the bit, through writes, pulses and time; lines times their scales, whatever reads them."""
    given, rng = weights(), np.random.default_rng(1)
    by = scales(given, spans(device), scaling)
    chip = Chip(NET, device, seed=3, bias=True, oracle=True, init=given, weight_scaling=scaling)
    divided = [w / s[:, None] for w, s in zip(given, by, strict=True)]
    other = Chip(NET, device, seed=3, bias=True, oracle=True, init=divided)
    x = rng.standard_normal((20, 13)).astype(np.float32)
    added = [0.01 * rng.standard_normal((20, n)).astype(np.float32) for n in NET[1:]]
    assert chip.clipped == [0, 0]
    for k in range(3):
        for mine, its in zip(held(chip), held(other), strict=True):
            np.testing.assert_array_equal(mine, its)
        lines = chip.passes(x, [Drive(), Drive([added[0], None])])
        expected_lines = other.passes(x, [Drive(), Drive([added[0] / by[0], None])])
        for p in range(2):
            expected = expected_lines[p].activities[0] * by[0]
            np.testing.assert_allclose(lines[p].activities[0], expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
        normals = [rng.standard_normal(w.shape).astype(np.float32) for w in given]
        changes = [np.float32(0.02) * s[:, None] * z for s, z in zip(by, normals, strict=True)]
        chip.program(changes)
        other.program([c / s[:, None] for c, s in zip(changes, by, strict=True)])
        if k == 1:
            chip.wait(3600.0)
            other.wait(3600.0)
    assert chip.cost == other.cost
    for mine, its, s in zip(chip.oracle(None).weights, other.oracle(None).weights, by, strict=True):
        np.testing.assert_allclose(mine, its * s[:, None], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inject", ["line", "digital"])
@pytest.mark.parametrize("scaling", ["fixed", "array", "column"])
def test_lines_are_multiplied_after_the_converter(scaling, inject, backend):
    """Against float64: tiles of rows, ADCs that round, biases, and a perturbation before them or after."""
    device = f"{QUIET},tile_rows=5,adc_range=0.5,adc_bits=5,dac_bits=0"
    given = weights()
    by = scales(given, spans(device), scaling) if scaling != "fixed" else [np.ones(len(w)) for w in given]
    chip = Chip(
        NET, device, seed=2, bias=True, inject=inject, init=given, weight_scaling=scaling, oracle=True, backend=backend
    )
    rng = np.random.default_rng(3)
    x, eps = rng.uniform(-1, 1, (40, 13)).astype(np.float32), 0.05 * rng.standard_normal((40, 9)).astype(np.float32)
    (seen,) = chip.passes(x, [Drive([eps, None])])
    found, driven = np.array(_host(seen.activities[0])), np.hstack([x, np.ones((40, 1))]).astype(float)
    on_cells, expected = _host(chip.oracle(None).weights[0]).astype(float) / by[0][:, None], np.zeros((40, 9))
    for k, (start, stop) in enumerate(chip.network.row_tiles(0)):
        line = driven[:, start:stop] @ on_cells[:, start:stop].T
        if inject == "line" and k == 0:
            line = line + eps / by[0]
        expected += by[0] * naive.quantise(line, 0.5, 5)
    expected += eps if inject == "digital" else 0
    apart = np.abs(found - expected)
    assert np.mean(apart > 1e-5) < 0.02  # of values on the edge of two codes
    assert np.all(apart <= 1e-5 + 1.01 * by[0] * naive.step(0.5, 5))
    steps = [naive.step(0.5, 5) * s.max() for s in by]
    np.testing.assert_allclose(chip.converter_steps, steps, rtol=1e-6)


def _host(array):
    return np.asarray(array.get() if hasattr(array, "get") else array)


@pytest.mark.parametrize("chips", [1, 3])
def test_what_a_scale_is(chips):
    """The largest weight of a line, or of a layer, is at the full span; the faint line and the silent one are not."""
    given = weights(bias=False)
    for scaling in ("array", "column"):
        chip = Chip(NET, QUIET, init=given, weight_scaling=scaling, oracle=True, chips=chips)
        for cells, w, n in zip(chip.cells(), given, NET[:-1], strict=True):
            used = np.abs(cells.plus - cells.minus)[0].max(axis=1).reshape(chips, -1) / resolve(get(QUIET)).span
            ordinary = np.abs(w).max(axis=1) >= FAINTEST * np.abs(w).max()
            assert list(np.flatnonzero(~ordinary)) == [1, 2]
            np.testing.assert_allclose(used.max(), 1, rtol=1e-5)
            if scaling == "column":
                np.testing.assert_allclose(used[:, ordinary], 1, rtol=1e-5)
            assert used[:, ~ordinary].max() <= FAINTEST
            assert n
        for w, found in zip(given, chip.weights().values(), strict=True):
            np.testing.assert_allclose(np.reshape(found, (chips, *w.shape)), np.tile(w, (chips, 1, 1)), atol=1e-6)


def test_chips_of_seeds_have_scales_of_their_own():
    """Each is the chip that its seed gives alone."""
    together = Chip(NET, "crossbar", seed=[4, 5], chips=2, weight_scaling="array", oracle=True)
    for m, cells in enumerate(
        [Chip(NET, "crossbar", seed=s, weight_scaling="array", oracle=True).cells() for s in (4, 5)]
    ):
        for one, both in zip(cells, together.cells(), strict=True):
            np.testing.assert_array_equal(one.plus[0], both.plus[0].reshape(2, *one.plus[0].shape)[m])


def test_zero_weights_and_weights_without_cells_have_the_scale_of_the_device():
    x = np.random.default_rng(0).standard_normal((5, 13)).astype(np.float32)
    for device, init in (("ideal", weights(bias=False)), ("gaussian", weights(bias=False)), ("crossbar", "zero")):
        outputs = []
        for scaling in ("fixed", "array", "column"):
            chip = Chip(NET, device, seed=2, init=init, weight_scaling=scaling)
            chip.program([np.full(shape, 0.03, np.float32) for shape in chip.network.shapes])
            outputs.append(chip.forward(x).output)
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-6)
        np.testing.assert_allclose(outputs[2], outputs[0], rtol=1e-6)


@pytest.mark.parametrize("device", ["crossbar", "pcm_hermes"])
def test_small_weights_lose_less(device):
    """Weights of a hundredth of the span, columns of which differ tenfold: errors of cells and noise of lines.

    By array less than half of the fixed scale's error, by column less than by array.
    """
    rng, net = np.random.default_rng(6), [64, 32, 32, 10]
    given = [
        rng.standard_normal((b, a)) * np.geomspace(0.1, 1, b)[:, None] * span / 100
        for (a, b), span in zip(itertools.pairwise(net), spans(device, net), strict=True)
    ]
    x, lost = rng.standard_normal((200, 64)).astype(np.float32), {}
    exact = Chip(net, "ideal", init=given).forward(x).activities
    for scaling in ("fixed", "array", "column"):
        chip = Chip(net, device, seed=1, init=given, weight_scaling=scaling)
        chip.calibrate(x)
        lost[scaling] = np.mean((chip.forward(x).activities[0] - exact[0]) ** 2) ** 0.5 / np.std(exact[0])
    assert lost["array"] < 0.5 * lost["fixed"]
    assert lost["column"] < lost["array"]


def test_scales_are_kept_in_snapshots():
    """Also where the weights they came from are not known when the chip is made again."""
    chip = Chip(NET, "crossbar", seed=1, init=weights(bias=False), weight_scaling="column", oracle=True)
    x = np.random.default_rng(0).standard_normal((40, 13)).astype(np.float32)
    chip.forward(x)
    again = Chip(NET, "crossbar", seed=1, init="zero", weight_scaling="column", oracle=True)
    restore(again, snapshot(chip))
    change = [0.01 * np.ones(shape, np.float32) for shape in chip.network.shapes]
    for _ in range(2):
        np.testing.assert_array_equal(again.forward(x).output, chip.forward(x).output)
        chip.program(change)
        again.program(change)


@pytest.mark.parametrize("scaling", ["array", "column"])
def test_normalised_weights_are_those_of_the_network(scaling):
    given = [0.7 * np.random.default_rng(5).standard_normal((n, m)) for m, n in itertools.pairwise(NET)]
    chip = Chip(NET, f"{QUIET},controller=copy", init=given, weight_scaling=scaling, oracle=True)
    chip.normalise()
    for found, w in zip(chip.oracle(None).weights, given, strict=True):
        np.testing.assert_allclose(found, naive.normalised(w, w.shape[1]), rtol=1e-4, atol=1e-6)


def test_a_scale_of_another_name_is_refused():
    with pytest.raises(ValueError, match=r"unknown weight_scaling 'columns'; did you mean 'column'\?"):
        Chip(NET, "crossbar", weight_scaling="columns")


def test_convolutions_are_scaled_by_channel():
    net = [(2, 6, 6), conv(3, 3), 4]
    rng = np.random.default_rng(0)
    fixed, scaled = (Chip(net, QUIET, seed=2, weight_scaling=s, oracle=True) for s in ("fixed", "column"))
    x = rng.standard_normal((6, 72)).astype(np.float32)
    for a, b in zip(fixed.forward(x).activities, scaled.forward(x).activities, strict=True):
        np.testing.assert_allclose(a, b, atol=0.05 * np.abs(a).max())
    used = np.abs(scaled.cells()[0].plus - scaled.cells()[0].minus)[0].max(axis=1)
    np.testing.assert_allclose(used, resolve(get(QUIET)).span, rtol=1e-5)
