"""Runs of several seeds side by side: each is, bit for bit, the run that its seed gives alone."""

import inspect
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

import noisysim
from noisysim import Chip, learners
from noisysim.compute import seeding
from noisysim.learners.node import NP
from noisysim.networks import layers
from noisysim.runs import chunks, side_by_side
from noisysim.runs import config as configuration
from noisysim.runs.side_by_side import run_side_by_side
from noisysim.runs.training import Training

import cell_device as bench

SEEDS = [3, 5, 11]
SMALL = {"task": "digits", "layers": [16], "batch_size": 64, "epochs": 2, "progress": False}
CONV = [layers.conv(4, 3), layers.batch_norm(), layers.pool(2), layers.dropout(0.3), 12]
PULSED_PAIRS = ",".join(f"{name}={value}" for name, value in bench.KINDS["pulsed pairs"].items())
DEVICES = {
    "tiles": "crossbar:controller=copy,tile_rows=7,tile_columns=3,slices=2,adc_gain_spread=0.1,dac_gain_spread=0.1,"
    "stuck_low=0.1",
    "telegraph": "crossbar:telegraph=0.3,tau_capture=1e-6,tau_emission=1e-6,telegraph_spread=0.2",
    "wires": "crossbar:wire_resistance=20",
    "pulsed": "pulsed",
    "rpu": "rpu",
    "pcm": "pcm",
    "every effect": f"{bench.__file__}:{PULSED_PAIRS}",
}


def equal(one, other):
    """Two results hold the same, but for the time they took and the state of the chip."""
    for name in ("status", "config", "warnings", "cost"):
        assert getattr(one, name) == getattr(other, name), name
    for group in ("history/epoch", "history/step"):
        columns, others = one.content["arrays"][group], other.content["arrays"][group]
        assert columns.keys() == others.keys()
        for name, column in columns.items():
            np.testing.assert_array_equal(column, others[name], err_msg=f"{group}/{name}", strict=True)


def as_alone(seeds=SEEDS, **given):
    """What several seeds give together, each of which is what it gives alone."""
    given = {**SMALL, **given}
    found = run_side_by_side(seeds, **given)
    assert len(found) == len(seeds)
    for seed, result in zip(seeds, found, strict=True):
        equal(noisysim.run(seed=seed, **given), result)
        assert result.config["seed"] == seed
        assert result.elapsed > 0
    return found


def oracle_for(learner):
    return "oracle" in learners.get(learner).requires()


# --- the same bits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", learners.names())
def test_every_learner_on_a_crossbar(learner):
    found = as_alone(learner=learner, device="crossbar", oracle=oracle_for(learner))
    assert len({result.history["test_loss"][-1] for result in found}) == len(SEEDS)


@pytest.mark.parametrize("learner", ["bp", "danp", "fdfa", "np"])
def test_learners_on_an_exact_device(learner):
    as_alone(learner=learner, device="ideal")


@pytest.mark.parametrize(
    "learner",
    ["np:samples=3", "np:normalise=True,loss=batch", "anp:samples=3,baseline=noisy", "anp:sigma=0.3",
     "dcanp:samples=2", "fdfa:error=scalar,samples=2", "learned-fa:fit=least_squares", "lg-fg-a:samples=2",
     "fg-w:loss=batch,samples=2", "fg-a:derivative=exact", "np:sigma=0.2"],
)  # fmt: skip
def test_settings_of_learners(learner):
    as_alone(learner=learner, device="crossbar:controller=copy", oracle=oracle_for(learner))


def test_each_run_chooses_its_own_strength():
    """Else the learners above would be tested with one sigma alone."""
    config = configuration.resolve(**arguments(learner="np"), seed=0)
    config.chips = len(SEEDS)
    training = Training(config, SEEDS)
    training.begin()
    assert len(set(training.learner_state.sigmas)) == len(SEEDS)


@pytest.mark.parametrize("device", DEVICES)
def test_devices(device):
    found = as_alone(learner="danp", device=DEVICES[device], epochs=1, learning_rate=0.02)
    assert len({result.cost["cells_programmed"] + result.cost["pulses"] for result in found}) == len(SEEDS)


@pytest.mark.parametrize("learner", ["danp", "fdfa"])
def test_a_convolution_with_batch_normalisation_and_dropout(learner):
    as_alone(learner=learner, device="crossbar", layers=CONV, epochs=1)


@pytest.mark.parametrize("batch_size", [1, 5, 700])
@pytest.mark.parametrize("learner", ["np", "danp"])
def test_batches_of_any_size(learner, batch_size):
    x, y, *_ = data()
    task = data() if batch_size < 64 else (*[np.tile(a, (6, *[1] * (a.ndim - 1))) for a in (x, y)], *data()[2:])
    as_alone(learner=learner, device="crossbar", task=task, batch_size=batch_size, epochs=1)


@pytest.mark.parametrize(("device", "activation"), [("crossbar", "leaky_relu"), ("ideal", "tanh")])
def test_other_settings_of_a_run(device, activation):
    as_alone(
        learner="danp", device=device, inject="digital", bias=True, init="he-uniform", activation=activation,
        optimizer="sgd:momentum=0.9", learning_rate_decay=0.9,
    )  # fmt: skip


def test_layers_of_several_tasks_on_any_number_of_threads():
    """Large enough that a chip's own work is shared out among threads."""
    given = {"learner": "danp", "device": "crossbar", "layers": [500], "batch_size": 300, "epochs": 1}
    found = as_alone(threads=1, **given)
    for one, other in zip(found, run_side_by_side(SEEDS, threads=3, **{**SMALL, **given}), strict=True):
        equal(one, other)


def test_a_single_seed():
    as_alone([7], learner="np", device="crossbar")


def test_a_learner_that_knows_of_one_chip(monkeypatch):
    monkeypatch.setattr(learners.FDFA, "stacks", False)
    as_alone(learner="fdfa", device="crossbar")


@dataclass(frozen=True)
class Own(NP):
    """Node perturbation that takes sigma for a number, as the learner of a user may."""

    name: ClassVar[str] = "own"

    def estimate(self, state, observations, oracle=None):
        drawn = self.perturbations(state, len(observations[0].output))
        changes = self.loss_changes(state, observations) / (self.samples * state.sigma**2)
        return [noisysim.compute.algebra.Term(changes[k], drawn[k]) for k in range(self.samples)]


def test_a_learner_of_ones_own_sees_one_strength():
    for result in as_alone(learner=Own(), device="crossbar"):
        assert result.status == "finished"


# --- runs that end early --------------------------------------------------------------------------------------------


@pytest.mark.runs
@pytest.mark.parametrize(
    ("learner", "rate", "batch_size", "diverged"),
    [
        ("danp", 3.0, 64, [1]),  # in the first epoch
        ("bp", 5.0, 360, [3]),  # in the fifth
        ("bp", 6.0, 64, [0, 1, 2, 3]),  # one after another, all
    ],
)
def test_a_run_that_diverges_ends_there_and_the_others_go_on(learner, rate, batch_size, diverged):
    """That these seeds diverge at these rates does not hang on rounding: changes of the rate by 1e-4 leave it so."""
    seeds = [0, 1, 2, 3]
    found = as_alone(
        seeds, learner=learner, device="ideal", optimizer="sgd", learning_rate=rate, batch_size=batch_size, epochs=8
    )
    lost = [seed for seed, result in zip(seeds, found, strict=True) if result.status == "diverged"]
    assert lost == diverged
    for seed in lost:
        assert "diverged in epoch" in found[seed].warnings[0]
        assert len(found[seed].steps["train_loss"]) == found[seed].cost["updates"] + 1


def test_a_lost_run_does_no_harm_to_inverses():
    """Learners that invert matrices of all runs at once would fail with one that cannot be inverted."""
    with np.errstate(all="ignore"):
        as_alone(
            [0, 1, 2, 3], learner="learned-fa:fit=least_squares", device="ideal", optimizer="sgd", learning_rate=2.0
        )
        as_alone([0, 1, 2, 3], learner="dcanp", device="gaussian", optimizer="sgd", learning_rate=1.0)


# --- what is refused ------------------------------------------------------------------------------------------------


def data(n=250):
    """A small problem of three classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    x = (rng.standard_normal((300, 6)) + 2 * np.eye(6)[y]).astype(np.float32)
    return x[:n], y[:n], x[250:], y[250:]


def arguments(**given):
    """Of `configuration.resolve`, but for the seed."""
    usual = inspect.signature(noisysim.run).parameters
    return {**{name: usual[name].default for name in side_by_side.SHARED}, "task": data(), "layers": [5], **given}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"task": "student-teacher:n_in=5,n_train=50,n_test=10"}, "'student-teacher' depend on the seed; run them one"),
        ({"task": data()[:2]}, "task 'arrays' depend on the seed"),
        ({"task": "autoencoding:of=digits,noise=0.1"}, "task 'autoencoding' depend on the seed"),
        ({"diagnostics": ["angle"]}, "diagnostics look at one chip"),
        ({"seed": 3}, "run has no field 'seed'"),
        ({"chips": 2}, "run has no field 'chips'"),
        ({"out": "runs.h5"}, "run has no field 'out'"),
        ({"laers": [5]}, "run has no field 'laers'; did you mean 'layers'"),
        ({"epochs": 0}, "epochs"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        run_side_by_side(SEEDS, **{"task": data(), **given})


@pytest.mark.parametrize(
    ("seeds", "said"),
    [([], "one or more"), (3, "one or more, not 3"), ([1, -1], "run.seed must be .*not -1"), ([1.5], "run.seed must")],
)
def test_seeds_that_are_none_are_refused(seeds, said):
    with pytest.raises(ValueError, match=said):
        run_side_by_side(seeds, task=data())


def test_an_update_too_large_for_all_is_refused(monkeypatch):
    given = {"learner": "np", "layers": [5], "batch_size": 100}
    config = configuration.resolve(**arguments(**given), seed=0)
    values = 2 * 2 * (5 + 3)  # of a sample: two passes of activities and perturbations
    monkeypatch.setattr(chunks, "MOST_VALUES", 2 * 100 * values)
    assert side_by_side.can_run_side_by_side(config, 2)
    assert not side_by_side.can_run_side_by_side(config, 3)
    with pytest.raises(ValueError, match="too large to be held at once"):
        run_side_by_side(SEEDS, task=data(), **given)


def test_pulses_are_refused_where_all_chips_are_written_at_once(monkeypatch):
    config = configuration.resolve(**arguments(device="pulsed"), seed=0)
    assert side_by_side.can_run_side_by_side(config, 3)
    monkeypatch.setattr(side_by_side.backends, "get", lambda name: SimpleNamespace(BATCHED_PRODUCTS=True))
    assert not side_by_side.can_run_side_by_side(config, 3)


def test_small_updates_are_worth_it():
    def worth(chips=5, **given):
        config = configuration.resolve(**arguments(task="digits", **given), seed=0)
        return side_by_side.is_faster_side_by_side(config, chips)

    assert worth(layers=[32], batch_size=32)
    assert not worth(layers=[32], batch_size=32, chips=1)
    assert not worth(layers=[32], batch_size=32, diagnostics=["angle"])
    assert worth(layers=[512], batch_size=32, learner="np")
    assert not worth(layers=[512], batch_size=32, learner="danp")
    assert not worth(layers=[512, 512], batch_size=100, learner="np")


# --- the parts ------------------------------------------------------------------------------------------------------


def test_each_chip_has_the_keys_and_weights_of_its_seed():
    keys = seeding.keys(SEEDS, "purpose", 3)
    np.testing.assert_array_equal(keys, [seeding.key(seed, "purpose") for seed in SEEDS])
    several = Chip([6, 4, 3], "ideal", seed=SEEDS, chips=3, oracle=True)
    batch = noisysim.Batch(np.zeros((3, 6), np.float32), np.zeros((3, 3), np.float32), None)
    for layer, weights in enumerate(several.oracle(batch).weights):
        for m, seed in enumerate(SEEDS):
            alone = Chip([6, 4, 3], "ideal", seed=seed, oracle=True).oracle(batch).weights[layer]
            np.testing.assert_array_equal(weights.reshape(3, *alone.shape)[m], alone)


def test_seeds_and_chips_are_as_many():
    with pytest.raises(ValueError, match="one for each of 3 chips, not 2 of them"):
        Chip([6, 3], "ideal", seed=[1, 2], chips=3)
    with pytest.raises(TypeError, match="seed must be"):
        Chip([6, 3], "ideal", seed="123", chips=3)
    with pytest.raises(ValueError, match="counted together"):
        Chip([6, 3], "ideal", seed=1, chips=3).cost_by_chip()


def test_a_result_of_several_holds_no_state(tmp_path):
    result = run_side_by_side(SEEDS, task=data(), layers=[5], epochs=1, progress=False)[0]
    result.save(tmp_path / "run.h5")
    equal(noisysim.load(tmp_path / "run.h5"), result)
    with pytest.raises(ValueError, match="no complete state"):
        noisysim.retention(result, [1.0], task=data())


# --- on a GPU -------------------------------------------------------------------------------------------------------

EXACT = "crossbar:controller=copy,adc_bits=0,dac_bits=0,levels=0"  # noise, but nothing that rounds
TIGHT = 1e-4  # as in tests/compute/test_backend_runs.py, where nothing rounds


@pytest.mark.gpu
@pytest.mark.parametrize("learner", ["np", "danp"])
def test_a_gpu_does_the_same(learner):
    x, y, *_ = data()
    given = {"task": (x[:16], y[:16], x[16:24], y[16:24]), "layers": [5], "batch_size": 8, "epochs": 2}
    given |= {"device": EXACT, "learner": learner, "learning_rate": 0.02, "progress": False}
    for cpu, cuda in zip(*(run_side_by_side(SEEDS, backend=name, **given) for name in ("cpu", "cuda")), strict=True):
        assert cpu.cost == cuda.cost
        for group in ("history/epoch", "history/step"):
            for name, column in cpu.content["arrays"][group].items():
                found = cuda.content["arrays"][group][name]
                np.testing.assert_allclose(found, column, rtol=TIGHT, atol=TIGHT, err_msg=name)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "device",
    [
        "ideal", "crossbar:stuck_low=0.1", "crossbar:controller=copy", "crossbar:controller=read_modify_write",
        "pcm", "pcm_hermes", "rram_wan", "rram_gong", "rpu", "sonos",
        "pulsed:controller=copy,verify_pulses=20", "pulsed:controller=read_modify_write,verify_pulses=20",
    ],
)  # fmt: skip
def test_a_gpu_counts_what_each_chip_writes(device):
    rng = np.random.default_rng(2)
    changes = [rng.standard_normal((3 * 9, 13)).astype(np.float32), rng.standard_normal((3 * 4, 9)).astype(np.float32)]
    for change in changes:
        change.reshape(3, -1)[...] *= np.array([[1e-5], [1e-3], [0.1]], np.float32)  # one chip's cells hardly move
    counted = []
    for backend in ("cpu", "cuda"):
        chip = Chip([13, 9, 4], device, seed=SEEDS, chips=3, backend=backend)
        for _ in range(2):
            chip.program([change.copy() for change in changes])
        counted.append([cost.as_dict() for cost in chip.cost_by_chip()])
        for name in ("cells_programmed", "pulses", "cells_read"):
            assert sum(own[name] for own in counted[-1]) == getattr(chip.cost, name)
        assert all(own["cells_written_at_start"] == counted[-1][0]["cells_written_at_start"] > 0 for own in counted[-1])
    assert counted[0] == counted[1]
    if device != "ideal":
        own = [one["cells_programmed"] + one["pulses"] for one in counted[0]]
        assert own[0] < own[2]
