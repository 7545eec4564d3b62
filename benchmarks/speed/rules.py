"""Small steps of other rules, 784-50-20-10, batch 32, one thread, against a forward pass of the same chip."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import noisysim
from benchmarks.speed.measure import Row, at_most, interleaved, ratio, repeated
from benchmarks.speed.work import batch_of
from noisysim.compute import execution

NETWORK, BATCH, AT_ONCE = [784, 50, 20, 10], 32, 50
"""Layers, samples of a step, and steps of a round."""
MOST = {"bp": 4.0, "fa": 4.0, "dfa": 4.0, "learned-fa": 6.0, "anp": 4.0, "np": 4.0}
"""Rules, and forward passes that a step may cost."""


def stepper(rule: str) -> tuple[Callable[[], None], Callable[[], object]]:
    """A function that does one step on a chip of its own, as a user's loop does, and one that reads that chip."""
    batch, learner = batch_of(BATCH, NETWORK[0], NETWORK[-1]), noisysim.learners.get(rule)
    optimizer, oracle = noisysim.optimizers.Adam(), rule == "bp"
    chip = noisysim.Chip(NETWORK, "crossbar", decorrelate=bool(learner.decorrelation), oracle=oracle)
    state, held = noisysim.prepare(learner, chip, batch), optimizer.init(chip.network.shapes)

    def step() -> None:
        nonlocal held
        observed = chip.passes(batch, learner.drives(state, BATCH), training=True)
        gradient, _ = learner.update(state, observed, oracle=chip.oracle(batch) if oracle else None)
        assert gradient is not None
        changes, held = optimizer.update(gradient, held, 1e-3)
        chip.program(changes)
        noisysim.adapt(learner, chip, observed[0])

    return step, lambda: chip.forward(batch.inputs)


def rows(rounds: int = 11) -> list[Row]:
    """A row for each rule."""
    found = []
    for rule, most in MOST.items():
        with execution.threads(1):
            step, forward = stepper(rule)
            times = interleaved({"step": repeated(step, AT_ONCE), "pass": repeated(forward, AT_ONCE)}, rounds)
        one = {name: 1e6 * statistics.median(of) / AT_ONCE for name, of in times.items()}
        detail = f"{one['step']:.0f} us; {one['pass']:.0f} us"
        said = f"{rule.upper()} step, 784-50-20-10, batch 32, crossbar, against a forward pass"
        found.append(at_most(said, ratio(times, "step", "pass"), most, detail=detail))
    return found
