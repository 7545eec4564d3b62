"""What commands print with ``--json``: one JSON value, in which NaN and infinity are null."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.runs.result import Result

if TYPE_CHECKING:
    from noisysim.runs.deployment import Deployment
    from noisysim.runs.scores import Scores
    from noisysim.studies.study import Study
    from noisysim.studies.tuning import Tuned


def print_json(value: object) -> None:
    """Print a value as JSON, in ASCII, which every terminal and pipe takes."""
    print(json.dumps(plain(value), indent=1, allow_nan=False))


def plain(value: object) -> Any:
    """A value as JSON has it: arrays as lists, paths as texts, and null for numbers that JSON does not have."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


def of_run(result: Result) -> dict[str, Any]:
    """All of a result but the state of its chip."""
    return {
        "kind": "run", "path": result.path, "status": result.status, "reason": result.reason,
        "elapsed": result.elapsed, "clock": result.clock, "config": result.config, "environment": result.environment,
        "history": result.history, "steps": result.steps, "diagnostics": result.diagnostics, "cost": result.cost,
        "notes": result.config["task"].get("notes", []), "warnings": result.warnings,
    }  # fmt: skip


def of_file(content: Result | Study | Deployment) -> dict[str, Any]:
    """All of what a file holds, but for the state of chips."""
    if isinstance(content, Result):
        return of_run(content)
    from noisysim.runs.deployment import Deployment

    return of_deployment(content) if isinstance(content, Deployment) else of_study(content)


def of_scores(scores: Scores) -> dict[str, Any]:
    """All of a test of a trained chip."""
    return {"kind": "scores", **vars(scores)}


def of_deployment(found: Deployment) -> dict[str, Any]:
    """All of a deployment but the network itself."""
    told = {name: value for name, value in vars(found).items() if name not in ("exact", "layers")}
    return {"kind": "deployment", **told, "layers": [vars(layer) for layer in found.layers]}


def of_search(tuned: Tuned) -> dict[str, Any]:
    """The rates that a search found, with the labels of each on the other axes."""
    axes = {str(name): tuned.study.axes[str(name)] for name in tuned.rates.dims}
    rates = [
        {"labels": {name: labels[k] for (name, labels), k in zip(axes.items(), at, strict=True)}, "rate": rate,
         "remark": remark}
        for at, (_, rate, remark) in zip(np.ndindex(tuned.rates.shape), tuned.rows(), strict=True)
    ]  # fmt: skip
    return {"kind": "search", "path": tuned.study.path, "choose": tuned.choose, "rates": rates}


def of_study(study: Study) -> dict[str, Any]:
    """All of a study: what was asked for, and a list of its runs with their labels on each axis."""
    table = study.content
    return {
        "kind": "study", "path": study.path, "axes": study.axes, "arguments": study.arguments, "fixed": study.fixed,
        "counts": study.counts, "environments": study.environments, "seconds": table.seconds,
        "warnings": [{"text": text, "runs": runs} for text, runs in study.warnings()],
        "runs": [_run(study, number) for number in range(len(table.keys))],
    }  # fmt: skip


def _run(study: Study, number: int) -> dict[str, Any]:
    """One run of a study: its labels, how it ended, its configuration, and its values, each a number or a list."""
    table = study.content
    at = np.unravel_index(number, table.shape)
    return {
        "labels": {name: labels[k] for (name, labels), k in zip(study.axes.items(), at, strict=True)},
        "status": table.texts["status"][number], "error": table.texts["error"][number],
        "warnings": str(table.texts["warnings"][number]).splitlines(),
        "environment": table.environment[number], "config": table.plain(number),
        "values": {name: column[number] for name, column in sorted(table.columns.items())},
    }  # fmt: skip
