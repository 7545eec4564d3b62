"""The few operations over all layers that learning rules are made of, compiled and spread over the pool.

Each takes lists with one array a layer; a `Layered` is used where it lies, any other list is copied first. Arrays are
(batch, units), or (batch, positions, units) of a convolution: sums over samples are sums over positions as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from noisysim import execution, layered
from noisysim.execution import single_blas as single_blas
from noisysim.kernels import specialised
from noisysim.kernels.layout import OWN_STREAM
from noisysim.layered import Layered

_FLOPS_A_BYTE = 50.0  # what a pass over memory is worth when it is weighed against a product


def squared_distances(activities: Sequence[np.ndarray], baseline: Sequence[np.ndarray]) -> np.ndarray:
    """Squared norm over all layers of the difference of two passes, a value a sample, (batch,) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    widths, batch = a.sizes, len(a[0])
    kernel = specialised.sums().squared_distances
    if batch <= execution.BLOCK_ROWS:
        return kernel(a.flat, b.flat, widths, 0, batch)
    out = np.empty(batch)

    def some(first: int, last: int) -> None:
        out[first:last] = kernel(a.flat, b.flat, widths, first, last)

    spans = execution.spans(batch, execution.BLOCK_ROWS)
    execution.run([partial(some, *span) for span in spans], _FLOPS_A_BYTE * 8 * a.flat.size)
    return out


class Term(NamedTuple):
    """One summand of an estimate of dL/da: factors (activities - baseline).

    Attributes
    ----------
    factors : numpy.ndarray
        (batch,), or (layers, batch) for factors of each layer's own.
    activities : sequence of numpy.ndarray
        (batch, units) or (batch, positions, units) a layer.
    baseline : sequence of numpy.ndarray or None
        The same; ``None`` is zero.
    """

    factors: np.ndarray
    activities: Sequence[np.ndarray]
    baseline: Sequence[np.ndarray] | None = None


def outer(
    terms: Sequence[Term], inputs: Sequence[np.ndarray], out: Layered | None = None, normed: Sequence[Any] = ()
) -> Layered:
    """Batch mean of s_l x_l^T with s_l the sum of the terms: a weight gradient, (n_out, n_in) a layer.

    The sum is formed where the product needs it, a block of units at a time, and never kept. In layers with normalised
    lines (`normed`, else ``None``) what goes along with their mean and their spread is left out of it.
    """
    first = terms[0].activities
    batch, depth = len(first[0]), len(first)
    if out is None:
        out = layered.empty([(a.shape[-1], x.shape[-1]) for a, x in zip(first, inputs, strict=True)])
    if isinstance(first, Layered) and first.flat_rows:  # the sum below, quicker
        flops = 2.0 * batch * out.flat.size
    else:
        flops = 2.0 * sum(a.size * x.shape[-1] for a, x in zip(first, inputs, strict=True))
    factors = [np.ascontiguousarray(t.factors, np.float64).reshape(-1, batch) for t in terms]
    if flops < execution.SERIAL_FLOPS and len(terms) == 1 and not normed:
        x, a = layered.layered(inputs), layered.layered(first)
        rest = a.flat[:0] if terms[0].baseline is None else layered.layered(terms[0].baseline).flat
        with execution.single_blas():
            kernel = specialised.sums().outer_layers
            kernel(factors[0], a.flat, rest, x.flat, out.flat, x.widths, a.widths, a.positions, batch)
        return out
    tasks = [
        partial(_outer_block, terms, factors, layer, inputs[layer], out[layer], normed, *span)
        for layer in range(depth)
        for span in execution.unit_spans(len(out[layer]))
    ]
    execution.run(tasks, flops)
    return out


def _outer_block(terms, factors, layer, inputs, out, normed, start, stop) -> None:
    """Rows start..stop of one layer's gradient."""
    kernels = specialised.sums()
    batch, x = len(inputs), rows(np.ascontiguousarray(inputs))
    packed = execution.scratch("work", len(x) * (stop - start))[: len(x) * (stop - start)].reshape(len(x), -1)
    for k, term in enumerate(terms):
        rest = np.empty((0, 0), np.float32) if term.baseline is None else rows(term.baseline[layer])
        own = factors[k][layer if len(factors[k]) > 1 else 0]
        kernels.pack(packed, own, rows(term.activities[layer]), rest, 1.0 / batch, start, k == 0)
    if normed and normed[layer] is not None:
        leave_out_moments(packed, rows(normed[layer])[:, start:stop])
    kernels.outer_packed(packed, x, out[start:stop])


def leave_out_moments(signal: np.ndarray, normed: np.ndarray) -> None:
    """signal -= <signal> + normed <signal normed>, in place, (rows, units) with means over rows."""
    along = np.einsum("ri,ri->i", signal, normed, dtype=np.float64) / len(signal)
    signal -= signal.mean(axis=0, dtype=np.float64).astype(np.float32)
    signal -= normed * along.astype(np.float32)


def rows(array: np.ndarray) -> np.ndarray:
    """(batch, positions, units) as (batch positions, units); (batch, units) as it is."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])


def normals(out: Layered, sigma: float, first_sample: int, number: int, stream: int, key: tuple) -> None:
    """Fill arrays with N(0, sigma^2): a pure function of sample, number, stream, layer and key."""
    kernels = specialised.draws()
    tasks = [
        partial(kernels.normals, array.reshape(len(array), -1), np.float32(sigma), first_sample, number,
                kernels.stream_word(OWN_STREAM, layer, stream), *key)
        for layer, array in enumerate(out)
    ]  # fmt: skip
    execution.run(tasks, _FLOPS_A_BYTE * 4 * out.flat.size)


def uniforms(out: Layered, bounds: Sequence[float], stream: int, key: tuple) -> None:
    """Fill arrays, (rows, n) a layer, with draws within each one's bound: a pure function of stream, layer and key."""
    kernels = specialised.draws()
    for layer, (array, bound) in enumerate(zip(out, bounds, strict=True)):
        word = kernels.stream_word(OWN_STREAM, layer, stream)
        kernels.uniforms(array, np.float32(bound), 0, 0, word, *key)


def combine(
    factors: np.ndarray, activities: Sequence[np.ndarray], out: np.ndarray, baseline: np.ndarray | None = None
) -> np.ndarray:
    """out = sum_k factors[k] (activities[k] - baseline), for one layer: (terms, batch), and (batch, ...) each."""
    kernels, nothing = specialised.sums(), np.empty((0, 0), np.float32)
    batch = len(out)

    def some(first: int, last: int) -> None:
        rest = nothing if baseline is None else baseline[first:last].reshape(last - first, -1)
        target = out[first:last].reshape(last - first, -1)
        for k, (factor, array) in enumerate(zip(factors, activities, strict=True)):
            own = np.ascontiguousarray(factor[first:last], np.float64)
            kernels.pack(target, own, array[first:last].reshape(last - first, -1), rest, 1.0, 0, k == 0)

    spans = execution.spans(batch, execution.BLOCK_ROWS)
    execution.run([partial(some, *span) for span in spans], _FLOPS_A_BYTE * 4 * out.size * len(factors))
    return out


def scale_by_slope(signal: np.ndarray, activities: np.ndarray, activation: str) -> np.ndarray:
    """signal *= f'(activities), in place, of one layer."""
    kernel = specialised.slopes(activation).scale_by_slope

    def some(first: int, last: int) -> None:
        kernel(signal[first:last].reshape(-1), np.ascontiguousarray(activities[first:last]).reshape(-1))

    spans = execution.spans(len(signal), execution.BLOCK_ROWS)
    execution.run([partial(some, *span) for span in spans], _FLOPS_A_BYTE * 8 * signal.size)
    return signal


def activate(activities: np.ndarray, activation: str) -> np.ndarray:
    """f(activities), what hidden units give, of one layer."""
    out = np.empty(activities.shape, np.float32)
    specialised.slopes(activation).activate_all(np.ascontiguousarray(activities).reshape(-1), out.reshape(-1))
    return out


def product(x: np.ndarray, matrices: Sequence[np.ndarray], out: np.ndarray | None = None) -> np.ndarray:
    """x M_1 M_2 ..., (..., n) float32, in the fixed partition of rows."""
    if out is None:
        out = np.empty((*x.shape[:-1], matrices[-1].shape[1]), np.float32)
    source, target = rows(x), rows(out)

    def some(first: int, last: int) -> None:
        value = source[first:last]
        for matrix in matrices:
            value = value @ matrix
        target[first:last] = value

    spans = execution.spans(len(source), execution.BLOCK_ROWS)
    execution.run([partial(some, *span) for span in spans], 2.0 * len(source) * sum(m.size for m in matrices))
    return out


def layer_distances(activities: Sequence[np.ndarray], baseline: Sequence[np.ndarray]) -> np.ndarray:
    """Squared norm of the difference of two passes in each layer, (layers, batch) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    out, at = np.empty((len(a), len(a[0]))), 0
    for layer, array in enumerate(a):
        part = slice(at, at + array.size)
        single = a.sizes[layer : layer + 1]
        out[layer] = specialised.sums().squared_distances(a.flat[part], b.flat[part], single, 0, len(array))
        at += array.size
    return out


def passed_share(activities: Sequence[np.ndarray], baseline: Sequence[np.ndarray]) -> float:
    """Share of the activities that differ between two passes."""
    kernel, passed, size = specialised.sums().passed_share, 0, 0
    for a, b in zip(activities, baseline, strict=True):
        share = kernel(np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1))
        passed += round(a.size * share)
        size += a.size
    return passed / max(size, 1)
