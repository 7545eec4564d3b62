"""What goes into a pass and what comes out of it: `Batch`, `Drive`, `Observation`.

These three are everything a learner ever meets. They hold NumPy arrays and no reference to the chip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    """Samples of a task together with the loss that judges the network's output on them.

    Attributes
    ----------
    inputs : numpy.ndarray
        float32, (batch, n_in).
    targets : numpy.ndarray
        float32, (batch, n_out); one-hot rows for classification.
    loss : callable
        ``loss(output, targets) -> (batch,)`` float64, one value a sample.
    """

    inputs: np.ndarray
    targets: np.ndarray
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Drive:
    """What a learner applies to one pass: a perturbation a layer, each its own choice.

    Parameters
    ----------
    perturbations : sequence of (numpy.ndarray or None)
        For each layer ``None`` or a (batch, units) float32 array added to the pre-activations.
        An empty sequence drives no layer: the pass is the device's own.
    """

    perturbations: Sequence[np.ndarray | None] = ()


@dataclass(slots=True)
class Observation:
    """What one pass lets out. It owns its memory: nothing of the chip's is reachable from it.

    Parameters
    ----------
    inputs : list of numpy.ndarray
        ``inputs[l]`` is what layer l's array was driven with, float32, (batch, n_in), after the
        decorrelation and the DAC; with a bias its last column is the constant 1.
    activities : list of numpy.ndarray
        ``activities[l]`` is layer l's digitised pre-activation, float32, (batch, n_out), the
        perturbation included.
    output : numpy.ndarray
        The network's output, float32, (batch, n_out): the last layer is linear, so this is
        ``activities[-1]``.
    loss : numpy.ndarray or None
        float64, (batch,); ``None`` where the pass was given inputs without targets.
    """

    inputs: list[np.ndarray] = field(repr=False)
    activities: list[np.ndarray] = field(repr=False)
    output: np.ndarray = field(repr=False)
    loss: np.ndarray | None = None
