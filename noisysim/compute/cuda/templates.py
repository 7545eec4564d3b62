"""The texts that loops are made of: which functions a text takes from others, and every source that it depends on.

A template is a module of `FOLDERS` with loops, kernels or scalar rules in it. What it imports from another template is
specialised with it; all else that it imports from `noisysim.compute` is the same for every device.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeGuard

from noisysim.common.source import parsed

COMPUTE = Path(__file__).parents[1]
FOLDERS = ("rules", "cuda/kernels")
RULES = FOLDERS[0]
SUPPORT = ("rules/flags", "cuda/kernels/names", "cuda/kernels/target")
"""Modules of these folders that hold neither loops nor rules."""
PACKAGE = "noisysim.compute."
_WORD = re.compile(r"\b[A-Za-z_]\w*")
_DEFINED = re.compile(r"^(?:def|class) (\w+)", re.MULTILINE)


class Link(NamedTuple):
    """A name that a template imports from another one."""

    template: str
    name: str
    alias: str


class Template(NamedTuple):
    """The text of a module of loops or rules.

    Attributes
    ----------
    path : Path
    text : str
    links : tuple of Link
        What it imports from other templates.
    support : tuple of str
        The texts of all other modules of `noisysim.compute` that it imports, and that these import.
    words : set of str
        Every word of its text.
    defined : set of str
        The functions and classes that it defines.
    """

    path: Path
    text: str
    links: tuple[Link, ...]
    support: tuple[str, ...]
    words: frozenset[str]
    defined: frozenset[str]


@cache
def read(name: str) -> Template:
    """A template by its path below `noisysim.compute`, such as "cuda/kernels/passes"."""
    path = COMPUTE / f"{name}.py"
    text = path.read_text()
    links = tuple(
        Link(module, alias.name, alias.asname or alias.name)
        for module, aliases in _imports(name, text)
        if _is_template(module)
        for alias in aliases
    )
    support = tuple(text for _, text in sorted(_support(name, text).items()))
    return Template(path, text, links, support, words(text), frozenset(_DEFINED.findall(text)))


def words(text: str) -> frozenset[str]:
    """Every word that may be a name."""
    return frozenset(_WORD.findall(text))


def _is_template(module: str) -> bool:
    return module.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and module not in SUPPORT


def _imports(name: str, text: str) -> list[tuple[str, list[ast.alias]]]:
    """The modules of `noisysim.compute` that the text of one imports names from, as paths, at its top."""
    imports = []
    tree = parsed(text)
    for node in ast.walk(tree):
        if _hides_its_source(node):
            raise ValueError(
                f"{COMPUTE / name}.py:{node.lineno}: {ast.unparse(node)!r}: loops would not depend on what this "
                "imports; write 'from noisysim.compute.MODULE import NAME'"
            )
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE):
            module = node.module.removeprefix(PACKAGE).replace(".", "/")
            if (COMPUTE / module).is_dir():  # ``from package import module``
                imports += [(f"{module}/{alias.name}", [alias]) for alias in node.names]
            else:
                imports.append((module, node.names))
    return imports


def _hides_its_source(node: ast.AST) -> TypeGuard[ast.Import | ast.ImportFrom]:
    """Whether a statement imports from `noisysim.compute` in a way that does not name the module of what it takes."""
    root, package = PACKAGE.rstrip(".").split(".")
    if isinstance(node, ast.Import):
        return any(f"{alias.name}.".startswith(PACKAGE) for alias in node.names)
    if not isinstance(node, ast.ImportFrom):
        return False
    of_root = node.module == root and any(alias.name == package for alias in node.names)
    return node.level > 0 or node.module == f"{root}.{package}" or of_root


def _support(name: str, text: str) -> dict[str, str]:
    """Path -> text of the modules, no templates, that a text imports, and that these import."""
    texts: dict[str, str] = {}
    pending = [(name, text)]
    while pending:
        for module, _ in _imports(*pending.pop()):
            path = COMPUTE / f"{module}.py"
            if module not in texts and not _is_template(module) and path.is_file():
                texts[module] = path.read_text()
                pending.append((module, texts[module]))
    return texts
