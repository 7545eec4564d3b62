"""Updates in the array on a GPU: against the CPU's, which meet the definition, and against closed forms.

Trains are drawn by the same function of line, sample and update, so that the same slots of the same cells meet: counts
of pulses are equal, and cells agree to rounding.

On a GPU, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

from functools import partial

import numpy as np
import pytest

import noisysim
from noisysim import Chip, conv, dense, depthwise, devices, optimizers, recurrent
from noisysim.compute import backends
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term
from noisysim.devices.controllers import TRANSFERS

import cell_device as bench
from in_array import STEP, descend, exact, lines, weights

pytestmark = pytest.mark.gpu
HELD = ("weights", "variances", "now", "fresh", "since", "aimed", "chi")
CLOSE, LEFT = 2e-5, 2e-3
"""Of the largest value: a few hundred pulses that round; and of a step, of which a read of a weight is some hundred."""
BACKENDS = ("cpu", "cuda")


def kind(name, **settings):
    """A kind of the device of the tests, with faults, own values, drift, noise and resets of pairs."""
    return devices.get(bench.__file__, **bench.KINDS[name], update="pulse_trains", **settings)


def pulsed(**settings):
    """Cells with noise of pulses, reads and appearance."""
    noise = {"write_noise": 0.3, "read_noise": 0.05, "pulse_gain_spread": 0.2, "stuck_low": 0.05}
    return devices.get("pulsed", update="pulse_trains", pulse_step=0.02, **noise, **settings)


MADE = {
    "single cells": lambda: kind("pulses"),
    "pairs, trains of two words": lambda: kind("pulsed pairs", pulse_slots=45, update_bl_management=0),
    "unbalanced, short": lambda: pulsed(update_management=0, update_bl_management=0, pulse_slots=7),
    "vectors of pairs that show noise": lambda: pulsed(
        cells_per_weight=2, slices=3, slice_bits=0, refresh_at=0.5, apparent_noise=2.0, tile_rows=20
    ),
    "pulses of any size": lambda: devices.get(
        "pulsed", update="pulse_trains", pulse_step=0.0, pulse_gain_spread=0.2, asymmetry=0.2, stuck_low=0.05
    ),
}


def pair_of(net, device, **settings):
    """The same chip on both backends."""
    return [Chip(net, device, seed=3, backend=backend, **settings) for backend in BACKENDS]


def assert_alike(cpu, cuda):
    """Cells, weights and what controllers keep agree to rounding; what was counted agrees."""
    take = backends.get("cuda").take
    for one, other in zip(cpu._hidden.arrays.parts, cuda._hidden.arrays.parts, strict=True):
        for name in HELD:
            expected, found = getattr(one, name), take(getattr(other, name))
            assert expected.shape == found.shape, name
            bound = LEFT if name == "chi" else CLOSE * float(np.abs(expected).max(initial=0.0))
            assert np.abs(expected.astype(float) - found).max(initial=0.0) <= bound, name
    assert cpu.cost == cuda.cost


def rows_of(chip, samples):
    """Inputs and signals of so many samples of all chips, for each layer."""
    net, many = chip.network, samples * chip.chips
    at = [() if positions == 1 else (positions,) for positions in net.positions]
    x = [lines(many, *p, n_in, seed=n_in) for p, (_, n_in) in zip(at, net.shapes, strict=True)]
    s = [lines(many, *p, n_out, seed=n_out + 1) for p, (n_out, _) in zip(at, net.shapes, strict=True)]
    return x, s


def update_both(chips, samples, *rates):
    """Updates of both, with time between them; returns pulses of each."""
    given = []
    for rate in rates:
        before = chips[0].cost.pulses
        for chip in chips:
            assert not descend(chip, *rows_of(chip, samples), rate, chip.chips).any()
            chip.wait(100.0)
        given.append(chips[0].cost.pulses - before)
        assert_alike(*chips)
    return given


# --- the same as on the CPU ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
def test_cells_and_counts_are_the_cpus(name):
    """Of two blocks of cells and one, with many and with few pulses."""
    chips = pair_of([36, 28, 5], MADE[name](), bias=True)
    given = update_both(chips, 2, 2.0, 0.1)
    assert given == [0, 0] if name == "pulses of any size" else min(given) > 10
    assert "pairs" not in name or chips[0].cost.cells_programmed > 0


NETS = {
    "groups": [(4, 2, 3), conv(4, 2, groups=2), "output()"],
    "depthwise": [(2, 3, 3), depthwise(2, multiplier=2), 3],
    "recurrent": [(2, 1, 4), recurrent(3), 2],
    "digital": [6, dense(5, digital=True), 4],
}


@pytest.mark.parametrize("name", NETS)
def test_layers_of_every_kind_are_the_cpus(name):
    chips = pair_of(NETS[name], exact(pulse_slots=45), bias=True)
    assert min(update_both(chips, 2, 20 * STEP, 2 * STEP)) > 10
    if name == "digital":
        digital = [chip.oracle(None).weights[0] for chip in pair_of(NETS[name], exact(), oracle=True)]
        np.testing.assert_allclose(digital[0], backends.get("cuda").take(digital[1]))


def test_exact_steps_of_groups_are_the_cpus():
    chips = pair_of(NETS["groups"], exact(pulse_step=0.0, cells_per_weight=2, refresh_at=0.3), bias=True)
    assert update_both(chips, 3, 0.2, 0.2) == [0, 0]
    held = chips[0].network.blocks_of_weights[0] > 0
    assert weights(chips[0])[0][held].all()


@pytest.mark.parametrize("cells", [{}, {"cells_per_weight": 2, "refresh_at": 0.3}])
def test_net_changes_by_pulses_of_any_size_are_the_cpus(cells):
    device = exact(pulse_step=0.0, update="net", apparent_noise=2.0, pulse_gain_spread=0.3, **cells)
    chips, rng = pair_of([30, 40], device), np.random.default_rng(0)
    for _ in range(2):
        change = (0.3 * rng.standard_normal((40, 30)) * (rng.random((40, 30)) < 0.7)).astype(np.float32)
        for chip in chips:
            chip.program([backends.backend_of(chip._hidden.arrays.weights).put(change)])
        assert_alike(*chips)
    assert chips[0].cost.pulses == 0


@pytest.mark.parametrize("controller", ["increment", "accumulate", *TRANSFERS])
def test_controllers_are_the_cpus(controller):
    """Both arrays, signs, references and what is left; reads of the second array do not round here."""
    settings = {"controller": controller, "adc_bits": 0, "line_noise": 0.0, "read_noise": 0.0}
    if controller in TRANSFERS:
        settings |= {"transfer_rate": 0.1, "chop_rate": 0.5, "transfer_columns": 9}
    chips = pair_of([9, 5], devices.get("rpu", update="pulse_trains", **settings))
    assert min(update_both(chips, 2, 0.2, 0.1, 0.2)) > 10
    digital = [chip._hidden.arrays.digital for chip in chips]
    for name, held in digital[0].items():
        np.testing.assert_allclose(backends.get("cuda").take(digital[1][name]), held, atol=1e-5)
    assert controller not in ("chopped", "agad") or (digital[0]["transfer_signs"] < 0).any()


def test_wear_and_the_time_of_writes_are_the_cpus():
    chips = pair_of([9, 5], exact(max_cycles=2, write_time=1e-6))
    starts = [chip.clock for chip in chips]
    assert min(update_both(chips, 2, 20 * STEP, 20 * STEP, 20 * STEP)) > 10
    assert 0 < chips[0].worn == chips[1].worn
    took = [chip.clock - start for chip, start in zip(chips, starts, strict=True)]
    assert took[0] == took[1] == pytest.approx(3 * (2 * 31e-6 + 100))


def test_chips_side_by_side_are_the_cpus_and_counted_apart():
    chips = [Chip([9, 7, 4], MADE["single cells"](), seed=[4, 9], chips=2, backend=b) for b in BACKENDS]
    assert min(update_both(chips, 3, 0.5, 0.1)) > 10
    cpu, cuda = (chip._hidden.cost_by_chip() for chip in chips)
    assert cpu == cuda
    assert cpu[0].pulses != cpu[1].pulses


def test_a_chip_whose_change_is_not_finite_is_named_and_not_written():
    chip = Chip([6, 5], exact(), seed=1, chips=3, backend="cuda")
    before, x, s = weights(chip)[0].reshape(3, 5, 6), lines(6, 6), lines(6, 5, seed=1)
    for bad in (np.nan, np.inf):
        s[3, 0] = bad  # a sample of the second chip
        assert descend(chip, [x], [s], 0.1, 3).tolist() == [False, True, False]
    moved = (weights(chip)[0].reshape(3, 5, 6) != before).any(axis=(1, 2))
    assert moved.tolist() == [True, False, True]


# --- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("management", [0, 1])
def test_coincidences_are_binomial(management):
    """Means and variances of 31 slots, on each side of the probability of 1; 4.5 standard errors."""
    side_by_side, times, slots, rate = 60, 10, 31, 6 * STEP
    x, s = np.array([1.0, -0.6, 0.05, 0.0], np.float32), np.array([0.5, -2.0, 0.1], np.float32)
    device = exact(update_management=management, update_bl_management=0)
    chip = Chip([4, 3], device, seed=3, init="zero", chips=side_by_side, backend="cuda")
    counts, before = [], weights(chip)[0]
    for k in range(times):
        sign = (-1) ** k  # back and forth, so that no cell reaches its bounds
        rows = [np.tile(values, (side_by_side, 1)) for values in (x, np.float32(sign) * s)]
        descend(chip, rows[:1], rows[1:], rate, side_by_side)
        after = weights(chip)[0]
        counts.append(-sign * np.sign(np.tile(np.outer(s, x), (side_by_side, 1))) * (after - before) / STEP)
        before = after
    counts = np.concatenate(counts).reshape(-1, 3, 4)
    assert np.abs(counts - np.rint(counts)).max() < 0.02
    gain = np.sqrt(rate / (slots * STEP))
    share = np.sqrt(2.0 / 1.0) if management else 1.0
    both = np.outer(np.minimum(1, gain / share * np.abs(s)), np.minimum(1, gain * share * np.abs(x)))
    variance = slots * both * (1 - both)
    assert np.all(np.abs(counts.mean(axis=0) - slots * both) <= 4.5 * np.sqrt(variance / len(counts)) + 1e-9)
    fourth = np.sqrt(np.maximum(3 * variance**2 + variance, 1e-9) / len(counts))
    assert np.all(np.abs(counts.var(axis=0) - variance) <= 4.5 * fourth)


# --- runs ------------------------------------------------------------------------------------------------------------

rng = np.random.default_rng(0)
TASK = rng.standard_normal((24, 6)).astype(np.float32), np.arange(24) % 3
SHORT = {
    "task": TASK, "layers": [5], "device": "rpu:update=pulse_trains,adc_bits=0,dac_bits=0", "optimizer": "sgd",
    "learning_rate": 0.05, "batch_size": 8, "seed": 2, "progress": False,
}  # fmt: skip


@pytest.mark.parametrize("learner", ["bp", "danp", "dfa"])
def test_runs_learn_what_they_learn_on_the_cpu(learner):
    given = {**SHORT, "learner": learner, "oracle": learner == "bp", "chips": 2, "epochs": 1}
    cpu, cuda = (noisysim.run(**given, backend=backend) for backend in BACKENDS)
    np.testing.assert_allclose(cuda.steps["train_loss"], cpu.steps["train_loss"], rtol=1e-3)
    assert abs(cuda.cost["pulses"] - cpu.cost["pulses"]) <= 0.01 * cpu.cost["pulses"]
    assert cpu.cost["pulses"] > 50


def test_a_run_is_resumed_to_the_bit(tmp_path):
    given = {**SHORT, "learner": "anp", "backend": "cuda", "chips": 1}
    whole = noisysim.run(epochs=2, out=tmp_path / "whole.h5", **given)
    noisysim.run(epochs=1, out=tmp_path / "part.h5", **given)
    longer = noisysim.resume(tmp_path / "part.h5", task=TASK, epochs=2, progress=False)
    assert longer.history["train_loss"].tolist() == whole.history["train_loss"].tolist()
    assert longer.cost == whole.cost
    assert whole.cost["pulses"] > 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "run.optimizer is 'adam', but device 'rpu' updates in the array.*optimizer='sgd'"),
        ({"clip": 1.0}, "run.clip=1, but.*clip=0"),
        ({"weight_scaling": "array"}, "knows no scales of lines: use weight_scaling='fixed'"),
        ({"device": "rpu:update=pulse_trains,verify_pulses=3"}, "a closed loop: set one of them off"),
    ],
)
def test_what_the_array_cannot_do_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        noisysim.run(epochs=1, **{**SHORT, "learner": "danp", "backend": "cuda", **settings})


@pytest.mark.parametrize("step", [STEP / 2, 0.0])
def test_the_array_does_plain_sgd_alone(step):
    chip, put = Chip([4, 3], exact(pulse_step=step), seed=1, backend="cuda"), backends.get("cuda").put
    factors = Factors([Term(put(np.ones(1)), [put(lines(1, 3))])], [put(lines(1, 4))], (), 1)
    momentum = partial(optimizers.SGD(momentum=0.5).step, {"velocity": np.zeros(12, np.float32)}, 0.1)
    with pytest.raises(ValueError, match="plain SGD in the array, not that of 'momentum'"):
        chip.descend(factors, momentum)


def test_net_changes_are_taken_as_arrays():
    chip = Chip([4, 3], "rpu", seed=1, backend="cuda")
    assert not chip.takes_factors
    with pytest.raises(ValueError, match=r"takes changes as arrays.*it is on a GPU"):
        descend(chip, [lines(1, 4)], [lines(1, 3)], 0.1)
