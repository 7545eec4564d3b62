"""The documentation: examples that run, names and links that exist."""

import ast
import doctest
import importlib.util
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

import noisysim
from noisysim.cli.commands import app
from noisysim.devices import models

import page_code
from doc_pages import DOCS, FENCE, PAGES, blocks, has, name_of

PACKAGE, DEVICES = Path(noisysim.__file__).parent, Path(models.__file__).parent

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
        for said in re.split(r"\n| && ", text):
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


PAGE = """Text
```python
# part.py: a file
x = 1
```
```sh
ls part.py
```
```text
no code
```
```python
import part
assert part.x == 1
```
"""


def test_the_code_of_a_page_keeps_its_lines():
    lines = page_code.script(PAGE).splitlines()
    assert [k for k, line in enumerate(lines, 1) if line] == [1, 3, 7, 13, 14]
    assert lines[12:14] == ["import part", "assert part.x == 1"]


def test_a_page_whose_code_fails_says_where(tmp_path):
    page = tmp_path / "a-page.md"
    page.write_text(PAGE)
    assert page_code.run(page) == ""
    page.write_text(PAGE.replace("== 1", "== 2"))
    assert "line 14" in page_code.run(page)
    page.write_text(PAGE.replace("ls part.py", "ls none.py"))
    assert "line 7" in page_code.run(page)
    page.write_text("```python\nimport warnings\nwarnings.warn('so')\n```\n")
    assert "UserWarning: so" in page_code.run(page)


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
