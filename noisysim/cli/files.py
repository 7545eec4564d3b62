"""The commands that look at result files, studies and deployments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cyclopts

from noisysim.cli.app import Json, Out, app
from noisysim.common.texts import printable
from noisysim.common.writing import beside


@app.command
def show(path: Path, *, config: bool = False, json: Json = False) -> None:
    """Print what a result file, a study or a deployment holds.

    Parameters
    ----------
    path : Path
        Result file, study or deployment.
    config : bool
        Print the resolved configuration too; of a study, the study file (TOML) that runs it. A deployment has none.
    """
    from noisysim.cli.json_output import of_file, print_json
    from noisysim.runs.deployment import Deployment
    from noisysim.studies.loading import load
    from noisysim.studies.study import Study

    content = load(path)
    if config and isinstance(content, Deployment):
        raise ValueError(f"--config is for runs and studies: {path} is a deployment")
    if json:
        print_json(of_file(content))
        return
    print(content)
    if isinstance(content, Study):
        print(f"\n{content.toml()}" if config else "", end="")
    elif not isinstance(content, Deployment):
        print(printable(f"{'host':>9}  {', '.join(f'{k} {v}' for k, v in content.environment.items())}"))
        if config:
            print_json(content.config)


@app.command
def plot(
    path: Path,
    *,
    what: str | None = None,
    out: Out = None,
    x: str | None = None,
    hue: str | None = None,
    col: str | None = None,
    at: Annotated[list[str] | None, cyclopts.Parameter(consume_multiple=True, negative="")] = None,
) -> None:
    """Draw the learning curves of a result file, what its diagnostics found, what a study found over its axes, or what
    a deployment found over time.

    Parameters
    ----------
    path : Path
        Result file, study or deployment.
    what : str
        Of a run: "curves", the name of a diagnostic such as "angle", or "diagnostics" for all of them. Of a study: a
        variable such as "test_accuracy", "test_loss", "passes", "elapsed". A deployment has one figure.
    out : Path
        Picture file. Default: run.png beside run.h5, or run-angle.png.
    x : str
        Of a study: the axis along the bottom, or "epoch".
    hue : str
        Of a study: the axis whose values have a colour each.
    col : str
        Of a study: the axis whose values have a panel each.
    at : list of str
        Of a study: labels of axes that are not drawn, as adc_bits=8 seed=0.
    """
    from noisysim.runs.deployment import Deployment
    from noisysim.studies.loading import load
    from noisysim.studies.study import Study

    content = load(path)
    if not isinstance(content, Study) and (x or hue or col or at):
        raise ValueError(f"--x, --hue, --col and --at are for studies: {path} is none")
    if isinstance(content, Deployment):
        if what is not None:
            raise ValueError(f"--what is for runs and studies: {path} is a deployment")
        target = out or beside(path, ".png")
        content.plot(target)
        print(target)
        return
    study = isinstance(content, Study)
    usual = "test_accuracy" if study else "curves"
    what = what or usual
    target = out or beside(path, ".png" if what == usual else f"-{what}.png")
    if study:
        pairs = [one.partition("=") for one in at or []]
        content.plot(what, x=x, hue=hue, col=col, path=target, **{name: label for name, _, label in pairs})
    else:
        content.plot(target, what=what)
    print(target)


@app.command
def report(
    path: Path,
    *,
    out: Out = None,
    overwrite: Annotated[bool, cyclopts.Parameter(negative="")] = False,
) -> None:
    """Write a run, a study or a deployment as one HTML page that needs no other files.

    Parameters
    ----------
    path : Path
        Result file, study or deployment.
    out : Path
        The page. Default: run.html beside run.h5.
    overwrite : bool
        Replace an existing file.
    """
    from noisysim.reporting.report import report as write

    print(write(path, out or beside(path, ".html"), overwrite=overwrite))
