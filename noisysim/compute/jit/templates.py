"""The texts that loops are made of: which functions a text takes from others, and every source that it depends on.

A template is a module of `FOLDERS` with loops, kernels or scalar rules in it. What it imports from another template is
specialised with it; all else that it imports from `noisysim.compute` is the same for every device.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

COMPUTE = Path(__file__).parents[1]
FOLDERS = ("rules", "cpu/loops", "cuda/kernels")
RULES = FOLDERS[0]
SUPPORT = ("rules/flags", "rules/marks", "cuda/kernels/names", "cuda/kernels/target")
"""Modules of these folders that hold neither loops nor rules."""
_PACKAGE = "noisysim.compute."


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
    """

    path: Path
    text: str
    links: tuple[Link, ...]
    support: tuple[str, ...]


@cache
def read(name: str) -> Template:
    """A template by its path below `noisysim.compute`, such as "cpu/loops/passes"."""
    path = COMPUTE / f"{name}.py"
    text = path.read_text()
    links = tuple(
        Link(module, alias.name, alias.asname or alias.name)
        for module, aliases in _imports(text)
        if _is_template(module)
        for alias in aliases
    )
    return Template(path, text, links, tuple(text for _, text in sorted(_support(text).items())))


def _is_template(module: str) -> bool:
    return module.startswith(tuple(f"{folder}/" for folder in FOLDERS)) and module not in SUPPORT


def _imports(text: str) -> list[tuple[str, list[ast.alias]]]:
    """The modules of `noisysim.compute` that a text imports names from, as paths, at its top."""
    imports = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(_PACKAGE):
            module = node.module.removeprefix(_PACKAGE).replace(".", "/")
            if (COMPUTE / module).is_dir():  # ``from package import module``
                imports += [(f"{module}/{alias.name}", [alias]) for alias in node.names]
            else:
                imports.append((module, node.names))
    return imports


def _support(text: str) -> dict[str, str]:
    """Path -> text of the modules, no templates, that a text imports, and that these import."""
    texts: dict[str, str] = {}
    pending = [text]
    while pending:
        for module, _ in _imports(pending.pop()):
            path = COMPUTE / f"{module}.py"
            if module not in texts and not _is_template(module) and path.is_file():
                texts[module] = path.read_text()
                pending.append(texts[module])
    return texts
