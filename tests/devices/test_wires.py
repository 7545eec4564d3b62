"""IR drop: the nodal solution against other ways to solve the circuit, and the fast approximation against it."""

from itertools import pairwise

import numpy as np
import pytest

from noisysim.compute.cpu.loops.wires import attenuate, bit_lines
from noisysim.devices.physics import wires

SHAPES = [(1, 1), (1, 6), (6, 1), (3, 3), (3, 5), (7, 4)]
SIZES = (8, 16, 32, 64)
RESISTANCES = (0.35, 1.0, 5.0)  # Ohm
G_MIN, G_MAX = 0.1, 25.0  # µS
ROUNDING = 1e-6  # of float32 factors, on relative errors


def random_cells(n_out, n_in, seed=0):
    return np.random.default_rng(seed).uniform(G_MIN, G_MAX, (n_out, n_in))


def patterns(n):
    """Arrays (n, n) in µS: even, random, one side of pairs, and coarse structure along either line."""
    rng = np.random.default_rng(n)
    half = np.full((n, n), G_MIN)
    half[: n // 2] = G_MAX
    return {
        "uniform": np.full((n, n), G_MAX),
        "random": random_cells(n, n, n),
        "pairs": np.clip(G_MIN + (G_MAX - G_MIN) * rng.normal(0, 0.3, (n, n)), G_MIN, G_MAX),
        "half": half,
        "checks": np.where(np.add.outer(np.arange(n), np.arange(n)) % 2, G_MAX, G_MIN),
        "ramp": np.tile(np.linspace(G_MIN, G_MAX, n), (n, 1)),
    }


def fast(g, resistance):
    """The fast approximation of `wires.transfer`."""
    g = np.asarray(g, np.float32)
    out = np.full_like(g, np.nan)
    with np.errstate(divide="ignore"):
        attenuate(g, np.float32(1e6) / np.float32(resistance), out)
    return g.astype(np.float64) * out


def drops(g, resistance):
    """Largest relative voltage drops along word lines and along bit lines, to first order in the resistance."""
    n_out, n_in = g.shape
    word = (np.arange(1, n_out + 1) @ g).max()
    bit = (g @ np.arange(n_in, 0, -1)).max()
    return word * resistance * 1e-6, bit * resistance * 1e-6


def rms_error(got, want):
    return np.sqrt(np.mean((got - want) ** 2) / np.mean(want**2))


# --- the nodal solution ---------------------------------------------------------------------------------------------


def netlist(g, resistance):
    """Conductance matrix from a list of resistors: all nodes in one dense matrix, inner ones eliminated."""
    n_out, n_in = g.shape
    parts = []
    for j in range(n_in):
        stops = [("driver", j)] + [("word", i, j) for i in range(n_out)]
        parts += [(a, b, 1 / resistance) for a, b in pairwise(stops)]
    for i in range(n_out):
        stops = [("bit", i, j) for j in range(n_in)] + [("sense", i)]
        parts += [(a, b, 1 / resistance) for a, b in pairwise(stops)]
    parts += [(("word", i, j), ("bit", i, j), 1e-6 * g[i, j]) for i in range(n_out) for j in range(n_in)]
    names = [("driver", j) for j in range(n_in)] + [("sense", i) for i in range(n_out)]
    names += sorted({end for a, b, _ in parts for end in (a, b)} - set(names))
    at = {name: k for k, name in enumerate(names)}
    laplacian = np.zeros((len(names), len(names)))
    for a, b, siemens in parts:
        p, q = at[a], at[b]
        laplacian[[p, q], [p, q]] += siemens
        laplacian[[p, q], [q, p]] -= siemens
    fixed = n_in + n_out
    outer, link, inner = laplacian[:fixed, :fixed], laplacian[:fixed, fixed:], laplacian[fixed:, fixed:]
    terminals = outer - link @ np.linalg.solve(inner, link.T)
    return -1e6 * terminals[n_in:, :n_in]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("resistance", [1.0, 2e4])
def test_transfer_solves_the_circuit(shape, resistance):
    g = random_cells(*shape)
    np.testing.assert_allclose(wires.transfer(g, resistance), netlist(g, resistance), rtol=1e-8)


def test_one_cell_lies_in_series_with_two_segments():
    np.testing.assert_allclose(wires.transfer([[20.0]], 5e3), [[1e6 / (5e4 + 2 * 5e3)]])


def test_two_cells_on_one_bit_line():
    r, r1, r2 = 1e3, 5e4 + 1e3, 1e5 + 1e3  # Ohm: segment, and each cell with the segment of its word line
    near = 1 / (r2 + 1 / (1 / r + 1 / (r1 + r))) * (r1 + r) / (r1 + 2 * r)
    far = 1 / (r1 + r + 1 / (1 / r + 1 / r2)) * r2 / (r2 + r)
    np.testing.assert_allclose(wires.transfer([[20.0, 10.0]], r), [[1e6 * far, 1e6 * near]])


@pytest.mark.parametrize("shape", [(40, 30), (30, 40)], ids=str)
def test_uniform_array_by_its_modes(shape):
    """Equal cells: word and bit lines are independent axes; the circuit is diagonal in the modes of both ladders."""
    n_out, n_in = shape
    g, resistance = 25.0, 50.0
    word = np.minimum.outer(np.arange(n_out), np.arange(n_out)) + 1.0  # resistance two crosspoints share, in segments
    bit = n_in - np.maximum.outer(np.arange(n_in), np.arange(n_in)) * 1.0
    (x, u), (y, v) = np.linalg.eigh(word), np.linalg.eigh(bit)
    modes = g / (1 + 1e-6 * g * resistance * np.add.outer(x, y))
    want = np.einsum("ik,jl,kl,k,l->ij", u, v, modes, u.sum(0), v.sum(0), optimize=True)
    np.testing.assert_allclose(wires.transfer(np.full(shape, g), resistance), want, rtol=1e-10)


@pytest.mark.parametrize("shape", [(20, 40), (40, 20)], ids=str)
def test_reciprocity(shape):
    """Driven from its sense amplifiers, an array is that with its lines exchanged and both ends turned round."""
    g = random_cells(*shape)
    turned = wires.transfer(g[::-1, ::-1].T, 100.0)
    np.testing.assert_allclose(turned[::-1, ::-1].T, wires.transfer(g, 100.0), rtol=1e-10)


@pytest.mark.parametrize("resistance", [0.35, 1e3])
def test_currents_at_every_crosspoint_add_to_zero(resistance):
    g = random_cells(9, 12)
    g[3] = g[:, 5] = 0
    inputs = np.random.default_rng(1).normal(size=12)
    word, bit = wires.voltages(g, resistance, inputs)
    cell = g * (word - bit)
    wire = 1e6 / resistance
    along_word = wire * -np.diff(np.vstack([inputs, word]), axis=0)  # into crosspoint i from the driver's side
    along_bit = wire * -np.diff(np.hstack([bit, np.zeros((9, 1))]), axis=1)  # out of crosspoint j towards the sense end
    rounding = 1e-13 * wire  # of voltages of some volts
    np.testing.assert_allclose(along_word - np.vstack([along_word[1:], np.zeros(12)]), cell, atol=rounding)
    np.testing.assert_allclose(along_bit - np.hstack([np.zeros((9, 1)), along_bit[:, :-1]]), cell, atol=rounding)
    np.testing.assert_allclose(along_bit[:, -1], wires.transfer(g, resistance) @ inputs, atol=rounding)


def test_open_cells_and_sneak_paths():
    g = random_cells(5, 6)
    g[2], g[:, 4], g[0, 0] = 0, 0, 0
    effective = wires.transfer(g, 1e3)
    assert not effective[2].any()  # no cell, no current
    assert not effective[:, 4].any()
    assert effective[0, 0] > 1e-3  # through three other cells
    np.testing.assert_allclose(effective, netlist(g, 1e3), rtol=1e-8, atol=1e-12)


def test_ideal_and_nearly_ideal_wires():
    g = random_cells(6, 8)
    ideal = wires.transfer(g, 0)
    assert (ideal == g).all()
    assert ideal is not g
    word, bit = wires.voltages(g, 0, np.arange(8))
    assert (word == np.arange(8)).all()
    assert not bit.any()
    slope = (g - wires.transfer(g, 1e-3)) / 1e-3
    np.testing.assert_allclose(slope, (g - wires.transfer(g, 2e-3)) / 2e-3, rtol=1e-4)


@pytest.mark.parametrize(
    ("g", "resistance", "says"),
    [
        (np.ones((257, 256)), 1.0, "257 x 256"),
        (np.ones(4), 1.0, "shape"),
        (np.ones((0, 4)), 1.0, "shape"),
        (-np.ones((2, 2)), 1.0, "negative"),
        (np.full((2, 2), np.nan), 1.0, "finite"),
        (np.ones((2, 2)), -1.0, "resistance"),
        (np.ones((2, 2)), np.inf, "resistance"),
    ],
)
def test_refusals(g, resistance, says):
    with pytest.raises(ValueError, match=says):
        wires.transfer(g, resistance)


# --- the fast approximation -----------------------------------------------------------------------------------------


def test_bit_lines_are_exact_on_ideal_word_lines():
    g, resistance = random_cells(5, 30).astype(np.float32), 200.0
    out = np.empty_like(g)
    bit_lines(g, 1e-6 * resistance, out)
    chain = 1e6 / resistance * (2 * np.eye(30) - np.eye(30, k=1) - np.eye(30, k=-1))
    chain[0, 0] /= 2
    for line, voltage in zip(g, out, strict=True):
        want = np.linalg.solve(chain + np.diag(line), 1e6 / resistance * np.eye(30)[-1])
        np.testing.assert_allclose(voltage, want, rtol=ROUNDING)


def test_factors_are_shares_and_ideal_wires_take_nothing():
    g = random_cells(20, 30)
    g[4] = 0
    factors = [np.empty(g.shape, np.float32) for _ in range(3)]
    for wire, out in zip((np.inf, 1e5, 1e3), factors, strict=True):
        attenuate(g.astype(np.float32), np.float32(wire), out)
    ideal, good, bad = factors
    assert (ideal == 1).all()
    assert (bad > 0).all()
    assert (bad < good).all()
    assert (good < 1).all()


def test_rounding_does_not_build_up_in_a_large_array():
    """float32 against float64, at drops that are small and at drops that are not."""
    n = 1024
    g = random_cells(n, n).astype(np.float32)
    for resistance in (1e-3, 1.0):
        np.testing.assert_allclose(fast(g, resistance), reference(g.astype(np.float64), resistance), rtol=ROUNDING)


def reference(g, resistance):
    r = 1e-6 * resistance
    factor = ladder(g, r)
    return g * factor * ladder((g * factor)[::-1].T, r).T[::-1]


def ladder(load, r):
    """Voltages of ladders along the last axis, each tied to 1 V behind its last node, by elimination; float64."""
    behind, total = np.empty_like(load), np.zeros(len(load))
    for j in range(load.shape[1]):
        behind[:, j] = total = load[:, j] + total / (1 + r * total)
    return np.cumprod(1 / (1 + r * behind[:, ::-1]), axis=1)[:, ::-1]


CASES = [(n, r, name) for n in SIZES for r in RESISTANCES for name in patterns(2)]


@pytest.mark.parametrize(("n", "resistance", "name"), CASES)
def test_error_bounds(n, resistance, name):
    """With a and b the largest relative drops along word and bit lines, to first order.

    The Neumann series of the circuit has one term for each word of word-line and bit-line drops, bounded by as many
    factors a and b; the approximation has as many terms of each kind. In second order it misses one mixed term but for
    an exchange of two cells of a bit line, whose difference has no larger RMS than they: an RMS error below a b for
    inputs of random sign. For equal inputs that term is exact, and in third order the six mixed terms can differ: below
    3 a b (a + b).
    """
    g = patterns(n)[name]
    exact, approximate = wires.transfer(g, resistance), fast(g, resistance)
    a, b = drops(g, resistance)
    inputs = np.random.default_rng(2).normal(size=(n, 200))
    assert rms_error(approximate @ inputs, exact @ inputs) < a * b + ROUNDING
    equal = np.ones(n)
    np.testing.assert_allclose(approximate @ equal, exact @ equal, rtol=3 * a * b * (a + b) + ROUNDING)


@pytest.mark.parametrize(("signed", "order"), [(True, 2), (False, 3)])
def test_error_grows_with_the_stated_power(signed, order):
    """Doubling the resistance: within 15 % of 2^order, for what the next order adds at drops of some per cent."""
    g = random_cells(32, 32)
    inputs = np.random.default_rng(3).normal(size=(32, 200)) if signed else np.ones((32, 1))
    errors = [rms_error(fast(g, r) @ inputs, wires.transfer(g, r) @ inputs) for r in (4.0, 8.0)]
    assert errors[1] / errors[0] == pytest.approx(2**order, rel=0.15)


def published(g, resistance, inputs):
    """The approximation of IR drop in AIHWKit: a cubic in the current of a line, and a parabola along it.

    Word lines are ideal there. Positions count from the sense end; `inputs` (n_in, samples) in shares of full scale.
    """
    n = g.shape[1]
    a = n * 1e-6 * resistance * (g @ np.abs(inputs))
    c = 0.05 * a**3 - 0.2 * a**2 + 0.5 * a
    along = 1 - (1 - np.arange(n)[::-1] / n) ** 2
    return g @ inputs - c * (g @ (along[:, None] * inputs))


@pytest.mark.parametrize(("n", "resistance", "name"), CASES)
def test_better_than_the_published_approximation(n, resistance, name):
    """At least ten times closer to the nodal solution, for inputs of either sign and for positive ones."""
    g = patterns(n)[name]
    exact, approximate = wires.transfer(g, resistance), fast(g, resistance)
    rng = np.random.default_rng(4)
    for inputs in (rng.uniform(-1, 1, (n, 200)), rng.uniform(0, 1, (n, 200))):
        want = exact @ inputs
        assert rms_error(approximate @ inputs, want) < 0.1 * rms_error(published(g, resistance, inputs), want)
