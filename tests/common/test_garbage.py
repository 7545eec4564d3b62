"""That no search for garbage starts while parts are imported and functions compiled, and that it is as before after."""

import gc
import subprocess
import sys

import numba
import pytest
from numba.core import event

from noisysim.common.garbage import uncollected
from noisysim.compute.jit import compiling
from noisysim.compute.jit.calls import JIT

IMPORTED = """
import gc, sys
import noisysim

class Watch:
    enabled = {}
    def find_spec(self, name, path=None, target=None):
        self.enabled[name] = gc.isenabled()

sys.meta_path.insert(0, Watch())
noisysim.run
assert gc.isenabled()
print(Watch.enabled["noisysim.runs.api"], Watch.enabled["numba"])
"""


class Compilations(event.Listener):
    """Whether searches were enabled as functions were compiled."""

    def __init__(self):
        self.enabled = []

    def on_start(self, told):
        self.enabled.append(gc.isenabled())

    def on_end(self, told):
        self.enabled.append(gc.isenabled())


@pytest.fixture(params=[False, True])
def enabled(request):
    was = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was else gc.disable)()


@uncollected()
def failing():
    assert not gc.isenabled()
    with uncollected():
        assert not gc.isenabled()
    assert not gc.isenabled()
    raise ZeroDivisionError


def test_searches_are_as_before_after_an_error_too(enabled):
    with pytest.raises(ZeroDivisionError):
        failing()
    assert gc.isenabled() is enabled


def test_no_search_starts_while_a_part_of_the_package_is_imported():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_no_search_starts_while_a_function_is_compiled(enabled, tmp_path, monkeypatch):
    monkeypatch.setenv("NOISYSIM_CACHE", str(tmp_path))

    def doubled(x):
        return x + x

    doubled.__module__ = compiling.__name__  # one of the package: its sources name the machine code
    function, compilations = compiling.loop()(doubled), Compilations()
    with event.install_listener("numba:compile", compilations):
        function.compile((numba.float32,))
    assert compilations.enabled == [False, False]
    assert gc.isenabled() is enabled
