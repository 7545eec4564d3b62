"""The compiled loops over images, `noisysim.compute.cpu.loops.images`, loaded when first used."""

from __future__ import annotations

from typing import Any

from noisysim.compute.jit import specialised


def __getattr__(name: str) -> Any:
    return getattr(specialised.images(), name)
