"""What a write controller has to know for some of what it is asked."""

from __future__ import annotations

import noisysim.devices as devices
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve


def require(setting: str, device: Device, otherwise: str) -> None:
    """Refuse a setting on a device that is written by pulses in open loop: its controller keeps no targets."""
    if "pulse" in devices.own_hooks(device) and not resolve(device).verified:
        raise ValueError(
            f"{setting} needs a write controller that keeps what the weights should be, but device "
            f"{devices.name_of(device)!r} is written by pulses in open loop: {otherwise}, or let the device verify its "
            "pulses (verify_pulses > 0)"
        )
