"""What a reproduction has measured, a file each: what is there is not measured again.

A run is kept as its own result file, from which it is resumed. Anything else is the value of a function of its
arguments, and kept as that. The name of a file ends in two digests, of what was asked for (every argument, resolved)
and of the source of noisysim: other settings, or another source, are another file, so that nothing is ever replaced by
something else.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import noisysim
from noisysim.chip.diagnostics import Diagnostic
from noisysim.common import hdf5
from noisysim.compute.losses import Loss
from noisysim.learners import Learner, describe
from noisysim.runs import api, config, environment, storage
from noisysim.tasks import Task

FORMAT, VERSION = "noisysim measurement", 1


class Value(NamedTuple):
    """What a function gave, and how many seconds it took."""

    value: Any
    seconds: float


class Kept:
    """The measurements of one reproduction.

    Parameters
    ----------
    folder : Path
        Where their files are; made for the first.
    allow_other_source : bool
        Whether to take those that another source of noisysim has measured, where its own has not.

    Attributes
    ----------
    reused : int
        Measurements that were found complete.
    seconds : float
        What all that were asked for took, each counted once.
    notes : list of str
        What a reader of the table has to know of them.
    """

    def __init__(self, folder: Path, allow_other_source: bool = False):
        self.folder, self.allow_other_source = folder, allow_other_source
        self.notes = list[str]()
        self._seconds: dict[Path, float] = {}
        self._reused: set[Path] = set()

    @property
    def seconds(self) -> float:
        return sum(self._seconds.values())

    @property
    def reused(self) -> int:
        return len(self._reused)

    def run(
        self, settings: Mapping[str, Any], *, may_run: bool, until: float | None = None, progress: bool | None = None
    ) -> noisysim.Result | None:
        """`noisysim.run` with these settings, as far as it gets; resumed where it was begun.

        Parameters
        ----------
        settings : mapping
            Arguments that decide what the run computes.
        may_run : bool
            Whether to run it at all; else what there is of it.
        until : float
            Seconds that it may take (`noisysim.run`).
        progress : bool

        Returns
        -------
        Result or None
            ``None`` if there is nothing.
        """
        if not may_run and not self.folder.is_dir():
            return None
        asked = _resolved(settings)
        path = self._place("run", f"{asked['learner']['name']}-seed{asked['seed']}", asked)
        content = self._read(path, storage.read)
        result = None if content is None else noisysim.Result(content, path)
        if result is not None and not storage.is_cut_short(result.content):
            if path not in self._seconds:
                self._reused.add(path)
        elif may_run:
            result = self._execute(path, settings, result is not None, until=until, progress=progress)
        if result is not None:
            self._seconds[path] = result.elapsed
        return result

    def _execute(self, path: Path, settings: Mapping[str, Any], begun: bool, **executed: Any) -> noisysim.Result | None:
        """Run it, or resume it; what there is of it, if another process is at it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            if not begun:
                return noisysim.run(**settings, out=path, overwrite=True, **executed)
            return noisysim.resume(path, **_own_parts(settings), allow_other_source=self.allow_other_source, **executed)
        except BlockingIOError:
            self._note(f"{path.name} is being run by another process: shown as far as it has come")
            content = self._read(path, storage.read)
            return None if content is None else noisysim.Result(content, path)

    def value(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Value | None:
        """What a function gave for these arguments, if that is kept."""
        if not self.folder.is_dir():
            return None
        path = self._place_of(function, arguments)
        found: Value | None = self._read(path, _read)
        if found is not None and path not in self._seconds:
            self._reused.add(path)
            self._seconds[path] = found.seconds
        return found

    def measure(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Value:
        """Call a function, and keep what it gives: the same whether it comes from there or from the file."""
        started = time.perf_counter()
        value, arrays = function(**arguments), list[np.ndarray]()
        packed, seconds = json.dumps(_packed(value, arrays)), time.perf_counter() - started
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._place_of(function, arguments)
        with hdf5.replaced(path) as file:
            file.attrs.update(format=FORMAT, version=VERSION, function=function.__qualname__, seconds=seconds)
            file["arguments"] = json.dumps({name: spelt(value) for name, value in arguments.items()}, indent=1)
            file["environment"] = json.dumps(environment.describe("cpu"), indent=1)
            file["value"] = packed
            for number, array in enumerate(arrays):
                file[f"arrays/{number}"] = array
        self._seconds[path] = seconds
        return Value(_unpacked(json.loads(packed), arrays), seconds)

    def _place_of(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Path:
        if "<" in function.__qualname__:
            raise TypeError(f"a measurement is a function of a module, not {function.__qualname__}")
        asked = {"function": f"{function.__module__}.{function.__qualname__}", **arguments}
        return self._place("value", function.__name__, {name: spelt(value) for name, value in asked.items()})

    def _place(self, kind: str, name: str, asked: Mapping[str, Any]) -> Path:
        """The file of a measurement; where there is none, that of another source, if those may be taken."""
        text = json.dumps([kind, asked], sort_keys=True)
        stem = f"{re.sub('[^a-z0-9]+', '-', name.lower())}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        path = self.folder / f"{stem}.{environment.source_hash()[:12]}.h5"
        if path.exists() or not (others := sorted(self.folder.glob(f"{stem}.*.h5"), key=_age)):
            return path
        if self.allow_other_source:
            self._note("measurements of another source of noisysim than this are among these")
            return others[-1]
        self._note(
            f"{self.folder} has measurements of another source of noisysim, which are not used; --allow-other-source "
            "takes them"
        )
        return path

    def _read(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """What a file holds; ``None`` for none, and for one that is damaged."""
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            self._note(f"{error}: measured again")
            return None

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def spelt(value: object) -> Any:
    """An argument as JSON knows it, which tells any two apart.

    Raises
    ------
    TypeError
        For what it has no words for.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Task):
        return json.loads(json.dumps(value.describe()))
    if isinstance(value, Learner):
        return {"learner": describe(value)}
    if isinstance(value, Loss):
        return {"loss": value.name}
    if isinstance(value, Mapping):
        return [[spelt(key), spelt(one)] for key, one in value.items()]
    if isinstance(value, (list, tuple)):
        return [spelt(one) for one in value]
    raise TypeError(f"a measurement cannot be kept by an argument of type {type(value).__name__}")


def _resolved(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Every argument of a run, as its result file is to have it."""
    bound = inspect.signature(api.run).bind(**settings)
    bound.apply_defaults()
    arguments = {name: bound.arguments[name] for name in (*config.SETTINGS, "data", "loss")}
    plain: dict[str, Any] = json.loads(json.dumps(config.resolve(**arguments).plain()))
    return plain


def _own_parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a run that its file cannot find again by their names: objects."""
    kinds = {"task": Task, "learner": Learner}
    objects = {name: settings[name] for name, kind in kinds.items() if isinstance(settings.get(name), kind)}
    return {**objects, "diagnostics": [one for one in settings.get("diagnostics", ()) if isinstance(one, Diagnostic)]}


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _packed(value: object, arrays: list[np.ndarray]) -> Any:
    """A value as JSON knows it, its arrays put aside; a tuple becomes a list."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Mapping):
        return {"items": [[_packed(key, arrays), _packed(one, arrays)] for key, one in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(one, arrays) for one in value]
    return spelt(value)


def _unpacked(value: object, arrays: list[np.ndarray]) -> Any:
    """The inverse of `_packed`."""
    if isinstance(value, list):
        return [_unpacked(one, arrays) for one in value]
    if isinstance(value, dict) and "array" in value:
        return arrays[value["array"]]
    if isinstance(value, dict):
        return {_unpacked(key, arrays): _unpacked(one, arrays) for key, one in value["items"]}
    return value


def _read(path: Path) -> Value:
    """The value of a measurement's file."""
    with hdf5.opened(path, "measurement") as file:
        if file.attrs.get("format") != FORMAT or file.attrs["version"] != VERSION:
            raise ValueError(f"its format is not {FORMAT!r} {VERSION}")
        group = file.get("arrays", {})
        arrays = [group[str(number)][()] for number in range(len(group))]
        return Value(_unpacked(json.loads(file["value"][()]), arrays), float(file.attrs["seconds"]))
