"""Operations of the periphery over some samples, with the arguments that the CPU's have."""

from __future__ import annotations

import functools

import numpy as np

from noisysim.common.types import Floats, Ints
from noisysim.compute.cuda import specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.kernels.target import launch
from noisysim.networks.operations import Operation


def forward(operation: Operation, a: Floats, b: Floats, out: Floats) -> None:
    """The values of an operation, (rows, values), of those of its sources."""
    parts, kernels = operation.numbers[0], specialised.operation(operation.name)
    launch(kernels.forward, len(out) * parts, parts, a, b, out, _numbers(operation))


def push(operation: Operation, a: Floats, b: Floats, da: Floats, db: Floats, out: Floats) -> None:
    """Changes of an operation's values along changes of its sources."""
    parts, kernels = operation.numbers[0], specialised.operation(operation.name)
    launch(kernels.push, len(out) * parts, parts, a, b, da, db, out, _numbers(operation))


def pull(operation: Operation, source: int, a: Floats, b: Floats, signal: Floats, out: Floats) -> None:
    """The signal at a source, the first (0) or the second (1), of that at an operation's values."""
    parts, kernels = operation.numbers[1 + source], specialised.operation(operation.name)
    kernel = kernels.pull_second if source else kernels.pull_first
    launch(kernel, len(out) * parts, parts, a, b, signal, out, _numbers(operation))


@functools.lru_cache(256)
def _numbers(operation: Operation) -> Ints:
    numbers: Ints = xp.asarray(np.array(operation.numbers, np.int64))
    return numbers
