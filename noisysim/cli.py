"""The command line, made from the functions' own signatures and docstrings."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np

import noisysim
from noisysim import config as configuration
from noisysim import devices, diagnostics, environment, fields, layers, learners, running, tasks
from noisysim import plot as plots
from noisysim.backends import BackendError

app = cyclopts.App(name="noisysim", help="Learning on noisy analog hardware, simulated.", version=environment.version)
devices_app = cyclopts.App(name="devices", help="List the devices, or the fields of one, or draw what one does.")
app.command(devices_app)

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("learning_rate", "learning_rate_decay", "checkpoint_seconds"), float),
    **dict.fromkeys(("batch_size", "epochs", "every", "chips", "seed", "threads"), int),
    **dict.fromkeys(("bias", "oracle", "overwrite", "progress"), bool),
    "seconds": Annotated[list[float], cyclopts.Parameter(consume_multiple=True, negative="")],
    "layers": Annotated[list[str], cyclopts.Parameter(consume_multiple=True, negative="")],
    "diagnostics": Annotated[list[str], cyclopts.Parameter(consume_multiple=True, negative="")],
}
"""What a word on the command line becomes; every other argument takes it as it is."""


def _command_line(function: Callable, extra: dict[str, Any]) -> Callable:
    """`function` with a signature whose every argument can be written as words, all of them optional or strings."""
    parameters = []
    for p in inspect.signature(function).parameters.values():
        kind = _TYPES.get(p.name, str)
        optional = p.default is not inspect.Parameter.empty
        default = None if optional else p.default
        parameters.append(p.replace(annotation=(kind | None) if optional else kind, default=default))
    for name, annotation in extra.items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    def decorate(body: Callable) -> Callable:
        @functools.wraps(function)
        def command(*args: Any, **given: Any) -> Any:
            names = [p.name for p in parameters]
            said = {**dict(zip(names, args, strict=False)), **given}
            return body({name: value for name, value in said.items() if value is not None})

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


@app.command(name="run")
@_command_line(
    running.run,
    {
        "config": Annotated[
            str | None,
            cyclopts.Parameter(help="TOML or result file to take arguments from; those given here come first."),
        ],
        "plot": Annotated[str | None, cyclopts.Parameter(help="Picture file for the learning curves.")],
    },
)
def run(said: dict[str, Any]) -> None:
    picture = said.pop("plot", None)
    if picture:
        plots.check_writable(picture)
    stored = configuration.read(said.pop("config"), running.ARGUMENTS) if "config" in said else {}
    _tell(running.run(**{**stored, **said}), picture)


@app.command(name="resume")
@_command_line(running.resume, {})
def resume(said: dict[str, Any]) -> None:
    _tell(running.resume(**said), None)


@app.command(name="retention")
@_command_line(running.retention, {})
def retention(said: dict[str, Any]) -> None:
    found = running.retention(**said)
    print(f"{'seconds':>12}  test loss  test accuracy")
    for seconds, loss, accuracy in zip(*found.values(), strict=True):
        print(f"{seconds:>12g}  {loss:>9.4g}" + ("" if np.isnan(accuracy) else f"  {100 * accuracy:>11.1f} %"))


@app.command
def show(path: Path, *, config: bool = False) -> None:
    """Print what a result file holds.

    Parameters
    ----------
    path : Path
        Result file.
    config : bool
        Print the resolved configuration too.
    """
    import json

    result = noisysim.load(path)
    print(result)
    print(f"{'host':>9}  {', '.join(f'{k} {v}' for k, v in result.environment.items())}")
    if config:
        print(json.dumps(result.config, indent=1))


@app.command
def plot(path: Path, *, what: str = "curves", out: Path | None = None) -> None:
    """Draw the learning curves of a result file, or what its diagnostics found.

    Parameters
    ----------
    path : Path
        Result file.
    what : str
        "curves", the name of a diagnostic such as "angle", or "diagnostics" for all of them.
    out : Path
        Picture file; left out, run.png beside run.h5, or run-angle.png.
    """
    target = out or path.with_name(f"{path.stem}.png" if what == "curves" else f"{path.stem}-{what}.png")
    noisysim.load(path).plot(target, what=what)
    print(target)


@app.command
def reproduce(
    *names: str,
    everything: Annotated[bool, cyclopts.Parameter(name="--all", negative="")] = False,
    quick: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    seeds: int | None = None,
    out: Path = Path("reproduced"),
    backend: str = "cpu",
) -> None:
    """Reproduce figures and tables of papers; without a name, list those there are.

    Published and measured values are printed side by side and kept. The exit status is 1 if one is outside its
    tolerance, or if a reproduction failed.

    Parameters
    ----------
    names : str
        Which ones.
    everything : bool
        Run all of them.
    quick : bool
        Run the shortened forms, which take seconds.
    seeds : int
        How many seeds to average over. Left out, 3, and 1 for the shortened forms.
    out : Path
        Folder for the tables, the figures and summary.md.
    backend : str
        Where the chips are simulated: "cpu", or "cuda", a GPU.
    """
    from noisysim import papers

    chosen = papers.names() if everything else names
    if not chosen:
        _list_reproductions(papers)
    elif not papers.run(chosen, out=out, quick=quick, seeds=seeds, backend=backend):
        sys.exit(1)


@devices_app.default
def list_devices(name: str | None = None) -> None:
    """List the devices, or the fields of one.

    Parameters
    ----------
    name : str
        A device.
    """
    _list(devices.names(), devices.kind, name, devices.about)


@devices_app.command(name="show")
def show_device(name: str, *, out: Path | None = None, seed: int = 0) -> None:
    """Draw what a device does, as measured on chips of it: transfer curve, noise, errors of writes, pulses, ageing.

    Parameters
    ----------
    name : str
        A device, or a device file, with settings: crossbar:adc_bits=6, my_chip.py.
    out : Path
        Picture file; left out, pcm.png of pcm.
    seed : int
        Of the chips.
    """
    device = devices.get(name)
    target = out or Path(f"{devices.name_of(device)}.png")
    plots.device(device, target, seed)
    print(target)


@app.command(name="learners")
def list_learners(name: str | None = None) -> None:
    """List the learners, or the fields of one.

    Parameters
    ----------
    name : str
        A learner.
    """
    _list(learners.names(), lambda n: type(learners.get(n)), name)


@app.command(name="diagnostics")
def list_diagnostics(name: str | None = None) -> None:
    """List the diagnostics, or the settings of one.

    Parameters
    ----------
    name : str
        A diagnostic.
    """
    _list(diagnostics.names(), lambda n: type(diagnostics.get(n)), name)


@app.command(name="networks")
def list_networks() -> None:
    """List the published networks that ``--layers`` takes by name, with their hidden layers."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "hidden layers", "source", box=None, pad_edge=False, header_style="bold")
    for name in layers.names():
        table.add_row(name, str(layers.NAMED[name]), layers.NAMED[name].source)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command(name="tasks")
def list_tasks(name: str | None = None) -> None:
    """List the tasks, or the settings of one.

    Parameters
    ----------
    name : str
        A task.
    """
    _list(tasks.names(), tasks.settings, name, tasks.about)


def _list(
    names: list[str], find: Callable[[str], type], chosen: str | None, about: Callable[[str], str] | None = None
) -> None:
    """A table of names, each with a line on what it is, or one's fields with defaults, units and ranges."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    if chosen is None:
        for heading in ("name", "what it is"):
            table.add_column(heading)
        for name in names:
            table.add_row(name, about(name) if about else (inspect.getdoc(find(name)) or "").partition("\n")[0])
    else:
        cls = find(chosen)
        print((inspect.getdoc(cls) or "").partition("\n\nParameters\n")[0])  # the table has these
        defaults = getattr(cls, "_field_defaults", None) or {
            n: getattr(cls, n) for n in getattr(cls, "__dataclass_fields__", {})
        }
        for heading in ("field", "default", "unit", "allowed", "meaning"):
            table.add_column(heading)
        for name, spec in fields.declared(cls).items():
            default = defaults.get(name)
            allowed = "True or False" if isinstance(default, bool) else spec.range
            table.add_row(name, repr(default), spec.unit, allowed, spec.doc)
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def _list_reproductions(papers: Any) -> None:
    """A table of names, with titles and how long the two forms take."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it is", "full", "quick", box=None, pad_edge=False, header_style="bold")
    for name in papers.names():
        module = papers.get(name)
        table.add_row(name, papers.title(module), *map(_duration, module.SECONDS))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _duration(seconds: float) -> str:
    """About how long: in the largest unit of which it is two or more."""
    units = (("days", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next((u for u in units if seconds >= 2 * u[1]), units[-1])
    return f"{seconds / size:.0f} {unit}"


def _tell(result: Any, picture: str | None) -> None:
    print(result)
    if picture:
        result.plot(picture)
        print(f"{'figure':>9}  {picture}")
    if result.status == "interrupted":
        sys.exit(130)


def main() -> None:
    """Run the command line; an error in what was asked for is one line, not a traceback."""
    try:
        app(sys.argv[1:], print_error=False, exit_on_error=False)
    except cyclopts.CycloptsError as error:
        sys.exit(f"noisysim: {' '.join(str(error).split())}")
    except (ValueError, TypeError, OSError, MemoryError, BackendError) as error:
        sys.exit(f"noisysim: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
