"""How to repeat a recorded run: a command line, a TOML file, or, for what only Python has, a few lines."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

import tomli_w

import noisysim.devices as devices
from noisysim import learners, tasks
from noisysim.chip import diagnostics, weight_laws, weight_sources
from noisysim.common.fields import parse_spec
from noisysim.common.registry import Registry
from noisysim.common.user_files import split
from noisysim.learners import optimizers
from noisysim.networks import activations, layers
from noisysim.runs import api, callbacks, schedules
from noisysim.runs import config as configuration

USUAL = {name: p.default for name, p in inspect.signature(api.run).parameters.items()}
USUAL |= {"oracle": False, "init": weight_laws.USUAL}
"""Defaults of a run's options; for a learner that needs the oracle the option is written nevertheless."""
_REGISTRIES: dict[str, Registry[Any, Any]] = {
    "device": devices.REGISTRY, "learner": learners.REGISTRY, "optimizer": optimizers.REGISTRY,
    "activation": activations.REGISTRY, "diagnostics": diagnostics.REGISTRY, "schedule": schedules.REGISTRY,
    "callbacks": callbacks.REGISTRY,
}  # fmt: skip
_SINGLE, _SEVERAL = ("schedule",), ("diagnostics", "callbacks")
"""Parts that a run may have, or lack, besides those that every run has one of."""
_FOR_READERS = ("source", "identity", "title")
"""What the record of a part has that no argument of `noisysim.run` needs."""


class Reproduction(NamedTuple):
    """How to repeat a run.

    Attributes
    ----------
    command : str
        For a shell, a line an option; "" where no command can.
    toml : str
        The same for ``noisysim run --config run.toml``, every field written out.
    python : str
        Where neither can: what to write instead.
    notes : list of str
        What else must be the same: files with their hashes, the data.
    """

    command: str
    toml: str
    python: str
    notes: list[str]


def reproduction(config: Mapping[str, Any], out: str = "run.h5") -> Reproduction:
    """What runs a resolved configuration (`noisysim.runs.config.Config.plain`) again.

    Parameters
    ----------
    config : mapping
    out : str
        Name of the result file that it is to write.
    """
    plain = json.loads(json.dumps(config))
    notes = files(plain)
    if unnamed := _only_in_python(plain):
        return Reproduction("", "", _python(plain, unnamed, out), notes)
    arguments = _arguments(plain)
    words = _words(arguments, plain)
    if words is None:  # a path that cannot stand between commas
        command = f"noisysim run --config run.toml --out {shlex.quote(out)}"
    else:
        command = " \\\n  ".join(["noisysim run", *words, _option("out", out)])
    return Reproduction(command, tomli_w.dumps(arguments), "", notes)


def _arguments(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings as arguments of `noisysim.run`: of users' files the hashes, and nothing of what is in them.

    No file is looked for, nor executed.
    """
    plain = {**plain, "activation": _activation(plain), "task": _brief(plain["task"])}
    plain.pop("activations", None)
    if "loss_part" in plain["task"]:
        plain["task"]["loss_part"] = _brief(plain["task"]["loss_part"])
    for kind in ("device", "learner", "optimizer", "activation", *_SINGLE):
        if kind in plain:
            plain[kind] = _brief(plain[kind])
    for kind in _SEVERAL:
        if kind in plain:
            plain[kind] = [_brief(one) for one in plain[kind]]
    if "validation" in plain:
        plain["validation"] = plain["validation"]["share"]
    return configuration.rerunnable(plain)


def _brief(described: object) -> object:
    """A part without what is for readers only; the name of one of the package's own stays one."""
    return {k: v for k, v in described.items() if k not in _FOR_READERS} if isinstance(described, dict) else described


def _activation(plain: Mapping[str, Any]) -> Any:
    """The record of the network's activation function, or its name if it is the package's own."""
    own = {one["name"]: one for one in plain.get("activations", [])}
    return own.get(plain["activation"], plain["activation"])


def _only_in_python(config: dict[str, Any]) -> list[str]:
    """The arguments that cannot be named: arrays, and objects that a user made."""
    task, names = config["task"], []
    if not _is_named(task, _is_task(task["name"])):
        names.append("task")
    if "loss_part" in task and not _is_named(task["loss_part"]):
        names.append("loss")
    single = ("learner", "optimizer", *(kind for kind in _SINGLE if kind in config))
    names += [n for n in single if not _is_named(config[n], config[n]["name"] in _known(n))]
    if "share" not in config.get("validation", {"share": 1}):
        names.append("validation")
    if any(not _is_named(one) for one in config.get("activations", [])):
        names.append("activation")
    for kind in _SEVERAL:
        if any(not _is_named(one, one["name"] in _known(kind)) for one in config.get(kind, [])):
            names.append(kind)
    if config["device"]["name"].startswith("__main__."):
        names.append("device")
    init = config["init"]
    if isinstance(init, dict) and ("path" not in init or weight_sources.SETTINGS in init):
        names.append("init")
    return names


def _is_named(described: Mapping[str, Any], known: bool = False) -> bool:
    """Whether a name finds a part: of a file, of an installed package, or one that is known; of an object it does not.

    An object of a user's class may have the name of a part that is known.
    """
    return "source" in described or (known and "identity" not in described)


def _known(kind: str) -> list[str]:
    return _REGISTRIES[kind].names()


def _is_task(name: str) -> bool:
    return name in tasks.names() or tasks.file_spec(name) is not None


def _python(config: dict[str, Any], unnamed: list[str], out: str) -> str:
    """A script, in which ``...`` stands for what its reader has to fill in."""
    lines = ["import noisysim", "", f"config = noisysim.load({out!r}).config"]
    if "activations" in config:
        lines.append("del config['activations']  # records of code")
    if "loss" in unnamed:
        lines.append(f"config['task']['settings']['loss'] = ...  # the loss {_short(config['task']['loss'])}")
    if config["task"]["name"] == "arrays":
        lines.append("arrays = ...  # the same: (x_train, y_train, x_test, y_test), (x, y) or a frame")
        settings = "seed=config['seed'], **config['task']['settings']"
        lines.append(f"config['task'] = noisysim.tasks.get(arrays, {settings})")
    elif "task" in unnamed:
        lines.append(f"config['task'] = ...  # the same task, {_short(config['task']['name'])}")
    else:
        lines.append("config['task'] = {'name': config['task']['name'], **config['task']['settings']}")
    for name in ("learner", "optimizer", *_SINGLE):
        if name in unnamed:
            lines.append(f"config[{name!r}] = ...  # {_short(config[name]['name'])}, with the settings listed above")
    if "activation" in unnamed:
        lines.append(f"config['activation'] = ...  # {_short(config['activation'])}")
    if "validation" in unnamed:
        lines.append("config['validation'] = ...  # the same arrays (x, y)")
    for name in _SEVERAL:
        if name in unnamed:
            lines.append(f"config[{name!r}] = [...]  # with your own among them")
    if "device" in unnamed:
        called = _short(config["device"]["name"])
        device = "noisysim.devices.get_recorded(config['device'], ...)"
        lines.append(f"config['device'] = {device}  # an instance of {called}")
    if "init" in unnamed:
        lines.append(f"config['init'] = ...  # the same weights, {weight_sources.title(config['init'])}")
    return "\n".join([*lines, "noisysim.run(**config)"])


def _short(name: str) -> str:
    return " ".join(str(name).split())


def files(config: dict[str, Any]) -> list[str]:
    """The files and the data of a run, and the checksums that identify them."""
    device, task = config["device"], config["task"]
    parts = [("Device", device), *((kind.capitalize(), config[kind]) for kind in ("learner", "optimizer"))]
    parts += [("Activation function", one) for one in config.get("activations", [])]
    parts += [("Schedule", config.get("schedule", {}))]
    parts += [(kind[:-1].capitalize(), one) for kind in _SEVERAL for one in config.get(kind, [])]
    parts += [("Task", task), ("Loss", task.get("loss_part", {}))]
    sentences = [f"{kind} {one['name']}, SHA-256 {one['sha256']}." for kind, one in parts if "sha256" in one]
    for field in (name.removesuffix("_sha256") for name in device if name.endswith("_sha256")):
        sentences.append(f"Data file of the device {device[field]}, SHA-256 {device[field + '_sha256']}.")
    if isinstance(init := config["init"], dict):
        sentences.append(f"Initial weights: {weight_sources.title(init)}, SHA-256 {init['sha256']}.")
    where = "Data of task"
    if "source" not in task and task["name"] not in tasks.names() and _is_task(task["name"]):
        where = "Task file"
    return [*sentences, f"{where} {task['name']}: CRC-32 of the arrays {task['crc32']}."]


# --- words ----------------------------------------------------------------------------------------------------------


def _words(arguments: dict[str, Any], plain: Mapping[str, Any]) -> list[str] | None:
    """The options; None if one of them cannot be written as a word."""
    single = ("device", "learner", "optimizer", *(kind for kind in _SINGLE if kind in plain))
    specs = {kind: _spec(arguments[kind], _usual(kind, plain[kind])) for kind in single}
    specs["task"] = _spec(arguments["task"], _task_defaults(plain["task"]))
    several = {
        kind: [_spec(*pair) for pair in zip(arguments[kind], (_usual(kind, one) for one in plain[kind]), strict=True)]
        for kind in _SEVERAL
        if kind in plain
    }
    in_lists = [word for specs_of_kind in several.values() for word in specs_of_kind]
    if "" in [*specs.values(), *in_lists] or any(word.startswith("-") for word in in_lists):
        return None
    others = {k: v for k, v in arguments.items() if k not in (*specs, "layers", *_SEVERAL)}
    others["activation"] = plain["activation"]
    if isinstance(others["init"], dict):
        others["init"] = others["init"]["path"]
    words = [_option("task", specs["task"]), _layers(arguments["layers"])]
    words += [_option(name, specs[name]) for name in single]
    for name, value in others.items():
        if value != USUAL[name] or name == "seed":
            words.append(_switch(name, value) if isinstance(value, bool) else _option(name, value))
    for kind, of_kind in several.items():
        if of_kind:
            words.append(" ".join([f"--{kind}", *map(shlex.quote, of_kind)]))
    return words


def _option(name: str, value: object) -> str:
    if isinstance(value, list):
        return " ".join([f"--{name}", *(shlex.quote(str(one)) for one in value)])
    word = value if isinstance(value, str) else repr(value)
    flag = f"--{name.replace('_', '-')}"
    return f"{flag}={shlex.quote(word)}" if word.startswith("-") else f"{flag} {shlex.quote(word)}"


def _switch(name: str, value: bool) -> str:
    return f"--{name}" if value else f"--no-{name}"


def _layers(plain: list[Any]) -> str:
    if not plain:  # an option without a word after it would take the next one
        return _option("layers", next(name for name, known in layers.NAMED.items() if not known))
    return _option("layers", plain)


def _spec(described: dict[str, Any], usual: Mapping[str, Any]) -> str:
    """``name:field=value,...`` with the fields that are not at their defaults; "" if that would not be read again."""
    name = str(described["name"])
    settings = {k: v for k, v in described.items() if k != "name" and not k.endswith("sha256")}
    if isinstance(loss := settings.get("loss"), dict):
        settings["loss"] = loss["name"]
    settings = {k: v for k, v in settings.items() if k not in usual or usual[k] != v}
    inside = ",".join(f"{k}={_bare(v)}" for k, v in settings.items())
    spec = f"{name}:{inside}" if settings else name
    is_read = not name.endswith(".py") or split(spec) == (name, inside)
    return spec if is_read and _read(inside) == settings else ""


def _bare(value: object) -> str:
    """A value without quotes where it is read as the same one, else with them."""
    return value if isinstance(value, str) and _read(f"k={value}") == {"k": value} else repr(value)


def _read(inside: str) -> dict[str, Any] | None:
    """The settings that a text of them gives."""
    try:
        return parse_spec(f"x:{inside}")[1]
    except ValueError:
        return None


def _usual(kind: str, described: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the settings of a part are by default; of users' parts none are known, as nothing of them is executed."""
    name, registry = described["name"], _REGISTRIES[kind]
    return registry.defaults(name) if "source" not in described and name in registry.names() else {}


def _task_defaults(described: Mapping[str, Any]) -> Mapping[str, Any]:
    if "source" in described:
        return {}
    cls = tasks.own_settings(described) or tasks.settings(described["name"])
    return dict(getattr(cls, "_field_defaults", {}))
