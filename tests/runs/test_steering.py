"""Runs that are watched and steered: longer runs, callbacks, validation data, schedules, weight decay, clipping."""

import dataclasses
import functools
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Chip, callbacks, schedules
from noisysim.compute import backends, layered
from noisysim.learners import optimizers
from noisysim.runs import lengthening, storage
from noisysim.runs.clipping import clipped
from noisysim.runs.config import resolve
from noisysim.runs.side_by_side import can_run_side_by_side, run_side_by_side
from noisysim.studies import cells

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(60, 6)).astype(np.float32), np.arange(60) % 3
GIVEN = {"task": (X, Y), "layers": [5], "batch_size": 11, "device": "crossbar", "learner": "danp", "seed": 2}
RESUMED = {"task": (X, Y), "progress": False}
SETTINGS = {**cells.DEFAULTS, **GIVEN}
CUDA = pytest.mark.gpu


def run(**given):
    return noisysim.run(**{**GIVEN, "progress": False, **given})


def same(a, b, state=True):
    """Names of what two results do not have in common, bit for bit."""
    groups = [g for g in {**a.content["arrays"], **b.content["arrays"]} if state or g.startswith("history")]
    different = [] if a.status == b.status and a.cost == b.cost else ["status or cost"]
    for group in groups:
        first, second = (one.content["arrays"].get(group, {}) for one in (a, b))
        for name in {*first, *second}:
            if name not in first or name not in second or not np.array_equal(first[name], second[name], equal_nan=True):
                different.append(f"{group}/{name}")
    return different


# --- longer runs ------------------------------------------------------------------------------------------------------

LENGTHENED = {
    "plain": {},
    "momentum": {"optimizer": "sgd:momentum=0.9", "learning_rate_decay": 0.8, "learner": "np"},
    "cosine": {"schedule": "cosine:final=0.1,epochs=4,warm_up=1"},
    "plateau": {"schedule": "plateau:patience=1,monitor=train_loss", "validation": 0.2},
    "decayed": {"device": "crossbar:controller=copy", "weight_decay": 0.1, "clip": 0.5, "chips": 2},
}


@pytest.mark.parametrize(
    ("name", "backend"),  # of the rest, a schedule is the same wherever chips are
    [
        *((name, "cpu") for name in LENGTHENED),
        *(pytest.param(name, "cuda", marks=CUDA) for name in ("momentum", "decayed")),
    ],
)
def test_a_run_made_longer_is_the_long_run(name, backend, tmp_path):
    given = LENGTHENED[name]
    run(**given, backend=backend, epochs=2, out=tmp_path / "run.h5")
    longer = noisysim.resume(tmp_path / "run.h5", epochs=5, **RESUMED)
    whole = run(**given, backend=backend, epochs=5)
    assert same(longer, whole) == []
    assert longer.config == whole.config
    assert noisysim.load(tmp_path / "run.h5").config["epochs"] == 5


def test_a_run_that_was_cut_short_may_be_longer_or_shorter_than_it_was_to_be(tmp_path):
    path, whole = tmp_path / "run.h5", run(epochs=4)

    class Cut:
        every = 1

        def on_update(self, event):
            if event.update == 8:
                raise RuntimeError("cut")

    with pytest.raises(ValueError, match=r"callback 'Cut' raised RuntimeError in on_update: cut"):
        run(epochs=3, callbacks=[Cut()], out=path, checkpoint_seconds=0)
    for epochs in (2, 4):
        copy = shutil.copy(path, tmp_path / "copy.h5")
        result = noisysim.resume(copy, epochs=epochs, callbacks=[], **RESUMED)
        assert np.array_equal(result.history["test_loss"], whole.history["test_loss"][:epochs])


def content(status, done, of, step=0, reason=""):
    progress = {"position": np.array([done, step])}
    arrays = {"history/epoch": {"learning_rate": np.ones(done)}, "state/progress": progress}
    return {"status": status, "reason": reason, "config": {"epochs": of}, "arrays": arrays}


@pytest.mark.parametrize(
    ("recorded", "epochs", "complete"),
    [
        (content("finished", 3, 3), None, True),
        (content("finished", 3, 3), 3, True),
        (content("finished", 3, 3), 4, False),
        (content("finished", 3, 3), 2, "has done 3 epochs, and cannot have fewer"),
        (content("running", 1, 3), None, False),
        (content("stopped", 1, 3), 1, False),
        (content("interrupted", 1, 3, 2), 1, "has done 1 epochs and begun another, and cannot have fewer"),
        (content("interrupted", 1, 3, 2), 2, False),
        (content("diverged", 1, 3), None, True),
        (content("diverged", 1, 3), 3, True),
        (content("diverged", 1, 3), 4, "has diverged in epoch 2, and cannot be continued"),
        (content("stopped", 2, 5, reason="early-stopping: x"), None, True),
        (content("stopped", 2, 5, reason="early-stopping: x"), 9, True),  # one long run would have been stopped too
    ],
)
def test_what_is_left_to_do_of_a_run(recorded, epochs, complete):
    path = Path("run.h5")
    if isinstance(complete, bool):
        assert lengthening.is_complete(recorded, path, epochs, other_callbacks=False) is complete
    else:
        with pytest.raises(ValueError, match=rf"resume.epochs={epochs}: run.h5 {complete}"):
            lengthening.is_complete(recorded, path, epochs, other_callbacks=False)


def test_a_schedule_over_the_epochs_of_the_run_cannot_be_made_longer(tmp_path):
    run(epochs=3, schedule="cosine", out=tmp_path / "run.h5")
    before = (tmp_path / "run.h5").read_bytes()
    with pytest.raises(ValueError, match=r"resume.epochs=5: schedule 'cosine' spread its rates over the 3 epochs.*=5'"):
        noisysim.resume(tmp_path / "run.h5", epochs=5, **RESUMED)
    assert (tmp_path / "run.h5").read_bytes() == before


# --- schedules --------------------------------------------------------------------------------------------------------


def factors(spec, epochs, **history):
    schedule = schedules.get(spec)
    return [schedule.factor(epoch, epochs, {n: v[:epoch] for n, v in history.items()}) for epoch in range(epochs)]


def test_schedules_are_what_their_formulas_say():
    assert factors("constant", 3) == [1, 1, 1]
    assert factors("warm-up:epochs=4", 6) == [0.25, 0.5, 0.75, 1, 1, 1]
    np.testing.assert_allclose(factors("exponential:decay=0.5,warm_up=2", 5), [0.5, 1, 1, 0.5, 0.25])
    halves = [0.1 + 0.9 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    np.testing.assert_allclose(factors("cosine:final=0.1", 4), halves)
    np.testing.assert_allclose(factors("cosine:final=0.1,epochs=4", 6), [*halves, 0.1, 0.1])
    np.testing.assert_allclose(factors("cosine:final=0.1,epochs=6,warm_up=2", 6), [0.5, 1, *halves])
    assert factors(lambda epoch: 0.5**epoch, 3) == [1, 0.5, 0.25]


def test_a_plateau_shrinks_once_patience_is_lost():
    losses = [5, 4, 4, 4, 3.95, 3, 3, 3, 3, math.nan]
    plateau = "plateau:shrink=0.5,patience=2,min_delta=0.1,monitor=test_loss"
    assert factors(plateau, 10, test_loss=losses) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]
    accuracies = [0.1, 0.2, 0.2, 0.2]
    assert factors("plateau:patience=1,monitor=test_accuracy,lowest=0.05", 4, test_accuracy=accuracies)[-1] == 0.1


@pytest.mark.parametrize("name", schedules.names())
def test_every_schedule_is_recorded_followed_and_resumed(name, tmp_path):
    spec = "plateau:monitor=train_loss,patience=1" if name == "plateau" else name
    short = run(schedule=spec, epochs=3, learning_rate=0.1, callbacks=[lambda e: e.epoch == 2 and e.stop("half way")],
                out=tmp_path / "run.h5")  # fmt: skip
    assert (short.status, len(short.history["learning_rate"])) == ("stopped", 2)
    result = noisysim.resume(tmp_path / "run.h5", callbacks=[], **RESUMED)
    whole = run(schedule=spec, epochs=3, learning_rate=0.1)
    assert same(result, whole) == []
    means = {n: column.tolist() for n, column in whole.history.items()}
    schedule = schedules.get(whole.config["schedule"])
    expected = [0.1 * schedule.factor(k, 3, {n: v[:k] for n, v in means.items()}) for k in range(3)]
    assert whole.history["learning_rate"].tolist() == expected
    assert f"schedule {name}" in whole.summary()


def test_exponential_is_the_decay_of_the_learning_rate():
    decayed = run(epochs=3, learning_rate_decay=0.5)
    scheduled = run(epochs=3, schedule="exponential:decay=0.5")
    assert same(decayed, scheduled) == []


def test_a_function_is_a_schedule_that_has_to_be_given_again(tmp_path):
    def half(epoch):
        return 0.5**epoch

    def third(epoch):
        return 3.0**-epoch

    result = run(epochs=2, schedule=half, out=tmp_path / "run.h5")
    assert result.config["schedule"]["name"].endswith("half")
    with pytest.raises(ValueError, match=r"half' was an object of class .*, which no name finds: give it again"):
        noisysim.resume(tmp_path / "run.h5", epochs=3, **RESUMED)
    with pytest.raises(ValueError, match=r"the run's schedule is another|the schedule has other code"):
        noisysim.resume(tmp_path / "run.h5", epochs=3, schedule=third, **RESUMED)
    longer = noisysim.resume(tmp_path / "run.h5", epochs=3, schedule=half, **RESUMED)
    assert same(longer, run(epochs=3, schedule=half)) == []
    assert noisysim.retention(tmp_path / "run.h5", [10], task=(X, Y))["test_loss"].shape == (1,)


OWN_SCHEDULE = """
from dataclasses import dataclass
from typing import ClassVar

from noisysim.schedules import Schedule


@dataclass(frozen=True)
class Steps(Schedule):
    '''Halves the rate every few epochs.'''

    name: ClassVar[str] = "steps"
    every: int = 2

    def factor(self, epoch, epochs, history):
        return 0.5 ** (epoch // self.every)
"""


def test_a_schedule_from_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("steps.py").write_text(OWN_SCHEDULE)
    result = run(epochs=3, schedule="steps.py:every=1", learning_rate=0.1, out="run.h5")
    assert result.history["learning_rate"].tolist() == [0.1, 0.05, 0.025]
    assert same(noisysim.resume("run.h5", epochs=4, **RESUMED), run(epochs=4, schedule="steps.py:every=1",
                learning_rate=0.1)) == []  # fmt: skip
    Path("steps.py").write_text(OWN_SCHEDULE.replace("0.5 **", "0.4 **"))
    with pytest.raises(ValueError, match=r"is not the one recorded"):
        noisysim.resume("run.h5", epochs=5, **RESUMED)


# --- validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["crossbar", "pcm", "pulsed", "ideal"])
@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_validation_leaves_no_trace(device, backend):
    plain = run(device=device, backend=backend, epochs=2, learner="np")
    watched = run(device=device, backend=backend, epochs=2, learner="np", validation=(X[:7], Y[:7]))
    names = {"history/epoch/validation_loss", "history/epoch/validation_accuracy"}
    assert set(same(plain, watched)) == names
    assert np.isfinite(watched.history["validation_loss"]).all()


def test_a_share_is_held_back_by_the_seed():
    config = resolve(**{**SETTINGS, **GIVEN, "validation": 0.25})
    validation, n = config.validation, config.task.n_train
    assert (n, validation.samples) == (48, 12)
    learned, held = validation.split(n, 2)
    assert sorted([*learned, *held]) == list(range(48))
    assert len(held) == 12
    assert np.array_equal(held, validation.split(n, 2)[1])
    assert not np.array_equal(held, validation.split(n, 3)[1])


def test_what_is_held_back_is_not_learned_from():
    """Targets of the rows that are held back decide what is measured, and nothing that is learned."""
    task = noisysim.tasks.get((X, Y), seed=2)
    _, held = resolve(**{**SETTINGS, "task": task, "validation": 0.25}).validation.split(task.n_train, 2)
    y = task.train.targets.copy()
    y[held] = (y[held] + 1) % 3
    other = dataclasses.replace(task, train=task.train._replace(targets=y), loss=task.loss_function)
    a, b = (run(task=one, epochs=2, validation=0.25) for one in (task, other))
    differing = {"history/epoch/validation_loss", "history/epoch/validation_accuracy"}
    assert set(same(a, b)) == differing
    assert len(a.steps["train_loss"]) == 2 * math.ceil(36 / 11)


def test_validation_is_what_a_test_of_the_same_samples_would_be():
    """On an exact device; also standardised, one-hot, and for values."""
    task = noisysim.tasks.get((X[:48], Y[:48], X[48:], Y[48:]))
    for further in ((X[48:], Y[48:]), (X[48:].astype(float).tolist(), np.eye(3)[Y[48:]])):
        result = run(task=task, device="ideal", epochs=2, validation=further)
        for what in ("loss", "accuracy"):
            assert np.array_equal(result.history[f"validation_{what}"], result.history[f"test_{what}"])
    values = (1000 + 5 * X[:48, :2], X[:48], 1000 + 5 * X[48:, :2], X[48:])
    task = noisysim.tasks.get((values[0], values[1], values[2], values[3]), standardise_targets=True)
    result = run(task=task, device="ideal", epochs=1, validation=values[2:])
    assert np.array_equal(result.history["validation_loss"], result.history["test_loss"])
    assert np.isnan(result.history["validation_accuracy"]).all()


def test_a_run_validated_on_arrays_is_resumed_with_them(tmp_path):
    path, further = tmp_path / "run.h5", (X[:7], Y[:7])
    run(epochs=1, validation=further, out=path)
    with pytest.raises(ValueError, match=r"validated on arrays that its file does not hold: give validation=\(x, y\)"):
        noisysim.resume(path, epochs=2, **RESUMED)
    with pytest.raises(ValueError, match=r"the run's validation is another: crc32="):
        noisysim.resume(path, epochs=2, validation=(X[1:8], Y[:7]), **RESUMED)
    longer = noisysim.resume(path, epochs=2, validation=further, **RESUMED)
    assert same(longer, run(epochs=2, validation=further)) == []
    assert noisysim.retention(path, [10], task=(X, Y))["test_loss"].shape == (1,)


@pytest.mark.parametrize("given", [{"validation": 0.2}, {"validation": (X[:7], Y[:7])}], ids=["share", "arrays"])
def test_runs_side_by_side_are_validated_as_they_are_alone(given):
    given = {k: v for k, v in {**GIVEN, "task": (X[:48], Y[:48], X[48:], Y[48:]), **given}.items() if k != "seed"}
    given |= {"epochs": 2, "weight_decay": 0.1, "clip": 0.5, "schedule": "cosine", "learner": "np"}
    given["device"] = "crossbar:controller=copy"
    for seed, beside in zip((3, 4), run_side_by_side([3, 4], **given, progress=False), strict=True):
        alone = noisysim.run(**given, seed=seed, progress=False)
        assert same(alone, beside, state=False) == []


@pytest.mark.parametrize("given", [{"schedule": "plateau:monitor=train_loss"}, {"callbacks": [print]}])
def test_what_follows_one_run_keeps_it_from_going_side_by_side(given):
    settings = {**SETTINGS, "task": (X[:48], Y[:48], X[48:], Y[48:])}
    assert can_run_side_by_side(resolve(**settings), 2)
    assert not can_run_side_by_side(resolve(**{**settings, **given}), 2)


# --- weight decay and clipping ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=CUDA)])
@pytest.mark.parametrize("bias", [False, True])
def test_decay_takes_a_share_of_each_weight_off_and_of_no_bias(bias, backend):
    given = {"bias": bias, "oracle": True, "seed": 3, "chips": 2, "backend": backend}
    plain, decayed = (Chip([6, 5, 3], "ideal", **given) for _ in range(2))
    take = backends.get(backend).take
    before = [np.array(take(w)) for w in plain.oracle(None).weights]
    updates = [rng.normal(size=w.shape).astype(np.float32) for w in before]
    decayed.program(updates, decay=0.25)
    for was, update, weights in zip(before, updates, map(take, decayed.oracle(None).weights), strict=True):
        share = np.full(was.shape, 0.25, np.float32)
        share[:, was.shape[1] - bias :] = 0
        np.testing.assert_allclose(weights, was - share * was + update, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    "device", ["gaussian", "crossbar:controller=copy", "crossbar:controller=copy,slices=2", "pulsed:verify_pulses=500"]
)
def test_decay_alone_makes_weights_smaller_on_any_device_whose_controller_knows_them(device):
    chip = Chip([40, 30, 3], device, oracle=True, seed=1)
    before = [np.abs(w).mean() for w in chip.oracle(None).weights]
    nothing = [np.zeros((30, 40), np.float32), np.zeros((3, 30), np.float32)]
    updates = chip.cost.updates
    chip.program(nothing, decay=0.5)
    assert chip.cost.updates == updates + 1
    for was, weights in zip(before, chip.oracle(None).weights, strict=True):
        assert 0.4 * was < np.abs(weights).mean() < 0.7 * was  # written as exactly as the device can
    assert all((update == 0).all() for update in nothing)


def test_decay_in_open_loop_is_refused_before_work():
    for call in (
        lambda: run(device="pulsed", weight_decay=0.1),
        lambda: Chip([6, 3], "pulsed").program([np.zeros((3, 6))], decay=0.1),
    ):
        with pytest.raises(ValueError, match=r"device 'pulsed' is written by pulses in open loop: set it to 0, or"):
            call()


def test_a_run_decays_by_rate_times_weight_decay():
    """Beside a gradient that hardly moves anything: all weights shrink alike, as AdamW's do."""
    given = {"device": "ideal", "learner": "bp", "optimizer": "sgd", "learning_rate": 1e-5, "epochs": 1, "bias": True}
    plain, decayed = (run(**given, weight_decay=decay) for decay in (0.0, 1000.0))
    before, after = (one.content["arrays"]["state/chip"]["weights"] for one in (plain, decayed))
    updates = len(plain.steps["train_loss"])
    weights = np.concatenate([np.tile([True] * n + [False], m) for n, m in ((6, 5), (5, 3))])
    np.testing.assert_allclose(after[weights], 0.99**updates * before[weights], atol=1e-4)
    np.testing.assert_allclose(after[~weights], before[~weights], atol=1e-4)


def test_clipping_scales_each_chips_gradient_to_the_norm():
    arrays = [rng.normal(size=(2 * 5, 6)), rng.normal(size=(2 * 3, 5))]
    arrays[0][:5] *= 1e-3
    arrays[1][:3] *= 1e-3
    expected = [a.copy() for a in arrays]
    norm = math.sqrt(sum((a[len(a) // 2 :] ** 2).sum() for a in arrays))
    for a in expected:
        a[len(a) // 2 :] *= 0.5 / norm
    found = clipped(layered.layered([a.astype(np.float32) for a in arrays]), 0.5, chips=2)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_what_is_not_finite_is_left_for_the_run_to_find():
    for value in (math.nan, math.inf, 3e38):
        gradient = layered.layered([np.full((2, 2), value, np.float32)])
        assert not np.isnan(clipped(gradient, 1.0, chips=1)[0]).any() or math.isnan(value)


def test_a_run_gives_its_optimizer_clipped_gradients(monkeypatch):
    norms, update = [], optimizers.SGD.update

    def note(self, gradients, state, rate):
        norms.append(math.sqrt(sum(float((np.asarray(g, float) ** 2).sum()) for g in gradients)))
        return update(self, gradients, state, rate)

    monkeypatch.setattr(optimizers.SGD, "update", note)
    given = {"optimizer": "sgd", "learner": "bp", "device": "ideal", "epochs": 1, "learning_rate": 1e-6}
    run(**given)
    free = norms.copy()
    norms.clear()
    limit = float(np.median(free))
    run(**given, clip=limit)
    np.testing.assert_allclose(norms, np.minimum(free, limit), rtol=1e-3)
    assert min(free) < limit < max(free)


# --- callbacks --------------------------------------------------------------------------------------------------------


class Recorder(callbacks.Callback):
    """Notes what it sees, and keeps a sum."""

    name = "recorder"

    def __init__(self, every=0):
        self.every, self.epochs, self.updates, self.sum, self.started = every, [], [], np.zeros(2), []

    def begin(self, start):
        self.started.append(start)

    def on_epoch(self, event):
        self.epochs.append((event.epoch, event.update, {n: c.copy() for n, c in event.history.items()}))
        self.sum += event.history["train_loss"][-1]

    def on_update(self, event):
        self.updates.append((event.epoch, event.update, len(event.steps["train_loss"]), event.seconds))

    def state(self):
        return {"sum": self.sum, "calls": len(self.epochs), "names": ["a", "b"]}

    def restore(self, state):
        self.sum = np.array(state["sum"])
        assert state["names"] == ["a", "b"]


def test_callbacks_see_every_epoch_and_the_updates_they_ask_for():
    recorder = Recorder(every=3)
    result = run(epochs=2, callbacks=[recorder], validation=0.25)
    steps = len(result.steps["train_loss"]) // 2
    assert [(epoch, update) for epoch, update, _ in recorder.epochs] == [(1, steps), (2, 2 * steps)]
    for epoch, _, history in recorder.epochs:
        assert history.keys() == result.history.keys()
        for name, column in history.items():
            assert np.array_equal(column, result.history[name][:epoch], equal_nan=True)
    assert [update for _, update, _, _ in recorder.updates] == list(range(3, 2 * steps + 1, 3))
    assert all(update == seen for _, update, seen, _ in recorder.updates)
    seconds = [s for *_, s in recorder.updates]
    assert 0 < seconds[0] <= seconds[-1] <= result.elapsed
    assert recorder.started[0].epochs == 2
    assert set(recorder.started[0].columns) == set(result.history)
    assert same(result, run(epochs=2, validation=0.25), state=False) == []


def test_what_a_callback_changes_of_the_history_is_its_own_copy():
    def spoil(event):
        event.history["train_loss"][:] = 0
        event.steps["train_loss"][:] = 0

    assert same(run(epochs=2, callbacks=[spoil]), run(epochs=2), state=False) == []


def test_a_callback_may_change_the_learning_rate():
    def halve(event):
        event.learning_rate = event.learning_rate / 2

    result = run(epochs=3, learning_rate=0.1, schedule="warm-up:epochs=2", callbacks=[halve])
    np.testing.assert_allclose(result.history["learning_rate"], [0.05, 0.1 / 2, 0.1 / 4])
    scheduled = run(epochs=3, learning_rate=0.1, schedule=lambda epoch: (0.5, 0.5, 0.25)[epoch])
    assert np.array_equal(result.history["test_loss"], scheduled.history["test_loss"])


def absolute(event):
    if event.epoch == 2:
        event.learning_rate = 0.01


@pytest.mark.parametrize("given", [{"learning_rate_decay": 0.9}, {"schedule": "exponential:decay=0.7"}])
def test_a_rate_that_a_callback_set_holds_however_often_the_run_is_resumed(given, tmp_path):
    given, path = {**given, "learning_rate": 0.1}, tmp_path / "run.h5"
    whole = run(**given, epochs=5, callbacks=[absolute])
    run(**given, epochs=2, callbacks=[absolute], out=path)
    noisysim.resume(path, epochs=3, callbacks=[], **RESUMED)
    for epochs in (4, 5):
        result = noisysim.resume(path, epochs=epochs, **RESUMED)
    assert np.array_equal(result.history["learning_rate"], whole.history["learning_rate"])
    assert np.array_equal(result.history["test_loss"], whole.history["test_loss"])


def test_a_rate_set_in_mid_epoch_holds_after_the_callback_stopped_the_run_there(tmp_path):
    class Cut:
        every = 1

        def on_update(self, event):
            if event.update == 3:
                event.learning_rate = 0.01
                event.stop()

    path = tmp_path / "run.h5"
    run(learning_rate=0.1, epochs=3, callbacks=[Cut()], out=path)
    noisysim.resume(path, callbacks=[], until=1e-9, **RESUMED)
    result = noisysim.resume(path, **RESUMED)
    np.testing.assert_allclose(result.history["learning_rate"], 0.01)


def test_a_table_of_rates_ends_with_the_run_whatever_its_callbacks(tmp_path):
    asked = []

    def table(epoch):
        asked.append(epoch)
        return [1, 0.5, 0.25][epoch]

    result = run(epochs=3, schedule=table, learning_rate=0.1, callbacks=[Recorder(every=2)], out=tmp_path / "run.h5")
    assert (result.status, max(asked)) == ("finished", 2)
    seen = []
    run(epochs=3, schedule=table, learning_rate=0.1, callbacks=[lambda event: seen.append(event.learning_rate)])
    np.testing.assert_allclose(seen, [0.05, 0.025, 0.025])  # after the last epoch there is none: that of the last


def test_a_callback_may_change_the_rate_after_the_last_epoch(tmp_path):
    """A schedule may be at 0 there; and a run that is made longer goes on from what was set."""

    def halve(event):
        event.learning_rate = event.learning_rate / 2

    result = run(epochs=2, schedule="cosine", callbacks=[halve], learning_rate=0.1)
    assert result.status == "finished"
    given = {"schedule": "exponential:decay=0.7", "learning_rate": 0.1, "callbacks": [halve, absolute]}
    run(**given, epochs=2, out=tmp_path / "run.h5")
    longer = noisysim.resume(tmp_path / "run.h5", epochs=4, callbacks=given["callbacks"], **RESUMED)
    assert np.array_equal(longer.history["learning_rate"], run(**given, epochs=4).history["learning_rate"])


def test_a_rate_set_in_proportion_to_one_of_the_short_run_keeps_it_from_being_made_longer(tmp_path):
    def set_rate(event):
        event.learning_rate = 0.05

    given = {"schedule": "cosine:final=0.1", "learning_rate": 0.1}
    run(**given, epochs=1, callbacks=[set_rate], out=tmp_path / "run.h5")
    with pytest.raises(ValueError, match=r"schedule 'cosine' spread its rates over the 1 epochs"):
        noisysim.resume(tmp_path / "run.h5", epochs=3, callbacks=[], **RESUMED)


class Steered(Recorder):
    """Changes the rate by what it has kept, and stops by it."""

    def on_epoch(self, event):
        super().on_epoch(event)
        event.learning_rate = event.learning_rate * (1 - 0.05 * float(self.sum[0]))
        if event.epoch == 5:
            event.stop(f"sum is {self.sum[0]:.3f}")


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_a_steered_run_resumed_from_any_checkpoint_ends_in_the_same_bits(backend, tmp_path, monkeypatch):
    copies, write = [], storage.write

    def keep(path, content):
        write(path, content)
        copies.append(Path(shutil.copy(path, tmp_path / f"copy{len(copies)}.h5")))

    monkeypatch.setattr(storage, "write", keep)
    given = {"epochs": 7, "backend": backend, "validation": 0.25, "schedule": "plateau:patience=1"}
    whole = run(**given, callbacks=[Steered()], out=tmp_path / "run.h5", checkpoint_seconds=0)
    monkeypatch.setattr(storage, "write", write)
    assert (whole.status, len(whole.history["test_loss"])) == ("stopped", 5)
    assert whole.reason.startswith("recorder: sum is ")
    for copy in (copies[0], copies[3], copies[len(copies) // 2], copies[-4]):
        with pytest.raises(
            ValueError, match=r"callbacks that were functions or objects of your own, recorder: give all"
        ):
            noisysim.resume(copy, **RESUMED)
        result = noisysim.resume(copy, callbacks=[Steered()], **RESUMED)
        assert same(result, whole, state=False) == []
        assert same(result, whole) in ([], ["state/callbacks/structure"])
        assert result.reason == whole.reason


def test_a_run_that_a_callback_stopped_is_complete(tmp_path):
    path = tmp_path / "run.h5"
    stopped = run(epochs=4, callbacks=[lambda event: event.epoch == 2 and event.stop("enough")], out=path)
    assert stopped.status == "stopped"
    assert "stopped  <lambda>: enough" in stopped.summary()
    assert "noisysim resume" not in stopped.summary()
    assert noisysim.load(path).reason == stopped.reason == "<lambda>: enough"
    assert len(noisysim.resume(path, **RESUMED).history["test_loss"]) == 2
    assert len(noisysim.resume(path, epochs=9, **RESUMED).history["test_loss"]) == 2
    resumed = noisysim.resume(path, callbacks=[], **RESUMED)
    assert (resumed.status, resumed.reason) == ("finished", "")
    assert same(resumed, run(epochs=4)) == []
    assert "resumed with no callbacks; it was begun, or resumed before, with the callbacks <lambda>" in resumed.warnings


def test_an_error_in_a_callback_names_it_and_leaves_a_file_to_resume(tmp_path):
    path = tmp_path / "run.h5"

    def faulty(event):
        if event.epoch == 2:
            raise KeyError("nothing\nthere")

    said = (
        rf"callback 'faulty' raised KeyError in on_epoch: .*nothing.*; noisysim resume {path} continues from its last"
    )
    with pytest.raises(callbacks.CallbackError, match=said) as raised:
        run(epochs=3, callbacks=[faulty], out=path)
    assert isinstance(raised.value.__cause__, KeyError)
    assert "\n" not in str(raised.value)
    assert noisysim.load(path).status == "running"
    assert same(noisysim.resume(path, callbacks=[], **RESUMED), run(epochs=3)) == []


def begun_or_resumed(path, callback):
    if path is None:
        run(epochs=1, callbacks=[callback])
    else:
        noisysim.resume(path, epochs=2, callbacks=[callback], **RESUMED)


@pytest.mark.parametrize("name", ["begin", "on_update", "end", "state", "restore"])
def test_whatever_a_callback_raises_is_one_error_with_its_name(name, tmp_path):
    def fail(*_):
        raise RuntimeError("oh")

    broken = type("Broken", (callbacks.Callback,), {"every": 1})()
    run(epochs=1, callbacks=[callbacks.get(type("Broken", (callbacks.Callback,), {})())], out=tmp_path / "run.h5")
    setattr(broken, name, fail)
    with pytest.raises(callbacks.CallbackError, match=rf"callback 'Broken' raised RuntimeError in {name}: oh"):
        begun_or_resumed(tmp_path / "run.h5" if name == "restore" else None, broken)


def test_an_interrupt_in_a_callback_passes(tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(epochs=2, callbacks=[stop])


async def waits(event):
    return event


def yields(event):
    yield event


async def both(event):
    yield event


async def _of_an_object(self, event):
    return event


NEVER = {
    "async": waits,
    "generator": yields,
    "async-generator": both,
    "partial": functools.partial(waits),
    "called": type("Called", (), {"__call__": _of_an_object})(),
    "method": type("Own", (), {"on_epoch": lambda self, event: 0, "begin": lambda self, start: (yield)})(),
}


@pytest.mark.parametrize("callback", NEVER.values(), ids=NEVER)
def test_a_callback_whose_code_would_never_run_is_refused(callback):
    with pytest.raises(TypeError, match=r"callback '.*' would never run: it.* is async, or has a yield"):
        callbacks.get(callback)


BAD_CALLBACKS = {
    "misspelt": ("early-stoping", ValueError, "unknown callback 'early-stoping'; did you mean 'early-stopping'"),
    "class": (callbacks.EarlyStopping, TypeError, r"not a class: write EarlyStopping\(\)"),
    "number": (3, TypeError, r"callback must be a name \(csv-log, .*a function or an object with on_epoch, not 3"),
    "arguments": (lambda: 0, TypeError, "callback '<lambda>' must be a function of one argument"),
    "patience": (callbacks.EarlyStopping("train_loss", 0), ValueError, "patience must be a whole number"),
    "monitor": ("early-stopping:monitor=loss", ValueError, "monitor must be one of 'train_loss'.*not 'loss'"),
    "unrecorded": ("early-stopping", ValueError, "watches validation_loss, which this run does not record"),
    "no-path": ("csv-log", ValueError, "callback 'csv-log' needs a path: 'csv-log:path=...'"),
    "no-folder": ("keep-best:path=no/x.h5,monitor=train_loss", OSError, "there is no folder"),
    "never": (type("Never", (), {"on_update": lambda self, event: 0})(), ValueError, "has on_update.* set every"),
    "half": (type("Half", (), {"on_epoch": lambda self, e: 0, "state": lambda self: {}})(), ValueError, "restore"),
}  # fmt: skip


@pytest.mark.parametrize(("spec", "error", "said"), BAD_CALLBACKS.values(), ids=BAD_CALLBACKS)
def test_a_bad_callback_is_refused_before_work(spec, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(noisysim.runs.api, "Training", None)
    with pytest.raises(error, match=said):
        run(epochs=1, callbacks=[spec])


BAD = {
    "decay-twice": ({"schedule": "cosine", "learning_rate_decay": 0.9}, "both say how .*'exponential:decay=0.9'"),
    "plateau": ({"schedule": "plateau"}, "schedule 'plateau' watches validation_loss, which this run does not record"),
    "regression": (
        {"task": (X, X), "callbacks": ["early-stopping:monitor=test_accuracy"]}, "which a regression does not have",
    ),
    "schedule": ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
    "negative": ({"schedule": lambda epoch: -1.0}, "must give a finite number >= 0, but gives -1.0 in epoch 0"),
    "raises": ({"schedule": lambda epoch: 1 / 0}, "raised ZeroDivisionError: division by zero"),
    "decay": (
        {"device": "crossbar:controller=copy", "weight_decay": 400, "learning_rate": 0.01},
        "run.weight_decay=400 times learning_rate=0.01 is above 1",
    ),
    "decay without targets": (
        {"weight_decay": 0.1}, "weight_decay=0.1 needs .* is written with .*'increment': .*, or set controller='copy'",
    ),
    "share": ({"validation": 1.5}, "run.validation must be a number from 0.0001 to 0.9999, not 1.5"),
    "all": ({"validation": 0.999}, "run.validation=0.999 of 48 training samples leaves none to learn from"),
    "word": ({"validation": "some"}, "run.validation must be a share such as 0.1, not 'some'"),
    "three": ({"validation": (X, Y, X)}, r"must be a share such as 0.1, or arrays \(x, y\), not 3 values"),
    "shape": ({"validation": (X[:, :4], Y)}, r"run.validation: a sample of x is \(4,\), one of .* is \(6,\)"),
    "label": ({"validation": (X[:4], [0, 1, 2, 3])}, "run.validation: y holds the label 3: those .* are 0, 1, 2"),
    "lengths": ({"validation": (X[:4], Y)}, "run.validation: x has 4 samples, y has 60"),
    "nan": ({"validation": (np.full((4, 6), np.nan), Y[:4])}, "run.validation: x holds NaN"),
}  # fmt: skip


@pytest.mark.parametrize(("given", "said"), BAD.values(), ids=BAD)
def test_bad_settings_are_refused_before_work(given, said, monkeypatch):
    monkeypatch.setattr(noisysim.runs.api, "Training", None)
    with pytest.raises(ValueError, match=said) as raised:
        run(epochs=2, **given)
    assert len(str(raised.value)) < 300


# --- ready to use -----------------------------------------------------------------------------------------------------


def test_early_stopping_waits_for_a_better_value(tmp_path):
    values = iter([3.0, 2.0, 2.0, 1.95, 1.5, 1.6, 1.7, 1.4])
    history = {"validation_loss": np.zeros(0)}
    stop = callbacks.get("early-stopping:patience=2,min_delta=0.1")
    ended = None
    for epoch, value in enumerate(values, 1):
        history["validation_loss"] = np.append(history["validation_loss"], value)
        event = callbacks.Event((epoch, epoch), (9, 1), (0.0, 0.0), 0.1, None)
        event.__dict__["history"] = history
        stop.on_epoch(event)
        if event._reason:
            ended = epoch, event._reason
            break
    assert ended == (4, "validation_loss was best (2) 2 epochs before")


def test_early_stopping_ends_a_run_and_a_kill_does_not_change_that(tmp_path, monkeypatch):
    copies, write = [], storage.write

    def keep(path, content):
        write(path, content)
        copies.append(Path(shutil.copy(path, tmp_path / f"copy{len(copies)}.h5")))

    monkeypatch.setattr(storage, "write", keep)
    given = {"epochs": 30, "validation": 0.25, "learning_rate": 0.5, "callbacks": ["early-stopping:patience=2"]}
    whole = run(**given, out=tmp_path / "run.h5", checkpoint_seconds=0)
    monkeypatch.setattr(storage, "write", write)
    assert whole.status == "stopped"
    losses = whole.history["validation_loss"]
    assert len(losses) - 1 - int(np.argmin(losses)) == 2
    for copy in (copies[1], copies[-3]):
        assert same(noisysim.resume(copy, **RESUMED), whole) == []


def test_a_log_is_the_history_as_a_table_also_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = run(epochs=3, callbacks=["csv-log:path=whole.csv"], chips=2)
    lines = Path("whole.csv").read_text().splitlines()
    assert len(lines) == 4
    table = [dict(zip(lines[0].split(","), map(float, line.split(",")), strict=True)) for line in lines[1:]]
    assert [row["epoch"] for row in table] == [1, 2, 3]
    assert [row["test_loss_1"] for row in table] == whole.history["test_loss"][:, 1].tolist()
    assert [row["passes"] for row in table] == whole.history["passes"].tolist()
    log = "csv-log:path=log.csv"
    run(epochs=2, callbacks=[log], chips=2, out="run.h5")
    shutil.copy("whole.csv", "log.csv")  # a killed run was ahead of its checkpoint
    noisysim.resume("run.h5", epochs=3, **RESUMED)
    assert Path("log.csv").read_text() == Path("whole.csv").read_text()
    with pytest.raises(
        FileExistsError, match=r"callback 'csv-log': log.csv exists: give another path, or say overwrite"
    ):
        run(epochs=1, callbacks=[log])
    run(epochs=1, callbacks=[log], overwrite=True)
    assert len(Path("log.csv").read_text().splitlines()) == 2


def test_the_best_epoch_is_kept_as_a_file_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"validation": 0.25, "learning_rate": 0.3}
    result = run(**given, epochs=6, callbacks=["keep-best:path=best.h5"], out="run.h5")
    best = noisysim.load("best.h5")
    at = int(np.argmin(result.history["validation_loss"])) + 1
    assert len(best.history["test_loss"]) == at
    assert (best.status, best.reason.partition(":")[0]) == ("stopped", "keep-best")
    alone = run(**given, epochs=at)
    assert np.array_equal(
        best.content["arrays"]["state/chip"]["weights"], alone.content["arrays"]["state/chip"]["weights"]
    )
    assert noisysim.retention("best.h5", [1], task=(X, Y))["test_loss"].shape == (1,)
    with pytest.raises(ValueError, match=r"cannot write run.h5, which is the run's own file"):
        run(**given, epochs=1, callbacks=["keep-best:path=run.h5"], out="run.h5", overwrite=True)


def test_a_full_disk_costs_a_log_not_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def full(*_):
        raise OSError("cannot write log.csv: No space left on device")

    def on_epoch(event):
        monkeypatch.setattr("noisysim.common.writing.replace", full)

    with pytest.warns(RuntimeWarning, match=r"callback 'csv-log': cannot write log.csv: .*the run continues"):
        result = run(epochs=2, callbacks=[on_epoch, "csv-log:path=log.csv"])
    assert result.status == "finished"


def test_tensorboard_gets_every_epoch(tmp_path):
    pytest.importorskip("tensorboardX")
    folder = tmp_path / "board"
    run(epochs=2, validation=0.25, callbacks=[callbacks.TensorBoard(os.fspath(folder))])
    files = list(folder.iterdir())
    assert len(files) == 1
    content = files[0].read_bytes()
    assert all(tag in content for tag in (b"loss/train", b"accuracy/validation", b"learning_rate"))
    with pytest.raises(FileExistsError, match=r"callback 'tensorboard': folder .* is not empty"):
        run(epochs=1, callbacks=[callbacks.TensorBoard(os.fspath(folder))])


def test_without_its_library_tensorboard_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"callback 'tensorboard' needs tensorboardX: pip install 'noisysim\[tensorb"):
        run(epochs=1, callbacks=[callbacks.TensorBoard(os.fspath(tmp_path / "board"))])
