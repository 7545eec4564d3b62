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

Four more have a second array of cells, A, beside that of the weights, C, for cells whose steps up and down differ
(`noisysim.chip.transfers`). A gets the pulses of changes; its columns are read in turn, and what is read moves C.

tiki_taka
    C moves by a share of what is read, rounded by chance (Gokmen & Haensch, Front. Neurosci. 14:103, 2020).
tiki_taka_v2
    What is read is added to a digital accumulator of every weight, whose whole steps move C, as in accumulate (Gokmen,
    Front. Artif. Intell. 4:699148, 2021).
chopped
    The same; changes of a column enter A with a sign that turns by chance, and are read with it (c-TTv2: Rasch et al.,
    Nat. Commun. 15:7133, 2024).
agad
    The same with signs that turn regularly; of what is read the mean read of the period before is taken off (AGAD,
    ibid.).
"""

from __future__ import annotations

from noisysim.devices.resolved import DeviceNumbers

TRANSFERS = {"tiki_taka": "increment", "tiki_taka_v2": "accumulate", "chopped": "accumulate", "agad": "accumulate"}
"""Controllers with a second array, and how the array of the weights is written from it."""
CHOPPED = ("chopped", "agad")
"""Those of them under which signs turn."""
TO_A_GOAL = ("copy", "read_modify_write")
"""Controllers that know where a cell is to be written to."""
CONTROLLERS = (*TO_A_GOAL, "increment", "accumulate", *TRANSFERS)
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
    references = 2 if controller == "agad" else 0  # that of this period, and the mean that is to be the next
    return FLOAT_BITS * (references + int(accumulates(controller)))


def accumulates(controller: str) -> bool:
    """Whether a controller keeps what is left of changes of the weights."""
    return TRANSFERS.get(controller, controller) == "accumulate"


def check(name: str, numbers: DeviceNumbers, pulsed: bool) -> None:
    """Refuse settings of device `name` that contradict its controller."""
    controller = controller_of(numbers, pulsed)
    where = f"device {name!r} has controller={controller!r}"
    to_a_goal = controller in TO_A_GOAL
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
    if controller in TRANSFERS:
        _check_transfers(where, controller, numbers, pulsed)


def _check_transfers(where: str, controller: str, numbers: DeviceNumbers, pulsed: bool) -> None:
    """Refuse settings that contradict a controller with a second array."""
    if not pulsed:
        raise ValueError(f"{where}, for cells that are changed by pulses, which these are not: use another controller")
    if numbers.pulse_step == 0 and accumulates(controller):
        raise ValueError(f"{where}, which gives whole pulses, and pulse_step=0, pulses of any size: set pulse_step")
    if numbers.max_cycles:
        raise ValueError(f"{where}, whose second array does not wear out: set max_cycles to 0")
    if numbers.transfer_gain and not (controller in CHOPPED and numbers.chop_rate):
        raise ValueError(
            f"{where} and transfer_gain={numbers.transfer_gain:g}, which takes signs that turn: use "
            "controller='chopped' or 'agad' with chop_rate > 0, or set transfer_gain to 0"
        )
    if numbers.slow_pulses and not numbers.fast_pulses:
        raise ValueError(
            f"{where} and slow_pulses={numbers.slow_pulses:g}, which takes scales: set fast_pulses as well"
        )
    if numbers.fast_pulses and numbers.in_array:
        raise ValueError(
            f"{where}, fast_pulses={numbers.fast_pulses:g} and update='pulse_trains', whose length follows the changes "
            "by itself: set fast_pulses to 0, or use update='net'"
        )
    if numbers.fast_pulses and numbers.transfer_gamma:
        raise ValueError(
            f"{where}, fast_pulses={numbers.fast_pulses:g} and transfer_gamma={numbers.transfer_gamma:g}: the weights "
            "would jump with the scale; set one of them to 0"
        )
    if numbers.transfer_gamma and controller in CHOPPED:
        raise ValueError(
            f"{where}, whose signs turn, and transfer_gamma={numbers.transfer_gamma:g}: the weights would jump with "
            "them; set transfer_gamma to 0, or use controller='tiki_taka' or 'tiki_taka_v2'"
        )
