"""Work arrays of passes on a GPU, and products of the matrices of chips side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from noisysim.common.types import Array, Floats
from noisysim.compute.cuda.arrays import xp


class Workspace:
    """Work arrays by name, and products, for some chips side by side.

    Attributes
    ----------
    nothing : array
        (1, 1): stands for what a device or a call does not have.
    """

    def __init__(self, chips: int):
        self.chips = chips
        self.nothing: Floats = xp.zeros((1, 1), np.float32)
        self._arrays: dict[str, Array] = {}

    def room(self, name: str, *shape: int, dtype: type[np.generic] = np.float32) -> Any:
        """A work array of this shape, not initialised. The memory of a name grows with need."""
        size = math.prod(shape)
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = xp.empty(size, dtype)
        return self._arrays[name][:size].reshape(shape)

    def part(self, flat: Floats, at: int, shape: tuple[int, int]) -> Floats:
        """A matrix of every chip, one below the other, from a flat buffer; `at` is where one chip alone has it."""
        first = self.chips * at
        return flat[first : first + self.chips * shape[0] * shape[1]].reshape(-1, shape[1])

    def multiply(self, x: Floats, weights: Floats, out: Floats, passes: int = 1) -> None:
        """out = x weights^T, chip by chip: weights (chips n_out, n_in), rows of x those of all chips, pass by pass."""
        if self.chips == 1:
            xp.matmul(x, weights.T, out=out)
            return
        each = weights.reshape(self.chips, -1, x.shape[1]).swapaxes(1, 2)
        x, out = (a.reshape(passes, self.chips, -1, a.shape[1]) for a in (x, out))
        for rows, product in zip(x, out, strict=True):
            xp.matmul(rows, each, out=product)

    def multiply_rows(self, x: Floats, weights: Floats, out: Floats, span: tuple[int, int], passes: int = 1) -> None:
        """`multiply`, of rows first..last - 1 of every chip in every pass."""
        first, last = span
        if passes * self.chips * (last - first) == len(x):
            self.multiply(x, weights, out, passes)
            return
        matrices = weights.reshape(self.chips, -1, x.shape[1])
        x, out = (a.reshape(passes, self.chips, -1, a.shape[1])[:, :, first:last] for a in (x, out))
        for p in range(passes):
            for chip, matrix in enumerate(matrices):
                xp.matmul(x[p, chip], matrix.T, out=out[p, chip])

    def as_rows(self, array: Floats | None, shape: tuple[int, ...]) -> Floats:
        """An array of values as rows of this shape; for `None` what no kernel reads."""
        if array is None:
            return self.nothing
        rows: Floats = xp.ascontiguousarray(array, np.float32).reshape(shape)
        return rows
