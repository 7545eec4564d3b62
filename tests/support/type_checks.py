"""What mypy says of scripts that use the package, with its settings and the cache of ``make check``."""

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def mypy(*paths):
    """Errors and notes by name of file: lists of (line, kind, message)."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--hide-error-context", "--no-error-summary", *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert not done.stderr, done.stderr
    said = defaultdict(list)
    for name, line, kind, message in re.findall(r"([\w.]+\.py):(\d+): (error|note): (.*)", done.stdout):
        said[name].append((int(line), kind, message))
    return said
