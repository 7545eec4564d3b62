"""The same cells under other conditions: which fields of a device may change, and what of a chip's state follows them.

Conditions are noise of reads, converters, time and temperature (`noisysim.common.fields.Field`), and what on a user's
device nothing but its hooks of lines reads. Cells keep what their
writes left and when that was; what time has made of it, and the variances of reads, is what the new conditions make of
it, as if these had held since. A device on which nothing aged kept no account of when cells were written: they count
as written when any was last.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Collection
from dataclasses import fields as attributes_of
from types import ModuleType

import noisysim.devices as devices
from noisysim.chip.arrays import Arrays
from noisysim.chip.state import LONGEST_AGE, State
from noisysim.common.fields import declared
from noisysim.common.identity import is_outside
from noisysim.common.source import attributes
from noisysim.devices.contract import Device
from noisysim.devices.field_groups import Converters
from noisysim.devices.resolved import DeviceNumbers

CONVERTERS = frozenset(name for name in declared(Converters) if name.startswith(("dac_", "adc_")))
"""Fields with which the ranges of converters are calibrated anew."""
AGEING = ("now", "fresh", "since", "aimed", "variances")
"""What cells hold, and what follows from it: some devices lack some of these."""


LINES = ("dac", "readout", "adc")
"""Hooks that meet signals on lines alone: what no other reads has left nothing in any cell."""


def allowed(device: Device) -> list[str]:
    """The fields of a device that are conditions."""
    seen = _of_lines(type(device))
    return [
        name for name, field in declared(type(device)).items()
        if field.condition or field.noise == "read" or name in seen
    ]  # fmt: skip


def _of_lines(cls: type) -> set[str]:
    """The fields of a user's device, which may declare nothing, that its hooks of lines read, and nothing else."""
    if not is_outside(cls.__module__):
        return set()
    space = vars(sys.modules[cls.__module__])
    found = {
        name: attributes(space[name])
        for name in (*devices.HOOKS, "tables", "complete")
        if isinstance(space.get(name), types.FunctionType)
    }
    others = set().union(*(read for name, read in found.items() if name not in LINES))
    others |= {one.name for one in attributes_of(DeviceNumbers)}  # which the chip reads itself
    specs = declared(cls)
    others |= {name for name, field in specs.items() if field.noise or field.spread or field.file}
    others |= {size for field in specs.values() if field.spread for size in field.spread.sizes()}
    on_lines = set().union(*(read for name, read in found.items() if name in LINES))
    return (set(specs) & on_lines) - others


def check(device: Device, fields: Collection[str]) -> None:
    """Refuse to change fields that say what the cells are, or how they were written."""
    known = allowed(device)
    for name in fields:
        if name in declared(type(device)) and name not in known:
            own = "; a device of your own declares others by Field(..., condition=True)"
            raise ValueError(
                f"{devices.name_of(device)}.{name} says what the cells are or how they were written, which no other "
                f"conditions change; what may change: {', '.join(known) or 'nothing'}"
                + (own if is_outside(type(device).__module__) else "")
            )


def carry_over(old: State, new: State, fields: Collection[str]) -> None:
    """Give a chip of a device with other fields, fabricated alike, the state that a chip has.

    Parameters
    ----------
    old : State
    new : State
        Of the same backend.
    fields : collection of str
        Those that differ.
    """
    for a, b in zip(old.arrays.parts, new.arrays.parts, strict=True):
        _carry_cells(a, b, old.arrays.written_at, new.backend.xp)
    for name, array in new.arrays.digital.items():
        array[...] = old.arrays.digital[name]
    if new.weights.memory and old.weights.memory:
        new.weights.memory.weights[...] = old.weights.memory.weights
    if new.jumps and old.jumps:
        new.states[...] = old.states
    _carry_periphery(old, new)
    new.next_pass, new.arrays.writes, new.times = old.next_pass, old.arrays.writes, old.times
    new.calibrated = old.calibrated and not (CONVERTERS & set(fields) and new.numbers.calibrates)
    if new.jumps and not old.jumps:
        new.read_at = -LONGEST_AGE  # in balance when they are first read
    if new.arrays.has_cells:
        new.arrays.bring_up_to_date(new.clock, (0, new.arrays.net.depth))
        new.aged_at = new.clock
    new.arrays.done()  # what was written to make the chip is in the other's cost
    new.meter.set_counts(old.cost(), old.meter.counts)


def _carry_cells(a: Arrays, b: Arrays, written_at: float, xp: ModuleType) -> None:
    """What writes, the last of them at a time, left in cells, and when."""
    if a.now.shape != b.now.shape:
        raise ValueError("these conditions change what cells there are: make a new chip")
    for name, array in b.own_held.items():
        if name not in AGEING:
            array[...] = a.own_held[name]
    b.now[...] = a.now
    if b.wear:
        b.stuck[...] = a.stuck
    if a.apparent and b.apparent:
        b.fresh[...] = a.fresh
    elif a.timed:
        sides = len(a.now) if a.paired else 1  # a fixed reference does not age
        b.now[:sides] = a.fresh[:sides]
    if b.faulty:
        b.now[...] = xp.where(xp.isnan(b.stuck), b.now, b.stuck)
    if b.timed:
        if not b.apparent:
            b.fresh[...] = b.now
        b.since[...] = a.since if a.timed else written_at
    if b.aims:
        b.aimed[...] = a.aimed if a.aims else b.now


def _carry_periphery(old: State, new: State) -> None:
    """What the digital periphery and the converters keep."""
    if new.numbers.calibrates:
        new.ranges[...] = old.ranges
        new.peaks[...] = old.peaks
    if new.compensates and old.compensates:
        new.gains[...], new.reference[...] = old.gains, old.reference
        new.reference_due = old.reference_due
        new.gains_due = not old.reference_due
    new.flat_rotations[...] = old.flat_rotations
    for name, array in new.normalisation.held.items():
        array[...] = old.normalisation.held[name]
