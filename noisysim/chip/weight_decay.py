"""Decoupled weight decay by the write controller (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

from __future__ import annotations

import noisysim.devices as devices
from noisysim.chip.state import State
from noisysim.compute import layered
from noisysim.compute.layered import Layered
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve


def check(name: str, decay: float, device: Device) -> None:
    """Refuse decay on a device whose write controller does not know the weights that it is a share of."""
    if decay and "pulse" in devices.own_hooks(device) and not resolve(device).verified:
        raise ValueError(
            f"{name}={decay:g} needs a write controller that keeps what the weights should be, but device "
            f"{devices.name_of(device)!r} is written by pulses in open loop: set it to 0, or let the device verify "
            "its pulses (verify_pulses > 0)"
        )


def decayed(state: State, changes: Layered, decay: float) -> Layered:
    """Changes of which each weight's, biases excepted, is less by a share of the weight as the controller knows it.

    They tell the weights, and so are new arrays: to be written and erased.
    """
    net, wanted = state.net, state.arrays.wanted_weights()
    less = layered.empty(changes.shapes, state.backend.xp)
    for target, weights, n_in in zip(less, wanted, net.fan_in, strict=True):
        state.backend.xp.multiply(weights, -decay, out=target)
        target[:, n_in:] = 0
        weights.fill(0)  # freed memory tells nothing
    less.flat += changes.flat
    return less
