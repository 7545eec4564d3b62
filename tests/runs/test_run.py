"""Whole runs through `noisysim.run`: that they learn, what they count, and that a seed settles every bit of them."""

import itertools
import math
import threading
import warnings

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices, learners, tasks
from noisysim.chip import chip, weight_laws
from noisysim.runs import config
from noisysim.runs.api import ARGUMENTS
from noisysim.runs.arguments import UNUSED
from noisysim.runs.history import EPOCH

from pairwise import pairs, pairwise

SAMPLED = [name for name in learners.names() if hasattr(learners.get(name), "samples")]
ORACLES = [name for name in learners.names() if "oracle" in learners.get(name).requires()]


def blobs(n, seed=0, n_in=6, classes=3):
    """Samples around one centre a class, and their labels."""
    rng = np.random.default_rng(seed)
    centres = 1.5 * np.random.default_rng(99).normal(size=(classes, n_in))
    labels = np.arange(n) % classes
    return (centres[labels] + 0.5 * rng.normal(size=(n, n_in))).astype(np.float32), labels


ARRAYS = (*blobs(60), *blobs(20, 1))


def small(**given):
    """A run of some milliseconds: 60 samples, 6-5-3, 2 epochs of 4 updates (the last of 12 samples)."""
    return noisysim.run(**{"task": ARRAYS, "layers": [5], "epochs": 2, "batch_size": 16, "progress": False, **given})


def everything(result):
    """Every recorded or resumable array of a result, by its path in the file."""
    groups = result.content["arrays"].items()
    return {f"{group}/{name}": array for group, arrays in groups for name, array in arrays.items()}


def same_bits(a, b):
    """Whether two results hold the same bits: history, state and cost."""
    first, second = everything(a), everything(b)
    return (
        first.keys() == second.keys()
        and all(np.array_equal(first[k], second[k], equal_nan=True) for k in first)
        and a.cost == b.cost
    )


# --- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.runs), 1])
def test_the_default_run_learns_the_digits_on_a_noisy_crossbar(seed):
    result = noisysim.run(device="crossbar", seed=seed, progress=False)
    assert result.status == "finished"
    assert result.history["test_accuracy"][-1] >= 0.96
    assert result.history["test_loss"][-1] < 0.35
    assert not result.warnings
    assert not result.config["oracle"]  # it learned without ever reading a weight


PLAIN = ("ideal", "gaussian", "crossbar")
PRESETS = sorted(set(devices.BUILT_IN) - set(PLAIN))


# each learner meets each device, for two epochs, in test_every_pair_of_settings_trains
@pytest.mark.covering(1)
@pytest.mark.parametrize("device", ["ideal", "gaussian", pytest.param("crossbar", marks=pytest.mark.runs)])
@pytest.mark.parametrize("learner", learners.names())
def test_every_learner_lowers_the_loss_at_its_own_rate(learner, device):
    """With the kernels of other processors on the crossbar alone, whose passes have all that the others' have."""
    loss = small(device=device, learner=learner, epochs=40, batch_size=4).history["train_loss"]
    assert loss[-1] < 0.8 * loss[0]


# a device sees writes, and not the rule that asked for them: one rule is enough for each, each rule with some of them
@pytest.mark.covering(1)
@pytest.mark.parametrize("device", PRESETS)
@pytest.mark.parametrize("learner", ["danp", "inp", "fdfa", "bp"])
def test_every_device_learns(learner, device):
    """Whose writes may be coarse or lopsided: how well is told by the table of presets."""
    loss = small(device=device, learner=learner, epochs=15, batch_size=4).history["train_loss"]
    assert loss[-1] < loss[0]


def combinations(name):
    """Ways to run a learner, pair by pair: decorrelation, baseline, K, what is told of the error, and the device."""
    ways = {
        "decorrelation": (0, 1e-3), "baseline": ("auto", "noisy"), "samples": (1, 3), "error": ("digital", "scalar"),
    }  # fmt: skip
    fields = {field: values for field, values in ways.items() if hasattr(learners.get(name), field)}
    return pairwise(**fields, device=PLAIN)


SETTINGS = [(name, settings) for name in learners.names() for settings in combinations(name)]


def spelt(settings):
    return "-".join(str(value) for value in settings.values())


def test_the_table_holds_every_learner():
    assert {name for name, _ in SETTINGS} == set(learners.names())
    assert len(SETTINGS) == len({(name, spelt(settings)) for name, settings in SETTINGS})
    assert ORACLES == ["bp", "dbp", "reinforce"]
    assert set(SAMPLED) == set(learners.names()) - {"bp", "dbp", "shadow"}
    scalar = {name for name, settings in SETTINGS if settings.get("error") == "scalar"}
    assert scalar == {"fg-a", "lg-fg-a", "fa", "dfa", "dkp", "fdfa", "learned-fa", "learned-dfa"}
    of_fdfa = [pairs(settings) for name, settings in SETTINGS if name == "fdfa"]
    assert len(set().union(*of_fdfa)) == 6 * 2 * 2 + 4 * 2 * 3  # pairs of two-valued fields, and of these with devices


@pytest.mark.parametrize(("learner", "settings"), SETTINGS, ids=[f"{n}-{spelt(s)}" for n, s in SETTINGS])
def test_every_pair_of_settings_trains(learner, settings):
    settings = dict(settings)
    device = settings.pop("device")
    result = small(device=device, learner={"name": learner, **settings}, learning_rate=0.02)
    assert result.status == "finished"
    columns = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
    assert all(np.isfinite(result.history[name]).all() for name in columns)
    # the chip this run started from, made again: a rule that does nothing would leave its weights
    start = chip.snapshot(Chip([6, 5, 3], device, "leaky_relu", settings["decorrelation"] > 0))
    end = result.content["arrays"]["state/chip"]
    layers = np.split(start["weights"] != end["weights"], [30])
    assert all(layer.any() for layer in layers)
    if settings["decorrelation"]:
        (rotations,) = (name for name in start if "rotations" in name)
        assert not np.array_equal(start[rotations], end[rotations])
    assert result.config["oracle"] == (learner in ORACLES)
    assert ("oracle access" in result.summary()) == (learner in ORACLES)


@pytest.mark.parametrize("derivative", ["passes", "exact"])
@pytest.mark.parametrize("learner", ["fg-w", "fg-a", "lg-fg-a", "fdfa"])
def test_a_result_says_which_derivative_and_which_error_were_used(learner, derivative):
    scalar = {} if learner == "fg-w" else {"error": "scalar"}
    results = [
        small(device="crossbar", learner={"name": learner, "derivative": derivative, **given}) for given in ({}, scalar)
    ]
    for result, error in zip(results, ("digital", "scalar"), strict=True):
        assert result.config["learner"]["derivative"] == derivative
        assert f"derivative='{derivative}'" in dict(result.rows())["learner"]
        if scalar:
            assert result.config["learner"]["error"] == error
            assert f"error='{error}'" in dict(result.rows())["learner"]
        assert result.config["oracle"] == (derivative == "exact")
        assert ("oracle access" in result.summary()) == (derivative == "exact")
        # an exact derivative takes one pass an update, a scalar error of feedback one more: their cost is counted
        passes = (1 if derivative == "exact" else 2) + (error == "scalar" and learner == "fdfa")
        assert result.cost["passes"] == 1 + 2 + 2 * (4 * passes + 1)
        assert np.isfinite(result.history["test_loss"]).all()


def test_the_rules_own_settings_are_not_ignored():
    """Each gives another run, of 24 updates: covariances are inverted twice."""
    given = [
        "fg-w", "fg-a", "fg-a:error=scalar", "fg-a:derivative=exact", "lg-fg-a", "lg-fg-a:readout_rate=0.1",
        "fa", "fa:feedback_init=uniform", "dfa", "dkp", "dkp:feedback_decay=0.5", "dkp:feedback_optimizer=sgd",
        "dkp:feedback_rate=0.1", "fdfa", "learned-fa", "learned-fa:warmup=3", "learned-fa:fit=least_squares",
        "learned-fa:fit=least_squares,ridge=30", "learned-dfa", "reinforce", "reinforce:hidden_noise=True,sigma=0.1",
        "canp", "canp:shrinkage=0.9", "canp:window=1", "anp", "anp:normalise=True",
    ]  # fmt: skip
    runs = [small(device="ideal", layers=[7, 5], batch_size=10, epochs=4, learner=one) for one in given]
    ends = [run.history["test_loss"][-1] for run in runs]
    assert len(set(ends)) == len(ends)


@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar:controller=copy"])
@pytest.mark.parametrize("learner", ["np", "fdfa", "bp"])
def test_a_normalised_run_ends_with_the_norms_it_is_to_have(learner, device):
    """After every update, where targets are kept: exact where weights are, else to a level and the error of writing."""
    given = {"device": device, "learning_rate": 0.05, "layers": [8], "epochs": 3}
    result = small(**given, learner={"name": learner, "normalise": True})
    assert result.config["learner"]["normalise"] is True
    for weights, (n_in, n_out) in zip(split_weights(result, (6, 8, 3)), ((6, 8), (8, 3)), strict=True):
        rms = np.sqrt(np.mean(weights**2, axis=1))
        np.testing.assert_allclose(rms, np.sqrt(2 / (n_in + n_out)), rtol=0.05 if "crossbar" in device else 1e-5)
    free = small(**given, learner=learner)
    rms = np.sqrt(np.mean(split_weights(free, (6, 8, 3))[0] ** 2, axis=1))
    assert np.abs(rms / np.sqrt(2 / 14) - 1).max() > 0.1
    assert result.cost["updates"] == free.cost["updates"]
    assert result.cost["cells_programmed"] > free.cost["cells_programmed"]


def split_weights(result, sizes):
    """The weights that a run ended with, a layer each."""
    shapes = [(b, a) for a, b in itertools.pairwise(sizes)]
    flat = result.content["arrays"]["state/chip"]["weights"].astype(float)
    return [w.reshape(s) for w, s in zip(np.split(flat, [shapes[0][0] * shapes[0][1]]), shapes, strict=True)]


@pytest.mark.parametrize("init", weight_laws.INITS)
def test_a_run_starts_from_the_law_it_was_asked_for(init):
    """With a rate of zero it also ends there."""
    result = small(device="ideal", learner="bp", init=init, learning_rate=0.0, seed=5)
    assert result.config["init"] == init
    start = chip.snapshot(Chip([6, 5, 3], "ideal", seed=5, init=init))["weights"]
    assert np.array_equal(result.content["arrays"]["state/chip"]["weights"], start)
    other = chip.snapshot(Chip([6, 5, 3], "ideal", seed=5, init="he" if init != "he" else "glorot"))["weights"]
    assert not np.array_equal(start, other)


@pytest.mark.parametrize("learner", ["learned-fa", "learned-dfa"])
def test_weights_wait_until_learned_feedback_is_warm(learner):
    """Five updates of four epochs of two: cells and weights are left alone, feedback is not."""
    given = {"device": "ideal", "batch_size": 30, "learner": {"name": learner, "warmup": 5}}
    cold, warm = small(**given, epochs=2), small(**given, epochs=4)
    start = chip.snapshot(Chip([6, 5, 3], "ideal"))["weights"]
    assert np.array_equal(cold.content["arrays"]["state/chip"]["weights"], start)
    assert cold.cost["cells_programmed"] == cold.cost["updates"] == 0
    assert warm.cost["updates"] == 3
    assert not np.array_equal(warm.content["arrays"]["state/chip"]["weights"], start)
    assert cold.content["arrays"]["state/learner"]["feedback"].any()


# every activation compiles loops of its own: test_oracle goes through them all
@pytest.mark.parametrize("activation", ["leaky_relu", "tanh"])
@pytest.mark.parametrize("extra", [{}, {"bias": True}, {"inject": "digital"}, {"layers": []}, {"layers": [4, 3, 2]}])
def test_network_options_run(activation, extra):
    result = small(device="ideal", learner="danp", activation=activation, **extra)
    assert result.status == "finished"
    assert f"{'-'.join(map(str, [6, *extra.get('layers', [5]), 3]))}, {activation}" in result.summary()


def test_inject_and_bias_and_optimizer_are_not_ignored():
    runs = [
        small(**{"learner": "danp:sigma=0.01", "device": "crossbar", **given})
        for given in (
            {}, {"inject": "digital"}, {"bias": True}, {"optimizer": "sgd"}, {"optimizer": "sgd:momentum=0.9"},
            {"learning_rate": 0.01}, {"learning_rate_decay": 0.5}, {"batch_size": 15},
            {"device": "crossbar:adc_bits=5"}, {"learner": "danp:sigma=0.01,loss=batch"}, {"seed": 1},
        )
    ]  # fmt: skip
    ends = [run.history["test_loss"][-1] for run in runs]
    assert len(set(ends)) == len(ends)


# --- forms of the arguments -----------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "own.h5"
    with h5py.File(path, "w") as f:
        f.update(dict(zip(("x_train", "y_train", "x_test", "y_test"), ARRAYS, strict=True)))
    return path


def test_a_task_has_many_forms_and_one_result(file):
    forms = [ARRAYS, list(ARRAYS), tasks.get(ARRAYS), file, str(file), {"name": str(file)}]
    runs = [small(task=form) for form in forms]
    assert all(same_bits(run, runs[0]) for run in runs)
    assert runs[3].config["task"]["name"] == str(file)


def test_a_device_and_a_learner_have_many_forms_and_one_result():
    crossbar = devices.Crossbar(adc_bits=6)
    forms = [
        {"device": "crossbar:adc_bits=6", "learner": "danp:samples=2", "optimizer": "sgd:momentum=0.5"},
        {"device": crossbar, "learner": learners.DANP(samples=2), "optimizer": noisysim.optimizers.SGD(momentum=0.5)},
        {
            "device": {"name": "crossbar", "adc_bits": 6},
            "learner": {"name": "danp", "samples": 2},
            "optimizer": {"name": "sgd", "momentum": 0.5},
        },
    ]
    runs = [small(**form) for form in forms]
    assert all(same_bits(run, runs[0]) for run in runs)
    assert all(run.config == runs[0].config for run in runs)
    assert runs[0].config["device"]["adc_bits"] == 6


def test_a_toml_file_gives_the_same_run(file, tmp_path):
    toml = tmp_path / "run.toml"
    toml.write_text(
        f'task = "{file}"\nlayers = [5]\nepochs = 2\nbatch_size = 16\nseed = 4\nlearner = "np"\n'
        '[device]\nname = "crossbar"\nadc_bits = 6\n[optimizer]\nname = "sgd"\nmomentum = 0.5\n'
    )
    given = config.read(toml, ARGUMENTS)
    said = {"learner": "np", "device": "crossbar:adc_bits=6", "optimizer": "sgd:momentum=0.5"}
    assert same_bits(noisysim.run(**given, progress=False), small(task=file, seed=4, **said))


def test_a_stored_configuration_is_complete_and_runs_again(tmp_path):
    first = noisysim.run("student-teacher:n_in=8,n_out=3,n_train=40,n_test=10", epochs=2, batch_size=4, seed=3,
                         learner="np", layers=[4], out=tmp_path / "a.h5", progress=False)  # fmt: skip
    again = noisysim.run(**config.read(tmp_path / "a.h5", ARGUMENTS), progress=False)
    assert same_bits(again, first)
    assert set(first.config) == set(ARGUMENTS) - {
        "data", "threads", "out", "overwrite", "checkpoint_seconds", "until", "progress", "loss", *UNUSED,
    }  # fmt: skip


def test_the_decay_is_applied_once_an_epoch():
    """Decayed to nothing, the second epoch changes nothing; the four updates of the first all count in full."""
    given = {"device": "ideal", "learner": "bp", "optimizer": "sgd", "learning_rate": 0.1}
    one = small(**given, epochs=1)
    two = small(**given, epochs=2, learning_rate_decay=1e-9)
    ends = [run.content["arrays"]["state/chip"]["weights"] for run in (one, two)]
    assert np.allclose(*ends, rtol=0, atol=1e-7)
    assert two.history["learning_rate"].tolist() == [0.1, 0.1 * 1e-9]


def test_layers_default_to_the_tasks_own_and_an_empty_list_is_no_hidden_layer():
    assert noisysim.run(ARRAYS, epochs=1, progress=False).config["layers"] == [64]
    assert small(layers=[]).config["layers"] == []
    assert "6-3" in small(layers=[]).summary()


# --- history and cost -----------------------------------------------------------------------------------------------


def test_the_history_has_a_value_an_epoch_and_an_update():
    result = small(epochs=3, learning_rate=0.01, learning_rate_decay=0.5)
    assert set(result.history) == set(EPOCH)
    assert {len(column) for column in result.history.values()} == {3}
    assert {name: len(column) for name, column in result.steps.items()} == {"train_loss": 12}
    assert result.history["learning_rate"].tolist() == [0.01, 0.005, 0.0025]
    # an epoch's loss is the mean over its samples, of which the last update has fewer
    first = result.steps["train_loss"][:4]
    assert result.history["train_loss"][0] == pytest.approx(np.average(first, weights=[16, 16, 16, 12]), rel=1e-12)
    hits = result.history["train_accuracy"] * 60
    assert np.allclose(hits, np.round(hits), atol=1e-9)
    assert (result.history["test_accuracy"] >= 0).all()
    assert (result.history["test_accuracy"] <= 1).all()
    assert (result.history["passed_share"] > 0).all()
    assert (result.history["passed_share"] <= 1).all()


def test_the_recorded_losses_are_those_of_the_ideal_chip_before_each_update():
    """The first training loss and the last test loss, computed here from the oracle's weights."""
    x, labels, x_test, labels_test = (np.asarray(a) for a in ARRAYS)
    mean, std = x.mean(dtype=np.float64), x.std(dtype=np.float64)

    def loss(weights, x, labels):
        a = np.asarray((x - mean) / std, np.float64)
        for layer in np.split(weights.astype(np.float64), [30]):
            a = np.where(a > 0, a, 0.01 * a) if layer.size == 15 else a
            a = a @ layer.reshape(-1, a.shape[1]).T
        logs = np.log(np.exp(a).sum(axis=1)) - a[np.arange(len(a)), labels]
        return logs.mean()

    result = small(device="ideal", learner="bp", batch_size=60, epochs=2)
    start = chip.snapshot(Chip([6, 5, 3], "ideal"))["weights"]
    end = result.content["arrays"]["state/chip"]["weights"]
    assert result.steps["train_loss"][0] == pytest.approx(loss(start, x, labels), rel=1e-5)
    assert result.history["test_loss"][-1] == pytest.approx(loss(end, x_test, labels_test), rel=1e-5)


# case: device, learner, other arguments; then what one sample's pass through 6-5-3 costs: arrays (products), DAC and
# ADC conversions; passes an update; whether the converters are calibrated (one pass that nothing digitises) and
# whether the learner asks how loud it must be (two passes)
TILES = "crossbar:tile_rows=4,tile_columns=2"
COSTS = {
    "ideal-bp": ("ideal", "bp", {}, (2, 11, 8), 1, False, False),
    "ideal-danp": ("ideal", "danp", {}, (2, 11, 8), 2, False, True),
    "gaussian-np-3": ("gaussian", "np:samples=3", {}, (2, 11, 8), 4, False, True),
    "gaussian-inp-2": ("gaussian", "inp:samples=2", {}, (2, 11, 8), 5, False, True),
    "crossbar-danp": ("crossbar", "danp", {}, (2, 11, 8), 2, True, True),
    "crossbar-bp": ("crossbar", "bp", {}, (2, 11, 8), 1, True, False),
    "crossbar-fixed-adc": ("crossbar:adc_range=4", "danp", {}, (2, 11, 8), 2, False, True),
    # 7 inputs with the bias's row, and 6
    "gaussian-bias": ("gaussian", "danp", {"bias": True}, (2, 13, 8), 2, False, True),
    # 6 inputs in 2 tiles x 5 outputs in 3, then 5 in 2 x 3 in 2: each output has an ADC on every row tile,
    # each input a DAC on every column tile
    "crossbar-tiles": (TILES, "danp", {}, (10, 28, 16), 2, True, True),
    "crossbar-tiles-bias": (TILES, "np:samples=3", {"bias": True}, (10, 33, 16), 4, True, True),
    # feedback's passes: none but the baseline, two samples for the hidden layers, and two more for the output
    "gaussian-dfa": ("gaussian", "dfa", {}, (2, 11, 8), 1, False, True),
    "ideal-learned-fa-2": ("ideal", "learned-fa:samples=2,error=scalar", {}, (2, 11, 8), 5, False, True),
    # three hidden layers: one product each, 6 + 4 + 3 + 2 in, 4 + 3 + 2 + 3 out; INP has a pass a layer
    "gaussian-deep-inp": ("gaussian", "inp", {"layers": [4, 3, 2]}, (4, 15, 12), 5, False, True),
}


@pytest.mark.parametrize("case", COSTS.values(), ids=COSTS)
def test_costs_are_exactly_right(case):
    device, learner, extra, (mvms, dac, adc), passes, calibrated, asked = case
    result = small(device=device, learner=learner, epochs=3, **extra)
    before, digitised = calibrated + 2 * asked, 2 * asked
    # before, 32 samples, as a batch has fewer; an epoch: 60 samples in 4 batches of `passes` passes each, then one pass
    # over 20 test samples
    samples = 3 * (60 * passes + 20)
    assert result.cost["updates"] == 3 * 4
    assert result.cost["passes"] == before + 3 * (4 * passes + 1)
    assert result.cost["samples"] == 32 * before + samples
    assert result.cost["mvms"] == mvms * (32 * before + samples)
    assert result.cost["dac_conversions"] == dac * (32 * before + samples)
    assert result.cost["adc_conversions"] == adc * (32 * digitised + samples)
    sizes = itertools.pairwise([6, *extra.get("layers", [5]), 3])
    weights = sum(n_out * (n_in + extra.get("bias", False)) for n_in, n_out in sizes)
    pair = 2 if device.startswith("crossbar") else 1
    assert result.cost["cells_written_at_start"] == pair * weights
    written = result.cost["cells_programmed"]
    if pair == 1:
        assert written == 12 * weights
    else:
        assert 0 < written <= 12 * pair * weights
    # totals up to each epoch's end
    assert result.history["passes"].tolist() == [before + (e + 1) * (4 * passes + 1) for e in range(3)]
    for name in ("mvms", "adc_conversions", "cells_programmed"):
        column = result.history[name]
        assert column[-1] == result.cost[name]
        assert (np.diff(column) >= 0).all()
    assert np.diff(result.history["mvms"]).tolist() == [mvms * (60 * passes + 20)] * 2


def test_a_large_test_split_is_one_pass_however_it_is_cut():
    x, y = blobs(1200)
    result = small(task=(x[:60], y[:60], x, y), device="gaussian", learner="bp")
    assert result.cost["passes"] == 2 * (4 + 1)
    assert result.cost["samples"] == 2 * (60 + 1200)


# --- seeds and threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", ["danp", "np:samples=2", "bp"])
def test_a_seed_settles_every_bit_on_any_number_of_threads(learner):
    """One batch of three blocks, enough work that the pool is used."""
    given = {"task": "digits", "layers": [128], "batch_size": 1437, "epochs": 2, "learner": learner, "progress": False}
    first = noisysim.run(**given, threads=1)
    assert same_bits(noisysim.run(**given, threads=1), first)
    assert same_bits(noisysim.run(**given, threads=2), first)
    assert not same_bits(noisysim.run(**given, threads=2, seed=1), first)


def test_seeds_are_told_apart_to_the_last_digit():
    assert small(seed=2**53 + 1).config["seed"] == 2**53 + 1
    assert small(seed=2**63 - 1).config["seed"] == 2**63 - 1


def test_another_thread_of_the_program_can_run():
    """There, no signal can be caught; the bits are the same."""
    found = []
    thread = threading.Thread(target=lambda: found.append(small()))
    thread.start()
    thread.join()
    assert same_bits(found[0], small())


def test_a_run_leaves_global_random_state_alone():
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    small(learner="np")
    assert np.array_equal(np.random.get_state()[1], before)


# --- what a run notices about itself --------------------------------------------------------------------------------


@pytest.mark.runs
def test_divergence_is_a_result(tmp_path):
    """A linear regression just beyond the stable rate: the loss grows by a factor an update, for some epochs."""
    path = tmp_path / "run.h5"
    given = {
        "task": "student-teacher:n_in=8,n_out=3,n_train=40,n_test=10", "layers": [], "device": "ideal",
        "learner": "bp", "optimizer": "sgd", "learning_rate": 0.8, "batch_size": 4, "epochs": 50, "progress": False,
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy's overflow warnings are noise: the result says it
        result = noisysim.run(**given, out=path)
    assert result.status == "diverged"
    recorded = len(result.history["train_loss"])
    assert 1 <= recorded < 50
    assert np.isfinite(result.history["train_loss"]).all()
    assert len(result.steps["train_loss"]) > 10 * recorded
    last = result.steps["train_loss"][-1]
    assert not last <= 1e8
    assert result.warnings[0].startswith(f"diverged in epoch {recorded + 1}:")
    assert "learning_rate" in result.warnings[0]
    assert "(diverged)" in result.summary()
    result.plot()
    assert same_bits(noisysim.load(path), result)
    assert noisysim.load(path).status == "diverged"
    assert same_bits(noisysim.resume(path), result)  # there is nothing to go on with


def test_divergence_in_the_first_epoch_has_no_epoch_to_show():
    result = small(device="ideal", learner="bp", optimizer="sgd", learning_rate=1e5)
    assert result.status == "diverged"
    assert len(result.history["train_loss"]) == 0
    assert "epochs  0 of 2 (diverged)" in result.summary()
    result.plot()


EXACT = {"line_noise": 0, "read_noise": 0}
SAID = {
    "batch-loss": ({"learner": "danp:loss=batch"}, "one loss for the whole batch"),
    "dead-adc": (
        {"device": devices.get("crossbar", adc_range=1e6, **EXACT), "learner": "danp:sigma=1e-4"},
        "dead ADC: 0 % of the activity differences",
    ),
    "almost-dead-adc": (
        {"device": devices.get("crossbar", adc_range=20, **EXACT), "learner": "danp:sigma=1e-3"},
        "% of the activity differences got through the ADC",
    ),
    "too-small": ({"learner": "np:sigma=1e-6"}, "the perturbation is lost in the noise: sigma = 1e-06"),
    "chance": ({"learning_rate": 0.0, "epochs": 3, "learner": "bp", "seed": 3}, "nothing was learned"),
}


@pytest.mark.parametrize(("given", "said"), SAID.values(), ids=SAID)
def test_a_run_warns_of_what_keeps_it_from_learning(given, said):
    result = small(**given)
    found = [warning for warning in result.warnings if said in warning]
    assert len(found) == 1
    assert f"WARNING  {found[0]}" in result.summary()


@pytest.mark.runs
def test_a_healthy_run_says_nothing():
    assert small(epochs=25, batch_size=4, learner="danp").warnings == []


@pytest.mark.runs
def test_np_drowns_without_the_floor_it_finds_by_itself():
    """Left to choose, NP perturbs at least three times the noise observed; a whisper is lost in it."""
    given = {"device": "crossbar", "epochs": 40, "batch_size": 4}
    chosen, whisper = (small(learner=f"np:sigma={sigma}", **given) for sigma in (0, 1e-6))
    assert chosen.history["train_loss"][-1] < 0.8 * chosen.history["train_loss"][0]
    assert not chosen.history["train_loss"][-1] > whisper.history["train_loss"][-1]
    assert any("lost in the noise" in warning for warning in whisper.warnings)
    assert not any("lost in the noise" in warning for warning in chosen.warnings)


# --- regression, progress -------------------------------------------------------------------------------------------


@pytest.mark.runs
def test_a_regression_has_no_accuracy_and_draws_all_the_same(tmp_path):
    result = noisysim.run("student-teacher:n_in=8,n_out=3,n_train=200,n_test=50", epochs=3, batch_size=4,
                          learner="danp", learning_rate=0.01, progress=False)  # fmt: skip
    assert np.isnan(result.history["train_accuracy"]).all()
    assert np.isnan(result.history["test_accuracy"]).all()
    assert result.history["test_loss"][-1] < 0.8 * result.history["test_loss"][0]
    assert "accuracy" not in result.summary()
    assert len(result.plot(tmp_path / "curve.png").axes) == 1
    assert (tmp_path / "curve.png").stat().st_size > 5000


def test_without_a_terminal_there_is_no_progress(capsys):
    small(progress=None)
    assert capsys.readouterr() == ("", "")


def test_elapsed_covers_the_run_and_the_environment_names_versions():
    result = small()
    assert 0 < result.elapsed < 60
    assert {"noisysim", "numpy", "numba", "scipy", "h5py", "python", "cpu", "backend"} <= set(result.environment)
    assert not math.isnan(result.elapsed)
