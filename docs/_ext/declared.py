"""Directives that write reference pages from the package's own declarations.

``.. declared:: device pcm``: what a device, learner, task, diagnostic, optimizer, schedule or callback is, and a table
of its fields.
``.. command:: devices show``: the help of a command.
"""

from __future__ import annotations

import dataclasses
import inspect
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from docstrings import escape, plain
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

import noisysim
from noisysim.common.fields import Field, declared


def _device(name: str) -> tuple[Any, type, dict[str, Any]]:
    cls = noisysim.devices.kind(name)
    return cls, cls, noisysim.devices.defaults(cls)


def _task(name: str) -> tuple[Any, type, dict[str, Any]]:
    cls = noisysim.tasks.settings(name)
    return noisysim.tasks.TASKS[name].load, cls, cls._field_defaults  # type: ignore[attr-defined]


def _dataclass(known: Callable[[], dict[str, type]]) -> Callable[[str], tuple[Any, type, dict[str, Any]]]:
    def find(name: str) -> tuple[Any, type, dict[str, Any]]:
        cls: Any = known()[name]
        return cls, cls, {f.name: f.default for f in dataclasses.fields(cls)}

    return find


KINDS: dict[str, Callable[[str], tuple[Any, type, dict[str, Any]]]] = {
    "device": _device,
    "learner": _dataclass(lambda: dict(noisysim.learners.LEARNERS)),
    "task": _task,
    "diagnostic": _dataclass(lambda: dict(noisysim.diagnostics.DIAGNOSTICS)),
    "optimizer": _dataclass(lambda: noisysim.optimizers.OPTIMIZERS),
    "schedule": _dataclass(lambda: dict(noisysim.schedules.SCHEDULES)),
    "callback": _dataclass(lambda: noisysim.callbacks.CALLBACKS),
}
"""What the directive can show: where its docstring is, the class that declares its fields, and their defaults."""


def _allowed(spec: Field, default: Any) -> str:
    if isinstance(default, bool):
        return "True or False"
    return spec.range.removeprefix("a number ") + (f", {spec.unit}" if spec.unit else "")


def _table(cls: type, defaults: dict[str, Any]) -> Iterator[str]:
    """A table of the fields, as reST."""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 20 12 30 38", "")
    rows = [("field", "default", "allowed", "meaning")]
    for name, spec in declared(cls).items():
        said = f"``{defaults[name]!r}``"
        rows.append((f"``{name}``", said, plain(_allowed(spec, defaults[name])), plain(spec.doc)))
    for row in rows:
        yield from (f"   {'*' if k == 0 else ' '} - {text}" for k, text in enumerate(row))
    yield ""


class Declared(SphinxDirective):
    """What something with declared fields is, and the table of them."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        kind, name = self.arguments
        described, cls, defaults = KINDS[kind](name)
        if isinstance(described, type):
            said = [f".. autoclass:: noisysim.{kind}s.{described.__name__}", ""]
        else:
            said = [*escape(inspect.cleandoc(described.__doc__ or "").splitlines()), ""]
        if declared(cls):
            said += _table(cls, defaults)
        self.env.note_dependency(inspect.getfile(cls))
        self.env.note_dependency(__file__)
        return self.parse_text_to_nodes(StringList(said, source=f"{kind} {name}"))


class Command(SphinxDirective):
    """What ``noisysim COMMAND --help`` prints."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        from rich.console import Console

        from noisysim.cli import commands

        for source in [Path(__file__), *Path(commands.__file__).parent.glob("*.py")]:
            self.env.note_dependency(source)
        printed = io.StringIO()
        commands.app.help_print(self.arguments[0].split(), console=Console(file=printed, width=84))
        return [nodes.literal_block(printed.getvalue(), printed.getvalue(), language="none")]


def setup(app: Any) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("declared", Declared)
    app.add_directive("command", Command)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
