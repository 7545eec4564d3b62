"""Sources that several threads read."""

import ast
import gc
import inspect
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from noisysim.common import source

TEXT = inspect.getsource(source)


@pytest.fixture
def changing_places():
    """Threads change places in the middle of a tree, where Python looks for garbage."""

    def pause(*_):
        time.sleep(0)

    threshold = gc.get_threshold()
    gc.callbacks.append(pause)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*threshold)
    gc.callbacks.remove(pause)


def test_threads_parse_at_once(changing_places):
    """Pythons whose parser counts its depth for all threads together raise SystemError here, but for the lock."""
    with ThreadPoolExecutor(4) as pool:
        trees = list(pool.map(source.parsed, [TEXT] * 40))
    assert {ast.dump(tree) for tree in trees} == {ast.dump(ast.parse(TEXT))}
