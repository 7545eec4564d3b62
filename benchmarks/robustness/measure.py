"""Measure a protocol: choose rates, run every rule on every device, and keep what a card needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import noisysim
from benchmarks.robustness import protocol
from benchmarks.robustness.protocol import Protocol
from noisysim.common.types import Doubles

COSTS = (
    "updates", "samples", "passes", "mvms", "adc_conversions", "cells_programmed", "pulses", "analog_macs",
    "digital_macs", "decorrelation_macs", "adaptation_macs", "rule_macs", "perturbation_conversions", "digital_bytes",
)  # fmt: skip


def measure(
    task: str,
    plan: Protocol,
    folder: Path,
    *,
    learners: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    known_rates: dict[str, float] | None = None,
    **how: Any,
) -> dict[str, Any]:
    """What the protocol finds, in plain values; studies are kept in the folder, and a rerun does what is missing.

    Parameters
    ----------
    task : str
        Name of the protocol.
    plan : Protocol
    folder : Path
        For the studies' files.
    learners, devices : sequence of str, optional
        Instead of the protocol's: of an entry.
    known_rates : dict, optional
        Rates that were chosen before, by learner.
    **how
        Of `noisysim.sweep`: client, workers, progress.
    """
    rules = list(plan.learners if learners is None else learners)
    chips = plan.devices() if devices is None else list(devices)
    rates = {rule: rate for rule, rate in (known_rates or {}).items() if rule in rules}
    if new := [rule for rule in rules if rule not in rates]:
        rates.update(_rates(task, plan, folder, new, how))
    asked = {
        **plan.settings,
        "learner": rules,
        "learning_rate": noisysim.by("learner", rates),
        "seed": list(plan.seeds),
    }
    found = noisysim.sweep(**asked, device=chips, out=folder / f"{task}.h5", **how)
    results = [_result(found, rule, name) for rule in rules for name in chips]
    drift = []
    if devices is None:
        after = noisysim.sweep(
            **asked, device=[protocol.DRIFTING], retention=protocol.SECONDS, out=folder / f"{task}-drift.h5", **how
        )
        later = after.data.test_accuracy_after.sel(device=protocol.DRIFTING)
        drift = [
            {"learner": rule, "accuracy": _percent(later.sel(learner=rule).transpose("seed", "seconds").values)}
            for rule in rules
        ]
    return {
        "version": protocol.VERSION, "task": task, "settings": plan.settings, "seeds": list(plan.seeds), "rates": rates,
        "target": plan.target, "results": results, "drift": drift, "environments": found.environments,
    }  # fmt: skip


def _rates(task: str, plan: Protocol, folder: Path, rules: list[str], how: dict[str, Any]) -> dict[str, float]:
    """Each rule's rate: of those at which it learns on the reference chip, that with the lowest training loss.

    A rule that learns at none of them gets the lowest.
    """
    tuned = noisysim.tune(
        **{**plan.settings, "epochs": plan.rate_epochs}, learner=rules, device=protocol.REFERENCE,
        rates=plan.rates,
        choose="loss", seed=list(protocol.TUNING_SEEDS), out=folder / f"{task}-rates.h5", **how,
    )  # fmt: skip
    chosen = {rule: tuned.rate(learner=rule) for rule in rules}
    return {rule: round(min(plan.rates) if np.isnan(rate) else rate, 9) for rule, rate in chosen.items()}


def _result(found: Any, rule: str, name: str) -> dict[str, Any]:
    """What the seeds of one rule on one device found: accuracies (%), mean cost, accuracy along the way."""
    here = found.data.sel(learner=rule, device=name)
    finished = here.status.values == "finished"
    way = 100 * here.test_accuracy_by_epoch.values[finished]
    return {
        "learner": rule, "device": name, "accuracy": _percent(here.test_accuracy.values),
        "lost": [str(status) for status in here.status.values[~finished]],
        "way": way.mean(axis=0).round(2).tolist() if finished.any() else [],
        **{name: float(here[name].mean()) for name in COSTS if finished.any()},
    }  # fmt: skip


def _percent(values: Doubles) -> list[Any]:
    """Fractions as per cent, to the hundredth; None for a run that did not finish."""
    rounded = np.round(100 * values, 2).astype(object)
    rounded[np.isnan(values)] = None
    return list(rounded.tolist())


def joined(content: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Results with those of an entry among them; what was there of the same rule or device is replaced."""
    new = {(one["learner"], one["device"]) for one in entry["results"]}
    rules = {one["learner"] for one in entry["drift"]}
    return {
        **content,
        "rates": {**content["rates"], **entry["rates"]},
        "results": [o for o in content["results"] if (o["learner"], o["device"]) not in new] + entry["results"],
        "drift": [one for one in content["drift"] if one["learner"] not in rules] + entry["drift"],
    }


def kept(path: Path, found: dict[str, Any]) -> None:
    """Write what was found: a line a result, so that changes can be read."""
    lists = {name: found[name] for name in ("results", "drift")}
    head = json.dumps({name: value for name, value in found.items() if name not in lists}, indent=1)
    body = [f'"{name}": [\n' + ",\n".join(json.dumps(one) for one in values) + "\n]" for name, values in lists.items()]
    path.write_text(head.rstrip("}\n") + ",\n " + ",\n ".join(body) + "\n}\n", encoding="utf-8")
