"""The application that the commands are added to."""

from __future__ import annotations

import cyclopts

from noisysim.runs import environment

app = cyclopts.App(name="noisysim", help="Learning on noisy analog hardware, simulated.", version=environment.version)
