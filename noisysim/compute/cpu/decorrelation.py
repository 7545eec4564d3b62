"""The step of the decorrelation: R <- R - alpha (<x x^T> - diag <x^2>) R, for every layer of every chip.

A column of R changes by what stands in that column alone. So a task does everything that is done to a block of columns,
while the block is in its core's cache, and waits for no other. Three ways of doing it differ in work, by the number of
rows x that the mean is over and the number n of units:

- few rows: x (R^T x)^T row by row, in compiled loops, 4 n^2 a row;
- thin: the same as two products, 4 n^2 a row, at the speed of products;
- thick: by way of the correlations, of which half are computed: n^2 a row, and 2 n^3 for their product with R.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute import execution
from noisysim.compute.cpu import sharing
from noisysim.compute.cpu.loops import sums
from noisysim.compute.layered import Layered

FEW = 16
"""Up to this many rows the compiled loops are faster than products, which copy both factors first."""
CORRELATED = 1 << 20
"""Most correlations that are held at once; those of one matrix in any case."""


class _Matrix(NamedTuple):
    """One chip's R of one layer, (n, n), and the rows that it decorrelates, (rows, n)."""

    rotation: Floats
    x: Floats

    @property
    def thick(self) -> bool:
        return 2 * len(self.rotation) < 3 * len(self.x)

    @property
    def flops(self) -> float:
        """Work of one column of R."""
        n, rows = len(self.rotation), len(self.x)
        return float(2 * n * n if self.thick else 4 * n * rows)


def decorrelate(rotations: Layered, inputs: Layered, rate: float, chips: int) -> None:
    """See `noisysim.chip.decorrelation.decorrelate`."""
    batch = len(inputs[0]) // chips
    if batch <= FEW and inputs.flat_rows and 4.0 * batch * rotations.flat.size < chips * execution.SERIAL_FLOPS:
        loops = sums.decorrelate_few
        arguments = (rotations.flat, inputs.flat, rotations.widths, inputs.widths, batch, rate, chips)
        if chips == 1:
            loops(*arguments, 0, 1)
        else:
            sharing.over_chips(partial(loops, *arguments), chips, 4.0 * batch * rotations.flat.size / chips)
        return
    matrices = list(_matrices(rotations, inputs, chips))
    tasks = [task for matrix in matrices if not matrix.thick for task in _columns(matrix, rate)]
    sharing.run_weighed(tasks, chips)
    for group in _groups([matrix for matrix in matrices if matrix.thick]):
        sizes = [matrix.rotation.size for matrix in group]
        held, starts = execution.scratch("correlations", sum(sizes)), np.cumsum([0, *sizes])
        correlations = [
            held[start : start + size].reshape(matrix.rotation.shape)
            for start, size, matrix in zip(starts, sizes, group, strict=False)
        ]
        pairs = list(zip(group, correlations, strict=True))
        sharing.run_weighed([task for matrix, c in pairs for task in _correlations(matrix, c)], chips)
        sharing.run_weighed([task for matrix, c in pairs for task in _columns(matrix, rate, c)], chips)


def _matrices(rotations: Layered, inputs: Layered, chips: int) -> Iterator[_Matrix]:
    """Every matrix with its rows; a bias's column is left out."""
    for rotation, line in zip(rotations, inputs, strict=True):
        n = rotation.shape[1]
        rows = line if line.ndim == 2 else line.reshape(-1, line.shape[-1])
        matrices = rotation.reshape(chips, n, n) if n else ()  # gains have none
        for own, x in zip(matrices, rows[:, :n].reshape(chips, -1, n) if n else (), strict=True):
            yield _Matrix(own, x)


def _groups(matrices: list[_Matrix]) -> Iterator[list[_Matrix]]:
    """Matrices that are done together: as many as have room for their correlations."""
    group: list[_Matrix] = []
    for matrix in matrices:
        if group and sum(m.rotation.size for m in group) + matrix.rotation.size > CORRELATED:
            yield group
            group = []
        group.append(matrix)
    if group:
        yield group


def _correlations(matrix: _Matrix, out: Floats) -> list[sharing.Weighed]:
    """Tasks for sum_b x_b x_b^T without its diagonal, a block of rows each."""
    n, rows = len(out), len(matrix.x)
    spans = execution.unit_spans(n)
    return [(1.0 * rows * (b - a) * (2 * n - a - b), partial(_correlate, matrix.x, out, a, b)) for a, b in spans]


def _correlate(x: Floats, out: Floats, first: int, last: int) -> None:
    """A block of rows of the correlations from the diagonal on, and its mirror image."""
    block = x[:, first:last]
    square = out[first:last, first:last]
    np.matmul(block.T, block, out=square)  # symmetric: NumPy computes half
    np.fill_diagonal(square, 0)
    if last < len(out):
        beyond = out[first:last, last:]
        np.matmul(block.T, x[:, last:], out=beyond)
        out[last:, first:last] = beyond.T


def _columns(matrix: _Matrix, rate: float, correlations: Floats | None = None) -> list[sharing.Weighed]:
    """Tasks that change R, a block of columns each."""
    rotation, x = matrix
    factor = np.float32(rate / len(x))
    if correlations is None and len(x) <= FEW:
        few = sums.few_columns
        return [
            (matrix.flops * (b - a), partial(few, rotation, x, factor, a, b))
            for a, b in execution.unit_spans(len(rotation))
        ]
    step = _thin if correlations is None else _thick
    source = x if correlations is None else correlations
    return [
        (matrix.flops * (b - a), partial(step, rotation, source, factor, a, b))
        for a, b in execution.unit_spans(len(rotation))
    ]


def _thick(rotation: Floats, correlations: Floats, factor: np.float32, first: int, last: int) -> None:
    """R -= factor C R, for some columns."""
    columns = rotation[:, first:last]
    step = _work(columns.shape)
    np.matmul(correlations, columns, out=step)
    sums.subtract(rotation, step, factor, np.zeros(0, np.float32), first)


def _thin(rotation: Floats, x: Floats, factor: np.float32, first: int, last: int) -> None:
    """R -= factor (x^T (x R) - diag(sum_b x_b^2) R), for some columns."""
    columns = rotation[:, first:last]
    step = _work(columns.shape)
    np.matmul(x.T, x @ columns, out=step)
    sums.subtract(rotation, step, factor, np.einsum("bi,bi->i", x, x), first)


def _work(shape: tuple[int, ...]) -> Floats:
    """Room of this thread's own."""
    size = shape[0] * shape[1]
    room: Floats = execution.scratch("work", size)[:size].reshape(shape)
    return room
