"""What the image sets have in common."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np

from noisysim.common.fields import Field
from noisysim.tasks import standard
from noisysim.tasks.augmentation import Mirror, Shift
from noisysim.tasks.base import ClassLoss, Split

DEFAULTS: dict[str, Any] = {"layers": [256, 256, 256], "batch_size": 1000, "epochs": 10}

ImageStandardise = Annotated[
    str,
    Field(
        choices=standard.IMAGE_CHOICES,
        doc="pixels: one mean and std, one of each per pixel, black 0 to white 1, or as they are",
    ),
]


class ImageSettings(NamedTuple):
    """Settings of the image sets."""

    standardise: ImageStandardise = "global"
    loss: ClassLoss = "cce"
    shift: Shift = 0
    mirror: Mirror = False


def check_labels(labels: np.ndarray, images: np.ndarray, where: object, n_classes: int) -> np.ndarray:
    """Labels from 0 to n_classes - 1 as int64, as many as there are images."""
    if len(labels) != len(images):
        raise ValueError(f"{where}: {len(labels)} labels for {len(images)} images")
    if images.size == 0:
        raise ValueError(f"{where}: holds no sample")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= n_classes:
        raise ValueError(f"{where}: labels from {low} to {high}, but the classes are 0 to {n_classes - 1}")
    return labels.astype(np.int64)


def notes(splits: list[Split], n_train: int) -> list[str]:
    """What to say of a set that is not of the published size."""
    sizes = [len(split.inputs) for split in splits]
    if sizes == [n_train, 10_000]:
        return []
    return [f"not the published {n_train:,} + 10,000 images: {sizes[0]:,} + {sizes[1]:,} found"]
