"""How long writes take on a chip's clock."""

from __future__ import annotations

from noisysim.chip.cost import Cost
from noisysim.devices.resolved import DeviceNumbers
from noisysim.networks.architecture import Architecture


def seconds(numbers: DeviceNumbers, before: Cost, after: Cost, chips: int) -> float:
    """The time that writes between two readings of the cost of chips side by side took, s.

    Each write of a cell to a goal takes a write and a read that verifies it, a pulse of an open loop a write, one of a
    closed loop a read as well, a cell that a controller reads a read; `write_parallel` of these at once. Chips that
    share a seed write at the same time, each its part.
    """
    cells = after.cells_programmed - before.cells_programmed
    pulses, reads = after.pulses - before.pulses, after.cells_read - before.cells_read
    in_trains = numbers.in_array  # whose pulses are coincidences: slots take the time
    written = cells + (0 if in_trains else pulses)
    looked = cells + reads + (pulses if numbers.verified else 0)
    whole = written * numbers.write_time + looked * numbers.verify_time
    return whole / (chips * numbers.write_parallel)


def of_trains(numbers: DeviceNumbers, samples: int, net: Architecture) -> float:
    """The time of pulse trains for some samples of each chip, s: each with all its slots, all layers at once.

    Groups of channels take turns, since trains of two at once would coincide in the cells between them.
    """
    turns = max(positions * block.groups for positions, block in zip(net.positions, net.blocks, strict=True))
    return numbers.write_time * numbers.pulse_slots * samples * turns


def check(device: str, numbers: DeviceNumbers, chips: int, apart: bool) -> None:
    """Refuse chips that have to be what each is alone, but have one clock."""
    if numbers.writes_take_time and apart and chips > 1:
        raise ValueError(
            f"device {device!r} has write_time or verify_time, and chips side by side have one clock, on which writes "
            "of one would make cells of another older: give them one seed, or make them one by one"
        )
