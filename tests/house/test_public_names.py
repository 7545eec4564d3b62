"""What prompts and editors are told: names, signatures and help, also of parts that were not loaded yet."""

import inspect
import pydoc
import subprocess
import sys

import pytest

import noisysim
from noisysim.runs import config

CALLS = [name for name in noisysim.__all__ if callable(getattr(noisysim, name))]


def test_all_public_names_are_listed_before_they_are_loaded():
    code = (
        "import sys, noisysim; names = dir(noisysim); public = [name for name in names if not name.startswith('__')]; "
        "print(public == sorted(noisysim.__all__), '__version__' in names, 'noisysim.runs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True True False\n"


def test_every_listed_name_is_there():
    assert [name for name in dir(noisysim) if not hasattr(noisysim, name)] == []


def test_run_names_all_its_settings():
    """`noisysim.run(` is completed with them."""
    parameters = inspect.signature(noisysim.run).parameters
    assert set(config.SETTINGS) < set(parameters)
    assert not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())


@pytest.mark.parametrize(
    ("name", "first"),
    [("Chip", ["layers", "device"]), ("Result", ["content", "path"]), ("Study", ["content", "path"]),
     ("resume", ["path", "task"]), ("deploy", ["network", "init"]), ("sweep", ["task", "out"])],
)  # fmt: skip
def test_signatures_begin_with_what_is_given_first(name, first):
    assert list(inspect.signature(getattr(noisysim, name)).parameters)[: len(first)] == first


@pytest.mark.parametrize("name", CALLS)
def test_whatever_is_called_has_a_signature_and_help(name):
    value = getattr(noisysim, name)
    parameters = inspect.signature(value).parameters
    text = pydoc.plain(pydoc.render_doc(value))
    assert all(parameter in text for parameter in parameters)
    assert inspect.getdoc(value).partition("\n")[0] in text


def test_help_of_the_package_lists_what_it_offers():
    text = pydoc.plain(pydoc.render_doc(noisysim))
    assert all(name in text for name in CALLS)
