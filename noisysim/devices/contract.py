"""What a device is to a type checker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, TypeVar

Own = TypeVar("Own", bound="Device")


class Device(Protocol):
    """Declared numbers, and nothing else: any ``NamedTuple`` is one.

    The hooks of a device are functions of the module that defines its class (`noisysim.devices.hooks`).
    """

    @property
    def _fields(self) -> tuple[str, ...]:
        """Names of the fields."""

    def _asdict(self) -> dict[str, Any]:
        """Names and values of the fields."""

    def __hash__(self) -> int: ...

    def _replace(self: Own, *_: Any, **changes: Any) -> Own:
        """The device with other values; `_` is there for type checkers, which then accept any named tuple's."""


DeviceSpec: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Device"
"""What `noisysim.devices.get` takes: a name or a path, either with settings, a mapping, or a device."""
