"""Small updates, many in one compiled call: they give what they give one by one, to the bit."""

import dataclasses

import numpy as np
import pytest

import noisysim
from noisysim import devices
from noisysim.compute import losses
from noisysim.compute.cpu.loops import sums
from noisysim.learners import LEARNERS
from noisysim.runs.series import NONE, Series

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(90, 6)).astype(np.float32), np.arange(90) % 3
GIVEN = {
    "task": (X, Y, X[:20], Y[:20]), "layers": [5, 4], "batch_size": 1, "device": "crossbar", "learner": "danp",
    "seed": 2, "epochs": 2, "progress": False,
}  # fmt: skip
IN_SERIES = ["np", "dnp", "inp", "dinp", "anp", "danp"]


@pytest.fixture
def one_by_one(monkeypatch):
    """Lets a run make every update by itself."""

    def run(**given):
        with monkeypatch.context() as patch:
            patch.setattr(Series, "updates", lambda *_: NONE)
            return noisysim.run(**{**GIVEN, **given})

    return run


@pytest.fixture
def many_at_once(monkeypatch):
    """A run, and how many of its updates were made in series."""

    def run(**given):
        made, updates = [], Series.updates

        def counted(*arguments):
            made.append(updates(*arguments))
            return made[-1]

        with monkeypatch.context() as patch:
            patch.setattr(Series, "updates", counted)
            return noisysim.run(**{**GIVEN, **given}), sum(one.updates for one in made)

    return run


def differences(a, b):
    """What two results do not have in common, bit for bit."""
    different = [] if (a.status, a.cost) == (b.status, b.cost) else [(a.status, a.cost), (b.status, b.cost)]
    for group in {**a.content["arrays"], **b.content["arrays"]}:
        first, second = (one.content["arrays"].get(group, {}) for one in (a, b))
        for name in {*first, *second}:
            if name not in first or name not in second or not np.array_equal(first[name], second[name], equal_nan=True):
                different.append(f"{group}/{name}")
    return different


# what a device does to a row is called by address, in the same loop for every rule: each of both with one of the other
@pytest.mark.covering(1)
@pytest.mark.parametrize("learner", IN_SERIES)
@pytest.mark.parametrize("device", devices.names())
def test_series_give_what_updates_give_one_by_one(learner, device, one_by_one, many_at_once):
    given = {"learner": learner, "device": device, "batch_size": 5 if learner.startswith("d") else 1}
    result, made = many_at_once(**given)
    assert not differences(result, one_by_one(**given))
    assert made or device.startswith(("pcm", "rram", "sonos", "measured"))


VARIANTS = {
    "several samples": {"learner": "danp:samples=3", "device": "ideal"},
    "several draws": {"learner": "np:samples=3"},
    "several draws of each layer": {"learner": "inp:samples=2", "batch_size": 3},
    "a noisy baseline of the rule's own": {"learner": "np:baseline=noisy", "device": "ideal"},
    "injected beside the chip's noise": {"learner": "anp:sigma=0.1"},
    "a loss for the batch, of one sample": {"learner": "anp:loss=batch"},
    "SGD": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd:momentum=0.9"},
    "squared error": {"loss": "mse"},
    "bias": {"bias": True, "learner": "dnp"},
    "after the ADC": {"learner": "np", "inject": "digital"},
    "tiles": {"device": "crossbar:tile_rows=4,tile_columns=3"},
    "slices": {"device": "crossbar:controller=copy,slices=2"},
    "a closed loop of pulses": {"device": "pulsed:verify_pulses=5"},
    "a controller that reads before it writes": {"device": "crossbar:controller=read_modify_write"},
    "a controller that keeps targets": {"device": "crossbar:controller=copy"},
    "a controller that accumulates": {"device": "crossbar:controller=accumulate"},
    "targets of few bits": {"device": "crossbar:controller=copy,target_bits=6"},
    "pulses of any size": {"device": "rpu:pulse_step=0", "optimizer": "sgd"},
    "cells that show something else": {"device": "rram_gong"},
    "three chips": {"chips": 3, "batch_size": 2},
    "images": {"task": "digits", "layers": ["conv(3, 3)", "pool(2)"], "learner": "anp", "epochs": 1, "batch_size": 40},
    "a schedule": {"schedule": "cosine"},
    "values": {"task": (X, X[:, :2], X[:20], X[:20, :2])},
    "another activation function": {"activation": "tanh"},
}


@pytest.mark.parametrize("given", VARIANTS.values(), ids=VARIANTS)
def test_series_of_every_kind(given, one_by_one, many_at_once):
    result, made = many_at_once(**given)
    assert made > 5
    assert not differences(result, one_by_one(**given))


@dataclasses.dataclass(frozen=True)
class Own(LEARNERS["anp"]):
    """May do anything at an update."""


LEFT = {
    "drift": {"device": "crossbar:drift_nu=0.05"},
    "a rule with a memory": {"learner": "canp"},
    "centred losses": {"learner": "anp:samples=2"},
    "updates in the array": {"device": "rpu:update=pulse_trains", "optimizer": "sgd"},
    "weight decay": {"device": "crossbar:controller=copy", "weight_decay": 1e-3},
    "clipping": {"clip": 0.5},
    "normalised weights": {"device": "crossbar:controller=copy", "learner": "anp:normalise=True"},
    "batch normalisation": {"layers": ["5", "batch_norm"]},
    "dropout": {"layers": ["5", "dropout(0.2)"]},
    "wires": {"device": "crossbar:wire_resistance=2"},
    "scaled weights": {"weight_scaling": "column"},
    "turned updates": {"decorrelate": "updates"},
    "a loss of the whole batch": {"learner": "anp:loss=batch", "batch_size": 4},
    "runs of a rule of one's own": {
        "learner": dataclasses.make_dataclass("Own", [], bases=(LEARNERS["anp"],), frozen=True)()
    },
}


@pytest.mark.parametrize("given", LEFT.values(), ids=LEFT)
def test_what_is_left_to_single_updates(given, many_at_once):
    result, made = many_at_once(**given, epochs=1)
    assert result.status == "finished"
    assert not made


def test_a_large_update_is_shared_among_threads_instead(many_at_once):
    assert many_at_once(layers=[400], batch_size=30, learner="anp", epochs=1)[1] == 0


def test_diagnostics_and_callbacks_see_the_updates_that_they_ask_for(one_by_one, many_at_once):
    seen = {"many": [], "one": []}

    class Watch:
        every = 7

        def __init__(self, key):
            self.key = key

        def on_update(self, event):
            seen[self.key].append((event.update, event.epoch, tuple(event.steps["train_loss"])))

    given = {"diagnostics": ["difference_whiteness"], "every": 11}
    result, made = many_at_once(**given, callbacks=[Watch("many")])
    single = one_by_one(**given, callbacks=[Watch("one")])
    assert made > 90
    assert seen["many"] == seen["one"]
    assert [update for update, *_ in seen["many"]] == list(range(7, 181, 7))
    assert not [name for name in differences(result, single) if not name.startswith("callbacks")]


class Raise:
    """Sets the learning rate behind the tenth update."""

    every = 10

    def __init__(self, rate):
        self.rate = rate

    def on_update(self, event):
        if event.update == 10:
            event.learning_rate = self.rate


@pytest.mark.parametrize("chips", [1, 2])
@pytest.mark.parametrize("rate", [30.0, 1e39], ids=["a loss that grows", "a change that is not finite"])
def test_what_diverges_diverges_at_the_same_update(rate, chips, one_by_one, many_at_once):
    given = {"device": "ideal", "optimizer": "sgd", "chips": chips, "callbacks": [Raise(rate)]}
    result, made = many_at_once(**given)
    assert result.status == "diverged"
    assert made >= 9
    assert not differences(result, one_by_one(**given))


def test_a_run_that_was_ended_between_two_series_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    whole = noisysim.run(**GIVEN)
    updates, calls = Series.updates, []

    def stopped(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return updates(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Series, "updates", stopped)
        with pytest.raises(KeyboardInterrupt):
            noisysim.run(**GIVEN, out=tmp_path / "run.h5", checkpoint_seconds=1e-6)
    part = noisysim.load(tmp_path / "run.h5")
    assert part.status != "finished"
    assert not differences(noisysim.resume(tmp_path / "run.h5", task=GIVEN["task"], progress=False), whole)


def test_losses_are_noted_as_one_by_one_when_many_are_fetched(one_by_one, many_at_once):
    given = {"epochs": 3, "batch_size": 2}
    result, made = many_at_once(**given)
    np.testing.assert_array_equal(result.steps["train_loss"], one_by_one(**given).steps["train_loss"])
    assert made > 100


def test_every_loss_of_the_package_can_be_judged_in_a_loop():
    assert set(sums.LOSSES) == set(losses.LOSSES)
