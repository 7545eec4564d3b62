"""Digital layers, and gains and offsets that normalisations learn: exact on any device, and learned like all others."""

import gc

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, Drive, learners
from noisysim.compute import backends, layered, losses
from noisysim.learners import optimizers

import cell_device

NOISY = "crossbar:controller=copy,read_noise=0.05"
LAYERS = ["dense(6, digital=True)", "dense(5)", "batch_norm(learned=True)", 3]
"""Layers of weights: digital, on an array, a gain, on an array."""
DIGITAL, GAIN = 0, 2
RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 4)).astype(np.float32)


def made(device=NOISY, **settings):
    return Chip([4, *LAYERS], device, "tanh", seed=1, **{"oracle": True, **settings})


def data(chip, x=X):
    targets = np.eye(chip.network.n_out, dtype=np.float32)[np.arange(len(x)) % chip.network.n_out]
    return Batch(x, targets, losses.get("mse"))


def weights(chip):
    return [np.asarray(w) for w in chip.oracle(None).weights]


def ones(chip, value=1.0):
    return [np.full(shape, value, np.float32) for shape in chip.network.shapes]


DEVICES = [
    NOISY, "pcm:compensation=1", "crossbar:tile_rows=2,tile_columns=2,slices=2,controller=copy", "rpu",
    "rpu:controller=tiki_taka",
    cell_device.Bench(cell_noise=0.1, amplitude=0.2, tau_up=1.0),
]  # fmt: skip
"""Of all kinds: tiles and slices, cells that drift, pulses, a second array, cells that are read one by one and jump."""


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_products_of_digital_layers_are_exact_on_any_device(device):
    chip = made(device)
    chip.wait(1e4)
    first, second = chip.passes(X, [Drive(), Drive()])
    held = weights(chip)
    for observation in (first, second):
        for layer in (DIGITAL, GAIN):
            x = observation.inputs[layer].astype(float)
            lines = observation.activities[layer]
            np.testing.assert_allclose(lines, x @ held[layer].T.astype(float), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(first.inputs[DIGITAL][:, :4], X)  # no DAC has converted it
    np.testing.assert_array_equal(first.activities[DIGITAL], second.activities[DIGITAL])
    for layer in (1, 3):
        exact = first.inputs[layer] @ held[layer].T
        slope = np.sum(exact * first.activities[layer]) / np.sum(exact**2)
        assert 0.7 < slope < 1.4
    if chip.noisy:
        assert (first.activities[1] != second.activities[1]).any()


@pytest.mark.parametrize("device", [NOISY, "pcm", "rpu"])
def test_changes_of_digital_weights_are_exact_and_last(device):
    chip = made(device)
    before = weights(chip)
    chip.program(ones(chip, 0.125))
    after = weights(chip)
    np.testing.assert_array_equal(after[DIGITAL], before[DIGITAL] + np.float32(0.125))
    held = np.column_stack([np.eye(5), np.ones(5)])
    np.testing.assert_array_equal(after[GAIN], before[GAIN] + np.float32(0.125) * held)
    assert (after[1] != before[1] + np.float32(0.125)).any()
    chip.wait(3e7)
    for layer in (DIGITAL, GAIN):
        np.testing.assert_array_equal(weights(chip)[layer], after[layer])


@pytest.mark.parametrize("init", ["he", "glorot", "uniform", "zero"])
@pytest.mark.parametrize("bias", [False, True])
def test_gains_begin_at_one_and_offsets_at_zero(init, bias):
    chip = made(init=init, bias=bias)
    assert chip.network.columns == [4 + bias, 6 + bias, 6, 5 + bias]
    np.testing.assert_array_equal(weights(chip)[GAIN], np.column_stack([np.eye(5), np.zeros(5)]))
    named = chip.weights()
    assert named["2.weight"].shape == (5, 1, 1, 1)
    assert ("0.bias" in named, "2.bias" in named) == (bias, True)


def test_a_learned_normalisation_begins_as_one_that_is_not():
    """Of the same seed, to the bit: layers are counted on, so the ones above draw other weights."""
    chips = [Chip([4, 5, f"batch_norm(learned={learned})", 3], "ideal", "tanh", seed=3) for learned in (True, False)]
    moved = chips[0].weights()["2.weight"] - chips[1].weights()["1.weight"]
    chips[0].program([*[np.zeros(shape, np.float32) for shape in chips[0].network.shapes[:2]], -moved])
    for training in (False, True):
        (one,), (other,) = (chip.passes(X, [Drive()], training=training) for chip in chips)
        np.testing.assert_allclose(one.output, other.output, rtol=1e-6, atol=1e-6)


def test_a_chip_needs_a_layer_on_an_array():
    with pytest.raises(ValueError, match="none is on an array"):
        Chip([4, "dense(3, 'linear', digital=True)", "output()"], NOISY)


def test_a_normalisation_is_not_learned_twice():
    with pytest.raises(ValueError, match="directly behind its conv or dense layer"):
        Chip([4, 5, "batch_norm(learned=True)", "batch_norm()", 3])


@pytest.mark.parametrize("form", ["inputs", "updates", "compensated"])
def test_gains_are_not_decorrelated(form):
    chip = made("ideal", decorrelate=form)
    before = chip.forward(X)
    chip.decorrelate(chip.forward(X).inputs, 0.1)
    assert [rotation.shape for rotation in chip.oracle(None).rotations] == [(4, 4), (6, 6), (0, 0), (5, 5)]
    after = chip.forward(X)
    if form != "inputs":
        np.testing.assert_allclose(after.output, before.output, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.inputs[GAIN][:, :, -1], 1)
    assert chip.cost.decorrelation_bytes == 4 * (4**2 + 6**2 + 5**2)
    chip.program(ones(chip, 0.5))
    np.testing.assert_array_equal(np.diagonal(weights(chip)[GAIN]), 1.5)


def test_gains_are_neither_decayed_nor_normalised():
    chip = made("ideal")
    before = weights(chip)
    chip.program([np.zeros(shape, np.float32) for shape in chip.network.shapes], decay=0.25)
    for layer, (old, new) in enumerate(zip(before, weights(chip), strict=True)):
        np.testing.assert_allclose(new, old if layer == GAIN else 0.75 * old, rtol=1e-6)
    chip.normalise()
    np.testing.assert_array_equal(weights(chip)[GAIN], before[GAIN])


def test_what_digital_layers_cost():
    chip = made()
    chip.calibrate(X)
    calibration = chip.cost
    chip.passes(X, [Drive(), Drive([np.ones((12, *shape), np.float32) for shape in ((6,), (5,), (1, 5), (3,))])])
    cost = chip.cost
    assert cost.layer_macs - calibration.layer_macs == 2 * 12 * (6 * 4 + 5 * 2)
    assert cost.analog_macs - calibration.analog_macs == 2 * 12 * (5 * 6 + 3 * 5)
    assert cost.layer_bytes == 4 * (6 * 4 + 5 * 2)
    assert cost.mvms - calibration.mvms == 2 * 12 * 2
    assert cost.dac_conversions - calibration.dac_conversions == 2 * 12 * (6 + 5)
    assert cost.adc_conversions - calibration.adc_conversions == 2 * 12 * (5 + 3)
    assert cost.perturbation_conversions == 12 * (5 + 3)
    assert cost.cells_written_at_start == 2 * (5 * 6 + 3 * 5)
    assert cost.controller_bytes == 4 * (5 * 6 + 3 * 5)
    assert len(chip.cells()) == 2
    assert [step > 0 for step in chip.converter_steps] == [False, True, False, True]
    assert chip.saturated(chip.forward(100 * X).inputs)[DIGITAL] == 0


def test_perturbations_of_digital_layers_pass_no_dac():
    chip = made("crossbar:perturbation_bits=2,read_noise=0,line_noise=0,adc_bits=0")
    drawn = [0.1 * RNG.standard_normal((12, *shape)).astype(np.float32) for shape in ((6,), (5,), (1, 5), (3,))]
    alone = [Drive([v if k == layer else None for k, v in enumerate(drawn)]) for layer in range(4)]
    clean, *moved = chip.passes(X, [Drive(), *alone])
    for layer, observation in enumerate(moved):
        difference = observation.activities[layer] - clean.activities[layer]
        exact = np.allclose(difference, drawn[layer], atol=1e-5)
        assert exact == (layer in (DIGITAL, GAIN))


@pytest.mark.parametrize("scaling", ["array", "column"])
def test_scales_of_weights_leave_digital_layers_alone(scaling):
    plain, scaled = (made("crossbar:controller=copy", weight_scaling=one) for one in ("fixed", scaling))
    for layer in (DIGITAL, GAIN):
        np.testing.assert_array_equal(weights(scaled)[layer], weights(plain)[layer])
    np.testing.assert_allclose(weights(scaled)[1], weights(plain)[1], atol=0.02)
    assert (scaled.forward(X).activities[DIGITAL] == plain.forward(X).activities[DIGITAL]).all()


def test_a_chip_is_kept_with_its_digital_weights(tmp_path):
    chip = made("pcm")
    chip.program(ones(chip, 0.03))
    chip.forward(X)
    chip.save(tmp_path / "chip.h5")
    again = Chip.load(tmp_path / "chip.h5", oracle=True)
    for one, other in zip(weights(chip), weights(again), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(chip.forward(X).output, again.forward(X).output)
    quiet = chip.with_device(read_noise=0.0)
    for layer in (DIGITAL, GAIN):
        np.testing.assert_array_equal(weights(quiet)[layer], weights(chip)[layer])


@pytest.mark.parametrize("samples", [1, 3])
def test_activity_rules_perturb_digital_layers_that_no_noise_reaches(samples):
    """As much as the arrays' noise, in all passes; what the noise of arrays reaches needs nothing else."""
    chip, rule = made(), learners.get("anp", samples=samples)
    state = noisysim.prepare(rule, chip, data(chip))
    drives = rule.drives(state, 12)
    assert len(drives) == samples + 1
    for drive in drives:
        assert [v is not None for v in drive.perturbations] == [True, False, False, False]
    assert not np.array_equal(drives[0].perturbations[0], drives[1].perturbations[0])
    first, second = chip.passes(X, [Drive(), Drive()])
    noise = np.std(first.activities[1] - second.activities[1]) / np.sqrt(2)
    assert 0.3 * noise < state.sigma < 3 * noise
    exact = made("ideal")
    assert noisysim.prepare(rule, exact, data(exact)).sigma == np.float32(1e-3)


@pytest.mark.parametrize("rule", ["anp", "canp", "np"])
def test_perturbation_rules_point_down_the_gradient_of_digital_layers(rule):
    chip, rows = made("gaussian:sigma=0.05"), 12
    learner = learners.get(rule, samples=400)
    state = noisysim.prepare(learner, chip, data(chip))
    found, _ = learner.update(state, chip.passes(data(chip), learner.drives(state, rows), training=True))
    (observation,) = chip.passes(data(chip), [Drive()], training=True)
    wanted = chip.oracle(data(chip)).gradient(observation)
    for layer in range(4):
        assert np.sum(found[layer] * wanted[layer]) > 0, layer


def test_a_copy_of_its_own_updates_knows_gains_from_the_start():
    """Before the first gradient the copy is what the chip holds; feedback alignment takes gains for 1."""
    chip = made("ideal", init="zero")
    rule = learners.get("shadow:starts=2,copy_optimizer=sgd")
    state = noisysim.prepare(rule, chip, data(chip))
    for _ in range(2):
        gradients, state = rule.update(state, chip.passes(data(chip), rule.drives(state, 12)))
        chip.program([-rule.copy_rate * g for g in gradients])
    copy = layered.Layered(state.memory["copy"], chip.network.shapes)
    for kept, held in zip(copy, weights(chip), strict=True):
        np.testing.assert_allclose(kept, held, atol=1e-6)
    assert np.ptp(copy[1]) > 0.1
    fixed = noisysim.prepare(learners.get("fa"), chip, data(chip)).memory["feedback"]
    np.testing.assert_array_equal(fixed[5 * 6 :][:25].reshape(5, 5), np.eye(5))


def test_digital_layers_take_plain_steps_where_arrays_are_updated_by_trains_of_pulses():
    chip = made("rpu:update=pulse_trains")
    rule, step = learners.get("bp"), optimizers.SGD()
    state = noisysim.prepare(rule, chip, data(chip))
    observations = chip.passes(data(chip), rule.drives(state, 12), training=True)
    oracle = chip.oracle(data(chip))
    wanted = oracle.gradient(observations[0])
    factors, _ = rule.factors(state, observations, oracle=oracle)
    before = weights(chip)
    refused = chip.descend(factors, lambda: step.step(step.init(chip.network.shapes), 0.1))
    assert not refused.any()
    after = weights(chip)
    for layer in (DIGITAL, GAIN):
        np.testing.assert_allclose(after[layer] - before[layer], -0.1 * wanted[layer], rtol=1e-3, atol=1e-6)
    assert (after[1] != before[1]).any()


@pytest.mark.parametrize("device", ["rpu:update=pulse_trains", "rpu:controller=tiki_taka", "crossbar"])
def test_networks_with_learned_normalisation_learn_on_noisy_arrays(device):
    norm = "batch_norm(learned=True)"
    result = noisysim.run(
        "digits", layers=["conv(8, 3, stride=2)", norm, "conv(16, 3)", norm],
        device=device, learner="bp", oracle=True, optimizer="sgd", learning_rate=0.05, batch_size=10, epochs=5, seed=1,
        progress=False,
    )  # fmt: skip
    assert result.history["test_accuracy"][-1] > 0.6
    gains = result.chip(oracle=True).weights()["1.weight"]
    assert np.ptp(gains) > 0.01


# -- weights from elsewhere --------------------------------------------------------------------------------------------


def elsewhere():
    """A state_dict as PyTorch names it: two layers, the first normalised with gain and offset."""
    rng = np.random.default_rng(2)
    return {
        "0.weight": rng.standard_normal((5, 4)), "0.bias": rng.standard_normal(5),
        "1.weight": rng.uniform(0.5, 2, 5), "1.bias": rng.standard_normal(5),
        "1.running_mean": rng.standard_normal(5), "1.running_var": rng.uniform(0.5, 2, 5),
        "3.weight": rng.standard_normal((3, 5)), "3.bias": rng.standard_normal(3),
    }  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
def test_a_trained_normalisation_gives_its_gain_and_offset(bias):
    arrays = elsewhere()
    if not bias:
        arrays["3.bias"] = np.zeros(3)
        del arrays["3.bias"], arrays["0.bias"]
    chip = Chip([4, 5, "batch_norm(learned=True)", 3], "ideal", "relu", init=arrays, bias=bias)
    a = X @ arrays["0.weight"].T + arrays.get("0.bias", 0)
    y = (a - arrays["1.running_mean"]) / np.sqrt(arrays["1.running_var"] + 1e-5)
    h = np.maximum(arrays["1.weight"] * y + arrays["1.bias"], 0)
    wanted = h @ arrays["3.weight"].T + arrays.get("3.bias", 0)
    np.testing.assert_allclose(chip.forward(X).output, wanted, rtol=1e-4, atol=1e-5)


def test_the_gain_of_a_normalisation_without_one_begins_at_one():
    plain = Chip([4, 5, "batch_norm()", 3], "ideal", seed=2)
    plain.calibrate(X)
    chip = Chip([4, 5, "batch_norm(learned=True)", 3], "ideal", init=plain)
    np.testing.assert_allclose(chip.forward(X).output, plain.forward(X).output, rtol=1e-5, atol=1e-6)
    again = Chip([4, 5, "batch_norm(learned=True)", 3], "ideal", init=chip)
    np.testing.assert_array_equal(again.forward(X).output, chip.forward(X).output)


def test_digital_weights_are_overwritten_as_a_chip_is_freed():
    chip = made()
    memory = chip._hidden.weights.memory.weights
    assert memory.any()
    del chip
    gc.collect()
    assert not memory.any()


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives():
    """With noise of reads and cells, tiles, scales of lines, and decorrelation, of which gains have none."""
    found = []
    for backend in ("cpu", "cuda"):
        place = backends.get(backend)
        device = f"{NOISY},adc_bits=0,dac_bits=0,tile_rows=4"
        chip = made(device, backend=backend, decorrelate=True, weight_scaling="column")
        first = chip.passes(place.put(X[:3]), [Drive(), Drive()], training=True)
        chip.decorrelate(first[0].inputs, 0.05)
        chip.program([place.put(change) for change in ones(chip, 0.02)])
        chip.wait(10.0)
        arrays = [*chip.oracle(None).weights, *chip.oracle(None).rotations]
        for one in (*first, *chip.passes(place.put(X[:3]), [Drive(), Drive()])):
            arrays += [*one.activities, *one.inputs, one.output]
        found.append([np.asarray(place.take(a)) for a in arrays])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
