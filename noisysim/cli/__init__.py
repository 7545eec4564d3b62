"""The command line, made from the functions' own signatures and docstrings."""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import numpy as np

from noisysim import devices, learners, tasks
from noisysim.chip import diagnostics
from noisysim.common import fields
from noisysim.common.texts import printable
from noisysim.compute.backends import BackendError
from noisysim.networks import layers
from noisysim.reporting import plot as plots
from noisysim.runs import api, environment, signals
from noisysim.runs import config as configuration

app = cyclopts.App(name="noisysim", help="Learning on noisy analog hardware, simulated.", version=environment.version)
devices_app = cyclopts.App(name="devices", help="List the devices, or the fields of one, or draw what one does.")
app.command(devices_app)

_TYPES: dict[str, Any] = {
    **dict.fromkeys(("learning_rate", "learning_rate_decay", "checkpoint_seconds"), float),
    **dict.fromkeys(("batch_size", "epochs", "every", "chips", "seed", "threads"), int),
    **dict.fromkeys(("bias", "oracle", "overwrite", "progress", "allow_other_source"), bool),
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
    api.run,
    {
        "config": Annotated[
            str | None,
            cyclopts.Parameter(help="TOML or result file to take arguments from; those given here come first."),
        ],
        "plot": Annotated[str | None, cyclopts.Parameter(help="Picture file for the learning curves.")],
    },
)
def run(said: dict[str, Any]) -> None:
    """Train a network, and print what came of it."""
    picture = said.pop("plot", None)
    if picture:
        plots.check_writable(picture)
    stored = configuration.read(said.pop("config"), api.ARGUMENTS) if "config" in said else {}
    _tell(api.run(**{**stored, **said}), picture)


@app.command(name="resume")
@_command_line(api.resume, {})
def resume(said: dict[str, Any]) -> None:
    """Resume a run, and print what came of it."""
    _tell(api.resume(**said), None)


@app.command(name="retention")
@_command_line(api.retention, {})
def retention(said: dict[str, Any]) -> None:
    """Test a chip after it has aged, and print a line per time."""
    found = api.retention(**said)
    print(f"{'seconds':>12}  test loss  test accuracy")
    for seconds, loss, accuracy in zip(*found.values(), strict=True):
        print(f"{seconds:>12g}  {loss:>9.4g}" + ("" if np.isnan(accuracy) else f"  {100 * accuracy:>11.1f} %"))


@app.command(name="sweep")
def sweep_study(
    path: Path,
    *,
    out: Path | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    retry: Annotated[bool, cyclopts.Parameter(negative="")] = False,
    timeout: float | None = None,
    keep: Path | None = None,
    data: Path | None = None,
    progress: bool | None = None,
) -> None:
    """Run a study: a grid of runs, on the cores of this machine or a Dask cluster.

    Stopped or killed, the same command does what is missing. The exit status is 1 if runs failed.

    Parameters
    ----------
    path : Path
        Study file: TOML, with arguments of noisysim.run of which lists are axes; or a study's HDF5 file, to go on.
    out : Path
        The study's file; left out, study.h5 beside study.toml.
    scheduler : str
        Address of a Dask scheduler, such as tcp://10.0.0.1:8786, or its scheduler file (JSON).
    workers : int
        Processes of this machine; left out, one a core.
    threads : int
        Threads a run.
    overwrite : bool
        Replace an existing file of another study.
    retry : bool
        Do runs again that failed.
    timeout : float
        Seconds that a run may take before it is given up. Default: no limit.
    keep : Path
        Folder for the result file of every run.
    data : Path
        Folder of the data files.
    progress : bool
        Show a progress bar.
    """
    from noisysim.studies import asking

    with asking.client(scheduler) as client:
        study = asking.sweep(
            path, out=out, client=client, workers=workers, threads=threads, overwrite=overwrite, retry=retry,
            timeout=timeout, keep=keep, data=data, progress=progress,
        )  # fmt: skip
    print(study)
    if study.counts["missing"]:
        sys.exit(130)
    if study.counts["failed"]:
        sys.exit(1)


@app.command
def tune(
    path: Path,
    *,
    out: Path | None = None,
    choose: str = "stable",
    start: float = 1e-5,
    factor: float = 2.0,
    count: int = 15,
    workers: int | None = None,
    data: Path | None = None,
    progress: bool | None = None,
) -> None:
    """Search for the learning rates of a study's settings, by doubling.

    Parameters
    ----------
    path : Path
        Study file (TOML), without learning_rate.
    out : Path
        File for the runs of the search; left out, study-rates.h5 beside study.toml.
    choose : str
        "stable", the largest rate up to which it learns, or "loss", the one with the lowest training loss.
    start : float
        Lowest rate.
    factor : float
        Between one rate and the next.
    count : int
        How many rates.
    workers : int
        Processes of this machine; left out, one a core.
    data : Path
        Folder of the data files.
    progress : bool
        Show a progress bar.
    """
    from noisysim.studies import asking, tuning

    target = out or path.with_name(f"{path.stem}-rates.h5")
    given = asking.read(path)
    print(
        tuning.tune(
            **given, start=start, factor=factor, count=count, choose=choose, out=target, workers=workers, data=data,
            progress=progress,
        )
    )  # fmt: skip


@app.command
def show(path: Path, *, config: bool = False) -> None:
    """Print what a result file or a study holds.

    Parameters
    ----------
    path : Path
        Result file or study.
    config : bool
        Print the resolved configuration too; of a study, the study file that asks for it.
    """
    import json

    from noisysim.studies.loading import load
    from noisysim.studies.study import Study

    result = load(path)
    print(result)
    if isinstance(result, Study):
        print(f"\n{result.toml()}" if config else "", end="")
        return
    print(printable(f"{'host':>9}  {', '.join(f'{k} {v}' for k, v in result.environment.items())}"))
    if config:
        print(json.dumps(result.config, indent=1))


@app.command
def plot(
    path: Path,
    *,
    what: str | None = None,
    out: Path | None = None,
    x: str | None = None,
    hue: str | None = None,
    col: str | None = None,
    at: Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
) -> None:
    """Draw the learning curves of a result file, what its diagnostics found, or what a study found over its axes.

    Parameters
    ----------
    path : Path
        Result file or study.
    what : str
        Of a run: "curves", the name of a diagnostic such as "angle", or "diagnostics" for all of them. Of a study: a
        variable such as "test_accuracy", "test_loss", "passes", "elapsed".
    out : Path
        Picture file; left out, run.png beside run.h5, or run-angle.png.
    x : str
        Of a study: the axis along the bottom, or "epoch".
    hue : str
        Of a study: the axis whose values have a colour each.
    col : str
        Of a study: the axis whose values have a panel each.
    at : list of str
        Of a study: labels of axes that are not drawn, as adc_bits=8 seed=0.
    """
    from noisysim.studies.loading import load
    from noisysim.studies.study import Study

    found = load(path)
    study = isinstance(found, Study)
    usual = "test_accuracy" if study else "curves"
    what = what or usual
    target = out or path.with_name(f"{path.stem}.png" if what == usual else f"{path.stem}-{what}.png")
    if study:
        pairs = [one.partition("=") for one in at or []]
        found.plot(what, x=x, hue=hue, col=col, path=target, **{name: label for name, _, label in pairs})
    else:
        if x or hue or col or at:
            raise ValueError(f"--x, --hue, --col and --at are for studies: {path} is a run")
        found.plot(target, what=what)
    print(target)


@app.command
def report(
    path: Path,
    *,
    out: Annotated[Path | None, cyclopts.Parameter(alias="-o")] = None,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
) -> None:
    """Write a run or a study as one HTML page that needs no other files.

    Parameters
    ----------
    path : Path
        Result file or study file.
    out : Path
        The page; left out, run.html beside run.h5.
    overwrite : bool
        Replace an existing file.
    """
    from noisysim.reporting.report import report as write

    print(write(path, out or path.with_suffix(".html"), overwrite=overwrite))


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
        _add_row(table, name, str(layers.NAMED[name]), layers.NAMED[name].source)
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
            _add_row(table, name, about(name) if about else (inspect.getdoc(find(name)) or "").partition("\n")[0])
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
            _add_row(table, name, repr(default), spec.unit, allowed, spec.doc)
    if table.row_count:
        Console(width=None if sys.stdout.isatty() else 160).print(table)


def _add_row(table: Any, *texts: str) -> None:
    """A row of texts as they are: what looks like markup in somebody's description is none."""
    from rich.text import Text

    table.add_row(*map(Text, texts))


def _list_reproductions(papers: Any) -> None:
    """A table of names, with titles and how long the two forms take."""
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what it is", "full", "quick", box=None, pad_edge=False, header_style="bold")
    for name in papers.names():
        module = papers.get(name)
        _add_row(table, name, papers.title(module), *map(_duration, module.SECONDS))
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
    if result.status == "stopped":
        sys.exit(signals.LIMIT_STATUS)


def main() -> None:
    """Run the command line; an error in what was asked for is one line, not a traceback.

    The exit status is 0, 1 after an error, 75 if a run was stopped by its time limit, and 128 + n after signal n.
    """
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    with signals.noted() as received:
        status = _status(sys.argv[1:])
    if received and isinstance(status, str):
        print(status, file=sys.stderr)
    sys.exit(128 + received[0] if received else status)


def _status(words: list[str]) -> Any:
    """Run a command; the exit status, or the line that says what is wrong."""
    try:
        app(words, print_error=False, exit_on_error=False)
    except cyclopts.CycloptsError as error:
        return f"noisysim: {' '.join(printable(error).split())}"
    except (ValueError, TypeError, OSError, MemoryError, ImportError, BackendError) as error:
        return f"noisysim: {' '.join(printable(error).split())}"
    except KeyboardInterrupt:
        return 130
    except SystemExit as ended:
        return ended.code
    return 0


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"noisysim: warning: {' '.join(printable(message).split())}", file=sys.stderr)
