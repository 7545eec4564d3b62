"""What setup.cfg says of Pythons and dependencies."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = SETUP["options.extras_require"]


def requirements(text):
    """name -> its bounds, of a list of requirements."""
    found = {}
    for line in text.strip().splitlines():
        name, bounds = re.fullmatch(r"([\w-]+)(?:\[\w+\])?([^;]*)(?:;.*)?", line).groups()
        found[name] = bounds.strip()
    return found


NEEDED = requirements(SETUP["options"]["install_requires"])


def least(bounds):
    return re.match(r">=([\d.]+)", bounds)[1]


def test_the_least_versions_are_those_that_are_tested():
    lines = (ROOT / "tests" / "constraints-minimum.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in lines if not line.startswith("#"))
    tools = {
        "ruff",
        "mypy",
        "basedpyright",
        "playwright",
        "pytest-cov",
        "pytest-timeout",
    }  # which check, and run nothing of the package
    stated = {**NEEDED, **requirements(EXTRAS["test"]), **requirements(EXTRAS["sweep"])}
    assert tested.keys() == stated.keys() - tools
    for name, version in tested.items():
        padded = (least(stated[name]) + ".0.0").split(".")[:3]
        assert version.split(".") == padded, name


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_what_is_used_of_the_insides_of_a_package_has_an_upper_bound(name):
    assert re.search(r",<\d", NEEDED[name])


def test_packages_for_a_gpu_have_one_too():
    for extra in ("cuda", "cuda13"):
        assert all(re.search(r",<\d", bounds) for bounds in requirements(EXTRAS[extra]).values())


def test_the_pythons_that_are_named_are_allowed():
    named = re.findall(r"Python :: 3\.(\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    first, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", SETUP["options"]["python_requires"]).groups()
    assert first == named[0]
    assert int(named[-1]) < int(end)
