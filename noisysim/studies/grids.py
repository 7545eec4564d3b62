"""The grid of a study: arguments of `noisysim.run`, some of which take several values, and the runs that follow.

An argument that takes several values is an axis of the study. ``grid`` makes one of a field of a device (a learner, a
task, an optimizer), ``by`` gives an argument a value for each value of an axis.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from noisysim import devices, learners
from noisysim.chip import weight_sources
from noisysim.common.fields import check_choice, check_names, declared, listed, nearest, shown
from noisysim.learners import optimizers
from noisysim.networks.importing import models
from noisysim.runs import schedules
from noisysim.tasks import Task, is_in_memory

DESCRIBERS = {"device": devices, "learner": learners, "optimizer": optimizers, "schedule": schedules}
"""Modules that make and describe the parts that an argument names."""
LISTS = ("layers", "diagnostics", "callbacks", "frozen")
"""Arguments whose own value is a list: several values are a list of lists."""
TAKEN = ("epoch", "chip", "look", "layer", "seconds", "status", "error", "config", "environment", "elapsed", "warnings")
"""Names in a study's data that are not axes."""
MOST = 1_000_000
"""Runs a study may ask for."""


@dataclasses.dataclass(frozen=True)
class Grid:
    """A part of which some fields take several values; made by `grid`."""

    base: Any
    fields: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class By:
    """A value for each value of an axis; made by `by`."""

    axis: str
    values: Mapping[Any, Any]


def grid(base: Any, **fields: Any) -> Grid:
    """A device, learner, task or optimizer of which some fields take several values: each such field is an axis.

    Parameters
    ----------
    base : str, path, device, learner or list of them
        What has the fields. A list is an axis too.
    **fields
        A value, or a list of values.

    Examples
    --------
    >>> import noisysim
    >>> bits = noisysim.grid("crossbar", adc_bits=[4, 6, 8], line_noise=0.02)
    >>> noisysim.studies.grids.Plan({"device": bits, "seed": range(2)}).axes
    {'adc_bits': [4, 6, 8], 'seed': [0, 1]}
    """
    if not fields:
        raise ValueError("a grid needs fields: grid('crossbar', adc_bits=[4, 6, 8])")
    return Grid(base, fields)


def by(axis: str, values: Mapping[Any, Any] | None = None, **named: Any) -> By:
    """A value of an argument for each value of an axis of the study.

    Parameters
    ----------
    axis : str
        Name of the axis.
    values : mapping
        From the axis's values to the argument's.
    **named
        The same for an axis whose values are names.

    Examples
    --------
    >>> import noisysim
    >>> rates = noisysim.by("learner", danp=3e-3, bp=1e-2)  # learning_rate=rates
    >>> rates.values["bp"]
    0.01
    """
    return By(axis, {**(values or {}), **named})


class Plan:
    """The axes of a study and the arguments of each of its runs.

    Parameters
    ----------
    arguments : mapping
        Of `noisysim.run`: each a value, a list of values, a `Grid` or a `By`.

    Attributes
    ----------
    axes : dict of list
        Labels of each axis's values (numbers or texts), by name, in the order of the arguments.
    shape : tuple of int
        How many values each axis has.
    """

    def __init__(self, arguments: Mapping[str, Any]):
        self.axes: dict[str, list[Any]] = {}
        self._values: dict[str, list[Any]] = {}
        self._makers: dict[str, Any] = {}
        self.arguments = {name: read_argument(name, value) for name, value in arguments.items()}
        for name, value in self.arguments.items():
            if isinstance(value, Grid):
                self._makers[name] = self._grid(name, value)
            elif not isinstance(value, By):
                self._makers[name] = self._plain(name, value)
        for name, value in self.arguments.items():
            if isinstance(value, By):
                self._makers[name] = self._by(name, value)
        if self.size > MOST:
            raise ValueError(f"a study may have {MOST:,} runs at most, not {self.size:,}")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(labels) for labels in self.axes.values())

    @property
    def size(self) -> int:
        """How many runs there are."""
        return math.prod(self.shape)

    def points(self) -> Iterator[dict[str, int]]:
        """The position of each run on every axis; the last axis varies fastest."""
        for index in itertools.product(*map(range, self.shape)):
            yield dict(zip(self.axes, index, strict=True))

    def at(self, point: Mapping[str, int]) -> dict[str, Any]:
        """The arguments of the run at that position."""
        return {name: self._makers[name](point) for name in self.arguments}

    def described(self) -> dict[str, Any]:
        """The arguments as plain values that TOML can hold and a `Plan` takes again."""
        return {name: _described(name, value) for name, value in self.arguments.items() if value is not None}

    def _axis(self, name: str, argument: str, values: Sequence[Any]) -> str:
        """Add an axis; if its name is taken, it is prefixed with the argument's."""
        if name != argument and (name in self.axes or name in self.arguments or name in TAKEN):
            name = f"{argument}_{name}"
        values = list(values[: MOST + 1])
        if not 0 < len(values) <= MOST:
            problem = f"has more than {MOST:,} values" if values else "is an empty list: give it one or more values"
            raise ValueError(f"{name} {problem}")
        labels = _sources(values) if argument == "init" else [label_of(value) for value in values]
        if len({str(label) for label in labels}) < len(labels):
            raise ValueError(f"{name} has a value twice: {listed(labels)}")
        if not all(isinstance(label, (int, float)) for label in labels):
            labels = [str(label) for label in labels]
        self.axes[name], self._values[name] = labels, values
        return name

    def _plain(self, name: str, value: Any) -> Any:
        """A function from a point to an argument that is no grid."""
        if not is_several(name, value):
            return lambda point: value
        axis = self._axis(name, name, value)
        return lambda point: self._values[axis][point[axis]]

    def _grid(self, name: str, value: Grid) -> Any:
        """A function from a point to an argument that is a grid."""
        bases = value.base if is_several(name, value.base) else None
        base_axis = None if bases is None else self._axis(name, name, bases)
        for base in [value.base] if bases is None else bases:
            _check_fields(name, base, value.fields)
        axes = {
            field: self._axis(field, name, values)
            for field, values in value.fields.items()
            if is_several(field, values)
        }

        def make(point: Mapping[str, int]) -> Any:
            base = value.base if base_axis is None else self._values[base_axis][point[base_axis]]
            chosen = {
                field: self._values[axes[field]][point[axes[field]]] if field in axes else fixed
                for field, fixed in value.fields.items()
            }
            if isinstance(base, Mapping):
                return {**base, **chosen}
            return {"name": base, **chosen} if isinstance(base, str) else DESCRIBERS[name].get(base, **chosen)

        return make

    def _by(self, name: str, value: By) -> Any:
        """A function from a point to an argument that depends on an axis."""
        if value.axis not in self.axes:
            near = nearest(str(value.axis), self.axes)
            raise ValueError(f"{name} goes by {shown(value.axis)}, which is no axis{near}")
        by_label = {str(label): chosen for label, chosen in value.values.items()}
        labels = [str(label) for label in self.axes[value.axis]]
        if missing := [label for label in labels if label not in by_label]:
            raise ValueError(f"{name} goes by {shown(value.axis)}, but has no value for {listed(missing)}")
        if unknown := [label for label in by_label if label not in labels]:
            raise ValueError(f"{name} has a value for {shown(unknown[0])}{nearest(unknown[0], labels)}")
        return lambda point: by_label[labels[point[value.axis]]]


def read_argument(name: str, value: object) -> Any:
    """An argument with the forms that TOML knows turned into grids: a table with lists, a table with ``by``."""
    if isinstance(value, Mapping):
        if "by" in value and "name" not in value:
            return By(value["by"], {k: v for k, v in value.items() if k != "by"})
        several = name != "init" and any(is_several(field, values) for field, values in value.items())
        if several and not is_in_memory(value):
            return Grid(value.get("name"), {k: v for k, v in value.items() if k != "name"})
    return value.tolist() if isinstance(value, np.ndarray) and name not in ("task", "init") else value


def is_several(name: str, value: object) -> bool:
    """Whether an argument is a list of values, and not a value that is a list."""
    if isinstance(value, np.ndarray):
        return name not in ("task", "init") and value.ndim == 1
    if not isinstance(value, (list, tuple, range)) or hasattr(value, "_fields"):
        return False
    if name == "init":
        return weight_sources.are_several(value)
    if name == "layers" and len(value) > 1 and all(map(models.is_model, value)):
        return True
    if name in LISTS:
        lists = [isinstance(item, (list, tuple, np.ndarray)) and not hasattr(item, "_fields") for item in value]
        return any(lists) if name == "frozen" else bool(lists) and all(lists)  # beside lists of layers words may stand
    return not (name == "task" and any(isinstance(item, (np.ndarray, list)) for item in value))


def _check_fields(name: str, base: Any, fields: Mapping[str, Any]) -> None:
    """Refuse an argument without fields, and fields that it does not have."""
    if name not in (*DESCRIBERS, "task"):
        raise ValueError(f"{name} has no fields: give it a list of values")
    if name in DESCRIBERS:
        made = DESCRIBERS[name].get(base)
        check_names(f"{name} {label_of(base)!r}", fields, declared(type(made)))


def label_of(value: Any) -> Any:
    """The label of a value: a number or a text itself, anything else by name and changed fields."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return value
    if not isinstance(value, (list, tuple)) and is_in_memory(value):
        return "arrays"
    if isinstance(value, Mapping):
        inside = ",".join(f"{k}={v}" for k, v in value.items() if k != "name")
        return f"{value.get('name')}:{inside}" if inside else str(value.get("name"))
    if isinstance(value, Task):
        return value.name
    if models.is_model(value):
        return str(value)
    if hasattr(value, "_fields"):
        return label_of({"name": devices.name_of(value), **devices.changes(value)})
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        usual = {f.name: f.default for f in dataclasses.fields(value)}
        changed = {n: getattr(value, n) for n in usual if getattr(value, n) != usual[n]}
        return label_of({"name": getattr(value, "name", type(value).__name__), **changed})
    if isinstance(value, (list, tuple)):
        labels = [str(label_of(item)) for item in value]
        return ("," if any(label.startswith("-") for label in labels) else "-").join(labels) or "none"
    return "default" if value is None else str(value)


def _sources(values: Sequence[Any]) -> list[str]:
    """Labels of initial weights: a law itself, the name of a file, unless two have it, anything else by its number."""
    texts = [
        os.fspath(value) if isinstance(value, (str, os.PathLike)) else f"weights {k + 1}"
        for k, value in enumerate(values)
    ]
    names = [os.path.basename(text) for text in texts]
    return names if len(set(names)) == len(names) else texts


def _described(name: str, value: Any) -> Any:
    """An argument in plain values."""
    if isinstance(value, By):
        return {"by": value.axis, **{str(k): _described(name, v) for k, v in value.values.items()}}
    if isinstance(value, Grid):
        fields = {k: _described(k, v) for k, v in value.fields.items()}
        if isinstance(value.base, (str, list, tuple)):
            return {"name": _described(name, value.base), **fields}
        return {**_described(name, value.base), **fields}
    if is_several(name, value):
        return [_described(name, item) for item in value]
    if name in DESCRIBERS and not isinstance(value, (str, Mapping)) and value is not None:
        part = DESCRIBERS[name].get(value)
        described = DESCRIBERS[name].describe(part)
        if any(isinstance(one, list) for one in described.values()):  # which in a table would be an axis
            return DESCRIBERS[name].REGISTRY.text(part)
        return {k: v for k, v in described.items() if k != "source"}
    if isinstance(value, Task):
        return {"name": value.name, **value.settings}
    if name == "task" and is_in_memory(value):
        return "arrays"
    if name == "init" and not isinstance(value, (str, os.PathLike)):
        return dict(value) if isinstance(value, Mapping) and weight_sources.FROM in value else "arrays"
    if name == "layers" and isinstance(value, (list, tuple)):
        from noisysim.networks import layers

        return layers.plain(layers.hidden(list(value)))
    return json.loads(json.dumps(value, default=_plainest))


def _plainest(value: object) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


def at_label(axes: dict[str, list[Any]], name: str, label: object) -> int:
    """The position of a label on an axis."""
    check_choice("axis", name, list(axes))
    positions = [k for k, known in enumerate(axes[name]) if known == label or str(known) == str(label)]
    if not positions:
        raise ValueError(f"axis {name} has no {shown(label)}: it has {listed(axes[name])}")
    return positions[0]
