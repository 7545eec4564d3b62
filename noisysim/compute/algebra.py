"""The few operations over all layers that learning rules are made of, on the backend of the arrays.

Each takes lists with one array per layer; a `Layered` is used as it is, any other list may be copied first. Arrays
are (batch, units), or (batch, positions, units) of a convolution: sums over samples are sums over positions as well.

Several chips may stand side by side, ``chips`` of them: then ``batch`` counts the samples of all, chip after chip, and
the rows of weights, gradients and other matrices are stacked in the same way. What a chip gets does not depend on the
chips beside it; with NumPy's arrays not in a single bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from noisysim.common.types import Array, Doubles, Floats, Words
from noisysim.compute import backends, layered
from noisysim.compute.execution import single_blas as single_blas
from noisysim.compute.jit import compile_errors
from noisysim.compute.layered import Layered
from noisysim.compute.protocols import Term as Term
from noisysim.networks.activations import Activation


def squared_distances(activities: Sequence[Floats], baseline: Sequence[Floats]) -> Doubles:
    """Squared norm over all layers of the difference of two passes, one value per sample, (batch,) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    return backends.backend_of(a.flat).ops.squared_distances(a, b)


def layer_distances(activities: Sequence[Floats], baseline: Sequence[Floats]) -> Doubles:
    """Squared norm of the difference of two passes in each layer, (layers, batch) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    return backends.backend_of(a.flat).ops.layer_distances(a, b)


def layer_squares(arrays: Sequence[Floats]) -> Doubles:
    """Squared norm of each sample in each layer, (layers, batch) float64."""
    a = layered.layered(arrays)
    return backends.backend_of(a.flat).ops.layer_squares(a)


def shares(share: Callable[..., float], changes: Doubles, sizes: Doubles, units: Doubles) -> Doubles:
    """A rule's share of every loss change: share(change, size, units), number by number.

    Parameters
    ----------
    share : callable
        A plain function of three numbers (`noisysim.compute.compiled_estimate.CompiledEstimate`).
    changes, sizes : array
        (n, batch) float64 each.
    units : numpy.ndarray
        (1,) float64, or (n,).

    Returns
    -------
    array
        (n, batch) float64.
    """
    return backends.backend_of(sizes).ops.shares(share, changes, sizes, units)


def shares_by_distance(
    share: Callable[..., float],
    losses: tuple[Doubles, Doubles],
    activities: Sequence[Floats],
    baseline: Sequence[Floats],
    units: float,
    divisor: float = 1.0,
) -> Doubles:
    """A rule's share of how the loss of each sample changed from one pass to another, by how far activities moved.

    Parameters
    ----------
    share : callable
        As of `shares`.
    losses : (array, array)
        (batch,) float64 each, that of the baseline last.
    activities, baseline : sequence of array
        (batch, ...) float32 per layer.
    units, divisor : float

    Returns
    -------
    array
        share((loss - baseline's) / divisor, |activities - baseline|^2, units), (batch,) float64.
    """
    a, b = layered.layered(activities), layered.layered(baseline)
    return backends.backend_of(a.flat).ops.shares_by_distance(share, losses, a, b, units, divisor)


def outer(
    terms: Sequence[Term],
    inputs: Sequence[Floats],
    out: Layered | None = None,
    normed: Sequence[Floats | None] = (),
    chips: int = 1,
) -> Layered:
    """Mean over a chip's samples of s_l x_l^T with s_l the sum of the terms: a weight gradient.

    Parameters
    ----------
    terms : sequence of Term
    inputs : sequence of array
        x, (batch, n_in) or (batch, positions, n_in) per layer.
    out : Layered, optional
        Room for the result.
    normed : sequence of (array or None)
        Normalised lines of the layers that have such: the parts along their mean and their spread are removed from
        the sum.
    chips : int

    Returns
    -------
    Layered
        (chips n_out, n_in) per layer.
    """
    first = terms[0].activities
    backend = backends.backend_of(first[0])
    if out is None:
        shapes = [(chips * a.shape[-1], x.shape[-1]) for a, x in zip(first, inputs, strict=True)]
        out = layered.empty(shapes, backend.xp)
    backend.ops.outer(terms, inputs, out, normed, chips)
    return out


def leave_out_moments(signal: Floats, normed: Floats, chips: int = 1) -> None:
    """signal -= <signal> + normed <signal normed>, in place, (rows, units) with means over each chip's rows."""
    backends.backend_of(signal).ops.leave_out_moments(signal, normed, chips)


def normalise(values: Floats, norm: Floats, chips: int = 1) -> Floats:
    """(values - shift) scale, in their shape, unit by unit: `norm` has each chip's own, (2, chips units)."""
    backend = backends.backend_of(values)
    out: Floats = backend.xp.empty(values.shape, np.float32)
    backend.ops.normalise(values, norm, out, chips)
    return out


def scale_units(values: Floats, scales: Floats, chips: int = 1) -> Floats:
    """values *= scales, in place, unit by unit, (chips units,) of each chip its own."""
    backends.backend_of(values).ops.scale_units(values, scales, chips)
    return values


def moments(activities: Floats, chips: int = 1) -> Doubles:
    """Mean and variance of each unit over a chip's samples and positions, (2, chips units) float64."""
    return backends.backend_of(activities).ops.moments(activities, chips)


def rows(array: Floats) -> Floats:
    """(batch, positions, units) as (batch positions, units); (batch, units) as it is."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])


def normals(
    out: Layered, sigma: float | tuple[float, ...], first_sample: int, number: int, stream: int, keys: Words
) -> None:
    """Fill arrays with N(0, sigma^2): a pure function of sample, number, stream, layer and key.

    Parameters
    ----------
    out : Layered
        Arrays of as many rows, which the chips share; a chip's first is its sample `first_sample`.
    sigma : float or tuple of float
        Of all chips, or of each.
    first_sample, number, stream : int
    keys : array
        A key for each chip, (chips, 2) uint32, on the backend of `out`.
    """
    backends.backend_of(out.flat).ops.normals(out, sigma, first_sample, number, stream, keys)


def uniforms(out: Layered, bounds: Sequence[float], stream: int, keys: Words) -> None:
    """Fill arrays, (rows, n) per layer, with draws within each one's bound: a pure function of stream, layer and key.

    The chips whose `keys`, (chips, 2) uint32, these are share the rows.
    """
    backends.backend_of(out.flat).ops.uniforms(out, bounds, stream, keys)


def combine(factors: Array, activities: Sequence[Floats], out: Floats, baseline: Floats | None = None) -> Floats:
    """out = sum_k factors[k] (activities[k] - baseline), for one layer: (terms, batch), and (batch, ...) each."""
    backends.backend_of(out).ops.combine(factors, activities, out, baseline)
    return out


def scale_by_slope(signal: Floats, activities: Floats, activation: str | Activation) -> Floats:
    """signal *= f'(activities), in place, of one layer."""
    try:
        backends.backend_of(signal).ops.scale_by_slope(signal, activities, activation)
    except Exception as error:
        raise compile_errors.explain_activation(activation, error) from error
    return signal


def activate(activities: Floats, activation: str | Activation) -> Floats:
    """f(activities), what hidden units give, of one layer."""
    try:
        return backends.backend_of(activities).ops.activate(activities, activation)
    except Exception as error:
        raise compile_errors.explain_activation(activation, error) from error


def product(
    x: Floats, matrices: Sequence[Floats], out: Floats | None = None, chips: int = 1, transposed: bool = False
) -> Floats:
    """x M_1 M_2 ..., each chip's rows times its own matrices.

    Parameters
    ----------
    x : array
        (..., a) float32.
    matrices : sequence of array
        (chips a, b) each.
    out : array, optional
        Room for the result.
    chips : int
    transposed : bool
        Whether the matrices that are given, (chips b, a), are to be transposed: x M_1^T M_2^T ...

    Returns
    -------
    array
        (..., b) float32.
    """
    backend = backends.backend_of(x)
    if out is None:
        last = matrices[-1]
        columns = last.shape[0] // chips if transposed else last.shape[1]
        out = backend.xp.empty((*x.shape[:-1], columns), np.float32)
    backend.ops.product(x, matrices, out, chips, transposed)
    return out


def passed_share(activities: Sequence[Floats], baseline: Sequence[Floats], chips: int = 1) -> Doubles:
    """Share of each chip's activities that differ between two passes, (chips,) float64; 0 of none."""
    return backends.backend_of(activities[0]).ops.passed_share(activities, baseline, chips)
