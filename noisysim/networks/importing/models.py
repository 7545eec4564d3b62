"""Whether layers, or initial weights, are a model from elsewhere. What reads one is imported when one is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from noisysim.networks.importing.imported import Imported

ENDING = ".onnx"
"""What names of files end in."""


def load(path: str | os.PathLike[str], **settings: Any) -> Imported:
    """`noisysim.networks.load`."""
    from noisysim.networks.importing import reading

    return reading.load(path, **settings)


def opened(layers: object) -> Imported | None:
    """The network that layers are, or are the path of, perhaps in a list as of a command line; ``None`` of others."""
    if isinstance(layers, (list, tuple)) and len(layers) == 1:
        (layers,) = layers
    if not is_model(layers):
        return None
    return layers if isinstance(layers, Imported) else load(layers)  # type: ignore[arg-type]  # a path


def is_model(layers: object) -> bool:
    """Whether layers are a network that was read, or the path of a file that is one."""
    named = isinstance(layers, (str, os.PathLike)) and Path(layers).suffix.lower() == ENDING
    return named or isinstance(layers, Imported)
