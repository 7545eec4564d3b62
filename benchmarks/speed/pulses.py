"""Writes by pulses: updates against a copy of the weights, and training steps and pulse trains against products."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.speed.measure import Row, at_most, interleaved, ratio
from benchmarks.speed.work import batch_of
from noisysim import Chip, devices, learners, optimizers
from noisysim.compute import execution, layered
from noisysim.compute.factors import Factors
from noisysim.compute.protocols import Term

N = 1024


def rows(rounds: int = 15) -> list[Row]:
    """All, in one thread, but for the updates, which are bound by memory: they may have all cores."""
    with execution.threads(None):
        updates = pulsed_updates(rounds)
    with execution.threads(1):
        return [*updates, *pulsed_steps(rounds), *pulse_trains(rounds)]


def pulsed_updates(rounds: int) -> list[Row]:
    """A 1024 x 1024 array's update by pulses of constant step with noise from cycle to cycle."""
    found = []
    device = devices.get("pulsed", write_noise=0.3)
    for pulses in (0.1, 1.0):
        chip = Chip([N, N], device)
        weights, copy = np.random.default_rng(0).standard_normal((2, N * N), dtype=np.float32)
        step = 2 * device.pulse_step * device.weight_range / np.sqrt(N)  # of one pulse, in weights
        change = layered.empty([(N, N)])
        change.flat[:] = pulses * step * np.random.default_rng(1).standard_normal(N * N)
        work: dict[str, Callable[[], Any]] = {
            "copy": partial(np.copyto, copy, weights),
            "update": partial(chip.program, change),
        }
        times = interleaved(work, rounds)
        took = 1e3 * statistics.median(times["update"]), 1e3 * statistics.median(times["copy"])
        what = f"pulsed update, constant step, {pulses:g} pulses a cell (std), against a copy of the weights"
        found.append(
            at_most(what, ratio(times, "update", "copy"), 6, detail=f"{took[0]:.2f} ms, copy {took[1]:.2f} ms")
        )
    return found


def pulsed_steps(rounds: int) -> list[Row]:
    """A DANP step without decorrelation on one pulsed 1024 x 1024 layer against the bare forward product.

    The learning rate is such that a cell gets a tenth of a pulse a step in the mean.
    """
    found = []
    for size, bar in ((1000, 4.0), (1, 15.0)):
        batch, device = batch_of(size, N, N), devices.get("rpu")
        weights = np.random.default_rng(1).standard_normal((N, N), dtype=np.float32)
        out = np.empty((size, N), np.float32)
        work: dict[str, Callable[[], object]] = {
            "product": partial(np.matmul, batch.inputs, weights.T, out=out),
            "step": pulsed_step(device, batch),
        }
        times = interleaved(work, rounds)
        product = f"product {1e3 * statistics.median(times['product']):.2f} ms"
        what = f"pulsed training step (rpu), batch {size}, against the bare forward product"
        found.append(at_most(what, ratio(times, "step", "product"), bar, detail=product))
    return found


def pulse_trains(rounds: int) -> list[Row]:
    """An update in the array by one sample, 1024 x 1024 cells of `rpu`, against the matrix-vector product.

    The bars are what AIHWKit 1.2 takes on one machine (docs/comparison.md). Inputs and errors are uniform.
    """
    found, rng = [], np.random.default_rng(0)
    x, errors = (rng.uniform(-1, 1, (1, N)).astype(np.float32) for _ in range(2))
    weights, out = rng.standard_normal((N, N), dtype=np.float32), np.empty((1, N), np.float32)
    factors = Factors([Term(np.ones(1), [errors])], [x], (), 1)
    for pulses, bar in ((0.1, 26.0), (6.0, 790.0)):
        for management in (1, 0):
            device = devices.get("rpu", update="pulse_trains", update_bl_management=management)
            chip, step = Chip([N, N], device), 2 * device.pulse_step * device.weight_bound
            rate = pulses * step / float(np.abs(x).mean() * np.abs(errors).mean())
            work: dict[str, Callable[[], object]] = {
                "product": partial(np.matmul, x, weights.T, out=out),
                "update": partial(chip.descend, factors, partial(optimizers.SGD().step, {}, rate)),
            }
            times = interleaved(work, rounds)
            given = chip.cost.pulses / chip.cost.updates / N**2
            took = 1e3 * statistics.median(times["update"]), 1e3 * statistics.median(times["product"])
            length = "as long as needed" if management else "of 31 slots"
            what = f"pulse trains {length}, {pulses:g} coincidences a cell, against the product of a vector"
            detail = f"{took[0]:.2f} ms, product {took[1]:.3f} ms; {given:.2f} pulses a cell"
            found.append(at_most(what, ratio(times, "update", "product"), bar, detail=detail))
    return found


def pulsed_step(device: Any, batch: Any) -> Callable[[], None]:
    """A function that does one such step on a chip of its own."""
    learner, optimizer = learners.get("danp", decorrelation=0.0), optimizers.SGD()
    chip = Chip([N, N], device)
    state, kept = learner.init(chip.sizes, offers=chip.offers), optimizer.init(chip.network.shapes)
    observed = chip.passes(batch, learner.drives(state, len(batch.inputs)))
    held = learner.update(state, observed)[0]

    def typical() -> float:
        chip.passes(batch, learner.drives(state, len(batch.inputs)), out=observed)
        gradient, _ = learner.update(state, observed, out=held)
        assert gradient is not None
        return float(np.abs(gradient.flat).mean())

    rate = float(0.1 * 2 * device.pulse_step * device.weight_bound / np.mean([typical() for _ in range(30)]))

    def step() -> None:  # as a run does it: no gradient is formed
        chip.passes(batch, learner.drives(state, len(batch.inputs)), out=observed)
        factors, _ = learner.factors(state, observed)
        assert factors is not None
        chip.descend(factors, lambda: optimizer.step(kept, rate))

    return step
