"""The operations of `compute.algebra`, optimizers and losses: compiled loops and BLAS over the pool.

The partition of the work is fixed by what one chip has of it, so each chip of a stack gets what it would get alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
from numba.core.types import float32, float64, int64

from noisysim.common.types import Array, Doubles, Floats, Ints, Words
from noisysim.compute import execution, layered
from noisysim.compute.cpu import bring, sharing
from noisysim.compute.cpu.decorrelation import decorrelate as decorrelate
from noisysim.compute.cpu.loops import draws, optimizer_steps, sums
from noisysim.compute.cpu.loops.sums import cross_entropy_error as cross_entropy_error
from noisysim.compute.cpu.statistics import leave_out_moments as leave_out_moments
from noisysim.compute.cpu.statistics import leave_out_of_units
from noisysim.compute.cpu.statistics import moments as moments
from noisysim.compute.cpu.statistics import normalise as normalise
from noisysim.compute.cpu.statistics import scale_units as scale_units
from noisysim.compute.jit import ahead
from noisysim.compute.layered import Layered
from noisysim.compute.layout import OWN_STREAM
from noisysim.compute.noise import stream_word
from noisysim.compute.protocols import Term
from noisysim.networks import activations, tiling
from noisysim.networks.activations import Activation

_Outer: TypeAlias = tuple[
    Sequence[Term], Sequence[Doubles], Sequence[Floats], Sequence[Floats], Sequence[Floats | None]
]

_FLAT, _ROWS, _COUNTS, _VALUES = float32[::1], float32[:, ::1], int64[::1], float64[::1]
OFTEN = (
    ahead.Job(sums.squared_distances, (_FLAT, _FLAT, _COUNTS, int64, int64, _VALUES)),
    ahead.Job(sums.cross_entropy, (_ROWS, _ROWS, _VALUES)),
    ahead.Job(sums.subtract, (_ROWS, _ROWS, float32, _FLAT, int64)),
    ahead.Job(optimizer_steps.adam, optimizer_steps.TYPE.arguments),
    ahead.Job(sums.count_passed, (_ROWS, _ROWS, _COUNTS)),
)
"""What most runs call besides and no chip knows of: helpers compile it where nothing else is left to do."""
NO_SETTINGS, NO_VALUES, NOTHING = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
_CHECKED_AT_ONCE = 1 << 18  # values that one task looks at
_WEIGHTS_AT_ONCE = 1 << 17  # weights that one task changes
_FLOPS_PER_DRAW = 200.0  # work of a normal draw, as weighed against a product


def all_finite(array: Floats) -> bool:
    """Whether a contiguous float32 array holds neither NaN nor infinity."""
    kernel, flat = sums.all_finite, array.reshape(-1)
    if flat.size <= _CHECKED_AT_ONCE:
        return bool(kernel(flat))
    parts = execution.spans(flat.size, _CHECKED_AT_ONCE)
    finite = np.ones(len(parts), bool)

    def some(number: int, first: int, last: int) -> None:
        finite[number] = kernel(flat[first:last])

    execution.run([partial(some, k, *part) for k, part in enumerate(parts)], sharing.FLOPS_PER_BYTE * 4 * flat.size)
    return bool(finite.all())


def squared_distances(a: Layered, b: Layered) -> Doubles:
    """See `noisysim.compute.algebra.squared_distances`."""
    distances: Doubles = _distances(a.flat, b.flat, len(a[0]), [(0, a.sizes)])[0]
    return distances


def layer_distances(a: Layered, b: Layered) -> Doubles:
    """See `noisysim.compute.algebra.layer_distances`."""
    return _distances(a.flat, b.flat, len(a[0]), _each_layer(a))


def layer_squares(a: Layered) -> Doubles:
    """See `noisysim.compute.algebra.layer_squares`."""
    return _distances(a.flat, NO_VALUES, len(a[0]), _each_layer(a))


def _each_layer(a: Layered) -> list[tuple[int, Ints]]:
    """Where each layer starts, and the values that a sample has in it."""
    starts = np.cumsum([0, *(array.size for array in a)])
    return [(int(at), a.sizes[k : k + 1]) for k, at in enumerate(starts[:-1])]


def _distances(a: Floats, b: Floats, batch: int, parts: Sequence[tuple[int, Ints]]) -> Doubles:
    """Squared distances over some layers each, which start at an element and have so many values a sample."""
    kernel, out = sums.squared_distances, np.empty((len(parts), batch))

    def some(first: int, last: int) -> None:
        for row, (at, widths) in zip(out, parts, strict=True):
            stop = at + batch * int(widths.sum())
            kernel(a[at:stop], b[at:stop], widths, first, last, row)

    sharing.in_rows(some, batch, sharing.FLOPS_PER_BYTE * 8 * a.size)
    return out


def shares(share: Callable[..., float], changes: Doubles, sizes: Doubles, units: Doubles) -> Doubles:
    """See `noisysim.compute.algebra.shares`."""
    row, out = bring.share(share), np.empty(sizes.shape)
    changes = np.ascontiguousarray(np.broadcast_to(changes, sizes.shape))
    if units.size == 1:
        row(changes.reshape(-1), np.ascontiguousarray(sizes).reshape(-1), units[0], out.reshape(-1))
    else:
        for change, size, unit, shared in zip(changes, sizes, units, out, strict=True):
            row(change, size, unit, shared)
    return out


def shares_by_distance(
    share: Callable[..., float], losses: tuple[Doubles, Doubles], a: Layered, b: Layered, units: float, divisor: float
) -> Doubles:
    """See `noisysim.compute.algebra.shares_by_distance`."""
    changes = np.subtract(*losses, dtype=np.float64) / divisor
    return shares(share, changes, squared_distances(a, b), np.array([units]))


def cross_entropy(output: Floats, targets: Floats) -> Doubles:
    """See `noisysim.losses.cross_entropy`."""
    return _judged(sums.cross_entropy, output, targets)


def squared_error(output: Floats, targets: Floats) -> Doubles:
    """See `noisysim.losses.squared_error`."""
    return _judged(sums.squared_error, output, targets)


def _judged(loss: Callable[..., None], output: Floats, targets: Floats) -> Doubles:
    """A loss of outputs, (samples, n) or those of several passes."""
    values = np.empty(output.shape[:-1])
    if output.ndim == 2:
        loss(output, targets, values)
        return values
    for rows, of_rows in zip(output, values, strict=True):
        loss(rows, targets, of_rows)
    return values


def outer(
    terms: Sequence[Term], inputs: Sequence[Floats], out: Layered, normed: Sequence[Floats | None], chips: int
) -> None:
    """See `noisysim.compute.algebra.outer`.

    The sum is formed where the product needs it, a block of units at a time, and never kept.
    """
    first = terms[0].activities
    samples, depth = len(first[0]), len(first)
    batch = samples // chips
    if isinstance(first, Layered) and first.flat_rows:  # the sum below, quicker
        flops = 2.0 * batch * out.flat.size / chips
    else:
        flops = 2.0 * sum(a.size * x.shape[-1] for a, x in zip(first, inputs, strict=True)) / chips
    factors = [np.ascontiguousarray(t.factors, np.float64).reshape(-1, samples) for t in terms]
    if flops < execution.SERIAL_FLOPS and len(terms) == 1 and not normed:
        x, a = layered.layered(inputs), layered.layered(first)
        rest = a.flat[:0] if terms[0].baseline is None else layered.layered(terms[0].baseline).flat
        loops = sums.outer_layers
        arguments = (factors[0], a.flat, rest, x.flat, out.flat, x.widths, a.widths, a.positions, batch, chips)
        if chips == 1:
            with execution.single_blas():
                loops(*arguments, 0, 1)
        else:
            sharing.over_chips(partial(loops, *arguments), chips, flops)
        return
    parts: list[_Outer] = [(terms, factors, inputs, out, normed)]
    if chips > 1:
        parts = [_outer_of(m, chips, *parts[0]) for m in range(chips)]
    tasks = [
        (
            2.0 * x[layer].size * (last - start),
            partial(_outer_block, summands, shares, layer, x[layer], target[layer], lines, start, last),
        )
        for summands, shares, x, target, lines in parts
        for layer in range(depth)
        for start, last in execution.unit_spans(len(target[layer]))
    ]
    sharing.run_weighed(tasks, chips)


def _outer_of(
    m: int, chips: int, terms: Sequence[Term], factors: Sequence[Doubles], inputs: Sequence[Floats],
    out: Sequence[Floats], normed: Sequence[Floats | None],
) -> _Outer:  # fmt: skip
    """A chip's part of the arguments of `outer`."""

    def part(arrays: Sequence[Floats | None] | None) -> Any:
        return arrays and [None if a is None else a.reshape(chips, -1, *a.shape[1:])[m] for a in arrays]

    shares = [f.reshape(len(f), chips, -1)[:, m] for f in factors]
    terms = [t._replace(activities=part(t.activities), baseline=part(t.baseline)) for t in terms]
    return terms, shares, part(inputs), part(out), part(normed)


def _outer_block(
    terms: Sequence[Term], factors: Sequence[Doubles], layer: int, inputs: Floats, out: Floats,
    normed: Sequence[Floats | None], start: int, stop: int,
) -> None:  # fmt: skip
    """Rows start..stop of one layer's gradient, of one chip."""
    kernels = sums
    batch, x = len(inputs), rows_of(np.ascontiguousarray(inputs))
    packed = execution.scratch("work", len(x) * (stop - start))[: len(x) * (stop - start)].reshape(len(x), -1)
    for k, term in enumerate(terms):
        rest = np.empty((0, 0), np.float32) if term.baseline is None else rows_of(term.baseline[layer])
        share = factors[k][layer if len(factors[k]) > 1 else 0]
        kernels.pack(packed, share, rows_of(term.activities[layer]), rest, 1.0 / batch, start, k == 0)
    lines = normed[layer] if normed else None
    if lines is not None:
        leave_out_of_units(packed, rows_of(lines), start)
    kernels.outer_packed(packed, x, out[start:stop])


def rows_of(array: Floats) -> Floats:
    """(batch, positions, units) as (batch positions, units)."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])


def normals(
    out: Layered, sigma: float | tuple[float, ...], first_sample: int, number: int, stream: int, keys: Words
) -> None:
    """See `noisysim.compute.algebra.normals`."""
    kernel, pairs = draws.normals, _pairs(keys.tobytes())
    deviations = [np.float32(s) for s in sigma] if isinstance(sigma, tuple) else [np.float32(sigma)] * len(pairs)
    rows = [array.reshape(len(pairs), len(array) // len(pairs), -1) for array in out]
    tasks = [
        partial(kernel, part[m, a:b], deviations[m], first_sample + a, number, _word(layer, stream), k0, k1)
        for layer, part in enumerate(rows)
        for m, (k0, k1) in enumerate(pairs)
        for a, b in tiling.row_spans(part.shape[1], _FLOPS_PER_DRAW * part.shape[2])
    ]
    sharing.run(tasks, len(pairs), _FLOPS_PER_DRAW * out.flat.size / len(pairs))


def uniforms(out: Layered, bounds: Sequence[float], stream: int, keys: Words) -> None:
    """See `noisysim.compute.algebra.uniforms`."""
    kernel = draws.uniforms
    for layer, (array, bound) in enumerate(zip(out, bounds, strict=True)):
        for key, part in zip(keys, array.reshape(len(keys), len(array) // len(keys), -1), strict=True):
            kernel(part, np.float32(bound), 0, 0, _word(layer, stream), *key)


@lru_cache(4096)
def _word(layer: int, stream: int) -> Any:
    """The last counter word of a layer's draws."""
    return stream_word(OWN_STREAM, layer, stream)


@lru_cache(64)
def _pairs(keys: bytes) -> list[tuple[Any, Any]]:
    """The words of each chip's key."""
    return [tuple(key) for key in np.frombuffer(keys, np.uint32).reshape(-1, 2)]


def combine(factors: Array, activities: Sequence[Floats], out: Floats, baseline: Floats | None) -> None:
    """See `noisysim.compute.algebra.combine`."""
    kernels, nothing = sums, np.empty((0, 0), np.float32)

    def some(first: int, last: int) -> None:
        rest = nothing if baseline is None else baseline[first:last].reshape(last - first, -1)
        target = out[first:last].reshape(last - first, -1)
        for k, (factor, array) in enumerate(zip(factors, activities, strict=True)):
            shares = np.ascontiguousarray(factor[first:last], np.float64)
            kernels.pack(target, shares, array[first:last].reshape(last - first, -1), rest, 1.0, 0, k == 0)

    sharing.in_rows(some, len(out), sharing.FLOPS_PER_BYTE * 8 * out.size * len(factors))


def scale_by_slope(signal: Floats, activities: Floats, activation: str | Activation) -> None:
    """See `noisysim.compute.algebra.scale_by_slope`."""
    kernel = bring.slope(activations.get(activation))

    def some(first: int, last: int) -> None:
        kernel(signal[first:last].reshape(-1), np.ascontiguousarray(activities[first:last]).reshape(-1))

    sharing.in_rows(some, len(signal), sharing.FLOPS_PER_BYTE * 8 * signal.size)


def activate(activities: Floats, activation: str | Activation) -> Floats:
    """See `noisysim.compute.algebra.activate`."""
    out, step = np.empty(activities.shape, np.float32), bring.activation(activations.get(activation))

    def some(first: int, last: int) -> None:
        values = np.ascontiguousarray(activities[first:last]).reshape(1, -1)
        step(NO_SETTINGS, 0, values, out[first:last].reshape(1, -1), NOTHING)

    sharing.in_rows(some, len(out), sharing.FLOPS_PER_BYTE * 8 * out.size)
    return out


def product(x: Floats, matrices: Sequence[Floats], out: Floats, chips: int, transposed: bool) -> None:
    """See `noisysim.compute.algebra.product`: in a fixed partition of each chip's rows."""
    source, target = rows_of(x), rows_of(out)
    flops = 2.0 * len(source) * sum(m.size for m in matrices) / chips**2
    if chips > 1:
        source, target = (a.reshape(chips, -1, a.shape[-1]) for a in (source, target))
        matrices = [m.reshape(chips, -1, m.shape[-1]) for m in matrices]
    if transposed:
        matrices = [m.swapaxes(-1, -2) for m in matrices]

    def some(region: tuple[slice, ...]) -> None:
        value = source[region]
        for matrix in matrices[:-1]:
            value = value @ matrix[region[:-1]]
        np.matmul(value, matrices[-1][region[:-1]], out=target[region])

    rows = source.shape[-2]
    regions: list[tuple[slice, ...]] = [(slice(*span),) for span in tiling.row_spans(rows, flops / max(rows, 1))]
    if chips > 1:
        size = 1 if flops >= execution.SERIAL_FLOPS else -(-chips // sharing.PARTS)
        regions = [(slice(*span), *rows) for span in execution.spans(chips, size) for rows in regions]
    execution.run([partial(some, region) for region in regions], chips * flops)


def passed_share(activities: Sequence[Floats], baseline: Sequence[Floats], chips: int) -> Doubles:
    """See `noisysim.compute.algebra.passed_share`."""
    kernel, counts, size = sums.count_passed, np.zeros(chips, np.int64), 0
    for a, b in zip(activities, baseline, strict=True):
        first, second = np.ascontiguousarray(a).reshape(chips, -1), np.ascontiguousarray(b).reshape(chips, -1)
        kernel(first, second, counts)
        size += a.size
    return counts / max(size // chips, 1)


def adam(gradient: Floats, first: Floats, second: Floats, numbers: Floats) -> None:
    """The step of `noisysim.optimizers.Adam`, flat arrays."""
    if gradient.size <= _WEIGHTS_AT_ONCE:
        optimizer_steps.adam(gradient, first, second, numbers)
        return

    def some(a: int, b: int) -> None:
        optimizer_steps.adam(gradient[a:b], first[a:b], second[a:b], numbers)

    parts = execution.spans(gradient.size, _WEIGHTS_AT_ONCE)
    execution.run([partial(some, *part) for part in parts], sharing.FLOPS_PER_BYTE * 16 * gradient.size)
