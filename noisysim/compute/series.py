"""Series of updates that one compiled call makes: what it is asked for, and what it gives.

Small updates cost more Python than arithmetic. A rule of node perturbation is a scalar function of a few sums, so that
a loop can make update after update by itself: perturb, pass, judge, estimate, write, decorrelate. It stops before
anything that a run has to look at, which is then made the usual way: both give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

from noisysim.common.types import Bools, Doubles, Floats, Ints, Words
from noisysim.compute.compiled_estimate import CompiledEstimate
from noisysim.compute.observation import Batch
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.optimizer_step import Step


class Lesson(NamedTuple):
    """Updates to be made one after another.

    Attributes
    ----------
    batch : Batch
        The samples of all of them: of each update those of the first chip, then those of the second.
    loss : str
        Name of the loss (`noisysim.losses`).
    observed : Observed
        Room for one update's observations; afterwards it has the last one's.
    estimate : CompiledEstimate
    sigmas : tuple of float
        Standard deviation of what is injected into each chip, 0 for nothing.
    learner_keys : array
        (chips, 2) uint32, of the learner's draws.
    number : int
        The learner's number of the first update.
    steps : Step
        Of the optimizer; its numbers are (updates, n).
    decorrelation : float
        Rate; 0 without.
    bounds : numpy.ndarray
        Mean loss of each chip beyond which an update is not made, (chips,) float64.
    """

    batch: Batch
    loss: str
    observed: Observed
    estimate: CompiledEstimate
    sigmas: tuple[float, ...]
    learner_keys: Words
    number: int
    steps: Step
    decorrelation: float
    bounds: Doubles


class Made(NamedTuple):
    """What a series made.

    Attributes
    ----------
    updates : int
        Those whose passes and writes were made: all, or those before one that the run has to look at.
    losses : numpy.ndarray
        Of the first pass of each, (updates, samples) float64.
    hits : numpy.ndarray
        Samples of each chip whose largest output is the target's, (updates, chips) int64.
    refused : numpy.ndarray
        Chips for which the last update's change is not finite, (chips,): of that one nothing was decorrelated.
    """

    updates: int
    losses: Doubles
    hits: Ints
    refused: Bools


class Position(NamedTuple):
    """Where the chips stand before a series.

    Attributes
    ----------
    next_pass, write : int
        Numbers of the next pass and the next write.
    digital : bool
        Whether perturbations of lines enter after the ADC.
    noisy : bool
        Whether passes differ.
    follows : bool
        Whether converters follow what they read.
    rotations : array
        Decorrelation matrices, flat.
    """

    next_pass: int
    write: int
    digital: bool
    noisy: bool
    follows: bool
    rotations: Floats
