"""The parts of a recorded run, made again: found by name or file, or passed again and compared with the record."""

from __future__ import annotations

import json
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import noisysim.devices as devices
from noisysim import learners, tasks
from noisysim.chip import diagnostics as all_diagnostics
from noisysim.chip import given_weights
from noisysim.common import identity
from noisysim.common.arguments import argument
from noisysim.common.fields import PATH, shown
from noisysim.common.registry import Registry
from noisysim.common.texts import one_line
from noisysim.common.user_files import split, with_article
from noisysim.learners import optimizers
from noisysim.networks import activations
from noisysim.runs import checkpoint_state, environment, schedules
from noisysim.runs import config as configuration
from noisysim.runs.events import CallbackError
from noisysim.runs.training import Training
from noisysim.tasks.own_settings import OwnSettings, TableSettings

_REGISTRIES: dict[str, Registry[Any, Any]] = {
    "learner": learners.REGISTRY, "optimizer": optimizers.REGISTRY, "activation": activations.REGISTRY,
    "schedule": schedules.REGISTRY,
}  # fmt: skip
"""Of the parts that are given again as they are to `noisysim.run`."""


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
        ``task``, ``device``, ``learner``, ``optimizer``, ``activation``, ``loss`` and ``diagnostics`` as
        `noisysim.resume` takes them, and where the run is to learn more ``schedule``, ``validation`` and ``callbacks``:
        elsewhere they are left out.
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
            f"{name} was begun with other source than this, whose numbers may differ: {source}; "
            f"{argument('allow_other_source=True')} resumes it all the same"
        )
    begun = _without_hashes(stored) if allow_other_source else stored
    activation = _network_activation(begun)
    if parts["activation"] is not None:  # the recorded one is not looked for
        layers_own = [one for one in begun.get("activations", []) if one["name"] != stored["activation"]]
        begun = {**begun, "activations": layers_own}
    if parts["loss"] is not None:  # likewise
        begun = {**begun, "task": {name: value for name, value in begun["task"].items() if name != "loss_part"}}
    task_given = parts["task"] is not None
    arguments = configuration.with_activations(begun) if task_given else configuration.rerunnable(begun)
    arguments["task"] = _task(name, begun, parts["task"], arguments["task"])
    device = parts["device"]
    arguments["device"] = stored["device"] if device is None else devices.get_recorded(stored["device"], device)
    for kind in ("learner", "optimizer"):
        arguments[kind] = _replaced(kind, begun[kind], parts[kind])
    if parts["activation"] is not None:
        arguments["activation"] = _replaced("activation", activation, parts["activation"])
    arguments["init"] = given_weights.recorded(stored["init"])  # the weights are in the state
    arguments["diagnostics"] = _diagnostics(begun["diagnostics"], parts["diagnostics"])
    arguments |= _steered(name, begun, parts)
    resolved = configuration.resolve(**arguments, data=data, loss=parts["loss"])
    present = json.loads(json.dumps(resolved.plain()))
    _check_data(name, stored["task"], present["task"])
    notes = _compared(name, stored, present, allow_other_source)
    if "callbacks" in parts and present.get("callbacks") != stored.get("callbacks"):
        notes.append(f"resumed with {_named(present)}; it was begun, or resumed before, with {_named(stored)}")
    if (noted := tuple(stored["task"]["notes"])) != resolved.task.notes:  # of what is settled by now, but was guessed
        loss: Any = resolved.task.loss_function  # which a task takes as well as a name
        resolved.task = replace(resolved.task, notes=noted, loss=loss)
    return resolved, [*notes, *environment.moved(content["environment"])]


def recorded_task(
    stored: Mapping[str, Any], name: str | Path, task: object, data: str | os.PathLike[str] | None
) -> tasks.Task:
    """The task of a recorded run with its data, which must be the run's.

    Parameters
    ----------
    stored : mapping
        The run's configuration.
    name : str or Path
        What messages call the run.
    task : arrays, path or Task
        The data, for a run whose file does not say where they are; ``None`` else.
    data : path or None
        Folder of the data files.
    """
    recorded = None if task is not None else configuration.rerunnable_task(stored["task"])
    found = tasks.get(_task(name, stored, task, recorded), data=data, seed=stored["seed"])
    if found.crc32 != stored["task"]["crc32"]:
        raise _other_data(name, stored["task"]["crc32"], found.crc32)
    return found


def _without_hashes(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings that take files which were edited since, but for the device's."""

    def without(described: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in described.items() if name != "sha256"}

    task = without(stored["task"])
    if "loss_part" in task:
        task["loss_part"] = without(task["loss_part"])
    kinds = ("activations", "diagnostics", *(["callbacks"] if "callbacks" in stored else []))
    several = {kind: list(map(without, stored.get(kind, []))) for kind in kinds}
    single = {kind: without(stored[kind]) for kind in ("learner", "optimizer", "schedule") if kind in stored}
    return {**stored, **several, **single, "task": task}


def _task(name: str | Path, begun: Mapping[str, Any], task: object, recorded: object) -> object:
    """The data as `noisysim.tasks.get` takes them; of arrays, and of a file, with the run's settings."""
    learned = begun["task"]
    _check_form(name, learned, task)
    if tasks.is_in_memory(task) and learned["name"] == "arrays":
        return tasks.get(task, seed=begun["seed"], **configuration.task_settings(learned))
    place = task.get("name") if isinstance(task, Mapping) else task
    if tasks.file_spec(learned["name"]) and (file := tasks.file_spec(place)):
        path, inline = file
        further = {k: v for k, v in task.items() if k != "name"} if isinstance(task, Mapping) else {}
        return {**configuration.task_settings(learned), **inline, **further, "name": path}
    if "source" in learned and isinstance(place, (str, os.PathLike)) and split(os.fspath(place)):
        source, settings = tasks.REGISTRY.parse(task, {})
        record = {"sha256": learned.get("sha256")}  # another file is not executed
        return {**record, **configuration.task_settings(learned), **settings, "name": source}
    return recorded if task is None else task


def _check_form(name: str | Path, learned: Mapping[str, Any], task: object) -> None:
    """Refuse one's own data in a form that has other settings: arrays for a table, a frame for arrays or a file."""
    settings = tasks.own_settings(learned)
    if settings is None:
        return
    in_memory, file = tasks.is_in_memory(task), tasks.file_spec(task)
    of_arrays = isinstance(task, (tuple, list)) or bool(file and not tasks.is_table(file[0]))
    if settings is OwnSettings and not of_arrays and (in_memory or file):
        raise ValueError(f"{name} learned arrays: give them as {argument('task=(x, y, ...)')}, not a table")
    if settings is TableSettings and learned["name"] == "arrays" and (of_arrays or file):
        target = learned["settings"].get("target")
        raise ValueError(
            f"{name} learned a data frame, with target {shown(target)}: give the frame as {argument('task=...')}"
        )
    if settings is TableSettings and learned["name"] != "arrays" and (of_arrays or in_memory):
        raise ValueError(f"{name} learned the table {shown(learned['name'], PATH)}: give its file, if it was moved")


def _replaced(kind: str, recorded: Mapping[str, Any], replacement: object) -> Any:
    """A part as it was recorded, or what was given in its place, with the recorded settings if it has none."""
    if replacement is None:
        return recorded
    name, settings = _REGISTRIES[kind].parse(replacement, {})
    if not isinstance(name, str):
        return replacement
    asked = {k: v for k, v in recorded.items() if k not in identity.RECORD}
    if name.endswith(".py") and "sha256" in recorded:
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


def _steered(name: str | Path, begun: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """What steers the run, as `noisysim.run` takes it: what was recorded, or what was given in its place."""
    if "callbacks" not in parts:
        validation = begun.get("validation")
        left_out: dict[str, Any] = {"schedule": None, "callbacks": []}
        return left_out if validation and "share" in validation else {**left_out, "validation": None}
    steered: dict[str, Any] = {}
    for kind in ("schedule", "validation"):
        if parts[kind] is not None and kind not in begun:
            raise ValueError(f"{name} has no {kind} to be given again: leave {kind} out")
    if parts["schedule"] is not None:
        function = isinstance(parts["schedule"], types.FunctionType)
        given = parts["schedule"] if function else _replaced("schedule", begun["schedule"], parts["schedule"])
        steered["schedule"] = given
    if parts["validation"] is not None:
        if "share" in begun["validation"]:
            raise ValueError(f"{name} is validated on a share of its training data: leave validation out")
        steered["validation"] = parts["validation"]
    if parts["callbacks"] is not None:
        return {**steered, "callbacks": parts["callbacks"]}
    if own := [one["name"] for one in begun.get("callbacks", []) if "identity" in one and "source" not in one]:
        raise ValueError(
            f"{name} has callbacks that were functions or objects of your own, {', '.join(own)}: give all again, "
            "callbacks=[...], or leave them out, callbacks=[]"
        )
    return steered


def _named(plain: Mapping[str, Any]) -> str:
    """The callbacks of a run by name."""
    names = [one["name"] for one in plain.get("callbacks", [])]
    return f"the callbacks {', '.join(names)}" if names else "no callbacks"


def _other_data(name: str | Path, learned: str, present: str) -> ValueError:
    return ValueError(f"{name} was learning other data than these (CRC-32 {learned}, now {present})")


def _check_data(name: str | Path, learned: Mapping[str, Any], present: Mapping[str, Any]) -> None:
    if present["crc32"] != learned["crc32"]:
        raise _other_data(name, learned["crc32"], present["crc32"])
    names = set(learned["settings"]) - {"test"}  # a file that may be elsewhere by now
    if "loss_part" in learned and "loss_part" in present:  # a file may be elsewhere by now; it is compared by its code
        names.discard("loss")
    then, now = learned["settings"], present["settings"]
    if others := [setting for setting in sorted(names) if now.get(setting) != then[setting]]:
        changes = (f"{one} {shown(then[one])}, now {shown(now[one]) if one in now else 'none'}" for one in others)
        raise ValueError(f"{name} was learning with other task settings than these: {'; '.join(changes)}")


def _compared(
    name: str | Path, stored: Mapping[str, Any], present: Mapping[str, Any], allow_other_source: bool
) -> list[str]:
    """Refuse parts that are not the run's; notes on those whose code differs, where that is allowed."""
    notes = []
    for what, before, now in _pairs(stored, present):
        asked, code = identity.differences(before, now)
        if asked:
            raise ValueError(f"{name}: the run's {what} is another: {', '.join(asked)}")
        if code and not allow_other_source:
            raise ValueError(
                f"{name}: the {what} has other code than the run's, in {', '.join(code)}; "
                f"{argument('allow_other_source=True')} resumes it all the same"
            )
        if code:
            notes.append(f"resumed with {with_article(what)} of other code, in {', '.join(code)}")
    return notes


def _pairs(
    stored: Mapping[str, Any], present: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """What messages call each part, with its description in the record and now; the device was compared before."""
    yield "task", _code_of_task(stored["task"]), _code_of_task(present["task"])
    yield "loss", _loss(stored["task"]), _loss(present["task"])
    for kind in ("learner", "optimizer"):
        yield kind, stored[kind], present[kind]
    for kind in ("schedule", "validation"):
        if kind in present:
            yield kind, {"name": "", **stored[kind]}, {"name": "", **present[kind]}
    yield "activation", _network_activation(stored), _network_activation(present)
    recorded = {one["name"]: one for one in stored.get("activations", [])}
    for one in present.get("activations", []):  # those of layers, which are named alike in both
        if one["name"] != present["activation"]:
            yield f"activation {one['name']!r}", recorded.get(one["name"], {"name": one["name"]}), one
    for before, now in zip(stored["diagnostics"], present["diagnostics"], strict=True):
        yield f"diagnostic {before['name']!r}", before, now


def _code_of_task(described: Mapping[str, Any]) -> dict[str, Any]:
    """What tells of the code that made a task; its data and settings are compared by themselves."""
    return {"name": "", **{k: described[k] for k in ("identity", "source", "sha256") if k in described}}


def _loss(described: Mapping[str, Any]) -> Mapping[str, Any]:
    """The loss of a task, by its name alone if it is the package's own."""
    part: Mapping[str, Any] = described.get("loss_part", {"name": described["loss"]})
    return part


def _network_activation(plain: Mapping[str, Any]) -> Mapping[str, Any]:
    """The activation function of layers that name none, by its name alone if it is the package's own."""
    own = {one["name"]: one for one in plain.get("activations", [])}
    recorded: Mapping[str, Any] = own.get(plain["activation"], {"name": plain["activation"]})
    return recorded


def restored(config: configuration.Config, content: dict[str, Any], path: Path | None) -> Training:
    """A recorded run in the state it had."""
    training = Training(config)
    try:
        checkpoint_state.restore(training, content["arrays"])
    except CallbackError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path or 'this run'} holds no complete state to resume from: {one_line(error)}") from None
    return training
