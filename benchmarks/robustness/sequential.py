"""Backpropagation through time and node perturbation on sequential MNIST: a gated recurrent unit reads an image's rows.

An image is 28 steps of 28 pixels. Network, optimizer, batch size and the one seed are `SETTINGS`, the same for all
rules. All have the same rate (`RATES`), by trials of an epoch with another seed on the ideal device: accuracies (%) on
1,000 test images were 33.5, 45.6 and 29.5 of NP at 1e-3, 3e-3 and 1e-2, 26.8 and 45.7 of DANP at the first two, 91.6 of
BP at the first, which has more at the second. Reported is the test accuracy after the last epoch, as the chip itself
reads it. BP sees the exact weights, which no chip gives, and the activities of its chip.

All runs are taken to one number of epochs before any goes further, and are kept in result files that are resumed: what
is stopped at any moment has runs of the same length, but for an epoch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import noisysim
from noisysim.reporting import style

SETTINGS: dict[str, Any] = {
    "task": "mnist", "layers": "gru-64", "batch_size": 100, "optimizer": "adam", "seed": 0,
}  # fmt: skip
EPOCHS, PARTS = 3, 10
GUESSING = float(np.log(10))
"""The loss of who takes all digits for equally likely."""
QUICK = {"task": "digits", "layers": ["recurrent(16, cell='gru')"]}
RULES = ("bp", "danp", "np", "anp")
RATES = dict.fromkeys(RULES, 3e-3)
DEVICES = ("ideal", "crossbar")
LOOKS = {"bp": ("#333333", "BP through time"), "danp": ("#c2410c", "DANP"), "np": ("#1f4e79", "NP"),
         "anp": ("#4d7c0f", "ANP")}  # fmt: skip
"""Colour and name of each rule in the figure."""


def learned(path: Path, rule: str, device: str, epochs: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run has found after so many epochs; resumed from its file where there is one."""
    if path.exists():
        result = noisysim.load(path)
        if result.status != "diverged" and len(result.history["test_accuracy"]) < epochs:
            result = noisysim.resume(path, epochs=epochs, progress=False)
    else:
        result = noisysim.run(
            learner=rule, device=device, learning_rate=RATES[rule], oracle=rule == "bp", epochs=epochs, out=path,
            progress=False, **settings,
        )  # fmt: skip
    if result.status == "interrupted":
        raise KeyboardInterrupt
    return {
        "rule": rule, "device": device, "rate": RATES[rule], "status": result.status,
        "test_accuracy": result.history["test_accuracy"].round(4).tolist(), "train_losses": losses(result),
        "mvms": result.cost["mvms"], "warnings": result.warnings,
        **{name: result.environment[name] for name in ("started", "noisysim", "numpy", "cpu")},
    }  # fmt: skip


def losses(result: noisysim.Result) -> list[float]:
    """Training losses, means of `PARTS` parts of each epoch one after the other."""
    each = result.steps["train_loss"]
    parts = np.array_split(each, PARTS * len(result.history["test_accuracy"]))
    return [round(float(part.mean()), 4) for part in parts]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: test accuracies after each rule's last epoch, with their number."""
    found = {(row["rule"], row["device"]): row for row in rows}
    lines = [f"| | {' | '.join(f'`{device}`' for device in DEVICES)} |", "|---|" + "---|" * len(DEVICES)]
    for rule in RULES:
        said = [_said(found.get((rule, device))) for device in DEVICES]
        lines.append(f"| {LOOKS[rule][1]} | {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def _said(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "not run"
    if row["status"] != "finished":
        return str(row["status"])
    epochs = len(row["test_accuracy"])
    return f"{100 * row['test_accuracy'][-1]:.1f} ({epochs} epoch{'s' if epochs > 1 else ''})"


def figure(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Training loss against epochs: a panel a device, a line a rule."""
    drawn = style.figure(7.2, 2.9)
    panels = drawn.subplots(1, len(DEVICES), sharex=True, sharey=True)
    for panel, device in zip(panels, DEVICES, strict=True):
        for row in (row for row in rows if row["device"] == device):
            colour, name = LOOKS[row["rule"]]
            epochs = (np.arange(len(row["train_losses"])) + 0.5) / PARTS
            panel.plot(epochs, row["train_losses"], color=colour, lw=1.4, label=name)
        panel.axhline(GUESSING, color="#94a3b8", lw=0.8, ls=":")
        panel.set(title=device, xlabel="epochs", xlim=(0, None), ylim=(0, 2.6))
        style.plain(panel)
    panels[0].set_ylabel("training loss")
    drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(RULES), frameon=False)
    return drawn


def options(parser: argparse.ArgumentParser) -> None:
    """The words that this part of the command line takes."""
    parser.add_argument("--quick", action="store_true", help="digits, 16 units, one epoch")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=Path("sequential"), help="folder for the result files")
    parser.add_argument("--save", action="store_true", help="keep table and figure in benchmarks/robustness/results")


def main(words: argparse.Namespace, folder: Path) -> None:
    """Run what is missing, epoch by epoch, and print it."""
    stem = "sequential-quick" if words.quick else "sequential"
    settings, most = ({**SETTINGS, **QUICK}, 1) if words.quick else (SETTINGS, words.epochs)
    words.out.mkdir(parents=True, exist_ok=True)
    rows = dict[tuple[str, str], dict[str, Any]]()
    for epochs in range(1, 1 + most):
        for device in DEVICES:
            for rule in RULES:
                path = words.out / f"{stem}-{rule}-{device}.h5"
                row = rows[rule, device] = learned(path, rule, device, epochs, settings)
                print(f"{device:10} {rule:6} {epochs:3} epochs: {_said(row)}", flush=True)
                if words.save:
                    keep(list(rows.values()), folder, stem)
    print("\n" + table(list(rows.values())))


def keep(rows: Sequence[Mapping[str, Any]], folder: Path, stem: str) -> None:
    """Write what was found, its table and its figure."""
    text = "\n".join(json.dumps(row) for row in rows)
    (folder / f"{stem}.jsonl").write_text(text + "\n", encoding="utf-8")
    (folder / f"{stem}.md").write_text(table(rows), encoding="utf-8")
    figure(rows).savefig(folder / f"{stem}.png", dpi=130)
