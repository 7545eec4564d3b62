"""Noise on the inputs that are trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from noisysim import seeding
from noisysim.kernels import specialised


class InputNoise(NamedTuple):
    """Gaussian noise: each draw a pure function of key, epoch, row and input, whatever the batches.

    Attributes
    ----------
    std : float
        In units of the standardised inputs.
    key : tuple of numpy.uint32
        Of the Philox draws.
    """

    std: float
    key: tuple[np.uint32, np.uint32]

    def add(self, inputs: np.ndarray, rows: np.ndarray, epoch: int) -> None:
        """Add the noise of an epoch to `inputs`, float32 (batch, n_in), which are these rows of the split."""
        normals, std = specialised.draws().normals, np.float32(self.std)
        drawn = np.empty((1, inputs.shape[1]), np.float32)
        for values, row in zip(inputs, rows.tolist(), strict=True):
            normals(drawn, std, row, epoch, 0, *self.key)
            values += drawn[0]


def input_noise(std: float, seed: int) -> InputNoise | None:
    """The noise that a seed draws; ``None`` for a standard deviation of 0."""
    return InputNoise(std, seeding.key(seed, "task/inputs")) if std else None
