"""Decoupled weight decay by the write controller (Loshchilov & Hutter 2019, arXiv 1711.05101)."""

from __future__ import annotations

from noisysim.chip import array_updates, targets
from noisysim.chip.erasing import erase
from noisysim.chip.state import State
from noisysim.common import fields
from noisysim.common.arguments import argument
from noisysim.compute import layered
from noisysim.compute.layered import Layered
from noisysim.devices.contract import Device

SHARE = fields.Field("", 0, 1, "of each weight")


def check(name: str, decay: float, device: Device) -> None:
    """Refuse decay on a device whose write controller does not know the weights that it is a share of."""
    if decay:
        targets.require(argument(f"{name}={decay:g}"), device, "set it to 0")


def write(state: State, changes: Layered, decay: float) -> None:
    """Ask for changes of all weights, and in the same write for a share of each, biases and gains excepted, less."""
    array_updates.refuse("program asks for a change of each weight", state.device, "factors are given to descend")
    if not decay:
        state.write(changes.flat, False)
        return
    check("decay", fields.check("", "decay", decay, SHARE), state.device)
    less = _decayed(state, changes, decay)
    state.write(less.flat, False)
    erase([less.flat])


def _decayed(state: State, changes: Layered, decay: float) -> Layered:
    """Changes less a share of the weights as the controller knows them: new arrays, as they tell these."""
    net, wanted = state.net, state.weights.wanted()
    less = layered.empty(changes.shapes, state.backend.xp)
    for layer, (target, weights) in enumerate(zip(less, wanted, strict=True)):
        state.backend.xp.multiply(weights, -decay, out=target)
        target[:, 0 if net.blocks[layer].is_gain else net.fan_in[layer] :] = 0
    less.flat += changes.flat
    erase(wanted)
    return less
