"""What a recorded run was made of, made anew: found by name or file, or given again and compared with the record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import noisysim.devices as devices
from noisysim import tasks
from noisysim.chip import diagnostics as all_diagnostics
from noisysim.common import identity
from noisysim.learners import files as learner_files
from noisysim.runs import config as configuration
from noisysim.runs import environment

FLAG = "allow_other_source=True (--allow-other-source)"


def taken_up(
    content: Mapping[str, Any], path: Path | None, parts: Mapping[str, Any], data: Any, allow_other_source: bool
) -> tuple[configuration.Config, list[str]]:
    """The settings of a recorded run, with its data and its parts, which must be the same, at hand again.

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
        What is other than where the run began.

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
    given = dict(stored) if parts["task"] is not None else configuration.rerunnable(stored)
    given["task"] = _task(stored, parts["task"], given["task"])
    device = parts["device"]
    given["device"] = stored["device"] if device is None else devices.again(stored["device"], device)
    for kind in ("learner", "optimizer"):
        given[kind] = _again(stored[kind], parts[kind], allow_other_source)
    given["diagnostics"] = _diagnostics(stored["diagnostics"], parts["diagnostics"])
    resolved = configuration.resolve(**given, data=data)
    _check_data(name, stored["task"], resolved.task.describe())
    notes = _compared(name, stored, resolved.plain(), allow_other_source)
    return resolved, [*notes, *environment.moved(content["environment"])]


def _task(stored: Mapping[str, Any], task: Any, recorded: Any) -> Any:
    """The data as `noisysim.tasks.get` takes them; of arrays with the run's settings."""
    learned = stored["task"]
    if isinstance(task, (tuple, list)) and learned["name"] == "arrays":
        return tasks.get(task, seed=stored["seed"], **learned["settings"])
    return recorded if task is None else task


def _again(recorded: Mapping[str, Any], given: Any, allow_other_source: bool) -> Any:
    """A part as it was recorded, or what was given in its place, with the recorded settings if it has none."""
    if given is None:
        return recorded
    name, settings = learner_files.apart(given, {})
    if not isinstance(name, str):
        return given
    asked = {k: v for k, v in recorded.items() if k not in identity.RECORD}
    if name.endswith(".py") and "sha256" in recorded and not allow_other_source:
        asked["sha256"] = recorded["sha256"]  # another file is not executed
    elif not name.endswith(".py") and name != recorded["name"]:
        asked = {}
    return {**asked, **settings, "name": name}


def _diagnostics(recorded: Sequence[Mapping[str, Any]], given: Any) -> list[Any]:
    """The run's diagnostics; those given stand for the recorded ones of their names."""
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise TypeError(f"diagnostics must be a list of those of the run that are your own, not {given!r}")
    own = {one.name: one for one in map(all_diagnostics.get, given)}
    names = [one["name"] for one in recorded]
    if unknown := sorted(set(own) - set(names)):
        raise ValueError(f"the run has no diagnostic {unknown[0]!r}: it has {', '.join(names) or 'none'}")
    return [own.get(one["name"], one) for one in recorded]


def _check_data(name: Any, learned: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    if found["crc32"] != learned["crc32"]:
        raise ValueError(f"{name} was learning other data than these (CRC-32 {learned['crc32']}, now {found['crc32']})")
    if any(found["settings"].get(setting) != value for setting, value in learned["settings"].items()):
        raise ValueError(f"{name} was learning with task settings {learned['settings']}, not {found['settings']}")


def _compared(name: Any, stored: Mapping[str, Any], plain: Mapping[str, Any], allow_other_source: bool) -> list[str]:
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
