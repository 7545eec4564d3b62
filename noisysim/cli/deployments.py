"""The command that puts a trained network on chips."""

from __future__ import annotations

from typing import Annotated, Any

import cyclopts

from noisysim.cli.app import app
from noisysim.cli.signatures import command_of
from noisysim.reporting import plot as plots
from noisysim.runs.deployment import deploy


@app.command(name="deploy")
@command_of(
    deploy,
    {
        "plot": Annotated[str | None, cyclopts.Parameter(help="Picture file: accuracy against time, and layers.")],
        "page": Annotated[str | None, cyclopts.Parameter(help="HTML file: the same, with tables.")],
    },
)
def put_on_chips(arguments: dict[str, Any]) -> None:
    """Put a trained network on chips of a device, test it now and later, and print tables."""
    from noisysim.reporting import report

    picture, page = arguments.pop("plot", None), arguments.pop("page", None)
    for path in filter(None, (picture,)):
        plots.check_writable(path)
    found = deploy(**arguments)
    print(found)
    if picture:
        found.plot(picture)
        print(f"{'figure':>12}  {picture}")
    if page:
        report.report(found, page, overwrite=True)
        print(f"{'page':>12}  {page}")
