"""What holds for every test. Tests of a GPU are skipped where there is none; ``--quick`` runs what compiles nothing,
``--thorough`` all combinations of parameters, of which else a covering part is run (``tests/support/thorough.py``).

Tests marked ``gpu`` run on a GPU, and in Numba's simulator of one: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

import gc
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # threads of its own wait busily, for the cores of other workers

import pytest

from noisysim.compute import gpu

import quick_lane
import thorough

os.environ.setdefault("NOISYSIM_COMPILE_AHEAD", "0")  # what compiles should not depend on which test is first
gc.set_threshold(100_000, 10, 10)  # most of the time goes to compiling, a tenth of that to looking for garbage


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="only tests that compile nothing and start no process")
    parser.addoption("--thorough", action="store_true", help="all combinations of parameters, and the longest tests")


def pytest_configure(config):
    if config.getoption("quick"):
        config.pluginmanager.register(quick_lane.QuickLane(), "quick lane")
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of a skip


def pytest_runtest_setup(item):
    if item.get_closest_marker("gpu") and (missing := gpu.missing()):
        pytest.skip(f"{missing}; or simulate one: NUMBA_ENABLE_CUDASIM=1")


@pytest.hookimpl(trylast=True)  # of what -k and -m leave
def pytest_collection_modifyitems(config, items):
    if not config.getoption("thorough"):
        kept = thorough.gate(items)
        left = set(kept)
        config.hook.pytest_deselected(items=[item for item in items if item not in left])
        items[:] = kept


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # of some million objects that tests and imports keep: looking through them takes half a second a time
