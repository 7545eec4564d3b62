"""The application that the commands are added to, options that several have, and the flags of a command."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import cyclopts

from noisysim.common.arguments import Flag
from noisysim.runs import environment

app = cyclopts.App(name="noisysim", help="Learning on noisy analog hardware, simulated.", version=environment.version)

FAILED, REFUSED, INTERRUPTED = 1, 2, 128 + signal.SIGINT
"""Exit statuses: of what failed on its way, of what could not be done as it was asked for, and after Ctrl-C."""
SHORT_OUT = cyclopts.Parameter(alias="-o")
"""Of every option ``--out``."""
Out = Annotated[Path | None, SHORT_OUT]
"""A file to be written, ``--out`` or ``-o``."""
Json = Annotated[bool, cyclopts.Parameter(name="--json", negative="", help="Print JSON, for programs.")]
"""Whether to print for programs."""


def flags(words: Sequence[str]) -> Mapping[str, Flag]:
    """The flags of the command that these words call, by the names of its arguments."""
    command = app.parse_commands(list(words))[1][-1]
    if getattr(command.default_command, "__module__", "").partition(".")[0] != "noisysim":  # none, or Cyclopts' --help
        return {}
    found = {}
    for one in command.assemble_argument_collection():
        named = [name for name in one.names if name.startswith("--") and name not in one.negatives]
        if named:
            found[one.field_info.name] = Flag(named[0], next(iter(one.negatives), ""))
    return found
