"""Devices that update in the array, by pulse trains on rows and columns: what cannot be asked of them."""

from __future__ import annotations

import noisysim.devices as devices
from noisysim.common.arguments import argument
from noisysim.common.source import attributes
from noisysim.compute.cell_state import TrainLimits
from noisysim.devices.contract import Device
from noisysim.devices.resolved import DeviceNumbers, resolve

NET = "let the device take net changes (update='net')"
"""What else there is."""
NOMINAL_STEP = 1e-3
"""Size of a pulse, share of g_max - g_min, where the device states none and one is needed."""


def acts_in_array(device: Device) -> bool:
    """Whether pulse trains on rows and columns update a device's cells."""
    return "pulse" in devices.own_hooks(device) and resolve(device).in_array


def train_limits(numbers: DeviceNumbers) -> TrainLimits | None:
    """What trains are like on a device that has any; those that are shortened are balanced, or they would saturate."""
    if not numbers.in_array:
        return None
    shortens = numbers.update_bl_management
    return TrainLimits(numbers.pulse_slots, numbers.update_management or shortens, shortens)


def by_net_changes(device: Device) -> Device:
    """The same cells, written by net changes in pulses of a size: for who asks for changes as arrays."""
    fields = device._asdict()
    net = {"update": "net"} if "update" in fields else {}
    step = {"pulse_step": NOMINAL_STEP} if fields.get("pulse_step") == 0 else {}
    return device._replace(**net, **step)


def refuse(setting: str, device: Device, reason: str) -> None:
    """Refuse a setting on a device that updates in the array."""
    if acts_in_array(device):
        raise ValueError(
            f"{setting}, but device {devices.name_of(device)!r} updates in the array (update='pulse_trains'), where "
            f"{reason}; or {NET}"
        )


def check_device(device: Device, numbers: DeviceNumbers, scaling: str) -> None:
    """Refuse what contradicts pulse trains, and pulses of any size.

    Parameters
    ----------
    device : device
    numbers : DeviceNumbers
    scaling : str
        Which weight the full span stands for (`noisysim.chip.weight_scaling`).
    """
    name, hooks = devices.name_of(device), devices.own_hooks(device)
    if "pulse" not in hooks:
        if numbers.in_array:
            raise ValueError(f"device {name!r} has update='pulse_trains', but no hook pulse(g, up, z, d)")
        return
    exact = numbers.pulse_step == 0
    if not (exact or numbers.in_array):
        return
    setting = "pulse_step=0" if exact else "update='pulse_trains'"
    if numbers.verified:
        raise ValueError(f"device {name!r} has {setting} and verify_pulses > 0, a closed loop: set one of them off")
    if exact and "pulse_step" not in attributes(devices.hooks(device)["pulse"]):
        raise ValueError(f"device {name!r} has pulse_step=0, but its hook pulse does not read d.pulse_step")
    if numbers.in_array and scaling != "fixed":
        fixed = argument("weight_scaling='fixed'")
        raise ValueError(f"device {name!r} has update='pulse_trains', which knows no scales of lines: use {fixed}")
