"""Reports: a run or a study as one HTML page that needs nothing but itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from noisysim.common import writing
from noisysim.common.arguments import argument
from noisysim.common.fields import check_switch
from noisysim.runs.deployment import Deployment
from noisysim.runs.result import Result

if TYPE_CHECKING:
    from noisysim.studies.study import Study

__all__ = ["report"]


def report(
    source: str | os.PathLike[str] | Result | Study | Deployment,
    out: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> Path:
    """Write a run, a study or a deployment as one HTML page: no other files, no scripts, nothing from a network.

    The same source gives the same bytes.

    Parameters
    ----------
    source : path, Result, Study or Deployment
        A file that `noisysim.load` reads, or what it makes of one; or what `noisysim.deploy` found.
    out : path
        The page, ``.html``.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If there is no such file, if it is none of these, or if the page cannot be written.
    """
    check_switch("report.overwrite", overwrite)
    if not isinstance(out, (str, os.PathLike)):
        raise TypeError(f"report.out must be a path, not {out!r}")
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"a report's name ends in .html, not {os.fspath(out)!r}")
    _check_place(path, overwrite)
    writing.check_apart(path, {"what the report is of": source})
    text = render(source)
    writing.replace(path, text.encode())
    return path


def render(source: str | os.PathLike[str] | Result | Study | Deployment) -> str:
    """The page's text."""
    from noisysim.studies.loading import load

    content: Result | Study | Deployment = load(source) if isinstance(source, (str, os.PathLike)) else source
    if isinstance(content, Result):
        from noisysim.reporting import run_page

        return run_page.render(content)
    if isinstance(content, Deployment):
        from noisysim.reporting import deployment_page

        return deployment_page.render(content)
    if hasattr(content, "axes") and hasattr(content, "data"):
        from noisysim.reporting import study_page

        return study_page.render(content)
    raise TypeError(f"a report is of a file, a Result, a Study or a Deployment, not {type(content).__name__}")


def _check_place(path: Path, overwrite: bool) -> None:
    if path.exists() and path.is_file() and not overwrite:
        raise FileExistsError(f"{path} exists: give another path, or say {argument('overwrite=True')}")
    writing.check(path)
