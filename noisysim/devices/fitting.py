"""Fits of pulsed devices to measured pulses: conductance against pulse number, up and down.

A table is read by `noisysim.devices.traces`, which says its forms. Steps of each device are fitted to mean curves by
least squares. What single curves miss of the fitted steps tells the noise of pulses, which adds up, from that of what
shows, which does not: increments vary by s^2 + 2 a^2 and have a covariance of -a^2 with the next. Three cells or more
tell how the steps of cells differ.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from noisysim.common import writing
from noisysim.common.fields import declared, nearest, shown
from noisysim.common.types import Doubles
from noisysim.devices.models import measured
from noisysim.devices.physics import writes
from noisysim.devices.physics.scalars import Scalar
from noisysim.devices.traces import Trace, mean_curves, read_header, read_traces

LOOKS = 300
"""Points of a curve at most that a fit follows, and steps to follow them by; a step may be of several pulses."""


class Fit(NamedTuple):
    """A device fitted to a table.

    Attributes
    ----------
    model : str
        The device, by name.
    fields : dict
        Settings of the device.
    curves : dict
        "up" and "down" -> pulse numbers, mean measured and fitted conductances, µS.
    rms : float
        Of what the fitted curves miss the mean measured ones by, as a share of the range.
    """

    model: str
    fields: dict[str, Any]
    curves: dict[str, tuple[Doubles, Doubles, Doubles]]
    rms: float


class Form(NamedTuple):
    """How the steps of a device are fitted.

    Attributes
    ----------
    step : callable
        Its law (`noisysim.devices.physics.writes`).
    shape : dict
        Field -> start, lowest and highest value, of those that shape steps.
    fixed : dict
        Fields that stay.
    """

    step: Callable[..., Any]
    shape: Mapping[str, tuple[float, float, float]]
    fixed: Mapping[str, float] = {}


def _linear_step(g: Scalar, up: Scalar, d: writes.Linear) -> Scalar:
    """The step of a cell beside a reference in the middle."""
    return writes.linear_step(g, up, np.float64(0.0), d)


FORMS = {
    "pulsed": Form(_linear_step, {"gamma_up": (0.5, -1, 1), "gamma_down": (0.5, -1, 1)}),
    "pulsed_power": Form(
        writes.power_step,
        {"gamma_up": (1.0, 0, 20), "gamma_down": (1.0, 0, 20), "upper": (1.05, 1, 2), "lower": (1.05, 1, 2)},
    ),
    "pulsed_exponential": Form(
        writes.exponential_step,
        {"a_up": (0.5, -50, 10), "a_down": (0.5, -50, 10), "gamma_up": (1.0, 0.05, 20), "gamma_down": (1.0, 0.05, 20)},
        {"scale": 1.0, "shift": 0.0, "origin": 0.0, "up_down": 0.0},
    ),
}
"""Devices whose steps are fitted; `measured` takes the table as it is."""


def fit(table: str | os.PathLike[str], device: str = "") -> list[Fit]:
    """Fit devices to a table of measured pulses.

    Parameters
    ----------
    table : path
        CSV, in one of the forms that `noisysim.devices.traces` describes.
    device : str
        One of `FORMS`, or ``"measured"`` for the mean curves as they are. Default: all of `FORMS`.

    Returns
    -------
    list of Fit
        The best first, by the Bayesian information criterion.

    Raises
    ------
    ValueError
        With file and line, for a table that cannot be read, and for a device that cannot be fitted.
    """
    if device and device not in (*FORMS, "measured"):
        raise ValueError(f"no fit of device {shown(device)}{nearest(device, (*FORMS, 'measured'))}")
    traces = read_traces(table)
    means = mean_curves(table, traces)
    if device == "measured":
        return [_as_measured(table, means, traces)]
    fits = [_fitted(name, means, traces) for name in ([device] if device else FORMS)]
    return sorted(fits, key=_criterion)


def _criterion(found: Fit) -> float:
    """The Bayesian information criterion: of fits that are as close the one with fewer fields comes first."""
    points = sum(len(numbers) for numbers, _, _ in found.curves.values())
    return 2 * points * math.log(max(found.rms, 1e-12)) + (2 + len(FORMS[found.model].shape)) * math.log(points)


# --- steps ------------------------------------------------------------------------------------------------------------


def _fitted(name: str, means: Mapping[str, tuple[Doubles, Doubles]], traces: Sequence[Trace]) -> Fit:
    """The device of a form that follows the mean curves best."""
    from scipy import optimize

    form, (up, down) = FORMS[name], (means["up"], means["down"])
    low, high = (float(f(f(up[1]), f(down[1]))) for f in (min, max))
    fixed = {"g_min": low, "g_max": high, **form.fixed}
    mean_step = np.mean([np.ptp(g) / np.ptp(n) for n, g in (up, down)]) / (high - low)
    start = {"pulse_step": np.log(mean_step), "asymmetry": 0.0, **{n: s for n, (s, _, _) in form.shape.items()}}
    limits = {"pulse_step": (-25.0, 0.0), "asymmetry": (-0.999, 0.999), **{n: b for n, (_, *b) in form.shape.items()}}

    def fields(values: Doubles) -> dict[str, Any]:
        chosen = dict(zip(start, map(float, values), strict=True))
        return {**fixed, **chosen, "pulse_step": float(np.exp(chosen["pulse_step"]))}

    followed = [(_thinned(*up), 1.0), (_thinned(*down), -1.0)]

    def missed(values: Doubles) -> Doubles:
        d = _cell(name, fields(values))
        found = [_follow(form.step, d, *curve, way) - curve[1] for curve, way in followed]
        return np.concatenate(found) / (high - low)

    bounds = tuple(np.array(side) for side in zip(*limits.values(), strict=True))
    best = optimize.least_squares(missed, np.array(list(start.values())), bounds=bounds, x_scale="jac", max_nfev=200)
    found = fields(best.x)
    d = _cell(name, found)
    curves = {
        way: (*means[way], _follow(form.step, d, *means[way], sign)) for way, sign in (("up", 1.0), ("down", -1.0))
    }
    noise = _noise(form.step, d, traces)
    rms = float(np.sqrt(np.mean(best.fun**2)))
    return Fit(name, {n: _rounded(value) for n, value in {**found, **noise}.items()}, curves, rms)


def _thinned(numbers: Doubles, values: Doubles) -> tuple[Doubles, Doubles]:
    """`LOOKS` points of a curve at most, from its first to its last."""
    chosen = np.unique(np.linspace(0, len(numbers) - 1, LOOKS).round().astype(int))
    return numbers[chosen], values[chosen]


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _cell(name: str, fields: Mapping[str, Any]) -> Any:
    """A nominal cell of a device with these settings: its numbers, float64."""
    from noisysim import devices

    usual = devices.defaults(devices.kind(name))
    return SimpleNamespace(**{n: np.float64(v) for n, v in {**usual, **fields}.items() if not isinstance(v, str)})


def _follow(step: Callable[..., Any], d: Any, numbers: Doubles, values: Doubles, up: float) -> Doubles:
    """The conductances of a cell at these pulse numbers, from the first on; many pulses are followed by midpoints."""
    stride = max(1, int(np.ptp(numbers)) // LOOKS)
    low, high, g = float(writes.lowest(d)), float(writes.highest(d)), float(values[0])
    out = [g]
    for pulses in np.diff(numbers):
        left = float(pulses)
        while left > 0:
            now = min(left, stride)
            change = step(np.float64(g), np.float64(up), d)
            if now > 1:
                change = step(np.float64(g + change * (now - 1) / 2), np.float64(up), d)
            g = min(max(g + float(change) * now, low), high)
            left -= now
        out.append(g)
    return np.array(out)


# --- noise and spreads ------------------------------------------------------------------------------------------------


def _noise(step: Callable[..., Any], d: Any, traces: Sequence[Trace]) -> dict[str, float]:
    """Noise of pulses and of what shows, of the nominal step; and spreads of cells, where there are at least 3."""
    a_pulse = float(d.pulse_step * (d.g_max - d.g_min))
    traces, expected, misses = _known(step, d, traces)
    own = _per_cell(traces, misses, expected)
    rests = [miss - (own[t.cell] - 1) * e for t, miss, e in zip(traces, misses, expected, strict=True)]
    pulses, shown_by = _apart(rests, [np.diff(trace.numbers) for trace in traces])
    found = {"write_noise_floor": pulses / a_pulse, "apparent_noise": shown_by / a_pulse}
    if len(own) >= 3:
        error = _gain_error(traces, expected, pulses, shown_by)
        found["pulse_gain_spread"] = float(np.sqrt(max(np.var(list(own.values()), ddof=1) - error, 0.0)))
    return found


def _known(
    step: Callable[..., Any], d: Any, traces: Sequence[Trace]
) -> tuple[list[Trace], list[Doubles], list[Doubles]]:
    """Curves that are in part where the mean curves were, their mean increments, and what these miss."""
    expected = [_increments(step, d, trace) for trace in traces]
    misses = [_inside(np.diff(t.conductances) - e, t, d) for t, e in zip(traces, expected, strict=True)]
    if not any(np.isfinite(miss[1:] * miss[:-1]).any() for miss in misses):
        raise ValueError(
            f"no curve keeps to the range of the mean curves, {d.g_min:g} to {d.g_max:g} µS, for two pulses, so that "
            "nothing tells their noise: fit cells that differ so much one by one"
        )
    kept = [k for k, (e, miss) in enumerate(zip(expected, misses, strict=True)) if np.any(e[np.isfinite(miss)])]
    return [traces[k] for k in kept], [expected[k] for k in kept], [misses[k] for k in kept]


def _inside(values: Doubles, trace: Trace, d: Any) -> Doubles:
    """Values of increments, NaN for those from where the mean curves never were: no step is known there."""
    g = trace.conductances[:-1]
    return np.where((g >= d.g_min) & (g <= d.g_max), values, np.nan)


def _increments(step: Callable[..., Any], d: Any, trace: Trace) -> Doubles:
    """The mean increments of a curve's cell from where each was seen."""
    up = np.float64(1.0 if trace.up else -1.0)
    pulses = np.diff(trace.numbers)
    steps: Doubles = pulses * np.array([float(step(g, up, d)) for g in trace.conductances[:-1]])
    return steps


def _per_cell(traces: Sequence[Trace], misses: Sequence[Doubles], expected: Sequence[Doubles]) -> dict[str, float]:
    """Steps of each cell, of those of the nominal one, by least squares; of a single cell 1."""
    cells = dict.fromkeys(trace.cell for trace in traces)
    if len(cells) < 3:
        return dict.fromkeys(cells, 1.0)
    found = {}
    for cell in cells:
        mine = [k for k, trace in enumerate(traces) if trace.cell == cell]
        miss, step = (np.concatenate([parts[k] for k in mine]) for parts in (misses, expected))
        known = ~np.isnan(miss)
        found[cell] = float(1 + np.sum((miss * step)[known]) / np.sum(step[known] ** 2))
    return found


def _gain_error(traces: Sequence[Trace], expected: Sequence[Doubles], pulses: float, shown_by: float) -> float:
    """Mean variance with which noise leaves the steps of one cell unknown."""
    variances = []
    for cell in dict.fromkeys(trace.cell for trace in traces):
        steps = [e for trace, e in zip(traces, expected, strict=True) if trace.cell == cell]
        power = sum(float(np.sum(e * e)) for e in steps)
        changes = sum(float(np.sum(np.diff(np.concatenate([[0.0], e, [0.0]])) ** 2)) for e in steps)
        variances.append((pulses**2 * power + shown_by**2 * changes) / power**2)
    return float(np.mean(variances))


def _apart(rests: Sequence[Doubles], pulses: Sequence[Doubles]) -> tuple[float, float]:
    """Std of a pulse's change and of what shows, µS, by variance of increments and covariance of neighbours."""
    squares = np.concatenate([rest**2 for rest in rests])
    pairs = [rest[1:] * rest[:-1] for rest in rests if len(rest) > 1]
    shown_by = max(-float(np.nanmean(np.concatenate(pairs))), 0.0)
    each = float(np.mean(np.concatenate(list(pulses))))
    return float(np.sqrt(max(float(np.nanmean(squares)) - 2 * shown_by, 0.0) / each)), float(np.sqrt(shown_by))


# --- a table as it is -------------------------------------------------------------------------------------------------


def _as_measured(
    table: str | os.PathLike[str], means: Mapping[str, tuple[Doubles, Doubles]], traces: Sequence[Trace]
) -> Fit:
    """The device `measured` with the mean curves; where they are not the table's own, `save` writes them."""
    path = os.fspath(table)
    monotone = {w: measured.monotone(path, w, s, *means[w]).astype(float) for w, s in (("up", 1), ("down", -1))}
    low, high = (f(f(curve) for curve in monotone.values()) for f in (min, max))
    pulse_step = np.mean([np.ptp(curve) / (len(curve) - 1) for curve in monotone.values()]) / (high - low)

    def step(g: Scalar, up: Scalar, d: object) -> Scalar:
        return writes.along(g, up, monotone["up" if up > 0 else "down"])

    noise = _noise(step, SimpleNamespace(g_min=low, g_max=high, pulse_step=pulse_step), traces)
    curves = {
        way: (numbers, values, np.interp(numbers, numbers[0] + np.arange(len(monotone[way])), monotone[way]))
        for way, (numbers, values) in means.items()
    }
    single = len(traces) == 2 and not any(trace.cell for trace in traces) and {"up", "down"} <= set(read_header(table))
    fields: dict[str, Any] = {"table": path if single else ""}
    fields["write_noise"] = noise.pop("write_noise_floor") * pulse_step
    missed = np.concatenate([fitted - mean for _, mean, fitted in curves.values()])
    fields = {n: v if isinstance(v, str) else _rounded(v) for n, v in {**fields, **noise}.items()}
    return Fit("measured", fields, curves, float(np.sqrt(np.mean(missed**2)) / (high - low)))


# --- files ------------------------------------------------------------------------------------------------------------


def save(found: Fit, table: str | os.PathLike[str], path: str | os.PathLike[str]) -> list[Path]:
    """Write a fit as a preset (`noisysim.devices.presets`), which ``devices.get`` takes by its path.

    Curves of a fit of `measured` that are means of several are written beside it, as ``NAME-curves.csv``.

    Parameters
    ----------
    found : Fit
    table : path
        What was fitted.
    path : path
        Of the preset; its name ends in ``.toml``.

    Returns
    -------
    list of Path
        The files that were written.
    """
    from noisysim import devices

    path, fields, written = Path(path), dict(found.fields), []
    if path.suffix != ".toml":
        raise ValueError(f"a preset's name ends in .toml, not {shown(str(path))}")
    if "table" in fields:
        place = Path(fields["table"] or path.with_name(f"{path.stem}-curves.csv"))
        if not fields["table"]:
            writing.replace(place, _curves_text(found).encode())
            written.append(place)
        fields["table"] = os.path.relpath(place, path.parent)
        devices.get(found.model, **{**fields, "table": str(place)})  # refused now, not when it is used
    else:
        devices.get(found.model, **fields)
    writing.replace(path, _preset_text(found, fields, table).encode())
    return [path, *written]


def _curves_text(found: Fit) -> str:
    """The fitted curves as a table of `measured`."""
    ways = [dict(zip(map(float, numbers), fitted, strict=True)) for numbers, _, fitted in found.curves.values()]
    rows = [
        f"{n:g}," + ",".join(f"{way[n]:.7g}" if n in way else "" for way in ways) for n in sorted({*ways[0], *ways[1]})
    ]
    return "\n".join(["pulse," + ",".join(found.curves), *rows]) + "\n"


def _preset_text(found: Fit, fields: Mapping[str, Any], table: str | os.PathLike[str]) -> str:
    """The text of a preset."""
    from noisysim import devices

    units = declared(devices.kind(found.model))
    lines = [
        f"about = {_text(f'{found.model} fitted to {Path(table).name}')}",
        f"device = {_text(found.model)}",
        f"source = {_text(os.fspath(table))}",
        "",
        "[fields]",
        *(f"{n} = {_text(v) if isinstance(v, str) else repr(v)}{_unit(units[n].unit)}" for n, v in fields.items()),
        "",
        "[fit]",
        f"rms = {found.rms:.3g}  # of the range, of mean curves",
        *(f"pulses_{way} = {int(np.ptp(numbers))}" for way, (numbers, _, _) in found.curves.items()),
    ]
    return "\n".join(lines) + "\n"


def _unit(unit: str) -> str:
    return f"  # {unit}" if unit else ""


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
