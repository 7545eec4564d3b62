"""Both backends are what `noisysim.compute.protocols` says, as a type checker sees it and as they are."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from noisysim.common import array_types
from noisysim.compute import backends, gpu, protocols

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
    """What mypy says of a script that imports the package."""
    path = tmp_path / "script.py"
    path.write_text(text)
    root = Path(backends.__file__).parents[2]
    command = [sys.executable, "-m", "mypy", "--ignore-missing-imports", "--follow-imports=silent"]
    command += ["--cache-dir", str(root / ".mypy_cache"), str(path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_type_checkers_accept_both_backends(tmp_path):
    pytest.importorskip("mypy")
    code, said = checked(SCRIPT, tmp_path)
    assert code == 0, said
    assert "-> bool" in said  # what an operation returns is known


def test_type_checkers_refuse_what_is_no_backend(tmp_path):
    pytest.importorskip("mypy")
    code, said = checked(WRONG, tmp_path)
    assert code == 1
    assert "Backend" in said


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


@pytest.mark.gpu
def test_arrays_of_a_gpu_are_registered_with_their_backend():
    cuda = backends.get("cuda")
    array = cuda.put(np.zeros(1, np.float32))
    assert array_types.is_array(array)
    assert backends.backend_of(array) is cuda
    assert array_types.namespace_of(array) is cuda.xp
    assert not cuda.HOST_MEMORY
    assert not gpu.missing()
