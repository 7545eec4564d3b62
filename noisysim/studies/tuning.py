"""`tune`: the learning rate of each rule, by doubling until it no longer learns, as the papers did."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common.arguments import argument
from noisysim.common.fields import Field, check, check_choice
from noisysim.studies.engine import sweep
from noisysim.studies.grids import By, at_label, by
from noisysim.studies.study import Study

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

SEED = 1000
"""Of the runs, unless others are asked for: none of the first few, with which results are reported."""
CHOICES = ("stable", "loss", "validation_loss")
SHARE = 0.75
"""Of how much the best rate of a search is better than chance, what a rate must be at least."""
LEAST = 0.01
"""Share of the loss of chance by which a loss must be below it: a constant answer is not below it at all."""


class Tuned:
    """The learning rates that a search found.

    A rate has learned if all its runs finish, and in their last epoch, on the training data,

    - are better than chance, by at least three quarters (`SHARE`) of what the best rate of the search is. Of classes
      that is the accuracy, above what luck gives (`noisysim.tasks.chance.chance_accuracy`); of values the loss, below
      that of the best constant answer (`noisysim.tasks.chance.chance_loss`) by one per cent (`LEAST`) or more;
    - have a loss no higher than where learning began: in the first epoch at the lowest rate.

    A loss alone would not do: a network that died at a high rate has that of chance, while rules with fixed random
    feedback are above it for some epochs in which they learn well.

    Attributes
    ----------
    study : Study
        All runs, with the axis ``learning_rate``.
    choose : str
        By what they were chosen.
    rates : xarray.DataArray
        The rate for each value of the other axes; NaN where no rate has learned.
    learned : xarray.DataArray
        Whether each run has.
    """

    def __init__(self, study: Study, choose: str):
        self.study, self.choose = study, choose
        data = study.data
        if "chance_loss" not in data:
            raise ValueError(
                f"an older noisysim made this search: give another out, or say {argument('overwrite=True')}"
            )
        finished, chips = data.status == "finished", [dim for dim in ("chip",) if dim in data.dims]
        last = data.train_loss.mean(chips).where(finished)
        seeds = [dim for dim in ("seed",) if dim in last.dims]
        better = _better(data, last, chips)
        most = better.mean(seeds, skipna=False).max("learning_rate")
        began = data.train_loss_by_epoch.mean(chips).isel(epoch=slice(1), learning_rate=0).mean([*seeds, "epoch"])
        self.learned = ((better > 0) & (better >= SHARE * most) & (last <= began)).transpose(*last.dims)
        every = self.learned.all(seeds)
        if choose == "stable":
            first = every.astype(int).cumsum("learning_rate") > 0
            ended = (first & ~every).astype(int).cumsum("learning_rate") > 0
            self.rates = data.learning_rate.where(first & ~ended).max("learning_rate")
        else:
            name = "validation_loss" if choose == "validation_loss" else "train_loss"
            means = data[name].mean(chips).where(finished).mean(seeds, skipna=False)
            best = means.where(every).fillna(np.inf).argmin("learning_rate")
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
            raise ValueError(f"no rate has learned for {', '.join(lost)}: try others, or more epochs")
        return by(axis, dict(zip(labels, rates, strict=True)))

    def plot(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Any:
        """Training loss against the rate (`noisysim.Study.plot`)."""
        return self.study.plot("train_loss", x="learning_rate", path=path, **options)

    def rows(self) -> list[tuple[str, float, str]]:
        """The setting, its rate, and a remark on it."""
        rows, tried = [], self.study.axes["learning_rate"]
        edges = {tried[0]: "the lowest rate tried", tried[-1]: "the highest rate tried"}
        names = [str(dim) for dim in self.rates.dims]
        for at in np.ndindex(self.rates.shape):
            setting = ", ".join(f"{name}={self.study.axes[name][k]}" for name, k in zip(names, at, strict=True))
            rate = float(self.rates.values[at])
            rows.append((setting, rate, "no rate has learned" if np.isnan(rate) else edges.get(rate, "")))
        return rows

    def __repr__(self) -> str:
        lines = [
            (setting or "rate", "none" if np.isnan(rate) else f"{rate:.3g}", remark)
            for setting, rate, remark in self.rows()
        ]
        wide = max(len(setting) for setting, _, _ in lines)
        return "\n".join(f"{setting:<{wide}}  {rate:>9}  {remark}".rstrip() for setting, rate, remark in lines)


def _better(data: Dataset, last: DataArray, chips: list[str]) -> Any:
    """By how much each run is better than chance: in accuracy, or where targets are values in loss.

    All rates learn the same data, so that one run that tells what chance is is enough.
    """
    accuracy = data.train_accuracy.mean(chips).where(data.status == "finished")
    chance = data.chance_accuracy.max("learning_rate")
    return (accuracy - chance).where(chance.notnull(), (1 - LEAST) * data.chance_loss.max("learning_rate") - last)


def tune(
    task: Any = "digits",
    *,
    rates: Sequence[float] | None = None,
    start: float = 1e-5,
    factor: float = 2.0,
    count: int = 15,
    choose: str = "stable",
    seed: int | Sequence[int] = SEED,
    **arguments: Any,
) -> Tuned:
    """Search for learning rates: a study over rates that double, and for each other setting the best of them.

    A rate has learned if all its runs finish and are clearly better than chance on the training data, by at least three
    quarters of what the best rate is (exactly: `noisysim.studies.tuning.Tuned`). The rule of the papers is the largest
    rate before the first that is unstable (Dalm et al. 2025, appendix F: doubled until unstable); here it is the
    largest of the first unbroken row of rates that have learned. Test data have no say.

    Parameters
    ----------
    task : str or Task or arrays or path
        As of `noisysim.run`.
    rates : list of float
        The rates to try, rising. Default: `count` of them, each `factor` times the one before, from `start`.
    start, factor : float
    count : int
    choose : str
        "stable": from the lowest rate that has learned, the largest up to which all have; "loss": of all that have, the
        one with the lowest training loss; "validation_loss": the one with the lowest loss on the validation data
        (``validation=0.1``).
    seed : int or list of int
        Of the runs; a rate must have learned in all of them. Use others than those that are reported.
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
    if choose == "validation_loss" and arguments.get("validation") is None:
        chosen, share = argument("choose='validation_loss'"), argument("validation=0.1")
        raise ValueError(f"{chosen} needs validation data: give a share, {share}")
    if "learning_rate" in arguments:
        raise ValueError("tune looks for learning_rate: give the rates to try as rates=[...]")
    if rates is None:
        start = check("tune", "start", start, Field("", 1e-30, 1e6))
        factor = check("tune", "factor", factor, Field("", 1.01, 1e3))
        rates = [start * factor**k for k in range(check("tune", "count", count, Field("", 2, 100, whole=True)))]
    tried = sorted(float(rate) for rate in rates)
    return Tuned(sweep(task, learning_rate=tried, seed=seed, **arguments), choose)
