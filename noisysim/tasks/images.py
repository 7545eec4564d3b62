"""What the image sets have in common."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from noisysim.tasks.base import ClassLoss, Split, Standardise

DEFAULTS: dict[str, Any] = {"layers": [256, 256, 256], "batch_size": 1000, "epochs": 10}


class ImageSettings(NamedTuple):
    """Settings of the image sets."""

    standardise: Standardise = "global"
    loss: ClassLoss = "cce"


def check_labels(labels: np.ndarray, images: np.ndarray, where: object) -> np.ndarray:
    """Labels of ten classes as int64, as many as there are images."""
    if len(labels) != len(images):
        raise ValueError(f"{where}: {len(labels)} labels for {len(images)} images")
    if images.size == 0:
        raise ValueError(f"{where}: holds no sample")
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"{where}: labels from {labels.min()} to {labels.max()}, but the classes are 0 to 9")
    return labels.astype(np.int64)


def notes(splits: list[Split], n_train: int) -> list[str]:
    """What to say of a set that is not of the published size."""
    sizes = [len(split.inputs) for split in splits]
    if sizes == [n_train, 10_000]:
        return []
    return [f"not the published {n_train:,} + 10,000 images: {sizes[0]:,} + {sizes[1]:,} found"]
