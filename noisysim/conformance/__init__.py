"""Conformance: what any device must do, checked on one, and what it does, measured.

python -m noisysim.conformance my_chip.py
noisysim.conformance.check("my_chip.py:amplitude=0.1").raise_on_failure()
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import noisysim.devices as devices
from noisysim.chip.array_updates import by_net_changes
from noisysim.compute.jit import compile_errors
from noisysim.conformance import chips, hooks, moments
from noisysim.conformance.report import Failure, Finding, Note, Report
from noisysim.devices.contract import Device, DeviceSpec

__all__ = ["Finding", "Report", "check", "main"]

_FIRST = hooks.CHECKS
_SUITE: dict[str, Callable[[Device], str | list[Finding]]] = {"moments": moments.check, **chips.CHECKS}


def check(device: DeviceSpec) -> Report:
    """Run the suite.

    Parameters
    ----------
    device : str, path, mapping or device
        As for `noisysim.devices.get`, whose errors are raised.

    Returns
    -------
    Report
    """
    checked = devices.get(device)
    settings = ", ".join(f"{name}={value!r}" for name, value in devices.changes(checked).items())
    report = Report(devices.name_of(checked) + (f"({settings})" if settings else ""))
    checked = by_net_changes(checked)  # whose hooks are the same: chips are asked for changes as arrays
    for name, function in {**_FIRST, **_SUITE}.items():
        _try(report, name, function, checked)
        if report.failures and name in _FIRST:  # nothing else can run
            break
    return report


def _try(report: Report, name: str, function: Callable[[Device], str | list[Finding]], device: Device) -> None:
    """Add what one check found; one that measures several things gives a list of findings."""
    try:
        result = function(device)
        findings = result if isinstance(result, list) else [Finding(name, True, result)]
    except Note as note:
        findings = [Finding(name, None, str(note))]
    except Exception as error:
        cause = error if isinstance(error, Failure) else compile_errors.explain(device, error)
        kind = "" if isinstance(cause, (Failure, devices.DeviceError)) else f"{type(cause).__name__}: "
        findings = [Finding(name, False, kind + " ".join(str(cause).split()))]
    report.findings += findings


def main(words: list[str]) -> int:
    """Check the device that a command line names; the exit status."""
    if len(words) != 1 or words[0] in ("-h", "--help"):
        print(
            "python -m noisysim.conformance DEVICE: a name or a device file, with settings (my_chip.py:amplitude=0.1)"
        )
        return 0 if words[:1] in (["-h"], ["--help"]) else 2
    try:
        report = check(words[0])
    except (ValueError, TypeError, OSError) as error:
        print(f"noisysim: {error}", file=sys.stderr)
        return 1
    report.print()
    return 1 if report.failures else 0
