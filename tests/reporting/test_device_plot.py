"""The test bench against the laws of the hooks, the picture of a device, and `noisysim devices show`."""

import re
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binom, chi2, norm

from noisysim import cli, devices
from noisysim.chip import bench
from noisysim.common.texts import caption
from noisysim.reporting import plot

import legible
import thorough

SIGNIFICANCE = 1e-4
"""Chance that a bench which measures right fails one of these tests, two-sided where there are two sides."""
QUANTILE = norm.isf(SIGNIFICANCE / 2)
FAULTY = (
    "crossbar:drift_nu=0.05,compensation=1,stuck_low=0.05,stuck_high=0.02,stuck_random=0.03,dead_rows=0.05,"
    "dead_columns=0.05"
)

CHIP = '''
from typing import Annotated, NamedTuple
import numpy as np
from noisysim.common.fields import Field

class MyChip(NamedTuple):
    """A chip from outside."""
    amplitude: Annotated[float, Field("", 0, doc="std", noise="read")] = 0.05

def readout(i, energy, z, u, d):
    return i + d.amplitude * z

def adc(i, d):
    return np.rint(i * np.float32(16)) / np.float32(16)
'''


# --- the bench ------------------------------------------------------------------------------------------------------

LINES = [
    *(name for name in devices.names() if name != "ideal"),
    "crossbar:iv_curve=2,read_noise=0.2,dac_offset_spread=0.05",
    "crossbar:drift_nu=0.05,flicker_noise=0.05,compensation=1",
    "crossbar:controller=copy,slices=2,tile_rows=8,wire_resistance=5,adc_bits=5,adc_offset_spread=0.05,stuck_low=0.1",
    "crossbar:dac_range=2,adc_range=8",
    "rpu:read_noise=0.2",
]


@pytest.mark.parametrize("device", LINES)
def test_read_noise_is_what_the_line_s_law_says(device):
    found = bench.read_noise(device, seed=1)
    n = len(found.reads)
    assert found.declared == ("readout_law" in devices.laws(devices.get(device)))
    assert abs(found.reads.mean() - found.mean) < QUANTILE * found.std / np.sqrt(n)
    low, high = chi2.ppf([SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2], n)
    assert low < np.sum((found.reads - found.mean) ** 2) / found.std**2 < high


def test_cells_read_one_by_one_have_no_law_of_the_line():
    found = bench.read_noise("crossbar:telegraph=0.5,tau_capture=1e-6,tau_emission=1e-6,telegraph_spread=0.2", seed=1)
    assert not found.declared
    assert (found.mean, found.std) == (found.reads.mean(), found.reads.std())
    assert found.std > 2 * bench.read_noise("crossbar", seed=1).std


@pytest.mark.parametrize(
    "device",
    ["crossbar", "crossbar:controller=copy", "crossbar:levels=16,program_noise=0.03",
     "crossbar:controller=copy,slices=2,stuck_low=0.1,dead_rows=0.1", "pcm", "pcm:g_max=10", "pcm_hermes",
     "pcm_hermes:devices=2", "rram_wan", "rram_milo", "sonos"],
)  # fmt: skip
def test_programming_error_is_what_its_law_says(device):
    found = bench.programming_error(device, seed=2)
    mean, std = found.law
    residuals = (found.errors - mean) / std
    assert found.errors.shape[1] == len(found.targets)
    assert (np.diff(found.targets) > 0).all()
    assert abs(residuals.mean()) < QUANTILE / np.sqrt(residuals.size)
    squares = residuals**2
    assert abs(squares.mean() - 1) < QUANTILE * squares.std() / np.sqrt(residuals.size)


def test_a_closed_loop_of_pulses_misses_by_its_tolerance_and_has_no_law():
    found = bench.programming_error("pulsed:verify_pulses=5000,verify_tolerance=0.02")
    assert found.law is None
    assert 0.015 * 20 < np.abs(found.errors).max() <= 0.02 * 20 * (1 + 1e-4)


def test_pulses_without_noise_follow_their_law():
    found = bench.pulse_response("pulsed:gamma_up=1,gamma_down=0.5")
    device = devices.get("pulsed:gamma_up=1,gamma_down=0.5")
    for curves, up in ((found.up, 1.0), (found.down, -1.0)):
        g, at = curves[0].astype(float), 0
        for pulses, seen in zip(found.pulses, curves, strict=True):
            for _ in range(pulses - at):
                g, std = devices.laws(device)["pulse_law"](g, up, device)
                assert not np.any(std)
            at = pulses
            np.testing.assert_allclose(seen, g, rtol=1e-4)
    assert np.array_equal(found.up[-1], found.down[0])


@pytest.mark.parametrize("device", ["rpu", "rpu:write_noise=1,pulse_gain_spread=0.5"])
def test_pulses_change_cells_by_the_law_on_average(device):
    found, device = bench.pulse_response(device, seed=3), devices.get(device)
    many = found.pulses[1]
    for curves, up in ((found.up, 1.0), (found.down, -1.0)):
        changes = curves[1] - curves[0] if up > 0 else curves[11] - curves[10]  # away from the bounds that stop them
        mean, _ = devices.laws(device)["pulse_law"](20.0, up, device)
        at_bound = np.abs(changes) < 0.01 * many * abs(mean - 20.0)
        changes = changes[~at_bound]
        assert len(changes) > 30
        assert abs(changes.mean() - many * (mean - 20.0)) < QUANTILE * changes.std(ddof=1) / np.sqrt(len(changes))


def test_the_difference_of_a_pair_goes_up_by_one_cell_and_down_by_the_other():
    found = bench.pulse_response("pulsed:cells_per_weight=2,gamma_up=1")
    single = bench.pulse_response("pulsed:gamma_up=1")
    assert (found.paired, single.paired) == (True, False)
    rise = single.up - single.up[0]  # of either cell, from the low end
    np.testing.assert_allclose(found.up, rise, atol=1e-3)
    np.testing.assert_allclose(found.down, rise[-1] - rise, atol=1e-3)


def test_inputs_of_the_sweep_keep_no_step_with_a_dac():
    quiet = "line_noise=0,read_noise=0,program_noise=0,levels=0,adc_bits=0,dac_gain_spread=0"
    found = bench.transfer(f"crossbar:{quiet}")
    assert (np.diff(found.inputs) > 0).all()
    np.testing.assert_allclose(found.inputs, -found.inputs[::-1], atol=1e-15)
    errors = (found.reads[0, :, 0] - found.ideal) / (found.ideal[-1] / 127)  # in steps of its codes
    assert 0.4 < np.abs(errors).max() < 0.51
    signs = np.sign(errors[1:-1][np.abs(errors[1:-1]) > 1e-3])
    assert np.mean(signs[1:] != signs[:-1]) > 0.3  # no long run of one sign: nothing that looks like a kink


def test_measured_curves_come_out_as_they_are():
    from noisysim.devices.models import measured

    found = bench.pulse_response("measured")
    np.testing.assert_allclose(found.up, np.repeat(measured.UP[:, None], bench.PULSED, axis=1), rtol=1e-3)
    np.testing.assert_allclose(found.down, np.repeat(measured.DOWN[:, None], bench.PULSED, axis=1), rtol=1e-3)


def test_ageing_is_the_drift_hook_s():
    found = bench.ageing("crossbar:drift_nu=0.05,drift_start=10,program_noise=0")
    assert (found.ages[0], found.ages[-1]) == pytest.approx((10, bench.LIFETIME))
    assert found.output is None
    wanted = found.cells[0] * (found.ages / 10)[:, None, None] ** -0.05
    np.testing.assert_allclose(found.cells, wanted, rtol=2e-5)
    np.testing.assert_allclose(np.median(found.cells[0], axis=0), found.targets, atol=0.06)


def test_leaking_cells_end_where_they_leak_to():
    found = bench.ageing("pulsed:leak_time=1,leak_rest=0.5")
    assert found.cells[0].std() > 5
    np.testing.assert_allclose(found.cells[-1], 25, rtol=1e-5)


def test_a_periphery_that_compensates_keeps_the_output():
    found = bench.ageing("crossbar:drift_nu=0.05,compensation=1,line_noise=0.001,read_noise=0.001")
    assert np.median(found.cells[-1] / found.cells[0]) < 0.5
    np.testing.assert_allclose(found.output, 1, atol=0.02)


CELLS = ["crossbar:drift_nu=0.05", "pulsed:leak_time=10,verify_pulses=2000"]  # whose faults pictures below show, too


@pytest.mark.parametrize("device", CELLS)
def test_faults_have_their_shares(device):
    assert bench.faults(device) is None
    asked = {"stuck low": 0.05, "stuck high": 0.02, "stuck elsewhere": 0.03}
    found = bench.faults(devices.get(device, stuck_low=0.05, stuck_high=0.02, stuck_random=0.03))
    n = found.array.size
    assert n == bench.ARRAY**2
    for kind, share in asked.items():
        low, high = binom.ppf([SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2], n, share)
        assert low <= round(found.shares[kind] * n) <= high
        assert found.shares[kind] == np.mean(found.array == bench.KINDS.index(kind))
    assert found.shares["line cut"] == 0
    assert sum(found.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("device", CELLS)
@pytest.mark.parametrize(("field", "axis"), [("dead_rows", 1), ("dead_columns", 0)])
def test_cut_lines_are_whole_lines_and_no_stuck_cells(device, field, axis):
    found = bench.faults(devices.get(device, **{field: 0.1, "stuck_low": 0.1}))
    whole = (found.array == 4).all(axis=axis)
    assert 0 < whole.sum() < 25
    assert np.mean(found.array == 4) == pytest.approx(whole.mean())
    assert found.shares["stuck low"] > 0.05


def test_transfer_of_ideal_hardware_is_a_straight_line():
    found = bench.transfer("ideal")
    wanted = np.broadcast_to(found.ideal[:, None], found.reads.shape[1:])
    np.testing.assert_allclose(found.reads, np.broadcast_to(wanted, found.reads.shape), rtol=1e-5, atol=1e-5)
    assert (found.inputs[0], found.inputs[-1]) == (-1, 1)


def test_transfer_ends_where_converters_do():
    quiet = "line_noise=0,read_noise=0,program_noise=0,levels=0"
    found = bench.transfer(f"crossbar:{quiet},adc_range=10,adc_bits=5")
    assert found.ideal.max() > 10
    assert np.abs(found.reads).max() == 10
    assert len(np.unique(found.reads.round(4))) == 31
    found = bench.transfer(f"crossbar:{quiet},dac_range=2,dac_bits=5,adc_bits=0")
    assert found.inputs.max() == pytest.approx(2.4)
    assert len(np.unique(found.reads[0, :, 0].round(4))) == 31
    full = np.interp(2.0, found.inputs, found.ideal)
    np.testing.assert_allclose(found.reads[:, found.inputs > 2], full, rtol=1e-5)


def test_columns_have_offsets_of_their_own():
    quiet = "line_noise=1e-9,read_noise=0,program_noise=0,adc_bits=0,adc_range=10"
    quiet += ",dac_gain_spread=1e-9,adc_gain_spread=1e-9"  # the loops of tests/chip/test_chips.py
    offsets = [
        bench.transfer(f"crossbar:{quiet},adc_offset_spread=0.03", seed).reads[0, bench.SWEEP // 2] / 10
        for seed in range(20)
    ]
    low, high = chi2.ppf([SIGNIFICANCE / 2, 1 - SIGNIFICANCE / 2], np.size(offsets))
    assert low < np.sum(np.square(offsets)) / 0.03**2 < high


def test_the_same_seed_measures_the_same():
    for measure in (bench.transfer, bench.read_noise, bench.programming_error, bench.ageing):
        for some, others in zip(measure("pcm", 4), measure("pcm", 4), strict=True):
            assert some is None or np.array_equal(some, others)
    assert not np.array_equal(bench.transfer("pcm", 4).reads, bench.transfer("pcm", 5).reads)


def test_what_a_device_does_not_do_is_none():
    measures = (bench.read_noise, bench.programming_error, bench.pulse_response, bench.ageing, bench.faults)
    assert [measure("ideal") for measure in measures] == [None] * 5
    assert [measure("gaussian") for measure in measures[1:]] == [None] * 4
    assert bench.read_noise("crossbar:line_noise=0,read_noise=0") is None
    assert bench.programming_error("rpu") is None  # in open loop there is no target to miss
    assert bench.ageing("pulsed") is None
    assert bench.pulse_response("pcm") is None


@pytest.mark.parametrize(
    "device",
    ["crossbar:drift_nu=0.05,stuck_high=1", "crossbar:dead_rows=1,drift_nu=0.1,drift_start=1e9",
     "pulsed:pulse_step=1e-8", "crossbar:line_noise=0,read_noise=0", "crossbar:program_noise=0,levels=0"],
)  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_extremes_have_pictures_too(device):
    plot.device(device).draw_without_rendering()


# --- the picture ----------------------------------------------------------------------------------------------------

PANELS = {
    "ideal": ["transfer"], "gaussian": ["transfer", "read noise"], "rpu": ["transfer", "read noise", "response"],
    "crossbar": ["transfer", "read noise", "programming"], "pcm": ["transfer", "read noise", "programming", "ageing"],
    FAULTY: ["transfer", "read noise", "programming", "ageing", "faults"],
    "pulsed:leak_time=10,verify_pulses=2000,stuck_high=0.05": [
        "transfer", "read noise", "programming", "response", "ageing", "faults",
    ],
}  # fmt: skip


LONGEST = ("reram_array_hfo2", "pcm_gst")
"""Presets with the longest source, and of the other model, whose heads could not fit; ``--thorough`` draws all."""


def titles(figure):
    return [panel.get_title(loc="left") for panel in figure.axes if panel.get_title(loc="left")]


@pytest.mark.parametrize("device", thorough.some([*PANELS, *sorted(set(devices.names()) - set(PANELS))], PANELS))
def test_a_device_has_a_picture(device, tmp_path):
    kept = tmp_path / "device.png" if device in PANELS else None
    figure = plot.device(device, kept)
    assert kept is None or kept.stat().st_size > 10_000
    found = titles(figure)
    assert 1 <= len(found) <= 6
    if device in PANELS:
        assert all(title.startswith(wanted) for title, wanted in zip(found, PANELS[device], strict=True))
    name, *about = [text.get_text() for text in figure.texts]
    assert name == device.partition(":")[0]
    assert " ".join(about).startswith(caption(devices.about(name)))
    assert not re.search(r"[`^]|\*\*", " ".join(about))
    assert list(legible.faults_of(figure)) == []
    for panel in figure.axes:
        upper = not panel.xaxis.get_tick_params()["labelbottom"]  # of two panels that share their inputs
        assert panel.get_ylabel()
        assert panel.get_xlabel() or upper or on_the_right(panel)


def on_the_right(panel):
    """Whether a panel is the right-hand axis of another."""
    return panel.yaxis.get_label_position() == "right"


@pytest.mark.parametrize(
    "name", [*thorough.some(devices.presets.names(), LONGEST), "pulsed:cells_per_weight=2", "pcm:compensation=1"]
)
def test_a_preset_s_picture_has_its_name_and_source(name):
    figure = plot.device(name)
    assert list(legible.faults_of(figure)) == []
    title, *head = [text.get_text() for text in figure.texts]
    preset = devices.presets.find(name)
    if preset is not None:
        assert title == name
        assert preset.source in " ".join(head)
        assert f"a preset of {preset.model}" in " ".join(head)


def test_no_preset_has_more_to_say_than_those_that_are_drawn():
    said = {name: len(preset.source) for name in devices.presets.names() if (preset := devices.presets.find(name))}
    assert max(said, key=said.get) in LONGEST
    assert {devices.presets.find(name).model for name in said} == {devices.presets.find(n).model for n in LONGEST}


def test_a_preset_is_known_in_any_form_of_a_spec(tmp_path):
    fit = tmp_path / "my_fit.toml"
    fit.write_text('device = "pulsed"\nabout = "a fit"\n[fields]\npulse_step = 0.123456789\n')
    for spec in (fit, str(fit), {"name": str(fit)}, f"{fit}:write_noise=0.1"):
        title, *head = [text.get_text() for text in plot.device(spec).texts]
        assert (title, head[0]) == ("my_fit", "A fit: a preset of pulsed.")
        assert "set: pulse_step=0.1235" in " · ".join(head)
    assert plot.device(devices.get(fit)).texts[0].get_text() == "pulsed"


def test_a_device_without_a_docstring_has_no_caption(tmp_path):
    plain = CHIP.replace('    """A chip from outside."""\n', "")
    (tmp_path / "my_chip.py").write_text(plain)
    assert [text.get_text() for text in plot.device(tmp_path / "my_chip.py").texts] == ["my_chip"]
    assert devices.about(str(tmp_path / "my_chip.py")) == ""


@pytest.mark.parametrize(
    ("docstring", "wanted"),
    [
        ("Lines carry N(0, sigma^2),\n    sigma^2 = 1e-6.\n\n    More.", "Lines carry N(0, sigma²), sigma² = 10⁻⁶."),
        ("As :func:`pcm`, ``rpu``: g = a * (1 - g)**2 +- 2.5e-3 S.", "As pcm, rpu: g = a · (1 − g)² ± 2.5 · 10⁻³ S."),
        ("Costs $5 or $6; t^(-1) -> 0, g <= 1.", "Costs $5 or $6; t⁻¹ → 0, g ≤ 1."),
        ("A 2-bit cell of type 1e.", "A 2-bit cell of type 1e."),
    ],
)  # fmt: skip
def test_captions_are_text_that_a_reader_can_read(docstring, wanted):
    assert caption(docstring) == wanted


def test_long_words_of_a_head_are_cut_at_the_edge(tmp_path):
    (tmp_path / "my_chip.py").write_text(CHIP.replace("A chip from outside.", "A " + "Wm" * 200 + " $x^2$ of $y$."))
    figure = plot.device(tmp_path / "my_chip.py")
    assert list(legible.faults_of(figure)) == []
    assert "".join(text.get_text() for text in figure.texts[1:]).replace(" ", "").endswith("$x²$of$y$.")


def test_both_lines_of_an_output_are_named():
    assert {"plus", "minus"} <= set(re.findall(r"\w+", axis_of("faults", FAULTY)))
    assert axis_of("faults", "pulsed:stuck_low=0.1") == "output"
    assert "minus" in axis_of("response", "pulsed:cells_per_weight=2")


def axis_of(title, device):
    """The label below a panel."""
    return next(p.get_xlabel() for p in plot.device(device).axes if p.get_title(loc="left").startswith(title))


def test_a_declared_law_is_smooth_where_levels_are_narrow_and_resolved_where_they_are_wide():
    for device, groups in (("crossbar", 24), ("pcm", 24), ("crossbar:levels=16", 240)):
        panel = next(p for p in plot.device(device).axes if p.get_title(loc="left").startswith("programming"))
        law = next(line for line in panel.lines if line.get_label() == "declared ±1 std")
        assert len(law.get_xdata()) == groups
        if groups == 24:
            turns = np.abs(np.diff(law.get_ydata(), 2)).max()
            assert turns < 0.15 * np.abs(law.get_ydata()).mean()


def test_settings_are_told_and_read_noise_without_a_law_is_said_to_have_none():
    figure = plot.device("crossbar:adc_bits=6,levels=16")
    assert {"ADC 6 bits", "0.1 to 25 µS"} <= set(figure.texts[2].get_text().split(" · "))
    assert figure.texts[3].get_text() == "set: levels=16"  # what is a fact already is not said again
    legend = plot.device("gaussian").axes[2].get_legend()
    assert "no law of the line declared" in legend.get_texts()[1].get_text()
    legend = figure.axes[2].get_legend()
    assert legend.get_texts()[1].get_text() == "declared law"


def test_a_device_file_has_a_picture(tmp_path):
    (tmp_path / "my_chip.py").write_text(CHIP)
    figure = plot.device(tmp_path / "my_chip.py")
    assert [text.get_text() for text in figure.texts] == ["my_chip", "A chip from outside."]
    assert len(figure.axes[2].patches) < 20  # a bar for each code of its ADC


def test_a_picture_leaves_pyplot_alone():
    code = (
        "import sys; from noisysim import plot; plot.device('gaussian'); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """The command line in this process and a folder of its own: what it prints, and the message that it leaves with."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["noisysim", *map(str, words)])
        with pytest.raises(SystemExit):
            cli.main()
        out, err = capsys.readouterr()
        return out, err.strip() or None

    return run


def test_show_draws_a_device(call, tmp_path):
    assert call("devices", "show", "gaussian:sigma=0.1") == ("gaussian.png\n", None)
    assert (tmp_path / "gaussian.png").read_bytes().startswith(b"\x89PNG")
    assert call("devices", "show", "gaussian", "--out", "line.svg", "--seed", 3) == ("line.svg\n", None)
    assert "<svg" in (tmp_path / "line.svg").read_text()
    (tmp_path / "my_chip.py").write_text(CHIP)
    assert call("devices", "show", "my_chip.py:amplitude=0.1") == ("my_chip.png\n", None)


def test_devices_still_lists(call):
    out, said = call("devices")
    assert said is None
    listed, published = out.split("\n\n")
    assert [line.split()[0] for line in listed.splitlines()] == ["name", *devices.names()]
    assert [line.split()[0] for line in published.splitlines()] == ["preset", *devices.presets.names()]
    out, said = call("devices", "crossbar")
    assert said is None
    assert "adc_bits" in out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("show", "requires an argument"),
        ("show crosbar", "did you mean 'crossbar'"),
        ("show crossbar:adc_bits=99", "crossbar.adc_bits must be"),
        ("show crossbar --out x.gfi", "a picture file ends in one of"),
        ("show crossbar --out nowhere/x.png", "there is no folder"),
        ("show crossbar --seed x", "--seed"),
        ("crosbar", "did you mean 'crossbar'"),
    ],
)
def test_mistakes_are_one_line(call, tmp_path, words, wanted):
    out, said = call("devices", *words.split())
    assert out == ""
    assert said.startswith("noisysim: ")
    assert wanted in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []
