"""Noise on the inputs that are trained on."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.types import Floats, Ints
from noisysim.compute import backends, seeding
from noisysim.compute.cpu.loops import draws


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
        normals, std = draws.normals, np.float32(self.std)
        drawn = np.empty((1, inputs.shape[1]), np.float32)
        for values, row in zip(inputs, rows.tolist(), strict=True):
            normals(drawn, std, row, epoch, 0, *self.key)
            values += drawn[0]

    def add_on_gpu(self, inputs: Floats, rows: Ints, epoch: int, chips: int) -> None:
        """The same to inputs of several chips on a GPU, (chips x batch, n_in), each chip's alike."""
        from noisysim.compute.cuda import specialised
        from noisysim.compute.cuda.kernels.target import launch

        elements, std = len(rows) * inputs.shape[1], np.float32(self.std)
        launch(specialised.gather().add_noise, elements, inputs, rows, chips, std, epoch, _key_on_gpu(self.key))


@cache
def _key_on_gpu(key: tuple[np.uint32, np.uint32]) -> Any:
    """The key as kernels take it, (1, 2)."""
    return backends.get("cuda").put(np.array([key], np.uint32))


def input_noise(std: float, seed: int) -> InputNoise | None:
    """The noise that a seed draws; ``None`` for a standard deviation of 0."""
    return InputNoise(std, seeding.key(seed, "task/inputs")) if std else None
