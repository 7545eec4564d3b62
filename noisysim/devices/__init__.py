"""Models of analog hardware: numbers and a few scalar functions, no state.

A device is one module: a ``NamedTuple`` of numbers and any of the hooks listed in `noisysim.devices.physics.ideal`,
each a plain Python function of scalars. ``get`` finds one by name or by the path of a user's file, ``names`` lists
them.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import noisysim.devices.models as models
from noisysim.common.deprecation import deprecated
from noisysim.common.fields import Field, Spread
from noisysim.common.registry import Registry
from noisysim.devices import presets
from noisysim.devices.behaviour import (
    HOOKS,
    ages,
    changes,
    defaults,
    hooks,
    is_noisy,
    laws,
    own_hooks,
    spreads,
)
from noisysim.devices.contract import Device, DeviceSpec
from noisysim.devices.definitions import DeviceForm
from noisysim.devices.files import DeviceError, usage

if TYPE_CHECKING:
    from noisysim.devices.models.crossbar import Crossbar as Crossbar
    from noisysim.devices.models.gaussian import Gaussian as Gaussian
    from noisysim.devices.models.ideal import Ideal as Ideal
    from noisysim.devices.models.measured import Measured as Measured
    from noisysim.devices.models.pcm import Pcm as Pcm
    from noisysim.devices.models.pcm_hermes import PcmHermes as PcmHermes
    from noisysim.devices.models.pulsed import Pulsed as Pulsed
    from noisysim.devices.models.pulsed_exponential import PulsedExponential as PulsedExponential
    from noisysim.devices.models.pulsed_piecewise import PulsedPiecewise as PulsedPiecewise
    from noisysim.devices.models.pulsed_power import PulsedPower as PulsedPower
    from noisysim.devices.models.rpu import Rpu as Rpu
    from noisysim.devices.models.rram_gong import RramGong as RramGong
    from noisysim.devices.models.rram_milo import RramMilo as RramMilo
    from noisysim.devices.models.rram_wan import RramWan as RramWan
    from noisysim.devices.models.sonos import Sonos as Sonos

BUILT_IN = {name: f"{models.__name__}.{name}" for _, name, _ in pkgutil.iter_modules(models.__path__)}
"""The modules of the package's own devices, by name."""
_FORM = DeviceForm()


class _Classes(Mapping[str, type]):
    """The classes of the package's own devices by name; a module is imported when its device is asked for."""

    def __getitem__(self, name: str) -> type:
        cls: type = next(iter(_FORM.defined(importlib.import_module(BUILT_IN[name])).values()))
        return cls

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN

    def __iter__(self) -> Iterator[str]:
        return iter(BUILT_IN)

    def __len__(self) -> int:
        return len(BUILT_IN)


class _Devices(Registry[type[Device], Device]):
    """The devices, and their presets, which are found like devices and become devices with settings."""

    def known(self) -> list[str]:
        """Names that `get` takes: devices first."""
        return [*self.names(), *presets.names()]

    def parse(self, spec: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A spec in any of its forms as (name, path or device, settings)."""
        name, given = self._named_settings(spec, settings)
        preset = presets.find(name) if isinstance(name, str) else None
        return (name, given) if preset is None else (preset.model, {**preset.fields, **given})

    def preset(self, spec: Any) -> presets.Preset | None:
        """The preset that a spec in any of its forms names, if it names one."""
        name, _ = self._named_settings(spec["name"] if isinstance(spec, Mapping) else spec, {})
        return presets.find(name) if isinstance(name, str) else None

    def _named_settings(self, spec: Any, settings: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What a spec names, a preset as it is, and its settings."""
        if isinstance(spec, os.PathLike) and os.fspath(spec).endswith(presets.SUFFIX):
            spec = os.fspath(spec)
        return super().parse(spec, settings)

    def definition(self, name: str, sha256: object = None) -> type[Device]:
        """The class that a name or a file's path finds; of a preset its device's."""
        preset = presets.find(name)
        return super().definition(name if preset is None else preset.model, sha256)

    def about(self, spec: str) -> str:
        """One line on a device or a preset, given by its name or file; of one that cannot be loaded, why."""
        preset = presets.find(spec)
        return super().about(spec) if preset is None else preset.about


REGISTRY = _Devices("device", _FORM, _Classes(), __name__)


def names() -> list[str]:
    """Names of the devices there are: the package's own, and those of installed packages.

    `noisysim.devices.presets.names` are those of published numbers for them.
    """
    return REGISTRY.names()


def kind(name: str) -> type:
    """The NamedTuple class of the device called `name`, or of a device file."""
    cls: type = REGISTRY.definition(name)
    return cls


def about(name: str) -> str:
    """One line on the device called `name`; of one that cannot be loaded, why."""
    return REGISTRY.about(name)


def get(spec: DeviceSpec, **settings: Any) -> Any:
    """A checked device.

    Parameters
    ----------
    spec : str, path, mapping or device
        A name (``"crossbar"``), or that of a preset (``"ecram"``), the path of a device file (``"my_chip.py"``) or of a
        preset (``"my_fit.toml"``), each with settings (``"crossbar:adc_bits=6"``), a mapping with ``name`` and
        settings, or a device instance. What `describe` gives is such a mapping: the hashes in it are compared, the
        source in it is not executed.
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
    return REGISTRY.get(spec, **settings)


def get_recorded(recorded: Mapping[str, Any], place: DeviceSpec) -> Any:
    """The device of a recorded run from where it is now, with the recorded settings.

    Parameters
    ----------
    recorded : mapping
        What `describe` said of it.
    place : str, path or device
        A device file that was moved, or a device that was made in a script.
    """
    place, settings = REGISTRY.parse(place, {})
    if settings:
        raise ValueError(f"the device's settings come from the recorded run: give no {', '.join(settings)}")
    cls = kind(place) if isinstance(place, str) else _FORM.definition(place)
    if cls is not None and ("sha256" in recorded) != REGISTRY.is_outside(cls):
        raise ValueError(f"the run was on device {recorded['name']!r}, not on {REGISTRY.title(cls)!r}")
    return get(place, **{k: v for k, v in recorded.items() if k != "name"})


def again(recorded: Mapping[str, Any], place: DeviceSpec) -> Any:
    """Deprecated: `get_recorded`."""
    deprecated("noisysim.devices.again", "noisysim.devices.get_recorded", since="0.1")
    return get_recorded(recorded, place)


def name_of(device: Device) -> str:
    """A device's short name: that of its module, file (without ``.py``) or entry point."""
    return REGISTRY.title(type(device))


def describe(device: Device) -> dict[str, Any]:
    """The device as plain values that `get` takes again.

    ``{"name": ..., field: ...}``, with ``"field_sha256"`` for a data file; of a device from outside the package also
    ``"source"`` and ``"sha256"``, its name then being the path of its file as it was given.
    """
    return REGISTRY.describe(device)


if not TYPE_CHECKING:  # the classes of the models, each imported when it is first used

    def __getattr__(name: str) -> Any:
        for module in BUILT_IN:
            if name.lower() == module.replace("_", ""):
                return kind(module)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(kind(name).__name__ for name in BUILT_IN)})


__all__ = [
    "BUILT_IN", "HOOKS", "REGISTRY", "DeviceError", "Field", "Spread", "about", "ages", "again", "changes", "defaults",
    "describe", "get", "get_recorded", "hooks", "is_noisy", "kind", "laws", "name_of", "names", "own_hooks", "presets",
    "spreads",
    "usage",
]  # fmt: skip
