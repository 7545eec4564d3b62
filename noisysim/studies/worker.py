"""The worker's side: a few runs that differ in seed alone, and their records in plain values."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pickle
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noisysim import tasks
from noisysim.chip.given_weights import Given
from noisysim.common import user_files
from noisysim.runs import api, environment, side_by_side, storage
from noisysim.runs import config as configuration
from noisysim.runs.history import LOOKS, MEASURED, VALIDATED
from noisysim.runs.result import Result
from noisysim.runs.retention import retention
from noisysim.studies.cells import depends_on_seed
from noisysim.tasks import Task
from noisysim.tasks.chance import chance_accuracy, chance_loss


def work(
    cells: Sequence[tuple[str, dict[str, Any]]],
    task: Task | None,
    rule: bytes | None,
    initial: Given | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Execute runs; the record of one that fails says why.

    Parameters
    ----------
    cells : sequence of (str, dict)
        Key and settings of each; of several everything but the seed is the same.
    task : Task or None
        Where the data have no name by which a worker could find them.
    rule : bytes or None
        A learner that has no name by which a worker could find it, pickled.
    initial : Given or None
        The initial weights, unless they follow a law.
    options : dict
        ``data`` (folder), ``threads``, ``keep`` (folder for the runs' own result files, or ``None``), ``retention``
        (seconds after which each run is tested again), ``source`` (hash of the source that is to do it),
        ``announce`` (the topic of Dask's events in which to tell that it begins).

    Returns
    -------
    dict
        ``version`` and ``source`` of the noisysim that is here, and ``records``, one of each run
        (`noisysim.studies.table.Table.put`): none if the source is not the one that was to do it.
    """
    present = {"version": environment.version(), "source": environment.source_hash()}
    if present["source"] != options["source"]:
        return {**present, "records": []}
    _announce(options["announce"], cells[0][0])
    return {**present, "records": _records(cells, task, rule, initial, options)}


def _announce(topic: str, key: str) -> None:
    """Announce that a run begins, and where."""
    import distributed

    place = distributed.get_worker()
    place.log_event(topic, {"key": key, "worker": place.address})


def _records(
    cells: Sequence[tuple[str, dict[str, Any]]],
    task: Task | None,
    rule: bytes | None,
    initial: Given | None,
    options: dict[str, Any],
) -> list[dict[str, Any]]:
    if len(cells) > 1:
        try:
            arguments = _arguments(cells[0][1], task, rule, initial, options["data"])
            seeds = [plain["seed"] for _, plain in cells]
            del arguments["seed"], arguments["chips"]
            results = side_by_side.run_side_by_side(seeds, **arguments, threads=options["threads"], progress=False)
            return [record(key, result, arguments["task"]) for (key, _), result in zip(cells, results, strict=True)]
        except Exception:  # one by one, then: the failure may be one run's
            pass
    return [_alone(key, plain, task, rule, initial, options) for key, plain in cells]


def _alone(
    key: str,
    plain: dict[str, Any],
    task: Task | None,
    rule: bytes | None,
    initial: Given | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    try:
        arguments = _arguments(plain, task, rule, initial, options["data"])
        execution = {"threads": options["threads"]}
        path = None if options["keep"] is None else Path(options["keep"]) / f"{key}.h5"
        learner = None if rule is None else arguments["learner"]
        parts = {"task": arguments["task"], "learner": learner}
        if path is not None and _can_resume(path):
            result = api.resume(path, **parts, **execution, progress=False)
        else:
            result = api.run(**arguments, **execution, out=path, progress=False)
        entry = record(key, result, arguments["task"])
        if options["retention"] and entry["status"] == "finished":
            later = retention(result, options["retention"], **parts, **execution)
            entry["values"].update({f"{n}_after": later[n].tolist() for n in ("test_loss", "test_accuracy")})
        return entry
    except Exception as error:
        return {
            "key": key, "status": "failed", "error": f"{type(error).__name__}: {error}", "values": {},
            "warnings": traceback.format_exc(), "environment": _environment(plain["backend"]),
        }  # fmt: skip


def _can_resume(path: Path) -> bool:
    """Whether a run can be resumed from its result file; a damaged file is put aside."""
    if not path.exists():
        return False
    try:
        storage.read(path)
    except ValueError:
        path.replace(path.with_name(f"{path.name}.damaged"))
        return False
    return True


def _arguments(
    plain: dict[str, Any],
    task: Task | None,
    rule: bytes | None,
    initial: Given | None,
    data: str | os.PathLike[str] | None,
) -> dict[str, Any]:
    """Settings as arguments of `noisysim.run`, the task made: once for all runs of this process that learn it."""
    user_files.place_recorded(plain)
    if task is None:
        spec = configuration.rerunnable(plain)["task"]
        seed = plain["seed"] if depends_on_seed(spec) else 0
        task = _task(json.dumps(spec), None if data is None else os.fspath(data), seed)
        if task.crc32 != plain["task"]["crc32"]:
            raise ValueError(
                f"the data of task {spec['name']!r} are not the same on this worker as where the study began"
            )
    arguments = configuration.with_activations(json.loads(json.dumps(plain)))
    arguments["task"] = task
    if rule is not None:
        arguments["learner"] = pickle.loads(rule)
    if initial is not None:
        arguments["init"] = dataclasses.replace(initial, record=arguments["init"])  # of the weights, not of the run
    return arguments


@functools.lru_cache(maxsize=4)
def _task(spec: str, data: str | None, seed: int) -> Task:
    return tasks.get(json.loads(spec), data=data, seed=seed)


def record(key: str, result: Result, task: tasks.Task) -> dict[str, Any]:
    """The record of a run (`noisysim.studies.table.Table.put`)."""
    values: dict[str, Any] = {"elapsed": result.elapsed, **result.cost}
    values.update(chance_loss=chance_loss(task), chance_accuracy=chance_accuracy(task))
    complete = result.status == "finished" or bool(result.reason)  # or ended by a callback
    for name in (name for name in (*MEASURED, *VALIDATED) if name in result.history):
        column = result.history[name]
        values[f"{name}_by_epoch"] = column.tolist()
        ended = complete and len(column)
        values[name] = column[-1].tolist() if ended else np.full(column.shape[1:], np.nan).tolist()
    for name, looks in result.content["arrays"].get(LOOKS, {}).items():
        values["look_update" if name == "update" else name] = np.asarray(looks).tolist()
    return {
        "key": key, "status": "finished" if complete else result.status,
        "error": "" if complete or not result.warnings else result.warnings[0],
        "warnings": "\n".join(result.warnings), "values": values, "environment": _place(result.environment),
    }  # fmt: skip


@functools.cache
def _environment(backend: str) -> dict[str, Any]:
    return _place(environment.describe(backend))


def _place(described: dict[str, Any]) -> dict[str, Any]:
    """An environment without the time, which is each run's own."""
    return {name: value for name, value in described.items() if name != "started"}
