"""What a write controller has to know for some of what it is asked."""

from __future__ import annotations

import noisysim.devices as devices
from noisysim.devices.contract import Device
from noisysim.devices.controllers import controller_of
from noisysim.devices.resolved import resolve


def require(setting: str, device: Device, otherwise: str) -> None:
    """Refuse a setting on a device whose write controller keeps no targets."""
    if _controller(device) != "copy":
        written, remedy = _without_targets(device)
        raise ValueError(
            f"{setting} needs a write controller that keeps what the weights should be, but device "
            f"{devices.name_of(device)!r} is written {written}: {otherwise}, or {remedy}"
        )


def lacking(device: Device, purpose: str) -> ValueError:
    """The error for what needs the weights that the controller of a device does not keep."""
    written, remedy = _without_targets(device)
    return ValueError(
        f"device {devices.name_of(device)!r} is written {written}: its controller keeps no weights {purpose}; {remedy}"
    )


def _without_targets(device: Device) -> tuple[str, str]:
    """How a device is written whose controller keeps no targets, and what would let it keep some."""
    controller = _controller(device)
    if controller == "increment" and "pulse" in devices.own_hooks(device):
        return "by pulses in open loop", "let the device verify its pulses (verify_pulses > 0)"
    return f"with controller={controller!r}", "set controller='copy'"


def _controller(device: Device) -> str:
    return controller_of(resolve(device), "pulse" in devices.own_hooks(device))
