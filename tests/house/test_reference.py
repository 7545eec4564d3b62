"""The API reference: a place for everything there is, once, and every property as its docstring means it."""

import ast
import importlib
import inspect
import itertools
import re
import types
from collections import defaultdict

import pytest

import noisysim
from noisysim import callbacks, devices, learners, schedules, tasks
from noisysim.chip import diagnostics
from noisysim.cli.commands import app
from noisysim.learners import optimizers

from doc_pages import DOCS, PAGES, ROOT, SCRIPTS, blocks, has, name_of

REFERENCE = "\n".join(path.read_text() for path in sorted(DOCS.glob("api/*")))
DIRECTIVE = re.compile(r"^\.\. (auto\w+|py:data|declared):: (.+)\n((?:   .*\n)*)", re.MULTILINE)

# --- what there is ----------------------------------------------------------------------------------------------------


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


# --- what examples use ------------------------------------------------------------------------------------------------


def found_in_it(name):
    """A dotted name's object, or that of the module-level name that it begins with; ``None`` if there is none."""
    value = noisysim
    for part in name.split(".")[1:]:
        if not has(value, part):
            return None
        value = getattr(value, part)
        if not isinstance(value, types.ModuleType):
            break
    return value


def of_module(name, options):
    """What autodoc shows of a module."""
    module = importlib.import_module(name)
    listed = re.findall(r"[\w.]+", re.sub(r"\s+", " ", options.partition(":members:")[2].partition(":")[0]))
    if listed or hasattr(module, "__all__"):
        return [getattr(module, one) for one in listed or module.__all__]
    own = (one for one in vars(module) if not one.startswith("_"))
    # what a module has under another name than its own is not taken for its own
    return [getattr(module, one) for one in own if getattr(getattr(module, one), "__module__", name) == name]


def entries():
    """What the reference has an entry of: modules, classes, functions and data."""
    for directive, said, options in DIRECTIVE.findall(REFERENCE):
        if directive == "declared":
            kind, name = said.split()
            if isinstance(definition := found_in_it(f"noisysim.{kind}s"), types.ModuleType):
                yield definition
            if kind in ("device", "learner"):
                yield devices.kind(name) if kind == "device" else learners.LEARNERS[name]
        elif directive == "automodule":
            yield importlib.import_module(said)
            if ":members:" in options:
                yield from of_module(said, options)
        else:
            value, owner = found_in_it(said), found_in_it(said.rpartition(".")[0])
            assert value is not None, said
            yield value
            if isinstance(owner, types.ModuleType):
                yield owner


def known_names(tree):
    """Names of a piece of code that stand for something of noisysim's, with what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "noisysim":
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname and "noisysim" in alias.name)


def used(code):
    """Dotted names of what a piece of code imports from noisysim, or reads in it."""
    tree = ast.parse(code)
    known = {"noisysim": "noisysim", **dict(known_names(tree))}
    yield from (name for name in known.values() if name != "noisysim")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("noisysim."))
        elif isinstance(node, ast.Attribute):
            first, _, rest = ast.unparse(node).partition(".")
            if first in known and re.fullmatch(r"\w+(\.\w+)*", rest):
                yield f"{known[first]}.{rest}"


def code_of(path):
    """The Python of a page, examples with prompts included, or of a script."""
    if path.suffix == ".py":
        return path.read_text()
    prompts = [re.findall(r"^(?:>>>|\.\.\.) (.*\n)", text, re.MULTILINE) for _, text in blocks(path, "pycon")]
    return "\n".join([text for _, text in blocks(path, "python")] + ["".join(lines) for lines in prompts])


def without_an_entry(code, known):
    return sorted({name for name in used(code) if not any(found_in_it(name) is one for one in known)})


def test_the_search_for_names_without_an_entry_finds_them():
    code = "from noisysim import bench as b\nb.transfer()\nnoisysim.losses.cross_entropy\nnoisysim.run()"
    assert without_an_entry(code, [*entries()]) == ["noisysim.losses.cross_entropy"]
    assert without_an_entry(code, [noisysim.run]) == [
        "noisysim.bench", "noisysim.bench.transfer", "noisysim.losses", "noisysim.losses.cross_entropy",
    ]  # fmt: skip


def test_whatever_examples_use_of_noisysim_has_an_entry_in_the_reference():
    known, missing = [*entries()], defaultdict(list)
    assert len(known) > 200
    for path in [*PAGES, *SCRIPTS]:
        for name in without_an_entry(code_of(path), known):
            missing[name].append(name_of(path))
    assert dict(missing) == {}


# --- docstrings as they are meant -------------------------------------------------------------------------------------

CODE = re.compile(r"``.+?``|`[^`]+`")


def reads_as_a_type(docstring):
    """Whether numpydoc and napoleon take the beginning of an attribute's docstring, up to a colon, for its type."""
    return re.search(r"(?<!:):(?!:)", CODE.sub("", docstring.strip().partition("\n")[0])) is not None


def properties(path):
    """(class.name, docstring) of the public properties of a module."""
    for owner in ast.walk(ast.parse(path.read_text())):
        for node in owner.body if isinstance(owner, ast.ClassDef) else ():
            decorators = [ast.unparse(one) for one in getattr(node, "decorator_list", ())]
            if any("property" in one for one in decorators) and not node.name.startswith("_"):
                yield f"{owner.name}.{node.name}", ast.get_docstring(node) or ""


def test_what_reads_as_a_type_is_told_from_what_does_not():
    assert reads_as_a_type("What is offered: passes.")
    assert not reads_as_a_type("What is offered.\n\nNot so: this.")
    assert not reads_as_a_type("A ``device:field``, a::b")


def test_no_docstring_of_a_public_property_begins_with_what_reads_as_its_type():
    paths = [path for folder in ("noisysim", "devices") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {path: [*properties(path)] for path in paths}
    assert sum(map(len, found.values())) > 100
    assert [
        f"{name_of(path)}: {name}: {docstring}"
        for path, all_of_it in found.items() for name, docstring in all_of_it if reads_as_a_type(docstring)
    ] == []  # fmt: skip


def test_no_docstring_of_data_in_the_reference_begins_with_what_reads_as_its_type():
    """Of modules whose members are shown without being listed: their data are shown too."""
    wrong = []
    for directive, name, options in DIRECTIVE.findall(REFERENCE):
        if directive == "automodule" and options.strip() == ":members:":
            body = ast.parse(inspect.getsource(importlib.import_module(name))).body
            for node, after in itertools.pairwise(body):
                if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(after, ast.Expr):
                    text = ast.literal_eval(after.value)
                    wrong += [f"{name}: {text}"] if reads_as_a_type(text) else []
    assert wrong == []
