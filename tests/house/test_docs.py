"""The documentation: examples that run, names and links that exist, and a place for everything there is."""

import ast
import contextlib
import doctest
import importlib.util
import json
import os
import re
import shlex
import sys
import types
from pathlib import Path

import pytest

import noisysim
from noisysim import callbacks, devices, learners, schedules, tasks
from noisysim.chip import diagnostics
from noisysim.cli import app
from noisysim.devices import models
from noisysim.learners import optimizers

ROOT = Path(__file__).parents[2]
PACKAGE, DEVICES = Path(noisysim.__file__).parent, Path(models.__file__).parent
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("contributing/*.md")), *sorted(DOCS.glob("api/*.md")),
]  # fmt: skip
REFERENCE = "\n".join(path.read_text() for path in sorted(DOCS.glob("api/*")))
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, *languages):
    """(line, text) of the code blocks of a page."""
    text = path.read_text()
    for found in FENCE.finditer(text):
        if found[1] in languages:
            yield text.count("\n", 0, found.start()) + 1, found[2]


# --- examples ---------------------------------------------------------------------------------------------------------


def modules():
    for root, package in ((PACKAGE, "noisysim"), (DEVICES, "noisysim.devices.models")):
        for path in sorted(root.rglob("*.py")):
            if (package != "noisysim" or DEVICES not in path.parents) and re.search(r"^ *>>> ", path.read_text(), re.M):
                parts = [package, *path.relative_to(root).with_suffix("").parts]
                yield ".".join(part for part in parts if part != "__init__")


@pytest.mark.runs
@pytest.mark.parametrize("name", list(modules()))
def test_examples_in_docstrings_are_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name.startswith("noisysim.studies"):
        pytest.importorskip("distributed")
        pytest.importorskip("xarray")
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


@pytest.mark.runs
@pytest.mark.parametrize("page", [p for p in PAGES if list(blocks(p, "pycon"))], ids=name_of)
def test_examples_in_pages_are_true(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner, space = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS), {}
    for line, text in blocks(page, "pycon"):
        test = doctest.DocTestParser().get_doctest(text, space, name_of(page), str(page), line)
        runner.run(test, clear_globs=False)
        space = test.globs
    assert runner.summarize().failed == 0


def has(value, name):
    """Whether a module or an object has an attribute, or a module of this name in it."""
    if not hasattr(value, name) and isinstance(value, types.ModuleType):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{value.__name__}.{name}")
    return hasattr(value, name)


def missing(code):
    """Names of noisysim's that a piece of code uses and that do not exist."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "noisysim":
            source = importlib.import_module(node.module)
            yield from (f"{node.module}.{a.name}" for a in node.names if not has(source, a.name))
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if not re.fullmatch(r"noisysim(\.\w+)+", name):
                continue
            value = noisysim
            for part in name.split(".")[1:]:
                if not has(value, part):
                    yield name
                    break
                value = getattr(value, part)


def test_the_search_for_missing_names_finds_them():
    code = "import noisysim\nnoisysim.run()\nnoisysim.sprint()\nnoisysim.devices.Crosbar()\nfrom noisysim import conf"
    assert sorted(missing(code)) == ["noisysim.conf", "noisysim.devices.Crosbar", "noisysim.sprint"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_pages_is_python_and_names_what_there_is(page):
    found = [f"line {line}: {name}" for line, text in blocks(page, "python") for name in missing(text)]
    assert not found


def commands(path):
    for line, text in blocks(path, "", "sh"):
        for said in text.splitlines():
            if said.startswith("noisysim ") and "|" not in said:
                yield line, said


@pytest.mark.parametrize("page", [p for p in PAGES if list(commands(p))], ids=name_of)
def test_commands_in_pages_can_be_parsed(page):
    for line, said in commands(page):
        words = shlex.split(said.partition(" > ")[0], comments=True)[1:]
        try:
            app.parse_args(words, exit_on_error=False, print_error=False)
        except Exception as error:
            pytest.fail(f"line {line}: {said}: {error}")


def test_the_files_of_the_page_on_your_own_parts_work(tmp_path, monkeypatch):
    """Named by path in every line of its first example, then the definitions in one script as objects."""
    monkeypatch.chdir(tmp_path)
    code = [text for _, text in blocks(DOCS / "your-own-parts.md", "python")]
    files = [text for text in code if ": the whole file" in text]
    by_path, score, as_objects = [text for text in code if text not in files]
    for text in files:
        Path(text.split(":")[0].removeprefix("# ")).write_text(text)
    run, results = noisysim.run, []
    short = {"epochs": 1, "layers": [8], "device": "ideal", "every": 20, "progress": False}
    monkeypatch.setattr(noisysim, "run", lambda *spec, **given: results.append(run(*spec, **{**short, **given})))
    exec(by_path, {})
    Path("script.py").write_text("\n".join(["import noisysim", *files, as_objects]))
    monkeypatch.syspath_prepend(tmp_path)
    Path("score.py").write_text(score)
    for name in ("script", "score"):
        importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)
    assert len(results) == (by_path + score + as_objects).count("noisysim.run(")
    assert {one.status for one in results} == {"finished"}
    recorded = {*json.dumps([one.config for one in results]).split('"'), "script.py", "score.py"}
    assert [path.name for path in tmp_path.glob("*.py") if path.name not in recorded] == []


# --- links ------------------------------------------------------------------------------------------------------------


def targets(path):
    text = FENCE.sub("", path.read_text())
    for found in re.finditer(r"\]\(<?([^)\s>]+)>?\)", text):
        if not re.match(r"\w+:|#", found[1]):
            yield found[1].partition("#")[0]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_that_exist(page):
    index = re.compile(r"(docs/)?generated/(tutorials|gallery|physics)/index\.rst")  # by the build
    script = re.compile(r"generated/((?:tutorials|gallery|physics)/\w+)\.(?:rst|html)")  # a page of it
    wanted = [script.sub(r"\1.py", t) for t in targets(page) if not index.fullmatch(t)]
    assert [t for t in wanted if not Path(os.path.normpath(page.parent / t)).exists()] == []


# --- a place for everything -------------------------------------------------------------------------------------------


def shown(kind):
    return re.findall(rf"^\.\. declared:: {kind} (\S+)$", REFERENCE, re.MULTILINE)


KINDS = {
    "device": (devices.BUILT_IN, "devices.md"),
    "learner": (learners.LEARNERS, "learners.md"),
    "task": (tasks.names(), None),
    "diagnostic": (diagnostics.DIAGNOSTICS, "diagnostics.md"),
    "optimizer": (optimizers.OPTIMIZERS, None),
    "schedule": (schedules.SCHEDULES, None),
    "callback": (callbacks.CALLBACKS, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_that_has_a_name_is_in_the_reference_once_and_on_its_page(kind):
    names, page = KINDS[kind]
    assert sorted(shown(kind)) == sorted(names)
    if page:
        text = (DOCS / page).read_text()
        assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("name", noisysim.__all__)
def test_every_public_name_is_in_the_reference(name):
    assert re.search(rf"\bnoisysim\.{name}\b", REFERENCE)


def is_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it would lie in is no package
        return False


def imported(code):
    """Modules of noisysim that a piece of code imports names from."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("noisysim"):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in inner if is_module(name))
            if node.module != "noisysim":
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("noisysim."))


def test_every_module_that_examples_import_is_in_the_reference():
    scripts = [
        path.read_text() for folder in ("tutorials", "gallery", "physics") for path in (DOCS / folder).glob("*.py")
    ]
    code = scripts + [text for page in PAGES for _, text in blocks(page, "python")]
    modules = {module for text in code for module in imported(text)}
    assert len(modules) > 8
    assert [m for m in sorted(modules) if not re.search(rf"\b{re.escape(m)}\b", REFERENCE)] == []


def named(group, before=""):
    for name in group:
        if not name.startswith("-"):
            yield before + name
            yield from named(group[name], f"{before}{name} ")


def test_every_command_is_in_the_reference_once():
    assert sorted(re.findall(r"^\.\. command:: (.+)$", REFERENCE, re.MULTILINE)) == sorted(named(app))


def test_the_page_of_rules_says_what_each_rule_needs():
    rows = re.findall(r"^\| `(\S+)` \|.*\| ([^|]*)\| [^|]*\|$", (DOCS / "learners.md").read_text(), re.MULTILINE)
    said = {name: {one.strip().replace(" ", "_") for one in needs.split(",") if one.strip()} for name, needs in rows}
    assert len(said) > 10
    assert said == {name: set(learners.get(name).requires()) - {"perturbation"} for name in said}
