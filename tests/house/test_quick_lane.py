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
import concurrent.futures
import contextlib
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

POOL = concurrent.futures.ThreadPoolExecutor(1)
TURN = threading.Event()

def late():
    TURN.wait()
    with contextlib.suppress(RuntimeError):
        compile_something()

def test_stays_and_starts_threads():
    POOL.submit(int).result()
    threading.Thread(target=late, name="late").start()

def test_fails_while_an_older_thread_compiles():
    TURN.set()
    for thread in threading.enumerate():
        if thread.name == "late":
            thread.join()
    raise ValueError("as it should")

def test_leaves_for_an_older_thread_that_it_asks():
    assert POOL.submit(compile_something).result() == 2

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
    by_name = {"stays": "PASSED", "fails": "FAILED", "leaves": "SKIPPED"}
    assert ended == {name: by_name[name.split("_")[1]] for name in ended}, done.stdout + done.stderr
    assert len(ended) == TESTS.count("def test_")
