"""Diagnostics: each against a direct float64 computation, no trace of them in a run, and their records and figures.

What is compared with float32 arithmetic of a chip is compared to its accuracy; statistical checks state their error.
"""

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import Chip, cli, learners
from noisysim.chip import diagnostics
from noisysim.chip.diagnostics import DIAGNOSTICS, ORACLE, Moments, Probe, arithmetic
from noisysim.compute import losses
from noisysim.compute.observation import Batch
from noisysim.runs import storage
from noisysim.runs.history import LOOKS

import naive

SIZES = (6, 9, 5, 3)
ALL = diagnostics.names()
SAMPLED = [name for name in ALL if hasattr(diagnostics.get(name), "samples")]


def a_chip(device="ideal", activation="leaky_relu", sizes=SIZES, decorrelated=True, bias=True, seed=1):
    """A chip whose biases and decorrelation matrices aren't where they start."""
    rng = np.random.default_rng(seed)
    chip = Chip(sizes, device, activation, decorrelated, seed, bias=bias, oracle=True)
    chip.program([0.3 * rng.standard_normal(s).astype(np.float32) for s in chip.network.shapes])
    for _ in range(3 * decorrelated):
        x = [rng.standard_normal((5, n + bias)).astype(np.float32) + 0.5 for n in sizes[:-1]]
        chip.decorrelate(x, 0.05)
    return chip


def a_batch(rows=20, sizes=SIZES, seed=0, loss="cce"):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, sizes[0])).astype(np.float32)
    return Batch(x, np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], rows)], losses.get(loss))


def a_probe(chip, batch, learner="np", gradient=True, **settings):
    """An update of a learner on a chip, and as many more estimates as are asked for, all different."""
    learner = learners.get(learner, **settings)
    state = learner.init(chip.sizes, seed=3, offers=chip.offers, activation=chip.architecture.activations[0])
    oracle = chip.oracle(batch)

    def updates(count):
        nonlocal state
        for _ in range(count):
            observed = chip.passes(batch, learner.drives(state, len(batch.inputs)))
            found, state = learner.update(state, observed, oracle=oracle)
            yield observed, found

    (observed, found), *_ = updates(1)
    return Probe(
        batch, observed, found if gradient else None, chip.architecture, oracle,
        lambda count: ((seen[0], estimate) for seen, estimate in updates(count)),
    )  # fmt: skip


def measure(name, probe, **settings):
    found = diagnostics.get(name, **settings).measure(probe)
    assert (found.dtype, found.shape) == (np.float64, (len(probe.baseline.activities),))
    return found


def true_gradient(probe, observation):
    """Backpropagation in float64 at an observation's activities."""
    f64 = [[np.asarray(a, float) for a in arrays] for arrays in (
        probe.oracle.weights, probe.oracle.rotations, observation.activities, observation.inputs)]  # fmt: skip
    weights, rotations, activities, inputs = f64
    error = naive.error("cce", activities[-1], np.asarray(probe.batch.targets, float))
    return naive.gradient(naive.backprop(activities, error, weights, probe.net.activations[0], rotations), inputs)


def kept(probe, count):
    """The estimates that a probe draws, and the truths beside them: (count, weights) a layer."""
    drawn = [([np.ravel(t) for t in true_gradient(probe, seen)], [np.ravel(g).astype(float) for g in estimate])
             for seen, estimate in probe.estimate(count)]  # fmt: skip
    truths, estimates = zip(*drawn, strict=True)
    return [np.array(layer) for layer in zip(*estimates, strict=True)], [
        np.array(layer) for layer in zip(*truths, strict=True)
    ]


def probe_of(probe, estimate):
    """The probe, with another stream of estimates, and nothing drawn."""
    return Probe(probe.batch, probe.observations, probe.gradient, probe.net, probe.oracle, estimate)


def repeating(probe, count):
    """The probe, with a stream of estimates that is the same each time it is drawn."""
    drawn = [(seen, [g.copy() for g in estimate]) for seen, estimate in probe.estimate(count)]
    return probe_of(probe, lambda n: iter(drawn[:n]))


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


# --- estimates against the truth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["ideal", "gaussian:sigma=0.1", "crossbar"])
def test_angle_and_cosine(device):
    probe = a_probe(a_chip(device), a_batch(), sigma=0.1)
    truth = true_gradient(probe, probe.baseline)
    pairs = [(np.ravel(g).astype(float), np.ravel(t)) for g, t in zip(probe.gradient, truth, strict=True)]
    expected = np.array([cosine(g, t) for g, t in pairs])
    assert np.abs(expected).max() < 0.9
    np.testing.assert_allclose(measure("cosine", probe), expected, atol=1e-5)
    np.testing.assert_allclose(measure("angle", probe), np.degrees(np.arccos(expected)), atol=1e-3)


@pytest.mark.parametrize("degrees", [0, 1e-6, 30, 90, 150, 180 - 1e-6, 180])
def test_the_angle_is_exact_also_where_the_arc_cosine_is_not(degrees):
    u, v = np.random.default_rng(0).standard_normal((2, 50))
    v -= u * (u @ v) / (u @ u)
    v *= np.linalg.norm(u) / np.linalg.norm(v)
    turned = 7.0 * (np.cos(np.radians(degrees)) * u + np.sin(np.radians(degrees)) * v)
    found = arithmetic.compare(arithmetic.angle, [u.reshape(5, 10)], [turned.reshape(5, 10)])
    np.testing.assert_allclose(found, [degrees], rtol=1e-8, atol=1e-13)


@pytest.mark.parametrize("device", ["ideal", "gaussian:sigma=0.1"])
def test_mean_angle_bias_and_variance(device):
    """Against all estimates at once; on the noisy chip the truth differs from estimate to estimate."""
    probe = repeating(a_probe(a_chip(device), a_batch(), "anp", sigma=0.1), 12)
    estimates, truths = kept(probe, 12)
    if device != "ideal":
        assert all(t.std(axis=0).max() > 1e-3 * np.abs(t).max() for t in truths)
    pairs = list(zip(estimates, truths, strict=True))
    norms = np.array([np.sum(t.mean(0) ** 2) for t in truths])
    variance = np.array([np.sum(e.var(axis=0, ddof=1)) for e in estimates])
    squares = np.array([np.sum((e - t).mean(0) ** 2) - np.sum((e - t).var(axis=0, ddof=1)) / 12 for e, t in pairs])
    angles = [np.degrees(np.arccos(cosine(e.mean(0), t.mean(0)))) for e, t in pairs]
    np.testing.assert_allclose(measure("variance", probe, samples=12), variance / norms, rtol=1e-4)
    bias = measure("bias", probe, samples=12)
    np.testing.assert_allclose(bias**2, np.maximum(squares, 0) / norms, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(measure("mean_angle", probe, samples=12), angles, atol=2e-3)
    two = [np.sum((e[0] - e[1]) ** 2) / 2 / np.sum(t[:2].mean(0) ** 2) for e, t in pairs]
    np.testing.assert_allclose(measure("variance", probe, samples=2), two, rtol=1e-4)


def test_moments_are_those_of_all_at_once():
    rng = np.random.default_rng(2)
    values = [1e4 + rng.standard_normal((30, 4, 5)), rng.standard_normal((30, 2, 3)).astype(np.float32)]
    found = Moments()
    for pair in zip(*values, strict=True):
        found.add(pair)
    for layer, all_of_it in enumerate(values):
        np.testing.assert_allclose(found.mean[layer], all_of_it.mean(axis=0, dtype=float), rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(found.variance[layer], all_of_it.var(axis=0, ddof=1, dtype=float).sum(), rtol=1e-9)
    same = Moments()
    for _ in range(7):
        same.add([values[0][0]])
    assert same.variance == 0


@pytest.mark.parametrize("device", ["ideal", "gaussian:sigma=0.1", "crossbar"])
def test_backpropagation_is_the_truth_on_every_device(device):
    probe = a_probe(a_chip(device), a_batch(), "dbp")
    for name in ("angle", "mean_angle", "bias"):
        np.testing.assert_array_equal(measure(name, probe), 0)
    np.testing.assert_allclose(measure("cosine", probe), 1, rtol=1e-14)
    assert (measure("variance", probe) > 0).all() == (device != "ideal")


def test_estimates_are_drawn_once_for_all_that_ask_for_as_many():
    probe, asked = repeating(a_probe(a_chip(), a_batch()), 20), []

    def estimate(count):
        asked.append(count)
        return probe.estimate(count)

    shared = probe_of(probe, estimate)
    for name in SAMPLED:
        measure(name, shared)
    assert asked == [20]
    measure("bias", shared, samples=5)
    assert asked == [20, 5]


# --- NP and INP against theory --------------------------------------------------------------------------------------


def covariance_of_a_draw(name, signals, inputs, layer):
    """Exact covariance of one draw's weight gradient, (weights, weights), for small noise.

    With G all layers' signals: NP's (G . xi) xi_l has covariance |G|^2 I + g_l g_l^T; INP's N (g . v) v / |v|^2 has
    N / (N + 2) (|g|^2 I + 2 g g^T) - g g^T. Samples are independent; each is multiplied by its x^T.
    """
    batch = len(signals[0])
    total = 0.0
    for b in range(batch):
        g, x = signals[layer][b], inputs[layer][b]
        n = len(g)
        if name == "np":
            own = sum(s[b] @ s[b] for s in signals) * np.eye(n) + np.outer(g, g)
        else:
            own = n / (n + 2) * (g @ g * np.eye(n) + 2 * np.outer(g, g)) - np.outer(g, g)
        total = total + np.kron(own, np.outer(x, x)) / batch**2
    return total


@pytest.mark.parametrize("name", ["np", "inp"])
def test_node_perturbation_has_no_bias_and_the_variance_that_theory_gives(name):
    """400 estimates, fixed seed. Variance: within 4 standard errors, taken from the scatter of the squared distances.

    Bias: |mean error|^2 - s^2 / n has mean 0 and standard deviation sqrt(2 tr C^2) / n without a bias; below 5 of them.
    """
    samples = 400
    chip, batch = a_chip(activation="tanh", decorrelated=False, bias=False), a_batch(8)
    probe = repeating(a_probe(chip, batch, name), samples)
    estimates, truths = kept(probe, samples)
    signals = [np.asarray(s, float) for s in probe.oracle.signals(probe.baseline)]
    inputs = [np.asarray(x, float) for x in probe.baseline.inputs]
    bias, variance = (measure(which, probe, samples=samples) for which in ("bias", "variance"))
    for layer, (estimate, truth) in enumerate(zip(estimates, truths, strict=True)):
        exact = covariance_of_a_draw(name, signals, inputs, layer)
        norm = truth[0] @ truth[0]
        distances = np.sum((estimate - estimate.mean(0)) ** 2, axis=1)
        error = distances.std(ddof=1) / np.sqrt(samples)
        assert abs(variance[layer] * norm - np.trace(exact)) < 4 * error
        assert error < 0.1 * np.trace(exact)
        assert bias[layer] ** 2 * norm < 5 * np.sqrt(2 * np.sum(exact**2)) / samples


# --- activities -----------------------------------------------------------------------------------------------------


def participation(x):
    """(sum v)^2 / sum v^2 of the eigenvalues of a covariance."""
    v = np.linalg.eigvalsh(np.atleast_2d(np.cov(x.T)))
    return v.sum() ** 2 / np.sum(v**2)


@pytest.mark.parametrize("rows", [3, 8, 200])
@pytest.mark.parametrize("activation", ["leaky_relu", "tanh"])
def test_dimensionality(rows, activation):
    probe = a_probe(a_chip(activation=activation), a_batch(rows))
    hidden = [naive.activate(activation, a.astype(float)) for a in probe.baseline.activities[:-1]]
    expected = [*(participation(x) for x in hidden), np.nan]
    np.testing.assert_allclose(measure("dimensionality", probe), expected, rtol=1e-5)


def correlation(x):
    """Mean |r| of the columns that vary."""
    x = np.asarray(x, float)
    r = np.corrcoef(x[:, np.ptp(x, axis=0) > 0].T)
    return np.abs(r[~np.eye(len(r), dtype=bool)]).mean()


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
@pytest.mark.parametrize("sizes", [SIZES, (300, 11, 3)])  # the second: more than one block
def test_correlations_before_and_after_decorrelation(device, sizes):
    batch = a_batch(40, sizes)
    batch.inputs[:, 2] = 0.3  # an input that never changes
    batch.inputs[:, 4] = -2 * batch.inputs[:, 3]
    probe = a_probe(a_chip(device, sizes=sizes), batch, sigma=0.1)
    hidden = [naive.activate("leaky_relu", a.astype(float)) for a in probe.baseline.activities[:-1]]
    before, after = (measure(f"correlation_{when}", probe) for when in ("before", "after"))
    np.testing.assert_allclose(before, [correlation(x) for x in [batch.inputs, *hidden]], rtol=1e-5)
    np.testing.assert_allclose(after, [correlation(x) for x in probe.baseline.inputs], rtol=1e-10)
    assert (np.abs(before - after) > 1e-4).all()


def test_without_decorrelation_and_converters_both_correlations_are_the_same():
    probe = a_probe(a_chip(decorrelated=False), a_batch(40))
    np.testing.assert_allclose(measure("correlation_before", probe), measure("correlation_after", probe), rtol=1e-6)


def with_differences(probe, differences):
    """A probe whose second pass is so far from the first, in every layer."""
    first, second = probe.observations[:2]
    for one, other, difference in zip(first.activities, second.activities, differences, strict=True):
        one[...] = 0
        other[...] = difference
    return probe_of(probe, probe.estimate)


def test_whiteness_is_its_formula():
    probe = a_probe(a_chip(), a_batch(30), "anp", sigma=0.1)
    first, second = ([a.astype(float) for a in o.activities] for o in probe.observations)
    expected = []
    for a, b in zip(first, second, strict=True):
        c, n = np.atleast_2d(np.cov((b - a).T)), 29
        square = (np.sum(c**2) - np.trace(c) ** 2 / n) * n**2 / ((n - 1) * (n + 2))
        expected.append((np.trace(c) ** 2 - 2 * square / n) / (len(c) * square))
    np.testing.assert_allclose(measure("difference_whiteness", probe), expected, rtol=1e-9)


@pytest.mark.parametrize("rows", [12, 400])
def test_whiteness_does_not_depend_on_the_batch(rows):
    """Of white noise 1, of noise with two strengths what the definition gives: within 5 standard errors of 50 draws."""
    sizes, rng = (2, 20, 20), np.random.default_rng(rows)
    scale = np.where(np.arange(20) < 10, 1.0, 3.0)
    expected = np.array([1, np.sum(scale**2) ** 2 / (20 * np.sum(scale**4))])
    probe, found = a_probe(a_chip(sizes=sizes), a_batch(rows, sizes), "anp"), []
    for _ in range(50):
        noise = [rng.standard_normal((rows, 20)), scale * rng.standard_normal((rows, 20))]
        found.append(measure("difference_whiteness", with_differences(probe, noise)))
    error = np.std(found, axis=0, ddof=1) / np.sqrt(50)
    assert (error < 0.03).all()
    # a ratio of unbiased estimates: its own bias is of the order of its squared scatter
    assert (np.abs(np.mean(found, axis=0) - expected) < 5 * error + np.var(found, axis=0)).all()


def test_the_passed_share_is_what_the_converter_lets_through():
    probe = a_probe(a_chip("crossbar:adc_bits=4,line_noise=0"), a_batch(50), sigma=0.02)
    pairs = list(zip(probe.observations[1].activities, probe.baseline.activities, strict=True))
    found = measure("passed_share", probe)
    np.testing.assert_array_equal(found, [np.mean(a != b) for a, b in pairs])
    assert (found > 0).all()
    assert (found < 0.9).all()
    exact = a_probe(a_chip(), a_batch(50), sigma=0.02)
    np.testing.assert_array_equal(measure("passed_share", exact), 1)


def test_weight_norm():
    chip = a_chip("crossbar")
    probe = a_probe(chip, a_batch(), sigma=0.1)
    expected = [np.sqrt(np.sum(w.astype(float) ** 2)) for w in chip.oracle(a_batch()).weights]
    np.testing.assert_allclose(measure("weight_norm", probe), expected, rtol=1e-12)


# --- what is not defined --------------------------------------------------------------------------------------------


def test_one_pass_has_no_differences():
    probe = a_probe(a_chip(), a_batch(), "dbp")
    for name in ("difference_whiteness", "passed_share"):
        assert np.isnan(measure(name, probe)).all()


def test_one_sample_has_no_covariance():
    probe = a_probe(a_chip(), a_batch(1))
    for name in ("dimensionality", "correlation_before", "correlation_after", "difference_whiteness"):
        assert np.isnan(measure(name, probe)).all()
    assert np.isfinite(measure("angle", probe)).all()
    two = a_probe(a_chip(), a_batch(2))
    assert np.isnan(measure("difference_whiteness", two)).all()
    np.testing.assert_allclose(measure("dimensionality", two)[:-1], 1)


def test_no_gradient_has_no_angle():
    probe = a_probe(a_chip(), a_batch(), gradient=False)
    nothing = probe_of(probe, lambda n: iter(()))
    for name in ("angle", "cosine", *SAMPLED):
        assert np.isnan(measure(name, nothing)).all()
    one = probe_of(probe, lambda n: probe.estimate(1))
    assert np.isfinite(measure("mean_angle", one)).all()
    assert np.isnan(measure("bias", one)).all()
    assert np.isnan(measure("variance", one)).all()


def test_a_gradient_of_zero_has_no_angle_and_a_truth_of_zero_no_scale():
    probe = a_probe(a_chip(), a_batch())
    probe.gradient[1][...] = 0
    found = measure("angle", probe)
    assert np.isnan(found[1])
    assert np.isfinite(found[[0, 2]]).all()
    perfect = Batch(probe.batch.inputs, probe.baseline.output.copy(), losses.get("mse"))
    probe = a_probe(a_chip(), perfect)
    for name in ("angle", "cosine", *SAMPLED):
        assert np.isnan(measure(name, probe)).all()


def test_a_layer_that_gives_the_same_for_all_samples_has_no_dimensions():
    probe = a_probe(a_chip(), a_batch())
    probe.baseline.activities[0][...] = 0.0
    probe.batch.inputs[...] = 0.1
    np.testing.assert_array_equal(np.isnan(measure("dimensionality", probe)), [True, False, True])
    np.testing.assert_array_equal(np.isnan(measure("correlation_before", probe)), [True, True, False])


# --- a run with diagnostics is the run without ----------------------------------------------------------------------

TASK = "student-teacher:n_in=6,n_train=40,n_test=10"
GIVEN: dict[str, Any] = {"task": TASK, "layers": [5], "batch_size": 11, "epochs": 2, "progress": False, "seed": 4}


def everything(result):
    """All recorded arrays but those of the diagnostics, and the cost."""
    arrays = {f"{group}/{name}": array for group, columns in result.content["arrays"].items() if group != LOOKS
              for name, array in columns.items()}  # fmt: skip
    return {**arrays, "cost": np.array(list(result.cost.values()))}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
@pytest.mark.parametrize("learner", [*learners.names(), "danp:samples=3", "dnp:baseline=noisy"])
def test_watching_leaves_no_trace(learner, device):
    """History, weights, state of the learner and the optimizer, converter ranges, cost: the same bits."""
    given = {**GIVEN, "learner": learner, "device": device, "bias": True}
    plain = noisysim.run(**given)
    watched = noisysim.run(**given, diagnostics=[f"{n}:samples=3" if n in SAMPLED else n for n in ALL], every=3)
    assert_same(everything(watched), everything(plain))
    assert watched.warnings == plain.warnings
    assert watched.status == "finished"
    assert plain.diagnostics == {}
    assert np.array_equal(watched.diagnostics["update"], [0, 3, 6])
    for name in ALL:
        assert watched.diagnostics[name].shape == (3, 2)
    assert np.isfinite(watched.diagnostics["weight_norm"]).all()
    assert np.isfinite(watched.diagnostics["angle"]).any()


def test_the_first_look_is_at_the_first_update():
    x = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    task = noisysim.tasks.get((x, np.arange(20) % 3, x, np.arange(20) % 3), standardise="none")
    given = {"layers": [9, 5], "device": "ideal", "learner": "np", "batch_size": 20, "epochs": 1, "seed": 2}
    result = noisysim.run(task, **given, diagnostics=["angle", "variance:samples=200"], progress=False)
    chip = Chip(SIZES, "ideal", seed=2, oracle=True)
    probe = a_probe(chip, task.batch("train", task.order(0, 2)))
    learner = learners.get("np")
    state = learner.init(SIZES, seed=2, offers=chip.offers)
    observed = chip.passes(probe.batch, learner.drives(state, 20))
    gradient, _ = learner.update(state, observed)
    first = Probe(probe.batch, observed, gradient, chip.architecture, probe.oracle, probe.estimate)
    np.testing.assert_array_equal(result.diagnostics["angle"], [measure("angle", first)])
    # other draws of the same law: 200 estimates each, whose squared norms scatter by less than their mean
    np.testing.assert_allclose(result.diagnostics["variance"][0], measure("variance", probe, samples=200), rtol=0.3)


@pytest.mark.parametrize(("every", "looks"), [(1, 8), (3, 3), (4, 2), (7, 2), (100, 1)])
def test_looks_come_every_so_many_updates(every, looks):
    result = noisysim.run(**GIVEN, diagnostics=["passed_share"], every=every)
    assert result.cost["updates"] == 8
    np.testing.assert_array_equal(result.diagnostics["update"], np.arange(looks) * every)
    assert result.diagnostics["passed_share"].shape == (looks, 2)


@pytest.mark.parametrize("learner", ["danp", "np", "learned-fa", "dbp"])
def test_a_run_that_was_killed_goes_on_looking(learner, tmp_path, monkeypatch):
    """From a copy of the file after any update, as a killed run would leave it: the file of the undisturbed run."""
    copies, write = [], storage.write

    def keep(path, content):
        write(path, content)
        copies.append(Path(shutil.copy(path, tmp_path / f"copy{len(copies)}.h5")))

    given = {**GIVEN, "learner": learner, "diagnostics": ["angle", "bias:samples=3", "dimensionality"], "every": 2}
    monkeypatch.setattr(storage, "write", keep)
    noisysim.run(**given, out=tmp_path / "whole.h5", checkpoint_seconds=0)
    monkeypatch.setattr(storage, "write", write)
    whole = noisysim.load(tmp_path / "whole.h5")
    for copy in copies[0:-1:2]:
        assert noisysim.load(copy).status == "running"
        after = noisysim.resume(copy, progress=False)
        for result in (after, noisysim.load(copy)):
            assert_same(everything(result), everything(whole))
            assert_same(result.diagnostics, whole.diagnostics)
    assert len(whole.diagnostics["angle"]) == 4
    assert_same(everything(whole), everything(noisysim.run(**{**given, "diagnostics": []})))


# --- the oracle is not the learner's --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_a_learner_never_gets_the_oracle_through_diagnostics(device, monkeypatch):
    seen, estimate = [], learners.NP.estimate

    def nosy(self, state, observations, oracle=None):
        seen.append((state.offers, oracle))
        return estimate(self, state, observations, oracle)

    monkeypatch.setattr(learners.NP, "estimate", nosy)
    given = {**GIVEN, "learner": "np"}
    result = noisysim.run(**given, device=device, diagnostics=["angle", "bias:samples=3"], every=2)
    assert len(seen) == 8 + 4 * 3
    for offers, oracle in seen:
        assert "oracle" not in offers
        assert oracle is None
    assert result.config["oracle"] is False
    assert np.isfinite(result.diagnostics["angle"]).all()


def test_only_what_needs_the_oracle_gets_it(monkeypatch):
    given = set()

    def looks(self, probe):
        given.add(probe.oracle)
        with pytest.raises(ValueError, match="says so: needs = frozenset"):
            probe.truth  # noqa: B018
        return probe.undefined

    monkeypatch.setattr(diagnostics.CorrelationAfter, "measure", looks)
    noisysim.run(**GIVEN, diagnostics=["correlation_after", "passed_share"])
    assert given == {None}


# --- by name --------------------------------------------------------------------------------------------------------

BAD = {
    "name": (["angel"], ValueError, "unknown diagnostic 'angel'; did you mean 'angle'"),
    "field": (["bias:n=3"], ValueError, "diagnostic 'bias' has no field 'n'"),
    "range": (["bias:samples=1"], ValueError, r"diagnostic 'bias'.samples must be a whole number from 2 .* not 1"),
    "fraction": (["mean_angle:samples=2.5"], ValueError, "samples must be a whole number"),
    "twice": (["angle", "bias", "angle"], ValueError, "names one twice: angle, bias, angle"),
    "twice-otherwise": (["bias", "bias:samples=3"], ValueError, "names one twice"),
    "word": ("angle", TypeError, r"must be a list of names such as \['angle'\]"),
    "number": ([3], TypeError, "diagnostic must be a name"),
}


@pytest.mark.parametrize(("given", "kind", "said"), BAD.values(), ids=BAD)
def test_bad_diagnostics_are_refused_before_any_work(given, kind, said, monkeypatch):
    monkeypatch.setattr(noisysim.runs.api, "Training", None)
    with pytest.raises(kind, match=said):
        noisysim.run(diagnostics=given)


@pytest.mark.parametrize("every", [0, -1, 1.5, "often"])
def test_bad_intervals_are_refused(every, monkeypatch):
    monkeypatch.setattr(noisysim.runs.api, "Training", None)
    with pytest.raises((ValueError, TypeError), match=r"run\.every must be a whole number from 1"):
        noisysim.run(diagnostics=["angle"], every=every)


@pytest.mark.parametrize("name", ALL)
def test_every_diagnostic_is_described(name):
    found = diagnostics.get(name)
    assert diagnostics.get(diagnostics.describe(found)) == found
    assert type(found) is DIAGNOSTICS[name]
    assert found.axis.label
    text = Path(noisysim.__file__).parents[1] / "docs" / "diagnostics.md"
    if text.exists():
        assert f"| `{name}` |" in text.read_text()


def test_the_documented_diagnostic_of_ones_own_works(tmp_path):
    text = Path(noisysim.__file__).parents[1] / "docs" / "diagnostics.md"
    if not text.exists():
        pytest.skip("no docs beside this installation")
    example = re.findall(r"```python\n(.*?)```", text.read_text(), re.DOTALL)[-1]
    names: dict[str, Any] = {"__name__": "example"}
    try:
        exec(example, names)
        result = names["result"]
        assert ((result.diagnostics["active"] > 0) & (result.diagnostics["active"] < 1)).all()
        assert result.plot(what="active").axes[0].get_ylabel() == "share of a > 0"
    finally:
        DIAGNOSTICS.pop("active", None)


# --- records --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A run with all diagnostics; its file."""
    chosen = [f"{n}:samples=3" if n in SAMPLED else n for n in ALL]
    path = tmp_path_factory.mktemp("diagnostics") / "run.h5"
    return noisysim.run(**{**GIVEN, "layers": [7, 5]}, learner="anp", diagnostics=chosen, every=2, out=path)


def test_the_file_holds_what_was_found(result):
    with h5py.File(result.path) as file:
        group = file["history/diagnostics"]
        assert set(group) == {"update", *ALL}
        assert (group["update"].dtype, group["update"].shape) == (np.int64, (4,))
        for name in ALL:
            assert (group[name].dtype, group[name].shape) == (np.float64, (4, 3))
    assert_same(noisysim.load(result.path).diagnostics, result.diagnostics)


def test_a_file_without_diagnostics_has_none(tmp_path):
    noisysim.run(**GIVEN, out=tmp_path / "run.h5")
    found = noisysim.load(tmp_path / "run.h5")
    assert found.diagnostics == {}
    assert "measured" not in dict(found.rows())
    with h5py.File(tmp_path / "run.h5") as file:
        assert "diagnostics" not in file["history"]


def test_the_summary_says_what_looked_at_what(result):
    said = dict(result.rows())["measured"]
    assert "bias(samples=3), " in said
    assert ": 4 looks, one every 2 updates; angle, bias, cosine, " in said
    assert said.endswith("weight_norm read exact weights, the learner did not")
    assert not any(name in said.partition("; ")[2] for name in ALL if not DIAGNOSTICS[name].needs >= ORACLE)
    seen = dict(noisysim.run(**GIVEN, diagnostics=["passed_share"]).rows())["measured"]
    assert seen == "passed_share: 1 look, one every 50 updates"
    told = noisysim.run(**GIVEN, learner="bp", diagnostics=["angle"])
    assert dict(told.rows())["measured"] == "angle: 1 look, one every 50 updates"
    assert "oracle access" in dict(told.rows())["learner"]


def test_a_result_file_runs_again_with_its_diagnostics(result):
    again = noisysim.run(**{**noisysim.runs.config.rerunnable(result.config)}, progress=False)
    assert_same(again.diagnostics, result.diagnostics)


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_a_figure_for_each(name, result, tmp_path):
    figure = result.plot(tmp_path / "figure.png", what=name)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    (panel,) = figure.axes
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("updates", DIAGNOSTICS[name].axis.label)
    drawn = {line.get_label(): line for line in panel.lines if line.get_label().isdigit()}
    defined = [k for k in range(3) if np.isfinite(result.diagnostics[name][:, k]).any()]
    assert list(drawn) == [str(k + 1) for k in defined]
    assert len(defined) == (2 if name == "dimensionality" else 3)
    for layer in defined:
        expected = np.stack([result.diagnostics["update"], result.diagnostics[name][:, layer]], axis=1)
        np.testing.assert_array_equal(drawn[str(layer + 1)].get_xydata(), expected)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(drawn)
    assert len({tuple(line.get_color()) for line in drawn.values()}) == len(drawn)


def test_angles_are_shown_from_0_to_90(result):
    (panel,) = result.plot(what="angle").axes
    bottom, top = panel.get_ylim()
    assert bottom < 0
    assert top > 90
    assert 90 in panel.get_yticks()
    assert any(np.array_equal(line.get_ydata(), [90, 90]) for line in panel.lines)


def test_all_in_one_figure(result, tmp_path):
    figure = result.plot(tmp_path / "all.svg", what="diagnostics")
    assert [panel.get_title(loc="left") for panel in figure.axes] == [DIAGNOSTICS[name].axis.label for name in ALL]
    assert [panel.get_xlabel() for panel in figure.axes] == [""] * (len(ALL) - 3) + ["updates"] * 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "2", "3"]
    assert "<svg" in (tmp_path / "all.svg").read_text()


def test_no_labels_overlap(result):
    """Titles, axis labels, tick labels and legend of the largest figure, as they are drawn."""
    figure = result.plot(what="diagnostics")
    figure.draw_without_rendering()
    texts = [figure._suptitle, *figure.legends[0].get_texts()]
    for panel in figure.axes:
        texts += [panel.xaxis.label, panel._left_title]
        for axis in (panel.xaxis, panel.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    texts = [text for text in texts if text.get_text()]
    boxes = [text.get_window_extent() for text in texts]
    assert len(boxes) > 50
    for k, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[k + 1 :]), texts[k]


def ranged(result, values, name="variance"):
    """The panel of a run whose diagnostic found such values, (looks, layers)."""
    looks = {**result.diagnostics, name: np.asarray(values, float), "update": np.arange(len(values))}
    arrays = {**result.content["arrays"], LOOKS: looks}
    figure = noisysim.Result({**result.content, "arrays": arrays}, None).plot(what=name)
    figure.draw_without_rendering()
    return figure.axes[0]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([[1, 2], [3, 4]], "linear"),
        ([[1, 200], [3, 4]], "log"),
        ([[0, 200], [3, 4]], "linear"),  # a logarithm does not show zero
        ([[0, 0], [0, 0]], "linear"),
        ([[np.nan, 1], [np.nan, 1e-9]], "log"),
        ([[np.nan, np.nan]], "linear"),
        (np.zeros((0,)), "linear"),
    ],
)
def test_the_scale_suits_the_values(values, scale, result):
    panel = ranged(result, values)
    assert panel.get_yscale() == scale
    undefined = not np.isfinite(values).any()
    assert [text.get_text() for text in panel.texts] == ["not defined in this run"] * undefined


def test_an_angle_is_never_on_a_logarithmic_axis(result):
    assert ranged(result, [[0.01, 90], [1, 120]], "angle").get_yscale() == "linear"


def test_many_looks_are_drawn_as_means_of_what_is_defined(result):
    values = np.stack([np.arange(150.0), np.arange(150.0), np.full(150, np.nan)], axis=1)
    values[[1, 3, 4, 5], 1] = np.nan
    panel = ranged(result, values, "weight_norm")
    assert panel.get_xlabel() == "updates (means of 3 looks)"
    first, second = panel.lines
    assert len(first.get_ydata()) == 50
    np.testing.assert_allclose(first.get_xydata()[:2], [[1, 1], [4, 4]])
    np.testing.assert_allclose(second.get_ydata()[:3], [1, np.nan, 7])


def test_one_look_is_a_point(result):
    panel = ranged(result, [[1, 2]])
    assert [line.get_marker() for line in panel.lines] == ["o", "o"]


def test_what_was_not_measured_is_not_drawn(result, tmp_path):
    with pytest.raises(ValueError, match="unknown diagnostic of this run 'angel'; did you mean 'angle'"):
        result.plot(what="angel")
    with pytest.raises(ValueError, match="unknown diagnostic of this run 'update'"):
        result.plot(what="update")
    plain = noisysim.run(**GIVEN)
    for what in ("angle", "diagnostics"):
        with pytest.raises(ValueError, match=r"made without diagnostics.*'angle'"):
            plain.plot(tmp_path / "none.png", what=what)
    assert not (tmp_path / "none.png").exists()
    assert [panel.get_ylabel() for panel in result.plot().axes] == ["loss"]


def test_drawing_leaves_pyplot_alone(result):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    result.plot(what="diagnostics")
    assert plt.get_fignums() == before


# --- the command line -----------------------------------------------------------------------------------------------


def call(words, monkeypatch):
    """The exit status of the command line."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["noisysim", *map(str, words)])
    try:
        cli.main()
    except SystemExit as leaving:
        return leaving.code
    return 0


def test_diagnostics_on_the_command_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / "run.h5"
    words = shlex.split(f"run {TASK} --layers 5 --batch-size 11 --epochs 2 --out")
    chosen = shlex.split("--diagnostics angle bias:samples=3 --every 3")
    assert not call([*words, path, *chosen], monkeypatch)
    assert "measured  angle, bias(samples=3): 3 looks, one every 3 updates" in capsys.readouterr().out
    found = noisysim.load(path)
    assert found.config["diagnostics"] == [{"name": "angle"}, {"name": "bias", "samples": 3}]
    np.testing.assert_array_equal(found.diagnostics["update"], [0, 3, 6])
    for what, name in (("angle", "run-angle.png"), ("diagnostics", "run-diagnostics.png"), ("curves", "run.png")):
        assert not call(["plot", path, "--what", what], monkeypatch)
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert not call(["plot", path, "--what", "bias", "--out", tmp_path / "bias.pdf"], monkeypatch)
    assert (tmp_path / "bias.pdf").read_bytes().startswith(b"%PDF")
    assert call(["plot", path, "--what", "variance"], monkeypatch) == 2
    assert "unknown diagnostic of this run 'variance'" in capsys.readouterr().err
    assert call(["run", "--diagnostics", "angel"], monkeypatch) == 2
    assert "unknown diagnostic 'angel'" in capsys.readouterr().err


def test_diagnostics_in_a_toml_file(tmp_path, monkeypatch):
    (tmp_path / "run.toml").write_text(
        f'task = "{TASK}"\nlayers = [5]\nepochs = 1\nevery = 2\n'
        'diagnostics = ["passed_share", {name = "bias", samples = 3}]\n'
    )
    assert not call(["run", "--config", tmp_path / "run.toml", "--out", tmp_path / "run.h5"], monkeypatch)
    stored = noisysim.load(tmp_path / "run.h5").config
    assert (stored["diagnostics"], stored["every"]) == ([{"name": "passed_share"}, {"name": "bias", "samples": 3}], 2)


def test_the_list_of_diagnostics(monkeypatch, capsys):
    assert not call(["diagnostics"], monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *ALL]
    assert all(len(line.split()) > 3 for line in lines[1:])
    assert not call(["diagnostics", "bias"], monkeypatch)
    said = capsys.readouterr().out
    assert said.startswith(diagnostics.Bias.__doc__.partition("\n")[0])
    assert re.search(r"^samples +20 +estimates +a whole number from 2 to 100000 +extra estimates", said, re.MULTILINE)
    assert call(["diagnostics", "x"], monkeypatch) == 2
    assert "unknown diagnostic 'x'" in capsys.readouterr().err
