"""ResNet-8 on CIFAR-10: trained on exact hardware, put on chips, left to age, and tuned on them by what they let out.

The network is that of MLPerf Tiny, trained by backpropagation with images shifted and mirrored, in stages (`TRAINED`):
with fixed normalisation (``layers="resnet-8"``) and, with ``--norm learned``, on from there with gains and offsets that
are learned and kept digital. `DEVICES` get it as it is: nothing of the training knows of their noise. Each is tested at
once, after an hour, a day and a year. Then chips are tuned at once after they were written, by an epoch over the same
images (`TUNED`), in the ways of `TUNINGS`: at a rate of 0, where weights stay and the running statistics of batch
normalisation alone follow the chip; by three rules that see no weights; and, where gains and offsets are learned, by
rules that learn these alone. The rate of all layers is by trials of 30 updates with another seed: ten times as much
took ANP and FDFA below the control. That of gains and offsets alone is the lower one of the two that `tuned` found best
for ANP. Each tuned chip is tested as it is, and once more after a calibration by training samples (`Chip.calibrate`),
which sets the ranges of its converters and its running statistics anew.

Everything is kept in files, and what is there is not run again: the trained network is resumed, deployments and tuned
runs are loaded. The network with learned normalisation is kept with the results, as ONNX.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import noisysim
from benchmarks.robustness.presets import spread
from noisysim import average_pool, batch_norm, conv, residual
from noisysim.reporting import style
from noisysim.runs import environment
from noisysim.runs.deployment import Deployment


def learned_resnet() -> list[Any]:
    """The layers of ``"resnet-8"``, whose normalisations have gains and offsets to be learned."""
    norm, below = batch_norm(epsilon=1e-3, learned=True), (0, 0, 1, 1)

    def narrowed(channels: int) -> Any:
        return residual([conv(channels, 3, 2, below), norm, kept(channels), norm], [conv(channels, 1, 2)])

    def kept(channels: int) -> Any:
        return conv(channels, 3, padding="same")

    return [kept(16), norm, residual([kept(16), norm, kept(16), norm]), narrowed(32), narrowed(64), average_pool()]


TASK = "cifar10:shift=4,mirror=True"
BY_BP: dict[str, Any] = {"learner": "bp", "bias": True, "device": "ideal", "oracle": True}
TRAINED: list[dict[str, Any]] = [
    {
        **BY_BP, "task": TASK, "layers": "resnet-8", "epochs": 20, "batch_size": 128, "learning_rate": 3e-3,
        "schedule": "cosine:final=0.02", "seed": 0,
    },
    {
        **BY_BP, "task": "cifar10:shift=2,mirror=True", "layers": learned_resnet(), "activation": "relu", "epochs": 16,
        "batch_size": 64, "learning_rate": 2e-3, "schedule": "cosine:final=0.01", "seed": 1,
    },
]  # fmt: skip
"""Stages of the training, each from the weights of the one before."""
SCALED: dict[str, Any] = {"weight_scaling": "column"}
"""No weight is clipped: the span of cells stands for the largest of each output line."""
TUNED: dict[str, Any] = {"epochs": 1, "batch_size": 128, "optimizer": "adam", "schedule": "cosine:final=0.1", **SCALED}
QUICK: dict[str, Any] = {
    "task": "digits", "chips": 1,
    "trained": [
        {**BY_BP, "task": "digits", "layers": ["conv(4, 3)", norm], "epochs": 3, "batch_size": 32, "seed": 0}
        for norm in ("batch_norm()", "batch_norm(learned=True)")
    ],
}  # fmt: skip
DEVICES = ("pcm_hermes", "pcm_hermes:compensation=1", "rram_wan", "crossbar")
RATE, FROZEN_RATE = 1e-4, 1e-3
WAITS = {"now": 0.0, "an hour": 3600.0, "a day": 86400.0, "a year": 365.25 * 86400}
CHIPS = 3
CALIBRATION = 512
"""Training samples by which a tuned chip is calibrated."""
COLOURS = {
    "pcm_hermes": "#c2410c",
    "pcm_hermes:compensation=1": "#f59e0b",
    "rram_wan": "#4d7c0f",
    "crossbar": "#1f4e79",
}


class Tuning(NamedTuple):
    """A way to tune a chip."""

    title: str
    learner: str
    rate: float
    frozen: str | None = None


TUNINGS = {
    "statistics": Tuning("statistics", "anp", 0.0),
    "anp": Tuning("ANP", "anp", RATE),
    "anp-frozen": Tuning("ANP, arrays frozen", "anp", FROZEN_RATE, "arrays"),
    "fdfa": Tuning("FDFA", "fdfa", RATE),
    "fdfa-frozen": Tuning("FDFA, arrays frozen", "fdfa", FROZEN_RATE, "arrays"),
    "danp": Tuning("DANP", "danp", RATE),
    "bp-frozen": Tuning("BP, arrays frozen", "bp", FROZEN_RATE, "arrays"),
}
"""By name. Backpropagation reads the weights: what gains and offsets can do."""


def tunings(norm: str) -> list[str]:
    """Those that there are: without learned normalisation nothing is left to learn where arrays are frozen."""
    return [name for name, way in TUNINGS.items() if norm == "learned" or way.frozen is None]


def trained(folder: Path, stem: str, stages: Sequence[Mapping[str, Any]]) -> Path:
    """The file of the network on exact hardware; stages are resumed where their files are."""
    path = None
    for number, settings in enumerate(stages, 1):
        before, path = path, folder / f"{stem}-stage-{number}.h5"
        if not path.exists():
            begun: dict[str, Any] = {} if before is None else {"init": before}
            print(noisysim.run(**settings, **begun, out=path, checkpoint_seconds=60), flush=True)
        elif noisysim.load(path).status != "finished":
            print(noisysim.resume(path), flush=True)
    assert path is not None
    return path


def network_of(words: argparse.Namespace, folder: Path, base: str, stem: str) -> Any:
    """The network: the kept one, or the one that is trained where there is none, and kept if it is to be."""
    kept = folder / f"{stem}.onnx"
    if words.norm == "fixed":
        return trained(words.out, base, (QUICK["trained"] if words.quick else TRAINED)[:1])
    if words.train or not kept.exists():
        path = trained(words.out, base, QUICK["trained"] if words.quick else TRAINED)
        if not words.save:
            return path
        noisysim.load(path).to_onnx(kept, oracle=True, overwrite=True)
    return noisysim.networks.load(kept, fold_batch_norm=False)


def deployed(path: Path, network: object, device: str, task: str, chips: int) -> Deployment:
    """It on chips of a device, as they age."""
    if path.exists():
        return Deployment.load(path)
    return noisysim.deploy(
        network, device=device, task=task, seconds=list(WAITS.values()), chips=chips, out=path, **SCALED
    )


def tuned(path: Path, network: Path, device: str, way: Tuning, task: str) -> noisysim.Result:
    """It on one chip, after an epoch."""
    if path.exists():
        result: noisysim.Result = noisysim.load(path)
        return result if result.status != "interrupted" else noisysim.resume(path)
    return noisysim.run(
        task, init=network, device=device, learner=way.learner, learning_rate=way.rate, frozen=way.frozen,
        oracle=way.learner == "bp", seed=0, out=path, checkpoint_seconds=60, **TUNED,
    )  # fmt: skip


def calibrated(result: noisysim.Result, task: str) -> float:
    """Its test accuracy after a calibration."""
    chip = result.chip()
    chip.calibrate(noisysim.tasks.get(task).batch("train", slice(0, CALIBRATION)).inputs)
    return float(result.test(chip=chip).accuracy)


def row_of(found: Deployment, device: str, runs: Mapping[str, noisysim.Result], task: str) -> dict[str, Any]:
    """What is kept of a device."""
    done = {rule: run for rule, run in runs.items() if run.status == "finished"}
    return {
        "device": device, "exact": found.exact_accuracy, "aged": np.round(found.test_accuracy, 4).tolist(),
        "snr": [round(layer.snr, 2) for layer in found.layers],
        "tuned": {rule: round(float(run.history["test_accuracy"][-1]), 4) for rule, run in runs.items()},
        "calibrated": {rule: round(calibrated(run, task), 4) for rule, run in done.items()},
        "status": {rule: run.status for rule, run in runs.items()},
        "warnings": {rule: run.warnings for rule, run in runs.items()},
        "environment": environment.describe("cpu"),
    }  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]], norm: str) -> str:
    """Markdown: test accuracies (%) as chips age, mean and standard deviation over them, and of tuned chips."""
    lines = [f"| device | {' | '.join(WAITS)} |", "|---" * (1 + len(WAITS)) + "|"]
    for row in rows:
        lines.append(
            f"| {_code(row['device'])} | {' | '.join(spread(100 * np.array(chips)) for chips in row['aged'])} |"
        )
    asked = [row for row in rows if ":" not in row["device"]]
    lines += ["", f"| tuned | {' | '.join(_code(row['device']) for row in asked)} |", "|---" * (1 + len(asked)) + "|"]
    for rule in tunings(norm):
        lines.append(f"| {TUNINGS[rule].title} | {' | '.join(_said(row, rule) for row in asked)} |")
    return "\n".join(lines) + "\n"


def _code(name: str) -> str:
    return f"`{name}`"


def _said(row: Mapping[str, Any], rule: str) -> str:
    """What a tuned chip has, and in brackets what it has after a calibration."""
    if rule not in row["tuned"]:
        return "not run"
    if row["status"][rule] != "finished":
        return str(row["status"][rule])
    accuracy = f"{100 * row['tuned'][rule]:.1f}"
    return f"{accuracy} ({100 * row['calibrated'][rule]:.1f})" if "calibrated" in row else accuracy


def figure(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Accuracy as chips age, and after tuning by what was run."""
    rules = [rule for rule in TUNINGS if any(rule in row["tuned"] for row in rows)]
    drawn = style.figure(7.6, 3.0)
    ages, tuning = drawn.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [1, 1.5]})
    for k, row in enumerate(rows):
        colour, percent = COLOURS[row["device"]], 100 * np.array(row["aged"])
        ages.plot(range(len(WAITS)), percent.mean(axis=1), "o-", color=colour, lw=1.4, ms=4, label=row["device"])
        ages.plot(range(len(WAITS)), percent, ".", color=colour, ms=3, alpha=0.6)
        places = [n + 0.2 * (k - (len(rows) - 1) / 2) for n in range(1 + len(rules))]
        after = [100 * row["tuned"].get(rule, np.nan) for rule in rules]
        tuning.bar(places, [percent[0].mean(), *after], width=0.18, color=colour)
        if "calibrated" in row:
            again = [100 * row["calibrated"].get(rule, np.nan) for rule in rules]
            tuning.plot(places[1:], again, "_", color="#111111", ms=7, label=None if k else "calibrated")
    for panel, size in ((ages, 8), (tuning, 7)):
        panel.axhline(100 * rows[0]["exact"], color="#94a3b8", lw=0.8, ls=":")
        style.plain(panel)
        panel.tick_params(axis="x", labelsize=size)
    ages.set(title="as chips age", xticks=range(len(WAITS)), xticklabels=list(WAITS), ylabel="test accuracy (%)")
    names = ["written", *(TUNINGS[rule].title.replace(", arrays", "\n") for rule in rules)]
    tuning.set(title="tuned on the chip, one epoch", xticks=range(len(names)), xticklabels=names)
    marks, labels = ages.get_legend_handles_labels()
    more, further = tuning.get_legend_handles_labels()
    drawn.legend(
        marks + more, labels + further, loc="outside lower center", ncols=len(rows) + 1, fontsize=8, frameon=False
    )
    return drawn


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="digits, one convolution, one chip")
    parser.add_argument("--norm", choices=["fixed", "learned"], default="fixed", help="learned: a second stage")
    parser.add_argument("--train", action="store_true", help="train anew, though the network is kept")
    parser.add_argument("--only", nargs="+", choices=DEVICES, default=list(DEVICES), help="devices")
    parser.add_argument("--out", type=Path, default=Path("deployed"), help="folder for the result files")
    parser.add_argument("--show", action="store_true", help="tune no chip: show those that are there")
    parser.add_argument("--save", action="store_true", help="keep table and figure in benchmarks/robustness/results")


def main(words: argparse.Namespace, folder: Path) -> None:
    """Run what is missing, and print it."""
    base = "deployed-quick" if words.quick else "deployed"
    stem = base if words.norm == "fixed" else f"{base}-learned"
    task, chips = (QUICK["task"], QUICK["chips"]) if words.quick else (TASK, CHIPS)
    words.out.mkdir(parents=True, exist_ok=True)
    network = network_of(words, folder, base, stem)
    rows = []
    for device in words.only:
        name = f"{stem}-{device.replace(':', '-')}"
        found = deployed(words.out / f"{name}.h5", network, device, task, chips)
        print(found, flush=True)
        runs = dict[str, noisysim.Result]()
        for rule in () if ":" in device else tunings(words.norm):  # compensation is of no use before there is any drift
            path = words.out / f"{name}-{rule}.h5"
            if words.show and not (path.exists() and noisysim.load(path).status == "finished"):
                continue
            runs[rule] = tuned(path, words.out / f"{name}.h5", device, TUNINGS[rule], task)
            print(f"{device:12} {rule:12} {runs[rule].history['test_accuracy']}", flush=True)
        rows.append(row_of(found, device, runs, task))
    print("\n" + table(rows, words.norm))
    if words.save:
        keep(rows, folder, stem, words.norm)


def keep(rows: Sequence[Mapping[str, Any]], folder: Path, stem: str, norm: str) -> None:
    """Write what was found, its table and its figure."""
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / f"{stem}.jsonl").write_text(text + "\n", encoding="utf-8")
    (folder / f"{stem}.md").write_text(table(rows, norm), encoding="utf-8")
    figure(rows).savefig(folder / f"{stem}.png", dpi=130)
