"""The files that callbacks write: where they are, that no two are the same, and whose those are that exist.

A relative path is relative to the directory in which the run began. The result file records where that is as seen from
itself, so that a run is resumed from any directory, and may be moved along with it.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noisysim.common import writing
from noisysim.common.arguments import argument
from noisysim.common.fields import PATH, shown
from noisysim.runs import callbacks, storage
from noisysim.runs.callbacks import Writer
from noisysim.runs.events import Start

FOLDER = "folder"
"""The key of the record of where a run began, of the runs that have such files."""


def recorded_folder(called: Sequence[Any], out: Path | None) -> dict[str, str]:
    """What a result file has to record of the present directory.

    It is relative to the file's own if one of the two holds the other, as they may then be moved together.
    """
    if out is None or not any(isinstance(one, Writer) for one in called):
        return {}
    return {FOLDER: _seen_from_file(out, Path.cwd())}


def _seen_from_file(out: Path, began: Path) -> str:
    beside = out.resolve().parent
    together = began == beside or began in beside.parents or beside in began.parents
    return Path(os.path.relpath(began, beside)).as_posix() if together else str(began)


def environment_of_copy(environment: Mapping[str, Any], out: Path, copy: Path) -> dict[str, Any]:
    """What a file kept elsewhere has to record of where the run began, given what the run's own file `out` does."""
    if FOLDER not in environment:
        return dict(environment)
    began = (out.resolve().parent / environment[FOLDER]).resolve()
    return {**environment, FOLDER: _seen_from_file(copy, began)}


def folder(content: Mapping[str, Any], path: Path) -> Path:
    """Where a recorded run began, as seen from the present directory."""
    recorded = content["environment"].get(FOLDER)
    found = Path.cwd() if recorded is None else (path.resolve().parent / recorded).resolve()
    return Path() if found == Path.cwd() else found


def rebased(called: Sequence[Any], content: Mapping[str, Any], path: Path) -> list[Any]:
    """The callbacks of a resumed run, all of whose paths are relative to where it began.

    A path that is given to a new one is relative to the present directory.
    """
    began = folder(content, path)
    moved = list(called)
    for k, one in enumerate(called):
        if began != Path() and type(one) in callbacks.WRITERS and not _is_recorded(one, content):
            moved[k] = dataclasses.replace(one, **{one.setting: _seen_from(began, getattr(one, one.setting))})
    return moved


def _seen_from(began: Path, given: str) -> str:
    if os.path.isabs(given) or not given:
        return given
    try:
        return Path(os.path.relpath(given, began)).as_posix()
    except ValueError:  # on another drive
        return os.path.abspath(given)


def _is_recorded(callback: object, content: Mapping[str, Any]) -> bool:
    return callbacks.describe(callback) in content["config"].get("callbacks", [])


def check(called: Sequence[Any], start: Start, content: Mapping[str, Any] | None = None) -> None:
    """Refuse files that cannot be written, that two would write, or that are not the run's.

    Parameters
    ----------
    called : sequence
        Callbacks.
    start : Start
    content : mapping, optional
        Of the file of a run that is resumed.
    """
    taken: dict[Path, str] = {}
    for name, one in zip(callbacks.titles(called), called, strict=True):
        if not isinstance(one, Writer):
            continue
        place = start.folder / one.given
        target = place.resolve()
        if start.out is not None and target == start.out.resolve():
            raise ValueError(f"callback {name!r} cannot write {_named(place)}, which is the run's own file")
        if target in taken:
            other = f"callbacks {taken[target]!r} and {name!r}"
            raise ValueError(f"{other} would both write {_named(place)}: give each another {one.setting}")
        taken[target] = name
        own = content is not None and _is_recorded(one, content)
        if isinstance(one, callbacks.TensorBoard):
            _check_folder(name, place, own or start.overwrite)
            continue
        if place.exists() and not (start.overwrite or (own and content is not None and _is_of(one, place, content))):
            if content is None:
                raise FileExistsError(
                    f"callback {name!r}: {_named(place)} exists: give another path, or say {argument('overwrite=True')}"
                )
            raise FileExistsError(
                f"callback {name!r}: {_named(place)} exists and was not written by this run: move it away, or give "
                "callbacks with another path"
            )
        writing.check(place)


def _named(place: Path) -> str:
    text = str(place)
    return text if text.isprintable() and len(text) <= PATH else shown(text, PATH)


def _check_folder(name: str, place: Path, may_be_in_use: bool) -> None:
    if place.exists() and not place.is_dir():
        raise ValueError(f"callback {name!r}: {_named(place)} is not a folder")
    if not may_be_in_use and place.exists() and any(place.iterdir()):
        raise FileExistsError(f"callback {name!r}: folder {_named(place)} is not empty; give another one")


def _is_of(callback: Writer, place: Path, content: Mapping[str, Any]) -> bool:
    """Whether a file was written by this run; it may be ahead of the last checkpoint."""
    try:
        if isinstance(callback, callbacks.CSVLog):
            ours = _columns(callbacks.lines(content["arrays"]["history/epoch"]))
            theirs = _columns(place.read_text().splitlines())
            return ours.keys() == theirs.keys() and all(
                all(a == b for a, b in zip(ours[name], theirs[name], strict=False)) for name in ours
            )
        ours, theirs = ({**one["environment"], FOLDER: ""} for one in (content, storage.read(place)))
        return ours == theirs
    except (OSError, ValueError):
        return False


def _columns(lines: Sequence[str]) -> dict[str, list[str]]:
    """The columns of a log, by name: a file has them in another order."""
    return {head: rest for head, *rest in zip(*(line.split(",") for line in lines), strict=True)}
