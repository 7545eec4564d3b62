"""A configuration as tables: every field with its value, default, unit and meaning, those that were changed first."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import noisysim.devices as devices
from noisysim import learners, tasks
from noisysim.chip import diagnostics, weight_sources
from noisysim.common.fields import Field, declared
from noisysim.common.identity import RECORD
from noisysim.common.source import parsed
from noisysim.learners import optimizers
from noisysim.reporting.command import USUAL
from noisysim.runs import api, callbacks, schedules

PARTS = ("task", "device", "learner", "optimizer", "schedule", "diagnostics", "callbacks")
"""Arguments of `noisysim.run` that have fields of their own."""


class Setting(NamedTuple):
    """One field: its value and default as text ("" where none is known), and whether they differ."""

    name: str
    value: str
    default: str
    unit: str
    meaning: str
    changed: bool


class Group(NamedTuple):
    """The fields of one part of a run, those that are not at their defaults first."""

    title: str
    settings: list[Setting]

    @property
    def caption(self) -> str:
        """The caption of a table of those."""
        known = all(s.default for s in self.changed)
        return f"{self.title}: {'what differs from its defaults' if known else 'settings'}"

    @property
    def chosen(self) -> list[Setting]:
        """Those that are not at their defaults or have none that is always the same, and the seed."""
        return [s for s in self.settings if s.changed or not s.default or s.name == "seed"]

    @property
    def changed(self) -> list[Setting]:
        """Those that are not at their defaults, and those whose defaults are not known."""
        return [s for s in self.settings if s.changed]


def groups(config: Mapping[str, Any]) -> list[Group]:
    """A resolved configuration part by part; of a study's, which may lack parts and names, those that it has."""
    task = config.get("task", {})
    all_groups = [
        _device(config.get("device", {})),
        _group("Learner", config.get("learner", {}), learners.LEARNERS),
        _group("Optimizer", config.get("optimizer", {}), optimizers.OPTIMIZERS),
        _group("Schedule", config.get("schedule", {}), schedules.SCHEDULES),
        _part("Task", task.get("settings", {}), task.get("name"), _task(task)),
        *(_group("Diagnostic", one, diagnostics.DIAGNOSTICS) for one in config.get("diagnostics", [])),
        *(_group("Callback", one, callbacks.CALLBACKS) for one in config.get("callbacks", [])),
    ]
    return [group for group in all_groups if group.settings]


def run(config: Mapping[str, Any]) -> Group:
    """The arguments of `noisysim.run` that are no parts of their own."""
    meanings = {name: Field(doc=text) for name, text in _arguments().items()}
    plain = {k: v for k, v in config.items() if k in meanings and k not in PARTS}
    if isinstance(init := plain.pop("init", None), str):
        plain["init"] = init
    elif init is not None and "sha256" in init:  # not a part of what the runs of a study have in common
        plain["init"] = weight_sources.title(init)
    usual = {k: v if USUAL[k] is None else USUAL[k] for k, v in plain.items()}  # None: what task or rule suggest
    group = _fields("Run", plain, usual, meanings)
    return Group(group.title, [s._replace(default="" if USUAL[s.name] is None else s.default) for s in group.settings])


def _arguments() -> dict[str, str]:
    """What each argument of `noisysim.run` is: the first sentence of its docstring."""
    section = (inspect.getdoc(api.run) or "").partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", section, re.MULTILINE)
    return {name: " ".join(text.split()).partition(". ")[0].rstrip(".") for name, text in entries}


def shown(value: object) -> str:
    """A value as a table has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(shown, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items())
    return "none" if value in (None, "") else str(value)


def _group(kind: str, described: Mapping[str, Any], known: Mapping[str, type]) -> Group:
    return _part(kind, described, described.get("name"), known.get(described.get("name", "")))


def _part(kind: str, values: Mapping[str, Any], name: str | None, cls: type | None) -> Group:
    """The fields of an object of a class; of one that is not known their values alone."""
    title = f"{kind} {name}" if name else kind
    if cls is None:
        return _fields(title, values, {}, {})
    specs = declared(cls)
    usual = getattr(cls, "_field_defaults", None) or {name: getattr(cls, name) for name in specs}
    return _fields(title, values, usual, specs)


def _task(recorded: Mapping[str, Any]) -> type | None:
    name = recorded.get("name", "")
    return tasks.settings(name) if name in tasks.names() else tasks.own_settings(recorded)


def _device(described: Mapping[str, Any]) -> Group:
    name = described.get("name", "")
    title = f"Device {name}" if name else "Device"
    if name in devices.BUILT_IN:
        cls = devices.kind(name)
        return _fields(title, described, devices.defaults(cls), declared(cls))
    return _fields(title, described, *_read(described.get("source", "")))


def _fields(title: str, values: Mapping[str, Any], usual: Mapping[str, Any], specs: Mapping[str, Field]) -> Group:
    settings = []
    for name, value in values.items():
        if name in RECORD or name.endswith("_sha256"):
            continue
        spec, changed = specs.get(name, Field()), name not in usual or usual[name] != value
        default = shown(usual[name]) if name in usual else ""
        settings.append(Setting(name, shown(value), default, spec.unit, spec.doc, changed))
    return Group(title, sorted(settings, key=lambda s: not s.changed))


def _read(source: str) -> tuple[dict[str, Any], dict[str, Field]]:
    """Defaults and declarations in the recorded text of a user's device, as far as they are written out.

    The text is read, not executed.
    """
    usual, specs = {}, {}
    for name, annotation, default in _annotated(source):
        try:
            usual[name] = ast.literal_eval(default)
        except (ValueError, TypeError):
            continue
        for call in ast.walk(annotation):
            if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("Field"):
                arguments: dict[Any, ast.expr] = dict(zip(Field._fields, call.args, strict=False))
                arguments.update((keyword.arg, keyword.value) for keyword in call.keywords)
                specs[name] = Field(unit=_text(arguments.get("unit")), doc=_text(arguments.get("doc")))
    return usual, specs


def _annotated(source: str) -> list[tuple[str, ast.expr, ast.expr]]:
    """Name, annotation and default of what a text's NamedTuple classes declare; nothing of a text that is no Python."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return []
    return [
        (line.target.id, line.annotation, line.value)
        for node in tree.body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("NamedTuple") for base in node.bases)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None
    ]


def _text(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
