"""Tests marked ``gpu`` run on a GPU, and in Numba's simulator of one: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu."""

import gc

import pytest

from noisysim.compute import gpu

gc.set_threshold(100_000, 10, 10)  # most of the time goes to compiling, a tenth of that to looking for garbage


def pytest_runtest_setup(item):
    """Skip them elsewhere."""
    if item.get_closest_marker("gpu") and (missing := gpu.missing()):
        pytest.skip(f"{missing}; or simulate one: NUMBA_ENABLE_CUDASIM=1")
