"""What goes into a pass and what comes out of it: `Batch`, `Drive`, `Observation`.

These three are everything a learner ever meets. They hold arrays (NumPy's, on a GPU CuPy's) and no reference to the
chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from noisysim.common.array_types import is_array
from noisysim.common.fields import check_switch
from noisysim.common.plain_arrays import plain
from noisysim.common.types import Floats

_NOTHING: tuple[()] = ()


class LossFunction(Protocol):
    """What judges outputs: ``loss(output, targets) -> (batch,)`` float64, one value per sample."""

    def __call__(self, output: Floats, targets: Floats, /) -> Any:
        """The loss of each sample."""


class Batch(NamedTuple):
    """Samples of a task together with the loss that judges the network's output on them.

    Attributes
    ----------
    inputs : numpy.ndarray
        float32, (batch, n_in).
    targets : numpy.ndarray
        float32, (batch, n_out); one-hot rows for classification.
    loss : callable
        ``loss(output, targets) -> (batch,)`` float64, one value per sample.
    """

    inputs: np.ndarray
    targets: np.ndarray
    loss: LossFunction


class Gathered(Batch):
    """A batch that `noisysim.tasks.feed.Feed` made for some chips, and checked: they take it as it is."""

    __slots__ = ()


ABOVE_NOISE = 3.0
"""Factor over the observed noise at which an injected perturbation can be measured (reference: 2 to 3)."""


@dataclass(frozen=True, slots=True)
class Drive:
    """What a learner applies to one pass, each array its own choice, and what it asks to be told of it.

    Every sequence holds one entry per layer, ``None`` where nothing is applied; an empty one drives no layer.

    Parameters
    ----------
    perturbations : sequence of (numpy.ndarray or None)
        (batch, units) float32, (batch, positions, units) for a convolution, added to the pre-activations.
    outputs : sequence of (numpy.ndarray or None)
        (batch, units) float32, (batch, positions after pooling, units) for a convolution, added digitally to what
        hidden units give to the next layer, after activation function, pooling and dropout; the last layer's entry is
        ``None``.
    weights : sequence of (numpy.ndarray or None)
        (n_out, n_in) float32, shared by the batch: what the layer's array was driven with, times these, is added to
        the pre-activations, as a second array beside the first would do it. Not in a layer with a perturbation.
    output_error : bool
        Whether the observation is to hold dL/dy of each sample, which the periphery computes from the output and the
        target.

    Attributes
    ----------
    empty : bool
        Whether nothing is applied.
    """

    perturbations: Sequence[np.ndarray | None] = _NOTHING
    outputs: Sequence[np.ndarray | None] = _NOTHING
    weights: Sequence[np.ndarray | None] = _NOTHING
    output_error: bool = False
    empty: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Take the parts as tuples of plain arrays: nothing in them calls back where the drive is used."""
        for name, part in _PARTS.items():
            pieces = getattr(self, name)
            if pieces is not _NOTHING:
                object.__setattr__(self, name, _pieces(part, pieces))
        object.__setattr__(self, "empty", not (self.perturbations or self.outputs or self.weights))
        if type(self.output_error) is not bool:
            object.__setattr__(self, "output_error", check_switch("a drive's output_error", self.output_error))

    @property
    def lowest(self) -> int:
        """The first layer whose activities it moves; 0 if it applies nothing."""
        parts = ((self.perturbations, 0), (self.weights, 0), (self.outputs, 1))
        moved = [layer + above for part, above in parts for layer, p in enumerate(part) if p is not None]
        return min(moved, default=0)


_PARTS = {"perturbations": "perturbation", "outputs": "output perturbation", "weights": "weight perturbation"}


def _pieces(part: str, values: Any) -> tuple[Any, ...]:
    """A part of a drive, a plain array or ``None`` per layer."""
    try:
        len(values)
        pieces = tuple(values)
    except TypeError:
        raise TypeError("a drive's perturbations, outputs and weights are lists with one entry per layer") from None
    for piece in pieces:
        if type(piece) is not np.ndarray and piece is not None:
            return tuple([_plain_piece(f"the {part} of layer {k}", entry) for k, entry in enumerate(pieces)])
    return pieces


def _plain_piece(name: str, piece: object) -> Any:
    """An array of a subclass as NumPy's own; one of a backend's own type as it is."""
    if piece is None or is_array(piece):
        return piece
    if not isinstance(piece, np.ndarray):
        raise TypeError(f"{name} must be an array, not {type(piece).__name__}")
    return plain(name, piece)


@dataclass(slots=True)
class Observation:
    """What one pass lets out. It owns its memory: nothing of the chip's is reachable from it.

    Parameters
    ----------
    inputs : list of numpy.ndarray
        ``inputs[l]`` is what layer l's array was driven with, float32, (batch, n_in), after the
        decorrelation and the DAC; with a bias its last column is the constant 1. For a convolution
        (batch, positions, n_in): the patch at each position, in the order (y, x, channel). Of a chip whose
        decorrelation turns updates it is R times what drove the array, after the DAC. Empty where a pass was not
        asked for them (``chip.passes(..., inputs_of="first")``).
    activities : list of numpy.ndarray
        ``activities[l]`` is layer l's digitised pre-activation, float32, (batch, n_out), for a convolution
        (batch, positions, n_out), the perturbation included; before batch normalisation and pooling.
    output : numpy.ndarray
        The network's output, float32, (batch, n_out): the last layer is linear, so this is
        ``activities[-1]``.
    loss : numpy.ndarray or None
        float64, (batch,); ``None`` where the pass was given inputs without targets.
    output_error : numpy.ndarray or None
        dL/dy, float32, (batch, n_out); ``None`` where the drive did not ask for it.
    norms : sequence of (numpy.ndarray or None)
        What batch normalisation did to each layer's pre-activations, float32, (2, n_out): (a - norm[0]) norm[1]; of
        several chips (2, chips n_out), each chip's after another's. Empty where no layer has one.
    norms_of_batch : bool
        Whether they are this batch's own statistics, as the first pass observed them: then the mean loss depends on
        the weights through them as well.
    masks : sequence of (numpy.ndarray or None)
        What dropout multiplied each layer's hidden outputs by, float32, in their shape. Empty where none was applied.
    given : numpy.ndarray or None
        What the network was given, float32, (batch, values), where its periphery computes more of that than what drives
        layers; else ``None``.
    """

    inputs: list[np.ndarray] = field(repr=False)
    activities: list[np.ndarray] = field(repr=False)
    output: np.ndarray = field(repr=False)
    loss: np.ndarray | None = None
    output_error: np.ndarray | None = None
    norms: Sequence[np.ndarray | None] = field(default=(), repr=False)
    norms_of_batch: bool = False
    masks: Sequence[np.ndarray | None] = field(default=(), repr=False)
    given: np.ndarray | None = field(default=None, repr=False)
