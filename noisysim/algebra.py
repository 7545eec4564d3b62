"""The few operations over all layers that learning rules are made of, compiled and spread over the pool.

Each takes lists with one array a layer; a `Layered` is used where it lies, any other list is copied first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from noisysim import execution, layered
from noisysim.kernels import specialised
from noisysim.layered import Layered

_FLOPS_A_BYTE = 50.0  # what a pass over memory is worth when it is weighed against a product


def _widths(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([a.shape[1] for a in arrays], np.int64)


def squared_distances(activities: Sequence[np.ndarray], baseline: Sequence[np.ndarray]) -> np.ndarray:
    """Squared norm over all layers of the difference of two passes, a value a sample, (batch,) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    widths, batch = _widths(a), len(a[0])
    kernel = specialised.general().squared_distances
    if batch <= execution.BLOCK_ROWS:
        return kernel(a.flat, b.flat, widths, 0, batch)
    out = np.empty(batch)

    def rows(first: int, last: int) -> None:
        out[first:last] = kernel(a.flat, b.flat, widths, first, last)

    spans = execution.spans(batch, execution.BLOCK_ROWS)
    execution.run([partial(rows, *span) for span in spans], _FLOPS_A_BYTE * 8 * a.flat.size)
    return out


def add_scaled(
    signal: Layered,
    factors: np.ndarray,
    activities: Sequence[np.ndarray],
    baseline: Sequence[np.ndarray] | None = None,
    *,
    fresh: bool = False,
) -> None:
    """signal += factors (activities - baseline), layer by layer.

    Parameters
    ----------
    signal : Layered
        (batch, units) a layer, changed in place.
    factors : numpy.ndarray
        (batch,), or (batch, layers) for a factor of each layer's own.
    activities, baseline : sequence of numpy.ndarray
        (batch, units) a layer; without a baseline the activities themselves are added.
    fresh : bool
        Overwrite `signal` instead of adding to it.
    """
    a = layered.layered(activities).flat
    b = a[:0] if baseline is None else layered.layered(baseline).flat
    f = np.asarray(factors, np.float64)
    f = f.reshape(len(f), -1)
    widths, batch = _widths(signal), len(signal[0])
    kernel = specialised.general().add_scaled
    if batch <= execution.BLOCK_ROWS:
        kernel(signal.flat, f, a, b, widths, 0, batch, fresh)
        return
    spans = execution.spans(batch, execution.BLOCK_ROWS)
    tasks = [partial(kernel, signal.flat, f, a, b, widths, *span, fresh) for span in spans]
    execution.run(tasks, _FLOPS_A_BYTE * 8 * a.size)


def outer(signal: Sequence[np.ndarray], inputs: Sequence[np.ndarray], out: Layered | None = None) -> Layered:
    """Batch mean of signal_l x_l^T: a weight gradient, (n_out, n_in) a layer."""
    signal, inputs = layered.layered(signal), layered.layered(inputs)
    batch = len(signal[0])
    if out is None:
        out = layered.empty([(s.shape[1], x.shape[1]) for s, x in zip(signal, inputs, strict=True)])
    flops = 2.0 * batch * out.flat.size
    kernels = specialised.general()
    if flops < execution.SERIAL_FLOPS:
        widths = np.array([(x.shape[1], s.shape[1]) for s, x in zip(signal, inputs, strict=True)], np.int64)
        with execution.single_blas():
            kernels.outer_layers(signal.flat, inputs.flat, out.flat, widths, batch)
        return out
    tasks = [
        partial(kernels.outer_block, s, x, g, *span)
        for s, x, g in zip(signal, inputs, out, strict=True)
        for span in execution.spans(s.shape[1], execution.BLOCK_UNITS)
    ]
    execution.run(tasks, flops)
    return out


def normals(out: Layered, sigma: float, first_sample: int, number: int, stream: int, key: tuple) -> None:
    """Fill (batch, units) arrays with N(0, sigma^2): a pure function of sample, number, stream, layer and key."""
    kernels = specialised.general()
    tasks = [
        partial(kernels.normals, array, np.float32(sigma), first_sample, number,
                kernels.stream_word(kernels.OWN_STREAM, layer, stream), *key)
        for layer, array in enumerate(out)
    ]  # fmt: skip
    execution.run(tasks, _FLOPS_A_BYTE * 4 * out.flat.size)


def passed_share(activities: Sequence[np.ndarray], baseline: Sequence[np.ndarray]) -> float:
    """Share of the activities that differ between two passes."""
    return float(specialised.general().passed_share(layered.layered(activities).flat, layered.layered(baseline).flat))
