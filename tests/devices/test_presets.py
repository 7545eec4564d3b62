"""Published presets against the numbers of their sources, stated anew in the sources' own units; presets in files."""

import math
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices
from noisysim.common.fields import declared
from noisysim.devices import presets
from noisysim.devices.physics import writes

# of weights, as AIHWKit states them: dw_min; w_max and w_min; how steps shrink from weight 0 to the mean bound, up and
# down; spreads from cell to cell of dw_min, of up against down, of w_max and w_min (relative) and of the slopes; noise
# from pulse to pulse, of dw_min, and whether it is that of the step as it is; noise of what shows, of dw_min
WEIGHTS = {
    "rpu": (0.001, (0.6, -0.6), (0, 0), 0.3, 0.01, (0.3, 0.3), 0, (0.3, True), 0),
    "idealized": (0.0002, (1.0, -1.0), (0, 0), 0.3, 0.0, (0.3, 0.3), 0, (0.3, True), 0),
    "reram_sb": (0.002, (1.25, -0.75), (1, 1), 0.3, 0.01, (0.3 / 1.25, 0.3 / 0.75), 0, (3.75, False), 56),
    "capacitor": (0.005, (1.0, -1.0), (0.05, 0.05), 0.1, 0.06, (0.07, 0.07), 0.01, (0.3, False), 0),
    "ecram": (0.002, (1.1724, -0.8276), (0.1153, 0.5085), 0.1, 0.01, (0.05, 0.05), 0.05, (0.3, True), 0),
    "ecram_mo": (2.8214e-4, (1.1714, -0.8286), (0.4152, 0.7342), 0.1, 0.01, (0.05, 0.05), 0.05, (2.0, True), 0),
    "reram_array_om": (0.0949, (1.0, -1.0), (1, 1), 0.7829, 0.01, (0.3499, 0.5695), 0, (0.4158, False), 1.4113),
    "reram_array_hfo2": (0.4622, (1.0, -1.0), (1, 1), 0.7125, 0.01, (0.4295, 0.5990), 0, (0.2174, False), 0.5841),
}
# Chen, Peng & Yu 2018, Table I, and others: states, labels of nonlinearity, ON resistance, ON/OFF ratio, noise
STATES = {
    "ag_asi": (97, 2.4, -4.88, 26e6, 12.5, 0.035),
    "taox_tio2": (102, 1.85, -1.79, 5e6, 2, 0.01),
    "pcmo": (50, 3.68, -6.76, 23e6, 6.84, 0.01),
    "alox_hfo2": (40, 1.94, -0.61, 16.9e3, 4.43, 0.05),
    "fefet": (32, 1.75, 1.46, 559.28e3, 45, 0.005),
    "epiram": (64, 0.5, -0.5, None, 50.2, 0.02),
}
NORMALISED = {0.5: 2.519877, 0.61: 2.063266, 2.4: 0.499181, 4.88: 0.200303}
"""A of some labels, over the number of states: NeuroSim's own table, where it was looked up to all its digits."""


def test_at_least_twelve_training_presets_have_a_paper_and_a_figure():
    published = {*presets.names(), "rpu", "rram_gong"}
    assert published == {*WEIGHTS, *STATES, "pcm_gst", "rram_gong"}
    assert len(published) >= 12
    for name in presets.names():
        preset = presets.find(name)
        assert preset.about
        assert any(str(year) in preset.source for year in range(1990, 2030))
        assert preset.figure
        assert preset.note
        assert name not in devices.names()


def test_the_page_has_every_preset_with_its_source_figure_and_settings():
    page = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    for name in presets.names():
        preset = presets.find(name)
        settings = ", ".join(f"{field} {value:g}" for field, value in preset.fields.items())
        said = f"| `{name}` | {preset.about} | {preset.source} | {preset.figure} | `{preset.model}`: {settings} |"
        assert said in page, name


@pytest.mark.parametrize("name", WEIGHTS)
def test_presets_stated_in_weights_are_as_published(name):
    dw, bounds, shrink, gain_spread, asymmetry, bound_spreads, slope_spread, (noise, of_step), shown = WEIGHTS[name]
    d = devices.get(name)
    unit = d.weight_bound  # weight of a half span
    weight = lambda g: unit * (2 * np.asarray(g, float) - d.g_min - d.g_max) / (d.g_max - d.g_min)  # noqa: E731
    middle, span = np.float64(d.g_min + d.g_max) / 2, d.g_max - d.g_min
    median = math.exp(-(d.pulse_scale_spread**2) / 2)  # the published step of factors exp(s xi) is their median
    assert abs(2 * unit * d.pulse_step - dw) < 1e-4 * dw
    for up, bound, share in ((1.0, bounds[0], shrink[0]), (-1.0, bounds[1], shrink[1])):
        g = middle + span / 2 * bound / unit * 0.5  # half way to the mean bound
        step = writes.linear_step(g, np.float64(up), np.float64(0), d) * 2 * unit / span
        np.testing.assert_allclose(step * median, up * dw * (1 - share / 2), rtol=1e-4)
        np.testing.assert_allclose(
            weight(devices.laws(d)["program_law"](middle + up * 9 * span, d)[0]), bound, rtol=1e-6
        )
        _, std = devices.laws(d)["pulse_law"](g if of_step else middle, up, d)
        expected = noise * dw * (1 - share / 2 if of_step else 1)
        np.testing.assert_allclose(std * median * 2 * unit / span, expected, rtol=0.02)
    spreads = {name: spread.size(d) for name, spread in devices.spreads(d).items()}
    assert spreads.get("pulse_scale" if d.pulse_scale_spread else "pulse_gain", 0) == gain_spread
    assert spreads.get("asymmetry", 0) == asymmetry
    np.testing.assert_allclose([spreads["upper"], spreads["lower"]], bound_spreads, rtol=1e-6)
    slopes = [spreads.get(f"gamma_{way}_own", 0) for way in ("up", "down")]
    np.testing.assert_allclose(slopes, slope_spread / np.abs(bounds) if slope_spread else 0, rtol=1e-4)
    np.testing.assert_allclose(d.apparent_noise * 2 * unit * d.pulse_step, shown * dw, rtol=1e-4)


@pytest.mark.parametrize("name", ["reram_array_om", "reram_array_hfo2"])
def test_arrays_stand_beside_references_at_their_symmetry_points(name):
    d = devices.get(name)
    assert (d.zero_shift, d.reference_spread * d.weight_bound, d.gamma_of_bound) == (1, 0.05, 1)


def labelled(label):
    """A over the number of states: 10.1 times the largest distance of the curve from a straight line is the label."""
    x = np.linspace(0, 1, 2001)
    low, high = 1e-3, 100.0
    for _ in range(100):
        a = math.sqrt(low * high)
        reached = 10.1 * np.max(np.expm1(-x / a) / np.expm1(-1 / a) - x)
        low, high = (a, high) if reached > abs(label) else (low, a)
    return math.copysign(a, label)


def test_labels_of_nonlinearity_are_those_of_the_published_table():
    for label in NORMALISED:
        np.testing.assert_allclose(labelled(label), NORMALISED[label], rtol=1e-3)


@pytest.mark.parametrize("name", STATES)
def test_presets_stated_in_states_follow_their_curves(name):
    """From end to end: G(P) = B (1 - exp(-P / A)) + Gmin after P pulses, noise of a share of the range each."""
    states, up, down, on, ratio, noise = STATES[name]
    d = devices.get(name)
    if on:
        np.testing.assert_allclose(d.g_max, 1e6 / on, rtol=1e-4)
    np.testing.assert_allclose(d.g_max / d.g_min, ratio, rtol=1e-4)
    span, count = d.g_max - d.g_min, np.arange(states + 1)

    def curve(label):
        a = labelled(label) * states
        return span * np.expm1(-count / a) / np.expm1(-states / a) + d.g_min

    rising, falling = [d.g_min], [d.g_max]
    for _ in range(states):
        rising.append(rising[-1] + writes.linear_step(rising[-1], np.float64(1), np.float64(0), d))
        falling.append(falling[-1] + writes.linear_step(falling[-1], np.float64(-1), np.float64(0), d))
    np.testing.assert_allclose(rising, curve(up), atol=0.005 * span)
    np.testing.assert_allclose(falling, curve(down)[::-1], atol=0.005 * span)
    for direction in (1.0, -1.0):
        _, std = devices.laws(d)["pulse_law"]((d.g_min + d.g_max) / 2, direction, d)
        np.testing.assert_allclose(std, noise * span, rtol=1e-3)


def test_phase_change_pulses_as_published():
    """dw (1 + 27.235 exp(-2.5 w)), dw = 0.01; noise 0.6 (|step| + 0.042 + 0.108 w); cells of 0 to 2 (1 +- 0.1)."""
    d = devices.get("pcm_gst")
    w = np.array([0.2, 0.7, 1.5])
    g = d.g_min + w / 2 * (d.g_max - d.g_min)
    mean, std = devices.laws(d)["pulse_law"](g, 1.0, d)
    step = 0.01 * (1 + 27.235 * np.exp(-2.5 * w))
    unit = 2 / (d.g_max - d.g_min)
    wide = d._replace(lower=2.0, upper=2.0, scale=-2.0)  # no bound in the way of the noise, the same exponent
    mean, std = devices.laws(d)["pulse_law"](g, 1.0, wide)
    np.testing.assert_allclose((mean - g) * unit, step, rtol=1e-4)
    np.testing.assert_allclose(std * unit, 0.6 * (step + 0.042 + 0.108 * w), rtol=1e-3)
    assert d.cells_per_weight == 2
    assert {name: spread.size(d) for name, spread in devices.spreads(d).items()} == {
        "pulse_gain": 0.2, "asymmetry": 0.05, "upper": 0.2,
    }  # fmt: skip


def test_phase_change_pairs_are_pulsed_apart_and_set_anew():
    d = devices.get("pcm_gst", read_noise=0)
    chip = Chip([20, 10], d, "linear", seed=1, oracle=True, init="zero")
    start = chip.cells()[0]
    step = np.full((10, 20), 2 * d.weight_bound * d.pulse_step, np.float32)
    chip.program([step])
    up = chip.cells()[0]
    assert (up.plus > start.plus).mean() > 0.9
    np.testing.assert_array_equal(up.minus, start.minus)
    for _ in range(150):
        chip.program([step])
        chip.program([-step])
    assert chip.cost.cells_programmed > 0


@pytest.mark.parametrize("name", presets.names())
def test_cells_of_presets_are_spread_as_they_say(name):
    """Own values of 20,000 cells, where their range does not cut them: means within 2 %, deviations within 3 %."""
    d = devices.get(name)
    chip = Chip([200, 100], d, "linear", seed=2, oracle=True, init="zero")
    own = chip._hidden.arrays  # behind the boundary
    for row, field in zip(own.own, own.spreads["cell"], strict=True):
        spread, spec, value = declared(type(d))[field].spread, declared(type(d))[field], getattr(d, field)
        size = spread.size(d) * (value if spread.law != "absolute" else 1)
        if spread.law == "lognormal":
            size = value * math.sqrt(math.expm1(spread.size(d) ** 2))
        if value - 3 * size < spec.low or value + 4 * size > spec.high:
            continue  # of wide spreads the tails are cut
        assert abs(row[0].mean() - value) < 0.02 * max(abs(value), size), field
        assert abs(row[0].std() - size) < 0.03 * size, field


@pytest.mark.parametrize("name", ["ecram", "pcm_gst", "fefet"])
def test_networks_learn_on_presets(name):
    result = noisysim.run(device=name, learner="bp", layers=[32], epochs=2, optimizer="adam", progress=False)
    assert result.status == "finished"
    assert result.history["test_accuracy"][-1] > 0.6
    assert result.config["device"]["name"] in ("pulsed", "pulsed_exponential")


# --- presets in files -------------------------------------------------------------------------------------------------


def test_a_preset_in_a_file_is_a_device_with_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("pulse,up,down\n0,1,5\n1,5,1\n")
    (tmp_path / "mine.toml").write_text('device = "measured"\n[fields]\ntable = "table.csv"\nwrite_noise = 0.1\n')
    device = devices.get("mine.toml:write_noise=0.2", adc_bits=6)
    assert (devices.name_of(device), device.write_noise, device.adc_bits) == ("measured", 0.2, 6)
    assert device == devices.get(tmp_path / "mine.toml", write_noise=0.2, adc_bits=6, table="table.csv")
    assert devices.get({"name": "mine.toml"}).write_noise == 0.1
    assert devices.get(devices.describe(devices.get("mine.toml"))) == devices.get("mine.toml")
    assert devices.kind("mine.toml") is devices.kind("measured")
    words = 'device = "pulsed"\n[fields]\nupdate = "pulse_trains"\ncontroller = "increment"\n'
    (tmp_path / "in_array.toml").write_text(words)
    device = devices.get(tmp_path / "in_array.toml")
    assert (device.update, device.controller) == ("pulse_trains", "increment")  # words, not files


BAD = {
    'device = "pulsed"\nfield = 1\n': r"bad\.toml: unknown key 'field'; did you mean 'fields'",
    'about = "x"\n': r"bad\.toml: device must be a text",
    "device = 1\n": r"bad\.toml: device must be a text",
    'device = "pulsed"\nfields = 1\n': r"bad\.toml: fields must be a table",
    'device = "puls"\n': "unknown device 'puls'",
    'device = "pulsed"\n[fields]\npulse_stp = 1\n': "pulse_stp",
    "device = \n": r"bad\.toml is not valid TOML",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_presets_get_one_clear_error(text, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises((ValueError, TypeError), match=BAD[text]):
        devices.get(str(path))


def test_what_is_no_preset_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no preset .*none\.toml"):
        devices.get(str(tmp_path / "none.toml"))
    with pytest.raises(ValueError, match="unknown device 'ecrm'; did you mean 'ecram'"):
        devices.get("ecrm")


def test_commands_know_presets(capsys, tmp_path):
    from noisysim.cli.commands import app

    app(["devices"], result_action="return_value")
    assert "ecram_mo" in capsys.readouterr().out
    app(["devices", "ecram"], result_action="return_value")
    said = capsys.readouterr().out
    assert "Tang et al., IEDM 2018" in said
    assert "It is a preset of pulsed" in said
    assert devices.about("ecram") == "electrochemical memory with lithium"
