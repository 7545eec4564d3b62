"""Lists of what there is: devices, learners, tasks and other parts, each also from files of a user's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from noisysim import devices, learners, tasks
from noisysim.chip import diagnostics
from noisysim.cli.app import Json, Out, app
from noisysim.cli.entries import Entry, entry, overview
from noisysim.cli.json_output import print_json
from noisysim.common.registry import Registry
from noisysim.common.writing import beside
from noisysim.compute import losses
from noisysim.learners import optimizers
from noisysim.networks import activations
from noisysim.reporting import plot
from noisysim.runs import callbacks, schedules

Every = Annotated[bool, cyclopts.Parameter(name="--all", negative="", help="List also what is at its default.")]

devices_app = cyclopts.App(name="devices", help="List devices, or the fields of some, or draw what one does.")
app.command(devices_app)


@devices_app.default
def list_devices(*names: str, every: Every = False, json: Json = False) -> None:
    """List the devices, or the fields of some.

    Of a preset, and of a device with settings, the fields are listed that are not at their defaults.

    Parameters
    ----------
    names : str
        Devices or presets by name, or files such as my_chip.py or my_fit.toml, perhaps with settings,
        crossbar:adc_bits=6. Default: all that have a name.
    """
    _show(devices.REGISTRY, names, every, json)
    if not names and not json:
        found = [devices.presets.read(devices.presets.FOLDER / f"{name}.toml") for name in devices.presets.names()]
        print()
        print_table(("preset", "device", "what it is"), [(p.name, p.model, p.about) for p in found])


@devices_app.command(name="show")
def show_device(name: str, *, out: Out = None, seed: int = 0) -> None:
    """Draw what a device does, as measured on chips of it: transfer curve, noise, errors of writes, pulses, ageing.

    Parameters
    ----------
    name : str
        A device or a preset, by name or file, with settings: crossbar:adc_bits=6, ecram, my_chip.py, my_fit.toml.
    out : Path
        Picture file. Default: pcm.png for pcm.
    seed : int
        Of the chips.
    """
    device, preset = devices.get(name), devices.REGISTRY.preset(name)
    target = out or Path(f"{devices.name_of(device) if preset is None else preset.name}.png")
    plot.device(name, target, seed)
    print(target)


@devices_app.command(name="fit")
def fit_device(
    table: Path, *, device: str = "", out: Out = None, plot: Path | None = None, overwrite: bool = False
) -> None:
    """Fit devices to measured pulses; print what fits how well, and write the best as a preset, and a picture.

    Parameters
    ----------
    table : Path
        CSV with the columns pulse, up and down, or pulse, conductance and direction (up or down), and where there are
        several cell and cycle; conductances in µS.
    device : str
        pulsed, pulsed_power, pulsed_exponential or measured. Default: the best of the first three.
    out : Path
        The preset. Default: table.toml for table.csv.
    plot : Path
        Picture of the curves and residuals. Default: my_fit.png for the preset my_fit.toml.
    overwrite : bool
        Replace an existing preset.
    """
    from noisysim.devices import fitting
    from noisysim.reporting import fit_figure, style

    target = out or beside(table, ".toml")
    picture = plot or beside(target, ".png")
    if target.exists() and not overwrite:
        raise FileExistsError(f"{target} exists: give another --out, or --overwrite")
    fits = fitting.fit(table, device)
    best = fits[0]
    print_table(("device", "rms (% of the range)"), [(found.model, f"{100 * found.rms:.3g}") for found in fits])
    print(f"\n{best.model}:")
    print_table(("field", "value"), [(name, str(value)) for name, value in best.fields.items()])
    written = fitting.save(best, table, target)
    style.save(fit_figure.draw(fits, f"{table.name}: {best.model}"), picture)
    print("\n" + "\n".join(map(str, (*written, picture))))


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

    def command(*names: str, every: Every = False, json: Json = False) -> None:
        _show(registry, names, every, json)

    command.__doc__ = f"""List the {what}.

    Parameters
    ----------
    names : str
        {name.capitalize()} by name, or files such as {file}, perhaps with settings. Default: all that have a name.
    """
    return command


for _list in _LISTS:
    app.command(_list_command(*_list), name=_list[0])


def _show(registry: Registry[Any, Any], names: Sequence[str], every: bool, json: bool) -> None:
    """A table of all parts of a kind, with a line on each; or for each name one of its settings."""
    if json:
        known = [overview(registry, name) for name in registry.known()]
        print_json([one.plain() for one in ([entry(registry, name) for name in names] if names else known)])
        return
    if not names:
        print_table(("name", "what it is"), [(name, registry.about(name)) for name in registry.names()])
    for number, name in enumerate(names):
        if number:
            print()
        _print(entry(registry, name), every)


def _print(part: Entry, every: bool) -> None:
    """What a part is, and a table of its settings; where some are set, of those that are not at their defaults."""
    if part.preset is not None:
        _print_preset(part.preset)
    if part.text:
        print(part.text)
    chosen = part.settings if every or not part.is_set else part.changed
    values = [(repr(one.value),) if part.is_set else () for one in chosen]
    rows = [(one.name, *value, repr(one.default), one.field.unit, one.allowed, one.field.doc)
            for one, value in zip(chosen, values, strict=True)]  # fmt: skip
    if rows:
        print_table(("field", *["value"] * part.is_set, "default", "unit", "allowed", "meaning"), rows)
    if (others := len(part.settings) - len(chosen)) > 0:
        print(f"\n{others} other fields are at their defaults: --all lists them")


def _print_preset(preset: devices.presets.Preset) -> None:
    """What a preset is, and where it comes from; what it sets of its device follows."""
    print(f"{preset.name}: {preset.about}\n")
    for what, text in (("source", preset.source), ("figure", preset.figure), ("note", preset.note.strip())):
        if text:
            print(f"{what}: {text}")
    print(f"\nIt is a preset of {preset.model}:")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print texts as they are: what looks like markup in a third party's description is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
