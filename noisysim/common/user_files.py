"""Python files that users name by their paths: read, compared by hash, executed; errors are one line."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from noisysim.common.source import SOURCE


class UserError(ValueError):
    """What is wrong with a part that somebody wrote, in one line, with file and line."""


class File(NamedTuple):
    """A Python file as it was read: the path as it was given, and the bytes in it."""

    path: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash of the bytes, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


class Origin(NamedTuple):
    """Where a class comes from that is none of the package's.

    Attributes
    ----------
    name : str
        What it is asked for by: a file's path, an entry point's name.
    title : str
        A short name, for messages and figures.
    source, sha256 : str
        Its text and that text's hash.
    """

    name: str
    title: str
    source: str
    sha256: str


def split(spec: str) -> tuple[str, str] | None:
    """``"chips/my.py:amplitude=0.1"`` -> ``("chips/my.py", "amplitude=0.1")``; None if no path ends in ``.py``."""
    path, ending, settings = spec.partition(".py:")
    if ending:
        return f"{path}.py", settings
    return (spec, "") if spec.endswith(".py") else None


def read(kind: str, path: str) -> File:
    """A file's bytes; nothing of it is executed. `kind` is what a message calls it, such as "device"."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise FileNotFoundError(f"no {kind} file {path!r} (the working directory is {os.getcwd()!r})")
    try:
        return File(path, place.read_bytes())
    except OSError as error:
        raise type(error)(f"cannot read {kind} file {path!r}: {error.strerror}") from None


def module(
    kind: str, file: File, check: Callable[[types.ModuleType, str], None], error: type[UserError]
) -> types.ModuleType:
    """The module of a file: the same source gives the same module, an edited one another.

    Parameters
    ----------
    kind : str
        Such as "device".
    file : File
    check : callable
        Given the new module and its text; what it raises leaves no module behind.
    error : type
        Of what is raised.
    """
    name = f"noisysim_{kind}_{file.sha256[:24]}"  # of the source alone: cached kernels find their device by it
    if name not in sys.modules:
        _execute(kind, name, file, check, error)
    return sys.modules[name]


def text_of(made: types.ModuleType) -> str:
    """The text of a module that was made from a file."""
    return vars(made)[SOURCE]


def _execute(
    kind: str, name: str, file: File, check: Callable[[types.ModuleType, str], None], error: type[UserError]
) -> None:
    path = str(Path(file.path).expanduser())
    try:
        text = importlib.util.decode_source(file.content)
        code = compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as wrong:
        raise error(f"{file.path}:{wrong.lineno or 1}: {wrong.msg}: {(wrong.text or '').strip()!r}") from None
    except (ValueError, RecursionError, MemoryError) as wrong:  # not UTF-8, a null byte, nested too deeply
        raise error(f"{file.path} is not Python text: {one_line(wrong)}") from None
    made = types.ModuleType(name)
    made.__file__ = path
    vars(made)[SOURCE] = text
    sys.modules[name] = made  # first: annotations, and dataclasses, are looked up there
    try:
        exec(code, vars(made))
        check(made, text)
    except BaseException as wrong:
        del sys.modules[name]
        if isinstance(wrong, error) or not isinstance(wrong, (Exception, SystemExit)):
            raise
        hint = ""
        if isinstance(wrong, ImportError):
            hint = f"; a {kind} file is loaded by itself: what it imports must be installed, not lie beside it"
        said = f"{type(wrong).__name__}: {one_line(wrong)}"
        raise error(f"{line_in(wrong, path) or file.path}: {said}{hint}") from None


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())


def line_in(error: BaseException, path: str) -> str:
    """``path:line`` of the innermost frame of an error's traceback that lies in a file; "" if none does."""
    found, step = "", error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == path:
            found = f"{path}:{step.tb_lineno}"
        step = step.tb_next
    return found


def line_of_class(text: str, path: str, cls: type, field: str = "") -> str:
    """``path:line`` of a class, or of one of its fields or methods."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            for inner in node.body:
                name = getattr(getattr(inner, "target", inner), "id", getattr(inner, "name", None))
                if field and name == field:
                    return f"{path}:{inner.lineno}"
            return f"{path}:{node.lineno}"
    return path


def compare_hash(what: str, found: str, wanted: object) -> None:
    """Refuse what has another hash than the one recorded, if one was."""
    if wanted is not None and found != wanted:
        raise ValueError(
            f"{what} is not the one recorded: it was changed since (SHA-256 {str(wanted)[:12]}, now {found[:12]})"
        )
