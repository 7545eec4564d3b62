"""The shipped suite: what conforms passes, and each way not to conform is found by its own check."""

import subprocess
import sys

import numpy as np
import pytest

from noisysim import Chip, conformance, devices
from noisysim.common.fields import listed
from noisysim.conformance import Report, chips, noise_states
from noisysim.conformance.report import require

LAWFUL = '''
from typing import Annotated, NamedTuple
import numpy as np
from noisysim.common.fields import Field

class Lawful(NamedTuple):
    """Cells that are written with an error, are pulsed and blink; lines with noise."""
    g_min: Annotated[float, Field("µS", 0, 1e3)] = 1.0
    g_max: Annotated[float, Field("µS", 0, 1e3)] = 11.0
    miss: Annotated[float, Field("µS", 0, 10, "std of a write", noise="write")] = 0.1
    step: Annotated[float, Field("µS", 0, 10, "mean size of a pulse")] = 0.05
    depth: Annotated[float, Field("share", 0, 1, "of a blink", noise="read", hook="read_cell")] = 0.0
    sigma: Annotated[float, Field("pre-activation units", 0, 10, noise="read")] = 0.02
    pulse_step: Annotated[float, Field("share of the span", 0, 1)] = 0.005
    read_time: Annotated[float, Field("s", 0, 1)] = 0.1

def program(g, z, d):
    return min(max(g + d.miss * z, d.g_min), d.g_max)

def pulse(g, up, z, d):
    return min(max(g + up * d.step + d.miss * z, d.g_min), d.g_max)

def jump(s, u, t, d):
    return 1 if u < 0.25 * (1 - np.exp(-t)) + s * np.exp(-t) else 0

def read_cell(g, s, z, u, d):
    return g * (1 - d.depth * s)

def readout(i, energy, z, u, d):
    return i + np.sqrt(energy + d.sigma * d.sigma) * z

def program_law(g, d):
    return g, d.miss

def pulse_law(g, up, d):
    return g + up * d.step, d.miss

def read_cell_law(g, d):
    return g * (1 - d.depth / 4), g * d.depth * np.sqrt(3) / 4

def readout_law(i, energy, d):
    return i, np.sqrt(energy + d.sigma**2)
'''


@pytest.fixture
def made(tmp_path):
    """A device of a file with this text."""

    def make(text, **settings):
        path = tmp_path / "chip.py"
        path.write_text(text)
        return devices.get(path, **settings)

    return make


def found(report):
    return {finding.check: (finding.passed, finding.text) for finding in report.findings}


def alone(name, device):
    """What one check of the suite finds."""
    report = Report("a device")
    conformance._try(report, name, {**conformance._FIRST, **conformance._SUITE}[name], device)
    return report


def test_a_device_file_that_conforms_passes_every_check():
    report = conformance.check("gaussian")
    report.raise_on_failure()
    said = found(report)
    assert set(said) >= {*conformance._FIRST, *conformance._SUITE} - {"moments", "noise", "switched on"}
    assert {f"noise: {state}" for state in ("fresh", "zero", "rewritten", "aged", "updated")} < set(said)
    assert said["switched on: sigma"] == (True, "at 0.001 two passes differ")
    assert said["hooks"] == (True, "readout")
    assert said["noise off"] == (True, "sigma at 0: two passes are the same")
    assert "std of one read of the output 0.001" in said["determinism"][1]
    assert said["learning"][1].startswith("90 updates of DANP on the digits: loss ")


def test_the_ideal_device_conforms():
    report = conformance.check("ideal")
    report.raise_on_failure()
    assert found(report)["hooks"] == (True, "none: exact hardware")
    assert found(report)["moments"] == (None, "no hook draws")


@pytest.mark.parametrize("depth", [0.0, 0.2])
def test_laws_that_hold_pass(made, depth):
    report = alone("moments", made(LAWFUL, depth=depth))
    report.raise_on_failure()
    hooks = ["program", "pulse", "read_cell", "readout"] if depth else ["program", "pulse", "readout"]
    assert [finding.check for finding in report.findings] == [f"moments: {hook}" for hook in hooks]
    assert all(finding.passed for finding in report.findings)


BROKEN_LAWS = {
    "mean": ("program", lambda g, d: (g + 0.002, d.miss), "the mean is .*, the law's 3.502"),
    "std": ("program", lambda g, d: (g, 1.02 * d.miss), "the std is 0.1.*, the law's 0.102"),
    "pulse": ("pulse", lambda g, up, d: (g + d.step, d.miss), "at g=3.5, up=-1 the mean is"),
    "blink": ("read_cell", lambda g, d: (g * (1 - d.depth / 3), g * d.depth * np.sqrt(3) / 4), "the mean is"),
    "line": ("readout", lambda i, energy, d: (i, d.sigma), r"energy=0.0001 the std is.*\(3 of 6 points\)"),
}  # fmt: skip


@pytest.fixture(scope="module")
def lawful(tmp_path_factory):
    path = tmp_path_factory.mktemp("lawful") / "chip.py"
    path.write_text(LAWFUL)
    return devices.get(path, depth=0.2)


@pytest.mark.parametrize("name", BROKEN_LAWS)
def test_a_law_that_does_not_hold_is_found(name, lawful, monkeypatch):
    hook, law, said = BROKEN_LAWS[name]
    laws = {**devices.laws(lawful), f"{hook}_law": law}
    monkeypatch.setattr(devices, "laws", lambda device: laws)
    report = alone("moments", lawful)
    assert [finding.check for finding in report.failures] == [f"moments: {hook}"]
    with pytest.raises(AssertionError, match=f"fails 1 checks: moments: {hook}: .*{said}"):
        report.raise_on_failure()


def test_a_hook_without_a_law_is_measured(made):
    report = alone("moments", made(LAWFUL.replace("def program_law", "def _unused")))
    passed, said = found(report)["moments: program"]
    assert passed is None
    assert said.startswith("no law declared; measured mean 6, std 0.1")


@pytest.mark.parametrize("spec", ["crossbar", "crossbar:line_noise=0"])
def test_reads_vary_as_the_hooks_say_in_every_state(spec):
    report = alone("noise", devices.get(spec))
    assert [finding.passed for finding in report.findings] == [True] * 5, report.findings


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.1])
def test_reads_that_vary_otherwise_are_found(factor, monkeypatch):
    law = devices.laws(devices.get("crossbar"))["readout_law"]
    other = {"readout_law": lambda i, energy, d: (i, law(i, energy, d)[1] * factor)}
    monkeypatch.setattr(devices, "laws", lambda device: other)
    assert {finding.passed for finding in alone("noise", devices.get("crossbar")).findings} == {False}


def test_cells_noise_that_is_lost_beside_that_of_the_lines_is_found(monkeypatch):
    real = noise_states.analog_passes

    def quiet(chip, x, passes):
        variances = chip._hidden.arrays.variances
        kept = variances.copy()
        variances[:] = 0
        observed = real(chip, x, passes)
        variances[:] = kept
        return observed

    monkeypatch.setattr(noise_states, "analog_passes", quiet)
    said = found(alone("noise", devices.get("crossbar")))
    assert not said["noise: fresh"][0]
    assert not said["noise: rewritten"][0]


def test_an_amplitude_without_effect_is_found(monkeypatch):
    device = devices.get("gaussian")
    assert found(alone("switched on", device)) == {"switched on: sigma": (True, "at 0.001 two passes differ")}
    real = noise_states.analog_passes
    monkeypatch.setattr(noise_states, "analog_passes", lambda chip, x, n: [real(chip, x, 1)[0]] * n)
    assert found(alone("switched on", device)) == {"switched on: sigma": (False, "at 0.001: no effect")}


def test_a_field_that_nothing_reads_is_told(made):
    assert found(alone("fields", made(LAWFUL))) == {"fields": (True, "each is read by something")}
    passed, said = found(alone("fields", made(LAWFUL.replace("(1 - d.depth * s)", "(1 - s / 5)"))))["fields"]
    assert passed is None
    assert said == "nothing reads depth: without effect"


def test_noise_that_stays_with_its_amplitude_at_zero_is_found(made):
    text = LAWFUL.replace("d.sigma * d.sigma) * z", "d.sigma * d.sigma + 1e-6) * z")
    assert found(alone("noise off", made(text)))["noise off"] == (False, "with depth, sigma at 0 readout still draws")
    text = LAWFUL.replace("return min(max(g + d.miss * z,", "return min(max(g + (d.miss + 0.01) * z,")
    assert found(alone("noise off", made(text)))["noise off"] == (False, "with miss at 0 program still draws")
    passed, said = found(alone("noise off", made(LAWFUL.replace(', noise="read"', "").replace(', noise="write"', ""))))[
        "noise off"
    ]
    assert passed is None
    assert "Field(noise='read')" in said


def test_a_hook_that_is_not_finite_somewhere_is_found(made):
    text = LAWFUL.replace(
        "def readout(i, energy, z, u, d):", "def readout(i, energy, z, u, d):\n    z = z if abs(z) < 2 else z / (u * 0)"
    )
    passed, said = found(alone("finite scalars", made(text)))["finite scalars"]
    assert passed is False
    assert said.startswith("compiled, readout gives [")


def test_a_hook_that_cannot_be_compiled_ends_the_suite(made):
    device = made(LAWFUL.replace("return g + up * d.step", "return g + up * TABLE[1]").replace(
        "min(max(g + up * d.step", "min(max(g + TABLE[1]") + "\nTABLE = {1: 2.0}\n")  # fmt: skip
    report = conformance.check(device)
    assert [finding.check for finding in report.failures] == ["compile"]
    assert [finding.check for finding in report.findings] == ["hooks", "signatures", "fields", "compile"]
    assert "pulse cannot be compiled: Untyped global name 'TABLE'" in report.failures[0].text


class Leaky:
    """A chip whose observations lead to it."""

    def __init__(self, *arguments, **options):
        self.chip = Chip(*arguments, **options)

    def __getattr__(self, name):
        return getattr(self.chip, name)

    def passes(self, *arguments, **options):
        observed = self.chip.passes(*arguments, **options)
        observed[0].output_error = self.leak(observed)
        return observed


def an_array(chip):
    return next(v for v in chips._reachable(chip) if isinstance(v, np.ndarray) and v.size)[:1]


LEAKS = {
    "the chip": (lambda self, _: self.chip, "an observation leads to the chip"),
    "an array": (lambda self, _: an_array(self.chip), "an observation shares the chip's memory"),
    "the seed": (lambda self, _: {"x": [chips.SEED]}, "an observation leads to a key of the chip's"),
}  # fmt: skip


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_found(name, monkeypatch):
    leak, said = LEAKS[name]
    monkeypatch.setattr(Leaky, "leak", leak, raising=False)
    make = chips._chip
    monkeypatch.setattr(chips, "_chip", lambda device: Leaky(chips.SIZES, device, seed=chips.SEED))
    assert found(alone("hiding", devices.get("gaussian")))["hiding"] == (False, said)
    monkeypatch.setattr(chips, "_chip", make)
    assert found(alone("hiding", devices.get("gaussian")))["hiding"][0]


def test_what_depends_on_threads_or_chunks_is_found(monkeypatch):
    counted = iter(range(100))
    real = chips._activities
    monkeypatch.setattr(chips, "_activities", lambda chip: [a + next(counted) for a in real(chip, 64)])
    assert found(alone("threads", devices.get("gaussian")))["threads"] == (False, "1 and 3 threads give other bits")
    assert found(alone("determinism", devices.get("gaussian")))["determinism"] == (
        False, "the same seed gave other bits",
    )  # fmt: skip


def test_the_program_prints_a_table_and_its_exit_status_tells(made, capsys):
    assert conformance.main(["ideal"]) == 0
    out = capsys.readouterr().out
    assert "ideal\n" in out
    assert out.rstrip().endswith("conforms")
    assert conformance.main(["idle"]) == 1
    known = listed([*devices.names(), *devices.presets.names()])
    assert capsys.readouterr().err == f"noisysim: unknown device 'idle'; did you mean 'ideal'? (known: {known})\n"
    assert conformance.main([]) == 2
    assert conformance.main(["--help"]) == 0


def test_a_broken_file_is_one_line_and_status_1(tmp_path):
    path = tmp_path / "chip.py"
    path.write_text("class A(:")
    done = subprocess.run(
        [sys.executable, "-m", "noisysim.conformance", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"noisysim: {path}:1: invalid syntax: 'class A(:'\n"


def test_a_failure_is_a_row_and_status_1(monkeypatch, capsys):
    monkeypatch.setattr(conformance, "_SUITE", {"record": lambda device: require(False, "no [record]")})
    assert conformance.main(["ideal"]) == 1
    out = capsys.readouterr().out
    assert "FAILS" in out
    assert "no [record]" in out
    assert "1 of 6 checks failed" in out
