"""What tells learning rules apart, measured beside a run: never inside a rule, and without a trace in it.

A diagnostic looks at one update and gives a number a layer. Those that read exact weights need the oracle, which the
run then grants to them and not to the learner.

The truth that an estimate is compared with is the oracle's gradient at the activities of the same update's baseline
pass: what backpropagation on this chip, with its noise and its converters, would have descended in the learner's place.
Over additive noise its mean is the gradient of the expected loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np

from noisysim.chip.oracle import Oracle
from noisysim.common import identity
from noisysim.common.fields import Field, configure
from noisysim.compute import algebra, backends, periphery
from noisysim.compute.observation import Batch, Observation
from noisysim.networks.architecture import Architecture

BLOCK = 256
"""Rows of a correlation matrix that are formed at a time."""
ORACLE = frozenset({"oracle"})


class Axis(NamedTuple):
    """How a figure shows a diagnostic.

    Attributes
    ----------
    label : str
        Quantity, formula and unit.
    low, high : float or None
        What the axis shows at least. Without `high` it is logarithmic where all values are above 0 and span decades.
    mark : float or None
        A value that is drawn as a line.
    step : float or None
        Distance of the ticks.
    """

    label: str
    low: float | None = None
    high: float | None = None
    mark: float | None = None
    step: float | None = None


class Moments:
    """Mean and scatter of gradients that come one after the other, none of which is kept (Welford 1962).

    Attributes
    ----------
    count : int
        How many came.
    mean : list of numpy.ndarray
        (n_out, n_in) float64 a layer; empty before the first.
    scatter : numpy.ndarray
        (layers,) float64: squared distances from the mean, summed.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: list[np.ndarray] = []
        self.scatter = np.zeros(0)

    def add(self, gradient: Sequence[np.ndarray]) -> None:
        """Take one more into account."""
        if not self.count:
            self.mean, self.scatter = [np.zeros(np.shape(g)) for g in gradient], np.zeros(len(gradient))
        self.count += 1
        for layer, (mean, one) in enumerate(zip(self.mean, gradient, strict=True)):
            change = np.subtract(one, mean, dtype=np.float64)
            self.scatter[layer] += (1 - 1 / self.count) * _square(change)
            change /= self.count
            mean += change

    @property
    def variance(self) -> np.ndarray:
        """Unbiased variance, the sum over the layer's weights, (layers,); from two on."""
        return self.scatter / (self.count - 1)


class Sampled(NamedTuple):
    """Several estimates at fixed weights.

    Attributes
    ----------
    estimate, truth, error : Moments
        Of the learner's gradients, of the true ones at the baseline passes of the same estimates, and of their
        differences, in which the noise common to both is gone.
    """

    estimate: Moments
    truth: Moments
    error: Moments


@dataclass(frozen=True)
class Probe:
    """One update, as a diagnostic may look at it.

    Attributes
    ----------
    batch : Batch
    observations : sequence of Observation
        What the learner saw, the baseline first.
    gradient : Layered or None
        The learner's estimate, before the optimizer; ``None`` where it asked for no change.
    net : Architecture
    oracle : Oracle or None
        Where a diagnostic of the run needs it.
    estimate : callable
        ``estimate(n)`` iterates over n more estimates of the same learner at the same weights, each a baseline
        observation and a gradient, from passes and draws of their own that leave no trace.
    """

    batch: Batch
    observations: Sequence[Observation]
    gradient: Sequence[np.ndarray] | None
    net: Architecture
    oracle: Oracle | None
    estimate: Callable[[int], Iterator[tuple[Observation, Sequence[np.ndarray]]]]
    _sampled: dict[int, Sampled] = field(default_factory=dict, init=False, repr=False)

    @property
    def baseline(self) -> Observation:
        """The update's first pass."""
        return self.observations[0]

    @property
    def undefined(self) -> np.ndarray:
        """(layers,) of NaN."""
        return np.full(len(self.baseline.activities), np.nan)

    @property
    def exact(self) -> Oracle:
        """The oracle, which must have been granted."""
        if self.oracle is None:
            raise ValueError("a diagnostic that reads exact weights says so: needs = frozenset({'oracle'})")
        return self.oracle

    @cached_property
    def estimated(self) -> list[np.ndarray]:
        """The learner's estimate, (n_out, n_in) a layer; empty where it asked for no change."""
        return _host(self.gradient or [])

    @cached_property
    def truth(self) -> list[np.ndarray]:
        """The true gradient, (n_out, n_in) a layer: the oracle's, at the activities of the baseline pass."""
        return _host(self.exact.gradient(self.baseline))

    @cached_property
    def differences(self) -> list[np.ndarray] | None:
        """Pre-activations of the second pass less the baseline's, (batch, values) a layer; ``None`` without one."""
        if len(self.observations) < 2:
            return None
        pairs = zip(_host(self.observations[1].activities), _host(self.baseline.activities), strict=True)
        return [np.subtract(a, b, dtype=np.float64).reshape(len(a), -1) for a, b in pairs]

    @cached_property
    def outputs(self) -> list[np.ndarray]:
        """What each layer is given, (batch, values): the batch's inputs, then hidden outputs."""
        hidden = [periphery.outputs(self.net, layer, self.baseline) for layer in range(self.net.depth - 1)]
        return _host([self.batch.inputs, *hidden])

    def sampled(self, samples: int) -> Sampled:
        """So many more estimates and the truth beside each, drawn once for all diagnostics that ask for as many."""
        if samples not in self._sampled:
            found, truth = Sampled(Moments(), Moments(), Moments()), None
            for baseline, gradient in self.estimate(samples):
                truth = self.exact.gradient(baseline, truth)
                ours, exact = _host(gradient), _host(truth)
                found.estimate.add(ours)
                found.truth.add(exact)
                found.error.add([np.subtract(g, t, dtype=np.float64) for g, t in zip(ours, exact, strict=True)])
            self._sampled[samples] = found
        return self._sampled[samples]


@dataclass(frozen=True)
class Diagnostic:
    """Something measured at one update, (layers,) float64; NaN where it is not defined.

    Attributes
    ----------
    name : str
    needs : frozenset of str
        ``{"oracle"}`` if it reads exact weights.
    axis : Axis
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    axis: ClassVar[Axis] = Axis("")

    def measure(self, probe: Probe) -> np.ndarray:
        """The measured values, one a layer."""
        raise TypeError(f"{type(self).__name__} does not say what it measures")


# -- estimates against the truth ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Angle(Diagnostic):
    """Angle between the update's gradient and the true one, degrees.

    arccos(g . g* / (|g| |g*|)), with g the learner's gradient of a layer before the optimizer, g* the true one. 90 is
    no information: two directions drawn at random in many dimensions.
    """

    name: ClassVar[str] = "angle"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis("angle to the true gradient (degrees)", 0, 90, 90, 15)

    def measure(self, probe: Probe) -> np.ndarray:
        return _compare(_angle, probe.estimated, probe.truth)


@dataclass(frozen=True)
class Cosine(Diagnostic):
    """Cosine similarity of the update's gradient and the true one.

    g . g* / (|g| |g*|), g and g* as for ``angle``.
    """

    name: ClassVar[str] = "cosine"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis("cosine similarity to the true gradient", 0, 1, 0)

    def measure(self, probe: Probe) -> np.ndarray:
        return _compare(_cosine, probe.estimated, probe.truth)


@dataclass(frozen=True)
class MeanAngle(Diagnostic):
    """Angle between the mean of several estimates and the mean of the true gradients, degrees.

    The estimates are drawn at fixed weights and on the same batch, each beside the true gradient of its own baseline
    pass. What is left at many samples is bias (Dalm et al. 2025, Fig. 2).
    """

    name: ClassVar[str] = "mean_angle"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis("angle of the mean estimate (degrees)", 0, 90, 90, 15)

    samples: Annotated[int, Field("estimates", 1, 100_000, "extra estimates averaged at each look", whole=True)] = 20

    def measure(self, probe: Probe) -> np.ndarray:
        found = probe.sampled(self.samples)
        return _compare(_angle, found.estimate.mean, found.truth.mean or probe.truth)


@dataclass(frozen=True)
class Bias(Diagnostic):
    """Distance of the expected estimate from the true gradient, over the norm of that.

    sqrt(max(|m|^2 - s^2 / n, 0)) / |<g*>|, with m and s^2 the mean and the variance of the error g - g* of n estimates
    at fixed weights. s^2 / n is what |m|^2 would be on average without a bias. 0 says that none can be told from the
    sampling noise, which is about s / sqrt(n).
    """

    name: ClassVar[str] = "bias"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis(r"bias, $|\langle g - g^* \rangle| \, / \, |\langle g^* \rangle|$", 0)

    samples: Annotated[int, Field("estimates", 2, 100_000, "extra estimates drawn at each look", whole=True)] = 20

    def measure(self, probe: Probe) -> np.ndarray:
        _, truth, error = probe.sampled(self.samples)
        if error.count < 2:
            return probe.undefined
        square = np.maximum(_squares(error.mean) - error.variance / error.count, 0)
        return np.sqrt(_ratio(square, _squares(truth.mean)))


@dataclass(frozen=True)
class Variance(Diagnostic):
    """Variance of an estimate, summed over the layer's weights, over the squared norm of the true gradient.

    s^2 / |<g*>|^2 with s^2 = sum_k |g_k - <g>|^2 / (n - 1), over n estimates g_k at fixed weights and their mean.
    """

    name: ClassVar[str] = "variance"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis(
        r"variance, $\langle |g - \langle g \rangle|^2 \rangle \, / \, |\langle g^* \rangle|^2$", 0
    )

    samples: Annotated[int, Field("estimates", 2, 100_000, "extra estimates drawn at each look", whole=True)] = 20

    def measure(self, probe: Probe) -> np.ndarray:
        estimate, truth, _ = probe.sampled(self.samples)
        return probe.undefined if estimate.count < 2 else _ratio(estimate.variance, _squares(truth.mean))


@dataclass(frozen=True)
class WeightNorm(Diagnostic):
    """Frobenius norm of each layer's exact weights, biases included."""

    name: ClassVar[str] = "weight_norm"
    needs: ClassVar[frozenset[str]] = ORACLE
    axis: ClassVar[Axis] = Axis("weight norm, $|W|$")

    def measure(self, probe: Probe) -> np.ndarray:
        return np.sqrt(_squares(_host(probe.exact.weights)))


# -- what a chip's user could see --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dimensionality(Diagnostic):
    """Participation ratio of what each hidden layer gives to the next, f(a), over the batch.

    (sum_i v_i)^2 / sum_i v_i^2 = (tr C)^2 / |C|^2, with v the eigenvalues of the outputs' covariance C (Hiratani et
    al. 2022, appendix C.1). Between 1 and the smaller of the number of units and batch size - 1. The last layer has
    none.
    """

    name: ClassVar[str] = "dimensionality"
    axis: ClassVar[Axis] = Axis(r"dimensionality of $f(a)$, $(\mathrm{tr}\,C)^2 / \, |C|^2$", 0)

    def measure(self, probe: Probe) -> np.ndarray:
        found = probe.undefined
        for layer, outputs in enumerate(probe.outputs[1:]):
            trace, square = _scatter(outputs)
            found[layer] = _ratio(trace**2, square)
        return found


@dataclass(frozen=True)
class CorrelationBefore(Diagnostic):
    """Mean absolute correlation of two inputs of a layer, before decorrelation.

    Of the task's inputs, or the outputs of the layer below, over the batch; of a convolution those of a patch, over
    batch and positions. Inputs that are constant are left out. Independent inputs have sqrt(2 / (pi batch)): 0.025 in a
    batch of 1000.
    """

    name: ClassVar[str] = "correlation_before"
    axis: ClassVar[Axis] = Axis("mean |correlation| of inputs, before decorrelation", 0)

    def measure(self, probe: Probe) -> np.ndarray:
        seen = [periphery.unfold(probe.net, layer, x) for layer, x in enumerate(probe.outputs)]
        return np.array([_correlation(algebra.rows(x)) for x in seen])


@dataclass(frozen=True)
class CorrelationAfter(Diagnostic):
    """Mean absolute correlation of two inputs of a layer, after decorrelation.

    Of what the array is driven with, after the periphery's matrix R and the DAC; otherwise as ``correlation_before``.
    """

    name: ClassVar[str] = "correlation_after"
    axis: ClassVar[Axis] = Axis("mean |correlation| of inputs, after decorrelation", 0)

    def measure(self, probe: Probe) -> np.ndarray:
        return np.array([_correlation(algebra.rows(x)) for x in _host(probe.baseline.inputs)])


@dataclass(frozen=True)
class DifferenceWhiteness(Diagnostic):
    """How white the activity differences of the first perturbed pass are: 1 is white noise.

    (tr C)^2 / (N |C|^2), with C the covariance of a layer's N differences to the baseline pass. With as few samples as
    units the batch's own covariance is far from white even for white noise; both squares are therefore estimated
    without bias, exactly so for Gaussian differences: with S the scatter matrix of n + 1 samples,
    |C|^2 = (|S|^2 - (tr S)^2 / n) / ((n - 1)(n + 2)) and (tr C)^2 = (tr S)^2 / n^2 - 2 |C|^2 / n.
    """

    name: ClassVar[str] = "difference_whiteness"
    axis: ClassVar[Axis] = Axis(r"whiteness of $\Delta a$, $(\mathrm{tr}\,C)^2 / \, (N |C|^2)$", 0, 1, 1)

    def measure(self, probe: Probe) -> np.ndarray:
        differences = probe.differences
        if differences is None:
            return probe.undefined
        return np.array([_whiteness(d) for d in differences])


@dataclass(frozen=True)
class PassedShare(Diagnostic):
    """Share of activity differences of the first perturbed pass that are not zero: what the ADC lets through."""

    name: ClassVar[str] = "passed_share"
    axis: ClassVar[Axis] = Axis(r"share of $\Delta a \neq 0$", 0, 1)

    def measure(self, probe: Probe) -> np.ndarray:
        differences = probe.differences
        if differences is None:
            return probe.undefined
        return np.array([np.count_nonzero(d) / d.size for d in differences])


# -- the arithmetic ----------------------------------------------------------------------------------------------------


def _host(arrays: Sequence[Any]) -> list[np.ndarray]:
    """The arrays as NumPy's, from wherever the chip computes."""
    return [backends.of(a).take(a) for a in arrays]


def _compare(measure: Callable, estimate: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> np.ndarray:
    """A measure of unit vectors along an estimate and the truth, for each layer; NaN where one of them is zero."""
    found = np.full(len(truth), np.nan)
    for layer, (one, other) in enumerate(zip(estimate, truth, strict=False)):
        u, v = _unit(one), _unit(other)
        if u is not None and v is not None:
            found[layer] = measure(u, v)
    return found


def _cosine(u: np.ndarray, v: np.ndarray) -> float:
    return float(np.vdot(u, v))


def _angle(u: np.ndarray, v: np.ndarray) -> float:
    """Degrees between unit vectors, exact near 0 and 180 too, where the arc cosine is not (Kahan 2006)."""
    return float(np.degrees(2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))))


def _unit(array: np.ndarray) -> np.ndarray | None:
    flat = np.asarray(array, np.float64).ravel()
    norm = np.linalg.norm(flat)
    return flat / norm if norm > 0 else None


def _square(array: np.ndarray) -> float:
    flat = np.asarray(array, np.float64)
    return float(np.vdot(flat, flat))


def _squares(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Squared Frobenius norms, (layers,) float64."""
    return np.array([_square(a) for a in arrays])


def _ratio(over: Any, under: Any) -> np.ndarray:
    """over / under; NaN where that is 0."""
    over, under = np.asarray(over, np.float64), np.asarray(under, np.float64)
    return np.divide(over, under, out=np.full(under.shape, np.nan), where=under > 0)


def _centred(x: np.ndarray) -> np.ndarray:
    """Deviations from the mean over the samples, (batch, units) float64; those of a constant unit are exactly 0."""
    x = np.subtract(x, x[0], dtype=np.float64)
    x -= x.mean(axis=0)
    return x


def _scatter(x: np.ndarray) -> tuple[float, float]:
    """tr S and |S|^2 of the scatter matrix S (units, units) of (batch, units) values.

    From x x^T where that is the smaller: it has the same eigenvalues.
    """
    x = _centred(x)
    gram = x @ x.T if len(x) < x.shape[1] else x.T @ x
    return _square(x), _square(gram)


def _whiteness(differences: np.ndarray) -> float:
    trace, square = _scatter(differences)
    n = len(differences) - 1
    if n < 2 or not trace:
        return np.nan
    own = (square - trace**2 / n) / ((n - 1) * (n + 2))
    whole = trace**2 / n**2 - 2 * own / n
    return float(_ratio(whole, differences.shape[1] * own))


def _correlation(x: np.ndarray) -> float:
    """Mean absolute correlation coefficient of two different units of (batch, units) that vary."""
    x = _centred(x)
    norms = np.sqrt(np.einsum("bi,bi->i", x, x))
    x = x[:, norms > 0] / norms[norms > 0]
    units = x.shape[1]
    if units < 2:
        return np.nan
    total = sum(np.abs(x[:, k : k + BLOCK].T @ x).sum() for k in range(0, units, BLOCK))
    return float((total - units) / (units * (units - 1)))


# -- by name -----------------------------------------------------------------------------------------------------------

DIAGNOSTICS: dict[str, type[Diagnostic]] = {
    cls.name: cls
    for cls in (
        Angle, Bias, CorrelationAfter, CorrelationBefore, Cosine, DifferenceWhiteness, Dimensionality, MeanAngle,
        PassedShare, Variance, WeightNorm,
    )
}  # fmt: skip


def names() -> list[str]:
    """Names of the diagnostics there are."""
    return sorted(DIAGNOSTICS)


def get(spec: Any, **settings: Any) -> Diagnostic:
    """A checked diagnostic: a name (``"angle"``, ``"bias:samples=50"``), a mapping, or an instance.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or field, or a value outside its range.

    Examples
    --------
    >>> get("bias:samples=50")
    Bias(samples=50)
    """
    return configure("diagnostic", spec, settings, DIAGNOSTICS)


def describe(diagnostic: Diagnostic) -> dict[str, Any]:
    """The diagnostic as plain values; of one that is not the package's own its `noisysim.common.identity` too."""
    return {"name": diagnostic.name, **asdict(diagnostic), **identity.of(diagnostic)}
