"""One picture of a device, of what the test bench measures on it (`noisysim.bench`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import noisysim.devices as devices
from noisysim.chip import bench
from noisysim.common.fields import declared
from noisysim.common.texts import caption, documentation, printable
from noisysim.common.types import Doubles
from noisysim.devices.contract import Device, DeviceSpec
from noisysim.devices.resolved import resolve
from noisysim.reporting import style
from noisysim.reporting.style import INK, TEST, TRAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

SMALL, LINE = 8, 0.16  # points of legends and notes; inches from line to line of the head
MARGIN = 0.1  # inches beside and above the head
CELLS = 8  # cells drawn one by one
COARSE, FINE = 24, 240  # groups of neighbouring targets, a mean and a standard deviation each
BINS = 41
UNIT = "pre-activation units"
DASHED = (0, (4, 3))
FAULTS = dict(zip(bench.KINDS, ("#eceef0", "#5b8db8", TEST, "#e3b04b", INK), strict=True))
_TOLD = {"g_min", "g_max", "cells_per_weight", "dac_bits", "adc_bits", "line_noise"}
"""Fields whose values are facts of every device: not told again where they are set."""


def draw(device: DeviceSpec, seed: int = 0) -> Figure:
    """The figure of `noisysim.plot.device`."""
    checked = devices.get(device)
    measured = [(panel, measure(checked, seed)) for measure, panel in _PANELS.items()]
    panels = [(panel, measurement) for panel, measurement in measured if measurement is not None]
    rows = 1 if len(panels) <= 3 else 2
    columns = math.ceil(len(panels) / rows)
    width = max(3.7 * columns, 5.2)
    figure = style.figure(width, 3.2 * rows)
    name, texts = _head(device, checked)
    room = width - 2 * MARGIN
    lines = [line for pieces, between in texts for line in style.in_lines(figure, pieces, room, SMALL, between)]
    head = 0.42 + LINE * len(lines)
    height = 3.2 * rows + head
    figure.set_figheight(height)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0, 0, 1, 1 - head / height), w_pad=0.08, h_pad=0.06, wspace=0.03, hspace=0.03)
    below = [0.36 + LINE * k for k in range(len(lines))]
    look: dict[str, Any] = {"va": "top", "color": INK, "parse_math": False}
    figure.text(MARGIN / width, 1 - MARGIN / height, name, fontsize=13, weight="bold", **look)
    for line, down in zip(lines, below, strict=True):
        figure.text(MARGIN / width, 1 - down / height, line, fontsize=SMALL, **look)
    for (panel, measurement), place in zip(panels, _places(figure, rows, columns, len(panels)), strict=True):
        panel(figure, place, measurement)
    return figure


def _places(figure: Figure, rows: int, columns: int, count: int) -> list[SubplotSpec]:
    """Positions of the panels; the first takes a column to itself if one position is left."""
    grid = figure.add_gridspec(rows, columns)
    cells = [grid[k // columns, k % columns] for k in range(rows * columns)]
    if count < len(cells):
        del cells[columns]
        cells[0] = grid[:, 0]
    return cells


def _head(spec: DeviceSpec, device: Device) -> tuple[str, list[tuple[list[str], str]]]:
    """The name; then what the device is, its main numbers, and what else was set: pieces, and what joins them."""
    preset = devices.REGISTRY.preset(spec)
    if preset is None:
        name, about = devices.name_of(device), caption(documentation(type(device)))
    else:
        name, of = preset.name, f"a preset of {devices.name_of(device)}"
        about = f"{preset.about}: {of}" if preset.about else of
        about = f"{about[0].upper()}{about[1:]}. {preset.source}"
    settings = [f"{name}={_short(value)}" for name, value in devices.changes(device).items() if name not in _TOLD]
    if settings:
        settings[0] = f"set: {settings[0]}"
    apart = " · "
    texts = [(about.split(), " "), ([*_facts(device)], apart), (settings, apart)]
    return name, [([printable(piece) for piece in pieces], between) for pieces, between in texts]


def _facts(device: Device) -> Iterator[str]:
    """The main numbers of a device."""
    hooks, fields, numbers = devices.own_hooks(device), declared(type(device)), resolve(device)
    if "g_max" in fields:
        yield f"{_short(numbers.g_min)} to {_short(numbers.g_max)} µS"
        yield "two cells per weight" if numbers.paired else "one cell per weight"
    for field, name in (("dac_bits", "DAC"), ("adc_bits", "ADC")):
        if field in fields:
            bits = getattr(device, field)
            yield f"{name} {bits:g} bits" if bits else f"{name} ideal"
    if "line_noise" in fields:
        yield f"line noise {_short(100 * device._asdict()['line_noise'])} % of full scale"
    if "pulse" in hooks:
        yield "written by pulses, " + ("closed loop" if numbers.verified else "open loop")


def _short(value: float | str) -> str:
    """A number in four digits at most, unless it is a whole one."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# --- panels ---------------------------------------------------------------------------------------------------------


def _transfer(figure: Figure, place: SubplotSpec, transfer: bench.Transfer) -> None:
    """The curve, and below it, larger, the deviation of reads from the ideal one."""
    grid = place.subgridspec(2, 1, height_ratios=(2, 3), hspace=0.02)
    curve = figure.add_subplot(grid[0])
    off = figure.add_subplot(grid[1], sharex=curve)
    repeats, _, columns = transfer.reads.shape
    at = np.tile(transfer.inputs, repeats)
    for panel, ideal in ((curve, 0.0), (off, transfer.ideal)):
        reads = transfer.reads - np.reshape(ideal, (-1, 1))
        means = reads.mean(axis=0)
        panel.plot(at, reads[:, :, 0].ravel(), ".", color=TRAIN, ms=2.5, alpha=0.5, mew=0, label="line 1, reads")
        panel.plot(transfer.inputs, means[:, 0], color=INK, lw=1.3, zorder=3, label="line 1, mean")
        others = panel.plot(transfer.inputs, means[:, 1:], color=INK, lw=0.6, alpha=0.5)
        others[0].set_label(f"lines 2 to {columns}")
        panel.plot(transfer.inputs, transfer.ideal - ideal, color=TEST, lw=0.9, ls=DASHED, zorder=4, label="ideal")
    drawn = np.concatenate([reads[:, :, 0].ravel(), means.ravel()])
    least = 1e-4 * np.abs(transfer.ideal).max()  # rounding is nothing to look at
    reach = np.abs(drawn).max()
    _headroom(off, *((-least, least) if reach < least else (drawn.min(), drawn.max())), rows=2)
    _name(curve, "transfer, input to output", "", "output")
    _name(off, "", "input (input units)", f"output − ideal\n({UNIT})")
    curve.tick_params(labelbottom=False)
    _legend(off, ncols=2)


def _read_noise(figure: Figure, place: SubplotSpec, noise: bench.ReadNoise) -> None:
    panel = figure.add_subplot(place)
    panel.hist(
        noise.reads, _edges(noise).tolist(), density=True, color=TRAIN, alpha=0.5, label=f"{len(noise.reads)} reads"
    )
    at = noise.mean + noise.std * np.linspace(-4, 4, 200)
    density = np.exp(-0.5 * ((at - noise.mean) / noise.std) ** 2) / (noise.std * math.sqrt(2 * math.pi))
    label = "declared law" if noise.declared else "normal of the same moments\n(no law of the line declared)"
    panel.plot(at, density, color=TEST, lw=1.3, label=label)
    panel.set_ylim(top=1.35 * max(density.max(), panel.dataLim.ymax))
    _name(
        panel,
        f"read noise, std {noise.reads.std():.3g} {UNIT}",
        f"read − exact product ({UNIT})",
        "probability density",
    )
    _legend(panel, ncols=2)


def _edges(noise: bench.ReadNoise) -> Doubles:
    """Edges of a histogram's bins; where reads take few values, one bin each."""
    values = np.unique(noise.reads)
    if 1 < len(values) < BINS:
        middles = (values[1:] + values[:-1]) / 2
        return np.array([2 * values[0] - middles[0], *middles, 2 * values[-1] - middles[-1]])
    reach = max(4 * noise.std, np.abs(noise.reads - noise.mean).max())
    return noise.mean + np.linspace(-reach, reach, BINS + 1)


def _programming_error(figure: Figure, place: SubplotSpec, writes: bench.ProgrammingError) -> None:
    panel = figure.add_subplot(place)
    at = np.broadcast_to(writes.targets, writes.errors.shape)
    panel.plot(at.ravel(), writes.errors.ravel(), ".", color=TRAIN, ms=2.5, alpha=0.35, mew=0, label="cells")
    groups = _groups(writes.errors)
    targets = writes.targets.reshape(groups, -1).mean(axis=1)
    errors = writes.errors.T.reshape(groups, -1)
    mean, std = np.mean(errors, axis=1), np.std(errors, axis=1)
    panel.plot(targets, mean, color=INK, lw=1.5, label="mean, ±1 std")
    panel.plot(targets, np.stack([mean - std, mean + std], axis=1), color=INK, lw=0.8)
    if writes.law is not None:
        means, stds = (values.reshape(groups, -1) for values in writes.law)
        mean, std = means.mean(axis=1), np.sqrt((stds**2).mean(axis=1) + means.var(axis=1))
        curves = panel.plot(targets, np.stack([mean - std, mean + std], axis=1), color=TEST, lw=1.2, ls=DASHED)
        curves[0].set_label("declared ±1 std")
    reach = np.max(np.abs(writes.errors)) or 1.0
    _headroom(panel, -reach, reach)
    _name(panel, f"programming error, std {np.std(writes.errors):.3g} µS", "target (µS)", "conductance − target (µS)")
    _legend(panel, ncols=3)


def _groups(errors: Doubles) -> int:
    """How many groups the targets of (cells, targets) errors make: many where few levels are far apart.

    Then the mean error differs within a group by more than cells of one target do, and would beat with the groups.
    """
    across = errors.mean(axis=0).reshape(COARSE, -1).var(axis=1).mean()
    return FINE if across > errors.var(axis=0, ddof=1).mean() else COARSE


def _pulse_response(figure: Figure, place: SubplotSpec, response: bench.PulseResponse) -> None:
    panel = figure.add_subplot(place)
    cells = np.concatenate([response.up, response.down[1:]])
    at = np.arange(len(cells)) * response.pulses[1]
    low, high = np.percentile(cells, [10, 90], axis=1)
    followed = "pairs" if response.paired else "cells"
    differ = (high > low).any()
    if differ:
        panel.fill_between(at, low, high, color=TRAIN, alpha=0.22, lw=0, label=f"10 to 90 % of {followed}")
        lines = panel.plot(at, cells[:, :CELLS], color=TRAIN, lw=0.7, alpha=0.8)
        lines[0].set_label(f"{CELLS} {followed}")
    panel.plot(
        at, np.mean(cells, axis=1), color=INK, lw=1.8, label="mean" if differ else f"all {cells.shape[1]} {followed}"
    )
    drawn = np.concatenate([cells[:, :CELLS].ravel(), low, high])
    _headroom(panel, np.min(drawn), np.max(drawn))
    _name(
        panel,
        "response to pulses",
        "pulses: first up the plus, then the minus cell" if response.paired else "pulses: first up, then down",
        "conductance, plus − minus cell (µS)" if response.paired else "conductance (µS)",
    )
    _legend(panel, ncols=3)


def _ageing(figure: Figure, place: SubplotSpec, ageing: bench.Ageing) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    panel = figure.add_subplot(place)
    low, middle, high = np.percentile(ageing.cells, [10, 50, 90], axis=1)
    for k in range(len(ageing.targets)):
        label = None if k else "10 to 90 % of cells"
        panel.fill_between(ageing.ages, low[:, k], high[:, k], color=TRAIN, alpha=0.3, lw=0, label=label)
    lines = panel.plot(ageing.ages, middle, color=INK, lw=1.4)
    lines[0].set_label("median")
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(numticks=7))
    panel.xaxis.set_minor_locator(NullLocator())
    _headroom(panel, low.min(), high.max())
    _name(panel, "ageing", "time since the write (s)", "conductance (µS)")
    if ageing.output is not None:
        right = panel.twinx()
        panel.plot([], [], color=TEST, lw=1.3, label="output")
        right.plot(ageing.ages, ageing.output, color=TEST, lw=1.3)
        _headroom(right, 0.0, ageing.output.max())
        right.set_ylabel("compensated output / as written", color=TEST, fontsize=9)
        right.tick_params(labelsize=SMALL, colors=TEST)
        right.spines[["top", "left"]].set_visible(False)
        right.spines["right"].set_color(TEST)
    _legend(panel, ncols=3)


def _faults(figure: Figure, place: SubplotSpec, faults: bench.Faults) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    panel = figure.add_subplot(place)
    colours = ListedColormap(list(FAULTS.values()))
    inputs, lines = faults.array.shape
    outputs = lines // 2 if faults.paired else lines
    panel.imshow(
        faults.array, cmap=colours, vmin=-0.5, vmax=len(FAULTS) - 0.5, aspect="auto", interpolation="none",
        extent=(-0.5, outputs - 0.5, inputs - 0.5, -0.5),
    )  # fmt: skip
    which = "output (two lines each: plus cells, minus cells)" if faults.paired else "output"
    _name(panel, "faults of one array", which, "input")
    panel.grid(visible=False)
    handles = [Patch(fc=FAULTS[k], label=f"{k} {100 * share:.1f} %") for k, share in faults.shares.items() if share]
    _legend(panel, handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)


def _name(panel: Axes, title: str, x: str, y: str) -> None:
    panel.set_title(title, loc="left", fontsize=9.5, color=INK)
    panel.set_xlabel(x, fontsize=9)
    panel.set_ylabel(y, fontsize=9)
    panel.tick_params(labelsize=SMALL)
    if panel.get_xscale() == "linear":
        panel.locator_params("x", nbins=6)
    style.plain(panel)


def _headroom(panel: Axes, low: float, high: float, rows: int = 1) -> None:
    """Limits that leave room for a legend's lines above what is drawn."""
    span = (high - low) or abs(high) or 1.0
    panel.set_ylim(low - 0.04 * span, high + 0.16 * rows * span)


def _legend(panel: Axes, **options: Any) -> None:
    legend = panel.legend(
        **{"loc": "upper left", "borderaxespad": 0.2, **options}, frameon=False, fontsize=SMALL, handlelength=1.2,
        columnspacing=0.8, handletextpad=0.5, markerscale=2.5,
    )  # fmt: skip
    if not options.get("bbox_to_anchor"):
        legend.set_in_layout(False)  # inside: a panel is not made narrower for it
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)


_PANELS: dict[Callable[[Any, int], Any], Callable[[Any, Any, Any], None]] = {
    bench.transfer: _transfer, bench.read_noise: _read_noise, bench.programming_error: _programming_error,
    bench.pulse_response: _pulse_response, bench.ageing: _ageing, bench.faults: _faults,
}  # fmt: skip
