"""What the hooks and fields of a device must satisfy together, so that no effect of theirs is silently lost."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from noisysim.common.fields import Field, declared
from noisysim.common.source import attributes, uses
from noisysim.devices.contract import Device
from noisysim.devices.files import PARAMETERS, DeviceError, ask, scalars, typical

Hook = Callable[..., Any]

NOISY: dict[str, dict[str, str]] = {
    "read": {"readout": "zu", "read_cell": "zus", "jump": "u", "cell_std": ""},
    "write": {"program": "z", "pulse": "z", "appear": "z"},
}
"""Hooks of a read and of a write, and what each may draw; the noise of ``cell_std`` is drawn by the read-out."""
SEEN: dict[str, tuple[str, ...]] = {
    "row": ("dac",), "column": ("adc",),
    "cell": ("program", "pulse", "appear", "drift", "cell_std", "jump", "read_cell"),
}  # fmt: skip
"""Hooks that find in a field the own value of a part of the chip."""
AGES = (0.0, 1e-9, 1e-6, 1e-3, 1.0, 1e3, 1e6)  # seconds at which a hook is asked whether time matters


def check(device: Device, name: str, space: Mapping[str, Any], active: frozenset[str]) -> None:
    """Refuse hooks and fields that cannot have the effect that they are there for.

    Parameters
    ----------
    device : device
    name : str
        What messages call it.
    space : mapping
        Its module's namespace.
    active : frozenset of str
        Hooks that it defines and its fields leave on.

    Raises
    ------
    DeviceError
        For a hook without the one, or the field, that it cannot work without, and for a field that is on although no
        hook which could give it its effect reads it.
    """
    defined = {hook: space[hook] for hook in PARAMETERS if isinstance(space.get(hook), types.FunctionType)}
    of_fields = _of_fields_needed(defined, device._asdict())
    for problem in (_of_reads(defined, active), _of_cells(defined), _of_states(device, active), of_fields):
        if problem:
            raise DeviceError(f"{name}: {problem}")
    helpers = [space[n] for n in ("tables", "complete") if isinstance(space.get(n), types.FunctionType)]
    for field, spec in declared(type(device)).items():
        problem = _of_noise(spec, getattr(device, field), field, defined, helpers)
        if problem := problem or _of_spread(device, spec, field, defined):
            raise DeviceError(f"{name}.{field}: {problem}")


def _draws(hook: str, function: Hook, kind: str) -> bool:
    """Whether what a hook returns is, or becomes, random."""
    return hook == "cell_std" or any(uses(function, draw) for draw in NOISY[kind][hook])


def _of_reads(defined: Mapping[str, Hook], active: frozenset[str]) -> str:
    """What a read-out does to the noise of the cells."""
    if not {"cell_std", "readout"} <= active:
        return ""
    hint = "add np.sqrt(energy) * z, or remove readout: the chip then adds it"
    if not uses(defined["readout"], "energy"):
        return f"readout does not read energy, so the noise that cell_std gives the cells would be lost: {hint}"
    if not _draws("readout", defined["readout"], "read"):
        return f"readout draws nothing (z or u), so the noise that cell_std gives the cells would be lost: {hint}"
    return ""


def _of_cells(defined: Mapping[str, Hook]) -> str:
    """Whether states that jump are read, and states that are read jump."""
    reads = "read_cell" in defined and uses(defined["read_cell"], "s")
    if "jump" in defined and not reads:
        return "jump changes a state that nothing reads: let read_cell(g, s, z, u, d) read s, or remove jump"
    if reads and "jump" not in defined:
        return "read_cell reads the state s, which nothing changes: define jump(s, u, t, d), or do not read s"
    return ""


def _of_states(device: Device, active: frozenset[str]) -> str:
    """Whether what a cell shows follows from its state in one way alone, and no loop closes on it."""
    if {"appear", "drift"} <= active:
        return (
            "appear and drift both make of a cell's state what it shows, and only one of them can: switch one off, or "
            "remove it"
        )
    if "appear" in active and device._asdict().get("verify_pulses"):
        return "appear changes what a cell shows at every pulse, so no loop closes on it: set verify_pulses=0"
    return ""


def _of_fields_needed(defined: Mapping[str, Hook], fields: Collection[str]) -> str:
    """The fields that a hook's effect depends on in the chip."""
    if "jump" in defined and "read_time" not in fields:
        return "jump needs a field read_time (s), the time from one read to the next: write read_time: float = 1e-7"
    if "pulse" in defined and "pulse_step" not in fields:
        return (
            "pulse needs a field pulse_step, the share of g_max - g_min by which a pulse changes a cell, as the write "
            "controller assumes it: write pulse_step: float = 1e-3"
        )
    return ""


def _of_noise(spec: Field, value: float, field: str, defined: Mapping[str, Hook], helpers: list[Hook]) -> str:
    """Whether a hook that draws reads an amplitude that is on, or what the device makes of it beforehand."""
    if not spec.noise or value == 0 or field in attributes(*helpers):
        return ""
    readers = [hook for hook in NOISY[spec.noise] if hook in defined and field in attributes(defined[hook])]
    if not readers:
        candidates = ", ".join(NOISY[spec.noise])
        return f"it is declared as {spec.noise} noise, but no hook of a {spec.noise} reads it ({candidates})"
    if not any(_draws(hook, defined[hook], spec.noise) for hook in readers):
        draws = " or ".join(NOISY[spec.noise][readers[0]])
        return f"it is declared as {spec.noise} noise, but {', '.join(readers)} draws nothing ({draws})"
    return ""


def _of_spread(device: Device, spec: Field, field: str, defined: Mapping[str, Hook]) -> str:
    """Whether a hook that finds a part's own value reads a field that is spread."""
    spread = spec.spread
    if not spread or not spread.size(device):
        return ""
    if any(hook in defined and field in attributes(defined[hook]) for hook in SEEN[spread.of]):
        return ""
    candidates = ", ".join(SEEN[spread.of])
    return f"each {spread.of} has a value of its own, but no hook that finds it there reads it ({candidates})"


def ages(device: Device, cell_std: Hook) -> bool:
    """Whether the noise of a cell, with the device's numbers as they are, depends on the cell's age."""
    if not uses(cell_std, "t"):
        return False
    if not any(spec.hook == "drift" for spec in declared(type(device)).values()):
        return True
    d = types.SimpleNamespace(**scalars(device))
    levels = dict.fromkeys(g for g, *_ in typical(device, cell_std))
    try:
        with np.errstate(all="ignore"):
            return any(len({float(ask(cell_std, d, g=g, t=np.float32(t), target=g)) for t in AGES}) > 1 for g in levels)
    except Exception:  # it cannot be told
        return True
