"""Parts that users write: Python files named by their paths, entry points of installed packages, and their sources.

A file is read, compared by hash and then executed; whatever is wrong with it becomes one line, with its place.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from noisysim.common.arguments import argument
from noisysim.common.source import SOURCE, parsed
from noisysim.common.texts import one_line
from noisysim.common.writing import drafted


class UserError(ValueError):
    """What is wrong with a part that a user wrote, in one line, with file and line number."""


class MissingFileError(FileNotFoundError):
    """The recorded file of a part is not where it was.

    Attributes
    ----------
    kind : str
        Of the part, such as "device".
    said : str
        The message up to the advice.
    """

    kind = ""
    said = ""

    @classmethod
    def of(cls, kind: str, said: str, advice: str) -> MissingFileError:
        """The error with this advice on what to do if the file was moved."""
        error = cls(f"{said}; if the recorded file was moved, {advice}")
        error.kind, error.said = kind, said
        return error


class File(NamedTuple):
    """A Python file as it was read: its path as the user gave it, where it was read, and its bytes."""

    path: str
    place: str
    content: bytes

    @property
    def sha256(self) -> str:
        """The hash of the bytes, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


class Origin(NamedTuple):
    """Where a part comes from that is not the package's own.

    Attributes
    ----------
    name : str
        The name that finds it: a file's path, an entry point's name.
    title : str
        A short name, for messages and figures.
    source, sha256 : str
        Its text and that text's hash.
    """

    name: str
    title: str
    source: str
    sha256: str


_EXECUTING = threading.RLock()
"""Held while a file is executed: another thread waits for its module. A file may load others."""
_PLACED: dict[str, str] = {}
"""Where recorded files that this machine lacks were written to, by their paths."""
_SETTING = re.compile(r"[\w-]+:\s*\w+\s*=")
"""How a name with settings begins, of which one may be a file: ``"digits:loss=my_loss.py"``."""


# --- files ----------------------------------------------------------------------------------------------------------


def split(spec: str) -> tuple[str, str] | None:
    """``"chips/my.py:amplitude=0.1"`` -> ``("chips/my.py", "amplitude=0.1")``; None if no path ends in ``.py``."""
    path, ending, settings = spec.partition(".py:")
    if _SETTING.match(path):
        return None
    if ending:
        return f"{path}.py", settings
    return (spec, "") if spec.endswith(".py") else None


def read(kind: str, path: str, sha256: object = None) -> File:
    """A file's bytes; nothing of it is executed.

    Parameters
    ----------
    kind : str
        What messages call the part in it, such as "device".
    path : str
    sha256 : str, optional
        Of the recorded file: another one is refused.
    """
    place = Path(os.path.expanduser(path))
    if not place.is_file() and path in _PLACED:
        place = Path(_PLACED[path])
    if not place.is_file():
        said = f"no {kind} file {path!r} (the working directory is {os.getcwd()!r})"
        raise FileNotFoundError(said) if sha256 is None else MissingFileError.of(kind, said, _moved(kind))
    try:
        file = File(path, str(place), place.read_bytes())
    except OSError as error:
        raise type(error)(f"cannot read {kind} file {path!r}: {error.strerror}") from None
    compare_hash(f"{kind} file {path!r}", file.sha256, sha256)
    return file


def _moved(kind: str) -> str:
    """What to do about a recorded file that was moved, as `noisysim.resume` takes it."""
    if kind in ("loss", "activation"):
        return "put it back there"
    place = "diagnostics=['new/place.py']" if kind == "diagnostic" else f"{kind}='new/place.py'"
    return f"say where it is now: {argument(place)}"


@contextlib.contextmanager
def moved_device(way: str) -> Iterator[None]:
    """In this block, where ``device=`` means something else, say by what else a moved device file is found.

    Parameters
    ----------
    way : str
        Such as ``"give chip=result.chip({})"``, with the place of the argument that says where the file is.
    """
    try:
        yield
    except MissingFileError as error:
        if error.kind != "device":
            raise
        raise MissingFileError.of("device", error.said, way.format("device='new/place.py'")) from None


def place_recorded(recorded: Mapping[str, Any] | Iterable[Any]) -> None:
    """Write the files of recorded parts that this machine lacks to a folder of this process, where `read` finds them.

    Parameters
    ----------
    recorded : mapping or list
        Settings of a run; parts may be anywhere in them.
    """
    for value in recorded.values() if isinstance(recorded, Mapping) else recorded:
        if isinstance(value, (Mapping, list)):
            place_recorded(value)
    if isinstance(recorded, Mapping) and "source" in recorded:
        name = recorded["name"]
        if name.endswith(".py") and not Path(os.path.expanduser(name)).is_file():
            place = _folder() / recorded["sha256"][:16] / Path(name).name
            if not place.exists() and (content := _recorded_bytes(recorded["source"], recorded["sha256"])) is not None:
                place.parent.mkdir(exist_ok=True)
                with drafted(place) as draft:
                    draft.write_bytes(content)
            _PLACED[name] = str(place)


@functools.cache
def _folder() -> Path:
    """A folder of this process alone, which ends with it."""
    folder = tempfile.mkdtemp(prefix="noisysim-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _recorded_bytes(source: str, sha256: str) -> bytes | None:
    """The bytes of a file of which text and hash were recorded; ``None`` for another encoding than UTF-8."""
    for text in (source, source.replace("\n", "\r\n"), source.replace("\n", "\r")):
        for codec in ("utf-8", "utf-8-sig"):
            content = text.encode(codec)
            if hashlib.sha256(content).hexdigest() == sha256:
                return content
    return None


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
    with _EXECUTING:
        if name not in sys.modules:
            _execute(kind, name, file, check, error)
        return sys.modules[name]


def text_of(loaded: types.ModuleType) -> str:
    """The text of a module that was made from a file."""
    return str(vars(loaded)[SOURCE])


def _execute(
    kind: str, name: str, file: File, check: Callable[[types.ModuleType, str], None], error: type[UserError]
) -> None:
    try:
        text = importlib.util.decode_source(file.content)
        code = compile(text, file.place, "exec", dont_inherit=True)
    except SyntaxError as wrong:
        raise error(f"{file.path}:{wrong.lineno or 1}: {wrong.msg}: {(wrong.text or '').strip()!r}") from None
    except (ValueError, RecursionError, MemoryError) as wrong:  # not UTF-8, a null byte, nested too deeply
        raise error(f"{file.path} is not Python text: {one_line(wrong)}") from None
    loaded = types.ModuleType(name)
    loaded.__file__ = file.place
    vars(loaded)[SOURCE] = text
    sys.modules[name] = loaded  # first: annotations, and dataclasses, are looked up there
    try:
        exec(code, vars(loaded))
        check(loaded, text)
    except BaseException as wrong:
        del sys.modules[name]
        if isinstance(wrong, error) or not isinstance(wrong, (Exception, SystemExit)):
            raise
        hint = ""
        if isinstance(wrong, ImportError):
            hint = f"; {with_article(kind)} file is loaded by itself: what it imports must be installed, not be a file"
            hint += " beside it"
        reason = f"{type(wrong).__name__}: {one_line(wrong)}"
        raise error(f"{line_in(wrong, file.place) or file.path}: {reason}{hint}") from None


# --- installed packages ---------------------------------------------------------------------------------------------


def entry_points(kind: str) -> dict[str, importlib.metadata.EntryPoint]:
    """What installed packages bring of a kind, by name (group ``noisysim.devices``); nothing is imported."""
    return {point.name: point for point in importlib.metadata.entry_points(group=f"noisysim.{plural(kind)}")}


def plural(kind: str) -> str:
    """``"loss"`` -> ``"losses"``."""
    return f"{kind}es" if kind.endswith("s") else f"{kind}s"


def with_article(noun: str) -> str:
    """``"device"`` -> ``"a device"``, ``"optimizer"`` -> ``"an optimizer"``."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def load_entry_point(kind: str, point: importlib.metadata.EntryPoint, error: type[UserError]) -> Any:
    """The object that an entry point names."""
    try:
        return point.load()
    except (Exception, SystemExit) as wrong:
        where = f"{kind} {point.name!r} ({point.value})"
        raise error(f"{where} cannot be loaded: {type(wrong).__name__}: {one_line(wrong)}") from None


def origin_of(kind: str, loaded: types.ModuleType, error: type[UserError]) -> Origin:
    """The source of a module that Python imported itself."""
    path = getattr(loaded, "__file__", None)
    if path is None or not Path(path).is_file() or not path.endswith(".py"):
        raise error(f"the source of module {loaded.__name__!r} is not there: put the {kind} into a file of its own")
    content = Path(path).read_bytes()
    text = importlib.util.decode_source(content)
    return Origin(path, loaded.__name__.rpartition(".")[2], text, hashlib.sha256(content).hexdigest())


# --- messages -------------------------------------------------------------------------------------------------------


def line_in(error: BaseException, path: str) -> str:
    """``path:line`` of the innermost frame of an error's traceback that is in a file; "" if none is."""
    place, step = "", error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == path:
            place = f"{path}:{step.tb_lineno}"
        step = step.tb_next
    return place


def line_of_class(text: str, path: str, cls: type, field: str = "") -> str:
    """``path:line`` of a class, or of one of its fields or methods."""
    for node in ast.walk(parsed(text)):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            for inner in node.body:
                name = getattr(getattr(inner, "target", inner), "id", getattr(inner, "name", None))
                if field and name == field:
                    return f"{path}:{inner.lineno}"
            return f"{path}:{node.lineno}"
    return path


def compare_hash(what: str, present: str, recorded: object) -> None:
    """Refuse what has another hash than the one recorded, if one was."""
    if recorded is not None and present != recorded:
        raise ValueError(
            f"{what} is not the one recorded: it was changed since (SHA-256 {str(recorded)[:12]}, now {present[:12]})"
        )
