"""When cells are brought up to date: the age that stands for a span of reads, and how soon ageing is noticed."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim.chip.fabrication import own_value
from noisysim.common.fields import declared
from noisysim.common.plain_functions import cache_by_behaviour
from noisysim.common.source import attributes
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve

VARIANCE = 0.02
"""Relative change of a cell's read variance that is noticed: 1 % of its standard deviation."""
CONDUCTANCE = 0.002
"""Change of a conductance that is noticed, of g_max - g_min."""
SHARES = (0.05, 0.5, 1.0)
"""Conductances at which a device's ageing is looked at, of its range."""
DEVIATIONS = (-2.0, 0.0, 2.0)
"""Own values of cells at which it is looked at, in standard deviations."""
PER_DECADE, SHORTEST, LONGEST = 6, 1e-9, 1e12
"""Ages at which it is looked at, and their range, s."""


def age_of_reads(first: float, last: float, read_time: float) -> float:
    """The age, s, that stands for reads of a cell from age `first` to age `last`, evenly in time.

    That of the mean of ln(max(age, t_read) + t_read), in which the variance of 1/f noise is linear
    (`noisysim.devices.physics.reads.flicker_share`): a fresh cell's mean variance over a time T >> t_read is that at T
    / e. A power law, exp(-nu ln t), agrees to second order in nu.

    Parameters
    ----------
    first, last : float
        Ages, s.
    read_time : float
        Duration of one read, s.
    """
    read_time = max(read_time, 1e-15)
    low, high, knee = first + read_time, last + read_time, 2 * read_time
    if high - low <= 1e-4 * low:
        return (first + last) / 2
    flat = max(min(high, knee) - low, 0.0) * math.log(knee)
    low, high = max(low, knee), max(high, knee)
    mean = (flat + high * (math.log(high) - 1) - low * (math.log(low) - 1)) / (last - first)
    return min(max(math.exp(mean) - read_time, first), last)


class Pace:
    """How soon the ageing of a device's cells is noticed.

    Parameters
    ----------
    ages : sequence of float
        Rising, s, from 0.
    soonest : sequence of float
        Seconds until a cell of at least such an age has noticeably changed.
    """

    def __init__(self, ages: list[float], soonest: list[float]):
        self._ages, self._soonest = ages, soonest

    def patience(self, age: float) -> float:
        """Seconds for which cells of this age, s, and older ones may be left as they are."""
        return self._soonest[max(bisect.bisect_right(self._ages, age) - 1, 0)]


def pace_of(device: Device) -> Pace:
    """The pace at which a device ages, by its own hooks at conductances all over its range."""
    hooks, own = devices.hooks(device), devices.own_hooks(device)
    return _pace(device, *(hooks[hook] if hook in own else None for hook in ("drift", "cell_std")))


@cache_by_behaviour
def _pace(device: Device, drift: Callable[..., Any] | None, cell_std: Callable[..., Any] | None) -> Pace:
    numbers = resolve(device)
    ages = [0.0, *_ages(numbers.read_time)]
    changes = [0.0] * (len(ages) - 1)
    for g, d in _cells(device):
        conductances, variances = zip(*(_at(g, age, d, drift, cell_std) for age in ages), strict=True)
        for k, (a, b) in enumerate(itertools.pairwise(conductances)):
            changes[k] = max(changes[k], _share(abs(b - a), CONDUCTANCE * numbers.span))
        for k, (a, b) in enumerate(itertools.pairwise(variances)):
            changes[k] = max(changes[k], _share(abs(b - a), VARIANCE * max(a, b)))
    spans = np.diff(ages)
    times = [span / change if change > 0 else math.inf for span, change in zip(spans.tolist(), changes, strict=True)]
    soonest = [*itertools.accumulate(reversed(times), min)][::-1]
    return Pace(ages, [*soonest, soonest[-1]])


def _ages(read_time: float) -> list[float]:
    first = max(read_time, SHORTEST)
    ages: list[float] = np.geomspace(first, LONGEST, 1 + math.ceil(PER_DECADE * math.log10(LONGEST / first))).tolist()
    return ages


def _cells(device: Device) -> Iterator[tuple[np.float32, Any]]:
    """Conductances, and the numbers of cells with own values about the nominal ones."""
    fields, specs = device_files.scalars(device), declared(type(device))
    spread = [name for name in devices.spreads(device) if specs[name].spread.of == "cell"]  # type: ignore[union-attr]
    numbers = resolve(device)
    for z in DEVIATIONS if spread else (0.0,):
        own = {name: np.float32(own_value(device, name, np.array(z))) for name in spread}
        for share in SHARES:
            yield np.float32(numbers.g_min + share * numbers.span), SimpleNamespace(**{**fields, **own})


def _at(
    g: np.float32, age: float, d: Any, drift: Callable[..., Any] | None, cell_std: Callable[..., Any] | None
) -> tuple[float, float]:
    """Conductance and read variance of a cell that was written as g, in µS and µS²; NaN where hooks have none."""
    t = np.float32(age)
    try:
        with np.errstate(all="ignore"):
            now = g if drift is None else np.float32(max(device_files.ask(drift, d, g=g, t=t, target=g), 0))
            std = 0.0 if cell_std is None else float(device_files.ask(cell_std, d, g=now, t=t, target=g))
    except (ArithmeticError, ValueError):  # what ``math`` raises where NumPy gives NaN or infinity, as of a log of 0
        return math.nan, math.nan
    return float(now), std * std


def acts_at_once(device: Device) -> bool:
    """Whether ``drift`` leaves another conductance of a cell that was just written, as another temperature does."""
    if "drift" not in devices.own_hooks(device):
        return False
    drift = devices.hooks(device)["drift"]
    return any(_at(g, 0.0, d, drift, None)[0] != float(g) for g, d in _cells(device))


def _share(change: float, noticed: float) -> float:
    """A change as a share of one that is noticed; infinite where it is not a finite number."""
    if change == 0:
        return 0.0
    return change / noticed if math.isfinite(change) and noticed > 0 else math.inf


def reads_are_silent(device: Device) -> bool:
    """Whether a device's cells provably add no noise to a read by ``cell_std``.

    They do not without the hook; or where every field that it reads and that is declared as read noise is 0, there is
    such a field, and the hook gives 0 for cells of all conductances and ages.
    """
    hook = devices.hooks(device)["cell_std"]
    if "cell_std" not in devices.own_hooks(device):
        return True
    spreads, read = devices.spreads(device), attributes(hook)
    amplitudes = [n for n, f in declared(type(device)).items() if f.noise == "read" and n in read]
    if not amplitudes or any(getattr(device, name) != 0 or name in spreads for name in amplitudes):
        return False
    drift = devices.hooks(device)["drift"] if "drift" in devices.own_hooks(device) else None
    ages = (0.0, *_ages(resolve(device).read_time)[:: 2 * PER_DECADE])
    return not any(_at(g, age, d, drift, hook)[1] != 0 for g, d in _cells(device) for age in ages)
