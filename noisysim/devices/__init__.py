"""Models of analog hardware: numbers and a few scalar functions, no state.

A device is one module: a ``NamedTuple`` of numbers and any of the hooks listed in `noisysim.devices.physics.ideal`,
each a plain Python function of scalars. ``get`` finds one by name or by the path of a user's file, ``names`` lists
them.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import noisysim.devices.models as models
from noisysim.common.fields import (
    Field,
    Spread,
    check,
    check_names,
    declared,
    listed,
    named,
    parse_spec,
    shown,
    unknown,
)
from noisysim.common.plain_functions import rebound
from noisysim.common.source import uses
from noisysim.common.user_files import compare_hash, one_line, split
from noisysim.devices import files as device_files
from noisysim.devices import hook_rules
from noisysim.devices.files import DeviceError, usage
from noisysim.devices.physics import ideal as ideal_hooks
from noisysim.devices.physics import reads

HOOKS = tuple(device_files.PARAMETERS)
"""The hooks a device may define, in the order in which a signal or a change meets them."""

BUILT_IN = {name: f"{models.__name__}.{name}" for _, name, _ in pkgutil.iter_modules(models.__path__)}
"""The modules of the package's own devices, by name."""
_REBOUND: dict[tuple, dict[str, Callable]] = {}  # hooks that read tables, by what made them


def names() -> list[str]:
    """Names of the devices there are: the package's own, and those that installed packages bring."""
    return sorted({*BUILT_IN, *device_files.installed()})


def kind(name: str) -> type:
    """The NamedTuple class of the device called `name`, or of a device file."""
    if name in BUILT_IN:
        return device_files.classes(importlib.import_module(BUILT_IN[name]))[0]
    if split(name):
        return device_files.load(device_files.read(name))
    installed = device_files.installed()
    if name in installed:
        return device_files.load_installed(installed[name])
    if name.startswith("__main__."):
        raise ValueError(
            f"device {name!r} was made in a script or a notebook: give the device itself, device={name[9:]}()"
        )
    raise unknown("device", name, names())


def about(name: str) -> str:
    """One line on the device called `name`; of one that cannot be loaded, why."""
    try:
        return str(kind(name).__doc__ or "").partition("\n")[0]
    except Exception as error:  # of a third party's: the others are listed all the same
        return f"{type(error).__name__ + ': ' if not isinstance(error, DeviceError) else ''}{one_line(error)}"


def get(spec: Any, **settings: Any) -> Any:
    """A checked device.

    Parameters
    ----------
    spec : str, path, mapping or device
        A name (``"crossbar"``), the path of a device file (``"my_chip.py"``), either with settings
        (``"crossbar:adc_bits=6"``), a mapping with ``name`` and settings, or a device instance. What `describe` gives
        is such a mapping: the hashes in it are compared, the source in it is not executed.
    **settings
        Fields to set.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For an unknown name or field, a value outside its range, a device that is no device (`DeviceError`), or a file
        that is missing or not the one recorded.

    Examples
    --------
    >>> device = get("crossbar:adc_bits=6", read_noise=0.02)
    >>> device.adc_bits, device.read_noise
    (6, 0.02)
    >>> get("pcm:drift=-1")
    Traceback (most recent call last):
    ValueError: pcm.drift must be ...
    """
    spec, settings = _apart(spec, settings)
    if isinstance(spec, str):
        cls = _recorded_kind(spec, settings.get("sha256")) if split(spec) else kind(spec)
    elif hasattr(type(spec), "_fields"):
        cls = type(spec)
    else:
        raise TypeError(f"device must be a name ({listed(names())}) or a device, not {shown(spec)}")
    if not _own(cls):
        device_files.examine(cls)
    record = {key: settings.pop(key) for key in _record_keys(cls) if key in settings}
    check_names(f"device {_origin_name(cls)!r}", settings, cls._fields)  # type: ignore[attr-defined]
    device = cls(**settings) if isinstance(spec, str) else spec._replace(**settings)
    specs = declared(cls)
    checked = {n: check(_origin_name(cls), n, getattr(device, n), specs[n]) for n in device._fields}
    device = device._replace(**checked) if checked else device
    _compare(device, record)
    device = _completed(device)
    _together(device)
    return device


def _apart(spec: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """A spec in any of its forms as (name, path or instance, settings)."""
    if isinstance(spec, os.PathLike):
        path = os.fspath(spec)
        if not str(path).endswith(".py"):
            raise ValueError(f"a device file's name ends in .py, not {shown(path)}")
        return path, dict(settings)
    if isinstance(spec, Mapping) and isinstance(spec.get("name"), (str, os.PathLike)):
        return _apart(spec["name"], {**{k: v for k, v in spec.items() if k != "name"}, **settings})
    if isinstance(spec, str) and (file := split(spec)):
        return file[0], {**parse_spec(f"{Path(file[0]).name}:{file[1]}")[1], **settings}
    return named(spec, settings)


def _recorded_kind(path: str, sha256: str | None) -> type:
    """The class of a device file, which is not executed if a recorded hash tells that it is another file."""
    try:
        file = device_files.read(path)
    except FileNotFoundError as error:
        if sha256 is None:
            raise
        raise FileNotFoundError(
            f"{error}; if the recorded file was moved, say where it is now: device='new/place.py'"
        ) from None
    compare_hash(f"device file {path!r}", file.sha256, sha256)
    return device_files.load(file)


def _record_keys(cls: type) -> list[str]:
    """What `describe` adds to a device's fields."""
    data = [f"{n}_sha256" for n, f in declared(cls).items() if f.file]
    return data if _own(cls) else ["source", "sha256", *data]


def _compare(device: Any, record: Mapping[str, Any]) -> None:
    """Refuse data files that are missing, and whatever is not what was recorded."""
    cls = type(device)
    if "sha256" in record:
        compare_hash(f"device {_origin_name(cls)!r}", device_files.origin(cls).sha256, record["sha256"])
    for name, sha256 in _data_hashes(device).items():
        compare_hash(f"{name_of(device)}.{name}: {getattr(device, name)!r}", sha256, record.get(f"{name}_sha256"))


def _data_hashes(device: Any) -> dict[str, str]:
    """SHA-256 of the data files that a device's fields name, by field."""
    found = {}
    for name, spec in declared(type(device)).items():
        path = getattr(device, name)
        if spec.file and path:
            if not Path(path).is_file():
                raise FileNotFoundError(f"{name_of(device)}.{name}: there is no file {shown(path)}")
            found[name] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return found


def changes(device: Any) -> dict[str, Any]:
    """The fields that are not at their defaults, with their values."""
    usual = defaults(type(device))
    return {n: v for n, v in device._asdict().items() if v != usual[n]}


def defaults(cls: type) -> dict[str, Any]:
    """What the fields of a device class are where nobody sets any."""
    return _completed(cls())._asdict()


def _completed(device: Any) -> Any:
    """The device with those fields filled in that its module takes from others (``complete(d)``)."""
    complete = getattr(sys.modules[type(device).__module__], "complete", None)
    return device if complete is None else _ask(complete, device)


def _together(device: Any) -> None:
    """What the device's module says of its fields together; hooks of others' devices are tried at typical values."""
    together = getattr(sys.modules[type(device).__module__], "check", None)
    if together is not None:
        _ask(together, device)
    found, own = hooks(device), own_hooks(device)
    if not _own(type(device)):
        device_files.try_hooks(device, {hook: found[hook] for hook in HOOKS if hook in own})
    hook_rules.check(device, name_of(device), vars(sys.modules[type(device).__module__]), own)


def _ask(function: Callable, device: Any) -> Any:
    """What a device's ``check`` or ``tables`` says; its refusals pass, its mistakes become one clear error."""
    try:
        return function(device)
    except (ValueError, OSError):
        raise
    except Exception as error:
        raise device_files.mistake(function, error) from None


def again(recorded: Mapping[str, Any], place: Any) -> Any:
    """The device of a recorded run from where it is now, with the recorded settings.

    Parameters
    ----------
    recorded : mapping
        What `describe` said of it.
    place : str, path or device
        A device file that was moved, or a device that was made in a script.
    """
    place, given = _apart(place, {})
    if given:
        raise ValueError(f"the device's settings come from the recorded run: give no {', '.join(given)}")
    ours = kind(place) if isinstance(place, str) else type(place)
    if hasattr(ours, "_fields") and ("sha256" in recorded) == _own(ours):
        raise ValueError(f"the run was on device {recorded['name']!r}, not on {_origin_name(ours)!r}")
    return get(place, **{k: v for k, v in recorded.items() if k != "name"})


def _own(cls: type) -> bool:
    """Whether a device is one of the package's."""
    return cls.__module__ in BUILT_IN.values()


def _origin_name(cls: type) -> str:
    return cls.__module__.rpartition(".")[2] if _own(cls) else device_files.origin(cls).title


def name_of(device: Any) -> str:
    """A device's short name: that of its module, file (without ``.py``) or entry point."""
    return _origin_name(type(device))


def describe(device: Any) -> dict[str, Any]:
    """The device as plain values that `get` takes again.

    ``{"name": ..., field: ...}``, with ``"field_sha256"`` for a data file; of a device from outside the package also
    ``"source"`` and ``"sha256"``, its name then being the path of its file as it was given.
    """
    data = {f"{name}_sha256": sha256 for name, sha256 in _data_hashes(device).items()}
    if _own(type(device)):
        return {"name": name_of(device), **device._asdict(), **data}
    origin = device_files.origin(type(device))
    return {"name": origin.name, **device._asdict(), **data, "source": origin.source, "sha256": origin.sha256}


def hooks(device: Any) -> dict[str, Callable]:
    """Every hook of a device: its own, or the ideal one where it defines none or its fields switch it off.

    A device whose cells have noise (``cell_std``) and which has no read-out gets one that adds it to the lines. Where
    the device's module has ``tables(d)``, the hooks read these arrays instead of its globals of their names.
    """
    space, own = _space(device), own_hooks(device)
    found = {name: space[name] if name in own else getattr(ideal_hooks, name) for name in HOOKS}
    if _reads_cells_alone(own):
        found["readout"] = reads.cells_alone
    return found


def _reads_cells_alone(own: frozenset[str]) -> bool:
    """Whether the lines carry the noise of the cells and nothing else, these being the hooks that are on."""
    return "cell_std" in own and "readout" not in own


def _space(device: Any) -> Mapping[str, Any]:
    """What a device's hooks find in their globals."""
    space = vars(sys.modules[type(device).__module__])
    make = space.get("tables")
    if not callable(make):
        return space
    key = (type(device), device, tuple(_data_hashes(device).items()), tuple(space.get(hook) for hook in HOOKS))
    if key not in _REBOUND:
        _REBOUND[key] = rebound(space, _tables(make, device, space))
    return _REBOUND[key]


def _tables(make: Callable, device: Any, space: Mapping[str, Any]) -> dict[str, np.ndarray]:
    given = _ask(make, device)
    if not isinstance(given, dict):
        raise DeviceError(f"{name_of(device)}: tables(d) must return a dict of arrays, not {type(given).__name__}")
    found = {}
    for name, values in given.items():
        if name not in space:
            raise DeviceError(
                f"{name_of(device)}: tables(d) gives {name!r}, but the module defines none: write a default, "
                f"{name} = np.zeros(1, np.float32)"
            )
        array = np.array(values, np.float32)
        if not np.isfinite(array).all():
            raise DeviceError(f"{name_of(device)}: tables(d) gives a {name} that is not finite")
        array.flags.writeable = False
        found[name] = array
    return found


def own_hooks(device: Any) -> frozenset[str]:
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


def laws(device: Any) -> dict[str, Callable]:
    """The laws that a device declares, by name: mean and standard deviation of what a hook draws."""
    space = _space(device)
    found = {name: space[name] for name in device_files.LAWS if callable(space.get(name))}
    if _reads_cells_alone(own_hooks(device)):
        found["readout_law"] = reads.cells_alone_law
    return found


def spreads(device: Any) -> dict[str, Spread]:
    """The fields of which parts of the chip have a value of their own, and how these are spread."""
    return {n: f.spread for n, f in declared(type(device)).items() if f.spread and getattr(device, f.spread.by)}


def is_noisy(device: Any) -> bool:
    """Whether two passes of the same input can differ.

    They can if a hook draws noise in a read, unless every field declared as the amplitude of read noise is zero.
    """
    found = hooks(device)
    drawn = {"readout": "zu", "read_cell": "zu", "jump": "u"}
    if not any(uses(found[hook], draw) for hook, draws in drawn.items() for draw in draws):
        return False
    amplitudes = [n for n, f in declared(type(device)).items() if f.noise == "read"]
    return not amplitudes or any(getattr(device, n) != 0 for n in amplitudes)


def ages(device: Any) -> bool:
    """Whether time changes the cells: they drift, or the noise of their reads depends on their age."""
    own = own_hooks(device)
    return "drift" in own or ("cell_std" in own and hook_rules.ages(device, hooks(device)["cell_std"]))


def __getattr__(name: str) -> Any:
    for module in BUILT_IN:
        if name.lower() == module.replace("_", ""):
            return kind(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(kind(name).__name__ for name in BUILT_IN)})


__all__ = [
    "DeviceError",
    "Field",
    "Spread",
    "about",
    "again",
    "ages",
    "changes",
    "defaults",
    "describe",
    "get",
    "hooks",
    "is_noisy",
    "kind",
    "laws",
    "name_of",
    "names",
    "own_hooks",
    "spreads",
    "usage",
]
