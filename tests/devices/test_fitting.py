"""Fits to measured pulses: what made a table is found again, and used at once."""

import numpy as np
import pytest

from noisysim import Chip, devices
from noisysim.cli.commands import app
from noisysim.devices import fitting

PULSES = 150


def measure(path, name, cells=1, **settings):
    """A table of one row a pulse: cells of a device that are pulsed up and then down."""
    d = devices.get(name, read_noise=0, **settings)
    bound = d.weight_bound or d.weight_range
    chip = Chip([1, cells], d, "linear", seed=3, oracle=True, init=[np.full((cells, 1), -0.95 * bound, np.float32)])
    a_pulse = np.full((cells, 1), 2 * bound * d.pulse_step * (1 + 1e-6), np.float32)
    rows = ["pulse,conductance,direction,cell"]
    for way, sign in (("up", 1), ("down", -1)):
        for pulse in range(PULSES + 1):
            rows += [f"{pulse},{g:.8g},{way},{k}" for k, g in enumerate(chip.cells()[0].plus[0, :, 0])]
            if pulse < PULSES:
                chip.program([sign * a_pulse])
    path.write_text("\n".join(rows) + "\n")
    return path


LAWS = {
    "pulsed": {"pulse_step": 0.006, "gamma_up": 0.8, "gamma_down": 0.5, "asymmetry": 0.1},
    "pulsed_power": {"pulse_step": 0.012, "gamma_up": 2.0, "gamma_down": 0.7},
    "pulsed_exponential": {
        "pulse_step": 0.005, "a_up": 0.6, "a_down": 0.4, "gamma_up": 1.5, "gamma_down": 2.0, "scale": 1.0, "shift": 0.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LAWS)
def test_the_law_that_made_a_table_fits_it(name, tmp_path):
    table = measure(tmp_path / "table.csv", name, **LAWS[name])
    fits = {found.model: found for found in fitting.fit(table)}
    assert set(fits) == set(fitting.FORMS)
    assert next(iter(fits)) == name
    assert fits[name].rms < 2e-3
    assert fits[name].fields["write_noise_floor"] < 0.05
    (alone,) = fitting.fit(table, name)
    assert alone.fields == fits[name].fields


def test_steps_of_a_linear_cell_are_found_again(tmp_path):
    """Position of the fit: its range is what was reached; steps at both ends of it are those of the cell."""
    table = measure(tmp_path / "table.csv", "pulsed", **LAWS["pulsed"])
    (found,) = fitting.fit(table, "pulsed")
    made, fitted = devices.get("pulsed", **LAWS["pulsed"]), devices.get("pulsed", **found.fields)
    for g in np.linspace(fitted.g_min, fitted.g_max, 5):
        for up in (1.0, -1.0):
            one, other = (devices.laws(d)["pulse_law"](g, up, d._replace(upper=2.0, lower=2.0, gamma_of_bound=0)
                          if d is made else d)[0] - g for d in (made, fitted))  # fmt: skip
            if fitted.g_min < g + up * 0.2 < fitted.g_max:
                np.testing.assert_allclose(other, one, rtol=0.02)


def test_noise_of_pulses_and_of_what_shows_are_told_apart(tmp_path):
    """A constant step of many cells: noise of pulses 0.5 of a step, of what shows 1.5, steps that differ by a fifth."""
    noise = {"write_noise_floor": 0.5, "apparent_noise": 1.5, "pulse_gain_spread": 0.2}
    table = measure(tmp_path / "table.csv", "pulsed", cells=200, pulse_step=0.002, **noise)
    (found,) = fitting.fit(table, "pulsed")
    a_pulse = found.fields["pulse_step"] * (found.fields["g_max"] - found.fields["g_min"])
    np.testing.assert_allclose(found.fields["write_noise_floor"] * a_pulse, 0.5 * 0.04 * np.sqrt(1.04), rtol=0.05)
    np.testing.assert_allclose(found.fields["apparent_noise"] * a_pulse, 1.5 * 0.04, rtol=0.03)
    np.testing.assert_allclose(found.fields["pulse_gain_spread"], 0.2, rtol=0.15)


def test_a_table_as_it_is_gets_its_noise_and_spread(tmp_path):
    noise = {"write_noise_floor": 0.5, "pulse_gain_spread": 0.2, "gamma_up": 0.5, "gamma_down": 0.5}
    table = measure(tmp_path / "table.csv", "pulsed", cells=200, pulse_step=0.002, **noise)
    (found,) = fitting.fit(table, "measured")
    written = fitting.save(found, table, tmp_path / "fit.toml")
    assert [path.name for path in written] == ["fit.toml", "fit-curves.csv"]
    device = devices.get(tmp_path / "fit.toml")
    span = device.g_max - device.g_min
    np.testing.assert_allclose(device.write_noise * span, 0.5 * 0.04 * np.sqrt(1.04), rtol=0.05)  # E of a gain's square
    np.testing.assert_allclose(device.pulse_gain_spread, 0.2, rtol=0.15)
    assert device.apparent_noise * device.pulse_step * span < 0.1 * 0.04
    single = tmp_path / "single.csv"
    single.write_text((tmp_path / "fit-curves.csv").read_text())
    (found,) = fitting.fit(single, "measured")
    assert found.fields["table"] == str(single)
    assert found.rms < 1e-6


def test_long_curves_are_followed_in_strides(tmp_path):
    """Soft bounds over 3000 pulses, whose steps have a closed form."""
    count = np.arange(3001)
    curve = 1 + 9 * (1 - np.exp(-count / 1500))
    rows = "".join(f"{n},{up:.7g},{down:.7g}\n" for n, up, down in zip(count, curve, 11 - curve, strict=True))
    (tmp_path / "t.csv").write_text("pulse,up,down\n" + rows)
    (found,) = fitting.fit(tmp_path / "t.csv", "pulsed")
    assert found.rms < 1e-3


def test_a_fit_takes_a_bounded_number_of_points_of_a_long_curve(tmp_path, monkeypatch):
    points = []
    follow = fitting._follow
    monkeypatch.setattr(fitting, "_follow", lambda *a: points.append(len(a[2])) or follow(*a))
    rows = "".join(f"{n},{1 + n / 1000:.7g},{9 - n / 1000:.7g}\n" for n in range(4001))
    (tmp_path / "t.csv").write_text("pulse,up,down\n" + rows)
    (found,) = fitting.fit(tmp_path / "t.csv", "pulsed")
    assert sorted(points)[-3:] == [fitting.LOOKS, 4001, 4001]  # the two curves that are shown have all
    assert len(found.curves["up"][0]) == 4001
    assert found.rms < 1e-6


def test_a_cell_that_tells_nothing_of_its_steps_does_not_count_in_their_spread(tmp_path):
    """Its curves lie beyond the range of the mean curves."""
    starts = {**{cell: 1 + 0.1 * k for k, cell in enumerate("abcdef")}, "far": 12.0}
    rows = [
        f"{n},{(g if way == 'up' else g + 5) + sign * n * (1 + g / 20):.6g},{way},{cell}"
        for cell, g in starts.items()
        for way, sign in (("up", 1), ("down", -1))
        for n in range(6)
    ]
    (tmp_path / "t.csv").write_text("pulse,conductance,direction,cell\n" + "\n".join(rows) + "\n")
    (found,) = fitting.fit(tmp_path / "t.csv", "pulsed")
    assert 0 <= found.fields["pulse_gain_spread"] < 0.5


def test_the_command_writes_what_can_be_used_and_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    measure(tmp_path / "mine.csv", "pulsed", **LAWS["pulsed"])
    app(["devices", "fit", "mine.csv"], result_action="return_value")
    said = capsys.readouterr().out
    assert "pulsed_exponential" in said
    assert said.split()[-2:] == ["mine.toml", "mine.png"]
    assert (tmp_path / "mine.png").stat().st_size > 10_000
    device = devices.get("mine.toml:adc_bits=6")
    assert (devices.name_of(device), device.adc_bits) == ("pulsed", 6)
    with pytest.raises(FileExistsError, match=r"mine\.toml exists"):
        app(["devices", "fit", "mine.csv"], result_action="return_value", exit_on_error=False)
    app(
        ["devices", "fit", "mine.csv", "--device", "measured", "--out", "m.toml", "--plot", "m.svg"],
        result_action="return_value",
    )
    assert (tmp_path / "m.svg").exists()
    app(["devices", "fit", "mine.csv", "--device", "measured", "--out", "n.toml"], result_action="return_value")
    assert (tmp_path / "n.png").exists()  # and the picture of the other fit, mine.png, stays
    assert devices.name_of(devices.get("m.toml")) == "measured"


def _long(up, down):
    """A table of one row a pulse, linear curves with these pulse numbers."""
    rows = ["pulse,conductance,direction,cycle"]
    for way, sign, curves in (("up", 1, up), ("down", -1, down)):
        rows += [f"{n},{20 + sign * n},{way},{k}" for k, numbers in enumerate(curves) for n in numbers]
    return "\n".join(rows) + "\n"


BAD = {
    "pulse,conductance\n0,1\n": r"t\.csv:1: no column 'direction'; a table has the columns pulse, up, down, or pulse,",
    "pulse,conductance,direction\n0,1,sideways\n": r"t\.csv:2: direction must be up or down, not 'sideways'",
    "pulse,conductance,direction\n1,1,up\n0,1,up\n": r"t\.csv:3: pulse numbers of a curve must rise",
    "pulse,conductance,direction\n0,x,up\n": r"t\.csv:2: conductance must be a number",
    "pulse,up,down\n0,1,3\n1,2,2\n2,3,1\n": r"t\.csv: a curve up of at least 4 pulses is needed, not of 3",
    "pulse,conductance,direction\n0,1\n": r"t\.csv:2: 2 cells, not 3",
    "pulse,conductance,direction,cell,cell\n0,1,up,a,b\n": r"t\.csv:1: the header names the column 'cell' 2 times",
    _long(up=[range(0, 6), range(6, 12)], down=[range(6)]): r"t\.csv: the 2 curves up have 0 pulse numbers in common",
    _long(up=[range(6)], down=[range(6), range(3)]): r"t\.csv: the 2 curves down have 3 pulse numbers in common",
    "pulse,up,down\n" + "".join(f"{n},{9 - n},{1 + n}\n" for n in range(6)): r"t\.csv: the mean curve up must rise",
    "pulse,up,down\n" + "".join(f"{n},{1 + n},5\n" for n in range(6)): r"t\.csv: the mean curve down must fall",
    "pulse,conductance,direction,cell\n"
    + "".join(
        f"{n},{g + s * n / 9},{way},{g}\n" for g in (1, 9) for way, s in (("up", 1), ("down", -1)) for n in range(6)
    ): r"no curve keeps to the range of the mean curves, 4\.4\d* to 5\.5\d* µS",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_tables_get_one_clear_error(text, tmp_path):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=BAD[text]):
        fitting.fit(tmp_path / "t.csv")


def test_a_device_that_cannot_be_fitted_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no fit of device 'pulsd'; did you mean 'pulsed'"):
        fitting.fit(tmp_path / "t.csv", "pulsd")
    table = measure(tmp_path / "table.csv", "pulsed", **LAWS["pulsed"])
    with pytest.raises(ValueError, match=r"ends in \.toml"):
        fitting.save(fitting.fit(table, "pulsed")[0], table, tmp_path / "fit.txt")
