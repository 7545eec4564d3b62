"""Both backends are what `noisysim.compute.protocols` says, as a type checker sees it and as they are."""

import ast
import inspect
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from noisysim.common import array_types
from noisysim.compute import backends, gpu, layout, protocols

SCRIPT = """
from noisysim.compute import backends, cpu, cuda
from noisysim.compute.protocols import Backend

of_cpu: Backend = cpu
of_gpu: Backend = cuda
reveal_type(backends.get("cpu").ops.all_finite)
"""
WRONG = """
from noisysim.compute import layered
from noisysim.compute.protocols import Backend

backend: Backend = layered
"""


def checked(text, tmp_path):
    """What mypy says of a script that imports the package: (line, kind, message)."""
    import type_checks  # which those who import this file by its path do without

    path = tmp_path / "script.py"
    path.write_text(text)
    return type_checks.mypy(path)[path.name]


def test_type_checkers_accept_both_backends(tmp_path):
    [(_, kind, message)] = checked(SCRIPT, tmp_path)
    assert kind == "note"
    assert "-> bool" in message  # what an operation returns is known


def test_type_checkers_refuse_what_is_no_backend(tmp_path):
    line, kind, message = checked(WRONG, tmp_path)[0]
    assert (line, kind) == (5, "error")
    assert "Backend" in message


@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("part", ["ops", "images"])
def test_backends_have_the_functions_that_protocols_name(name, part):
    module = getattr(backends.get(name), part)
    protocol = getattr(protocols, part.capitalize())
    named = [n for n, value in vars(protocol).items() if inspect.isfunction(value) and not n.startswith("_")]
    assert len(named) > 5
    assert [n for n in named if not callable(getattr(module, n, None))] == []


def test_arrays_are_known_by_their_registered_type():
    class Foreign(np.ndarray):
        pass

    assert backends.backend_of(np.zeros(1)) is backends.get("cpu")
    assert array_types.is_array(np.zeros(1))
    assert not array_types.is_array(np.zeros(1).view(Foreign))
    assert not array_types.is_array([0.0])
    assert array_types.namespace_of(np.zeros(1)) is np


@pytest.fixture
def known(monkeypatch):
    """The table of types is as it was after a test."""
    monkeypatch.setattr(array_types, "_KNOWN", dict(array_types._KNOWN))
    monkeypatch.setattr(array_types, "_loaders", list(array_types._loaders))


def test_a_type_may_be_registered_after_it_was_asked_for(known, monkeypatch):
    class Late:
        pass

    late = types.ModuleType("noisysim.compute.late")
    monkeypatch.setitem(sys.modules, late.__name__, late)
    assert backends.backend_of(Late()) is backends.get("cpu")
    array_types.register(Late, "late", late)
    assert backends.backend_of(Late()) is late
    assert backends.backend_of(np.zeros(1)) is backends.get("cpu")


class OnGpu:
    """An array of a library for CUDA, of which no backend knows."""

    shape, __cuda_array_interface__ = (2, 4), {"shape": (2, 4), "typestr": "<f4", "version": 3}


class OnEither(OnGpu):
    """One of a library whose class is the same for arrays on the CPU."""

    __cuda_array_interface__ = property(lambda self: self.on_gpu)

    def __array__(self, dtype=None, copy=None):
        return np.ones((2, 4), np.float32)


def test_arrays_on_a_gpu_are_known_by_their_interface(known):
    assert array_types.is_array(OnGpu())
    assert array_types.backend_name(OnGpu()) == "cuda"
    assert not array_types.is_array(OnEither())
    assert array_types.backend_name(OnEither()) == "cpu"
    assert array_types.namespace_of(OnEither()) is np
    assert not array_types.is_array(OnGpu)  # a class is none


@pytest.mark.parametrize("there", [True, False])
def test_the_namespace_of_an_array_on_a_gpu_is_loaded_where_it_can_be(known, there):
    for kind, (backend, _) in list(array_types._KNOWN.items()):
        if backend == "cuda":  # loaded by another test
            del array_types._KNOWN[kind]
    namespace, asked = types.ModuleType("namespace"), []

    def load(name):
        asked.append(name)
        if there:
            array_types.register(type("Theirs", (), {}), name, namespace)

    array_types.load_with(load)
    assert array_types.namespace_of(OnGpu()) is (namespace if there else np)
    assert asked == ["cuda"]
    assert array_types.namespace_of(np.zeros(1)) is np
    assert asked == ["cuda"]


MET_BEFORE = """
import sys
sys.path.insert(0, {folder!r})
import noisysim
from test_protocols import OnEither, OnGpu

chip, x = noisysim.Chip([4, 2], "ideal"), OnGpu()
assert chip.forward(OnEither()).output.shape == (2, 2)
drive = noisysim.Drive([x])
assert drive.perturbations == (x,)
for call in (lambda: chip.forward(x), lambda: chip.passes(OnEither(), [drive])):
    try:
        call()
    except TypeError as error:
        print(error)
assert "noisysim.compute.cuda" not in sys.modules
"""


def test_a_chip_on_the_cpu_says_where_arrays_are_before_any_gpu_was_used():
    space = {**os.environ, "NUMBA_ENABLE_CUDASIM": "0"}
    script = MET_BEFORE.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", script], env=space, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = " are on a GPU; this chip is on the CPU: make it with backend='cuda'"
    assert done.stdout.splitlines() == [f"inputs{told}", f"the perturbation of layer 0{told}"]


@pytest.mark.gpu
def test_arrays_of_a_gpu_are_registered_with_their_backend():
    cuda = backends.get("cuda")
    array = cuda.put(np.zeros(1, np.float32))
    assert array_types.is_array(array)
    assert backends.backend_of(array) is cuda
    assert array_types.namespace_of(array) is cuda.xp
    assert not cuda.HOST_MEMORY
    assert not gpu.missing()


def test_each_name_of_the_layout_is_given_once():
    """A second meaning would go to all that use the first."""
    tree = ast.parse(Path(layout.__file__).read_text())
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    assert [name for name in names if names.count(name) > 1] == []
    assert {"CELL_BLOCK", "CHANNELS", "GROUPS_AT"} <= set(names)
