"""A DANP step beside the same step in PyTorch, compiled by torch.compile, one thread; needs torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.measure import Row, at_least, interleaved, ratio, repeated
from benchmarks.speed.work import DENSE, batch_of, stepper
from noisysim import Batch, devices, learners, optimizers
from noisysim.compute import execution
from noisysim.networks.building import architecture

RATE = 1e-3
DEVICE: Any = devices.get(str(Path(__file__).with_name("line_device.py")))
SLOPE = 0.01  # of the leaky ReLU below 0
CODES = 127.0  # of a converter on either side of 0


class Layer:
    """What one layer keeps from step to step."""

    def __init__(self, n_out: int, n_in: int):
        self.weights = torch.randn(n_out, n_in) * math.sqrt(2 / n_in)
        self.rotation = torch.eye(n_in)
        self.full_scale = torch.tensor(4.0)
        self.mean, self.square = torch.zeros(n_out, n_in), torch.zeros(n_out, n_in)


def rows(rounds: int = 15) -> list[Row]:
    """784-512-512-512-10 at batch 1000 and 100."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = []
    for size, least in ((1000, 1.25), (100, 1.3)):
        batch = batch_of(size, DENSE[0], DENSE[-1])
        with execution.threads(1):
            work = {
                "ours": repeated(stepper(DENSE, DEVICE, batch, RATE), 1000 // size),
                "torch": repeated(torch_stepper(DENSE, batch), 1000 // size),
            }
            times = interleaved(work, rounds)
        each = [1e3 * statistics.median(times[name]) * size / 1000 for name in work]
        detail = f"{each[1]:.1f} ms, ours {each[0]:.1f} ms"
        what = f"DANP step, 784-512-512-512-10, batch {size}, torch.compile against ours"
        found.append(at_least(what, ratio(times, "torch", "ours"), least, detail=detail))
    return found


def torch_stepper(network: Sequence[int], batch: Batch) -> Callable[[], None]:
    """A function that does one step, the whole of it one compiled function."""
    layers = [Layer(n_out, n_in) for n_out, n_in in architecture(network).shapes]
    x, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets.argmax(axis=1))
    noise = [torch.empty(2 * len(x), len(layer.weights)) for layer in layers]
    compiled = torch.compile(danp, dynamic=False, fullgraph=True)
    count = torch.zeros(())

    def run() -> None:
        with torch.no_grad():
            for lines in noise:
                lines.normal_()
            count.add_(1)
            compiled(x, targets, layers, noise, count)

    return run


def danp(x: Tensor, targets: Tensor, layers: Sequence[Layer], noise: Sequence[Tensor], count: Tensor) -> None:
    """Two passes with noise, the estimate from how loss and activities moved, and all updates.

    The passes stand one above the other in each product; what drives the first layer is the same in both.
    """
    batch, adam, learner = len(x), optimizers.Adam(), learners.DANP()
    inputs, differences, source = [], [], x
    for layer, normal in zip(layers, noise, strict=True):
        driven = converted_in(source @ layer.rotation.T)
        product = driven @ layer.weights.T
        if len(product) == batch:
            product = torch.cat([product, product])
        activities = converted_out(product + DEVICE.line_noise * layer.full_scale * normal, layer.full_scale)
        follow(layer.full_scale, activities)
        inputs.append(driven[:batch])
        differences.append(activities[batch:] - activities[:batch])
        source = torch.nn.functional.leaky_relu(activities, SLOPE)
    losses = torch.nn.functional.cross_entropy(activities.double(), torch.cat([targets, targets]), reduction="none")
    squares = sum(difference.square().sum(1) for difference in differences)
    units = sum(len(layer.weights) for layer in layers)
    change = (losses[batch:] - losses[:batch]).float()
    factors = torch.where(squares > 0, units * change / squares, 0.0) / batch
    for layer, driven, difference in zip(layers, inputs, differences, strict=True):
        gradient = (factors[:, None] * difference).T @ driven
        layer.mean.lerp_(gradient, 1 - adam.beta1)
        layer.square.lerp_(gradient * gradient, 1 - adam.beta2)
        mean = layer.mean / (1 - adam.beta1**count)
        root = (layer.square / (1 - adam.beta2**count)).sqrt()
        layer.weights.sub_(RATE * mean / (root + adam.epsilon))
        decorrelate(layer.rotation, driven, learner.decorrelation)


def converted_in(source: Tensor) -> Tensor:
    """A DAC of 8 bits, each row scaled to its own largest value."""
    full_scale = source.abs().amax(1, keepdim=True).clamp_min(1e-30)
    return (source * (CODES / full_scale)).round() * (full_scale / CODES)


def converted_out(lines: Tensor, full_scale: Tensor) -> Tensor:
    """An ADC of 8 bits."""
    return (lines.clamp(-full_scale, full_scale) * (CODES / full_scale)).round() * (full_scale / CODES)


def follow(full_scale: Tensor, activities: Tensor) -> None:
    """Auto-ranging of an ADC."""
    peak = activities.abs().amax()
    factor = torch.where(peak >= 0.999 * full_scale, 1.25, torch.where(peak < 0.5 * full_scale, 0.99, 1.0))
    full_scale.mul_(factor)


def decorrelate(rotation: Tensor, x: Tensor, rate: float) -> None:
    """R <- R - rate (<x x^T> - diag<x^2>) R, by whichever products are fewer."""
    if x.shape[1] < len(x):
        correlations = x.T @ x
        step = (correlations - torch.diag(correlations.diagonal())) @ rotation
    else:
        step = x.T @ (x @ rotation) - x.square().sum(0)[:, None] * rotation
    rotation.sub_(step, alpha=rate / len(x))
