"""A DANP step, 784-512-512-512-10, batch 1000: passes, update, decorrelation, Adam, programming.

The baseline is the step's own list of matrix products, each run bare by NumPy in one thread.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable

import numpy as np

from benchmarks.speed.measure import Row, at_least, at_most, interleaved, ratio
from noisysim import Batch, Chip, devices, execution, learners, losses, optimizers

SIZES, BATCH = [784, 512, 512, 512, 10], 1000


def batch_of(size: int, n_in: int, n_out: int) -> Batch:
    """Random inputs and one-hot targets."""
    rng = np.random.default_rng(0)
    targets = np.eye(n_out, dtype=np.float32)[rng.integers(0, n_out, size)]
    return Batch(rng.standard_normal((size, n_in), dtype=np.float32), targets, losses.get("cce"))


def stepper(sizes: list[int], device: object, batch: Batch, rate: float) -> Callable[[], None]:
    """A function that does one DANP step on a chip of its own."""
    learner, optimizer = learners.get("danp"), optimizers.get("adam")
    chip = Chip(sizes, device, decorrelate=True)
    state = learner.init(sizes, offers=chip.offers)
    held = {"observed": None, "gradient": None, "adam": optimizer.init(chip.network.shapes)}

    def step() -> None:
        drives = learner.drives(state, len(batch.inputs))
        held["observed"] = observed = chip.passes(batch, drives, out=held["observed"])
        gradient, _ = learner.update(state, observed, out=held["gradient"])
        chip.decorrelate(observed[0].inputs, learner.decorrelation)
        held["gradient"], held["adam"] = optimizer.update(gradient, held["adam"], rate)
        chip.program(held["gradient"])

    return step


def products(sizes: list[int], batch: int, read_noise: bool) -> Callable[[], None]:
    """The products of one such step: two passes that share the first layer, gradients, decorrelation."""
    rng = np.random.default_rng(1)
    calls = []

    def add(a: np.ndarray, b: np.ndarray) -> None:
        calls.append((a, b, np.empty((a.shape[0], b.shape[1]), np.float32)))

    def random(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        x, weights, rotation, signal = (
            random(batch, n_in),
            random(n_out, n_in),
            random(n_in, n_in),
            random(batch, n_out),
        )
        for _ in range(1 if layer == 0 else 2):
            add(x, rotation.T)
            add(x, weights.T)
            if read_noise:
                add(x, weights.T)
        add(signal.T, x)
        add(x.T, x)  # symmetric: NumPy computes half
        add(rotation, rotation)

    def run() -> None:
        for a, b, out in calls:
            np.matmul(a, b, out=out)

    return run


def rows(rounds: int = 11) -> list[Row]:
    """Step against products for three devices in one thread, and two threads against one."""
    batch, found = batch_of(BATCH, SIZES[0], SIZES[-1]), []
    for name, device in (
        ("crossbar", devices.get("crossbar")),
        ("crossbar without read noise", devices.get("crossbar", read_noise=0)),
        ("ideal", devices.get("ideal")),
    ):
        noisy = name == "crossbar"
        with execution.threads(1):
            functions = {"step": stepper(SIZES, device, batch, 1e-3), "bare": products(SIZES, BATCH, noisy)}
            times = interleaved(functions, rounds)
        bare = f"products {1e3 * statistics.median(times['bare']):.0f} ms"
        found.append(
            at_most(f"DANP step, {name}, against its own products", ratio(times, "step", "bare"), 1.25, detail=bare)
        )
    one, two = stepper(SIZES, "crossbar", batch, 1e-3), stepper(SIZES, "crossbar", batch, 1e-3)

    def on(threads: int, step: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(3):
                step()

        def inside() -> None:
            with execution.threads(threads):
                run()

        return inside

    times = interleaved({"one": on(1, one), "two": on(2, two)}, rounds)
    found.append(at_least("DANP step, crossbar, two threads against one", ratio(times, "one", "two"), 1.8))
    return found
