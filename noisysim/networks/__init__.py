"""Networks: layers, how a list of them becomes an architecture and a plan, and models from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisysim.networks.importing.imported import Imported
    from noisysim.networks.importing.reading import from_torch, load

__all__ = ["Imported", "from_torch", "load"]

if not TYPE_CHECKING:  # a name that does not exist is an error for type checkers

    def __getattr__(name: str) -> Any:
        """What reads models is imported when it is first used."""
        if name not in __all__:
            raise AttributeError(f"module 'noisysim.networks' has no attribute {name!r}")
        from noisysim.networks.importing import reading

        return getattr(reading, name)
