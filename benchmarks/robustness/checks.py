"""Checks on what the score cards seem to say: is it the rate, and what about drift is it that harms?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import noisysim
from benchmarks.robustness import cards, protocol

HARSH = {
    "digits": (
        ("crossbar:adc_bits=3", "crossbar:line_noise=0.1"),
        ("bp", "dbp", "fdfa", "anp", "danp", "dcanp", "np", "dnp", "inp", "dinp", "reinforce", "lg-fg-a"),
        protocol.DOUBLING[2:10],
    ),
    "fashion-mnist": (
        ("crossbar:adc_bits=4",), ("bp", "dbp", "fdfa", "anp", "danp", "dnp"), protocol.DOUBLING[:7],
    ),
}  # fmt: skip
"""By task: devices, rules, rates."""
DRIFTED = ("bp", "fdfa", "danp", "dcanp", "anp", "dfa", "fa")
COMMON = "crossbar:drift_nu=0.05"
DRIFTS = {
    "all cells alike": COMMON,
    "all alike, no line noise": f"{COMMON},line_noise=0",
    "all alike, compensated": f"{COMMON},compensation=1",
    "spread": protocol.DRIFTING,
    "spread, compensated": f"{protocol.DRIFTING},compensation=1",
}


def page(folder: Path, results: Path, **how: Any) -> str:
    """Both checks, as Markdown."""
    parts = []
    for task in HARSH:
        parts += [
            f"### Is it the rate? {task}, best mean test accuracy over rates",
            retuned(task, results, folder, **how),
        ]
    parts += [
        f"### Which part of drift? digits, after {cards.after(protocol.SECONDS[-1])}",
        drifted(protocol.TASKS["digits"], _rates(results, "digits"), folder, **how),
    ]
    return "\n\n".join(parts)


def _rates(results: Path, task: str) -> dict[str, float]:
    rates: dict[str, float] = json.loads((results / f"{task}.json").read_text(encoding="utf-8"))["rates"]
    return rates


def retuned(task: str, results: Path, folder: Path, **how: Any) -> str:
    """Rules on harsh devices, at the rate that the protocol gives them and at the best there: an upper bound."""
    rates, (devices, rules, tried) = _rates(results, task), HARSH[task]
    found = noisysim.sweep(
        **protocol.TASKS[task].settings, learner=list(rules), device=list(devices),
        learning_rate=list(tried), seed=[0, 1, 2], out=folder / f"{task}-checks-rates.h5", **how,
    ).data.test_accuracy.mean("seed")  # fmt: skip
    lines = []
    for rule in rules:
        line = [f"`{rule}`", f"{rates[rule]:.2g}"]
        for device in devices:
            here = 100 * found.sel(learner=rule)
            here = here.sel(device=device) if "device" in here.dims else here
            best = int(here.argmax("learning_rate"))
            line += [f"{float(here.sel(learning_rate=rates[rule], method='nearest')):.1f}"]
            line += [f"{float(here[best]):.1f} at {float(here.learning_rate[best]):.2g}"]
        lines.append(line)
    return cards.table(
        ["rule", "its rate", *(word for d in devices for word in (f"`{d}`, its rate", "best rate there"))], lines
    )


def drifted(plan: protocol.Protocol, rates: dict[str, float], folder: Path, **how: Any) -> str:
    """Test accuracy a month after learning, by what drifts and whether the periphery scales it back."""
    after = noisysim.sweep(
        **plan.settings, learner=list(DRIFTED), learning_rate=noisysim.by("learner", {r: rates[r] for r in DRIFTED}),
        device=list(DRIFTS.values()), seed=list(plan.seeds),
        retention=[protocol.SECONDS[0], protocol.SECONDS[-1]],
        out=folder / "digits-checks-drift.h5", **how,
    ).data.test_accuracy_after  # fmt: skip
    lines = []
    for rule in DRIFTED:
        here = 100 * after.sel(learner=rule)
        fresh = here.sel(device=protocol.DRIFTING).isel(seconds=0)
        late = [here.sel(device=device).isel(seconds=-1) for device in DRIFTS.values()]
        lines.append([f"`{rule}`", *(cards.told(one.values, 0) for one in (fresh, *late))])
    return cards.table(["rule", "at once", *DRIFTS], lines)
