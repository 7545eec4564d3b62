"""What a device is to a type checker."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

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
