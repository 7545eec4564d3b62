"""The BLAS of compiled products: loaded alone, and no obstacle to whoever wants the rest."""

import subprocess
import sys

import pytest

LOADED = 'import sys; from noisysim.compute import cpu; print(*(n in sys.modules for n in ("scipy.linalg", blas.NAME)))'
USED = """
import numba, numpy as np, scipy.linalg
from scipy.linalg import cython_blas
from numba.extending import get_cython_function_address
assert get_cython_function_address("scipy.linalg.cython_blas", "dgemm")
assert scipy.linalg.svdvals(np.eye(2)).tolist() == [1, 1]
assert sys.modules[blas.NAME] is cython_blas
"""
BROKEN = """
import importlib.util, types
class Loader:
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise ImportError("a library is missing")
broken = importlib.util.spec_from_loader(blas.NAME, Loader())
blas.PathFinder = types.SimpleNamespace(find_spec=lambda *_: broken)
"""


@pytest.mark.parametrize(
    ("before", "loaded"),
    [
        ("", "False True"),
        ("import scipy.linalg", "True True"),
        ("import types; blas.PathFinder = types.SimpleNamespace(find_spec=lambda *_: None)", "True True"),
        (BROKEN, "True True"),
    ],
    ids=["alone", "with what is there", "where it is not found", "where it cannot be loaded alone"],
)
def test_it_comes_alone_where_it_can(before, loaded):
    code = "\n".join(["from noisysim.compute import blas", before, LOADED, USED])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == (loaded, 0), done.stderr
