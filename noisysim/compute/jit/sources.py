"""Which sources machine code depends on: names for it that change with any of them.

A loop is a function of a module, and calls functions of the modules that this one imports. Its name holds a hash of
the texts of all of these, read as they are imported, so that an edit of any of them gives another name.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE = "noisysim"
ROOT = Path(__file__).parents[2]
_IMPORT = re.compile(rf"^(?:from ({PACKAGE}[\w.]*) import (\([^)]*\)|.*)|import ({PACKAGE}[\w.]*))", re.MULTILINE)
_COMMENT, _WORD = re.compile(r"#.*"), re.compile(r"\w+")


def name_of(function: Callable[..., Any]) -> str:
    """A name for the machine code of a function of the package, with the hash of every source that it depends on."""
    return f"{function.__module__}.{function.__qualname__}-{digest(function.__module__)}".replace(".", "_")


@functools.cache
def digest(module: str) -> str:
    """Hash of the texts of a module of the package and of all of the package's that it imports, directly or not."""
    texts: dict[str, str] = {}
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in texts:
            texts[name] = _text(name)
            pending += _imports(name)
    joined = "\n".join(f"{name}\n{text}" for name, text in sorted(texts.items()))
    return hashlib.sha256(joined.encode()).hexdigest()[:24]


def _file(module: str) -> Path | None:
    """The file of a module of the package; ``None`` if there is no such module."""
    place = ROOT.joinpath(*module.split(".")[1:])
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@functools.cache
def _text(module: str) -> str:
    file = _file(module)
    if file is None:
        raise ModuleNotFoundError(f"{module}: loops may depend on modules of {PACKAGE} alone")
    return file.read_text()


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    """The package's modules that one imports at its top level."""
    found = []
    for source, names, plain in _IMPORT.findall(_COMMENT.sub("", _text(module))):
        if plain:
            found.append(plain)
            continue
        parts = [f"{source}.{name}" for name in _WORD.findall(names)]
        modules = [part for part in parts if _file(part) is not None]
        found += modules or [source]
        if modules and len(modules) < len(parts):
            found.append(source)
    return tuple(found)
