"""The compiled loops over images, `noisysim.kernels.cpu.images`, loaded when first used."""

from __future__ import annotations

from typing import Any

from noisysim.kernels import specialised


def __getattr__(name: str) -> Any:
    return getattr(specialised.images(), name)
