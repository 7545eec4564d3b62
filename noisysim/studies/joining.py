"""The union of two studies: the axes' values of both, and the runs that either did.

What the union asks for is made of what both ask for, argument by argument; runs are told apart by their keys, as in a
sweep. Those that neither asked for (seeds of one study, learners of the other) are missing, resolved as a sweep would.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from noisysim.common.fields import listed, shown
from noisysim.studies import cells, grids
from noisysim.studies.grids import By, Grid, Plan
from noisysim.studies.table import MISSING, Table

KEEP = ("first", "last")
"""Whose results are taken where both did the same run and found something else."""
_ALIKE = ("elapsed",)
"""What may differ where the same run is done again."""
Run = tuple[Table, int]


def union(first: Table, second: Table, keep: str | None) -> Table:
    """`noisysim.Study.join`."""
    asked, times = _arguments(first, second)
    plan = Plan(asked)
    if set(plan.axes) != set(first.axes):
        raise ValueError(f"these studies cannot be joined: their axes would be {listed(plan.axes)}")
    runs, holes = _runs(plan, first, second)
    resolved = _resolved(plan, times, first.arguments) if holes else []
    keys, settings = [], []
    for number, found in enumerate(runs):
        keys.append(found[0][0].keys[found[0][1]] if found else resolved[number].key)
        settings.append(found[0][0].plain(found[0][1]) if found else resolved[number].plain)
    if len(set(keys)) < len(keys):
        raise ValueError(
            "two runs of the union have the same settings: does a label say what another leaves at its default?"
        )
    arguments = {**plan.described(), **({"retention": times} if times else {})}
    table = Table(plan.axes, arguments, keys, *cells.split_shared(settings), times)
    for number, found in enumerate(runs):
        done = [(study, k) for study, k in found if study.texts["status"][k] != MISSING]
        if done:
            study, k = _chosen(plan, number, done, keep)
            table.put({**study.record(k), "key": keys[number]})
    return table


# --- what is asked for ----------------------------------------------------------------------------------------------


def _arguments(first: Table, second: Table) -> tuple[dict[str, Any], list[float]]:
    """The arguments of the union, and the waits after which its runs are tested again."""
    one, other = dict(first.arguments), dict(second.arguments)
    times, others = one.pop("retention", []), other.pop("retention", [])
    if times != others:
        raise _contradiction("retention", times, others)
    if unlike := set(first.axes) ^ set(second.axes):
        name = min(unlike)
        raise ValueError(
            f"{name} is an axis of one study alone: sweep the other again with a list of one value for it and the same "
            "out (runs that are done stay), and join them then"
        )
    names = dict.fromkeys([*one, *other])
    return {name: _argument(name, one, other, first, second) for name in names if name in one or name in other}, times


def _argument(name: str, one: Mapping[str, Any], other: Mapping[str, Any], first: Table, second: Table) -> Any:
    """One argument of both: lists are joined, everything else must be the same in both."""
    if name in one and name in other:
        mine, yours = (grids.read_argument(name, arguments[name]) for arguments in (one, other))
        if isinstance(mine, (Grid, By)) or grids.is_several(name, mine):
            return _joined(name, mine, yours)
        if not (isinstance(yours, (Grid, By)) or grids.is_several(name, yours)):
            _check_same(name, first, second)
            return mine
        raise _contradiction(name, one[name], other[name])
    given = one if name in one else other
    read = grids.read_argument(name, given[name])
    if isinstance(read, (Grid, By)) or grids.is_several(name, read):
        raise _contradiction(name, one.get(name, "the default"), other.get(name, "the default"))
    _check_same(name, first, second)
    return read


def _joined(name: str, mine: object, yours: object) -> Any:
    """Two grids, two choices by an axis, or two lists of values, as one."""
    if isinstance(mine, By) and isinstance(yours, By):
        clash = [label for label in mine.values if yours.values.get(label, mine.values[label]) != mine.values[label]]
        if mine.axis == yours.axis and not clash:
            return By(mine.axis, {**mine.values, **yours.values})
    elif isinstance(mine, Grid) and isinstance(yours, Grid):
        if mine.fields.keys() == yours.fields.keys():
            fields = {field: _values(field, values, yours.fields[field]) for field, values in mine.fields.items()}
            return Grid(_values(name, mine.base, yours.base), fields)
    elif type(mine) is type(yours):
        return _values(name, mine, yours)
    raise _contradiction(name, mine, yours)


def _values(name: str, mine: object, yours: object) -> Any:
    """The values of two lists, those of numbers rising; or one value that both have."""
    several = [grids.is_several(name, values) for values in (mine, yours)]
    if not any(several) and mine == yours:
        return mine
    if not all(several):
        raise _contradiction(name, mine, yours)
    ours, others = cast("list[Any]", mine), cast("list[Any]", yours)
    labels = [str(grids.label_of(value)) for value in ours]
    joined = [*ours, *(value for value in others if str(grids.label_of(value)) not in labels)]
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in joined)
    return sorted(joined) if numbers else joined


def _check_same(name: str, first: Table, second: Table) -> None:
    """Refuse an argument that is none of the axes' and was resolved to something else in the other study."""
    one, other = (
        {key: value for key, value in study.shared.items() if key == name or key.startswith(f"{name}.")}
        for study in (first, second)
    )
    single = any(len(study.axes.get("seed", [0])) == 1 for study in (first, second))
    by_seed = name == "task" and single and first.arguments.get("task") != "arrays"  # then data may be the seed's
    for key, value in one.items():
        if value != other.get(key, value) and (not by_seed or key.startswith(("task.name", "task.settings"))):
            raise _contradiction(key, value, other[key])


def _contradiction(name: str, mine: object, yours: object) -> ValueError:
    return ValueError(
        f"the studies contradict each other: {name} is {shown(mine)} in one and {shown(yours)} in the other. What "
        "differs must be an axis, a list in both, or go by one (noisysim.by)"
    )


# --- runs -----------------------------------------------------------------------------------------------------------


def _runs(plan: Plan, first: Table, second: Table) -> tuple[list[list[Run]], int]:
    """For each run of the union where it is in either study, and how many are in neither."""
    places = [
        (study, [{str(label): k for k, label in enumerate(study.axes[axis])} for axis in plan.axes], list(study.axes))
        for study in (first, second)
    ]
    runs: list[list[Run]] = []
    for labels in itertools.product(*plan.axes.values()):
        found: list[Run] = []
        for study, known, order in places:
            at = {axis: one.get(str(label)) for axis, one, label in zip(plan.axes, known, labels, strict=True)}
            if None not in at.values():
                index = tuple(at[axis] for axis in order)
                found.append((study, int(np.ravel_multi_index(index, study.shape))))  # type: ignore[arg-type]
        if len(found) == 2:
            _check_settings(dict(zip(plan.axes, labels, strict=True)), *found)
        runs.append(found)
    return runs, sum(not found for found in runs)


def _check_settings(labels: Mapping[str, Any], one: Run, other: Run) -> None:
    """Refuse a run that is in both studies with other settings."""
    if one[0].keys[one[1]] == other[0].keys[other[1]]:
        return
    mine, yours = (cells.flat(study.plain(k)) for study, k in (one, other))
    unlike = [name for name in dict.fromkeys([*mine, *yours]) if mine.get(name) != yours.get(name)]
    said = [f"{name} is {shown(mine.get(name))} and {shown(yours.get(name))}" for name in unlike[:3]]
    raise ValueError(f"the run at {_where(labels)} has other settings in each study: {'; '.join(said)}")


def _resolved(plan: Plan, times: list[float], arguments: Mapping[str, Any]) -> list[cells.Cell]:
    """All runs of the union, as a sweep resolves them: some are in neither study."""
    given = [arguments.get(name) for name in ("task", "init")]
    if any("arrays" in (one if isinstance(one, list) else [one]) for one in given):
        raise ValueError(
            "the union has runs that neither study asked for, and their arrays are not at hand: sweep the seeds and "
            "values of both in each, or in one"
        )
    return cells.Cells(plan, None, times).cells


def _chosen(plan: Plan, number: int, done: list[Run], keep: str | None) -> Run:
    """Whose record is taken: that which finished; of two that did and differ, as the user says."""
    finished = [run for run in done if run[0].texts["status"][run[1]] == "finished"] or done
    if keep is not None:
        return finished[0 if keep == "first" else -1]
    if len(finished) == 2 and (name := _difference(*finished)):
        point = np.unravel_index(number, plan.shape)
        labels = {axis: known[k] for (axis, known), k in zip(plan.axes.items(), point, strict=True)}
        raise ValueError(
            f"both studies did the run at {_where(labels)}, with the same settings, and found another {name}: on other "
            "processors, or with another source of noisysim? join(other, keep='first') or 'last' chooses"
        )
    return finished[0]


def _difference(one: Run, other: Run) -> str:
    """The first variable in which two records of a run differ, "" where there is none."""
    for name in one[0].columns:
        if name in _ALIKE or name not in other[0].columns:
            continue
        mine, yours = (study.columns[name][k] for study, k in (one, other))
        kept = tuple(map(slice, np.minimum(mine.shape, yours.shape)))  # longer columns end in NaN
        if not np.array_equal(mine[kept], yours[kept], equal_nan=True):
            return name
    return ""


def _where(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{axis}={label}" for axis, label in labels.items())
