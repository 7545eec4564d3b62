"""Checks of a device's hooks by themselves: signatures, fields, compilation, and values at many points."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numba
import numpy as np

import noisysim.devices as devices
from noisysim.common.fields import declared
from noisysim.common.source import attributes
from noisysim.common.types import Floats
from noisysim.compute.jit import compile_errors
from noisysim.conformance.report import Note, require
from noisysim.devices import field_groups
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.devices.transfer_fields import Transfers

SEED = 20_260_101
CHIPS = (field_groups.Array, field_groups.Faults, field_groups.Clock, field_groups.Controller, field_groups.Pulses)
"""Groups of fields that the chip reads."""
Hook = Callable[..., Any]


def active_hooks(device: Device) -> dict[str, Hook]:
    """The hooks that a device defines and its fields leave on, in order."""
    hooks, active = devices.hooks(device), devices.own_hooks(device)
    return {name: hooks[name] for name in devices.HOOKS if name in active}


def _hooks(device: Device) -> str:
    active = active_hooks(device)
    space = vars(sys.modules[type(device).__module__])
    idle = [hook for hook in devices.HOOKS if callable(space.get(hook)) and hook not in active]
    return (", ".join(active) or "none: exact hardware") + (f" (switched off: {', '.join(idle)})" if idle else "")


def _signatures(device: Device) -> str:
    device_files.examine(type(device))
    return "as documented"


def _fields(device: Device) -> str:
    """Whether something reads each field: a hook, ``check`` or ``tables``, the chip, or another field's declaration."""
    space, specs = vars(sys.modules[type(device).__module__]), declared(type(device))
    functions = [space.get(name) for name in (*devices.HOOKS, "check", "tables")]
    known = attributes(*(f for f in functions if isinstance(f, types.FunctionType)))
    known |= {name for part in (*CHIPS, Transfers) for name in part._fields}
    known |= {"g_min", "g_max", "drift_start", "dac_range", "adc_range"}
    known |= {size for f in specs.values() if f.spread for size in f.spread.sizes()}
    idle = [name for name in specs if name not in known]
    if idle:
        raise Note(f"nothing reads {', '.join(idle)}: without effect")
    return "each is read by something" if specs else "none"


def _compiles(device: Device) -> str:
    for hook, function in active_hooks(device).items():
        compile_errors.compiled(device, hook, function)
    return f"{len(active_hooks(device))} of {len(active_hooks(device))}, each by itself"


def _scalar(device: Device) -> str:
    device_files.try_hooks(device, active_hooks(device))
    tried = 0
    for hook, function in active_hooks(device).items():
        arguments = list(device_files.typical(device, function))
        columns = [np.repeat(column, 64) for column in zip(*arguments, strict=True)]
        for name, column in zip(device_files.parameter_names(function), columns, strict=False):
            if name in "zu":
                column[:] = draws(name, len(column), tried)
        values = evaluate(device, hook, function, columns)
        require(np.isfinite(values).all(), f"compiled, {hook} gives {values[~np.isfinite(values)][:1]}")
        tried += len(values)
    return f"one finite number at all of {tried:,} points" if tried else "no hooks"


def draws(name: str, count: int, seed: int) -> Floats:
    """(count,) float32 draws of a hook's argument: z normal, u uniform within (0, 1)."""
    rng = np.random.default_rng((SEED, seed))
    if name == "z":
        return rng.standard_normal(count, np.float32)
    uniform: Floats = ((rng.integers(0, 1 << 23, count) + 0.5) / (1 << 23)).astype(np.float32)
    return uniform


def _numbers(device: Device) -> Any:
    """The numbers that a device's hooks are given; a calibrated converter's full scale is 1."""
    fields = device_files.scalars(device)
    if fields.get("adc_range") == 0:
        fields["adc_range"] = np.float32(1)
    return type(device)(**fields)


def evaluate(device: Device, hook: str, function: Hook, columns: Iterable[Floats]) -> Floats:
    """A compiled hook at many points: a float32 column for each of its arguments but the device's numbers."""
    columns = [np.ascontiguousarray(column, np.float32) for column in columns]
    out = np.empty(len(columns[0]), np.float32)
    _loop(type(device), hook, function)(out, *columns, _numbers(device))
    return out


@cache
def _loop(cls: type[Device], hook: str, function: Hook) -> Hook:
    """A compiled loop over the points of a hook."""
    names = [f"a{k}" for k in range(len(device_files.parameter_names(function)) - 1)]
    taken = ", ".join(f"{name}[k]" for name in names)
    source = f"def loop(out, {', '.join(names)}, d):\n for k in range(out.size):\n  out[k] = hook({taken}, d)"
    space: dict[str, Any] = {"hook": compile_errors.compiled(cls(), hook, function)}
    exec(source, space)  # numba has no loop over a varying number of arguments
    loop: Hook = numba.njit(space["loop"])
    return loop


CHECKS: dict[str, Callable[[Device], str]] = {
    "hooks": _hooks, "signatures": _signatures, "fields": _fields, "compile": _compiles, "finite scalars": _scalar,
}  # fmt: skip
"""Checks by name, in order; after one that fails no later check can run."""
