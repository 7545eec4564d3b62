"""How to repeat a recorded run: a command line, a TOML file, or, for what only Python has, a few lines."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

import tomli_w

import noisysim.devices as devices
from noisysim import learners, tasks
from noisysim.chip import diagnostics
from noisysim.common.fields import parse_spec
from noisysim.learners import optimizers
from noisysim.networks import layers
from noisysim.runs import api
from noisysim.runs import config as configuration
from noisysim.tasks import own

USUAL = {**{name: p.default for name, p in inspect.signature(api.run).parameters.items()}, "oracle": False}
"""Defaults of a run's options; for a learner that needs the oracle the option is written nevertheless."""
_KINDS: dict[str, Mapping[str, type]] = {"learner": learners.LEARNERS, "optimizer": optimizers.OPTIMIZERS}


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
    arguments = configuration.rerunnable(plain)
    arguments["device"] = {k: v for k, v in arguments["device"].items() if k != "source"}
    words = _words(arguments, plain["task"])
    if words is None:  # a path that cannot stand between commas
        command = f"noisysim run --config run.toml --out {shlex.quote(out)}"
    else:
        command = " \\\n  ".join(["noisysim run", *words, _option("out", out)])
    return Reproduction(command, tomli_w.dumps(arguments), "", notes)


def _only_in_python(config: dict[str, Any]) -> list[str]:
    """The arguments that cannot be named: arrays, and objects of classes that a user wrote."""
    names = [] if _is_task(config["task"]["name"]) and not _is_own(config["task"]) else ["task"]
    names += [name for name, known in _KINDS.items() if config[name]["name"] not in known or _is_own(config[name])]
    if any(one["name"] not in diagnostics.DIAGNOSTICS or _is_own(one) for one in config["diagnostics"]):
        names.append("diagnostics")
    if config["device"]["name"].startswith("__main__."):
        names.append("device")
    return names


def _is_own(described: Mapping[str, Any]) -> bool:
    """Whether a part was an object of a user's class, which may have the name of a built-in one."""
    return "identity" in described


def _is_task(name: str) -> bool:
    return name in tasks.names() or name.lower().endswith((".h5", ".hdf5"))


def _python(config: dict[str, Any], unnamed: list[str], out: str) -> str:
    """A script, in which ``...`` stands for what its reader has to fill in."""
    lines = ["import noisysim", "", f"config = noisysim.load({out!r}).config"]
    if config["task"]["name"] == "arrays":
        lines.append("arrays = ...  # the same: (x_train, y_train, x_test, y_test) or (x, y)")
        settings = "seed=config['seed'], **config['task']['settings']"
        lines.append(f"config['task'] = noisysim.tasks.get(arrays, {settings})")
    elif "task" in unnamed:
        lines.append(f"config['task'] = ...  # the same task, {_short(config['task']['name'])}")
    else:
        lines.append("config['task'] = {'name': config['task']['name'], **config['task']['settings']}")
    for name in ("learner", "optimizer"):
        if name in unnamed:
            lines.append(f"config[{name!r}] = ...  # {_short(config[name]['name'])}, with the settings listed above")
    if "diagnostics" in unnamed:
        lines.append("config['diagnostics'] = [...]  # with your own among them")
    if "device" in unnamed:
        called = _short(config["device"]["name"])
        device = "noisysim.devices.get_recorded(config['device'], ...)"
        lines.append(f"config['device'] = {device}  # an instance of {called}")
    return "\n".join([*lines, "noisysim.run(**config)"])


def _short(name: str) -> str:
    return " ".join(str(name).split())


def files(config: dict[str, Any]) -> list[str]:
    """The files and the data of a run, and the checksums that identify them."""
    device, task = config["device"], config["task"]
    sentences = []
    if "sha256" in device:
        sentences.append(f"Device {device['name']}, SHA-256 {device['sha256']}.")
    for field in (name.removesuffix("_sha256") for name in device if name.endswith("_sha256")):
        sentences.append(f"Data file of the device {device[field]}, SHA-256 {device[field + '_sha256']}.")
    where = "Task file" if task["name"] not in tasks.names() and _is_task(task["name"]) else "Data of task"
    return [*sentences, f"{where} {task['name']}: CRC-32 of the arrays {task['crc32']}."]


# --- words ----------------------------------------------------------------------------------------------------------


def _words(arguments: dict[str, Any], task: dict[str, Any]) -> list[str] | None:
    """The options; None if one of them cannot be written as a word."""
    specs = {name: _spec(arguments[name], _defaults(name, arguments[name])) for name in ("device", *_KINDS)}
    specs["task"] = _spec(arguments["task"], _task_defaults(task["name"]))
    watched = [_spec(one, _fields(diagnostics.DIAGNOSTICS[one["name"]])) for one in arguments["diagnostics"]]
    if "" in [*specs.values(), *watched]:
        return None
    plain = {k: v for k, v in arguments.items() if k not in (*specs, "layers", "diagnostics")}
    words = [_option("task", specs["task"]), _layers(arguments["layers"])]
    words += [_option(name, specs[name]) for name in ("device", "learner", "optimizer")]
    for name, value in plain.items():
        if value != USUAL[name] or name == "seed":
            words.append(_switch(name, value) if isinstance(value, bool) else _option(name, value))
    if watched:
        words.append(" ".join(["--diagnostics", *map(shlex.quote, watched)]))
    return words


def _option(name: str, value: object) -> str:
    word = value if isinstance(value, str) else repr(value)
    flag = f"--{name.replace('_', '-')}"
    return f"{flag}={shlex.quote(word)}" if word.startswith("-") else f"{flag} {shlex.quote(word)}"


def _switch(name: str, value: bool) -> str:
    return f"--{name}" if value else f"--no-{name}"


def _layers(plain: list[Any]) -> str:
    if not plain:  # an option without a word after it would take the next one
        return _option("layers", next(name for name, known in layers.NAMED.items() if not known))
    return " ".join(["--layers", *(shlex.quote(str(one)) for one in plain)])


def _spec(described: dict[str, Any], usual: Mapping[str, Any]) -> str:
    """``name:field=value,...`` with the fields that are not at their defaults; "" if that would not be read again."""
    settings = {k: v for k, v in described.items() if k != "name" and (k not in usual or usual[k] != v)}
    settings = {k: v for k, v in settings.items() if not k.endswith("sha256")}
    if not settings:
        return str(described["name"])
    inside = ",".join(f"{k}={_bare(v)}" for k, v in settings.items())
    return f"{described['name']}:{inside}" if _read(inside) == settings else ""


def _bare(value: object) -> str:
    """A value without quotes where it is read as the same one, else with them."""
    return value if isinstance(value, str) and _read(f"k={value}") == {"k": value} else repr(value)


def _read(inside: str) -> dict[str, Any] | None:
    """The settings that a text of them gives."""
    try:
        return parse_spec(f"x:{inside}")[1]
    except ValueError:
        return None


def _defaults(name: str, described: dict[str, Any]) -> Mapping[str, Any]:
    """What fields of a device, learner or optimizer are by default; of users' devices none are known."""
    if name != "device":
        return _fields(_KINDS[name][described["name"]])
    if described["name"] not in devices.BUILT_IN:
        return {}
    return dict(devices.defaults(devices.kind(described["name"])))


def _fields(cls: type) -> Mapping[str, Any]:
    return {field.name: getattr(cls, field.name) for field in dataclasses.fields(cls)}


def _task_defaults(name: str) -> Mapping[str, Any]:
    cls = tasks.settings(name) if name in tasks.names() else own.OwnSettings
    return dict(getattr(cls, "_field_defaults", {}))
