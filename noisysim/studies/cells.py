"""The runs of a study, each resolved and checked before any of them starts."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import os
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from noisysim import learners, tasks
from noisysim.chip.given_weights import Given
from noisysim.common.arguments import argument
from noisysim.common.fields import check, check_names, declared
from noisysim.common.source import text_of_class
from noisysim.learners import Learner
from noisysim.runs import api, callbacks, side_by_side
from noisysim.runs import config as configuration
from noisysim.studies.grids import Plan

DEFAULTS = {n: p.default for n, p in inspect.signature(api.run).parameters.items() if n in configuration.SETTINGS}
"""The settings of a run, which a study may vary, and their defaults."""


class Cell(NamedTuple):
    """One run of a study.

    Attributes
    ----------
    key : str
        A hash of its settings, the data included: runs with the same key have the same result.
    plain : dict
        Its settings (`noisysim.runs.config.Config.plain`).
    group : tuple
        What it shares with the runs that differ from it in seed alone.
    """

    key: str
    plain: dict[str, Any]
    group: tuple[int, ...]


class Cells:
    """Every run of a study.

    Parameters
    ----------
    plan : Plan
    data : path, optional
        Folder of the data files.
    retention : sequence of float
        Seconds after which each run's chip is tested again.

    Attributes
    ----------
    cells : list of Cell
    arrays : dict
        By CRC-32, the tasks whose data no worker can find by a name.
    rules : dict
        By hash, the learners that no worker can find by a name, pickled with their code.
    weights : dict
        By hash, the initial weights that were given.

    Raises
    ------
    ValueError, TypeError, OSError
        For the first run that `noisysim.run` would refuse.
    """

    def __init__(self, plan: Plan, data: str | os.PathLike[str] | None = None, retention: Sequence[float] = ()):
        check_names("sweep", plan.arguments, DEFAULTS)
        self.arrays: dict[str, Any] = {}
        self.rules: dict[str, bytes] = {}
        self.weights: dict[str, Given] = {}
        self._data, self._further = data, {"retention": list(retention)} if retention else {}
        self._tasks: dict[str, Any] = {}
        self._resolved: dict[tuple[tuple[int, ...], int | None], dict[str, Any]] = {}
        self._configs: dict[tuple[int, ...], configuration.Config] = {}
        self.cells = [self._cell(plan, point) for point in plan.points()]
        if len({cell.key for cell in self.cells}) < len(self.cells):
            raise ValueError(
                "two runs of this study have the same settings: does an axis list a default and its value?"
            )
        chips = {cell.plain["chips"] for cell in self.cells}
        if len(chips) > 1:
            raise ValueError("chips must be the same in all runs of a study")

    def _cell(self, plan: Plan, point: Mapping[str, int]) -> Cell:
        arguments = {**DEFAULTS, **plan.at(point)}
        seed = check("run", "seed", arguments["seed"], declared(configuration.Config)["seed"])
        group = tuple(at for axis, at in point.items() if axis != "seed")
        task, seeded = self._task(arguments["task"], seed)
        _check_steering(arguments)
        shared = (group, seed if seeded else None)
        if shared not in self._resolved:
            config = configuration.resolve(**{**arguments, "task": task}, data=None)
            if isinstance(config.init, Given):  # one copy of its arrays
                record = config.init.record
                shared_init = self.weights.setdefault(record["sha256"], config.init)
                config = dataclasses.replace(config, init=dataclasses.replace(shared_init, record=record))
            self._configs[group] = config
            resolved = config.plain()
            resolved["learner"].pop("identity", None)  # its hash tells it apart, for any version of Python
            resolved["learner"].update(self._describe_unnamed(config.learner))
            if resolved["device"]["name"].startswith("__main__."):
                raise ValueError(
                    f"device {resolved['device']['name'][9:]!r} was made in a script or a notebook, where the workers "
                    "of a study cannot find it: put it into a file of its own, and give the file's path"
                )
            self._resolved[shared] = resolved
        plain = {**self._resolved[shared], "seed": seed}
        return Cell(key({**plain, **self._further}), plain, group)

    def is_faster_side_by_side(self, cell: Cell, seeds: int) -> bool:
        """Whether `seeds` runs that differ from this one in seed alone are faster side by side."""
        return side_by_side.is_faster_side_by_side(self._configs[cell.group], seeds)

    def _describe_unnamed(self, learner: Learner) -> dict[str, str]:
        """For a learner that is neither built in nor from a file, a hash that identifies it to workers."""
        cls = type(learner)
        if cls in learners.LEARNERS.values() or "source" in learners.describe(learner):
            return {}
        import cloudpickle

        module = sys.modules[cls.__module__]
        by_value = cls.__module__ != "__main__"  # what it is defined beside goes with it: a worker may not have it
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        try:
            pickled = cloudpickle.dumps(learner)
        finally:
            if by_value:
                cloudpickle.unregister_pickle_by_value(module)
        try:
            source = text_of_class(cls)
        except OSError:  # typed at a prompt
            source = ""
        digest = hashlib.sha256(f"{source}{learner!r}".encode()).hexdigest()
        self.rules[digest] = pickled
        return {"sha256": digest}

    def _task(self, spec: Any, seed: int) -> tuple[Any, bool]:
        """The task, made once, and whether its data depend on the seed."""
        by_name = (isinstance(spec, (str, Mapping)) or hasattr(spec, "__fspath__")) and not tasks.is_in_memory(spec)
        seeded = not isinstance(spec, tasks.Task) and depends_on_seed(spec)
        identity = f"{spec if by_name else id(spec)}/{seed if seeded else ''}"
        if identity not in self._tasks:
            self._tasks[identity] = tasks.get(spec, data=self._data, seed=seed)
            if not by_name:
                self.arrays[self._tasks[identity].crc32] = self._tasks[identity]
        return self._tasks[identity], seeded


def _check_steering(arguments: Mapping[str, Any]) -> None:
    """Refuse what steers a run and cannot be had by each of many: functions, arrays, and one file for all."""
    for spec in arguments["callbacks"] or ():
        callback = callbacks.get(spec)
        described = callbacks.describe(callback)
        if "identity" in described and "source" not in described:
            raise ValueError(
                f"callback {described['name']!r} is a function or object of your own, which the workers of a study "
                "cannot find: put it into a file of its own, and give the file's path"
            )
        if any(one.file for one in callbacks.REGISTRY.fields(described["name"]).values()):
            raise ValueError(f"callback {described['name']!r} writes a file, and the runs of a study would share it")
    schedule = arguments["schedule"]
    if isinstance(schedule, types.FunctionType):
        raise ValueError(
            f"schedule {schedule.__name__!r} is a function, which the workers of a study cannot find: put it into a "
            "file, and give the file's path"
        )
    if isinstance(arguments["validation"], (tuple, list, np.ndarray)):
        raise ValueError(
            "the runs of a study are validated on a share of the training data, such as " + argument("validation=0.1")
        )


def depends_on_seed(spec: object) -> bool:
    """Whether a task's data, or their noise, are drawn by the run's seed; in doubt they are."""
    name = str(spec.get("name", "") if isinstance(spec, Mapping) else spec) if isinstance(spec, (str, Mapping)) else ""
    return name.partition(":")[0] not in set(tasks.TASKS) - {"student-teacher", "autoencoding"}


def key(plain: Mapping[str, Any]) -> str:
    """A hash of a run's settings."""
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=10).hexdigest()


def flat(plain: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted names: ``{"device.adc_bits": 8}``."""
    flattened: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, Mapping) and value:
            flattened.update(flat(value, f"{above}{name}."))
        else:
            flattened[f"{above}{name}"] = value
    return flattened


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`."""
    settings: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        within = settings
        for part in path:
            within = within.setdefault(part, {})
        within[last] = value
    return settings


def split_shared(many: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What several settings share, flat, and what else each has, flat."""
    flats = [flat(settings) for settings in many]
    shared = {name: value for name, value in flats[0].items() if all(f.get(name, many) == value for f in flats[1:])}
    return shared, [{name: value for name, value in f.items() if name not in shared} for f in flats]
