"""The house itself: what its map says of it."""

import importlib
import re
from pathlib import Path

import pytest

import noisysim

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_file_and_folder_that_the_map_names_exists():
    named = set(re.findall(r"`((?:noisysim|devices|benchmarks|tests|docs|support)/[\w/.-]*)`", MAP))
    assert len(named) > 30
    places = (ROOT, ROOT / "tests")
    assert [one for one in sorted(named) if not any((place / one).exists() for place in places)] == []


def test_every_folder_of_the_package_is_on_the_map():
    folders = {path.name for path in (ROOT / "noisysim").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert [name for name in sorted(folders - {"papers"}) if f"`noisysim/{name}/`" not in MAP] == []


COMMANDS = [ROOT / "Makefile", *sorted((ROOT / ".ci").iterdir()), *sorted((ROOT / ".github").rglob("*.yml"))]


@pytest.mark.parametrize("path", COMMANDS, ids=[path.name for path in COMMANDS])
def test_what_commands_import_exists(path):
    """Of commands that no test runs, such as those for a GPU."""
    for module, names in re.findall(r"from (noisysim[\w.]*) import ([\w, ]+)", path.read_text()):
        code = f"from {module} import {names}"
        exec(code, {})
    for module in re.findall(r"-m (noisysim[\w.]*)", path.read_text()):
        assert importlib.util.find_spec(module), f"{path.name}: {module}"


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in noisysim._MODULES)])
def test_everything_that_a_public_module_exports_exists(name):
    module = importlib.import_module(f"noisysim{name}")
    assert [one for one in getattr(module, "__all__", ()) if not hasattr(module, one)] == []


def test_completion_lists_the_devices():
    assert {"Crossbar", "Pcm", "get", "names"} <= set(dir(noisysim.devices))
