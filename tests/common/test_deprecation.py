"""Names that stay, and names that were moved: one module object under each of its names."""

import importlib
import subprocess
import sys
import warnings

import pytest

import noisysim
from noisysim.common.deprecation import MOVED, deprecated
from noisysim.conformance import Finding
from noisysim.studies.table import Table

PUBLIC = {f"noisysim.{name}": f"noisysim.{place}" for name, place in noisysim._MODULES.items()}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_is_the_same_however_it_is_imported(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = importlib.import_module(name)
    assert module is importlib.import_module(PUBLIC[name]) is getattr(noisysim, name.rpartition(".")[2])
    assert module.__spec__.name == module.__name__ == PUBLIC[name]


@pytest.mark.parametrize("name", MOVED)
def test_a_moved_module_is_found_by_its_old_name_which_warns_where_it_is_imported(name, tmp_path):
    (tmp_path / "users.py").write_text(f"import {name}\n")
    code = f"import sys, users, {MOVED[name]}; assert sys.modules[{name!r}] is sys.modules[{MOVED[name]!r}]"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"users.py:1: FutureWarning: {name} is deprecated since noisysim 0.1: use {MOVED[name]}" in done.stderr


def test_what_is_no_module_is_not_found_behind_an_alias():
    for name in ("noisysim.plot.nothing", "noisysim.diagnostics.nothing", "noisysim.theory.LinearStudent"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_a_warning_names_what_to_use():
    with pytest.warns(FutureWarning, match="f is deprecated since noisysim 9: use g") as caught:
        deprecated("f", "g", "9", stacklevel=1)
    assert caught[0].filename == __file__


def test_old_names_of_attributes_warn_and_work():
    finding, table = Finding("hooks", True, "as documented"), Table({}, {}, ["a"], {}, [{"seed": 1}])
    for old, current in ((lambda: finding.said, finding.text), (lambda: table.own, table.varied)):
        with pytest.warns(FutureWarning, match="is deprecated since noisysim 0.1: use "):
            assert old() == current
