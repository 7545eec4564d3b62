"""What a device does: its hooks, its laws, and what follows from both and from the values of its fields."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.common.fields import Spread, declared, shown
from noisysim.common.identity import is_outside
from noisysim.common.plain_functions import fingerprint, rebound
from noisysim.common.source import uses
from noisysim.common.types import Floats
from noisysim.devices import files as device_files
from noisysim.devices import hook_rules
from noisysim.devices.contract import Device
from noisysim.devices.files import DeviceError
from noisysim.devices.physics import ideal as ideal_hooks
from noisysim.devices.physics import reads

HOOKS = tuple(device_files.PARAMETERS)
"""The hooks a device may define, in the order in which a signal or a change meets them."""
_REBOUND: dict[tuple[Any, ...], dict[str, Any]] = {}
"""Namespaces of hooks that read tables, by what made them."""


def data_hashes(device: Device, title: str = "") -> dict[str, str]:
    """SHA-256 of the data files that a device's fields name, by field; `title` is what messages call the device."""
    hashes = {}
    for name, spec in declared(type(device)).items():
        path = getattr(device, name)
        if spec.file and path:
            if not Path(path).is_file():
                raise FileNotFoundError(f"{title or _title(device)}.{name}: there is no file {shown(path)}")
            hashes[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return hashes


def _title(device: Device) -> str:
    """What messages call a device that no registry is at hand for: a built-in one by its name."""
    cls = type(device)
    return cls.__name__ if is_outside(cls.__module__) else cls.__module__.rpartition(".")[2]


def changes(device: Device) -> dict[str, Any]:
    """The fields that are not at their defaults, with their values."""
    usual = defaults(type(device))
    return {n: v for n, v in device._asdict().items() if v != usual[n]}


def defaults(cls: type) -> dict[str, Any]:
    """The values of the fields of a device class unless they are set."""
    return completed(cls())._asdict()


def completed(device: Device) -> Device:
    """The device with those fields filled in that its module takes from others (``complete(d)``)."""
    complete = getattr(sys.modules[type(device).__module__], "complete", None)
    if complete is None:
        return device
    full: Device = _call(complete, device)
    if type(full) is not type(device):
        given = type(full).__name__
        raise DeviceError(f"{device_files.place(complete)}: complete must return d, or d._replace(...), not {given}")
    return full


def check_together(device: Device, title: str, outside: bool) -> None:
    """Have the device's module check its fields together; try the hooks of a user's device at typical values."""
    module = sys.modules[type(device).__module__]
    check = getattr(module, "check", None)
    if callable(check) and (answer := _call(check, device)) is not None:
        raise DeviceError(
            f"{device_files.place(check)}: check returned {shown(answer)}, which says nothing: it refuses fields by "
            "raising ValueError('why'), and returns nothing"
        )
    low, high = getattr(device, "g_min", 0.0), getattr(device, "g_max", 1.0)  # as of a device without them
    if not low < high:
        raise DeviceError(f"{title}: g_min ({low:g} µS) must be below g_max ({high:g} µS)")
    functions, defined = hooks(device), own_hooks(device)
    if outside:
        device_files.try_hooks(device, {hook: functions[hook] for hook in HOOKS if hook in defined})
    hook_rules.check(device, title, vars(module), defined)


def _call(function: Callable[..., Any], device: Device) -> Any:
    """What a device's ``check`` or ``tables`` returns; its refusals pass, its mistakes become one clear error."""
    try:
        return function(device)
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise device_files.mistake(function, error) from None


def hooks(device: Device) -> dict[str, Callable[..., Any]]:
    """Every hook of a device: its own, or the ideal one where it defines none or its fields switch it off.

    A device whose cells have noise (``cell_std``) and which has no read-out gets one that adds it to the lines. Where
    the device's module has ``tables(d)``, the hooks read these arrays instead of its globals of their names.
    """
    space, defined = _space(device), own_hooks(device)
    functions = {name: space[name] if name in defined else getattr(ideal_hooks, name) for name in HOOKS}
    if _reads_cells_alone(defined):
        functions["readout"] = reads.cells_alone
    return functions


def _reads_cells_alone(defined: frozenset[str]) -> bool:
    """Whether the lines carry the noise of the cells and nothing else, these being the hooks that are on."""
    return "cell_std" in defined and "readout" not in defined


def _space(device: Device) -> Mapping[str, Any]:
    """What a device's hooks find in their globals."""
    space = vars(sys.modules[type(device).__module__])
    make = space.get("tables")
    if not callable(make):
        return space
    written: list[Any] = [space.get(name) for name in (*HOOKS, *device_files.LAWS, "tables")]
    if is_outside(type(device).__module__):  # a user's may be written anew, or read what has changed
        written = [fingerprint(one) if isinstance(one, types.FunctionType) else None for one in written]
    key = (type(device), device, tuple(data_hashes(device).items()), tuple(written))
    if key not in _REBOUND:
        _REBOUND[key] = rebound(space, _tables(make, device, space))
    return _REBOUND[key]


def _tables(make: Callable[..., Any], device: Device, space: Mapping[str, Any]) -> dict[str, Floats]:
    tables = _call(make, device)
    if not isinstance(tables, dict):
        kind = type(tables).__name__
        raise DeviceError(f"{_title(device)}: tables(d) must return a dict of arrays, not {kind}")
    arrays = {}
    for name, values in tables.items():
        if name not in space:
            raise DeviceError(
                f"{_title(device)}: tables(d) gives {name!r}, but the module defines none: write a default, "
                f"{name} = np.zeros(1, np.float32)"
            )
        try:
            array = np.array(values, np.float32)
        except (TypeError, ValueError) as error:
            raise DeviceError(
                f"{_title(device)}: tables(d) gives a {name} that is no array of numbers: {error}"
            ) from None
        if not np.isfinite(array).all():
            raise DeviceError(f"{_title(device)}: tables(d) gives a {name} that is not finite")
        array.flags.writeable = False
        arrays[name] = array
    return arrays


def own_hooks(device: Device) -> frozenset[str]:
    """Names of the hooks that a device defines itself, without those that its fields switch off."""
    space = vars(sys.modules[type(device).__module__])
    switches: dict[str, list[str]] = {}
    for name, spec in declared(type(device)).items():
        if spec.hook:
            switches.setdefault(spec.hook, []).append(name)
    return frozenset(
        hook for hook in HOOKS
        if callable(space.get(hook)) and (hook not in switches or any(getattr(device, n) for n in switches[hook]))
    )  # fmt: skip


def laws(device: Device) -> dict[str, Callable[..., Any]]:
    """The laws that a device declares, by name: mean and standard deviation of what a hook draws."""
    space = _space(device)
    functions = {name: space[name] for name in device_files.LAWS if callable(space.get(name))}
    if _reads_cells_alone(own_hooks(device)):
        functions["readout_law"] = reads.cells_alone_law
    return functions


def spreads(device: Device) -> dict[str, Spread]:
    """The fields of which parts of the chip have a value of their own, and how these are spread."""
    return {n: f.spread for n, f in declared(type(device)).items() if f.spread and f.spread.size(device)}


def is_noisy(device: Device) -> bool:
    """Whether two passes of the same input can differ.

    They can if a hook draws noise in a read, unless every field declared as the amplitude of read noise is zero.
    """
    functions = hooks(device)
    drawn = {"readout": "zu", "read_cell": "zu", "jump": "u"}
    if not any(uses(functions[hook], draw) for hook, draws in drawn.items() for draw in draws):
        return False
    amplitudes = [n for n, f in declared(type(device)).items() if f.noise == "read"]
    return not amplitudes or any(getattr(device, n) != 0 for n in amplitudes)


def ages(device: Device) -> bool:
    """Whether time changes the cells: they drift, or the noise of their reads depends on their age."""
    defined = own_hooks(device)
    return "drift" in defined or ("cell_std" in defined and hook_rules.ages(device, hooks(device)["cell_std"]))
