"""Learners from outside the package: found, loaded, described, and what is wrong with one said before it learns."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from noisysim import learners
from noisysim.common import identity, user_files
from noisysim.common.fields import declared, parse_spec
from noisysim.common.user_files import Origin, UserError, line_of_class, split
from noisysim.learners import Learner

_ORIGINS: dict[type, Origin] = {}
_METHODS: dict[str, tuple[tuple, dict[str, Any]]] = {
    "drives": ((None,) * 3, {}), "update": ((None,) * 3, {"oracle": None, "out": None}),
}  # fmt: skip
"""What a learner has to define, and how it is called."""
_USAGE = {"drives": "drives(self, state, batch_size)", "update": "update(self, state, observations, *, oracle, out)"}


class LearnerError(UserError):
    """What is wrong with a learner that somebody wrote, in one line, with file and line."""


def get(spec: Any, **settings: Any) -> Learner:
    """A checked learner.

    Parameters
    ----------
    spec : str, path, mapping or Learner
        As `noisysim.learners.get` takes it, or the path of a Python file that defines one `Learner`, perhaps with
        settings: ``"my_rule.py:samples=4"``. What `describe` gives is such a mapping: the hash in it is compared.
    **settings
        Fields to set.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For an unknown name or field, a value outside its range, a learner that is none (`LearnerError`), or a file
        that is missing or not the one recorded.
    """
    spec, settings = apart(spec, settings)
    if isinstance(spec, str) and spec.endswith(".py"):
        recorded, _, _ = (settings.pop(name, None) for name in ("sha256", "source", "identity"))
        spec = load(spec, recorded)()
    elif isinstance(spec, Learner) and identity.outside(type(spec)):
        check_class(type(spec), functools.partial(_line, type(spec)))
    return learners.get(spec, **settings)


def apart(spec: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A learner in any of its forms as (name, path or instance, settings)."""
    if isinstance(spec, Mapping) and "name" in spec:
        settings = {**{k: v for k, v in spec.items() if k != "name"}, **settings}
        spec = spec["name"]
    if isinstance(spec, os.PathLike):
        spec = os.fspath(spec)
        if not spec.endswith(".py"):
            raise ValueError(f"a learner file's name ends in .py, not {spec!r}")
    if isinstance(spec, str):
        file = split(spec)
        name, given = parse_spec(f"learner:{file[1]}" if file else spec)
        return file[0] if file else name, {**given, **settings}
    return spec, dict(settings)


def describe(learner: Learner) -> dict[str, Any]:
    """The learner as plain values that `get` takes again.

    Of one from a file its path, source and hash too; of any that is not the package's own its
    `noisysim.common.identity`.
    """
    described = {**learners.describe(learner), **identity.of(learner)}
    if (origin := _ORIGINS.get(type(learner))) is None:
        return described
    return {**described, "name": origin.name, "source": origin.source, "sha256": origin.sha256}


def load(path: str, sha256: str | None = None) -> type[Learner]:
    """The class that a learner file defines; the same source gives the same class.

    Parameters
    ----------
    path : str
    sha256 : str, optional
        Of the file that is meant: another one is not executed.
    """
    try:
        file = user_files.read("learner", path)
    except FileNotFoundError as error:
        if sha256 is None:
            raise
        raise FileNotFoundError(
            f"{error}; if the recorded file was moved, say where it is now: learner='new/place.py'"
        ) from None
    user_files.compare_hash(f"learner file {path!r}", file.sha256, sha256)

    def check(module: types.ModuleType, text: str) -> None:
        cls = _the_class(module, path)
        check_class(cls, functools.partial(line_of_class, text, path))
        learners.get(cls())

    module = user_files.module("learner", file, check, LearnerError)
    cls = _the_class(module, path)
    _ORIGINS[cls] = Origin(path, Path(path).stem, user_files.text_of(module), file.sha256)
    return cls


def _the_class(module: types.ModuleType, path: str) -> type[Learner]:
    own = {
        n: v for n, v in vars(module).items()
        if isinstance(v, type) and v.__module__ == module.__name__ and not n.startswith("_")
    }  # fmt: skip
    found = list(dict.fromkeys(v for v in own.values() if issubclass(v, Learner)))
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(cls.__name__ for cls in found)
        raise LearnerError(f"{path} defines the learners {names}: a learner's file has one (or name others _X)")
    hint = f"; class {next(iter(own))} is none" if own else ""
    raise LearnerError(f"{path} defines no noisysim.learners.Learner{hint}: write class MyRule(Learner)")


# --- what may be wrong with it --------------------------------------------------------------------------------------


def check_class(cls: type[Learner], where: Callable[..., str]) -> None:
    """Refuse a class that cannot learn: without a name or a method, with fields that cannot be set or read.

    Parameters
    ----------
    cls : type
    where : callable
        ``where(cls, name)`` says where the class, or what it calls so, is written.
    """
    if not isinstance(cls.name, str) or not cls.name:
        raise LearnerError(f'{where(cls)}: {cls.__name__} has no name: write name: ClassVar[str] = "my_rule"')
    for method, (arguments, named) in _METHODS.items():
        function = inspect.unwrap(getattr(cls, method))
        if function is getattr(Learner, method):
            raise LearnerError(f"{where(cls)}: {cls.__name__} does not define {_USAGE[method]}")
        try:
            inspect.signature(function).bind(*arguments, **named)
        except (TypeError, ValueError):
            raise LearnerError(f"{where(cls, method)}: {method} must be {_USAGE[method]}") from None
    _check_fields(cls, where)


def _check_fields(cls: type[Learner], where: Callable[..., str]) -> None:
    """Refuse fields without a default, or of a name that the record of a run needs."""
    try:
        own, names = inspect.get_annotations(cls), declared(cls)
    except Exception as error:
        said = user_files.one_line(error)
        raise LearnerError(f"{where(cls)}: an annotation of {cls.__name__} cannot be read: {said}") from None
    if "__dataclass_params__" not in vars(cls) and any("ClassVar" not in str(a) for a in own.values()):
        raise LearnerError(f"{where(cls)}: {cls.__name__} has fields: write @dataclass(frozen=True) above it")
    for name in names:
        if name in identity.RECORD:
            said = f"a field cannot be called {name!r}, which the record of a run needs"
        elif not hasattr(cls, name):
            said = f"field {name!r} has no default"
        else:
            continue
        raise LearnerError(f"{where(cls, name)}: {said}")


def _line(cls: type, _: type, name: str = "") -> str:
    """Where a class, or one of its methods, is written, as far as Python knows."""
    code = getattr(inspect.unwrap(getattr(cls, name, cls)), "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
