"""Images trained on that are shifted and mirrored at random."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from noisysim.common.fields import Field
from noisysim.compute import seeding
from noisysim.compute.cpu.loops import gather

Shift = Annotated[
    int,
    Field(
        low=0, high=255, whole=True, doc="pixels that images trained on are shifted by at most, drawn anew each epoch"
    ),
]
Mirror = Annotated[bool, Field(doc="mirror images trained on left to right with probability 1/2, drawn each epoch")]


class Augmentation(NamedTuple):
    """Shifts and mirrorings: those of an image are a pure function of key, epoch and row, whatever the batches.

    Attributes
    ----------
    shift : int
        Most pixels, down or up and right or left, each drawn uniformly from -shift to shift. What comes in at the
        border is black (0).
    mirror : bool
        Whether every other image, by chance, is mirrored left to right.
    size : (int, int)
        Rows and columns of an image.
    black : numpy.ndarray
        float32 (n_in,): what pixels of value 0 are once standardised.
    key : tuple of numpy.uint32
        Of the Philox draws.
    """

    shift: int
    mirror: bool
    size: tuple[int, int]
    black: np.ndarray
    key: tuple[np.uint32, np.uint32]

    def write(self, source: np.ndarray, rows: np.ndarray, affine: np.ndarray, epoch: int, inputs: np.ndarray) -> None:
        """Fill `inputs`, float32 (batch, n_in), with these rows of a split as they are in an epoch, standardised."""
        gather.augmented(
            source, rows, affine, self.black, *self.size, self.shift, self.mirror, epoch, *self.key, inputs
        )


def augmentation(
    settings: Any, input_shape: tuple[int, ...], affine: np.ndarray, origin: np.ndarray | None, seed: int
) -> Augmentation | None:
    """What a task's settings ``shift`` and ``mirror`` ask for; ``None`` where they ask for nothing.

    Parameters
    ----------
    settings : NamedTuple
        Of a task, perhaps without these two.
    input_shape : tuple of int
        (channels, rows, columns) or (rows, columns).
    affine : numpy.ndarray
        As in `noisysim.tasks.Task`.
    origin : numpy.ndarray or None
        What was subtracted of the inputs before they were kept.
    seed : int
        Draws the shifts.

    Raises
    ------
    ValueError
        If they are asked for of inputs that are no images.
    """
    shift, mirror = getattr(settings, "shift", 0), getattr(settings, "mirror", False)
    if not (shift or mirror):
        return None
    if len(input_shape) not in (2, 3):
        raise ValueError(f"shift and mirror are for images, but a sample is {input_shape}")
    raw = np.zeros(affine.shape[1]) if origin is None else -origin
    black = ((raw.astype(np.float32) - affine[0]) * affine[1]).astype(np.float32)
    rows, columns = input_shape[-2:]
    return Augmentation(shift, mirror, (rows, columns), black, seeding.key(seed, "task/augmentation"))
