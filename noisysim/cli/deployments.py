"""The command that puts a trained network on chips."""

from __future__ import annotations

from typing import Annotated, Any

import cyclopts

from noisysim.cli.app import Json, app
from noisysim.cli.json_output import of_deployment, print_json
from noisysim.cli.signatures import command_of
from noisysim.reporting import plot as plots
from noisysim.runs.deployment import deploy


@app.command(name="deploy")
@command_of(
    deploy,
    {
        "plot": Annotated[str | None, cyclopts.Parameter(help="Picture file: accuracy against time, and layers.")],
        "page": Annotated[str | None, cyclopts.Parameter(help="HTML file: the same, with tables.")],
        "json": Json,
    },
)
def put_on_chips(arguments: dict[str, Any]) -> None:
    """Put a trained network on chips of a device, test it now and later, and print tables."""
    from noisysim.reporting import report

    picture, page, json = (arguments.pop(name, None) for name in ("plot", "page", "json"))
    if picture:
        plots.check_writable(picture)
    found = deploy(**arguments)
    if not json:
        print(found)
    if picture:
        found.plot(picture)
    if page:
        report.report(found, page, overwrite=True)
    if json:
        print_json({**of_deployment(found), "plot": picture, "page": page})
        return
    for name, path in (("figure", picture), ("page", page)):
        if path:
            print(f"{name:>12}  {path}")
