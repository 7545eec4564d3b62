"""The noise: known answers, distributions, independence, and what read and programming noise do to a chip.

Statistics come from fixed seeds. A test of a distribution fails below ALPHA = 1e-4, and means, variances and
correlations must lie within Z = 4.5 standard errors (7e-6 a comparison): chance failures are settled by the seed, once.
"""

import numpy as np
import pytest
from scipy import stats

from noisysim import Chip, devices
from noisysim.compute import layout, noise
from noisysim.compute.cpu.loops import draws
from noisysim.compute.observation import Drive
from noisysim.compute.seeding import key

import naive

ALPHA, Z = 1e-4, 4.5
KEY = key(2024, "test_noise")
KEYS = ((3, "chip/noise"), (3, "learner"), (4, "chip/noise"))
ONES = 0xFFFFFFFF
QUIET = {"dac_bits": 0, "adc_bits": 0, "line_noise": 0, "read_noise": 0, "program_noise": 0, "levels": 0}


@pytest.fixture(scope="module")
def kernels():
    return draws


def normals(kernels, rows, units, first=0, number=0, word=0, at=KEY):
    out = np.empty((rows, units), np.float32)
    kernels.normals(out, np.float32(1), first, number, word, *at)
    return out


# --- the generator --------------------------------------------------------------------------------------------------

KNOWN = [  # Random123, kat_vectors: counter, key, answer of philox4x32-10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize("where", ["python", "compiled", "naive"])
@pytest.mark.parametrize(("counter", "seed", "answer"), KNOWN, ids=["zeros", "ones", "pi"])
def test_philox_gives_the_known_answers(where, counter, seed, answer, kernels):
    if where == "naive":
        drawn = naive.philox(counter, seed)
    else:
        function = noise.philox if where == "python" else kernels.philox
        drawn = function(*(np.uint32(v) for v in (*counter, *seed)))
    assert tuple(int(v) for v in drawn) == answer


def test_kinds_of_noise_are_numbered_as_in_the_definition():
    names = ("NORMAL", "UNIFORM", "WRITE", "OWN", "ROUNDING", "CELL", "CELL_UNIFORM", "STATE", "REFRESH", "VERIFY")
    assert [getattr(layout, f"{n}_STREAM") for n in names] == [getattr(naive, n) for n in names] == list(range(10))


@pytest.mark.parametrize("base", [0, 77])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13, 130])
@pytest.mark.parametrize(
    ("sample", "number", "word"), [(0, 0, 0), (7, 3, 0x30020005), (2**31 + 5, 2**32 - 1, 0x10010000)]
)
def test_draws_are_those_of_the_definition(n, base, sample, number, word, kernels):
    bits, z, u = (np.empty(4 * -(-n // 4), t) for t in (np.uint32, np.float32, np.float32))
    kernels.fill_normals_from(z, bits, n, base, sample, number, np.uint32(word), *KEY)
    # float32 uniforms next to 1 are 6e-8 apart, which moves a radius r near 0 by up to 3e-8 / r
    np.testing.assert_allclose(z[:n], naive.normals(n, sample, number, word, KEY, base), rtol=3e-6, atol=2e-6)
    kernels.fill_uniforms_from(u, bits, n, base, sample, number, np.uint32(word), *KEY)
    np.testing.assert_array_equal(u[:n], naive.uniforms(n, sample, number, word, KEY, base))
    if base == 0:
        listed = np.arange(n, dtype=np.int32)[::-1][: -(-n // 2)].copy()
        some, room = np.empty(listed.size, np.float32), np.empty(2 * listed.size, np.uint32)
        kernels.unit_normals(listed, listed.size, n, sample, number, np.uint32(word), *KEY, room, some)
        np.testing.assert_array_equal(some, z[listed])


def test_a_row_of_draws_depends_on_its_sample_alone(kernels):
    whole = normals(kernels, 40, 17, first=100)
    np.testing.assert_array_equal(normals(kernels, 5, 17, first=120), whole[20:25])


def test_the_last_counter_word_tells_every_stream_apart(kernels):
    found = {int(kernels.stream_word(k, a, t)) for k in range(10) for a in (0, 1, 63, 4095) for t in (0, 1, 65535)}
    assert len(found) == 120
    assert int(kernels.stream_word(naive.OWN, 5, 9)) == naive.stream(naive.OWN, 5, 9)


def test_log_against_libm():
    rng = np.random.default_rng(1)
    v = np.concatenate([2.0 ** rng.uniform(-33, 0, 10**6), rng.uniform(0.5, 2, 10**6)]).astype(np.float32)
    exact = np.log(v.astype(np.float64))
    # two units in the last place of the result: nothing of a small log near 1 is lost
    assert np.max(np.abs(noise.log32(v) - exact) / np.maximum(np.abs(exact), 1e-30)) < 2.4e-7


def test_normal_pairs_against_libm(kernels):
    rng = np.random.default_rng(2)
    b0, b1 = rng.integers(0, 2**32, (2, 10**6), dtype=np.uint32)
    b0[:4], b1[:4] = (0, 1, 2**31, 2**32 - 256), (0, 2**31, 2**30, 2**32 - 1)
    z0, z1 = np.empty((2, b0.size), np.float32)
    kernels.fill_pairs(b0, b1, z0, z1)
    u = ((b0.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32)).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log(u)), np.pi * b1.view(np.int32) * 2.0**-31
    for z, exact in ((z0, radius * np.sin(angle)), (z1, radius * np.cos(angle))):
        assert np.max(np.abs(z - exact) / radius) < 1e-6  # eight units in the last place


def test_no_draw_is_infinite_and_none_of_a_uniform_leaves_its_interval(kernels):
    # `readout` promises u in (0, 1): a hook takes log(u) and log(1 - u), or an inverse distribution
    bits = np.array([0, 1, 2**32 - 1, 2**32 - 64, 2**32 - 128, 2**32 - 129], np.uint32)
    z0, z1 = np.empty((2, bits.size), np.float32)
    kernels.fill_pairs(bits, bits, z0, z1)
    assert np.isfinite(z0).all()
    assert np.isfinite(z1).all()
    assert np.abs(np.concatenate([z0, z1])).max() < 6.77
    u = np.array([kernels.uniform(b) for b in bits])
    assert (u > 0).all()
    assert (u < 1).all()


def test_ten_million_normals(kernels):
    z = normals(kernels, 10_000, 1000).ravel().astype(np.float64)
    n, square = z.size, z * z
    for name, value, expected, spread in (
        ("mean", z.mean(), 0, 1),
        ("variance", square.mean(), 1, 2),
        ("skewness", (square @ z) / n, 0, 15),
        ("fourth moment", (square @ square) / n, 3, 96),
        ("share beyond 4", (square > 16).mean(), 2 * stats.norm.sf(4), 2 * stats.norm.sf(4)),
        ("share beyond 5", (square > 25).mean(), 2 * stats.norm.sf(5), 2 * stats.norm.sf(5)),
    ):
        assert abs(value - expected) < Z * np.sqrt(spread / n), name
    assert stats.kstest(z, stats.norm.cdf, method="asymp").pvalue > ALPHA


def test_four_million_uniforms(kernels):
    u, bits = np.empty(4_000_000, np.float32), np.empty(4_000_000, np.uint32)
    kernels.fill_uniforms_from(u, bits, u.size, 0, 5, 6, np.uint32(naive.stream(naive.UNIFORM, 1, 2)), *KEY)
    assert stats.kstest(u.astype(np.float64), "uniform", method="asymp").pvalue > ALPHA
    # every bit is set half of the time
    shares = [(bits >> np.uint32(b) & np.uint32(1)).mean() for b in range(32)]
    assert np.max(np.abs(np.array(shares) - 0.5)) < Z * 0.5 / np.sqrt(u.size)


def streams(kernels):
    """Pairs of arrays of draws that differ in one part of the counter, or in the key."""
    rows, units = 4000, 256
    z = normals(kernels, rows, units)

    def word(kind=naive.NORMAL, layer=0, tile=0):
        return int(kernels.stream_word(kind, layer, tile))

    yield "next unit", z[:, 1:], z[:, :-1]
    yield "next counter's unit", z[:, :64], z[:, 64:128]  # sine and cosine of one radius
    yield "other pair of one counter", z[:, :64], z[:, 128:192]
    yield "next sample", z[1:], z[:-1]
    yield "next pass", z, normals(kernels, rows, units, number=1)
    yield "next layer", z, normals(kernels, rows, units, word=word(layer=1))
    yield "next tile", z, normals(kernels, rows, units, word=word(tile=1))
    for kind in range(naive.NORMAL + 1, naive.VERIFY + 1):
        yield f"stream {kind}", z, normals(kernels, rows, units, word=word(kind))
    chip, learner, other = (normals(kernels, rows, units, at=key(*k)) for k in KEYS)
    yield "learner of the same seed", chip, learner
    yield "next seed", chip, other


def test_streams_are_independent(kernels):
    for name, a, b in streams(kernels):
        a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
        for power in (1, 2):  # squares too: two halves of one Box-Muller pair share their radius
            r = np.corrcoef(a**power, b**power)[0, 1]
            assert abs(r) < Z / np.sqrt(a.size), (name, power, r)


# --- read noise -----------------------------------------------------------------------------------------------------


def test_line_noise_is_the_declared_one_and_fresh_in_every_pass():
    chip = Chip([3, 4], "gaussian:sigma=0.25", seed=11)
    x = np.ones((50_000, 3), np.float32)
    first, second = (o.output.astype(np.float64) for o in chip.passes(x, [Drive(), Drive()]))
    z = (first - second).ravel() / (0.25 * np.sqrt(2))
    assert abs(z.mean()) < Z / np.sqrt(z.size)
    assert stats.kstest(z, stats.norm.cdf).pvalue > ALPHA
    means = first.mean(axis=0)
    third = chip.forward(x).output - means
    assert abs(np.corrcoef((first - means).ravel(), third.ravel())[0, 1]) < Z / np.sqrt(z.size)


def test_read_noise_at_the_line_is_that_of_a_draw_for_every_cell():
    device = devices.get("crossbar", **{**QUIET, "read_noise": 0.1, "weight_range": 3.0})
    n_in, n_out, reads = 6, 3, 60_000
    chip = Chip([n_in, n_out], device, seed=5, oracle=True)
    plus, minus = chip._hidden.arrays.now.reshape(2, n_out, n_in).astype(np.float64)  # cells: no learner sees them
    x = np.tile(np.array([0.3, -1.2, 2.0, 0.7, -0.1, 1.5], np.float32), (reads, 1))
    at_line = chip.forward(x).output.astype(np.float64)
    weight, rng = naive.unit(n_in, device), np.random.default_rng(6)
    by_cell = naive.crossbar_read_cells(x.astype(np.float64), plus, minus, weight, 0.1, rng)
    for unit in range(n_out):
        assert stats.ks_2samp(at_line[:, unit], by_cell[:, unit]).pvalue > ALPHA
        assert abs(at_line[:, unit].std() / by_cell[:, unit].std() - 1) < Z / np.sqrt(reads)
    # two lines share their inputs and no noise
    assert np.max(np.abs(np.corrcoef(at_line.T) - np.eye(n_out))) < Z / np.sqrt(reads)


# --- programming noise ----------------------------------------------------------------------------------------------


def written_chip(seed=7, **settings):
    device = devices.get("crossbar", controller="copy", **{**QUIET, "weight_range": 4.0, **settings})
    chip = Chip([150, 200], device, seed=seed)
    arrays = chip._hidden.arrays  # behind the boundary
    targets, cells = (a.reshape(-1, 200, 150).astype(np.float64) for a in (arrays.targets, arrays.now))
    return device, targets[0], np.array(naive.goals(targets[0], device)), cells


@pytest.mark.parametrize("levels", [0, 33])
def test_programming_error_is_gaussian_of_the_declared_size(levels):
    device, _, goals, cells = written_chip(program_noise=0.02, levels=levels)
    span = device.g_max - device.g_min
    goals = naive.nearest_level(goals, device)
    inner = (goals > device.g_min + 0.12 * span) & (goals < device.g_max - 0.12 * span)  # six sigma from either end
    z = ((cells - goals)[inner]) / (0.02 * span)
    assert z.size > 10_000
    assert abs(z.mean()) < Z / np.sqrt(z.size)
    assert abs(z.std() - 1) < Z / np.sqrt(2 * z.size)
    assert stats.kstest(z, stats.norm.cdf).pvalue > ALPHA


def test_a_cell_stays_in_its_range_whatever_the_programming_noise():
    device, _, goals, cells = written_chip(program_noise=0.3)
    assert cells.min() >= device.g_min * (1 - 1e-6)
    assert cells.max() <= device.g_max * (1 + 1e-6)
    resting = cells[goals == device.g_min]
    # half of the errors of a cell that rests at the bottom are cut off there
    at_bottom = np.mean(resting <= device.g_min * (1 + 1e-6))
    assert abs(at_bottom - 0.5) < Z * 0.5 / np.sqrt(resting.size)


def test_without_programming_noise_cells_are_on_their_levels():
    device, targets, goals, cells = written_chip(levels=17)
    gap = (device.g_max - device.g_min) / 16
    position = (cells - device.g_min) / gap
    np.testing.assert_allclose(position, np.rint(position), atol=1e-5)
    assert np.max(np.abs(cells - goals)) <= gap / 2 * (1 + 1e-5)
    assert len(np.unique(np.rint(position))) > 8
    assert np.all((cells[0] <= device.g_min + gap / 2) | (targets >= 0))


def test_initial_weights_are_normal_with_variance_two_over_inputs():
    chip = Chip([400, 300], "ideal", seed=8)
    w = chip._hidden.arrays.weight_arrays()[0].ravel() * np.sqrt(400 / 2)
    assert stats.kstest(w, stats.norm.cdf).pvalue > ALPHA
    assert abs(w.std() - 1) < Z / np.sqrt(2 * w.size)
