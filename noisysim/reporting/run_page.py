"""The page of one run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.common.types import Array, Doubles
from noisysim.reporting import figures, pages, plot, settings
from noisysim.reporting.command import reproduction
from noisysim.reporting.pages import Fact, Table
from noisysim.runs import storage
from noisysim.runs.result import Result

EPOCHS = 20
"""Rows of the table of epochs at most."""
_LOSSES = ("train_loss", "validation_loss", "test_loss")
_COLUMNS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(_LOSSES, pages.loss),
    **dict.fromkeys(("train_accuracy", "validation_accuracy", "test_accuracy"), pages.accuracy),
    "learning_rate": pages.loss,
    "passed_share": pages.accuracy,
}
"""Of the table of epochs, and how a value is shown; those other than losses where there are any."""
_HEADINGS = {"passed_share": "Differences seen"}
_NOTES = {
    "passed_share": "Differences seen: share of activities that differ, as the ADC gives them, between a perturbed "
    "pass and the baseline; from those that the ADC rounds away a rule learns nothing.",
}
"""Of the table of epochs: headings other than a column's name, and what a heading alone does not say."""
_STATUS = {
    "finished": "all epochs were done",
    "interrupted": "interrupted before its end",
    "stopped": "stopped at its time limit",
    "diverged": "stopped because it diverged",
    "running": "killed, or still going on when this was written",
}
_COST = {
    "passes": "passes, each of a whole batch",
    "samples": "samples sent through the network, all passes together",
    "mvms": "matrix-vector products, one for each array and sample",
    "dac_conversions": "values converted by DACs",
    "adc_conversions": "values converted by ADCs",
    "updates": "times the chip was asked to change its weights",
    "cells_programmed": "cells written while learning",
    "cells_written_at_start": "cells written to load the initial weights",
    "pulses": "pulses given to cells",
    "cells_read": "cells read one by one by write controllers",
    "perturbation_conversions": "perturbations converted by DACs",
    "analog_macs": "multiplications in the arrays",
    "digital_macs": "multiplications of the digital side, all of the following",
    "layer_macs": "weights of digital layers times what drives them",
    "decorrelation_macs": "decorrelation matrices times what they turn",
    "adaptation_macs": "steps of the decorrelation matrices",
    "rule_macs": "estimates and outer products of the rule",
    "digital_bytes": "memory of the digital side, all of the following",
    "controller_bytes": "what write controllers keep of the weights",
    "decorrelation_bytes": "decorrelation matrices",
    "layer_bytes": "weights of digital layers",
    "optimizer_bytes": "what the optimizer remembers",
    "learner_bytes": "what the rule remembers",
    "gradient_bytes": "the gradient, where several samples add to it",
    "activity_bytes": "activities and perturbations until the gradient is formed",
}
_BATCHES = ("passes", "updates")  # of a whole batch each: a share of one says nothing of a sample
_ONCE = ("cells_written_at_start", *(name for name in _COST if name.endswith("_bytes")))


def render(result: Result) -> str:
    """The page's text."""
    config, name = result.config, result.path.name if result.path else ""
    cut_short = storage.is_cut_short(result.content)
    curves = figures.learning_curves(result)
    looked, undefined = figures.diagnostics(result) if result.diagnostics else ([], [])
    chips = config.get("chips", 1) > 1
    return pages.render(
        "run.html",
        title=title(config),
        file=name,
        status=result.status,
        status_text=f"stopped by callback {result.reason}" if result.reason else _STATUS[result.status],
        facts=outcome(result),
        about=[Fact(n, v) for n, v in result.rows() if n in ("task", "network", "device", "learner", "optimizer")],
        notes=config["task"].get("notes", []),
        warnings=result.warnings,
        resume_command=f"noisysim resume {shlex.quote(name)}" if name and cut_short else "",
        curves=curves,
        diagnostics=looked,
        measured=dict(result.rows()).get("measured", ""),
        undefined=undefined,
        chips=[*chip_tables(result)] if chips else [],
        chip_figures=figures.chips(result) if chips else [],
        epochs=epoch_table(result),
        cost=cost_table(result),
        run_settings=settings.run(config),
        groups=settings.groups(config),
        environment=[Fact(k.replace("_", " "), str(v)) for k, v in result.environment.items()],
        again=reproduction(config, name or "run.h5"),
    )


def title(config: dict[str, Any]) -> str:
    """Rule on device: task."""
    called = (config["learner"]["name"], _stem(config["device"]["name"]), Path(config["task"]["name"]).name)
    return "{} on {}: {}".format(*called)


def _stem(device: str) -> str:
    return Path(device).stem if device.endswith(".py") else device


def outcome(result: Result) -> list[Fact]:
    """The run at one glance."""
    history, config = result.history, result.config
    done, chips = len(history["train_loss"]), config.get("chips", 1)
    facts = []
    if done:
        last = {name: history[f"test_{name}"][-1] for name in ("accuracy", "loss")}
        if np.isfinite(history["test_accuracy"]).any():
            facts.append(Fact("Test accuracy", pages.accuracy(last["accuracy"]), _best(history["test_accuracy"])))
        train = f"training {pages.loss(history['train_loss'][-1])}"
        if "validation_loss" in history:
            train += f", validation {pages.loss(history['validation_loss'][-1])}"
        facts.append(Fact("Test loss", pages.loss(last["loss"]), train))
    facts.append(Fact("Epochs", f"{done:,} of {config['epochs']:,}", f"{result.cost['updates']:,} updates"))
    facts.append(Fact("Time", pages.duration(result.elapsed), f"backend {config['backend']}"))
    if chips > 1:
        facts.append(Fact("Chips", f"{chips}", "values are mean ± standard deviation over chips"))
    return facts


def _means(values: Doubles) -> Doubles:
    """Over the chips of a run whose values are finite, (epochs,)."""
    return values if values.ndim == 1 else np.ma.filled(np.ma.masked_invalid(values).mean(axis=1), np.nan)


def _best(accuracies: Doubles) -> str:
    means = _means(accuracies)
    best = int(np.nanargmax(means))
    return f"best {100 * means[best]:.1f} % after epoch {best + 1}"


def epoch_table(result: Result) -> Table | None:
    """Losses, accuracies and rates, one row per epoch; of a long run some rows, the best among them."""
    history = result.history
    columns = [name for name in _COLUMNS if name in history and (name in _LOSSES or np.isfinite(history[name]).any())]
    rows, n = _chosen(history), len(history["train_loss"])
    caption = f"{n} epochs"
    if len(rows) < n:
        caption = f"{len(rows)} of {n} epochs, evenly chosen, the first, the best and the last among them"
    note = " ".join(_NOTES[name] for name in columns if name in _NOTES)
    body = [[f"{k + 1}", *(_COLUMNS[name](history[name][k]) for name in columns)] for k in rows]
    header = ["Epoch", *(_HEADINGS.get(name) or pages.words(name) for name in columns)]
    return Table(caption, header, body, frozenset(range(len(header))), note) if n else None


def _chosen(history: dict[str, Doubles]) -> Array:
    """The epochs of the table: all of them, or a selection with the best."""
    n, accuracy = len(history["train_loss"]), history["test_accuracy"]
    if n <= EPOCHS:
        return np.arange(n)
    means = _means(accuracy if np.isfinite(accuracy).any() else -history["test_loss"])
    best = [int(np.nanargmax(means))] if np.isfinite(means).any() else []
    return np.unique([*np.linspace(0, n - 1, EPOCHS - 1).round().astype(int), *best])


def chip_tables(result: Result) -> list[Table]:
    """Spread of the final values of several chips."""
    rows = []
    for name, form in (("test_accuracy", pages.accuracy), ("test_loss", pages.loss), ("train_loss", pages.loss)):
        values = result.history[name][-1] if len(result.history[name]) else np.array([])
        finite = values[np.isfinite(values)]
        if finite.size:
            marks = [float(q) for q in np.quantile(finite, [0, 0.25, 0.5, 0.75, 1])]
            rows.append([pages.words(name), form(finite), *map(form, marks), f"{finite.size}"])
    columns = ["Final value", "Mean ± std", "Lowest", "Lower quartile", "Median", "Upper quartile", "Highest", "Chips"]
    return [Table("Spread over chips", columns, rows, frozenset(range(1, 8)))] if rows else []


def cost_table(result: Result) -> Table:
    """What learning cost on the chip, also for each update and for each sample learned from."""
    updates, samples = result.cost["updates"], learned(result)
    rows = []
    for name in (name for name in _COST if name in result.cost):
        number = result.cost[name]
        each = pages.NONE if name in (*_ONCE, "updates") or not updates else pages.count(number / updates)
        single = pages.NONE if name in (*_ONCE, *_BATCHES) or not samples else pages.count(number / samples)
        rows.append([pages.words(name), pages.count(number), each, single, _COST[name]])
    caption = f"{updates:,} updates, {samples:,} samples learned from; tests and calibration are counted too"
    if result.config.get("chips", 1) > 1:
        caption += "; passes and updates are those of all chips side by side"
    return Table(caption, ["Count", "Total", "Per update", "Per sample", "Meaning"], rows, frozenset((1, 2, 3)))


def learned(result: Result) -> int:
    """Samples that the updates were made of, on all chips."""
    task, batch = plot.learned_from(result.config), result.config["batch_size"]
    epochs, rest = divmod(len(result.steps["train_loss"]), -(-task // batch))
    return int(result.config.get("chips", 1)) * int(epochs * task + rest * batch)
