"""Models of analog hardware: numbers and a few scalar functions, no state.

A device is one module: a ``NamedTuple`` of numbers and any of the hooks listed in `noisysim.scalars.hooks`, each a
plain Python function of scalars. ``get`` finds one by name, ``names`` lists them.
"""

from __future__ import annotations

if __name__ == "devices":
    raise ImportError("import noisysim.devices (this folder is the source of that package)")

import importlib
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

from noisysim.fields import Field, check, check_names, declared, named, unknown
from noisysim.scalars import hooks as ideal_hooks

HOOKS = ("dac", "program", "cell_std", "readout", "adc")
"""The hooks a device may define, in the order in which a signal meets them."""

_FOUND = {name: f"noisysim.devices.{name}" for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")}


def names() -> list[str]:
    """Names of the devices there are."""
    return sorted(_FOUND)


def kind(name: str) -> type:
    """The NamedTuple class of the device called `name`."""
    if name not in _FOUND:
        raise unknown("device", name, names())
    module = importlib.import_module(_FOUND[name])
    return next(
        v for v in vars(module).values()
        if isinstance(v, type) and issubclass(v, tuple) and hasattr(v, "_fields") and v.__module__ == module.__name__
    )  # fmt: skip


def get(spec: Any, **settings: Any) -> Any:
    """A checked device.

    Parameters
    ----------
    spec : str, mapping or device
        A name (``"crossbar"``), a name with settings (``"crossbar:adc_bits=6"``), a mapping with ``name`` and
        settings, or a device instance.
    **settings
        Fields to set.

    Raises
    ------
    ValueError, TypeError
        For an unknown name or field, or a value outside its range.
    """
    spec, settings = named(spec, settings)
    if isinstance(spec, str):
        cls = kind(spec)
        check_names(f"device {spec!r}", settings, cls._fields)  # type: ignore[attr-defined]
        device = cls(**settings)
    elif hasattr(type(spec), "_fields"):
        check_names(f"device {name_of(spec)!r}", settings, spec._fields)
        device = spec._replace(**settings)
    else:
        raise TypeError(f"device must be a name ({', '.join(names())}) or a device, not {spec!r}")
    specs = declared(type(device))
    checked = {n: check(name_of(device), n, getattr(device, n), specs[n]) for n in device._fields}
    device = device._replace(**checked) if checked else device
    together = getattr(sys.modules[type(device).__module__], "check", None)
    if together is not None:
        together(device)
    return device


def name_of(device: Any) -> str:
    """The registered name of a device (its class's module)."""
    return type(device).__module__.rpartition(".")[2]


def describe(device: Any) -> dict[str, Any]:
    """The device as plain values: ``{"name": ..., field: ...}``."""
    return {"name": name_of(device), **device._asdict()}


def hooks(device: Any) -> dict[str, Callable]:
    """Every hook of a device: its own, or the ideal one where it defines none."""
    module = sys.modules[type(device).__module__]
    return {name: getattr(module, name, None) or getattr(ideal_hooks, name) for name in HOOKS}


def own_hooks(device: Any) -> set[str]:
    """Names of the hooks that a device defines itself."""
    return {name for name in HOOKS if hasattr(sys.modules[type(device).__module__], name)}


def is_noisy(device: Any) -> bool:
    """Whether two passes of the same input can differ.

    They can if a hook draws noise in a read, unless every field declared as the amplitude of read noise is zero.
    """
    from noisysim.kernels.build import uses

    drawn = own_hooks(device)
    readout = hooks(device)["readout"]
    if not ("readout" in drawn and (uses(readout, "z") or uses(readout, "u"))):
        return False
    amplitudes = [n for n, f in declared(type(device)).items() if f.noise == "read"]
    return not amplitudes or any(getattr(device, n) != 0 for n in amplitudes)


def __getattr__(name: str) -> Any:
    for module in _FOUND:
        if name.lower() == module.replace("_", ""):
            return kind(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = ["Field", "describe", "get", "hooks", "is_noisy", "kind", "name_of", "names", "own_hooks"]
