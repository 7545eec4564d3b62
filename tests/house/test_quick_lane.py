"""The quick lane leaves out what compiles or starts a process, wherever in a test or a fixture, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import quick_lane

CONFTEST = """
import quick_lane

def pytest_configure(config):
    config.pluginmanager.register(quick_lane.QuickLane())
    config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""
TESTS = """
import multiprocessing
import subprocess
import sys
import threading

import numba
import pytest

def compile_something():
    return numba.njit(lambda x: x + 1)(1)

@pytest.fixture(scope="module")
def compiled():
    return compile_something()

def test_stays():
    pass

def test_fails():
    raise ValueError("as it should")

def test_leaves_as_it_compiles():
    compile_something()

def test_leaves_with_a_process():
    subprocess.run([sys.executable, "-c", ""])

def test_leaves_with_a_fork():
    multiprocessing.Process(target=int).start()

def test_leaves_though_an_error_is_expected():
    with pytest.raises(ZeroDivisionError):
        compile_something()

def test_leaves_for_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(compile_something()))
    thread.start()
    thread.join()
    assert found == [2]

def test_leaves_by_a_fixture(compiled):
    pass

def test_leaves_by_the_same_fixture(compiled):
    pass
"""


def test_who_stays(tmp_path):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(quick_lane.__file__).parent)},
        capture_output=True,
        text=True,
    )
    ended = dict(re.findall(r"test_some\.py::(\w+) (\w+)", done.stdout))
    assert ended.pop("test_stays", None) == "PASSED", done.stdout + done.stderr
    assert ended.pop("test_fails") == "FAILED"
    assert set(ended.values()) == {"SKIPPED"}
    assert len(ended) == 7
