"""The mean-field theory of node perturbation against quadrature, random steps, whole runs, and its own limits."""

from itertools import product

import numpy as np
import pytest

import noisysim
from noisysim import learners
from noisysim.learners.theory import LinearStudent, Order, Traces, regression_error, regression_time, sgd_time


def orders(w1, w2, teacher):
    """Order parameters of many networks, (4, networks)."""
    product = w2 @ w1
    error = product - teacher
    squares = [(a**2).sum((1, 2)) for a in (w1, w2, error)]
    return np.array([*squares, (error * product).sum((1, 2))])


def terms(w1, w2, teacher, noise, draws, rate=1e-5):
    """Of first and second order in the rate: how NP steps change the order parameters; draws are (steps, units, 1)."""
    x, zeta, xi1, xi2 = draws
    h = w1 @ x
    e = w2 @ h - teacher @ x - noise * zeta
    s = (e * (w2 @ xi1 + xi2)).sum(1, keepdims=True)
    dw1, dw2 = -s * xi1 @ x.mT, -s * xi2 @ h.mT
    at = orders(w1, w2, teacher)
    up = orders(w1 + rate * dw1, w2 + rate * dw2, teacher) - at
    down = orders(w1 - rate * dw1, w2 - rate * dw2, teacher) - at
    return (up - down) / (2 * rate), (up + down) / (2 * rate**2)


def expected_terms(change, rate=1e-5):
    """The same of the theory, where `change` gives the drift at a rate."""
    up, down = np.array(change(rate)), np.array(change(-rate))
    return (up - down) / (2 * rate), (up + down) / (2 * rate**2)


def traces(w1, w2, teacher):
    """The traces of one network, from their definitions."""
    s = w2 @ w1
    e, m, n = s - teacher, w1.T @ w1, w2 @ w2.T
    return Traces(
        e_m=np.trace(e @ m @ e.T), e_n=np.trace(e.T @ n @ e), e_mn=np.trace(m @ e.T @ n @ e),
        s_m=np.trace(s @ m @ e.T), s_n=np.trace(s.T @ n @ e),
        ss=np.trace(s @ s.T), mm=np.trace(m @ m), nn=np.trace(n @ n),
        e_mm=np.trace(e @ m @ m @ e.T), e_nn=np.trace(e.T @ n @ n @ e), e_mmn=np.trace(m @ m @ e.T @ n @ e),
        se_ee=np.trace(s.T @ e @ e.T @ e), se_se=np.trace(s.T @ e @ e.T @ s) + np.trace(s.T @ e @ s.T @ e),
    )  # fmt: skip


@pytest.mark.parametrize("sizes", [(2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (2, 1, 2)])
def test_mean_change_is_exact(sizes):
    """Against Gauss-Hermite quadrature over x, zeta, xi1 and xi2, exact for what is of second order in the rate."""
    n_in, n_hidden, n_out = sizes
    rng = np.random.default_rng(3)
    w1, w2, teacher = (rng.standard_normal(shape) for shape in ((n_hidden, n_in), (n_out, n_hidden), (n_out, n_in)))
    counts = (n_in, n_out, n_hidden, n_out)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    points = np.array(list(product(nodes, repeat=sum(counts))))[:, :, None]
    weight = np.prod(list(product(weights / weights.sum(), repeat=sum(counts))), axis=1)
    draws = np.split(points, np.cumsum(counts)[:-1], axis=1)
    student = LinearStudent(*sizes, teacher_noise=0.7)
    found = terms(w1[None], w2[None], teacher[None], 0.7, draws, 1e-4)
    order = Order(*orders(w1[None], w2[None], teacher[None])[:, 0])
    wanted = expected_terms(lambda rate: student.mean_change(order, traces(w1, w2, teacher), rate), 1e-4)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one @ weight, other, rtol=1e-4)


def random_networks(student, aligned, count, rng):
    """Glorot weights, and a teacher that holds `aligned` times the student's own W2 W1: overlaps of either sign."""
    n_in, n_hidden, n_out = student.n_in, student.n_hidden, student.n_out
    p, q, error, product = student.initial()
    w1 = rng.standard_normal((count, n_hidden, n_in)) * np.sqrt(p / (n_hidden * n_in))
    w2 = rng.standard_normal((count, n_out, n_hidden)) * np.sqrt(q / (n_hidden * n_out))
    rest = (error - product - aligned**2 * product) / (n_in * n_out)
    return w1, w2, aligned * (w2 @ w1) + np.sqrt(rest) * rng.standard_normal((count, n_out, n_in))


@pytest.mark.parametrize("aligned", [0.0, 1.4, -1.0])
def test_traces_are_closed_as_for_random_networks(aligned):
    """Within 4 standard errors and 2 %; those with M^2 or N^2, closed to leading order, 2 (L + 1) / L_h of them."""
    student, rng = LinearStudent(20, 200, 10), np.random.default_rng(1)
    networks = random_networks(student, aligned, 1000, rng)
    found = np.array([traces(*network) for network in zip(*networks, strict=True)])
    wanted = student.closed(Order(*orders(*networks).mean(1)))
    for name, measured, spread, other in zip(Traces._fields, found.mean(0), found.std(0), wanted, strict=True):
        leading = {"e_mm": 42 / 200, "e_nn": 22 / 200, "e_mmn": 64 / 200}.get(name, 0.02)
        tolerance = 4 * spread / np.sqrt(1000) + leading * abs(other)
        assert abs(measured - other) < tolerance, name


@pytest.mark.parametrize(("aligned", "noise"), [(0.0, 0.0), (1.4, 0.5), (-1.0, 0.5)])
def test_drift_is_the_mean_of_single_steps(aligned, noise):
    """Of random networks, each term within 4 standard errors and, for the closure at finite width, 3 %."""
    student, rng = LinearStudent(12, 64, 6, noise), np.random.default_rng(1)
    count, parts = 2000, []
    for _ in range(15):
        networks = random_networks(student, aligned, count, rng)
        draws = [rng.standard_normal((count, n, 1)) for n in (12, 6, 64, 6)]
        parts.append((orders(*networks), *terms(*networks, noise, draws)))
    at, first, second = (np.concatenate(part, 1) for part in zip(*parts, strict=True))
    order = Order(*at.mean(1))
    for found, wanted in zip((first, second), expected_terms(lambda rate: student.drift(order, rate)), strict=True):
        tolerance = 4 * found.std(1) / np.sqrt(at.shape[1]) + 0.03 * abs(wanted)
        assert (abs(found.mean(1) - wanted) < tolerance).all()
        assert (tolerance < 0.5 * abs(wanted)).all()  # it could have failed


def test_initial_values_are_those_of_random_weights():
    student = LinearStudent(30, 200, 10, input_gain=3.0)
    at = orders(*random_networks(student, 0.0, 400, np.random.default_rng(2)))
    np.testing.assert_allclose(at.mean(1), student.initial(), atol=4 * (at.std(1) / 20).max())


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_four_variables_become_two_in_a_wide_layer(noise):
    """Of wide inputs and outputs too; at a width of 1000, they are not the same."""
    student = LinearStudent(3000, 10**16, 3000, noise)
    rate = 0.8 * student.critical_rate()
    steps = student.training_time(rate, 0.1 * student.initial().error / 9e6, variables=2)
    four, two = student.four_variables(rate, steps, 20), student.two_variables(rate, steps, 20)
    np.testing.assert_allclose(four.error, two.error, rtol=0.01)
    np.testing.assert_allclose(four.input_norm, two.input_norm, rtol=0.01)
    assert student.critical_rate(4) == pytest.approx(student.critical_rate(), rel=0.01)
    narrow = LinearStudent(100, 1000, 10)
    assert narrow.best_training_time(1e-3)[0] < 0.7 * narrow.best_training_time(1e-3, variables=2)[0]


@pytest.mark.parametrize("ratio", [0.5, 1.5])
def test_two_variables_conserve(ratio):
    student = LinearStudent(100, 1000, 10)
    rate = ratio * student.critical_rate()
    course = student.two_variables(rate, 3000)
    kept = student.conserved(rate, course.input_norm, course.error)
    assert np.isfinite(kept).sum() > 100
    np.testing.assert_allclose(kept[np.isfinite(kept)], kept[0], rtol=1e-4)


@pytest.mark.parametrize("gain", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("variables", [2, 4])
def test_critical_rate_parts_those_that_arrive_from_those_that_turn(variables, gain):
    student = LinearStudent(100, 1000, 10, input_gain=gain)
    critical = student.critical_rate(variables)
    follow = student.two_variables if variables == 2 else student.four_variables
    below, above = follow(0.98 * critical, 1e6, 2000), follow(1.02 * critical, 1e6, 2000)
    assert below.error[-1] < 1e-6 * below.error[0]
    assert np.isnan(above.error[-1])
    if variables == 2:
        lowest = np.nanargmin(above.error)
        assert above.input_norm[lowest] == pytest.approx(student.turning_norm(1.02 * critical), rel=0.01)


def test_training_time_is_when_the_error_gets_there():
    student = LinearStudent(100, 1000, 10)
    rate = 0.7 * student.critical_rate()
    for variables, follow in ((2, student.two_variables), (4, student.four_variables)):
        steps = student.training_time(rate, 2e-3, variables)
        assert follow(rate, steps, 10).error[-1] == pytest.approx(2e-3, rel=1e-4)
        assert student.training_time(5 * rate, 2e-3, variables) == np.inf
        assert student.training_time(rate, 1.0, variables) == 0
        best, at = student.best_training_time(2e-3, variables)
        assert best <= min(student.training_time(r, 2e-3, variables) for r in at * np.geomspace(0.5, 2, 30)) * 1.0001


def test_noise_turns_the_error_at_the_nullcline():
    student = LinearStudent(100, 1000, 10, np.sqrt(0.1))
    rate = 0.5 * student.critical_rate()
    course = student.two_variables(rate, 1e5, 20_000)
    lowest = np.nanargmin(course.error)
    assert 0 < lowest < len(course.error) - 1
    assert course.error[lowest] == pytest.approx(student.nullcline(rate, course.input_norm[lowest]), rel=1e-3)
    assert student.nullcline(rate, 1.01 * student.turning_norm(rate)) == np.inf
    assert LinearStudent(100, 1000, 10).nullcline(rate, 100.0) == 0


@pytest.mark.parametrize("normalise", [False, True])
def test_four_variables_follow_a_simulated_run(normalise):
    """Mean of 12 runs; 10 % for the spread of the order parameters, besides 4 standard errors."""
    student = LinearStudent(40, 200, 5, 0.2, normalise=normalise)
    rate = 0.6 * student.critical_rate()
    steps = round(student.training_time(rate, 0.15 * student.initial().error / 200))
    losses = [
        noisysim.run(
            f"student-teacher:n_in=40,n_out=5,noise=0.2,n_train={steps}", layers=[200], activation="linear",
            device="ideal", init="glorot", learner=f"np:sigma=1e-3,normalise={normalise}", optimizer="sgd",
            learning_rate=rate, batch_size=1, epochs=1, seed=seed,
        ).history["test_loss"][-1] for seed in range(12)
    ]  # fmt: skip
    expected = 0.5 * 200 * student.four_variables(rate, steps, 2).error[-1]
    assert abs(np.mean(losses) - expected) < 4 * np.std(losses) / np.sqrt(12) + 0.1 * expected


def regress(n_in, n_out, rate, steps, seed):
    """Error of a chip without a hidden layer before and after learning by NP, squared Frobenius norms."""
    task = noisysim.tasks.get("student-teacher", n_in=n_in, n_out=n_out, n_train=steps, seed=seed)
    chip = noisysim.Chip([n_in, n_out], "ideal", "linear", seed=seed)
    learner = learners.get("np", sigma=1e-3)
    state = learner.init(chip.sizes, seed=seed, offers=chip.offers)
    teacher = noisysim.tasks.teacher.teacher_weights(n_in, n_out, seed)
    errors = []
    for row in range(steps):
        batch = task.batch("train", slice(row, row + 1))
        if row == 0:
            errors.append(((chip.oracle(batch).weights[0] - teacher) ** 2).sum())
        gradient, state = learner.update(state, chip.passes(batch, learner.drives(state, 1)))
        chip.program([-rate * g for g in gradient])
    errors.append(((chip.oracle(batch).weights[0] - teacher) ** 2).sum())
    return errors


def test_regression_takes_the_time_it_should():
    """Of 40 chips the mean error falls 5-fold in the time said, within 4 standard errors."""
    n_in, n_out = 12, 4
    steps = round(regression_time(n_in, n_out, 5.0))
    rate = 1 / ((n_in + 2) * (n_out + 2))
    assert regression_error(n_in, n_out, rate, steps) == pytest.approx(1 / 5, rel=0.02)
    assert steps == pytest.approx((n_in + 2) * (n_out + 2) * np.log(5), rel=0.01)
    before, after = np.array([regress(n_in, n_out, rate, steps, seed) for seed in range(40)]).T
    fall = after / before
    assert abs(fall.mean() - 1 / 5) < 4 * fall.std() / np.sqrt(40)
    assert fall.std() / np.sqrt(40) < 0.04


def test_regression_with_noise_ends_at_its_floor():
    """In the form of [H]: at a small rate half of rate n_out sigma_t^2."""
    late = regression_error(1000, 500, 1e-9, np.array([0, 1e12]), 3.0, teacher_noise=0.5)
    np.testing.assert_allclose(late, [3.0, 0.5 * 1e-9 * 500 * 0.25], rtol=0.01)
    edge = 2 / (12 * 6)
    assert regression_error(10, 4, edge, np.array(5), 1.0, 0.5) == pytest.approx(1 + 5 * edge**2 * 6 * 0.25)
    assert sgd_time(100, np.e) == pytest.approx(100)


@pytest.mark.parametrize("wrong", [{"n_in": 0}, {"n_hidden": 2.5}, {"teacher_noise": -1}, {"input_gain": 0}])
def test_impossible_students_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LinearStudent(**{"n_in": 10, "n_hidden": 10, "n_out": 10, **wrong})


def test_two_or_four_variables():
    with pytest.raises(ValueError, match="variables"):
        LinearStudent(10, 10, 10).critical_rate(3)
