"""Batch normalisation over the pool: statistics of a batch, and what is made of values with them.

Sums are taken over blocks of rows, which the shape alone decides, and added up in their order: the same bits for any
number of threads, and for a chip of a stack those that it would get alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from noisysim.common.types import Doubles, Floats
from noisysim.compute import execution
from noisysim.compute.cpu import sharing
from noisysim.compute.cpu.loops import rows
from noisysim.compute.cpu.loops import statistics as loops

_VALUES_AT_ONCE = 1 << 16  # of a block of rows


def moments(activities: Floats, chips: int) -> Doubles:
    """See `noisysim.compute.algebra.moments`."""
    values = np.ascontiguousarray(activities).reshape(-1, activities.shape[-1])
    units, count = values.shape[1], len(values) // chips
    spans = _spans(len(values), chips, units)
    flops = sharing.FLOPS_PER_BYTE * values.nbytes
    means = _summed([partial(loops.add_up, values[a:b]) for a, b in spans], chips, (units,), flops) / count
    own = np.repeat(means, len(spans) // chips, axis=0)
    squares = [partial(loops.add_squares, values[a:b], mean) for (a, b), mean in zip(spans, own, strict=True)]
    return np.stack([means, _summed(squares, chips, (units,), flops) / count]).reshape(2, -1)


def leave_out_moments(signal: Floats, normed: Floats, chips: int) -> None:
    """See `noisysim.compute.algebra.leave_out_moments`."""
    leave_out_of_units(signal, normed, 0, chips, sharing.FLOPS_PER_BYTE * 8 * signal.size)


def leave_out_of_units(signal: Floats, normed: Floats, start: int = 0, chips: int = 1, flops: float = 0.0) -> None:
    """`leave_out_moments` for some units, the first of which is `start` of those normalised; in a thread's own task.

    Work of 0 `flops` is not shared with other threads.
    """
    count, units = len(signal) // chips, signal.shape[1]
    spans = _spans(len(signal), chips, units)
    sums = [partial(loops.add_signals, signal[a:b], normed[a:b], start) for a, b in spans]
    means = (_summed(sums, chips, (2, units), flops) / count).astype(np.float32)
    own = np.repeat(means, len(spans) // chips, axis=0)
    parts = zip(spans, own, strict=True)
    execution.run([partial(loops.take_off, signal[a:b], normed[a:b], start, mean) for (a, b), mean in parts], flops)


def normalise(values: Floats, norm: Floats, out: Floats, chips: int) -> None:
    """See `noisysim.compute.algebra.normalise`."""

    def some(first: int, last: int, m: int) -> None:
        rows.normalise(source[first:last], norms[:, m], target[first:last])

    norms = np.ascontiguousarray(norm, np.float32).reshape(2, chips, -1)
    units = norms.shape[2]
    source, target = (np.ascontiguousarray(a).reshape(-1, units) for a in (values, out))
    _each_block(some, len(source), chips, units)


def scale_units(values: Floats, scales: Floats, chips: int) -> None:
    """See `noisysim.compute.algebra.scale_units`."""

    def some(first: int, last: int, m: int) -> None:
        loops.scale(target[first:last], own[m])

    own = np.ascontiguousarray(scales, np.float32).reshape(chips, -1)
    units = own.shape[1]
    target = values.reshape(-1, units)
    _each_block(some, len(target), chips, units)


def _each_block(some: Callable[[int, int, int], object], count: int, chips: int, units: int) -> None:
    """some(first row, last row, chip) for all blocks of rows."""
    spans = _spans(count, chips, units)
    each = len(spans) // chips
    tasks = [partial(some, *span, k // each) for k, span in enumerate(spans)]
    execution.run(tasks, sharing.FLOPS_PER_BYTE * 8 * count * units)


def _spans(count: int, chips: int, units: int) -> list[tuple[int, int]]:
    """The blocks of all chips' rows: each chip's are cut alike."""
    each = count // chips
    own = execution.spans(each, max(1, _VALUES_AT_ONCE // max(units, 1)))
    return [(m * each + a, m * each + b) for m in range(chips) for a, b in own]


def _summed(tasks: Sequence[Callable[..., Any]], chips: int, shape: tuple[int, ...], flops: float) -> Doubles:
    """What blocks of rows add up to, (chips, *shape): each task writes its own sums."""
    parts = np.empty((len(tasks), *shape))
    execution.run([partial(task, part) for task, part in zip(tasks, parts, strict=True)], flops)
    total: Doubles = parts.reshape(chips, -1, *shape).sum(axis=1)
    return total
