"""Lists of what there is: devices, learners, tasks and other parts, each also from files of a user's own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cyclopts

from noisysim import devices, learners, tasks
from noisysim.chip import diagnostics
from noisysim.cli.app import app
from noisysim.common.fields import check_names
from noisysim.common.registry import Registry
from noisysim.compute import losses
from noisysim.learners import optimizers
from noisysim.networks import activations, layers
from noisysim.reporting import plot

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


@app.command(name="learners")
def list_learners(*names: str) -> None:
    """List the learners, or the settings of some.

    Parameters
    ----------
    names : str
        Learners by name, or files such as my_rule.py. Default: all that have a name.
    """
    _show(learners.REGISTRY, names)


@app.command(name="optimizers")
def list_optimizers(*names: str) -> None:
    """List the optimizers, or the settings of some.

    Parameters
    ----------
    names : str
        Optimizers by name, or files such as lion.py. Default: all that have a name.
    """
    _show(optimizers.REGISTRY, names)


@app.command(name="tasks")
def list_tasks(*names: str) -> None:
    """List the tasks, or the settings of some.

    Parameters
    ----------
    names : str
        Tasks by name, or files such as my_task.py. Default: all that have a name.
    """
    _show(tasks.REGISTRY, names)


@app.command(name="losses")
def list_losses(*names: str) -> None:
    """List the losses.

    Parameters
    ----------
    names : str
        Losses by name, or files such as huber.py. Default: all that have a name.
    """
    _show(losses.REGISTRY, names)


@app.command(name="activations")
def list_activations(*names: str) -> None:
    """List the activation functions.

    Parameters
    ----------
    names : str
        Activations by name, or files such as swish.py. Default: all that have a name.
    """
    _show(activations.REGISTRY, names)


@app.command(name="diagnostics")
def list_diagnostics(*names: str) -> None:
    """List the diagnostics, or the settings of some.

    Parameters
    ----------
    names : str
        Diagnostics by name, or files such as my_probe.py. Default: all that have a name.
    """
    _show(diagnostics.REGISTRY, names)


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
    """What a part is, and a table of its settings; a spec may set some, whose names are checked."""
    name, settings = registry.parse(spec, {})
    check_names(f"{registry.kind} {name!r}", settings, registry.fields(name))
    definition, defaults = registry.definition(name), registry.defaults(name)
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
