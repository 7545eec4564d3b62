"""What is said where a GPU is asked for and cannot be had."""

import sys
import types

import numba
import pytest

import noisysim
from noisysim.compute import backends, gpu


@pytest.fixture
def machine(monkeypatch):
    """A function that makes this look like a machine with some packages, and a driver that says something."""

    def make(packages, devices=None, compiles=False):
        monkeypatch.setattr(gpu, "SIMULATED", False)
        monkeypatch.setattr(gpu.importlib.util, "find_spec", lambda name: object() if name in packages else None)
        cupy, runtime = types.ModuleType("cupy"), types.SimpleNamespace(CUDARuntimeError=type("E", (RuntimeError,), {}))

        def count():
            if devices is None:
                raise runtime.CUDARuntimeError("cudaErrorInsufficientDriver")
            return devices

        runtime.getDeviceCount = count
        cupy.cuda = types.SimpleNamespace(runtime=runtime)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        found = types.ModuleType("numba.cuda")
        found.is_available = lambda: compiles
        monkeypatch.setattr(numba, "cuda", found, raising=False)
        monkeypatch.setitem(sys.modules, "numba.cuda", found)

    return make


@pytest.mark.parametrize(
    ("packages", "devices", "compiles", "said"),
    [
        ((), 1, True, 'CuPy is not installed; install both with: pip install ".[cuda]" in a checkout of noisysim'),
        (("cupy",), 1, True, "numba-cuda is not installed; install both"),
        (("cupy", "numba.cuda"), None, True, "no GPU can be used (cudaErrorInsufficientDriver); check the driver"),
        (("cupy", "numba.cuda"), 0, True, "the driver finds no GPU"),
        (("cupy", "numba.cuda"), 1, False, "numba-cuda finds no GPU that it can compile for"),
    ],
)
def test_what_is_missing_is_said_in_one_line(machine, packages, devices, compiles, said):
    machine(packages, devices, compiles)
    for ask in (lambda: noisysim.run(backend="cuda"), lambda: noisysim.Chip([4, 2], backend="cuda:tf32")):
        with pytest.raises(backends.BackendError) as error:
            ask()
        assert said in str(error.value)
        assert "\n" not in str(error.value)
    assert backends.resolve("auto") == "cpu"


def test_a_gpu_that_can_be_used_is_taken_where_nothing_else_is_asked_for(machine):
    machine(("cupy", "numba.cuda"), 1, True)
    assert backends.resolve("auto") == backends.resolve("cuda") == "cuda"
    assert backends.resolve("cpu") == "cpu"
