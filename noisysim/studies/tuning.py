"""`tune`: the learning rate of each rule, by doubling until it is unstable, as the papers did."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from noisysim.fields import Field, check, check_choice
from noisysim.health import RISEN
from noisysim.studies.engine import sweep
from noisysim.studies.grids import By, at_label, by
from noisysim.studies.study import Study

SEED = 1000
"""Of the runs, unless others are asked for: none of the first few, with which results are reported."""
CHOICES = ("stable", "loss")


class Tuned:
    """The learning rates that a search found.

    Attributes
    ----------
    study : Study
        All runs, with the axis ``learning_rate``.
    choose : str
        By what they were chosen.
    rates : xarray.DataArray
        The rate for each value of the other axes; NaN where even the lowest was unstable.
    stable : xarray.DataArray
        Whether each run was stable.
    """

    def __init__(self, study: Study, choose: str):
        self.study, self.choose = study, choose
        data = study.data
        losses, last = data.train_loss_by_epoch, data.train_loss
        if "chip" in losses.dims:
            losses, last = losses.mean("chip"), last.mean("chip")
        self.stable = _stable(losses, last) & (data.status == "finished")
        others = [dim for dim in ("seed",) if dim in self.stable.dims]
        every = self.stable.all(others)
        if choose == "stable":
            self._among = every.cumprod("learning_rate").astype(bool)
            self.rates = data.learning_rate.where(self._among).max("learning_rate")
        else:
            # a rule whose loss rises before it falls, as with fixed random feedback, looks unstable at low rates only
            self._among = every
            best = last.mean(others).where(every).fillna(np.inf).argmin("learning_rate")
            self.rates = data.learning_rate[best].where(every.any("learning_rate")).drop_vars("learning_rate")

    def rate(self, **select: Any) -> float:
        """The rate at one value of each other axis: ``tuned.rate(learner="danp")``."""
        axes = self.study.axes
        chosen = self.rates.isel({axis: at_label(axes, axis, label) for axis, label in select.items()}).squeeze()
        if chosen.ndim:
            raise ValueError(f"the rate also depends on {', '.join(map(str, chosen.dims))}: choose one of each")
        return float(chosen)

    def by(self, axis: str) -> By:
        """The rates as an argument of `noisysim.sweep`: ``learning_rate=tuned.by("learner")``."""
        check_choice("axis of this search", axis, [str(dim) for dim in self.rates.dims])
        labels = self.study.axes[axis]
        rates = [self.rate(**{axis: label}) for label in labels]
        if lost := [str(label) for label, rate in zip(labels, rates, strict=True) if np.isnan(rate)]:
            raise ValueError(f"no rate was stable for {', '.join(lost)}: search from a lower one")
        return by(axis, dict(zip(labels, rates, strict=True)))

    def plot(self, path: str | os.PathLike[str] | None = None, **how: Any) -> Any:
        """Training loss against the rate (`noisysim.Study.plot`)."""
        return self.study.plot("train_loss", x="learning_rate", path=path, **how)

    def rows(self) -> list[tuple[str, float, str]]:
        """Where, which rate, and what is to be said about it."""
        found, tried = [], self.study.axes["learning_rate"]
        names = [str(dim) for dim in self.rates.dims]
        for at in np.ndindex(self.rates.shape):
            where = ", ".join(f"{name}={self.study.axes[name][k]}" for name, k in zip(names, at, strict=True))
            stable = self._among.transpose(*names, "learning_rate").values[at]
            said = "unstable at the lowest rate tried" if not stable[0] else ""
            if stable.all():
                said = f"stable up to the highest rate tried, {tried[-1]:g}"
            found.append((where, float(self.rates.values[at]), said))
        return found

    def __repr__(self) -> str:
        lines = [
            (where or "rate", "none" if np.isnan(rate) else f"{rate:.3g}", said) for where, rate, said in self.rows()
        ]
        wide = max(len(where) for where, _, _ in lines)
        return "\n".join(f"{where:<{wide}}  {rate:>9}  {said}".rstrip() for where, rate, said in lines)


def _stable(losses: Any, last: Any) -> Any:
    """Whether the training loss of the last epoch is low: near its lowest, and below where learning began.

    It began, nearly, where the first epoch at the lowest rate was.
    """
    if not losses.sizes["epoch"]:  # all of them diverged at once
        return last < -np.inf
    began = losses.isel(epoch=0, learning_rate=0)
    return (last <= RISEN * losses.min("epoch")) & (last <= began)


def tune(
    task: Any = "digits",
    *,
    rates: Sequence[float] | None = None,
    start: float = 1e-5,
    factor: float = 2.0,
    count: int = 15,
    choose: str = "stable",
    seed: Any = SEED,
    **arguments: Any,
) -> Tuned:
    """Search for learning rates: a study over rates that double, and for each other setting the best of them.

    A rate is stable if its runs finish, and end with a training loss near its lowest and below where it began. The rule
    of the papers is the largest rate up to which all are stable (Dalm et al. 2025, appendix F: doubled until unstable);
    test data have no say.

    Parameters
    ----------
    task : str or Task or arrays or path
        As of `noisysim.run`.
    rates : list of float
        The rates to try, rising. Left out, `count` of them, each `factor` times the one before, from `start`.
    start, factor : float
    count : int
    choose : str
        "stable": the largest rate up to which all are stable; "loss": of all that are stable, the one with the lowest
        training loss.
    seed : int or list of int
        Of the runs; a rate must be stable in all of them. Use others than those that are reported.
    **arguments
        Of `noisysim.sweep`; lists are axes, each of whose values has a rate of its own.

    Returns
    -------
    Tuned

    Examples
    --------
    >>> import noisysim
    >>> tuned = noisysim.tune(learner=["dnp", "bp"], rates=[1e-3, 4e-3, 10.0], layers=[16], epochs=3)
    >>> tuned.rate(learner="bp")
    0.004
    """
    check_choice("choice", choose, CHOICES)
    if "learning_rate" in arguments:
        raise ValueError("tune looks for learning_rate: give the rates to try as rates=[...]")
    if rates is None:
        start = check("tune", "start", start, Field("", 1e-30, 1e6))
        factor = check("tune", "factor", factor, Field("", 1.01, 1e3))
        rates = [start * factor**k for k in range(check("tune", "count", count, Field("", 2, 100, whole=True)))]
    tried = sorted(float(rate) for rate in rates)
    return Tuned(sweep(task, learning_rate=tried, seed=seed, **arguments), choose)
