"""Learners from outside the package: a file of one's own, named by its path; its source is kept for the record."""

from __future__ import annotations

import hashlib
import os
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from noisysim import learners
from noisysim.device_files import split
from noisysim.fields import parse_spec
from noisysim.learners import Learner


class Origin(NamedTuple):
    """A learner's file: its path as it was given, its text and that text's hash."""

    path: str
    source: str
    sha256: str


_ORIGINS: dict[type, Origin] = {}


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
        For an unknown name or field, a value outside its range, a file that is missing, that defines no learner, or
        that is not the one recorded.
    """
    if isinstance(spec, Mapping):
        settings = {**{k: v for k, v in spec.items() if k != "name"}, **settings}
        spec = spec.get("name")
    if isinstance(spec, os.PathLike):
        spec = os.fspath(spec)
    if not isinstance(spec, str) or not (file := split(spec)):
        return learners.get(spec, **settings)
    settings = {**parse_spec(f"learner:{file[1]}")[1], **settings}
    recorded, _ = settings.pop("sha256", None), settings.pop("source", None)
    cls = load(file[0], recorded)
    return learners.get(cls(), **settings)


def describe(learner: Learner) -> dict[str, Any]:
    """The learner as plain values that `get` takes again; of one from a file its path, source and hash too."""
    described = learners.describe(learner)
    if (origin := _ORIGINS.get(type(learner))) is None:
        return described
    return {**described, "name": origin.path, "source": origin.source, "sha256": origin.sha256}


def load(path: str, sha256: str | None = None) -> type[Learner]:
    """The class that a learner file defines; the same source gives the same class.

    Parameters
    ----------
    path : str
    sha256 : str, optional
        Of the file that is meant: another one is not executed.
    """
    place = Path(path).expanduser()
    if not place.is_file():
        raise FileNotFoundError(f"no learner file {path!r} (the working directory is {os.getcwd()!r})")
    content = place.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise ValueError(f"learner file {path!r} is not the one recorded: it was changed since (SHA-256 {found[:12]})")
    name = f"noisysim_learner_{found[:24]}"
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.__file__ = str(place)
        sys.modules[name] = module  # first: dataclasses look their annotations up there
        try:
            exec(compile(content, str(place), "exec", dont_inherit=True), vars(module))
        except BaseException:
            del sys.modules[name]
            raise
    cls = _the_class(sys.modules[name], path)
    _ORIGINS[cls] = Origin(path, content.decode(), found)
    return cls


def _the_class(module: types.ModuleType, path: str) -> type[Learner]:
    found = [
        v for n, v in vars(module).items()
        if isinstance(v, type) and issubclass(v, Learner) and v.__module__ == module.__name__ and not n.startswith("_")
    ]  # fmt: skip
    if len(found) != 1:
        names = " and ".join(cls.__name__ for cls in found)
        raise ValueError(
            f"{path} defines {f'the learners {names}' if found else 'no noisysim.learners.Learner'}: a learner's file "
            "has one (or name others _X)"
        )
    return found[0]
