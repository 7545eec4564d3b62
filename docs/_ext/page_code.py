"""Pages whose code runs when they are built, as a reader would run it: from top to bottom, in an empty folder.

Blocks of ``python`` are one script, those of ``sh`` are run between them, and a block of ``python`` that begins with
``# name.py`` is that file. A line that fails has the number that it has in the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PAGES = ("how-do-i", "your-device")
"""The pages, by their names."""
_FENCE = re.compile(r"^```(python|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\b")
_OTHERS = ("DeprecationWarning", "PendingDeprecationWarning", "ImportWarning", "ResourceWarning")
"""Warnings of packages that noisysim uses; all others are errors here."""


def script(text: str) -> str:
    """A page's code, each line where it is in the page.

    Parameters
    ----------
    text : str
        The page, Markdown.

    Returns
    -------
    str
        A Python script.
    """
    lines = [""] * (text.count("\n") + 1)
    lines[0] = "import pathlib, subprocess"
    for block in _FENCE.finditer(text):
        language, code = block.groups()
        first = text.count("\n", 0, block.start()) + 1
        if language == "sh":
            lines[first] = f"subprocess.run(['bash', '-euc', {code!r}], check=True)"
        elif name := _FILE.match(code):
            lines[first] = f"pathlib.Path({name[1]!r}).write_text({code!r}, encoding='utf-8')"
        else:
            lines[first : first + code.count("\n")] = code.splitlines()
    return "\n".join(lines) + "\n"


def run(page: Path) -> str:
    """Run a page's code; what it printed if it failed, else "".

    Parameters
    ----------
    page : Path
        The Markdown file.

    Returns
    -------
    str
    """
    ignored = [word for category in _OTHERS for word in ("-W", f"ignore::{category}")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with tempfile.TemporaryDirectory(prefix="noisysim-page-") as folder:
        code = Path(folder, f"{page.stem.replace('-', '_')}.py")
        code.write_text(script(page.read_text(encoding="utf-8")), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-W", "error", *ignored, code.name],
            cwd=folder, env={**os.environ, "PATH": path, "MPLBACKEND": "agg"}, capture_output=True, text=True,
        )  # fmt: skip
    return done.stdout + done.stderr if done.returncode else ""


def _run_pages(app: Any, environment: Any, names: list[str]) -> None:
    """Run those pages that are about to be read; what fails is a warning, which ends a build with ``-W``."""
    from sphinx.util.logging import getLogger

    for name in PAGES:
        if name in names and (failed := run(Path(environment.doc2path(name)))):
            getLogger(__name__).warning("the code of %s.md fails:\n%s", name, failed, location=name)


def setup(app: Any) -> dict[str, bool]:
    """Run pages before they are read."""
    app.connect("env-before-read-docs", _run_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
