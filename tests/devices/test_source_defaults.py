"""The defaults of a device file are read from its source, and summaries of runs show what differs from them."""

from pathlib import Path

import noisysim
from noisysim.devices import field_groups, source_defaults

CHIP = '''"""A device of a user's own."""
from noisysim.devices.field_groups import Clock, Converters, device_fields

raise_if_executed = True


@device_fields
class Mine(Converters, Clock):
    """Lines with a wobble."""

    amplitude: float = 0.05
    shape: str = "flat"
    computed: float = 2 * 0.01
    unset: float
    adc_bits = 6


def readout(i, energy, z, u, d):
    return i + d.amplitude * z
'''


def test_literals_and_groups_are_read():
    read = source_defaults.read(CHIP)
    assert (read["amplitude"], read["shape"], read["adc_bits"]) == (0.05, "flat", 6)
    assert read["dac_bits"] == field_groups.Converters()._asdict()["dac_bits"]
    assert read["read_time"] == field_groups.Clock()._asdict()["read_time"]
    assert not {"computed", "unset", "raise_if_executed"} & set(read)


def test_the_first_base_counts_and_a_class_of_the_file_is_no_group():
    text = "class Converters:\n    adc_bits = 3\n\nclass Mine(Converters):\n    dac_bits: int = 4\n"
    assert source_defaults.read(text) == {"adc_bits": 3, "dac_bits": 4}
    assert source_defaults.read("class A(NamedTuple):\n    x: float = 1.0\n\nclass B(A):\n    x = 2.0\n") == {"x": 2.0}


def test_what_is_no_source_says_nothing():
    for text in ("", "Mine{'amplitude': 0.05}\nreadout", "class A(:", "\0"):
        assert source_defaults.read(text) == {}


def test_a_summary_shows_of_a_device_file_what_is_not_at_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_chip.py").write_text(
        "from typing import NamedTuple\n\nclass Mine(NamedTuple):\n    amplitude: float = 0.05\n    duty: float = 0.1\n"
        "    gain: float = 2 * 0.5\n\ndef readout(i, energy, z, u, d):\n"
        "    return i + d.gain * d.amplitude * (u < d.duty)\n"
    )
    task = "student-teacher:n_in=6,n_train=40,n_test=10"
    options = {"layers": [5], "batch_size": 8, "epochs": 1, "progress": False}
    result = noisysim.run(task, device="my_chip.py:duty=0.2", out="run.h5", **options)
    Path("my_chip.py").write_text("raise SystemExit('executed')")  # what is shown is what was recorded
    for shown in (result, noisysim.load("run.h5")):
        device = dict(shown.rows())["device"]
        assert device.startswith("my_chip.py(duty=0.2, gain=1.0) [")
        assert shown.config["device"]["amplitude"] == 0.05
