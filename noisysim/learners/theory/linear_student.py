"""A linear student with one hidden layer ([H] section 4); see `noisysim.learners.theory`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from noisysim.common.fields import Field, check
from noisysim.common.types import Doubles
from noisysim.learners.theory.orders import GONE, Order, Traces, Trajectory, integrate

_FOREVER = 1e5  # a time that no learning takes, in units of the initial 1 / (descent rate)
_SIZE = Field("units", 1, whole=True)
_POSITIVE = Field("", np.finfo(float).tiny)


@dataclass(frozen=True)
class LinearStudent:
    """A linear network with one hidden layer that learns a linear teacher by node perturbation ([H] section 4).

    Rates are those of an update on half the squared error, times are numbers of updates.

    Parameters
    ----------
    n_in, n_hidden, n_out : int
        L_x, L_h, L_y.
    teacher_noise : float
        sigma_t, standard deviation of the noise on the targets.
    input_gain : float
        Variance of the initial W1, in units of Glorot's ([H] Fig. 1C varies it).
    normalise : bool
        Whether after each update every neuron's incoming weights are brought back to their initial norm ([H]
        Fig. 3D). For four variables.
    """

    n_in: int
    n_hidden: int
    n_out: int
    teacher_noise: float = 0.0
    input_gain: float = 1.0
    normalise: bool = False

    def __post_init__(self) -> None:
        for name in ("n_in", "n_hidden", "n_out"):
            check("LinearStudent", name, getattr(self, name), _SIZE)
        check("LinearStudent", "teacher_noise", self.teacher_noise, Field("", 0))
        check("LinearStudent", "input_gain", self.input_gain, _POSITIVE)

    def initial(self) -> Order:
        """Order parameters of Glorot weights ([H] Eq. 69): variance 2 / (n_in + n_out) of each matrix, A included."""
        input_norm = self.input_gain * 2 * self.n_hidden * self.n_in / (self.n_in + self.n_hidden)
        output_norm = 2 * self.n_hidden * self.n_out / (self.n_hidden + self.n_out)
        product = input_norm * output_norm / self.n_hidden
        return Order(input_norm, output_norm, product + self._teacher, product)

    # -- four variables ------------------------------------------------------------------------------------------

    def drift(self, order: Order, rate: float) -> Order:
        """Mean change of the order parameters in one update, to second order in the rate (`mean_change`, `closed`).

        Parameters
        ----------
        order : Order
        rate : float

        Returns
        -------
        Order
            Of changes.
        """
        return self.mean_change(order, self.closed(order), rate)

    def mean_change(self, order: Order, traces: Traces, rate: float) -> Order:
        """`drift` where the traces are known: exact to second order in the rate, for any weights.

        Parameters
        ----------
        order : Order
        traces : Traces
        rate : float

        Returns
        -------
        Order
            Of changes.

        Notes
        -----
        Write u = W2^T e and h = W1 x. Over xi (Isserlis) the mean of s xi_k is g_k, that of s^2 xi_k xi_k^T is
        (|u|^2 + |e|^2) I + 2 g_k g_k^T, where g_1 = u and g_2 = e, and that of s^2 xi1 xi2^T is 2 u e^T. With <> over
        x and zeta and D the change of S = W2 W1::

            dp     = -2 rate r + rate^2 <|x|^2 ((L_h + 2) |u|^2 + L_h |e|^2)>
            dq     = -2 rate r + rate^2 <|h|^2 (L_y |u|^2 + (L_y + 2) |e|^2)>
            d|E|^2 = -2 rate (tr E M E^T + tr E^T N E) + 4 rate^2 <(h . u) (e . E x)> + <|D|^2>
            dr     = -rate (tr (E + S) M E^T + tr (E + S)^T N E)
                     + 2 rate^2 <(h . u) (e . E x) + (e . S x)^2> + <|D|^2>
            <|D|^2> = rate^2 <|x|^2 (q (|u|^2 + |e|^2) + 2 |W2 u|^2)
                              + |M x|^2 (L_y |u|^2 + (L_y + 2) |e|^2) + 4 |u|^2 |h|^2>

        and over x, <(x.Bx) (x.Cx)> = tr B tr C + tr B C + tr B C^T.
        """
        n_in, n_out, n_hidden = self.n_in, self.n_out, self.n_hidden
        p, q, error, r = order
        t, noise = traces, self.teacher_noise**2
        x_e = (n_in + 2) * error + n_in * n_out * noise  # <|x|^2 |e|^2>
        x_u = (n_in + 2) * t.e_n + n_in * q * noise  # <|x|^2 |u|^2>
        x_wu = (n_in + 2) * t.e_nn + n_in * t.nn * noise  # <|x|^2 |W2 u|^2>
        h_e = p * error + 2 * t.e_m + p * n_out * noise  # <|h|^2 |e|^2>
        h_u = p * t.e_n + 2 * t.e_mn + p * q * noise  # <|h|^2 |u|^2>
        mx_e = t.mm * error + 2 * t.e_mm + t.mm * n_out * noise  # <|M x|^2 |e|^2>
        mx_u = t.mm * t.e_n + 2 * t.e_mmn + t.mm * q * noise  # <|M x|^2 |u|^2>
        hu_ee = r * error + 2 * t.se_ee + r * noise  # <(h . u) (e . E x)>
        es_es = r**2 + t.se_se + t.ss * noise  # <(e . S x)^2>
        moved = q * (x_u + x_e) + 2 * x_wu + n_out * mx_u + (n_out + 2) * mx_e + 4 * h_u  # <|D|^2> / rate^2
        return Order(
            -2 * rate * r + rate**2 * ((n_hidden + 2) * x_u + n_hidden * x_e),
            -2 * rate * r + rate**2 * (n_out * h_u + (n_out + 2) * h_e),
            -2 * rate * (t.e_m + t.e_n) + rate**2 * (4 * hu_ee + moved),
            -rate * (t.e_m + t.e_n + t.s_m + t.s_n) + rate**2 * (2 * hu_ee + 2 * es_es + moved),
        )

    def closed(self, order: Order) -> Traces:
        """The traces that order parameters imply where weights and error have no preferred directions.

        As for Gaussian matrices: W1 and W2 independent, E = (r / |S|^2) S + a part independent of both, and S and E
        jointly isotropic. So tr S M S^T = (p / L_x) |S|^2 (1 + (L_x + 1) / L_h), |M|^2 = p^2 (1 / L_x + 1 / L_h + 1 /
        (L_x L_h)), and so on; of traces with M^2 or N^2 only the leading part. |S|^2 is |A|^2 + 2 r - |E|^2.
        """
        n_in, n_out, n_hidden = self.n_in, self.n_out, self.n_hidden
        p, q, error, r = order
        m, n, cells = p / n_in, q / n_out, n_in * n_out
        more_m, more_n = (n_in + 1) / n_hidden, (n_out + 1) / n_hidden
        ss = max(self._teacher + 2 * r - error, 0.0)
        shared = min(r**2 / ss, error) if ss > 0 else 0.0  # of |E|^2, the part along S
        mm, nn = m * p * (1 + more_m), n * q * (1 + more_n)
        e_n = n * (error + more_n * shared)
        return Traces(
            e_m=m * (error + more_m * shared),
            e_n=e_n,
            e_mn=m * n * (error + ((1 + more_m) * (1 + more_n) - 1) * shared),
            s_m=m * (1 + more_m) * r,
            s_n=n * (1 + more_n) * r,
            ss=ss,
            mm=mm,
            nn=nn,
            e_mm=mm * error / n_in,
            e_nn=nn * error / n_out,
            e_mmn=mm * e_n / n_in,
            se_ee=r * error * (n_in + n_out + 1) / cells,
            se_se=(r**2 * (2 * n_out + n_in + 1) + ss * error * (n_in + 1)) / cells,
        )

    def four_variables(self, rate: float, steps: float, points: int = 200) -> Trajectory:
        """The course of the four order parameters (`drift`) from Glorot weights, as a differential equation.

        Late in a run of a narrow network the true error is larger (`noisysim.theory` says by how much): with 20 inputs
        and 20 hidden units 2.6 times where this has fallen by two decades, with 400 hidden units 1.02 times.

        Parameters
        ----------
        rate, steps : float
        points : int
            How many to return.
        """
        course = integrate(self._change(rate), np.array(self.initial()), 2, steps, points)
        p, q, error, _ = course.values
        return Trajectory(course.times, error / (self.n_in * self.n_out), p, q)

    # -- two variables -------------------------------------------------------------------------------------------

    def coefficient(self, rate: float) -> float:
        """c_0 = rate L_h^(1/3) L_x L_y (1 + beta_0), with beta_0 = |W2|^2 / L_y at first ([H] Eq. 76)."""
        return rate * self._cube_root * self._perturbed

    def turning_norm(self, rate: float) -> float:
        """|W1|^2 beyond which the error grows, without teacher noise: a = 2 / c_0 ([H] Fig. 1B)."""
        return self._unit * 2 / self.coefficient(rate)

    def nullcline(self, rate: float, input_norm: float | Doubles) -> Doubles:
        """Error (epsilon) below which it grows, with teacher noise ([H] Eq. 14); infinite beyond `turning_norm`.

        Parameters
        ----------
        rate : float
        input_norm : float or numpy.ndarray
            |W1|^2.
        """
        pull = self.coefficient(rate) * np.asarray(input_norm, float) / self._unit
        room = np.where(pull < 2, 2 - pull, 0.0)
        with np.errstate(divide="ignore"):
            return pull * self._floor / room if self._floor else np.where(room > 0, 0.0, np.inf)

    def conserved(self, rate: float, input_norm: float | Doubles, error: float | Doubles) -> float | Doubles:
        """epsilon + a^2 / c_0 - a^3 / 3, which two variables conserve without teacher noise.

        Parameters
        ----------
        rate : float
        input_norm, error : float or numpy.ndarray
            |W1|^2 and epsilon, of one shape.
        """
        a = input_norm / self._unit
        return error + a**2 / self.coefficient(rate) - a**3 / 3

    def two_variables(self, rate: float, steps: float, points: int = 200) -> Trajectory:
        r"""The course of the two variables from Glorot weights.

        With a = |W1|^2 / (L_x L_h^(1/3)), epsilon = |E|^2 / (L_x L_y) and the time tau = rate L_h^(1/3) steps,

            da/dtau = c_0 (epsilon + sigma_t^2 / L_x)
            d epsilon/dtau = -(2 - c_0 a) a epsilon + c_0 a^2 sigma_t^2 / L_x

        ([H] Eq. 12, with teacher noise Eq. 84).

        Parameters
        ----------
        rate, steps : float
        points : int
            How many to return.
        """
        c, speed, floor = self.coefficient(rate), rate * self._cube_root, self._floor

        def change(values: Doubles) -> Doubles:
            a, error = values
            return speed * np.array([c * (error + floor), a * (c * a * (error + floor) - 2 * error)])

        start = self.initial()
        course = integrate(change, np.array([start.input_norm / self._unit, self._epsilon]), 1, steps, points)
        a, error = course.values
        return Trajectory(course.times, error, self._unit * a, np.where(np.isnan(a), np.nan, start.output_norm))

    # -- rates and times -----------------------------------------------------------------------------------------

    def critical_rate(self, variables: int = 2) -> float:
        """The rate above which the error turns up before it is zero, without teacher noise.

        Two variables reach zero while the conserved quantity is at most what it is there at the turn,
        (a, epsilon) = (2 / c_0, 0): c_0 = c* with epsilon_0 + a_0^2 / c* - a_0^3 / 3 = 4 / (3 c*^3), and the rate
        c* / (L_h^(1/3) L_x L_y (1 + beta_0)) ([H] Eq. 83). Four variables are followed until the error is gone or
        has grown.

        Parameters
        ----------
        variables : {2, 4}
        """
        _check_variables(variables)
        a = self.initial().input_norm / self._unit
        # beyond c = 2 / a_0 the error grows from the start; up to there the condition has one root
        c = brentq(lambda c: (self._epsilon - a**3 / 3) * c**3 + a**2 * c**2 - 4 / 3, 0.0, 2 / a)
        rate = c / self.coefficient(1.0)
        return rate if variables == 2 else replace(self, teacher_noise=0.0)._largest(rate, GONE)

    def training_time(self, rate: float, target: float, variables: int = 4) -> float:
        """Updates until the mean error is down to `target`; infinite if it never is.

        Parameters
        ----------
        rate : float
        target : float
            epsilon, |E|^2 / (n_in n_out).
        variables : {2, 4}
            Two: [H] Eq. 13, without teacher noise.
        """
        _check_variables(variables)
        if variables == 4:
            share = target * self.n_in * self.n_out / self.initial().error
            return 0.0 if share >= 1 else self._time_to(rate, share)
        c, a_start = self.coefficient(rate), self.initial().input_norm / self._unit
        total = self.conserved(rate, self.initial().input_norm, self._epsilon)

        def error(a: float) -> float:
            return float(total - a**2 / c + a**3 / 3)

        if self._epsilon <= target:
            return 0.0
        if a_start >= 2 / c or error(2 / c) > target:
            return float("inf")
        a_end = brentq(lambda a: error(a) - target, a_start, 2 / c)
        integral = quad(lambda a: 1 / (c * error(a)), a_start, a_end)[0]
        return float(self._perturbed / c * integral)

    def best_training_time(self, target: float, variables: int = 4) -> tuple[float, float]:
        """The shortest `training_time` over the rates, and the rate that takes it ([H] Fig. 2).

        Parameters
        ----------
        target : float
            epsilon.
        variables : {2, 4}

        Returns
        -------
        steps, rate : float
        """
        middle, span = self.critical_rate(), 8.0
        steps = float("inf")
        while span > 1.001:  # the time has one minimum: close in on it
            rates = middle * np.geomspace(1 / span, span, 17)
            times = [self.training_time(rate, target, variables) for rate in rates]
            middle, steps = float(rates[np.argmin(times)]), float(np.min(times))
            span = span ** (1 / 7)
        return steps, middle

    # -- shared --------------------------------------------------------------------------------------------------

    @property
    def _teacher(self) -> float:
        """|A|^2."""
        return 2 * self.n_in * self.n_out / (self.n_in + self.n_out)

    @property
    def _cube_root(self) -> float:
        return float(self.n_hidden ** (1 / 3))

    @property
    def _unit(self) -> float:
        """|W1|^2 at a = 1."""
        return self.n_in * self._cube_root

    @property
    def _perturbed(self) -> float:
        """L_x L_y (1 + beta_0)."""
        return self.n_in * self.n_out * (1 + self.initial().output_norm / self.n_out)

    @property
    def _epsilon(self) -> float:
        return self.initial().error / (self.n_in * self.n_out)

    @property
    def _floor(self) -> float:
        return self.teacher_noise**2 / self.n_in

    def _change(self, rate: float) -> Callable[[Doubles], Doubles]:
        change = self._normalised_drift if self.normalise else self.drift
        return lambda values: np.array(change(Order(*values), rate))

    def _normalised_drift(self, order: Order, rate: float) -> Order:
        """`drift` with the norms held: W2 W1 shrinks by half the shares that they would have grown by."""
        p, q, error, r = order
        dp, dq, d_error, dr = self.drift(order, rate)
        shrink = 0.5 * (dp / p + dq / q)
        product = self._teacher + 2 * r - error
        return Order(0.0, 0.0, d_error - 2 * shrink * r, dr - shrink * (r + product))

    def _time_to(self, rate: float, share: float) -> float:
        """Updates in which four variables bring the error down to a share of the initial one."""
        start = self.initial()
        forever = _FOREVER / (rate * (start.input_norm / self.n_in + start.output_norm / self.n_out))
        return integrate(self._change(rate), np.array(start), 2, forever, 2, share).reached

    def _largest(self, guess: float, share: float) -> float:
        """The largest rate at which four variables bring the error down to a share."""
        low, high = guess, guess
        while not np.isfinite(self._time_to(low, share)):
            low /= 2
        while np.isfinite(self._time_to(high, share)):
            high *= 2
        while high > 1.0001 * low:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if np.isfinite(self._time_to(middle, share)) else (low, middle)
        return low


def _check_variables(variables: int) -> None:
    if variables not in (2, 4):
        raise ValueError(f"variables must be 2 or 4, not {variables!r}")
