"""Several chips side by side: each is what it would be alone, to the bit, and results have an axis for them."""

import os
import signal

import numpy as np
import pytest

import noisysim
from noisysim import Chip
from noisysim.compute import seeding
from noisysim.compute.observation import Drive
from noisysim.networks import layers
from noisysim.runs import chunks

CHIPS = 3
BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
CONV = [(2, 6, 6), layers.conv(3, 3), layers.batch_norm(), layers.pool(2), layers.dropout(0.3), 5, 4]
DEVICES = {
    "ideal": "ideal",
    "crossbar": "crossbar",
    "tiles": "crossbar:controller=copy,tile_rows=7,tile_columns=3,slices=2,adc_gain_spread=0.1,adc_offset_spread=0.02,"
    "dac_gain_spread=0.1,stuck_low=0.1",
    "telegraph": "crossbar:telegraph=0.3,tau_capture=1e-6,tau_emission=1e-6,telegraph_spread=0.2",
    "wires": "crossbar:wire_resistance=20",
    "pulsed": "pulsed",
    "rpu": "rpu",
    "pcm": "pcm",
}
original = seeding.keys


def alone(monkeypatch, m):
    """From now on one chip is made with the keys of the m-th of several."""
    monkeypatch.setattr(seeding, "keys", lambda seed, purpose, chips: original(seed, purpose, CHIPS)[m : m + 1])


def together(monkeypatch):
    monkeypatch.setattr(seeding, "keys", original)


def part(array, m, chips=CHIPS):
    """The m-th chip's rows."""
    return array.reshape(chips, -1, *array.shape[1:])[m]


def live(chip, x, changes, drives):
    """What a chip shows in a life: passes, writes, waiting, normalisation."""
    seen = []
    for change in changes:
        for o in chip.passes(x, drives, training=True):
            seen += [np.array(a) for a in (*o.inputs, *o.activities)]
        chip.program(change)
        chip.decorrelate(chip.forward(x).inputs, 0.02)
    chip.wait(3600.0)
    if "targets" in chip.offers:
        chip.normalise()
    return [*seen, np.array(chip.forward(x).output)], chip.cost.as_dict()


PLAIN, MAPPED = {"decorrelate": True}, {"decorrelate": "updates", "weight_scaling": "column"}
COMPENSATED = {"decorrelate": "compensated"}


@pytest.mark.parametrize("net", [[13, 9, 4], CONV], ids=["dense", "conv"])
@pytest.mark.parametrize(
    ("device", "more"),
    [
        *((d, PLAIN) for d in DEVICES),
        ("ideal", MAPPED),
        ("tiles", MAPPED),
        ("ideal", COMPENSATED),
        ("pcm", COMPENSATED),
    ],
)
def test_each_chip_is_what_it_is_alone(monkeypatch, device, more, net):
    rng = np.random.default_rng(1)
    made = Chip(net, DEVICES[device], seed=3, bias=True, chips=CHIPS, **more)
    shapes, n = made.network.shapes, made.sizes[0]
    x = rng.standard_normal((CHIPS * 11, n)).astype(np.float32)
    lines = [made.network.line_shape(layer, CHIPS * 11) for layer in range(made.network.depth)]
    added = [0.1 * rng.standard_normal(shape).astype(np.float32) for shape in lines]
    changes = [[0.05 * rng.standard_normal((CHIPS * a, b)).astype(np.float32) for a, b in shapes] for _ in range(2)]
    weights = [None] * (len(shapes) - 1) + [0.1 * changes[0][-1]]
    seen, cost = live(made, x, changes, [Drive(), Drive(added), Drive(weights=weights)])
    assert any(not np.array_equal(part(seen[-1], 0), part(seen[-1], m)) for m in range(1, CHIPS))
    costs = []
    for m in range(CHIPS):
        alone(monkeypatch, m)
        chip = Chip(net, DEVICES[device], seed=3, bias=True, **more)
        own = [[part(c, m) for c in change] for change in changes]
        drives = [Drive(), Drive([part(a, m) for a in added]), Drive(weights=[*weights[:-1], part(weights[-1], m)])]
        found, spent = live(chip, part(x, m), own, drives)
        together(monkeypatch)
        costs.append(spent)
        for k, (one, all_of_them) in enumerate(zip(found, seen, strict=True)):
            np.testing.assert_array_equal(one, part(all_of_them, m), err_msg=f"chip {m}, array {k}")
    counted = ("samples", "mvms", "cells_programmed", "pulses", "cells_written_at_start")
    assert {name: sum(c[name] for c in costs) for name in counted} == {name: cost[name] for name in counted}


@pytest.mark.parametrize(
    ("learner", "device", "more"),
    [
        ("danp", "crossbar", {}),
        ("bp", "ideal", {}),
        ("fdfa:sigma=0.01", "crossbar", {"optimizer": "sgd"}),
        ("np:sigma=0.05,loss=batch,normalise=True", "crossbar:controller=copy", {}),
        ("dcanp:samples=2", "crossbar", {}),
        ("danp", "pulsed", {}),
        ("danp", "crossbar", {"decorrelate": "updates", "weight_scaling": "array"}),
    ],
)
def test_each_run_is_what_it_is_alone(monkeypatch, learner, device, more):
    given = {
        "learner": learner,
        "device": device,
        "epochs": 2,
        "layers": [9],
        "batch_size": 64,
        "seed": 2,
        "task": data(),
        **more,
    }
    several = noisysim.run(chips=CHIPS, **given)
    assert several.history["test_loss"].shape == (2, CHIPS)
    assert several.steps["train_loss"].shape == (2 * 4, CHIPS)
    assert len(set(several.history["train_loss"][-1])) == (CHIPS if device != "ideal" else 1)
    for m in range(CHIPS):
        alone(monkeypatch, m)
        one = noisysim.run(**given)
        together(monkeypatch)
        for name, column in one.history.items():
            whole = several.history[name]
            if whole.ndim == 2:
                np.testing.assert_array_equal(column, whole[:, m], err_msg=f"{name} of chip {m}")
        np.testing.assert_array_equal(one.steps["train_loss"], several.steps["train_loss"][:, m])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("learner", "device"),
    [("danp", "crossbar"), ("fdfa:sigma=0.01", "crossbar"), ("bp", "ideal"), ("fg-w:sigma=0.01", "crossbar"),
     ("dcanp", "gaussian"), ("np:sigma=0.1,samples=2", "crossbar")],
)  # fmt: skip
def test_a_learner_of_one_chip_teaches_each_by_itself(monkeypatch, learner, device, backend):
    """The same as all at once: to the bit on the CPU, to the rounding of batched products elsewhere."""
    given = {"learner": learner, "device": device, "epochs": 1, "layers": [5], "batch_size": 25, "task": data(50)}
    given |= {"chips": CHIPS, "backend": backend}
    at_once = noisysim.run(**given)
    monkeypatch.setattr(type(noisysim.learners.get(learner)), "stacks", False)
    apart = noisysim.run(**given)
    assert at_once.cost == apart.cost
    for name, column in at_once.history.items():
        np.testing.assert_allclose(column, apart.history[name], rtol=0 if backend == "cpu" else 1e-5)


def test_a_learner_of_ones_own_is_saved_and_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(noisysim.learners.FDFA, "stacks", False)
    given = {"learner": "fdfa:sigma=0.01", "layers": [9], "batch_size": 64, "task": data(), "chips": CHIPS}
    whole = noisysim.run(epochs=2, **given)
    update, done = noisysim.learners.FDFA.update, []

    def stopped(*args, **kwargs):
        done.append(1)
        if len(done) == 5 * CHIPS:
            os.kill(os.getpid(), signal.SIGINT)
        return update(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(noisysim.learners.FDFA, "update", stopped)
        part = noisysim.run(epochs=2, out=tmp_path / "run.h5", **given)
    assert part.status == "interrupted"
    resumed = noisysim.resume(tmp_path / "run.h5", task=data())
    for name, column in whole.history.items():
        np.testing.assert_array_equal(column, resumed.history[name])


def data(n=250):
    """A small problem of three classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (rng.standard_normal((300, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
    return x[:n], y[:n], x[250:], y[250:]


def test_the_first_chip_is_the_one_of_a_run_of_one():
    given = {"learner": "danp", "epochs": 2, "layers": [9], "batch_size": 64, "seed": 2, "task": data()}
    one, several = noisysim.run(**given), noisysim.run(chips=2, **given)
    np.testing.assert_array_equal(one.history["test_loss"], several.history["test_loss"][:, 0])


def test_several_chips_are_saved_resumed_and_shown(tmp_path):
    given = {"learner": "danp", "layers": [9], "batch_size": 64, "seed": 2, "task": data(), "chips": CHIPS}
    whole = noisysim.run(epochs=3, out=tmp_path / "whole.h5", **given)
    stopped = noisysim.load(tmp_path / "whole.h5")
    for name in whole.history:
        np.testing.assert_array_equal(whole.history[name], stopped.history[name])
    assert f"{CHIPS} chips" in whole.summary()
    assert "+-" in whole.summary()
    whole.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_a_chip_that_diverges_leaves_the_others_alone(monkeypatch):
    given = {"learner": "danp", "layers": [9], "batch_size": 64, "seed": 2, "task": data(), "epochs": 2}
    plain = noisysim.run(chips=CHIPS, **given)
    passes = Chip.passes

    def lost(self, batch, *args, **kwargs):
        observed = passes(self, batch, *args, **kwargs)
        for o in observed:
            if o.loss is not None:
                o.loss.reshape(CHIPS, -1)[1] = np.nan
        return observed

    monkeypatch.setattr(Chip, "passes", lost)
    result = noisysim.run(chips=CHIPS, **given)
    assert result.status == "finished"
    assert "of 3 chips these diverged: 1" in result.warnings[0]
    assert np.isnan(result.history["train_loss"][:, 1]).all()
    for m in (0, 2):
        np.testing.assert_array_equal(result.history["train_loss"][:, m], plain.history["train_loss"][:, m])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chips": 0}, "chips"),
        ({"chips": 2.5}, "chips"),
        ({"chips": 2, "diagnostics": ["angle"]}, "diagnostics look at one chip, not at 2"),
        ({"backend": "cdua"}, "cuda"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises((ValueError, TypeError), match=said):
        noisysim.run(task=data(), epochs=1, **given)


def test_samples_are_shared_out_evenly():
    chip = Chip([6, 3], "crossbar", chips=2)
    with pytest.raises(ValueError, match="2 chips need as many samples each: 5"):
        chip.forward(np.zeros((5, 6), np.float32))


@pytest.mark.parametrize("chips", [1, 2])
@pytest.mark.parametrize(
    "learner", ["danp:samples=5", "np:samples=3", "dinp:samples=2", "anp:samples=4,baseline=noisy"]
)
def test_an_update_in_chunks_is_the_update(monkeypatch, learner, chips):
    """On an exact device, whose weights keep every bit: gradients differ by the rounding of two sums, so test losses by
    less than 1e-5."""
    given = {"learner": learner, "layers": [5], "batch_size": 100, "epochs": 2, "task": data(), "chips": chips}
    given |= {"device": "gaussian", "optimizer": "sgd"}
    whole = noisysim.run(**given)
    most = []
    at_once = chunks.samples_at_once
    monkeypatch.setattr(chunks, "MOST_VALUES", 2 * 8 * 30 * 6 * chips)
    monkeypatch.setattr(chunks, "samples_at_once", lambda *args: most.append(at_once(*args)) or most[-1])
    parts = noisysim.run(**given)
    assert max(most) < 100 * chips
    assert whole.cost == parts.cost
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(parts.history[name], whole.history[name], rtol=1e-5)
    for name in ("train_accuracy", "test_accuracy"):
        np.testing.assert_array_equal(parts.history[name], whole.history[name])


def test_a_learner_of_one_chip_takes_chunks_as_well(monkeypatch):
    """Each chip by itself, in chunks: to the bit what all at once give in the same chunks."""
    given = {"learner": "danp:samples=5", "layers": [5], "batch_size": 100, "epochs": 2, "task": data(), "chips": 2}
    monkeypatch.setattr(chunks, "MOST_VALUES", 2 * 8 * 30 * 6 * 2)
    at_once = noisysim.run(**given)
    monkeypatch.setattr(noisysim.learners.DANP, "stacks", False)
    apart = noisysim.run(**given)
    for name, column in at_once.history.items():
        np.testing.assert_array_equal(column, apart.history[name])


@pytest.mark.parametrize("learner", ["dcanp:samples=5", "fdfa:samples=5", "np:samples=5,loss=batch"])
def test_rules_that_are_no_mean_over_samples_stay_whole(learner):
    rule = noisysim.learners.get(learner)
    state = rule.init([6, 5, 3], chips=2)
    assert chunks.samples_at_once(rule, state, 10**9) == 10**9


def test_a_lack_of_memory_says_what_to_shrink(monkeypatch):
    def full(*_, **__):
        raise MemoryError("Unable to allocate 80.0 GiB")

    monkeypatch.setattr(Chip, "passes", full)
    given = {"learner": "np:samples=7,sigma=0.1", "task": data(), "batch_size": 50, "chips": 2}
    with pytest.raises(
        MemoryError, match=r"make batch_size=50, chips=2, the learner's samples=7 or layers smaller \(Un"
    ):
        noisysim.run(**given)
