"""Lists of what there is: devices, learners, tasks and other parts, each also from files of a user's own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cyclopts

from noisysim import devices, learners, tasks
from noisysim.chip import diagnostics
from noisysim.cli.app import app
from noisysim.common.fields import check_settings
from noisysim.common.registry import Registry
from noisysim.compute import losses
from noisysim.learners import optimizers
from noisysim.networks import activations, layers
from noisysim.reporting import plot
from noisysim.runs import callbacks, schedules

devices_app = cyclopts.App(name="devices", help="List devices, or the fields of some, or draw what one does.")
app.command(devices_app)


@devices_app.default
def list_devices(*names: str) -> None:
    """List the devices, or the fields of some.

    Parameters
    ----------
    names : str
        Devices by name, or device files such as my_chip.py. Default: all that have a name.
    """
    _show(devices.REGISTRY, names)


@devices_app.command(name="show")
def show_device(name: str, *, out: Path | None = None, seed: int = 0) -> None:
    """Draw what a device does, as measured on chips of it: transfer curve, noise, errors of writes, pulses, ageing.

    Parameters
    ----------
    name : str
        A device, or a device file, with settings: crossbar:adc_bits=6, my_chip.py.
    out : Path
        Picture file. Default: pcm.png for pcm.
    seed : int
        Of the chips.
    """
    device = devices.get(name)
    target = out or Path(f"{devices.name_of(device)}.png")
    plot.device(device, target, seed)
    print(target)


_LISTS: tuple[tuple[str, Registry[Any, Any], str, str], ...] = (
    ("learners", learners.REGISTRY, "learners, or the settings of some", "my_rule.py"),
    ("optimizers", optimizers.REGISTRY, "optimizers, or the settings of some", "lion.py"),
    ("tasks", tasks.REGISTRY, "tasks, or the settings of some", "my_task.py"),
    ("losses", losses.REGISTRY, "losses", "huber.py"),
    ("activations", activations.REGISTRY, "activation functions", "swish.py"),
    ("diagnostics", diagnostics.REGISTRY, "diagnostics, or the settings of some", "my_probe.py"),
    ("schedules", schedules.REGISTRY, "schedules of the learning rate, or the settings of some", "my_schedule.py"),
    ("callbacks", callbacks.REGISTRY, "callbacks, or the settings of some", "my_callback.py"),
)
"""Commands that list a kind of part and nothing else: name, parts, what is listed, a file that has one."""


def _list_command(name: str, registry: Registry[Any, Any], what: str, file: str) -> Callable[..., None]:
    """A command that lists the parts of a kind; its docstring is its help."""

    def command(*names: str) -> None:
        _show(registry, names)

    command.__doc__ = f"""List the {what}.

    Parameters
    ----------
    names : str
        {name.capitalize()} by name, or files such as {file}. Default: all that have a name.
    """
    return command


for _list in _LISTS:
    app.command(_list_command(*_list), name=_list[0])


@app.command(name="networks")
def list_networks() -> None:
    """List the published networks that ``--layers`` takes by name, with their hidden layers."""
    rows = [(name, str(layers.NAMED[name]), layers.NAMED[name].source) for name in layers.names()]
    print_table(("name", "hidden layers", "source"), rows)


def _show(registry: Registry[Any, Any], names: Sequence[str]) -> None:
    """A table of all parts of a kind, with a line on each; or for each name one of its settings."""
    if not names:
        print_table(("name", "what it is"), [(name, registry.about(name)) for name in registry.names()])
    for number, name in enumerate(names):
        if number:
            print()
        _show_one(registry, name)


def _show_one(registry: Registry[Any, Any], spec: str) -> None:
    """What a part is, and a table of its settings; a spec may set some, which are checked."""
    name, settings = registry.parse(spec, {})
    definition, defaults = registry.definition(name), registry.defaults(name)
    check_settings(f"{registry.kind} {name!r}", settings, registry.fields(name), defaults)
    documented = inspect.getdoc(definition) if isinstance(definition, type) else registry.about(name)
    print((documented or "").partition("\n\nParameters\n")[0])  # the table has these
    rows = []
    for setting, field in registry.fields(name).items():
        allowed = "True or False" if isinstance(defaults[setting], bool) else field.range
        rows.append((setting, repr(defaults[setting]), field.unit, allowed, field.doc))
    if rows:
        print_table(("field", "default", "unit", "allowed", "meaning"), rows)


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print texts as they are: what looks like markup in a third party's description is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
