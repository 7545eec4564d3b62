"""What keeps the house readable: short modules and functions, typed parameters, test files that stand alone.

The table of parameters that may be anything may only shrink.
"""

import ast
import configparser
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
MODULE_LINES, FUNCTION_LINES = 400, 60
UNTYPED = {
    "benchmarks/papers": 14,
    "benchmarks/robustness": 8,
    "benchmarks/speed": 4,
    "devices": 27,
    "noisysim/chip": 12,
    "noisysim/common": 4,
    "noisysim/compute": 10,
    "noisysim/devices": 36,
    "noisysim/learners": 6,
    "noisysim/networks": 16,
    "noisysim/reporting": 1,
    "noisysim/runs": 31,
    "noisysim/studies": 13,
    "noisysim/tasks": 16,
}
"""Parameters that are annotated `Any` alone, in each part: a user's specification may be anything, an array may not."""


def sources():
    """(path from the root, text) of the product's own modules; links to other folders are not followed."""
    for folder in ("noisysim", "devices", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT)
            if not any((ROOT / parent).is_symlink() for parent in name.parents):
                yield name.as_posix(), path.read_text()


SOURCES = dict(sources())


def functions(text):
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def length(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return lines
    return lines - (function.body[0].end_lineno - function.body[0].lineno + 1)


def test_the_product_is_found():
    assert {"noisysim/__init__.py", "devices/pcm.py", "benchmarks/papers/cifar.py"} <= SOURCES.keys()


def test_modules_are_short():
    lines = {name: text.count("\n") for name, text in SOURCES.items()}
    assert {name: n for name, n in lines.items() if n > MODULE_LINES} == {}


def test_functions_are_short():
    lengths = [(f"{name}: {f.name}", length(f)) for name, text in SOURCES.items() for f in functions(text)]
    assert {name: n for name, n in lengths if n > FUNCTION_LINES} == {}


def test_parameters_have_types():
    counts = Counter()
    for name, text in SOURCES.items():
        part = "/".join(Path(name).parts[: 2 if name.count("/") > 1 else 1])
        for f in functions(text):
            parameters = [*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs]
            counts[part] += sum(isinstance(a.annotation, ast.Name) and a.annotation.id == "Any" for a in parameters)
    assert {part: n for part, n in counts.items() if n > UNTYPED.get(part, 0)} == {}


def test_what_is_not_checked_strictly_exists():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    names = {name.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") for name in SOURCES}
    names |= {re.sub(r"^devices\b", "noisysim.devices.models", name) for name in names}
    assert settings["strict"]
    listed = [name.removesuffix(".*") for one in settings["overrides"] for name in one["module"]]
    assert [name for name in listed if name not in names] == []


def test_every_package_is_in_the_wheel():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packages = {str(Path(name).parent).replace("/", ".") for name in SOURCES if name.startswith("noisysim/")}
    listed = set(setup["options"]["packages"].split())
    assert listed == packages | {"noisysim.devices.models", "noisysim.papers"}


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=[path.stem for path in TESTS])
def test_no_file_imports_a_test_file(path):
    """What several share is in tests/support."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    assert {name for name in imported if name.rpartition(".")[2].startswith("test_")} == set()


def test_there_is_one_conftest():
    assert [path.parent.name for path in TESTS if path.name == "conftest.py"] == ["tests"]
