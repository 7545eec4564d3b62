"""The few operations over all layers that learning rules are made of, on whatever backend the arrays lie.

Each takes lists with one array a layer; a `Layered` is used where it lies, any other list may be copied first. Arrays
are (batch, units), or (batch, positions, units) of a convolution: sums over samples are sums over positions as well.

Several chips may stand side by side, ``chips`` of them: then ``batch`` counts the samples of all, chip after chip, and
the rows of weights, gradients and other matrices are stacked in the same way. What a chip gets does not depend on who
stands beside it; with NumPy's arrays not in a single bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from noisysim.compute import backends, layered
from noisysim.compute.execution import single_blas as single_blas
from noisysim.compute.layered import Layered


class Term(NamedTuple):
    """One summand of an estimate of dL/da: factors (activities - baseline).

    Attributes
    ----------
    factors : array
        (batch,), or (layers, batch) for factors of each layer's own; on the backend of the activities.
    activities : sequence of array
        (batch, units) or (batch, positions, units) a layer.
    baseline : sequence of array or None
        The same; ``None`` is zero.
    """

    factors: Any
    activities: Sequence[Any]
    baseline: Sequence[Any] | None = None


def squared_distances(activities: Sequence[Any], baseline: Sequence[Any]) -> Any:
    """Squared norm over all layers of the difference of two passes, a value a sample, (batch,) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    return backends.of(a.flat).ops.squared_distances(a, b)


def layer_distances(activities: Sequence[Any], baseline: Sequence[Any]) -> Any:
    """Squared norm of the difference of two passes in each layer, (layers, batch) float64."""
    a, b = layered.layered(activities), layered.layered(baseline)
    return backends.of(a.flat).ops.layer_distances(a, b)


def outer(
    terms: Sequence[Term],
    inputs: Sequence[Any],
    out: Layered | None = None,
    normed: Sequence[Any] = (),
    chips: int = 1,
) -> Layered:
    """Mean over a chip's samples of s_l x_l^T with s_l the sum of the terms: a weight gradient.

    Parameters
    ----------
    terms : sequence of Term
    inputs : sequence of array
        x, (batch, n_in) or (batch, positions, n_in) a layer.
    out : Layered, optional
        Room for the result.
    normed : sequence of (array or None)
        Normalised lines of the layers that have such: what goes along with their mean and their spread is left out of
        the sum.
    chips : int

    Returns
    -------
    Layered
        (chips n_out, n_in) a layer.
    """
    first = terms[0].activities
    backend = backends.of(first[0])
    if out is None:
        shapes = [(chips * a.shape[-1], x.shape[-1]) for a, x in zip(first, inputs, strict=True)]
        out = layered.empty(shapes, backend.xp)
    backend.ops.outer(terms, inputs, out, normed, chips)
    return out


def leave_out_moments(signal: Any, normed: Any, chips: int = 1) -> None:
    """signal -= <signal> + normed <signal normed>, in place, (rows, units) with means over each chip's rows."""
    backends.of(signal).ops.leave_out_moments(signal, normed, chips)


def moments(activities: Any, chips: int = 1) -> Any:
    """Mean and variance of each unit over a chip's samples and positions, (2, chips units) float64."""
    return backends.of(activities).ops.moments(activities, chips)


def rows(array: Any) -> Any:
    """(batch, positions, units) as (batch positions, units); (batch, units) as it is."""
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])


def normals(
    out: Layered, sigma: float | tuple[float, ...], first_sample: int, number: int, stream: int, keys: Any
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
        A key for each chip, (chips, 2) uint32, where `out` lies.
    """
    backends.of(out.flat).ops.normals(out, sigma, first_sample, number, stream, keys)


def uniforms(out: Layered, bounds: Sequence[float], stream: int, keys: Any) -> None:
    """Fill arrays, (rows, n) a layer, with draws within each one's bound: a pure function of stream, layer and key.

    The chips whose `keys`, (chips, 2) uint32, these are share the rows.
    """
    backends.of(out.flat).ops.uniforms(out, bounds, stream, keys)


def combine(factors: Any, activities: Sequence[Any], out: Any, baseline: Any | None = None) -> Any:
    """out = sum_k factors[k] (activities[k] - baseline), for one layer: (terms, batch), and (batch, ...) each."""
    backends.of(out).ops.combine(factors, activities, out, baseline)
    return out


def scale_by_slope(signal: Any, activities: Any, activation: str) -> Any:
    """signal *= f'(activities), in place, of one layer."""
    backends.of(signal).ops.scale_by_slope(signal, activities, activation)
    return signal


def activate(activities: Any, activation: str) -> Any:
    """f(activities), what hidden units give, of one layer."""
    return backends.of(activities).ops.activate(activities, activation)


def product(x: Any, matrices: Sequence[Any], out: Any | None = None, chips: int = 1, transposed: bool = False) -> Any:
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
    backend = backends.of(x)
    if out is None:
        last = matrices[-1]
        columns = last.shape[0] // chips if transposed else last.shape[1]
        out = backend.xp.empty((*x.shape[:-1], columns), np.float32)
    backend.ops.product(x, matrices, out, chips, transposed)
    return out


def passed_share(activities: Sequence[Any], baseline: Sequence[Any], chips: int = 1) -> Any:
    """Share of each chip's activities that differ between two passes, (chips,) float64; 0 of none."""
    return backends.of(activities[0]).ops.passed_share(activities, baseline, chips)
