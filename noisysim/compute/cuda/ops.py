"""The operations of `compute.algebra`, optimizers, decorrelation and losses: cuBLAS, CuPy's reductions, kernels."""

# CuPy has no types: what its functions return is Any
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from noisysim.common.types import Array, Doubles, Floats, Words
from noisysim.compute import layered
from noisysim.compute.cuda import specialised
from noisysim.compute.cuda.arrays import xp
from noisysim.compute.cuda.kernels.target import launch, launch_rows
from noisysim.compute.layered import Layered
from noisysim.compute.layout import OWN_STREAM
from noisysim.compute.noise import stream_word
from noisysim.compute.protocols import Term
from noisysim.networks.activations import Activation


@lru_cache(1024)
def _ends(sizes: tuple[int, ...]) -> Any:
    """Where the layers of a buffer stop, on the GPU, by their sizes."""
    return xp.array(list(itertools.accumulate(sizes)), np.int64)


@lru_cache(64)
def _column(values: tuple[float, ...]) -> Any:
    """A float32 number for each chip, (chips, 1)."""
    return xp.array(values, np.float32)[:, None]


@lru_cache(64)
def _units(values: tuple[float, ...]) -> Any:
    """What a rule multiplies by, on the GPU."""
    return xp.array(values, np.float64)


@lru_cache(1)
def _nothing() -> Any:
    """What stands for an array that there is none of: a zero."""
    return xp.zeros(1, np.float32)


class _Flag(threading.local):
    """What a kernel sets where it finds something, 0 before: a thread's own."""

    @cached_property
    def found(self) -> Any:
        """(1,) int32."""
        return xp.zeros(1, np.int32)


_flag = _Flag()


def all_finite(array: Floats) -> bool:
    """Whether an array holds neither NaN nor infinity; waits for the GPU."""
    launch(specialised.sums().find_others, array.size, xp.ascontiguousarray(array).reshape(-1), _flag.found)
    if bool(_flag.found[0]):
        _flag.found.fill(0)
        return False
    return True


def _sizes(arrays: Sequence[Floats]) -> tuple[int, ...]:
    return tuple(a.size for a in arrays)


def _rows(array: Floats) -> Floats:
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])


def _stacked(matrix: Floats, chips: int) -> Floats:
    """A matrix that chips share by its rows as (chips, rows, columns).

    That of one chip is left: CuPy copies transposed operands of products of stacks, and of no others.
    """
    return matrix if chips == 1 else matrix.reshape(chips, -1, matrix.shape[-1])


def _transposed(matrix: Floats) -> Floats:
    return matrix.swapaxes(-1, -2)


def _distances(a: Layered, b: Layered, rows: int) -> Doubles:
    """Squared differences over all layers (1 row) or of each, (rows, batch) float64."""
    samples, sizes = len(a[0]), _sizes(a)
    out: Doubles = xp.empty((rows, samples))
    width = sum(sizes) // max(rows * samples, 1)
    launch_rows(specialised.sums().distances, out.size, width, out, a.flat, b.flat, _ends(sizes), samples)
    return out


def squared_distances(a: Layered, b: Layered) -> Doubles:
    """See `noisysim.compute.algebra.squared_distances`."""
    return _distances(a, b, 1)[0]


def layer_distances(a: Layered, b: Layered) -> Doubles:
    """See `noisysim.compute.algebra.layer_distances`."""
    return _distances(a, b, len(a))


def layer_squares(a: Layered) -> Doubles:
    """See `noisysim.compute.algebra.layer_squares`."""
    return xp.stack([xp.square(rows, dtype=np.float64).sum(axis=1) for rows in (v.reshape(len(v), -1) for v in a)])


def shares(share: Callable[..., float], changes: Doubles, sizes: Doubles, units: Doubles) -> Doubles:
    """See `noisysim.compute.algebra.shares`."""
    out: Doubles = xp.empty(sizes.shape)
    each = out.size if units.size == 1 else sizes.shape[1]
    changes = xp.ascontiguousarray(xp.broadcast_to(changes, sizes.shape))
    flat = (changes.reshape(-1), xp.ascontiguousarray(sizes).reshape(-1), _units(tuple(units.tolist())))
    launch(specialised.shares(share).share_all, out.size, *flat, each, out.reshape(-1))
    return out


def shares_by_distance(
    share: Callable[..., float], losses: tuple[Doubles, Doubles], a: Layered, b: Layered, units: float, divisor: float
) -> Doubles:
    """See `noisysim.compute.algebra.shares_by_distance`."""
    out: Doubles = xp.empty(len(a[0]))
    loss, loss_before = (xp.ascontiguousarray(values, np.float64) for values in losses)
    sizes, kernels = _sizes(a), specialised.shares(share)
    launch_rows(
        kernels.share_by_distance, len(out), sum(sizes) // len(out), out, a.flat, b.flat, _ends(sizes), loss,
        loss_before, divisor, units,
    )  # fmt: skip
    return out


def _pack(
    packed: Floats,
    factors: Doubles,
    flat: Floats,
    baseline: Floats | None,
    sizes: tuple[int, ...],
    share: float,
    fresh: bool,
) -> None:
    """packed (+)= share factor (activities - baseline), flat, for factors (1 or layers, samples)."""
    rest = _nothing() if baseline is None else baseline
    some = (factors, flat, rest, _ends(sizes), factors.shape[1], share, fresh, baseline is not None)
    launch(specialised.sums().pack, packed.size, packed, *some)


def outer(
    terms: Sequence[Term], inputs: Sequence[Floats], out: Layered, normed: Sequence[Floats | None], chips: int
) -> None:
    """See `noisysim.compute.algebra.outer`."""
    formed = signals(terms, normed, chips / len(terms[0].activities[0]), chips)
    for line, x, target in zip(formed, inputs, out, strict=True):
        x = _stacked(_rows(x), chips)
        xp.matmul(_transposed(_stacked(_rows(line), chips)), x, out=_stacked(target, chips))


def signals(terms: Sequence[Term], normed: Sequence[Floats | None], share: float, chips: int) -> Layered:
    """The sum of terms, times `share`, without what the statistics of a batch take away of it."""
    first = terms[0].activities
    samples = len(first[0])
    packed = layered.empty([a.shape for a in first], xp)
    for k, term in enumerate(terms):
        factors = xp.ascontiguousarray(term.factors, np.float64).reshape(-1, samples)
        rest = None if term.baseline is None else layered.layered(term.baseline).flat
        flat = layered.layered(term.activities).flat
        _pack(packed.flat, factors, flat, rest, _sizes(packed), share, k == 0)
    for line, normalised in zip(packed, normed, strict=False):
        if normalised is not None:
            leave_out_moments(_rows(line), _rows(normalised), chips)
    return packed


def leave_out_moments(signal: Floats, normed: Floats, chips: int) -> None:
    """See `noisysim.compute.algebra.leave_out_moments`."""
    s, n = (a.reshape(chips, -1, a.shape[-1]) for a in (signal, normed))
    along = xp.mean(s * n, axis=1, keepdims=True, dtype=np.float64)
    s -= xp.mean(s, axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    s -= n * along.astype(np.float32)


def normalise(values: Floats, norm: Floats, out: Floats, chips: int) -> None:
    """See `noisysim.compute.algebra.normalise`."""
    shift, scale = norm.reshape(2, chips, 1, -1)
    source, target = (a.reshape(chips, -1, shift.shape[-1]) for a in (values, out))
    xp.multiply(source - shift, scale, out=target)


def scale_units(values: Floats, scales: Floats, chips: int) -> None:
    """See `noisysim.compute.algebra.scale_units`."""
    own = scales.reshape(chips, 1, -1)
    by_chip = values.reshape(chips, -1, own.shape[-1])
    by_chip *= own


def moments(activities: Floats, chips: int) -> Doubles:
    """See `noisysim.compute.algebra.moments`."""
    values = activities.reshape(chips, -1, activities.shape[-1])
    means, variances = (f(values, axis=1, dtype=np.float64) for f in (xp.mean, xp.var))
    result: Doubles = xp.stack([means, variances]).reshape(2, -1)
    return result


def normals(
    out: Layered, sigma: float | tuple[float, ...], first_sample: int, number: int, stream: int, keys: Words
) -> None:
    """See `noisysim.compute.algebra.normals`."""
    kernel = specialised.draws().normals
    if isinstance(sigma, tuple):  # of each chip its own: times what is drawn with 1
        normals(out, 1.0, first_sample, number, stream, keys)
        for array in out:
            by_chip = array.reshape(len(sigma), -1)
            by_chip *= _column(sigma)
        return
    for layer, array in enumerate(out):
        rows = array.reshape(len(array), -1)
        launch(kernel, _counters(rows), rows, np.float32(sigma), first_sample, number, _word(layer, stream), keys)


def uniforms(out: Layered, bounds: Sequence[float], stream: int, keys: Words) -> None:
    """See `noisysim.compute.algebra.uniforms`."""
    kernel = specialised.draws().uniforms
    for layer, (array, bound) in enumerate(zip(out, bounds, strict=True)):
        launch(kernel, _counters(array), array, np.float32(bound), 0, 0, _word(layer, stream), keys)


def _word(layer: int, stream: int) -> Any:
    """The last counter word of a layer's draws."""
    return stream_word(OWN_STREAM, layer, stream)


def _counters(rows: Floats) -> int:
    """Counters that the draws of a matrix take: four values each."""
    return len(rows) * -(-int(rows.shape[1]) // 4)


def combine(factors: Array, activities: Sequence[Floats], out: Floats, baseline: Floats | None) -> None:
    """See `noisysim.compute.algebra.combine`."""
    factors = xp.ascontiguousarray(factors, np.float64)
    target = out.reshape(-1)
    rest = None if baseline is None else xp.ascontiguousarray(baseline).reshape(-1)
    for k, array in enumerate(activities):
        flat = xp.ascontiguousarray(array).reshape(-1)
        _pack(target, factors[k : k + 1], flat, rest, (target.size,), 1.0, k == 0)


def scale_by_slope(signal: Floats, activities: Floats, activation: str | Activation) -> None:
    """See `noisysim.compute.algebra.scale_by_slope`."""
    kernel = specialised.slopes(activation).scale_by_slope
    launch(kernel, signal.size, signal.reshape(-1), xp.ascontiguousarray(activities).reshape(-1))


def activate(activities: Floats, activation: str | Activation) -> Floats:
    """See `noisysim.compute.algebra.activate`."""
    out = xp.empty(activities.shape, np.float32)
    kernel = specialised.slopes(activation).activate_all
    launch(kernel, out.size, xp.ascontiguousarray(activities).reshape(-1), out.reshape(-1))
    return out


def product(x: Floats, matrices: Sequence[Floats], out: Floats, chips: int, transposed: bool) -> None:
    """See `noisysim.compute.algebra.product`."""
    value, target = _stacked(_rows(x), chips), _stacked(_rows(out), chips)
    stacks = [_stacked(m, chips) for m in matrices]
    if transposed:
        stacks = [_transposed(m) for m in stacks]
    for matrix in stacks[:-1]:
        value = xp.matmul(value, matrix)
    xp.matmul(value, stacks[-1], out=target)


def passed_share(activities: Sequence[Floats], baseline: Sequence[Floats], chips: int) -> Doubles:
    """See `noisysim.compute.algebra.passed_share`."""
    pairs = zip(activities, baseline, strict=True)
    counts = [(a != b).reshape(chips, -1).sum(axis=1, dtype=np.float64) for a, b in pairs]
    return sum(counts, xp.zeros(chips)) / max(sum(_sizes(activities)) // chips, 1)


def adam(gradient: Floats, first: Floats, second: Floats, numbers: Floats) -> None:
    """The step of `noisysim.optimizers.Adam`, flat arrays; `numbers` are NumPy's."""
    launch(specialised.sums().adam, gradient.size, gradient, first, second, *numbers)


def _judged(name: str, output: Floats, targets: Floats, out: Floats | Doubles) -> Any:
    """What a kernel of losses makes of outputs, (samples, n) or those of several passes, and of targets."""
    stack = output.reshape(-1, *output.shape[-2:])
    results = out.reshape(stack.shape[: out.ndim + 3 - output.ndim])
    launch_rows(
        getattr(specialised.sums(), name), stack.shape[0] * stack.shape[1], stack.shape[2], stack,
        xp.ascontiguousarray(targets), results,
    )  # fmt: skip
    return out


def cross_entropy(output: Floats, targets: Floats) -> Doubles:
    """See `noisysim.losses.cross_entropy`."""
    return _judged("cross_entropy", output, targets, xp.empty(output.shape[:-1]))


def cross_entropy_error(output: Floats, targets: Floats) -> Floats:
    """See `noisysim.losses.cross_entropy_error`."""
    return _judged("cross_entropy_error", output, targets, xp.empty(output.shape, np.float32))


def squared_error(output: Floats, targets: Floats) -> Doubles:
    """See `noisysim.losses.squared_error`."""
    return _judged("squared_error", output, targets, xp.empty(output.shape[:-1]))


def decorrelate(rotations: Layered, inputs: Layered, rate: float, chips: int) -> None:
    """See `noisysim.chip.decorrelation.decorrelate`.

    By way of the correlations, 2 b n^2 + 2 n^3 operations for b samples, or by two thin products, 4 b n^2; layers that
    are alike share their products.
    """
    inputs, steps, kernels = layered.layered(inputs), xp.empty(rotations.flat.size, np.float32), specialised.sums()
    shapes = [(r.shape[1], x.shape[-1], x.size // x.shape[-1]) for r, x in zip(rotations, inputs, strict=True)]
    correlations = _nothing()
    if any(0 < n * chips < rows for n, _, rows in shapes):
        correlations = xp.empty(steps.size, np.float32)
    at = first = 0
    for (n, columns, rows), alike in itertools.groupby(shapes):
        count = len(list(alike))
        if not n:  # of gains, which are not turned
            first += count * rows * columns
            continue
        own, behind = slice(at, at + count * chips * n * n), first + count * rows * columns
        matrices, out = (a[own].reshape(-1, n, n) for a in (rotations.flat, steps))
        x = inputs.flat[first:behind].reshape(len(matrices), -1, columns)[..., :n]
        x = xp.ascontiguousarray(x)
        x, matrices, out = (a[0] if len(a) == 1 else a for a in (x, matrices, out))  # CuPy copies transposed stacks
        if n * chips < rows:
            between = correlations[own].reshape(out.shape)
            xp.matmul(_transposed(x), x, out=between)
            xp.matmul(between, matrices, out=out)
        else:
            xp.matmul(_transposed(x), xp.matmul(x, matrices), out=out)
        at, first = own.stop, behind
    table = _places(tuple(shapes), chips)
    launch_rows(
        kernels.descend, sum(map(len, rotations)), max(n for n, *_ in shapes), rotations.flat, steps, correlations,
        inputs.flat, table, np.float32(rate),
    )  # fmt: skip


@lru_cache(64)
def _places(shapes: tuple[tuple[int, int, int], ...], chips: int) -> Any:
    """The table of `kernels.sums.descend`, on the GPU."""
    table, ends, at, first = [], 0, 0, 0
    for n, columns, rows in shapes:
        ends += chips * n
        if n:
            table.append((ends, n, at, first, columns, rows // chips, n * chips < rows))
        at, first = at + chips * n * n, first + rows * columns
    return xp.array(np.array(table, np.int64))
