"""The runs of a study, each resolved and checked before any of them starts."""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from noisysim import learners, tasks
from noisysim.common.fields import check, check_names, declared
from noisysim.learners import files as learner_files
from noisysim.runs import api
from noisysim.runs import config as configuration
from noisysim.studies.grids import Plan

OF_A_STUDY = ("data", "threads", "out", "overwrite", "checkpoint_seconds", "until", "progress")
"""Arguments of `noisysim.run` that are not a run's own in a study."""
DEFAULTS = {name: p.default for name, p in inspect.signature(api.run).parameters.items() if name not in OF_A_STUDY}
"""The others, and their defaults."""


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

    Raises
    ------
    ValueError, TypeError, OSError
        For the first run that `noisysim.run` would refuse.
    """

    def __init__(self, plan: Plan, data: Any = None, retention: Sequence[float] = ()):
        check_names("sweep", plan.arguments, DEFAULTS)
        self.arrays: dict[str, Any] = {}
        self.rules: dict[str, bytes] = {}
        self._data, self._besides = data, {"retention": list(retention)} if retention else {}
        self._tasks: dict[str, Any] = {}
        self._resolved: dict[tuple, dict[str, Any]] = {}
        self._configs: dict[tuple, configuration.Config] = {}
        self.cells = [self._cell(plan, point) for point in plan.points()]
        if len({cell.key for cell in self.cells}) < len(self.cells):
            raise ValueError(
                "two runs of this study have the same settings: does an axis list a default and its value?"
            )
        chips = {cell.plain["chips"] for cell in self.cells}
        if len(chips) > 1:
            raise ValueError("chips must be the same in all runs of a study")

    def _cell(self, plan: Plan, point: Mapping[str, int]) -> Cell:
        given = {**DEFAULTS, **plan.at(point)}
        seed = check("run", "seed", given["seed"], declared(configuration.Config)["seed"])
        group = tuple(at for axis, at in point.items() if axis != "seed")
        task, seeded = self._task(given["task"], seed)
        once = (group, seed if seeded else None)
        if once not in self._resolved:
            made = self._configs[group] = configuration.resolve(**{**given, "task": task}, data=None)
            resolved = made.plain()
            resolved["learner"].pop("identity", None)  # its hash tells it apart, for any version of Python
            resolved["learner"].update(self._own_rule(made.learner))
            if resolved["device"]["name"].startswith("__main__."):
                raise ValueError(
                    f"device {resolved['device']['name'][9:]!r} was made in a script or a notebook, where the workers "
                    "of a study cannot find it: put it into a file of its own, and give the file's path"
                )
            self._resolved[once] = resolved
        plain = {**self._resolved[once], "seed": seed}
        return Cell(key({**plain, **self._besides}), plain, group)

    def worth_stacking(self, cell: Cell, seeds: int) -> bool:
        """Whether so many seeds of a run are faster side by side."""
        return api.worth_stacking(self._configs[cell.group], seeds)

    def _own_rule(self, learner: Any) -> dict[str, str]:
        """Of a learner that is neither built in nor a file's, a hash by which workers are told of it."""
        cls = type(learner)
        if cls in learners.LEARNERS.values() or learner_files.describe(learner)["name"] != learner.name:
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
            source = inspect.getsource(cls)
        except OSError:  # typed at a prompt
            source = ""
        found = hashlib.sha256(f"{source}{learner!r}".encode()).hexdigest()
        self.rules[found] = pickled
        return {"sha256": found}

    def _task(self, spec: Any, seed: int) -> tuple[Any, bool]:
        """The task, made once, and whether its data depend on the seed."""
        by_name = isinstance(spec, (str, Mapping)) or hasattr(spec, "__fspath__")
        seeded = not isinstance(spec, tasks.Task) and depends_on_seed(spec)
        once = f"{spec if by_name else id(spec)}/{seed if seeded else ''}"
        if once not in self._tasks:
            self._tasks[once] = tasks.get(spec, data=self._data, seed=seed)
            if not by_name:
                self.arrays[self._tasks[once].crc32] = self._tasks[once]
        return self._tasks[once], seeded


def depends_on_seed(spec: Any) -> bool:
    """Whether a task's data, or their noise, are drawn by the run's seed; in doubt they are."""
    name = str(spec["name"] if isinstance(spec, Mapping) else spec) if isinstance(spec, (str, Mapping)) else ""
    return name.partition(":")[0] not in set(tasks.names()) - {"student-teacher", "autoencoding"}


def key(plain: Mapping[str, Any]) -> str:
    """A hash of a run's settings."""
    return hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=10).hexdigest()


def flat(plain: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted names: ``{"device.adc_bits": 8}``."""
    found = {}
    for name, value in plain.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{above}{name}."))
        else:
            found[f"{above}{name}"] = value
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        within = found
        for part in path:
            within = within.setdefault(part, {})
        within[last] = value
    return found


def common(many: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What all of several settings share, flat, and what each has besides, flat."""
    flats = [flat(one) for one in many]
    shared = {name: value for name, value in flats[0].items() if all(f.get(name, many) == value for f in flats[1:])}
    return shared, [{name: value for name, value in f.items() if name not in shared} for f in flats]
