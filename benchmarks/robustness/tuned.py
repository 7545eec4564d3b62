"""Tuning a deployed network, with its arrays written again or left alone.

A small convolutional network with learned normalisation is trained by backpropagation on exact hardware (`TRAINED`) and
written to chips that its training knew nothing of. Each is then tuned for an epoch over the same images (`TUNED`), by
rules that see no weights, and by backpropagation that reads them: in all layers, or, with ``frozen="arrays"``, in gains
and offsets alone, which are digital. At a rate of 0 (`CONTROL`) the running statistics of batch normalisation alone
follow the chip. The protocol was fixed before the runs of the table, the grid of rates after a look at test accuracies
of ANP and NP at 1e-4 to 5e-3 on a chip of both memories:

- The rate of each device, rule and choice of layers is that of `RATES` with the lowest mean training loss over an epoch
  of the first `TRIAL` images, on a chip with a seed of its own; test data have no say in it.
- Reported is the test accuracy after the epoch, as the chip itself reads it, mean and standard deviation over chips.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import noisysim
from benchmarks.robustness.deployed import BY_BP, trained
from benchmarks.robustness.presets import Runs, accuracies, spread
from noisysim.reporting import style

NORM = "batch_norm(learned=True)"
TRAINED: dict[str, Any] = {
    **BY_BP, "task": "fashion-mnist", "epochs": 4, "batch_size": 100, "learning_rate": 5e-3, "bias": False,
    "layers": ["conv(8, 3, stride=2)", NORM, "conv(16, 3, stride=2)", NORM, "conv(32, 3)", NORM, "average_pool()"],
    "schedule": "cosine:final=0.02", "seed": 0,
}  # fmt: skip
TUNED: dict[str, Any] = {
    "task": "fashion-mnist", "epochs": 1, "batch_size": 100, "optimizer": "adam", "schedule": "cosine:final=0.1",
    "weight_scaling": "column",
}  # fmt: skip
SMALL: dict[str, Any] = {"task": "digits", "epochs": 1, "batch_size": 32}
"""What is another in the quick form, of the training and of the tuning."""
FEW = ["conv(8, 3)", NORM, "conv(16, 3)", NORM, "average_pool()"]
"""Layers of the quick form."""
DEVICES = ("pcm_hermes", "rram_wan", "crossbar")
CONTROL = "statistics"
RULES = ("bp", "anp", "danp", "fdfa", "np")
LAYERS = {"all": None, "arrays frozen": "arrays"}
"""Which layers learn, and what is frozen."""
RATES = (1e-5, 1e-4, 1e-3, 5e-3)
TRIAL = 10_000
TRIAL_SEED = 100
LOOKS = {
    "all": ("#c2410c", "o", "all layers learn"),
    "arrays frozen": ("#1f4e79", "D", "gains and offsets alone learn"),
}
"""Colour, mark and name of each choice of layers in the figure."""


class Row(NamedTuple):
    """What the chips of one device came to by one rule."""

    device: str
    rule: str
    layers: str
    rate: float
    runs: list[dict[str, Any]]

    @property
    def accuracies(self) -> Any:
        """Test accuracies, per cent, (seeds,)."""
        return accuracies(self.runs)


def name_of(network: Path) -> str:
    """Stands for a network in records: its weights."""
    weights = noisysim.load(network).chip(oracle=True).weights()
    return f"network {zlib.crc32(b''.join(weights[name].tobytes() for name in sorted(weights))):08x}"


def measure(runs: Runs, settings: Mapping[str, Any], devices: Sequence[str], seeds: int) -> Iterator[Row]:
    """A row for each device, rule and choice of layers, as they come."""
    for device in devices:
        for rule, layers in [(CONTROL, "all"), *((rule, layers) for rule in RULES for layers in LAYERS)]:
            asked = {**settings, "learner": "anp" if rule == CONTROL else rule}
            asked |= {"frozen": LAYERS[layers]} if LAYERS[layers] else {}
            asked |= {"oracle": True} if rule == "bp" else {}
            rate = 0.0 if rule == CONTROL else chosen(runs, device, asked)
            found = [runs.get(device, **asked, learning_rate=rate, seed=seed) for seed in range(seeds)]
            yield Row(device, rule, layers, rate, found)


def chosen(runs: Runs, device: str, asked: Mapping[str, Any]) -> float:
    """The rate with the lowest mean training loss on a chip of its own; the lowest one if all diverged."""
    losses = {}
    for rate in RATES:
        found = runs.get(device, **asked, learning_rate=rate, seed=TRIAL_SEED, samples=TRIAL)
        losses[rate] = found["train_loss"][-1] if found["status"] == "finished" else np.inf
    return min(losses, key=losses.__getitem__)


def tables(rows: Sequence[Row], exact: float) -> str:
    """Markdown: test accuracies with their rates."""
    devices = list(dict.fromkeys(row.device for row in rows))
    of = {(row.device, row.rule, row.layers): row for row in rows}
    lines = [
        f"The network on exact hardware has {100 * exact:.1f} %.",
        "",
        "### Test accuracy (%), in brackets the rate",
    ]
    lines += [
        "",
        f"| rule | layers | {' | '.join(f'`{device}`' for device in devices)} |",
        "|---|---|" + "---|" * len(devices),
    ]
    for rule, layers in dict.fromkeys((row.rule, row.layers) for row in rows):
        said = CONTROL if rule == CONTROL else f"`{rule}`"
        cells = [_mean(of[device, rule, layers]) for device in devices]
        lines.append(f"| {said} | {'none' if rule == CONTROL else layers} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _mean(row: Row) -> str:
    """Mean and standard deviation, and the rate."""
    return spread(row.accuracies) + (f" ({row.rate:g})" if row.rate else "")


def figure(rows: Sequence[Row], exact: float) -> Any:
    """A panel a device: rules side by side, every chip a point, lines for the exact network and for the control."""
    devices = list(dict.fromkeys(row.device for row in rows))
    drawn = style.figure(2.6 * len(devices) + 0.6, 3.0)
    panels = drawn.subplots(1, len(devices), sharey=True, squeeze=False)[0]
    for panel, device in zip(panels, devices, strict=True):
        mine = [row for row in rows if row.device == device]
        panel.axhline(100 * exact, color="#333333", lw=0.8, ls=":", label="exact hardware")
        control = next(row for row in mine if row.rule == CONTROL).accuracies.mean()
        panel.axhline(control, color="#4d7c0f", lw=1.2, ls="--", label="running statistics alone")
        for layers, (colour, mark, name) in LOOKS.items():
            shift = 0.12 if layers == "all" else -0.12
            for place, rule in enumerate(RULES):
                (row,) = (row for row in mine if (row.rule, row.layers) == (rule, layers))
                label = name if place == 0 else None
                panel.plot(place - shift, row.accuracies.mean(), mark, color=colour, ms=5, label=label)
                panel.plot([place - shift] * len(row.runs), row.accuracies, "_", color=colour, ms=7)
        panel.set(title=device, xticks=range(len(RULES)), xticklabels=[rule.upper() for rule in RULES])
        panel.tick_params(axis="x", labelsize=8)
        style.plain(panel)
    panels[0].set_ylabel("test accuracy (%)")
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return drawn


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="the digits")
    parser.add_argument("--only", nargs="+", choices=DEVICES, default=list(DEVICES), help="devices")
    parser.add_argument("--seeds", type=int, default=3, help="chips")
    parser.add_argument("--out", type=Path, default=Path("tuned"), help="folder for the trained network")
    parser.add_argument("--save", action="store_true", help="keep what comes out in benchmarks/robustness/results")


def main(words: argparse.Namespace, folder: Path) -> None:
    """Run what is asked for and print it; kept with ``--save``, so that a rerun only does what is missing."""
    stem, other = ("tuned-quick", SMALL) if words.quick else ("tuned", {})
    words.out.mkdir(parents=True, exist_ok=True)
    network = trained(words.out, stem, [{**TRAINED, **other, **({"layers": FEW} if words.quick else {})}])
    exact = float(noisysim.load(network).history["test_accuracy"][-1])
    name, rows = name_of(network), []
    runs = Runs(folder / f"{stem}.jsonl" if words.save else None, {name: network})
    for row in measure(runs, {**TUNED, **other, "init": name}, words.only, words.seeds):
        rows.append(row)
        print(f"{row.device:12} {row.rule:10} {row.layers:14} {_mean(row)}", flush=True)
    print("\n" + tables(rows, exact))
    if words.save:
        (folder / f"{stem}.md").write_text(tables(rows, exact), encoding="utf-8")
        figure(rows, exact).savefig(folder / f"{stem}.png", dpi=130)
