"""The parts of a recorded run, made again: found by name or file, or passed again and compared with the record."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import noisysim.devices as devices
from noisysim import learners, tasks
from noisysim.chip import diagnostics as all_diagnostics
from noisysim.common import identity
from noisysim.runs import config as configuration
from noisysim.runs import environment

FLAG = "allow_other_source=True (--allow-other-source)"


def recorded_config(
    content: Mapping[str, Any],
    path: Path | None,
    parts: Mapping[str, Any],
    data: str | os.PathLike[str] | None,
    allow_other_source: bool,
) -> tuple[configuration.Config, list[str]]:
    """The configuration of a recorded run, with its data and its parts, which must be the same.

    Parameters
    ----------
    content : mapping
        Of the run's file.
    path : Path or None
    parts : mapping
        ``task``, ``device``, ``learner``, ``optimizer`` and ``diagnostics`` as `noisysim.resume` takes them.
    data : path or None
        Folder of the data files.
    allow_other_source : bool
        Whether the source of noisysim and the code of parts may be others.

    Returns
    -------
    config : Config
    notes : list of str
        What differs from where the run began.

    Raises
    ------
    ValueError
        For whatever is not the run's, saying which and how.
    """
    stored, name = content["config"], path or "this run"
    source = environment.other_source(content["environment"])
    if source and not allow_other_source:
        raise ValueError(
            f"{name} was begun with other source than this, whose numbers may differ: {source}; {FLAG} resumes it "
            "all the same"
        )
    task_given = parts["task"] is not None
    arguments = configuration.with_activations(stored) if task_given else configuration.rerunnable(stored)
    arguments["task"] = _task(stored, parts["task"], arguments["task"])
    device = parts["device"]
    arguments["device"] = stored["device"] if device is None else devices.get_recorded(stored["device"], device)
    for kind in ("learner", "optimizer"):
        arguments[kind] = _replaced(stored[kind], parts[kind], allow_other_source)
    arguments["diagnostics"] = _diagnostics(stored["diagnostics"], parts["diagnostics"])
    resolved = configuration.resolve(**arguments, data=data)
    _check_data(name, stored["task"], resolved.task.describe())
    notes = _compared(name, stored, resolved.plain(), allow_other_source)
    return resolved, [*notes, *environment.moved(content["environment"])]


def _task(stored: Mapping[str, Any], task: Any, recorded: Any) -> Any:
    """The data as `noisysim.tasks.get` takes them; of arrays with the run's settings."""
    learned = stored["task"]
    if isinstance(task, (tuple, list)) and learned["name"] == "arrays":
        return tasks.get(task, seed=stored["seed"], **configuration.task_settings(learned))
    return recorded if task is None else task


def _replaced(recorded: Mapping[str, Any], replacement: object, allow_other_source: bool) -> Any:
    """A part as it was recorded, or what was given in its place, with the recorded settings if it has none."""
    if replacement is None:
        return recorded
    name, settings = learners.REGISTRY.parse(replacement, {})
    if not isinstance(name, str):
        return replacement
    asked = {k: v for k, v in recorded.items() if k not in identity.RECORD}
    if name.endswith(".py") and "sha256" in recorded and not allow_other_source:
        asked["sha256"] = recorded["sha256"]  # another file is not executed
    elif not name.endswith(".py") and name != recorded["name"]:
        asked = {}
    return {**asked, **settings, "name": name}


def _diagnostics(recorded: Sequence[Mapping[str, Any]], replacements: object) -> list[Any]:
    """The run's diagnostics; those given stand for the recorded ones of their names."""
    if isinstance(replacements, (str, Mapping)) or not isinstance(replacements, Sequence):
        raise TypeError(f"diagnostics must be a list of those of the run that are your own, not {replacements!r}")
    by_name = {one.name: one for one in map(all_diagnostics.get, replacements)}
    names = [identity.title(one) for one in recorded]
    if unknown := sorted(set(by_name) - set(names)):
        raise ValueError(f"the run has no diagnostic {unknown[0]!r}: it has {', '.join(names) or 'none'}")
    return [by_name.get(name, one) for name, one in zip(names, recorded, strict=True)]


def _check_data(name: str | Path, learned: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    if present["crc32"] != learned["crc32"]:
        raise ValueError(
            f"{name} was learning other data than these (CRC-32 {learned['crc32']}, now {present['crc32']})"
        )
    if any(present["settings"].get(setting) != value for setting, value in learned["settings"].items()):
        raise ValueError(f"{name} was learning with task settings {learned['settings']}, not {present['settings']}")


def _compared(
    name: str | Path, stored: Mapping[str, Any], plain: Mapping[str, Any], allow_other_source: bool
) -> list[str]:
    """Refuse parts that are not the run's; notes on those whose code differs, where that is allowed."""
    notes = []
    present = json.loads(json.dumps({**plain, "task": {"name": "", **_only_identity(plain["task"])}}))
    recorded = {**stored, "task": {"name": "", **_only_identity(stored["task"])}}
    for kind in ("task", "learner", "optimizer", "diagnostics"):
        before, now = recorded[kind], present[kind]
        pairs = zip(before, now, strict=True) if kind == "diagnostics" else [(before, now)]
        for one, other in pairs:
            what = f"diagnostic {one['name']!r}" if kind == "diagnostics" else kind
            asked, code = identity.differences(one, other)
            if asked:
                raise ValueError(f"{name}: the run's {what} is another: {', '.join(asked)}")
            if code and not allow_other_source:
                raise ValueError(
                    f"{name}: the {what} has other code than the run's, in {', '.join(code)}; {FLAG} resumes it all "
                    "the same"
                )
            if code:
                notes.append(f"resumed with a {what} of other code, in {', '.join(code)}")
    return notes


def _only_identity(described: Mapping[str, Any]) -> dict[str, Any]:
    """What tells of a task's class; its data and settings are compared by themselves."""
    return {k: v for k, v in described.items() if k == "identity"}
