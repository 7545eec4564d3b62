"""Operations of the periphery over some samples, forwards and back (`noisysim.compute.rules.operations`)."""

from __future__ import annotations

import functools

import numpy as np

from noisysim.common.types import Floats, Ints
from noisysim.compute.cpu import bring, sharing
from noisysim.networks.operations import Operation

WORK = 8 * sharing.FLOPS_PER_BYTE
"""Of a value."""


def forward(operation: Operation, a: Floats, b: Floats, out: Floats) -> None:
    """The values of an operation, (rows, values), of those of its sources."""
    step, g = bring.operation(operation.name), _numbers(operation)
    sharing.in_rows(lambda i, j: step(g, 0, a[i:j], out[i:j], _some(b, i, j, operation)), len(out), WORK * out.size)


def push(operation: Operation, a: Floats, b: Floats, da: Floats, db: Floats, out: Floats) -> None:
    """Changes of an operation's values along changes of its sources."""
    loop, g = bring.pushing(operation.name), _numbers(operation)

    def some(i: int, j: int) -> None:
        loop(g, a[i:j], _some(b, i, j, operation), da[i:j], _some(db, i, j, operation), out[i:j])

    sharing.in_rows(some, len(out), WORK * out.size)


def pull(operation: Operation, source: int, a: Floats, b: Floats, signal: Floats, out: Floats) -> None:
    """The signal at a source, the first (0) or the second (1), of that at an operation's values."""
    loop, g = bring.pulling(operation.name, source), _numbers(operation)

    def some(i: int, j: int) -> None:
        loop(g, g[1 + source], a[i:j], _some(b, i, j, operation), signal[i:j], out[i:j])

    sharing.in_rows(some, len(out), WORK * out.size)


def _some(values: Floats, first: int, last: int, operation: Operation) -> Floats:
    """The samples first..last - 1 of a second source; constants are the same for all."""
    return values[first:last] if len(operation.sources) > 1 else values


@functools.lru_cache(256)
def _numbers(operation: Operation) -> Ints:
    return np.array(operation.numbers, np.int64)
