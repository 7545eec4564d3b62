"""What an oracle is to a learner: the truth on a chip, which no pass shows."""

from __future__ import annotations

from typing import Protocol

from noisysim.common.arguments import argument
from noisysim.common.types import Floats
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation


class Oracle(Protocol):
    """Exact weights and true gradients, as far as rules ask for them (`noisysim.chip.oracle.Oracle`)."""

    def chip(self, m: int, /) -> Oracle:
        """The oracle of the m-th of several chips."""

    def signals(self, observation: Observation, error: Floats | None = None) -> Layered:
        """dL/da of each layer and sample, at an observation's activities; `error` replaces dL/dy."""

    def gradient(self, observation: Observation, out: Layered | None = None) -> Layered:
        """The true gradient of each chip's mean loss over its batch."""

    def tangent(self, observation: Observation, drive: Drive) -> Floats:
        """Directional derivative of the output, (batch, n_out), along what a drive would add."""


def granted(learner: str, oracle: Oracle | None) -> Oracle:
    """The oracle that a learner of this name cannot do without."""
    if oracle is None:
        raise ValueError(f"learner {learner!r} needs oracle access: update(..., oracle=chip.oracle(batch))")
    return oracle


def how_to_grant() -> str:
    """What a chip needs for a learner that cannot do without an oracle."""
    device, oracle = argument("device='ideal'"), argument("oracle=True")
    return f"use {device}, or grant it by name with {oracle}"
