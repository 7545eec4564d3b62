"""Write controllers: what makes writes of a requested change of the weights, and what it keeps to do so.

copy
    A digital target of every weight: t <- clip(t + change). A cell whose target comes to another level is written to
    it, at once or by pulses and reads in a closed loop. What a cell misses is made good by its next write, and what the
    array holds is the digital sum of all changes. With ``target_bits`` targets are fixed-point numbers and changes are
    rounded to them by chance (Gupta et al., ICML 2015).
read_modify_write
    Nothing. A change is rounded by chance to whole steps; the cells of a weight that gets any are read once, by the
    array's ADC, and written as a copy would write the sum of what was read and the change.
increment
    Nothing. A change is rounded by chance to whole steps, or pulses (Gokmen & Vlasov, Front. Neurosci. 10:333, 2016),
    by which the cell moves from where it is.
accumulate
    A digital accumulator chi of every weight: chi <- chi + change; its whole steps are taken from it and move the cell
    as in increment, the rest stays (mixed precision: Nandakumar et al., Front. Neurosci. 14:406, 2020).
"""

from __future__ import annotations

from noisysim.devices.resolved import DeviceNumbers

CONTROLLERS = ("copy", "read_modify_write", "increment", "accumulate")
CHOICES = ("auto", *CONTROLLERS)
FLOAT_BITS = 32


def controller_of(numbers: DeviceNumbers, pulsed: bool) -> str:
    """The controller of a device, by name; `pulsed`: whether its cells are changed by pulses."""
    if numbers.controller != "auto":
        return numbers.controller
    return "increment" if pulsed and not numbers.verified else "copy"


def kept_bits(controller: str, numbers: DeviceNumbers) -> int:
    """Bits that a controller keeps of every weight."""
    if controller == "copy":
        return numbers.target_bits or FLOAT_BITS
    return FLOAT_BITS if controller == "accumulate" else 0


def check(name: str, numbers: DeviceNumbers, pulsed: bool) -> None:
    """Refuse settings of device `name` that contradict its controller."""
    controller = controller_of(numbers, pulsed)
    where = f"device {name!r} has controller={controller!r}"
    to_a_goal = controller in ("copy", "read_modify_write")
    if to_a_goal and pulsed and not numbers.verified:
        raise ValueError(f"{where}, which writes cells to goals: let it verify its pulses (verify_pulses > 0)")
    if not to_a_goal and pulsed and numbers.verified:
        raise ValueError(f"{where}, whose pulses are not verified: set verify_pulses to 0")
    if not to_a_goal and numbers.slices > 1 and numbers.slice_bits:
        raise ValueError(
            f"{where} and slices={numbers.slices}: a change would have to be carried from slice to slice; bit slices "
            "need controller='copy' or 'read_modify_write'"
            + (" and verify_pulses > 0; equal ones, slice_bits=0, do not" if pulsed else "")
        )
    if not to_a_goal and numbers.slices > 1 and not pulsed:
        raise ValueError(
            f"{where} and slices={numbers.slices}: equal slices take turns with pulses, and are written together "
            "without; use controller='copy' or 'read_modify_write'"
        )
    if numbers.target_bits and controller != "copy":
        raise ValueError(f"{where}, which keeps no targets: use controller='copy', or set target_bits to 0")
