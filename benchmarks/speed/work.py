"""What several parts measure: one DANP step on a chip of its own, and that step's matrix products run bare by NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from noisysim import Batch, Chip, layers, learners, losses, optimizers
from noisysim.compute import backends
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.series import Lesson
from noisysim.devices.contract import DeviceSpec
from noisysim.networks.building import architecture

DENSE, CONVNET = [784, 512, 512, 512, 10], [(3, 32, 32), *layers.NAMED["dalm-convnet"], 10]
"""Dense layers, and the ConvNet of Dalm et al. (2025) on images of 3 x 32 x 32."""
ONLINE = [64, 128, 64, 10]
"""A small network that learns one sample at a time."""


def batch_of(size: int, n_in: int, n_out: int) -> Batch:
    """Random inputs and one-hot targets."""
    rng = np.random.default_rng(0)
    targets = np.eye(n_out, dtype=np.float32)[rng.integers(0, n_out, size)]
    loss: Any = losses.get("cce")
    return Batch(rng.standard_normal((size, n_in), dtype=np.float32), targets, loss)


def stepper(
    network: Sequence[Any], device: DeviceSpec, batch: Batch, rate: float, backend: str = "cpu"
) -> Callable[[], None]:
    """A function that does one DANP step on a chip of its own: passes, update, decorrelation, Adam, programming."""
    learner, optimizer, place = learners.get("danp"), optimizers.Adam(), backends.get(backend)
    chip = Chip(network, device, decorrelate=True, backend=backend)
    state = learner.init(chip.architecture, offers=chip.offers, backend=backend)
    held: dict[str, Any] = {"observed": None, "gradient": None, "adam": optimizer.init(chip.network.shapes, place.xp)}
    batch = batch._replace(inputs=place.put(batch.inputs), targets=place.put(batch.targets))

    def step() -> None:
        drives = learner.drives(state, len(batch.inputs))
        held["observed"] = observed = chip.passes(batch, drives, out=held["observed"], training=True, inputs_of="first")
        if chip.takes_factors:  # as a run does
            factors, _ = learner.factors(state, observed)
            assert factors is not None
            chip.descend(factors, lambda: optimizer.step(held["adam"], rate))
        else:
            gradient, _ = learner.update(state, observed, out=held["gradient"])
            assert gradient is not None
            held["gradient"], held["adam"] = optimizer.update(gradient, held["adam"], rate)
            chip.program(held["gradient"])
        chip.decorrelate(observed[0].inputs, learner.decorrelation)

    return step


def series(network: Sequence[Any], device: DeviceSpec, batch: Batch, rate: float, updates: int) -> Callable[[], object]:
    """A function that does many DANP steps of one sample on a chip of its own in one call, as a run does."""
    learner, optimizer = learners.get("danp"), optimizers.Adam()
    chip = Chip(network, device, decorrelate=True)
    state, held = learner.init(chip.architecture, offers=chip.offers), optimizer.init(chip.network.shapes)
    first = Batch(batch.inputs[:1], batch.targets[:1], batch.loss)
    observed, rule = chip.passes(first, learner.drives(state, 1), inputs_of="first"), learner.compiled_estimate(state)
    assert isinstance(observed, Observed)
    assert rule is not None
    bounds, (x, y) = np.full(1, np.inf), (np.repeat(a, updates, axis=0) for a in (first.inputs, first.targets))
    whole = Batch(x, y, batch.loss)

    def many() -> None:
        steps = optimizer.ahead(held, rate, updates)
        made = chip.learn(Lesson(
            whole, "cce", observed, rule, state.sigmas, state.key, state.step, steps, learner.decorrelation, bounds
        ))  # fmt: skip
        assert made.updates == updates
        optimizer.count(held, updates)
        state.step += updates

    return many


def products(network: Sequence[Any], batch: int, read_noise: bool, backend: str = "cpu") -> Callable[[], None]:
    """The products of one such step: two passes that share the first layer, gradients, decorrelation."""
    rng, net, place = np.random.default_rng(1), architecture(network), backends.get(backend)
    calls = []

    def add(a: Any, b: Any) -> None:
        calls.append((a, b, place.xp.empty((a.shape[0], b.shape[1]), np.float32)))

    def random(*shape: int) -> Any:
        return place.put(rng.standard_normal(shape, dtype=np.float32))

    for layer, (n_out, n_in) in enumerate(net.shapes):
        rows = batch * net.positions[layer]
        x, weights, rotation, signal = random(rows, n_in), random(n_out, n_in), random(n_in, n_in), random(rows, n_out)
        for _ in range(1 if layer == 0 else 2):
            add(x, rotation.T)
            add(x, weights.T)
            if read_noise:
                add(x, weights.T)
        add(signal.T, x)
        if 2 * n_in < 3 * rows:
            add(x.T, x)  # symmetric: NumPy computes half
            add(rotation, rotation)
        else:
            add(x, rotation.T)
            add(x.T, x.copy())

    def run() -> None:
        for a, b, out in calls:
            place.xp.matmul(a, b, out=out)

    return run
