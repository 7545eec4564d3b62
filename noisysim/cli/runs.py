"""The commands for one run."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import cyclopts
import numpy as np

from noisysim.cli.app import FAILED, Json, app
from noisysim.cli.json_output import of_run, print_json
from noisysim.cli.signatures import command_of
from noisysim.reporting import plot as plots
from noisysim.runs import api, signals
from noisysim.runs import config as configuration
from noisysim.runs.result import Result, with_spread
from noisysim.runs.retention import retention


@app.command(name="run")
@command_of(
    api.run,
    {
        "config": Annotated[
            str | None,
            cyclopts.Parameter(
                help="TOML or result file to take arguments from; those on the command line override it."
            ),
        ],
        "plot": Annotated[str | None, cyclopts.Parameter(help="Picture file for the learning curves.")],
        "json": Json,
    },
)
def run(arguments: dict[str, Any]) -> None:
    """Train a network, and print a summary."""
    picture, json = arguments.pop("plot", None), arguments.pop("json", False)
    if picture:
        plots.check_writable(picture)
    stored = configuration.read(arguments.pop("config"), api.ARGUMENTS) if "config" in arguments else {}
    _print_result(api.run(**{**stored, **arguments}), picture, json)


@app.command(name="resume")
@command_of(api.resume, {"json": Json})
def resume(arguments: dict[str, Any]) -> None:
    """Resume a run, and print a summary."""
    json = arguments.pop("json", False)
    _print_result(api.resume(**arguments), None, json)


@app.command(name="retention")
@command_of(retention, {"json": Json})
def test_after_ageing(arguments: dict[str, Any]) -> None:
    """Test a chip after it has aged, and print a line per time."""
    json = arguments.pop("json", False)
    tests = retention(**arguments)
    if json:
        print_json({"kind": "retention", **tests})
        return
    losses = [with_spread(each, ".4g") for each in tests["test_loss"]]
    width = max(9, *map(len, losses))
    print(f"{'seconds':>12}  {'test loss':>{width}}  test accuracy")
    for seconds, loss, accuracies in zip(tests["seconds"], losses, tests["test_accuracy"], strict=True):
        share = "" if np.isnan(accuracies).all() else f"  {with_spread(100 * accuracies, '.1f'):>11} %"
        print(f"{seconds:>12g}  {loss:>{width}}{share}")


def _print_result(result: Result, picture: str | None, json: bool) -> None:
    if picture:
        result.plot(picture)
    if json:
        print_json({**of_run(result), "plot": picture})
    else:
        print(result)
        if picture:
            print(f"{'figure':>9}  {picture}")
    if result.status == "stopped" and not result.reason:
        sys.exit(signals.LIMIT_STATUS)
    if result.status == "diverged":
        sys.exit(FAILED)
