"""Cells after many pulses, on chips: means, deviations, bounds and symmetry points against closed forms.

Means must agree within 2 %, standard deviations within 3 %; each is that of 20,000 cells, whose own standard errors
are a fifth of that. Positions count half spans from the middle conductance.
"""

import numpy as np
import pytest

from noisysim import Chip, devices
from noisysim.devices.files import DeviceError

MEAN, STD = 0.02, 0.03
SHAPE = (200, 100)
ALIKE = {"pulse_gain_spread": 0, "asymmetry_spread": 0, "bounds_spread": 0}


class Bench:
    """Cells of one device, all of them started at one position."""

    def __init__(self, name, start=0.0, **settings):
        self.device = devices.get(name, **{"read_noise": 0, **settings})
        self.step = 2 * self.device.pulse_step * self.device.pulse_gain  # in positions
        self.chip = Chip(SHAPE[::-1], self.device, "linear", seed=5, oracle=True, init=[self._weights(start)])

    def _weights(self, position):
        d, n_in = self.device, SHAPE[1]
        return np.full(SHAPE, position * (d.weight_bound or d.weight_range / np.sqrt(n_in)), np.float32)

    def pulse(self, count):
        """So many pulses to every cell, up or down."""
        direction, left = np.sign(count), abs(count)
        while left:
            now = min(left, self.device.pulse_limit)
            asked = self._weights(direction * now * 2 * self.device.pulse_step) * np.float32(1 + 1e-6)
            self.chip.program([asked])
            left -= now

    def pairs(self, count):
        """So many pairs of a pulse up and one down, one by one."""
        for _ in range(count):
            self.pulse(1)
            self.pulse(-1)

    @property
    def positions(self):
        d = self.device
        g = self.chip.cells()[0].plus[0].astype(float)
        return 2 * (g - d.g_min) / (d.g_max - d.g_min) - 1


def check(found, mean, std=None):
    assert abs(found.mean() - mean) <= MEAN * abs(mean) + 4 * found.std() / np.sqrt(found.size), (found.mean(), mean)
    if std is not None:
        assert abs(found.std() - std) <= STD * std, (found.std(), std)


# --- steps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [1.0, 0.6])
def test_linear_steps_follow_a_geometric_series(gamma):
    """w = b / gamma (1 - (1 - gamma dw / b)^n)."""
    bench = Bench("pulsed", pulse_step=0.005, gamma_up=gamma, gamma_down=gamma, upper=0.8, lower=1.2)
    bench.pulse(60)
    check(bench.positions, 0.8 / gamma * (1 - (1 - gamma * 0.01 / 0.8) ** 60))
    bench = Bench("pulsed", pulse_step=0.005, gamma_up=gamma, gamma_down=gamma, upper=0.8, lower=1.2)
    bench.pulse(-60)
    check(bench.positions, -1.2 / gamma * (1 - (1 - gamma * 0.01 / 1.2) ** 60))


def test_a_slope_of_the_half_span_does_not_follow_a_cells_own_bound():
    """Steps 1 - gamma w whatever the bound; spread among cells they keep their mean at w = 0."""
    settings = {"pulse_step": 0.005, "gamma_up": 0.5, "upper": 0.6}
    for of_bound, slope in ((1, 0.5 / 0.6), (0, 0.5)):
        bench = Bench("pulsed", gamma_of_bound=of_bound, **settings)
        bench.pulse(30)
        check(bench.positions, (1 - (1 - slope * 0.01) ** 30) / slope)
    bench = Bench("pulsed", start=0.3, gamma_of_bound=0, gamma_up_spread=0.1, **settings)
    bench.pulse(1)
    check(bench.positions - 0.3, 0.01 * (1 - 0.5 * 0.3), 0.01 * 0.3 * 0.1)


@pytest.mark.parametrize("gamma", [2.0, 0.5])
def test_power_steps_follow_the_integral_of_a_power(gamma):
    """r' = -c r^gamma: r = (r0^(1 - gamma) + (gamma - 1) c n)^(1 / (1 - gamma)), r the share of the range left."""
    bench = Bench("pulsed_power", pulse_step=0.0025, gamma_up=gamma, gamma_down=gamma, upper=1.2, lower=0.8)
    bench.pulse(150)
    left = (0.6 ** (1 - gamma) + (gamma - 1) * 0.0025 * 150) ** (1 / (1 - gamma))
    check(bench.positions, 1.2 - 2 * left)
    bench.pulse(-150)
    left = ((1 - left) ** (1 - gamma) + (gamma - 1) * 0.0025 * 150) ** (1 / (1 - gamma))
    check(bench.positions, 2 * left - 0.8)


def test_a_power_of_one_are_soft_bounds():
    one = Bench("pulsed_power", pulse_step=0.005)
    other = Bench("pulsed", pulse_step=0.0025, gamma_up=1, gamma_down=1)  # where half of the range is left
    for bench in (one, other):
        bench.pulse(40)
        bench.pulse(-15)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-5)


def test_exponential_steps_follow_their_integral():
    """w' = s (1 - A e^(k w + m)): e^(-k w) = A e^m + (1 - A e^m) e^(-k s n)."""
    settings = {
        "scale": 0.6,
        "shift": -0.2,
        "a_up": 0.5,
        "a_down": 0.3,
        "gamma_up": 2.0,
        "gamma_down": 3.0,
        "up_down": 0.1,
    }
    bench = Bench("pulsed_exponential", pulse_step=0.001, **settings)
    bench.pulse(400)
    k, fixed, s = 2.0 * 0.6, 0.5 * np.exp(2.0 * -0.2), 0.002
    check(bench.positions, -np.log(fixed + (1 - fixed) * np.exp(-k * s * 400)) / k)
    bench = Bench("pulsed_exponential", pulse_step=0.001, **settings)
    bench.pulse(-300)
    k, fixed, s = 3.0 * 0.6, 0.3 * np.exp(-3.0 * -0.2), 0.002 * 0.9
    check(bench.positions, np.log(fixed + (1 - fixed) * np.exp(-k * s * 300)) / k)


def test_piecewise_steps_of_straight_lines_are_linear_ones(tmp_path):
    table = tmp_path / "steps.csv"
    table.write_text("up,down\n2,0\n1,1\n0,2\n")
    one = Bench("pulsed_piecewise", pulse_step=0.005, steps=str(table), bounds_spread=0.1)
    other = Bench("pulsed", pulse_step=0.005, gamma_up=1, gamma_down=1, bounds_spread=0.1, gamma_of_bound=0)
    one.pulse(40), other.pulse(40)
    check(one.positions, 1 - 0.99**40)
    check(other.positions, 1 - 0.99**40)


def test_piecewise_steps_between_nodes(tmp_path):
    """v = 1 + w from the lowest to the middle, then constant: w + 1 grows as (1 + dw)^n, then by dw a pulse."""
    table = tmp_path / "steps.csv"
    table.write_text("up,down\n0,1\n1,1\n1,1\n")
    bench = Bench("pulsed_piecewise", start=-0.5, pulse_step=0.005, steps=str(table))
    bench.pulse(60)
    check(bench.positions, 0.5 * 1.01**60 - 1)
    bench = Bench("pulsed_piecewise", start=0.1, pulse_step=0.005, steps=str(table))
    bench.pulse(30)
    check(bench.positions, 0.1 + 0.3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("up\n1\n", r"steps\.csv:1: the header must name one column 'down'; it has up"),
        ("up,down\n1,1\n", r"steps\.csv: steps at two places at least are needed, not 1"),
        ("up,down\n1,one\n", r"steps\.csv:2: down must be a number, not 'one'"),
        ("up,down\n1,1\n1,-1\n", r"steps\.csv:3: down must be a finite number >= 0, not '-1'"),
        ("up,down\n1\n", r"steps\.csv:2: 1 cells, not 2 as in the header"),
    ],
)
def test_bad_tables_of_steps_get_one_clear_error(text, words, tmp_path):
    table = tmp_path / "steps.csv"
    table.write_text(text)
    with pytest.raises(ValueError, match=words):
        devices.hooks(devices.get("pulsed_piecewise", steps=str(table)))


# --- noise of writes --------------------------------------------------------------------------------------------------


def test_relative_and_constant_noise_of_pulses_add_up():
    """Constant steps: std dw (s + f) sqrt(n); one draw a pulse has both parts."""
    bench = Bench("pulsed", pulse_step=0.001, write_noise=0.3, write_noise_floor=0.5)
    bench.pulse(100)
    check(bench.positions, 100 * 0.002, 0.002 * 0.8 * 10)


@pytest.mark.parametrize("name", ["pulsed", "pulsed_power", "pulsed_piecewise"])
def test_noise_that_does_not_shrink_with_the_step_settles_near_a_soft_bound(name, tmp_path):
    """var_n = f^2 dw^2 (1 - q^(2 n)) / (1 - q^2), q = 1 - dw a pulse towards a soft bound."""
    (tmp_path / "steps.csv").write_text("up,down\n2,0\n0,2\n")
    law = {
        "pulsed": {"gamma_up": 1, "gamma_down": 1, "pulse_step": 0.01},
        "pulsed_power": {"pulse_step": 0.02, "write_noise_floor": 0.25},
        "pulsed_piecewise": {"steps": str(tmp_path / "steps.csv"), "pulse_step": 0.01},
    }[name]
    bench = Bench(name, **{"write_noise_floor": 0.5, **law})
    bench.pulse(40)
    q = 0.98
    check(bench.positions, 1 - q**40, 0.5 * 0.02 * np.sqrt((1 - q**80) / (1 - q**2)))


def test_noise_of_exponential_steps_grows_with_the_conductance():
    settings = {"a_up": 0, "a_down": 0, "pulse_step": 0.001}
    bench = Bench(
        "pulsed_exponential", start=0.5, write_noise=0.2, write_noise_floor=0.3, write_noise_slope=2, **settings
    )
    bench.pulse(1)
    check(bench.positions, 0.502, 0.002 * (0.2 + 0.3 + 2 * 1.5))


def test_what_rram_gong_shows_after_pulses():
    """Gong et al. 2018: 50 pulses leave a std of 5 dw sqrt(50) = 0.048, and show 75 dw = 0.101 beside: 0.112."""
    constant = {"a_up": 0, "a_down": 0, "up_down": 0}
    bench = Bench("rram_gong", **ALIKE, **constant)
    bench.pulse(50)
    both = 0.00135 * np.hypot(5 * np.sqrt(50), 75)
    assert abs(both - 0.112) < 0.001
    check(bench.positions, 50 * 0.00135, both)
    silent = Bench("rram_gong", **ALIKE, **constant, apparent_noise=0)
    silent.pulse(50)
    check(silent.positions, 50 * 0.00135, 0.00135 * 5 * np.sqrt(50))


def test_what_cells_show_does_not_add_up_and_changes_where_they_are_pulsed():
    bench = Bench("pulsed", pulse_step=0.001, apparent_noise=20.0)
    check(bench.positions + 1, 1.0, 0.04)  # the first write shows it as well
    before = bench.positions
    for k in range(4):
        bench.pulse(25 if k % 2 == 0 else -25)
    check(bench.positions + 1, 1.0, 0.04)
    assert abs(np.corrcoef(before.ravel(), bench.positions.ravel())[0, 1]) < 0.05
    change = np.zeros(SHAPE, np.float32)
    change[0, :50] = 2 * bench._weights(bench.step)[0, :50]
    before = bench.positions
    bench.chip.program([change])
    changed = bench.positions != before
    assert changed[0, :50].all()
    assert not changed[1:].any()
    assert not changed[0, 50:].any()


def test_what_pairs_of_cells_show():
    bench = Bench("pulsed", pulse_step=0.001, apparent_noise=20.0, cells_per_weight=2, start=0.0)
    cells = bench.chip.cells()[0]
    for side in (cells.plus, cells.minus):
        shown = (side[0] - 10.0) / 20
        check(shown + 1, 1.0, 0.02)
    a_pulse = bench._weights(bench.device.pulse_step) * np.float32(1 + 1e-6)
    for _ in range(10):
        bench.chip.program([10 * a_pulse])  # far from the end: no pair is set anew
    check((bench.chip.cells()[0].plus[0] - 10.0) / 20, 100 * 0.001, 0.02)
    check((bench.chip.cells()[0].minus[0] - 10.0) / 20 + 1, 1.0, 0.02)


def test_stuck_cells_show_what_they_hold():
    bench = Bench("pulsed", apparent_noise=20.0, stuck_low=0.3)
    bench.pulse(20)
    stuck = bench.chip.cells()[0].stuck[0, 0]
    assert 0.25 < stuck.mean() < 0.35
    np.testing.assert_allclose(bench.positions[stuck], -1, atol=1e-6)


def test_what_is_shown_resumes_and_changes_hands(tmp_path):
    """A chip saved and loaded, or put under other conditions, goes on from its states."""
    bench = Bench("pulsed", pulse_step=0.001, apparent_noise=20.0)
    bench.pulse(30)
    bench.chip.save(tmp_path / "chip.h5")
    others = [bench.chip.with_device(line_noise=0.0), Chip.load(tmp_path / "chip.h5", oracle=True)]
    asked = bench._weights(30 * bench.step) * np.float32(1 + 1e-6)
    bench.chip.program([asked])
    for other in others:
        other.program([asked])
        np.testing.assert_array_equal(other.cells()[0].plus, bench.chip.cells()[0].plus)


def test_two_ways_to_show_a_state_are_refused():
    with pytest.raises(DeviceError, match="pulsed: appear and drift both"):
        devices.get("pulsed", apparent_noise=1, leak_time=10)
    with pytest.raises(DeviceError, match="pulsed: appear changes what a cell shows at every pulse"):
        devices.get("pulsed", apparent_noise=1, verify_pulses=5)


# --- spreads, references and symmetry points --------------------------------------------------------------------------


def test_steps_spread_by_factors_keep_their_mean():
    bench = Bench("pulsed", pulse_step=0.001, pulse_scale_spread=0.7)
    bench.pulse(20)
    check(bench.positions, 20 * 0.002, 20 * 0.002 * np.sqrt(np.exp(0.7**2) - 1))


def test_bounds_spread_together_and_apart():
    bench = Bench("pulsed", upper=0.6, lower=0.6, bounds_spread=0.06, lower_spread=0.08, pulse_step=0.1)
    bench.pulse(30)
    check(bench.positions, 0.6, 0.6 * 0.06)
    bench.pulse(-30)
    check(bench.positions, -0.6, 0.6 * 0.10)


def test_pairs_of_pulses_end_at_the_symmetry_point():
    """Soft bounds, steps up (1 + a) dw, down (1 - a) dw: a pair multiplies what is off by 1 - 2 dw (for b = 1)."""
    bench = Bench("pulsed", start=0.6, pulse_step=0.005, gamma_up=1, gamma_down=1, asymmetry=0.2)
    a = 0.2
    symmetry = 2 * a / ((1 + a) + (1 - a))
    off = 0.6 - symmetry
    bench.pairs(40)
    check(bench.positions - symmetry, off * ((1 - 0.012) * (1 - 0.008)) ** 40)
    bench.pairs(160)
    assert abs(bench.positions.mean() - symmetry) < 0.01


def test_zero_shifting_puts_the_symmetry_point_of_each_cell_to_zero():
    """Kim et al. 2019: pairs leave what stands for 0 where it is, whatever a cell's steps and bounds."""
    cells = {"gamma_up": 1, "gamma_down": 1, "asymmetry_spread": 0.1, "bounds_spread": 0.1, "pulse_step": 0.0025}
    bench = Bench("pulsed", **cells)
    bench.pairs(150)
    assert bench.positions.std() > 0.03
    shifted = Bench("pulsed", **cells, zero_shift=1)
    shifted.pairs(150)
    assert np.abs(shifted.positions).max() < 0.01
    missed = Bench("pulsed", **cells, zero_shift=1, reference_spread=0.05)
    missed.pairs(400)
    check(missed.positions + 1, 1.0, 0.05)


def test_a_reference_of_its_own_moves_bounds_and_steps():
    """A cell that stands for 0 at 0.2 has 0.8 left upwards, and steps as at 0.2."""
    bench = Bench("pulsed", reference=0.2, gamma_up=1, pulse_step=0.005)
    bench.pulse(1)
    check(bench.positions, 0.01 * 0.8)
    constant = Bench("pulsed", reference=0.2, pulse_step=0.1)
    constant.pulse(31)
    check(constant.positions, 0.8)
    constant.pulse(-31)
    check(constant.positions, -1.2)


# --- measured tables --------------------------------------------------------------------------------------------------


def test_cells_of_a_table_differ_in_steps_and_bounds(tmp_path):
    """A straight line of 100 pulses: each goes 1 % of the range, times the cell's own; bounds stretch it."""
    table = tmp_path / "line.csv"
    table.write_text("pulse,up,down\n0,5,25\n100,25,5\n")
    bench = Bench("measured", table=str(table), pulse_gain_spread=0.2, start=-0.5)
    bench.pulse(20)
    check(bench.positions + 0.5, 0.4, 0.4 * 0.2)
    bench = Bench("measured", table=str(table), bounds_spread=0.05)
    bench.pulse(120)
    check(bench.positions, 1.0, 2 * 0.05)
    bench.pulse(-150)
    check(bench.positions, -1.0, 2 * 0.05)


def test_a_stretched_curve_is_the_curve_of_the_table(tmp_path):
    """From bound to bound it takes a cell as many pulses as the table has, whatever its bounds."""
    wide = Bench("measured", start=-1.0, upper=1.1, lower=-0.05)
    wide.pulse(-130)
    wide.pulse(50)
    usual = Bench("measured", start=-1.0)
    usual.pulse(50)
    share = (usual.positions + 1) / 2
    reached = np.median((wide.positions + 1) / 2)  # one in many gets a pulse more by rounding
    np.testing.assert_allclose(reached, -0.05 + 1.15 * np.median(share), atol=1e-3)


def test_noise_of_a_tables_pulses_has_both_parts_and_shows(tmp_path):
    table = tmp_path / "line.csv"
    table.write_text("pulse,up,down\n0,5,25\n100,25,5\n")
    bench = Bench("measured", table=str(table), write_noise=0.004, write_noise_share=0.3, start=-0.5)
    bench.pulse(25)
    check(bench.positions + 0.5, 0.5, 2 * (0.004 + 0.3 * 0.01) * 5)
    bench = Bench("measured", table=str(table), apparent_noise=3.0)
    for _ in range(3):
        bench.pulse(5)
        bench.pulse(-5)
    check(bench.positions + 1, 1.0, 2 * 0.01 * 3)


# --- several cells for a weight ---------------------------------------------------------------------------------------


VECTOR = {"cells_per_weight": 2, "slices": 4, "slice_bits": 0, "read_noise": 0}


def shares(chip):
    """What each pair of a weight holds, of the full span, (slices, n_out, n_in)."""
    d, cells = chip.device, chip.cells()[0]
    return (cells.plus.astype(float) - cells.minus) / (d.g_max - d.g_min)


def test_pulses_of_a_vector_go_to_one_pair_after_the_other():
    d = devices.get("pulsed", **VECTOR, pulse_step=0.002)
    chip = Chip(SHAPE[::-1], d, "linear", seed=5, oracle=True, init="zero")
    bound = d.weight_range / np.sqrt(SHAPE[1])
    asked = np.full(SHAPE, 3 * d.pulse_step * bound * (1 + 1e-6), np.float32)  # 12 pulses of a quarter each
    turns = []
    for _ in range(8):
        before = shares(chip)
        chip.program([asked])
        change = shares(chip) - before
        moved = np.flatnonzero(np.abs(change).max(axis=(1, 2)) > 0)
        assert len(moved) == 1
        np.testing.assert_allclose(change[moved[0]].mean(), 12 * 0.002, rtol=1e-3)
        turns.append(int(moved[0]))
    assert turns[:4] == turns[4:]
    assert sorted(turns[:4]) == [0, 1, 2, 3]
    check(shares(chip).mean(axis=0), 8 * 3 * 0.002)


def test_noise_of_a_vectors_pulses_averages():
    """A weight's change of k steps takes n k pulses of a share 1 / n: std s dw sqrt(k / n)."""
    for slices in (1, 4):
        d = devices.get("pulsed", **{**VECTOR, "slices": slices}, pulse_step=0.002, write_noise=0.6)
        chip = Chip(SHAPE[::-1], d, "linear", seed=5, oracle=True, init="zero")
        bound = d.weight_range / np.sqrt(SHAPE[1])
        for _ in range(8):
            chip.program([np.full(SHAPE, 5 * d.pulse_step * bound * (1 + 1e-6), np.float32)])
        check(shares(chip).mean(axis=0), 40 * 0.002, 0.6 * 0.002 * np.sqrt(40 / slices))


def test_a_vector_that_is_written_and_verified_averages_errors():
    d = devices.get("crossbar", controller="copy", **VECTOR, levels=0, program_noise=0.01, g_min=0)
    chip = Chip(SHAPE[::-1], d, "linear", seed=5, oracle=True, init=[np.full(SHAPE, 0.4, np.float32)])
    held = shares(chip)
    check(held.mean(axis=0), held[0].mean(), held[0].std() / 2)  # of four
    check(held.mean(axis=0), 0.5)
    chip.program([np.full(SHAPE, -0.2, np.float32)])
    held = shares(chip)
    check(held.mean(axis=0), 0.25, held[0].std() / 2)


def test_full_pairs_of_a_vector_are_set_anew_in_their_turn():
    d = devices.get("pulsed", **VECTOR, pulse_step=0.02, refresh_at=0.4)
    chip = Chip([20, 10], d, "linear", seed=1, oracle=True, init="zero")
    bound = d.weight_range / np.sqrt(20)
    a_step = np.full((10, 20), 0.02 * bound * (1 + 1e-6), np.float32)
    for k in range(80):
        chip.program([a_step if k // 4 % 2 == 0 else -a_step])
    held, cells = shares(chip), chip.cells()[0]
    assert np.abs(held).max() < 0.2
    assert max(cells.plus.max(), cells.minus.max()) < d.g_min + 0.55 * (d.g_max - d.g_min)
    assert chip.cost.cells_programmed == cells.plus.size + cells.minus.size  # once in the turn of each


def test_vectors_that_cannot_be_written_are_refused():
    with pytest.raises(ValueError, match=r"equal ones, slice_bits=0, do not"):
        Chip([4, 3], devices.get("pulsed", slices=2, slice_bits=4, cells_per_weight=2))
    with pytest.raises(ValueError, match=r"need cells_per_weight=2"):
        Chip([4, 3], devices.get("pulsed", slices=2, slice_bits=0))
