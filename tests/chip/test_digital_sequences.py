"""Recurrent layers, attention and embeddings in digital memory: exact on any device, and learned like all others."""

import dataclasses

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, Drive, learners
from noisysim.compute import backends, losses
from noisysim.networks.layers import attention, embedding, parse, positional, recurrent, summary
from noisysim.networks.recurrent_kinds import GATES
from noisysim.networks.summary import in_words

import cell_device

STEPS, FEATURES = 5, 4
NOISY = "crossbar:controller=copy,read_noise=0.05"
DEVICES = [NOISY, "rpu", cell_device.Bench(cell_noise=0.1, amplitude=0.2, tau_up=1.0)]
"""Cells that are programmed, that are written by pulses, and that are read one by one and jump."""
RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, STEPS * FEATURES)).astype(np.float32)
CELLS = pytest.mark.parametrize("cell", GATES)


def layers(cell="gru", digital=True):
    """A digital cell, attention, a cell on arrays, and a layer on an array."""
    kept = {"digital": digital}
    in_memory = [recurrent(4, cell, "all", **kept), positional(), attention(2, **kept)]
    return [(1, STEPS, FEATURES), *in_memory, recurrent(3, cell), 3]


def made(cell="gru", device=NOISY, **settings):
    return Chip(layers(cell, settings.pop("in_memory", True)), device, seed=1, **{"oracle": True, **settings})


def batch(x=X):
    return Batch(x, np.eye(3, dtype=np.float32)[np.arange(len(x)) % 3], losses.get("cce"))


def weights(chip):
    return [np.asarray(w) for w in chip.oracle(None).weights]


@pytest.mark.covering(1)
@pytest.mark.parametrize("device", DEVICES, ids=str)
@CELLS
def test_products_of_digital_sequences_are_exact_on_any_device(cell, device):
    chip, bare = made(cell, device), made(cell, "ideal")
    assert chip.network.digital == [True] * 6 + [False] * 3
    exact = bare.forward(X)
    first, second = chip.passes(X, [Drive(), Drive()])
    for layer, (observed, other) in enumerate(zip(first.activities, second.activities, strict=True)):
        lines = first.inputs[layer].astype(float) @ weights(chip)[layer].T
        if chip.network.digital[layer]:
            np.testing.assert_allclose(observed, lines, rtol=1e-5, atol=1e-6)
            np.testing.assert_array_equal(observed, other)
            np.testing.assert_array_equal(observed, exact.activities[layer])
    assert (first.activities[-1] != second.activities[-1]).any()


@CELLS
def test_on_exact_hardware_memory_and_arrays_are_the_same(cell):
    """Outputs and gradients, of the same weights."""
    found = []
    for in_memory in (True, False):
        chip = made(cell, "ideal", in_memory=in_memory, bias=True, decorrelate=True)
        chip.decorrelate(chip.forward(X).inputs, 0.05)
        (observation,) = chip.passes(batch(), [Drive()], training=True)
        found.append([observation.output, *chip.oracle(batch()).gradient(observation)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("device", ["pcm", "rpu"])
def test_changes_of_digital_sequences_are_exact_and_last(device):
    chip = made(device=device)
    before = weights(chip)
    chip.program([np.full(shape, 0.125, np.float32) for shape in chip.network.shapes])
    chip.wait(3e7)
    for digital, old, new in zip(chip.network.digital, before, weights(chip), strict=True):
        assert np.array_equal(new, old + np.float32(0.125)) == digital


@pytest.mark.parametrize("rule", learners.names())
def test_every_rule_learns_digital_sequences_or_says_why_not(rule):
    learner = learners.get(rule)
    chip = made("lstm", "crossbar", oracle="oracle" in learner.requires(), decorrelate=learner.decorrelation > 0)
    if rule == "learned-fa":
        with pytest.raises(ValueError, match="chains of layers only"):
            noisysim.prepare(learner, chip, batch())
        return
    state = noisysim.prepare(learner, chip, batch())
    for _ in range(2):
        observations = chip.passes(batch(), learner.drives(state, len(X)), training=True)
        oracle = chip.oracle(batch()) if "oracle" in learner.requires() else None
        gradients, state = learner.update(state, observations, oracle=oracle)
        assert [g.shape for g in gradients] == chip.network.shapes
        assert all(np.isfinite(g).all() for g in gradients)
        assert rule == "learned-dfa" or any(np.any(g) for g in gradients[:6])  # whose feedback is zero at first
        chip.program([-0.01 * g for g in gradients])


def test_node_perturbation_points_down_the_gradient_of_digital_sequences():
    chip = made("lstm", "gaussian:sigma=0.02")
    learner = learners.get("np", samples=300)
    state = noisysim.prepare(learner, chip, batch())
    observations = chip.passes(batch(), learner.drives(state, len(X)), training=True)
    found, _ = learner.update(state, observations)
    wanted = chip.oracle(batch()).gradient(observations[0])
    assert sum(np.sum(a * b) for a, b in zip(found[:6], wanted[:6], strict=True)) > 0


@CELLS
def test_what_digital_sequences_cost(cell):
    chip = made(cell)
    chip.forward(X)
    samples, gates, reads = chip.cost.samples, GATES[cell], 2 if cell == "gru_reset_before" else 1
    of_cell = STEPS * gates * 4 * (FEATURES + reads * 4)
    assert chip.cost.layer_macs == samples * (of_cell + STEPS * 4 * 4 * 4)
    assert chip.cost.analog_macs == samples * (STEPS * gates * 3 * (4 + reads * 3) + 3 * 3)
    assert chip.cost.layer_bytes == 4 * (gates * 4 * 8 + 4 * 16)
    assert chip.cost.dac_conversions == samples * (STEPS * (4 + reads * 3) + 3)


def test_an_embedding_is_looked_up_exactly():
    chip = Chip([3, embedding(7, 4, digital=True), recurrent(5, "gru"), 2], NOISY, seed=1, oracle=True)
    words = np.array([[0, 3, 6], [2, 2, 5]], np.float32)
    found = chip.forward(words).activities[0]
    np.testing.assert_allclose(found, weights(chip)[0].T[words.astype(int)], rtol=1e-6)
    assert chip.network.digital == [True, False, False, False]


def test_how_digital_sequences_are_written_and_shown():
    for one in (recurrent(4, "lstm", digital=True), attention(2, 8, digital=True), embedding(50, 4, digital=True)):
        assert "digital=True" in repr(one)
        assert parse(repr(one)) == one
        assert dataclasses.replace(one, digital=False) != one
    parts = summary(made("lstm").network)
    text = {part.name: part.text for part in parts}
    assert text["layer 2"] == "recurrence(4, 'lstm', digital=True)"
    assert in_words(parts) == "93 weights on 3 arrays, 192 in digital memory"


def test_a_run_with_digital_sequences_is_resumed_to_the_same_bits(tmp_path):
    settings = {
        "task": "digits", "layers": ["recurrent(6, 'lstm', 'all', digital=True)", "attention(2, digital=True)"],
        "device": "crossbar", "learner": "danp", "batch_size": 100, "seed": 1, "progress": False,
    }  # fmt: skip
    whole = noisysim.run(**settings, epochs=2)
    noisysim.run(**settings, epochs=1, out=tmp_path / "run.h5")
    resumed = noisysim.resume(tmp_path / "run.h5", epochs=2)
    assert list(resumed.history["train_loss"]) == list(whole.history["train_loss"])
    chip = resumed.chip(oracle=True)
    chip.save(tmp_path / "chip.h5")
    for one, other in zip(weights(chip), weights(Chip.load(tmp_path / "chip.h5", oracle=True)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.gpu
@pytest.mark.covering(1)
@pytest.mark.parametrize("device", [f"{NOISY},adc_bits=0,dac_bits=0,tile_rows=3", DEVICES[-1]], ids=str)
@CELLS
def test_a_gpu_gives_what_the_cpu_gives(cell, device):
    found = []
    for backend in ("cpu", "cuda"):
        place = backends.get(backend)
        chip = made(cell, device, backend=backend, decorrelate=True)
        first = chip.passes(place.put(X[:2]), [Drive(), Drive()], training=True)
        chip.decorrelate(first[0].inputs, 0.05)
        chip.program([place.put(np.full(shape, 0.02, np.float32)) for shape in chip.network.shapes])
        arrays = [*chip.oracle(None).weights]
        for one in (*first, *chip.passes(place.put(X[:2]), [Drive(), Drive()])):
            arrays += [*one.activities[:6], *one.inputs[:6]]
        found.append([np.asarray(place.take(a)) for a in arrays])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)
