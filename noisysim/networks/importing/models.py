"""Whether layers, or initial weights, are a model from elsewhere. What reads one is imported when one is read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from noisysim.common.fields import check_names, parse_spec
from noisysim.networks.importing.imported import Imported

ENDING = ".onnx"
"""What names of files end in."""
SETTINGS = ("output", "input_shape", "fold_batch_norm", "learned_norms")
"""Arguments of `load`, which may follow a file's name: ``"model.onnx:output=logits"``."""
_WITH_SETTINGS = re.compile(rf"(.*{re.escape(ENDING)}):(.*)", re.IGNORECASE | re.DOTALL)


def load(path: str | os.PathLike[str], **settings: Any) -> Imported:
    """`noisysim.networks.load`."""
    from noisysim.networks.importing import reading

    return reading.load(path, **settings)


def split(spec: object) -> tuple[str | os.PathLike[str], dict[str, Any]] | None:
    """``"model.onnx:output=logits"`` -> ``("model.onnx", {"output": "logits"})``; ``None`` of what names no model."""
    if not isinstance(spec, (str, os.PathLike)):
        return None
    if Path(spec).suffix.lower() == ENDING:
        return spec, {}
    found = _WITH_SETTINGS.fullmatch(os.fspath(spec))
    if found is None:
        return None
    path, settings = found[1], parse_spec(f"model:{found[2]}")[1]
    check_names(f"model {Path(path).name}", settings, SETTINGS)
    return path, settings


def opened(layers: object) -> Imported | None:
    """The network that layers are, or are the path of, perhaps in a list as of a command line; ``None`` of others."""
    if isinstance(layers, (list, tuple)) and len(layers) == 1:
        (layers,) = layers
    if isinstance(layers, Imported):
        return layers
    found = split(layers)
    return None if found is None else load(found[0], **found[1])


def is_model(layers: object) -> bool:
    """Whether layers are a network that was read, or name a file that is one."""
    return isinstance(layers, Imported) or split(layers) is not None
