"""The application that the commands are added to, and how one of them refuses what it was asked."""

from __future__ import annotations

import cyclopts

from noisysim.runs import environment

app = cyclopts.App(name="noisysim", help="Learning on noisy analog hardware, simulated.", version=environment.version)


class UsageError(ValueError):
    """A command whose exit status 1 says something else was used wrongly: the exit status is 2."""
