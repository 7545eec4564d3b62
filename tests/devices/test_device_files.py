"""Devices from outside the package: a user's file, an entry point, a script; and the one clear error for a mistake."""

import dis
import importlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from numba.core import event

import noisysim
from noisysim import cli, devices
from noisysim.cli import commands
from noisysim.common import source
from noisysim.common.plain_functions import fingerprint
from noisysim.common.source import SOURCE, attributes, dependencies, uses
from noisysim.common.user_files import MissingFileError
from noisysim.compute.jit import compile_errors
from noisysim.compute.jit.scalars import specialise
from noisysim.devices import DeviceError, Spread
from noisysim.devices import files as device_files
from noisysim.runs import config, storage

import hook_table

TABLE = hook_table.__file__  # sources of hooks that are easily misread

TWO_LEVEL = '''
from typing import NamedTuple

class TwoLevel(NamedTuple):
    """Two-level lines: `amplitude` (pre-activation units) higher in a share `duty` of the reads, independently."""
    amplitude: float = 0.05
    duty: float = 0.1

def readout(i, energy, z, u, d):
    return i + d.amplitude * (u < d.duty)
'''
ARRAYS = (np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32), np.arange(40) % 3)


@pytest.fixture
def chip_file(tmp_path, monkeypatch):
    """A device file in the working directory."""
    monkeypatch.chdir(tmp_path)
    return written(tmp_path / "my_chip.py", TWO_LEVEL)


def written(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def small(**given):
    return noisysim.run(**{"task": ARRAYS, "layers": [5], "epochs": 2, "batch_size": 16, "progress": False, **given})


def one_error(kind, said, function, *args, **given):
    """Call it: exactly this kind of error, of one line that matches, with no other error shown above it."""
    with pytest.raises(kind, match=said) as caught:
        function(*args, **given)
    error = caught.value
    assert type(error) is kind
    assert len(str(error).splitlines()) == 1
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    return str(error)


# --- asking for one -------------------------------------------------------------------------------------------------


def test_a_file_can_be_asked_for_in_every_form(chip_file):
    plain = devices.get("my_chip.py")
    assert plain == devices.get(chip_file) == devices.get(str(chip_file)) == devices.get({"name": "my_chip.py"})
    assert (plain.amplitude, plain.duty) == (0.05, 0.1)
    for spec, settings in (
        ("my_chip.py:amplitude=0.5", {}), ("my_chip.py", {"amplitude": 0.5}), (chip_file, {"amplitude": 0.5}),
        ({"name": "my_chip.py", "amplitude": 0.5}, {}), ({"name": chip_file, "amplitude": 0.5}, {}),
        (plain, {"amplitude": 0.5}),
    ):  # fmt: skip
        assert devices.get(spec, **settings) == plain._replace(amplitude=0.5)
    assert type(devices.get("my_chip.py:amplitude=1,duty=0.5")) is type(plain) is devices.kind("my_chip.py")
    assert devices.name_of(plain) == "my_chip"
    assert devices.is_noisy(plain)
    assert devices.own_hooks(plain) == {"readout"}


def test_a_colon_in_a_folders_name_is_no_setting(tmp_path):
    path = written(tmp_path / "a:b" / "my_chip.py", TWO_LEVEL)
    assert devices.get(f"{path}:amplitude=2").amplitude == 2


def test_a_file_that_is_not_there_says_where_it_was_looked_for(chip_file):
    said = one_error(FileNotFoundError, "no device file 'mychip.py'", devices.get, "mychip.py")
    assert str(chip_file.parent) in said
    one_error(ValueError, r"a device file's name ends in \.py, not '/tmp/chip'", devices.get, Path("/tmp/chip"))
    one_error(ValueError, "device 'my_chip' has no field 'amplitud'; did you mean 'amplitude'", devices.get,
              "my_chip.py:amplitud=1")  # fmt: skip
    one_error(TypeError, r"my_chip\.duty must be a number, not 'x' \(str\)", devices.get, "my_chip.py:duty=x")
    one_error(ValueError, "cannot read 'duty'", devices.get, "my_chip.py:duty")


def test_an_edited_file_is_another_device_and_the_same_source_the_same(chip_file, tmp_path):
    first = devices.get(chip_file)
    before = fingerprint(devices.hooks(first)["readout"])
    copy = written(tmp_path / "elsewhere" / "other.py", TWO_LEVEL)
    assert type(devices.get(copy)) is type(first)
    chip_file.write_text(TWO_LEVEL.replace("i + d", "i - d"))
    second = devices.get(chip_file)
    assert type(second) is not type(first)
    assert devices.hooks(second)["readout"](np.float32(0), 0, 0, 0.0, second) == pytest.approx(-0.05)
    assert fingerprint(devices.hooks(second)["readout"]) != before  # so the loops are compiled anew
    assert fingerprint(devices.hooks(first)["readout"]) == before  # whatever the file holds by now


RICH = '''
from __future__ import annotations
import math
import numpy as np
from typing import Annotated, NamedTuple
from noisysim.devices import Field, Spread
from noisysim.devices.physics.converters import quantise

STEPS = (0.5, 0.25)
SCALE = 2.0

class _Pair(NamedTuple):
    a: float

class Rich(NamedTuple):
    """Helpers, constants and annotations."""
    depth: Annotated[float, Field("V", 0, 10, "of something")] = 1.5
    spread: Annotated[float, Field("relative", 0, 1)] = 0.0
    offset: Annotated[float, Field("V", -1, 1, spread=Spread("spread", "absolute", "column"))] = 0.0

def _bend(x, by):
    return math.tanh(x * by) * SCALE

def _twice(x):
    return _bend(_bend(x, STEPS[0]), STEPS[1])

def adc(i, d):
    return quantise(_twice(i + d.offset) + np.sqrt(d.depth), 4.0, 8)
'''


@pytest.mark.pythons
def test_a_file_may_have_helpers_imports_constants_and_written_out_annotations(tmp_path):
    device = devices.get(written(tmp_path / "rich.py", RICH))
    step = 4 / 127
    want = 2 * np.tanh(2 * np.tanh(0.3 * 0.5) * 0.25) + np.sqrt(1.5)
    assert devices.hooks(device)["adc"](np.float32(0.3), device) == pytest.approx(want, abs=step)
    one_error(ValueError, r"rich\.depth must be a number from 0 to 10, V, not 11", devices.get, device, depth=11)
    assert devices.spreads(devices.get(device, spread=0.1)) == {"offset": Spread("spread", "absolute", "column")}
    error = RuntimeError("no hook is at fault: all compile")
    assert compile_errors.explain(device, error) is error


# --- running, recording, going on -----------------------------------------------------------------------------------


def test_a_run_on_a_file_is_recorded_with_its_source_and_runs_again_from_its_record(chip_file):
    result = small(device="my_chip.py:amplitude=0.1", out="run.h5")
    said = noisysim.load("run.h5").config["device"]
    assert said == devices.describe(devices.get("my_chip.py", amplitude=0.1))
    assert (said["name"], said["amplitude"], said["duty"], said["source"]) == ("my_chip.py", 0.1, 0.1, TWO_LEVEL)
    assert len(said["sha256"]) == 64
    again = small(device=json.loads(json.dumps(said)))
    assert np.array_equal(result.steps["train_loss"], again.steps["train_loss"])


def test_the_command_line_takes_a_file(chip_file, monkeypatch, capsys):
    words = ["run", "student-teacher:n_in=6,n_train=40,n_test=10", "--layers", "5", "--epochs", "1", "--no-progress"]
    for more in (["--device", "my_chip.py:amplitude=0.1", "--out", "a.h5"], ["--config", "a.h5", "--out", "b.h5"]):
        monkeypatch.setattr(sys, "argv", ["noisysim", *(words if "--device" in more else words[:1]), *more])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
    assert "my_chip" in capsys.readouterr().out
    first, second = noisysim.load("a.h5"), noisysim.load("b.h5")
    assert first.config == second.config
    assert np.array_equal(first.steps["train_loss"], second.steps["train_loss"])


def test_what_a_record_holds_is_compared_and_never_executed(chip_file, tmp_path):
    said = devices.describe(devices.get("my_chip.py"))
    marker = tmp_path / "executed"
    trap = f"open({str(marker)!r}, 'w').close()\n{TWO_LEVEL}"
    assert devices.get({**said, "source": trap}) == devices.get("my_chip.py")
    chip_file.write_text(trap)
    one_error(ValueError, rf"'my_chip.py' is not the one recorded: .*\(SHA-256 {said['sha256'][:12]}, now ",
              devices.get, said)  # fmt: skip
    chip_file.unlink()
    one_error(
        MissingFileError, "no device file 'my_chip.py'.*if the recorded file was moved.*device='new", devices.get, said
    )
    assert not marker.exists()


@pytest.fixture
def cut(chip_file, monkeypatch):
    """A whole run on the file, and the file of one cut short."""
    copies, write = [], storage.write

    def keep(path, content):
        write(path, content)
        copies.append(shutil.copy(path, f"copy{len(copies)}.h5"))

    monkeypatch.setattr(storage, "write", keep)
    whole = small(device="my_chip.py:amplitude=0.1", out="whole.h5", checkpoint_seconds=0)
    monkeypatch.setattr(storage, "write", write)
    return whole, copies[3]


def test_a_run_goes_on_with_the_same_file_wherever_it_is_now(cut, chip_file, tmp_path):
    whole, copy = cut
    moved = tmp_path / "new" / "place.py"
    moved.parent.mkdir()
    chip_file.rename(moved)
    one_error(MissingFileError, "device='new/place.py'", noisysim.resume, copy, task=ARRAYS)
    result = noisysim.resume(copy, task=ARRAYS, device="new/place.py", progress=False)
    assert np.array_equal(result.steps["train_loss"], whole.steps["train_loss"])
    assert result.config["device"]["name"] == "new/place.py"
    assert result.config["device"]["amplitude"] == 0.1  # the run's, not the file's default


def test_a_run_goes_on_with_nothing_but_its_own_device(cut, chip_file):
    _, copy = cut
    given = {"task": ARRAYS, "progress": False}
    one_error(ValueError, "settings come from the recorded run: give no amplitude", noisysim.resume, copy,
              device="my_chip.py:amplitude=0.2", **given)  # fmt: skip
    one_error(ValueError, "was on device 'my_chip.py', not on 'ideal'", noisysim.resume, copy, device="ideal", **given)
    chip_file.write_text(TWO_LEVEL.replace("0.1", "0.2"))
    for device in (None, "my_chip.py"):
        one_error(ValueError, "is not the one recorded", noisysim.resume, copy, device=device, **given)
    assert noisysim.load(copy).status == "running"


def test_another_process_compiles_nothing(chip_file):
    code = (
        "import numpy as np, noisysim\nfrom numba.core import event\n"
        "with event.install_recorder('numba:compile') as seen:\n"
        "    chip = noisysim.Chip([6, 5, 3], 'my_chip.py')\n    chip.forward(np.ones((3, 6), np.float32))\n"
        "print(sum(1 for _, one in seen.buffer if one.is_start))"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=os.getcwd())
    assert done.stdout == "0\n"


def test_a_second_chip_of_a_file_compiles_nothing(chip_file):
    x = np.ones((3, 6), np.float32)
    noisysim.Chip([6, 5], "my_chip.py").forward(x)
    with event.install_recorder("numba:compile") as seen:
        noisysim.Chip([6, 5], "my_chip.py:amplitude=3").forward(x)
    assert not seen.buffer


# --- tables and data files ------------------------------------------------------------------------------------------

TABLED = """
from typing import Annotated, NamedTuple
import numpy as np
from noisysim.common.fields import Field

CURVE = np.ones(2, np.float32)

class Tabled(NamedTuple):
    curve: Annotated[str, Field("table", file=True)] = ""
    noise: float = 0.0

def tables(d):
    return {"CURVE": np.loadtxt(d.curve)} if d.curve else {}

def _look(x):
    return CURVE[0] + x * CURVE[CURVE.size - 1]

def adc(i, d):
    return _look(i)

def program_law(g, d):
    return _look(g), 0.0
"""


def test_hooks_and_their_helpers_read_the_tables_of_their_device(tmp_path):
    path, data = written(tmp_path / "tabled.py", TABLED), written(tmp_path / "curve.txt", "3 5 7")
    plain, filled = devices.get(path), devices.get(path, curve=str(data))
    x = np.float32(2)
    assert devices.hooks(plain)["adc"](x, plain) == 3
    assert devices.hooks(filled)["adc"](x, filled) == 3 + 2 * 7
    assert devices.laws(filled)["program_law"](1.0, filled) == (10, 0.0)
    assert devices.hooks(filled)["adc"] is devices.hooks(filled)["adc"]  # made once
    assert devices.hooks(filled)["adc"] is not devices.hooks(plain)["adc"]
    assert fingerprint(devices.hooks(plain)["adc"]) != fingerprint(devices.hooks(filled)["adc"])


def test_tables_and_what_they_read_may_change(tmp_path, monkeypatch):
    """As in a notebook, where a cell is edited and run again."""
    written(tmp_path / "own_tabled.py", TABLED.replace("np.loadtxt(d.curve)} if d.curve else {}", "2 * READ['curve']}")
            + "\nREAD = {'curve': np.arange(5000.0)}\n")  # fmt: skip
    monkeypatch.syspath_prepend(tmp_path)
    own = __import__("own_tabled")

    def curve():
        return devices.hooks(own.Tabled())["adc"].__globals__["CURVE"]

    np.testing.assert_array_equal(curve(), 2 * np.arange(5000.0))
    own.READ["curve"][2500] = 7.0
    assert curve()[2500] == 14.0
    exec("def tables(d):\n    return {'CURVE': 3 * READ['curve']}", vars(own))
    assert curve()[2500] == 21.0


def test_a_data_file_is_part_of_the_record(tmp_path):
    path, data = written(tmp_path / "tabled.py", TABLED), written(tmp_path / "curve.txt", "3 5 7")
    said = devices.describe(devices.get(path, curve=str(data)))
    assert len(said["curve_sha256"]) == 64
    first = devices.get(said)
    data.write_text("3 5 8")
    one_error(ValueError, r"tabled\.curve: '.*curve\.txt' is not the one recorded", devices.get, said)
    second = devices.get(path, curve=str(data))
    assert devices.hooks(second)["adc"](np.float32(1), second) == 11
    assert first == second  # the same path: what is in it tells them apart
    data.unlink()
    one_error(FileNotFoundError, r"tabled\.curve: there is no file", devices.get, path, curve=str(data))
    assert "curve_sha256" not in devices.describe(devices.get(path))


def test_tables_that_are_none_are_refused(tmp_path):
    def with_tables(text):
        return written(
            tmp_path / "tabled.py", TABLED.replace('{"CURVE": np.loadtxt(d.curve)} if d.curve else {}', text)
        )

    one_error(DeviceError, r"tables\(d\) gives 'CRVE', but the module defines none: .*CRVE = np\.zeros", devices.get,
              with_tables("{'CRVE': [1.0]}"))  # fmt: skip
    one_error(DeviceError, "must return a dict of arrays, not list", devices.get, with_tables("[1.0]"))
    one_error(DeviceError, "gives a CURVE that is not finite", devices.get, with_tables("{'CURVE': [np.nan, 1]}"))
    one_error(DeviceError, "a CURVE that is no array of numbers: .*'x'", devices.get, with_tables("{'CURVE': ['x']}"))
    one_error(DeviceError, r"tabled\.py:13: tables raised KeyError: 'x'", devices.get, with_tables("{}['x']"))
    one_error(ValueError, "^my words$", devices.get, with_tables("_no()\ndef _no():\n    raise ValueError('my words')"))


@pytest.mark.pythons
def test_arrays_that_differ_in_the_middle_have_other_fingerprints():
    space = {"np": np, "__name__": "made", SOURCE: "def f(x):\n    return x * T[0]\n", "T": np.zeros(5000)}
    exec(space[SOURCE], space)
    before = fingerprint(space["f"])
    space["T"] = np.zeros(5000)
    assert fingerprint(space["f"]) == before
    space["T"][2500] = 1
    assert fingerprint(space["f"]) != before


# --- what the kernels ask of build ----------------------------------------------------------------------------------


@pytest.mark.pythons
def test_attributes_are_those_of_a_function_and_of_all_it_calls(tmp_path):
    device = devices.get(written(tmp_path / "rich.py", RICH))
    found = attributes(devices.hooks(device)["adc"])
    assert found & {*device._fields, "a"} == {"depth", "offset"}
    assert {"sqrt", "tanh", "rint"} <= found  # of helpers too, the package's among them
    assert attributes() == set()


@pytest.mark.pythons
@pytest.mark.parametrize("text", hook_table.SOURCES)
def test_what_a_hook_depends_on_counts_as_read(text):
    assert hook_table.missed(source, text) == []


def interpreter(version):
    """The Python of this version: of the path, or one that pyenv keeps (whose shim runs only what is switched on)."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions").glob(f"{version}.*/bin/python")
    for found in filter(None, [shutil.which(f"python{version}"), *sorted(kept)]):
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if said.returncode == 0 and f"Python {version}." in said.stdout:
            return found
    return None


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_hooks_are_read_alike_by_every_python(version):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    done = subprocess.run([python, TABLE, source.__file__], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_analysis_of_opcodes_would_be_found():
    def loaded(function, name):
        found = [op.argval for op in dis.get_instructions(function) if op.opname.startswith("LOAD_FAST")]
        return any(name in (value if isinstance(value, tuple) else (value,)) for value in found)

    opcodes = types.SimpleNamespace(SOURCE=source.SOURCE, uses=loaded, attributes=source.attributes)
    wrong = [text for text in hook_table.SOURCES if "z" in hook_table.missed(opcodes, text)]
    assert len(wrong) > 2  # which ones depends on the Python


def test_hooks_of_the_packages_devices_are_all_understood():
    for name in devices.BUILT_IN:
        for hook, function in devices.hooks(devices.get(name)).items():
            assert source._reading(function) is not None, (name, hook)
    assert not uses(devices.hooks(devices.get("crossbar"))["readout"], "u")


def test_a_source_that_was_edited_since_is_not_believed(tmp_path, monkeypatch):
    path = written(tmp_path / "edited_chip.py", "def readout(i, energy, z, u, d):\n    return i + z\n")
    monkeypatch.syspath_prepend(tmp_path)
    function = importlib.import_module("edited_chip").readout
    path.write_text("def readout(i, energy, z, u, d):\n    return i    \n")
    assert uses(function, "z")
    assert uses(function, "u")  # nobody knows


def test_a_local_name_is_no_global_of_the_same_name():
    text = "def drift(g, t, d):\n    drift = d.drift\n    return g * drift\n"
    space = {"__name__": "made", SOURCE: text}
    exec(text, space)
    assert dependencies(space["drift"]) == {}


@pytest.mark.pythons
def test_a_function_that_calls_itself_is_refused():
    def jit(function):
        return function

    space = {"__name__": "made"}
    exec("def f(x):\n    return g(x)\ndef g(x):\n    return f(x)\n", space)
    with pytest.raises(ValueError, match="f calls itself"):
        specialise(space["f"], jit)


# --- mistakes -------------------------------------------------------------------------------------------------------

HEAD = (
    "from typing import Annotated, NamedTuple\nimport math\nimport numpy as np\n"
    "from noisysim.common.fields import Field, Spread\n"
)
CHIP = HEAD + "class Chip(NamedTuple):\n    a: float = 0.1\n"  # six lines
READOUT = r"readout\(i, energy, z, u, d\) takes numbers and returns one number"
MISTAKES = {
    "no-class": ("x = 1", r"defines no NamedTuple class: write class MyChip\(NamedTuple\)"),
    "plain-class": ("class A:\n    a = 1", "defines no NamedTuple class; class A is none"),
    "two-classes": (CHIP + "class B(NamedTuple):\n    b: float = 1", "defines the NamedTuple classes Chip and B"),
    "syntax": ("x = 1\nclass A(:", r":2: invalid syntax: 'class A\(:'"),
    "import": ("import nowhere_at_all", ":1: ModuleNotFoundError: No module named 'nowhere_at_all'; a device file is"),
    "raises": (HEAD + "x = 1 / 0", ":5: ZeroDivisionError: division by zero"),
    "no-text": (b"x = '\xff'", "chip.py:1: .*encoding|is not Python text"),
    "no-default": (HEAD + "class A(NamedTuple):\n    a: float", ":6: field 'a' has no default"),
    "word": (HEAD + "class A(NamedTuple):\n    a: float = 'x'", r":6: as a default A\.a must be a number, not 'x'"),
    "out-of-range": (
        HEAD + "class A(NamedTuple):\n    a: Annotated[float, Field('V', 0, 1)] = 2", r":6: .*from 0 to 1, V, not 2",
    ),
    "choices": (HEAD + "class A(NamedTuple):\n    a: Annotated[str, Field(choices=('x',))] = 'x'", "holds a word"),
    "spread": (
        HEAD + "class A(NamedTuple):\n    a: Annotated[float, Field(spread=Spread('b'))] = 1",
        r":6: spread.by='b' of field 'a' is unknown",
    ),
    "switch": (HEAD + "class A(NamedTuple):\n    a: Annotated[float, Field(hook='drifts')] = 1", "mean 'drift'"),
    "annotation": (HEAD + "class A(NamedTuple):\n    a: 'Bogus' = 1", ":5: an annotation of A cannot be read: .*Bogus"),
    "reserved": (HEAD + "class A(NamedTuple):\n    source: float = 1", ":6: a field cannot be called 'source'"),
    "method": (CHIP + "    def adc(self, i):\n        return i", ":5: adc is a method of Chip"),
    "arguments": (CHIP + "def readout(i, d):\n    return i", rf":7: not readout\(i, d\): {READOUT}"),
    "order": (CHIP + "def readout(i, z, u, energy, d):\n    return i", rf":7: not .*{READOUT}, with these names in"),
    "defaults": (CHIP + "def adc(i, d, *more):\n    return i", r":7: not adc\(i, d, \*more\): adc\(i, d\) takes"),
    "decorated": ("from numba import njit\n" + CHIP + "@njit\ndef adc(i, d):\n    return i", "adc must be a plain"),
    "misspelt": (CHIP + "def read_out(i, d):\n    return i", rf":7: read_out is no .*'readout'\? {READOUT}"),
    "misspelt-law": (CHIP + "def program_laws(g, d):\n    return g, 0", ":7: program_laws is no.*mean 'program_law'"),
    "nan": (CHIP + "def readout(i, energy, z, u, d):\n    return np.sqrt(i)", rf":7: readout returned nan.*{READOUT}"),
    "infinite": (CHIP + "def adc(i, d):\n    return i / np.float32(0)", r":7: adc returned (inf|-inf|nan) at"),
    "tuple": (CHIP + "def adc(i, d):\n    return i, 1", r":7: adc returned \(.*\) \(tuple\) at i=-1"),
    "nothing": (CHIP + "def adc(i, d):\n    i + 1", r":7: adc returned None \(NoneType\)"),
    "array": (CHIP + "def adc(i, d):\n    return np.where(i > 0, i, 0)", r":7: adc returned an array .*x if c else y"),
    "no-field": (CHIP + "def adc(i, d):\n    return d.aa", r":8: adc raised AttributeError: d has no field 'aa'"),
    "no-field-of-a-group": (
        CHIP + "def adc(i, d):\n    return d.adc_gain",
        r":8: adc raised AttributeError: d has no field .adc_gain.; Converters of noisysim.devices.field_groups has it",
    ),
    "index": (CHIP + "def adc(i, d):\n    return d[0]", ":8: adc raised TypeError: 'd' object is not subscriptable"),
    "helper": (CHIP + "def h(x):\n    return math.log(x)\ndef adc(i, d):\n    return h(i)", ":8: adc raised Val"),
    "state": (CHIP + "def jump(s, u, t, d):\n    return 0.5", ":7: jump returned 0.5, not a whole number"),
    "random": (CHIP + "def adc(i, d):\n    return i + np.random.normal()", ":7: adc draws random numbers of its own"),
    "check that answers": (CHIP + "def check(d):\n    return d.a > 1", ":7: check returned False.*raising ValueError"),
    "check": (CHIP + "def check(d):\n    return d.q", ":8: check raised AttributeError"),
    "complete": (CHIP + "def complete(d):\n    d._replace(a=1)", ":7: complete must return d, or .*, not NoneType"),
    "at-once": (CHIP + "def drift(g, t, d):\n    return g * (1 + t) * t**-d.a", r":7: drift returned nan at g=0, t=0"),
    "at-once-math": (CHIP + "def cell_std(g, t, d):\n    return math.log(t)", ":8: cell_std raised Val.* t=0"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_file_is_one_clear_error(name, tmp_path):
    text, said = MISTAKES[name]
    path = tmp_path / "chip.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = set(sys.modules)
    message = one_error(DeviceError, said, devices.get, path)
    assert str(path) in message or "raised" in message
    one_error(DeviceError, said, noisysim.run, ARRAYS, device=path, layers=[5])  # a second time the same
    left = {m for m in set(sys.modules) - before if m.startswith("noisysim_device")}
    assert not left or name not in ("syntax", "import", "raises")


def test_numbers_that_another_thread_draws_are_not_a_hooks(tmp_path, monkeypatch):
    states = itertools.chain(range(2), itertools.repeat(2))
    monkeypatch.setattr(device_files, "_global_draws", lambda: next(states))
    devices.get(written(tmp_path / "chip.py", CHIP + "def adc(i, d):\n    return i"))
    assert next(states) == 2  # it was asked, and asked again


def test_a_law_may_have_no_value_at_once_where_a_read_takes_time(tmp_path):
    """What `math` refuses counts as what NumPy gives: a change that is noticed at once."""
    answers = []
    for library in ("math", "np"):
        law = f"    read_time: float = 1e-6\ndef drift(g, t, d):\n    return g * (1 - 0.05 * {library}.log10(t))"
        chip = noisysim.Chip([4, 3], str(written(tmp_path / f"{library}.py", CHIP + law)), seed=1)
        answers.append(chip.predict(np.ones((3, 4), np.float32)))
    assert np.isfinite(answers[0]).all()
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize("bounds", [{"g_min": 5.0}, {"g_max": -1.0}, {"g_min": 2.0, "g_max": 2.0}])
def test_cells_need_a_range(bounds, tmp_path):
    fields = "".join(f"    {name}: float = {value}\n" for name, value in bounds.items())
    path = written(tmp_path / "chip.py", CHIP + fields + "def program(g, z, d):\n    return g")
    one_error(DeviceError, r"g_min \(\d µS\) must be below g_max \(-?\d µS\)", devices.get, path)


def test_a_devices_own_refusal_is_passed_on(tmp_path):
    path = written(
        tmp_path / "chip.py", CHIP + "def check(d):\n    if d.a > 1:\n        raise ValueError('a is too much')"
    )
    assert devices.get(path).a == 0.1
    one_error(ValueError, "^a is too much$", devices.get, path, a=2)


def test_functions_and_constants_that_only_look_like_hooks_are_let_be(tmp_path):
    text = (
        CHIP + "pulse = 3\ndef adcs(i):\n    return i\ndef adc(i, d):\n    return adcs(i) + pulse\ndef other(): pass\n"
    )
    assert devices.own_hooks(devices.get(written(tmp_path / "chip.py", text))) == {"adc"}


UNCOMPILED = {
    "text": ("return float(str(i))", ":7: adc cannot be compiled: could not convert"),
    "global": ("return i * TABLE[1]", ":8: adc cannot be compiled: Untyped global name 'TABLE'"),
    "helper": ("return i if i < 100 else _helper(i)", ":1[01]: adc cannot be compiled: "),
    "sometimes-none": ("if i < 100:\n        return i", r":7: adc returns OptionalType\(float32\) when compiled"),
    "recursion": ("return adc(i - 1, d) if i > 9 else i", "adc cannot be compiled: adc calls itself"),
}


@pytest.mark.parametrize("name", UNCOMPILED)
def test_explain_finds_the_hook_that_cannot_be_compiled(name, tmp_path):
    body, said = UNCOMPILED[name]
    rest = "TABLE = {1: 2.0}\ndef _helper(x):\n    return x + len(__file__[0].split)\n"
    text = f"{CHIP}def adc(i, d):\n    {body}\n{rest}"
    device = devices.get(written(tmp_path / "chip.py", text))
    found = compile_errors.explain(device, RuntimeError("somewhere"))
    with pytest.raises(DeviceError, match=said + r".*adc\(i, d\) takes numbers and returns one number$"):
        raise found
    assert len(str(found).splitlines()) == 1
    assert compile_errors.explain(device, found) is found


def fields(*lines):
    """The text of a device with these fields."""
    return HEAD + "class Chip(NamedTuple):\n    a: float = 0.1\n" + "".join(f"    {line}\n" for line in lines)


NOISE, WRITE = "s: Annotated[float, Field(noise='read')] = 0.1", "s: Annotated[float, Field(noise='write')] = 0.1"
SPREAD = "v: Annotated[float, Field(spread=Spread('a', of='{}'))] = 0.0"
QUIET_READ = "def readout(i, energy, z, u, d):\n    return i + d.s\n"
WITHOUT_EFFECT = {
    "nobody reads": (fields(NOISE), "chip.s: it is declared as read noise, but no hook of a read reads it"),
    "a write reads": (fields(NOISE) + "def program(g, z, d):\n    return g + d.s * z\n", "chip.s: it is declared"),
    "draws nothing": (fields(NOISE) + QUIET_READ, "chip.s: it is declared as read noise, but readout draws nothing (z"),
    "writes nothing": (
        fields(WRITE) + "def program(g, z, d):\n    return g + d.s\n", "chip.s: it is declared as write noise, but",
    ),
    "row": (
        fields(SPREAD.format("row")) + "def adc(i, d):\n    return i + d.v\n",
        "chip.v: each row has a value of its own, but no hook that finds it there reads it (dac)",
    ),
    "column": (
        fields(SPREAD.format("column")) + "def readout(i, energy, z, u, d):\n    return i + d.v * z\n",
        "chip.v: each column has a value of its own, but no hook that finds it there reads it (adc)",
    ),
    "cell": (fields(SPREAD.format("cell")), "chip.v: each cell has a value of its own, but no hook that"),
    "read time": (
        fields() + "def jump(s, u, t, d):\n    return s\ndef read_cell(g, s, z, u, d):\n    return g * s\n",
        "chip: jump needs a field read_time (s)",
    ),
    "pulse step": (fields() + "def pulse(g, up, z, d):\n    return g + up\n", "chip: pulse needs a field pulse_step"),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_field_or_hook_that_would_have_no_effect_is_refused(name, tmp_path):
    text, said = WITHOUT_EFFECT[name]
    path = written(tmp_path / "chip.py", text)
    one_error(DeviceError, f"^{re.escape(said)}", devices.get, path)


def test_what_is_off_needs_no_effect_and_tables_may_read_for_hooks(tmp_path):
    assert devices.get(written(tmp_path / "chip.py", fields(NOISE)), s=0)
    assert devices.get(written(tmp_path / "chip.py", fields(SPREAD.format("cell"))), a=0)
    text = fields(NOISE) + "T = np.zeros(1, np.float32)\ndef tables(d):\n    return {'T': [d.s]}\n"
    text += "def readout(i, energy, z, u, d):\n    return i + T[0] * z\n"
    assert devices.is_noisy(devices.get(written(tmp_path / "chip.py", text)))


def test_ages_are_followed_where_noise_depends_on_them(tmp_path):
    law = "def cell_std(g, t, d):\n    return 0.1 * g + d.a * np.sqrt(t)\n"
    switch = "nu: Annotated[float, Field(hook='drift')] = 0.0"
    path = written(tmp_path / "chip.py", fields(switch) + law)
    assert devices.ages(devices.get(path))  # though no drift is on, nor defined
    assert not devices.ages(devices.get(path, a=0))
    assert not devices.ages(devices.get(written(tmp_path / "still.py", fields() + law.replace("np.sqrt(t)", "g"))))
    assert not devices.ages(devices.get("crossbar"))
    assert devices.ages(devices.get("crossbar", flicker_noise=0.1))
    assert devices.ages(devices.get("pcm"))


@pytest.mark.gpu
def test_cells_noise_reaches_the_lines_of_a_gpu(tmp_path):
    path = written(tmp_path / "chip.py", fields() + "def cell_std(g, t, d):\n    return 0.1 * g\n")
    x = np.ones((16, 6), np.float32)
    found = []
    for backend in ("cpu", "cuda"):
        chip = noisysim.Chip([6, 5], path, backend=backend)
        first, second = (np.array(chip.forward(x).output.tolist()) for _ in range(2))
        assert not (first == second).any()
        found.append(second - first)
    np.testing.assert_allclose(*found, atol=1e-5)


def test_explain_leaves_other_errors_alone(chip_file):
    error = RuntimeError("something else")
    assert compile_errors.explain(devices.get(chip_file), error) is error
    assert compile_errors.explain(devices.get("ideal"), error) is error


def test_a_run_on_a_hook_that_cannot_be_compiled_says_so_before_training(tmp_path):
    path = written(tmp_path / "chip.py", f"{CHIP}def adc(i, d):\n    return i * TABLE[1]\nTABLE = {{1: 2.0}}\n")
    with pytest.raises(DeviceError, match=r"chip\.py:8: adc cannot be compiled: Untyped global name 'TABLE'"):
        small(device=path, out=tmp_path / "run.h5")
    assert not (tmp_path / "run.h5").exists()


# --- entry points ---------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A third party's package with entry points, some of which are broken."""
    info = tmp_path / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n")
    lines = ["tp-chip = thirdparty_chip", "tp-class = thirdparty_chip:TwoLevel", "tp-broken = thirdparty_broken",
             "crossbar = thirdparty_chip", "tp-number = thirdparty_chip:NUMBER",
             "tp-exits = thirdparty_exits", "tp-markup = thirdparty_markup"]  # fmt: skip
    (info / "entry_points.txt").write_text("[noisysim.devices]\n" + "\n".join(lines))
    (tmp_path / "thirdparty_chip.py").write_text(TWO_LEVEL + "\nNUMBER = 3\n")
    (tmp_path / "thirdparty_broken.py").write_text("import nowhere_at_all")
    (tmp_path / "thirdparty_exits.py").write_text("raise SystemExit(3)")
    (tmp_path / "thirdparty_markup.py").write_text(
        TWO_LEVEL.replace("Two-level lines", "Two-level [red]lines[/bold] [i]")
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("thirdparty_chip", "thirdparty_markup"):
        sys.modules.pop(name, None)


def test_an_installed_device_has_a_name_and_is_imported_when_asked_for(installed):
    assert {"tp-chip", "tp-class", "tp-broken", "crossbar"} <= set(devices.names())
    assert "thirdparty_chip" not in sys.modules
    device = devices.get("tp-chip:amplitude=0.2")
    assert device.amplitude == 0.2
    assert type(devices.get("crossbar")) is devices.Crossbar  # the package's own win
    said = devices.describe(device)
    assert (said["name"], devices.name_of(device)) == ("tp-chip", "tp-chip")
    assert devices.get(said) == device
    one_error(ValueError, "is not the one recorded", devices.get, {**said, "sha256": "0" * 64})
    assert devices.about("tp-chip").startswith("Two-level lines")


def test_a_broken_entry_point_is_an_error_only_when_it_is_asked_for(installed):
    said = r"device 'tp-broken' \(thirdparty_broken\) cannot be loaded: ModuleNotFoundError: No module named 'now"
    one_error(DeviceError, said, devices.get, "tp-broken")
    assert "cannot be loaded" in devices.about("tp-broken")
    one_error(DeviceError, "neither a module nor a NamedTuple class, but int", devices.get, "tp-number")
    one_error(ValueError, "unknown device 'tp-chi'; did you mean 'tp-chip'", devices.get, "tp-chi")


def test_what_third_parties_say_of_their_devices_neither_breaks_the_list_nor_is_read_as_markup(installed, capsys):
    one_error(DeviceError, r"'tp-exits' \(thirdparty_exits\) cannot be loaded: SystemExit: 3", devices.get, "tp-exits")
    commands.lists.list_devices()
    listed = capsys.readouterr().out
    assert "tp-exits" in listed
    assert "cannot be loaded: SystemExit: 3" in listed
    assert "Two-level [red]lines[/bold] [i]" in listed
    assert "crossbar" in listed
    commands.lists.list_devices("tp-markup")
    assert "Two-level [red]lines[/bold] [i]" in capsys.readouterr().out


# --- scripts, notebooks, modules ------------------------------------------------------------------------------------

SCRIPT = (
    TWO_LEVEL
    + """
if __name__ == "__main__":
    import json, sys
    import numpy as np
    import noisysim
    rng = np.random.default_rng(0)
    arrays = (rng.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 3)
    result = noisysim.run(arrays, device=TwoLevel(amplitude=0.1), layers=[5], epochs=1, progress=False)
    print(json.dumps(result.config["device"]))
"""
)


def test_a_device_that_a_script_defines_runs_and_tells_how_to_be_given_again(tmp_path):
    path = written(tmp_path / "script.py", SCRIPT)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert (said["name"], said["amplitude"]) == ("__main__.TwoLevel", 0.1)
    assert "d.amplitude * (u < d.duty)" in said["source"]
    one_error(
        ValueError, r"made in a script or a notebook: give the device itself, device=TwoLevel\(\)", devices.get, said
    )


def test_without_a_source_a_device_is_asked_to_be_put_into_a_file():
    code = "exec(compile(open(0).read(), '<typed>', 'exec'))\nfrom noisysim import devices\ndevices.get(TwoLevel())"
    done = subprocess.run([sys.executable, "-c", code], input=TWO_LEVEL, capture_output=True, text=True, check=False)
    assert "the source of readout is not available" in done.stderr.splitlines()[-1]
    assert "put the device into a file" in done.stderr.splitlines()[-1]


def test_a_device_of_an_imported_module_is_recorded_by_its_file(installed):
    import thirdparty_chip

    device = devices.get(thirdparty_chip.TwoLevel(0.3))
    said = devices.describe(device)
    assert said["name"] == thirdparty_chip.__file__
    assert devices.get(said)._asdict() == device._asdict()
    assert config.rerunnable({"task": {"name": "digits", "settings": {}}, "device": said})["device"] == said
