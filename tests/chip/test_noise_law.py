"""Read noise of cells is what its law says, in every state that cells can be in, on every device that has any.

The laws are written here once more, in float64, of the device's numbers and of the cells that ``chip.cells()`` shows;
the noise is measured over the rows of one pass. Estimates of a variance from so many rows and lines stay within MARGIN
of it in all tests together with a probability above 1 - 1e-4 (chi-square, Bonferroni).
"""

import numpy as np
import pytest
from scipy import stats

from noisysim import Chip, Drive, devices
from noisysim.chip import ageing
from noisysim.chip.chip import restore, snapshot
from noisysim.common.fields import declared
from noisysim.compute import execution

import naive

ROWS, LINES, INPUTS = 2048, 12, 9
TESTS = 100
MARGIN = 0.06
"""Of a variance: five standard errors of one from ROWS x LINES draws, and what the age of cells may be off."""


def test_the_margin_is_that_of_the_significance():
    chance = 2 * TESTS * stats.chi2.sf((1 + MARGIN - ageing.VARIANCE / 2) * (n := (ROWS - 1) * LINES), n)
    assert chance < 1e-4


# --- the laws, float64 ----------------------------------------------------------------------------------------------


def flicker(t, read_time):
    return np.sqrt(np.log(np.maximum((t + read_time) / (2 * read_time), 1)))


def proportional(g, t, target, d):
    return d.read_noise * g


def crossbar(g, t, target, d):
    kb, q, span = 1.380649e-23, 1.602176634e-19, d.g_max - d.g_min
    variance = (d.read_noise * g) ** 2 + (d.read_floor * span) ** 2
    variance = variance + (d.flicker_noise * g * flicker(t, d.read_time)) ** 2
    variance = variance + 4 * kb * d.temperature * d.bandwidth * g * 1e6 / d.read_voltage**2
    return np.sqrt(variance + 2 * q * d.fano * d.bandwidth * g * 1e6 / d.read_voltage)


def sonos(g, t, target, d):
    nanoampere = 1e3 * d.read_voltage
    return d.read_noise * 12.58037 * (1 - np.exp(-g * nanoampere / 215.36557)) / nanoampere


def pcm(g, t, target, d):
    share = np.maximum(target / 25, 1e-6)
    return d.read_noise * g * np.minimum(0.0088 * share**-0.65, 0.2) * flicker(t, d.read_time)


def hermes(g, t, target, d):
    x = target / (10.35 * d.devices)
    logarithm = np.log(np.maximum(x, 1e-7))
    if d.devices == 2:
        low = np.clip(-0.0117 * logarithm - 0.0069, 0.015, 0.04)
        strength = np.where(x < 0.16, low, 0.0069 * x**3 - 0.0280 * x**2 + 0.0211 * x + 0.0123)
    else:
        low = np.clip(-0.0078 * logarithm + 0.0038, 0.0179, 0.04)
        strength = np.where(x < 0.1591, low, 0.0664 * x**3 - 0.1352 * x**2 + 0.0768 * x + 0.0088)
    return d.read_noise * g * strength * flicker(t, d.read_time)


LAWS = {
    "crossbar": (crossbar, {}),
    "crossbar, all noise": (crossbar, {"read_floor": 0.01, "bandwidth": 1e9, "fano": 1.0, "flicker_noise": 0.03}),
    "pcm": (pcm, {}),
    "pcm_hermes": (hermes, {}),
    "pcm_hermes, two devices": (hermes, {"devices": 2}),
    "sonos": (sonos, {"read_noise": 5.0}),
    "rram_wan": (proportional, {"read_noise": 0.05}),
    "rram_milo": (proportional, {"read_noise": 0.05}),
    **{name: (proportional, {"read_noise": 0.05}) for name in ("pulsed", "measured", "rpu", "rram_gong")},
}
QUIET = {"dac_bits": 0, "adc_bits": 0, "line_noise": 0}


def made(name, init="he", chips=1, **settings):
    chip_of = devices.get(name.partition(",")[0], **{**LAWS[name][1], **QUIET, **settings})
    return Chip([INPUTS, LINES], chip_of, seed=3, oracle=True, init=init, chips=chips)


def law_of(chip, law, x, start, end):
    """Variances of the lines of reads of x between two times, of the cells as they are then."""
    d, arrays = chip.device, chip._hidden.arrays  # behind the boundary, for cells of another time
    youngest = min((c.age.min() for c in chip.cells()), default=0.0) if arrays.timed else 0.0
    written = chip.clock - youngest
    time = written + naive.age_of_reads(start - written, end - written, d.read_time, 100_000)
    (c,) = arrays.seen_at(time)
    paired = d.cells_per_weight != 1
    unit = naive.bound(INPUTS, d) * (1 if paired else 2) / (d.g_max - d.g_min)
    total = 0
    for side, g in enumerate((c.plus[0], c.minus[0])[: 2 if paired else 1]):
        held = np.where(np.isnan(c.target[0, side]), g, c.target[0, side]).astype(float)
        total = total + (unit * law(g.astype(float), c.age[0, side].astype(float), held, d)) ** 2 @ (x * x)
    return total


def measured(chip, law, rows=ROWS):
    """Variance of repeated reads over that of the law, all lines together, and the largest law."""
    x = np.random.default_rng(7).uniform(0.5, 1, INPUTS).astype(np.float32)
    lines = chip.forward(np.tile(x, (rows, 1))).output.astype(float)
    start = chip.clock - rows * chip.device.read_time
    parts = [(a, min(a + 512, rows)) for a in range(0, rows, 512)]
    step = chip.device.read_time
    wanted = np.array([law_of(chip, law, x.astype(float), start + a * step, start + b * step) for a, b in parts])
    scaled = np.concatenate([lines[a:b] for a, b in parts]) - lines.mean(axis=0)
    weights = np.repeat(wanted, [b - a for a, b in parts], axis=0)
    live = weights.min(axis=0) > 0
    assert not scaled[:, ~live].any()
    if not live.any():
        return 1.0
    return float(np.mean(scaled[:, live] ** 2 / weights[:, live]) * rows / (rows - 1))


def update(chip, size=0.02, seed=0):
    """An update of every weight, of a size that moves levels and gives pulses."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], chip.network.shapes[0])
    chip.program([(size * signs).astype(np.float32)])


def fresh(chip):
    pass


def rewritten(chip):
    """Updates with reads between them, as learning does it."""
    for k in range(6):
        chip.forward(np.ones((40, INPUTS), np.float32))
        update(chip, seed=k)


def partly(chip):
    """An hour, and then a few weights."""
    chip.wait(3600.0)
    change = np.zeros(chip.network.shapes[0], np.float32)
    change[:3] = 0.05
    chip.program([change])


def aged(chip):
    chip.wait(1e5)


STATES = [fresh, rewritten, partly, aged]
BARE = {"crossbar": {"g_min": 0.0, "program_noise": 0.0}, "rram_wan": {"program_noise": 0.0}}
"""Settings that leave a weight of zero no variance at all."""


@pytest.mark.parametrize("init", ["he", "zero"])
@pytest.mark.parametrize("name", LAWS)
def test_read_noise_of_cells_is_the_law_s(name, init):
    """Fresh, written again, some of them, old; pulsed where the device is."""
    for state in STATES:
        chip = made(name, init, **(BARE.get(name, {}) if init == "zero" else {}))
        state(chip)
        assert abs(measured(chip, LAWS[name][0]) - 1) < MARGIN, state.__name__


def read_fields():
    """Every field of a built-in device that is declared as read noise."""
    for name in devices.BUILT_IN:
        for field, said in declared(devices.kind(name)).items():
            if said.noise == "read":
                yield name, field


@pytest.mark.parametrize(("name", "field"), list(read_fields()))
def test_every_amplitude_of_read_noise_alone_makes_two_passes_differ(name, field):
    """On a chip whose first write was of zeros, after an update."""
    kind = devices.kind(name)
    settings = {f: 0 for n, f in read_fields() if n == name}
    settings |= {f: 0 for f in ("dac_bits", "adc_bits") if f in kind._fields}
    if field == "telegraph":
        settings |= {"tau_capture": 1e-6, "tau_emission": 1e-6}
    settings[field] = {"bandwidth": 1e9}.get(field, 0.1 if declared(kind)[field].high == 1 else 1.0)
    chip = Chip([INPUTS, LINES], devices.get(name, **settings), seed=3, init="zero")
    update(chip, 0.05)
    first, second = chip.forward(np.ones((2, INPUTS), np.float32)).output
    assert (first != second).all()


@pytest.mark.parametrize("spec", ["crossbar:read_noise=0", "pcm:read_noise=0", "sonos:read_noise=0", "rpu", "rram_wan"])
def test_cells_without_read_noise_cost_no_second_product(spec):
    """Where the device says so: its amplitudes are 0. Any other keeps variances, whatever was written first."""
    assert ageing.reads_are_silent(devices.get(spec))
    assert not Chip([INPUTS, LINES], spec)._hidden.arrays.variances.size
    loud = devices.get(spec, read_noise=0.01)
    assert not ageing.reads_are_silent(loud)
    assert Chip([INPUTS, LINES], loud, init="zero")._hidden.arrays.variances.size == INPUTS * LINES


SPREAD = """
from typing import Annotated, NamedTuple
from noisysim.common.fields import Field, Spread
class A(NamedTuple):
    s: Annotated[float, Field("", -9, 9, noise="read"{spread})] = 0.0
    by: float = {by}
def program(g, z, d):
    return g
def cell_std(g, t, d):
    return {law}
def readout(i, energy, z, u, d):
    return i + z * energy ** 0.5
"""


@pytest.mark.parametrize(
    ("settings", "silent"),
    [
        ({"spread": "", "by": 0.0, "law": "d.s * g"}, True),
        ({"spread": "", "by": 0.5, "law": "d.s * g + d.by"}, False),  # more than what is declared
        ({"spread": "", "by": 0.5, "law": "d.by * g"}, False),  # nothing is
        ({"spread": ", spread=Spread('by', 'absolute')", "by": 0.1, "law": "abs(d.s) * g"}, False),  # a cell's own
    ],
)
def test_noise_is_there_unless_it_is_proven_that_it_is_not(settings, silent, tmp_path):
    path = tmp_path / "a.py"
    path.write_text(SPREAD.format(**settings))
    assert ageing.reads_are_silent(devices.get(str(path))) == silent


# --- ages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "read_time"), [(0, 3e-5, 2.5e-7), (0, 1e-6, 2.5e-7), (1e-3, 2e-3, 1e-7), (5, 5.5, 0)]
)
def test_the_age_of_reads(first, last, read_time):
    found = ageing.age_of_reads(first, last, read_time)
    np.testing.assert_allclose(found, naive.age_of_reads(first, last, read_time), rtol=1e-4)
    if first == 0:  # the mean variance of 1/f noise
        ages = last * (np.arange(1_000_000) + 0.5) / 1_000_000
        np.testing.assert_allclose(flicker(found, read_time) ** 2, (flicker(ages, read_time) ** 2).mean(), rtol=1e-4)


def test_cells_are_aged_when_their_age_is_noticed_and_not_before():
    """1/f noise at once, and ever more seldom; a power law from its start on; an exponential until it has ended."""
    pace = ageing.pace_of(devices.get("pcm"))
    assert pace.patience(0.0) < 250e-9
    assert 0.05 < pace.patience(1e-3) / 1e-3 < 0.5
    pace = ageing.pace_of(devices.get("crossbar:drift_nu=0.1,read_noise=0,drift_start=10"))
    assert 0.1 < pace.patience(0.0) == pace.patience(1.0) < 1.0  # 0.002 / 0.1 of 10 s
    assert ageing.pace_of(devices.get("pulsed:leak_time=1")).patience(100.0) > 1e3
    chip, ages = Chip([INPUTS, LINES], "crossbar:drift_nu=0.1"), []
    chip._hidden.arrays.age = lambda *given: ages.append(given)
    for k in range(5):
        chip.forward(np.ones((40, INPUTS), np.float32))
        update(chip, seed=k)
    assert not ages


def test_chunks_threads_and_restarts_give_the_bits_of_the_whole():
    sizes, rows, device = (30, 20, 5), 1300, "pcm:compensation=1"
    x = np.random.default_rng(0).standard_normal((rows, 30)).astype(np.float32)

    def life(chip, parts, stop=None):
        for k in range(3):
            if stop == k:
                saved, chip = snapshot(chip), Chip(sizes, device, seed=9)
                restore(chip, saved)
            for a, b in parts:
                seen = chip.forward(x[a:b]) if a == 0 else chip.passes(x[a:b], [Drive()], first_sample=a)[0]
            chip.program([np.full(s, 0.01, np.float32) for s in chip.network.shapes])
            with chip.aside():
                chip.forward(x)
            if k == 1:
                chip.wait(1e6)
        return [seen.output[-200:].copy(), *(snapshot(chip)[n] for n in ("now", "variances", "gains", "times"))]

    whole, cut = [(0, rows)], [(0, 512), (512, 1024), (1024, rows)]
    with execution.threads(1):
        expected = life(Chip(sizes, device, seed=9), whole)
    for parts, threads, stop in ((cut, 1, None), (whole, 3, None), (whole, 1, 2)):
        with execution.threads(threads):
            found = life(Chip(sizes, device, seed=9), parts, stop)
        assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)), (parts, threads, stop)


# --- what a write aimed at ------------------------------------------------------------------------------------------


def exponents(g, name):
    """Mean and spread of the exponent at a target: Joshi et al. 2020, Le Gallo et al. 2023."""
    if name == "pcm":
        x = np.log(g / 25)
        return np.clip(-0.0155 * x + 0.0244, 0.049, 0.1), np.clip(-0.0125 * x - 0.0059, 0.008, 0.045)
    x = g / 10.35
    low = np.clip(-0.0387 * np.log(x) - 0.0182, 0.072, 0.13)
    mean = np.where(x < 0.0945, low, -0.0436 * x**2 - 0.0126 * x + 0.0736)
    low = np.clip(-0.0120 * np.log(x) - 0.0023, 0.0124, 0.04)
    return mean, np.where(x < 0.3039, low, -0.0165 * x**2 + 0.0116 * x + 0.0104)


@pytest.mark.parametrize("name", ["pcm", "pcm_hermes"])
def test_drift_has_the_exponent_of_the_target(name):
    """Of 4000 cells each, at the ends of the range and between: mean and spread after a year, within 6 standard errors.

    So far from chance that a test fails with a probability below 1e-7.
    """
    seconds, d = 3.15e7, devices.get(name)
    shares = np.array([0.02, 0.3, 1.0], np.float32)
    targets = d.g_max * shares
    chip = Chip([3, 4000], devices.get(name, weight_bound=1.0), seed=5, oracle=True, init="zero")
    chip.program([np.tile(shares, (4000, 1))])
    (start,) = chip.cells()
    chip.wait(seconds)
    (end,) = chip.cells()
    live = start.plus[0] > 0.05 * targets
    np.testing.assert_allclose(end.target[0, 0], np.broadcast_to(targets, (4000, 3)), rtol=1e-6)
    decades = np.log(chip.clock / d.drift_start)
    for k, (mean, spread) in enumerate(zip(*exponents(targets, name), strict=True)):
        nu = -np.log(end.plus[0][live[:, k], k] / start.plus[0][live[:, k], k]) / decades
        drawn = np.abs(mean + spread * np.random.default_rng(1).standard_normal(1_000_000))
        assert abs(nu.mean() - drawn.mean()) < 6 * drawn.std() / np.sqrt(live[:, k].sum())
        assert abs(nu.std() / drawn.std() - 1) < 6 / np.sqrt(2 * live[:, k].sum())


AIMED = """
from typing import NamedTuple
class A(NamedTuple):
    g_min: float = 0.0
    g_max: float = 10.0
    pulse_step: float = 1e-3
def program(g, z, d):
    return g + 1.0
def pulse(g, up, z, d):
    return g + 0.25
def drift(g, t, target, d):
    return 2.0 * target if t > 0.0 else g
"""


def test_a_hook_may_ask_for_the_target(tmp_path):
    """Of a write, what it aimed at; of a pulse, what the cell held then; another name, or another place, is refused."""
    path = tmp_path / "aimed.py"
    path.write_text(AIMED)
    chip = Chip([3, 4], str(path), oracle=True, init="zero")
    assert (chip.cells()[0].plus == 1.0).all()
    chip.wait(1.0)
    assert not chip.cells()[0].plus.any()
    chip.program([np.full((4, 3), 100.0, np.float32)])
    held = chip.cells()[0].plus.copy()
    assert (held == 31 * 0.25).all()
    chip.wait(1.0)
    assert (chip.cells()[0].plus == 2 * held).all()
    assert (chip.cells()[0].target[0, 0] == held[0]).all()
    assert not chip.cells()[0].target[0, 1].any()
    for wrong in ("drift(g, target, t, d)", "drift(g, t, goal, d)", "drift(target, d)"):
        path.write_text(AIMED.replace("drift(g, t, target, d)", wrong))
        with pytest.raises(devices.DeviceError, match=r"drift\(g, t, d\), or drift\(g, t, target, d\),"):
            devices.get(str(path))


# --- compensation of drift ------------------------------------------------------------------------------------------


EXACT = "dac_bits=0,adc_bits=0,line_noise=0,read_noise=0,program_noise=0,levels=0"
DRIFTING = f"crossbar:controller=copy,{EXACT},drift_nu=0.1,drift_start=0.01,compensation=1"


def scales(chip, x, wanted):
    """What the outputs are of those wanted, chip by chip."""
    seen = chip.forward(x).output.reshape(chip.chips, -1).astype(float)
    return (seen * wanted).sum(axis=1) / (wanted * wanted).sum(axis=1)


@pytest.mark.parametrize("part", [1.0, 0.5])
def test_a_rewrite_takes_the_gain_back(part):
    """Of all weights, or of half; again after another wait; two chips side by side, tiles, and a resume between.

    With half of the cells fresh one gain is too much for those, and too little for the others: the sum is right.
    """
    made, rng = f"{DRIFTING},tile_rows=8", np.random.default_rng(0)
    chip = Chip([30, 40], made, oracle=True, seed=(4, 5), init="glorot", chips=2)
    x = np.tile(rng.standard_normal((200, 30)), (2, 1)).astype(np.float32)
    wanted = chip.forward(x).output.reshape(2, -1).astype(float)
    chip.wait(1e8)
    np.testing.assert_allclose(scales(chip, x, wanted), 1, atol=0.03)
    change = [(0.02 * (rng.random((80, 30)) < part)).astype(np.float32)]
    chip.program(change)
    resumed = Chip([30, 40], made, oracle=True, seed=(4, 5), init="glorot", chips=2)
    restore(resumed, snapshot(chip))
    for one in (chip, resumed):
        one.program([-change[0]])
        before = one.cost.samples, one.clock
        assert abs(scales(one, x, wanted) - 1).max() < (0.03 if part == 1 else 0.15)
        assert one.cost.samples - before[0] == 2 * (200 + 16)  # with a calibration read
        assert one.clock - before[1] == pytest.approx(216 * one.device.read_time, abs=1e-7)
        scales(one, x, wanted)
        assert one.cost.samples - before[0] == 2 * (400 + 16)  # one for a write
    assert np.array_equal(snapshot(chip)["gains"], snapshot(resumed)["gains"])
    chip.wait(1e8)
    assert abs(scales(chip, x, wanted) - 1).max() < (0.03 if part == 1 else 0.15)


def test_no_gain_is_measured_before_the_first_wait():
    """Learning on a chip that compensates costs nothing more until it has waited."""
    chip = Chip([30, 40], DRIFTING, seed=1)
    for k in range(3):
        chip.forward(np.ones((2, 30), np.float32))
        chip.program([np.full((40, 30), 0.01 * (-1) ** k, np.float32)])
    assert chip.cost.samples == 2 * (3 + 1)  # one pass calibrated the converters
    assert (chip._hidden.gains == 1).all()


def test_errors_of_writes_and_reads_do_not_bias_the_gain():
    """A fresh array of phase-change memory with noise ten times its own needs none: 1 within 6 standard errors."""
    gains = []
    for seed in range(20):
        chip = Chip([60, 50], "pcm:compensation=1,program_noise=5,read_noise=5,line_noise=0.1", seed=seed)
        chip.wait(1e-3)
        chip.program([np.full((50, 60), 1e-3, np.float32)])
        chip.forward(np.ones((1, 60), np.float32))
        gains.append(chip._hidden.gains[0, 0])
    assert abs(np.mean(gains) - 1) < 6 * np.std(gains) / np.sqrt(len(gains)) < 0.1


def test_chips_side_by_side_are_compensated_like_chips_alone():
    x, seen = np.ones((4, 30), np.float32), []
    stack = Chip([30, 20], f"{DRIFTING},tile_rows=8", seed=(4, 5), chips=2)
    singles = [Chip([30, 20], f"{DRIFTING},tile_rows=8", seed=seed) for seed in (4, 5)]
    for chip in (stack, *singles):
        for _ in range(2):
            chip.wait(1e8)
            chip.program([np.full((20 * chip.chips, 30), 0.02, np.float32)])
            output = chip.forward(np.tile(x, (chip.chips, 1))).output
        seen.append(output.copy())
    assert np.array_equal(stack._hidden.gains, np.concatenate([one._hidden.gains for one in singles]))
    assert np.array_equal(seen[0], np.concatenate(seen[1:]))
