"""What the checks of a device find, and how it is shown."""

from __future__ import annotations

import sys
from typing import NamedTuple

from noisysim.common.deprecation import deprecated


class Finding(NamedTuple):
    """What one check found; `passed` is None where there was nothing to pass."""

    check: str
    passed: bool | None
    text: str

    @property
    def said(self) -> str:
        """`text`, by its deprecated name."""
        deprecated("Finding.said", "Finding.text", "0.1")
        return self.text


class Report:
    """What the suite found on one device.

    Attributes
    ----------
    device : str
        Its name and settings.
    findings : list of Finding
    """

    def __init__(self, device: str):
        self.device = device
        self.findings: list[Finding] = []

    @property
    def failures(self) -> list[Finding]:
        """The checks that failed."""
        return [finding for finding in self.findings if finding.passed is False]

    def raise_on_failure(self) -> None:
        """Raise an AssertionError that names every failure, if there is one."""
        if self.failures:
            faults = "; ".join(f"{finding.check}: {finding.text}" for finding in self.failures)
            raise AssertionError(f"device {self.device} fails {len(self.failures)} checks: {faults}")

    def print(self) -> None:
        """Print a table of the findings."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        marks = {True: Text("ok", "green"), False: Text("FAILS", "bold red"), None: Text("-", "dim")}
        table = Table("check", "", "what was found", box=None, pad_edge=False, header_style="bold")
        for check, passed, text in self.findings:
            table.add_row(check, marks[passed], Text(text))
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(Text(self.device, "bold"))
        console.print(table)
        count = len(self.failures)
        console.print(f"{count} of {len(self.findings)} checks failed" if count else "conforms")


class Failure(Exception):
    """A check's finding that the device does not conform."""


class Note(Exception):
    """A check's finding where there is nothing to pass."""


def require(condition: object, fault: str) -> None:
    """Raise a Failure that says what is wrong, unless the condition holds."""
    if not condition:
        raise Failure(fault)
