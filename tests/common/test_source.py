"""Sources that several threads read."""

import ast
import gc
import inspect
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


def at_once(function, argument, times):
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, [argument] * times))


def test_threads_parse_at_once(changing_places):
    """Pythons whose parser counts its depth for all threads together raise SystemError here, but for the lock."""
    assert {ast.dump(tree) for tree in at_once(source.parsed, TEXT, 40)} == {ast.dump(ast.parse(TEXT))}


def test_threads_read_literals_and_classes_at_once(changing_places):
    """Which Python parses as well."""
    nested = str([[k, (k, str(k))] for k in range(300)])
    assert at_once(source.literal, nested, 40) == [ast.literal_eval(nested)] * 40
    assert at_once(source.text_of_class, source.Reading, 40) == [inspect.getsource(source.Reading)] * 40


@pytest.mark.parametrize(
    ("call", "besides"),
    [
        ("ast.parse(", set()), ("inspect.getsource(", set()),
        ("literal_eval(", {"settings.py", "layer_lists.py", "source_defaults.py"}),  # of trees that are there
    ],
)  # fmt: skip
def test_nothing_else_in_the_package_parses(call, besides):
    package = Path(source.__file__).parents[1]
    found = {path.name for path in package.rglob("*.py") if call in path.read_text(encoding="utf-8")}
    assert found == {"source.py"} | besides
