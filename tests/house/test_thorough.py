"""What the gate runs of a product of parameters covers it; ``--thorough`` runs it all."""

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import thorough
from pairwise import covering, meetings

TESTS = """
import pytest

@pytest.mark.covering(1)
@pytest.mark.parametrize("b", [0, 1, 2])
@pytest.mark.parametrize("a", [0, 1, 2, 3])
def test_each(a, b):
    pass

@pytest.mark.covering(2)
@pytest.mark.parametrize("c", [0, 1])
@pytest.mark.parametrize("b", [0, 1])
@pytest.mark.parametrize("a", [0, 1, 2])
def test_pairs(a, b, c):
    pass

@pytest.mark.covering(1)
@pytest.mark.parametrize("place", ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("a", [0, 1, 2])
def test_places(a, place):
    pass

@pytest.mark.covering(1)
@pytest.mark.parametrize(("a", "b"), [("x", 0), ("x", 1), ("y", 0), ("y", 1)])
@pytest.mark.parametrize("c", [0, 1, 2])
def test_together(a, b, c):
    pass

@pytest.mark.parametrize("length", [1, pytest.param(100, marks=pytest.mark.thorough)])
def test_lengths(length):
    pass
"""
ROOT = Path(__file__).parents[2]


@pytest.fixture
def collected(tmp_path):
    """The values of each test's parameters that are collected with some words."""
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "test_some.py").write_text(TESTS)
    support = Path(thorough.__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(support), str(ROOT)])}

    def collect(*words):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--collect-only", "-qp", "no:cacheprovider", "-c", os.devnull, *words],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        found = re.findall(r"test_some\.py::test_(\w+)\[([\w-]+)\]", done.stdout)
        assert found, done.stdout + done.stderr
        return {name: [tuple(b.split("-")) for a, b in found if a == name] for name, _ in found}

    return collect


def test_the_gate_covers_products_and_thorough_has_all(collected):
    part, whole = collected("--rootdir=."), collected("--rootdir=.", "--thorough")
    assert {name: len(some) for name, some in whole.items()} == {
        "each": 12,
        "pairs": 12,
        "places": 6,
        "together": 12,
        "lengths": 2,
    }
    assert {name: len(some) for name, some in part.items()} == {
        "each": 4,
        "pairs": 6,
        "places": 6,
        "together": 4,
        "lengths": 1,
    }
    for name, together in (("each", 1), ("pairs", 2)):
        met, all_of = (set().union(*(meetings(dict(enumerate(one)), together) for one in some[name]))
                       for some in (part, whole))  # fmt: skip
        assert met == all_of
    assert len({one[1:] for one in part["together"]}) == 4  # c first: values that are given together are one
    assert {one[0] for one in part["together"]} == {"0", "1", "2"}
    assert part["lengths"] == [("1",)]
    assert sorted(part["places"]) == sorted(whole["places"])  # those of a GPU, skipped, stand for none of the others


def test_what_is_asked_for_is_run(collected):
    for one in (("0", "0"), ("0", "2"), ("3", "1")):
        assert collected(f"test_some.py::test_each[{'-'.join(one)}]") == {"each": [one]}
    assert len(collected("-k", "test_each and 3-")["each"]) == 3


def test_values_are_used_evenly():
    every = [dict(zip("ab", values, strict=True)) for values in itertools.product(range(9), range(3))]
    chosen = [every[k] for k in covering(every, 1)]
    assert len(chosen) == 9
    assert [sum(one["b"] == b for one in chosen) for b in range(3)] == [3, 3, 3]
