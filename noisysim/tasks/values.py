"""A user's own numbers, from arrays or the datasets of a file, as a task keeps them: uint8 or float32, (n, columns).

They are read block by block, so that nothing as large as the data is held in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from noisysim.common.plain_arrays import plain

BLOCK = 1 << 20
"""Elements of a float64 block."""
FAR = 256.0
"""Columns whose mean is this many standard deviations from zero are centred before they are rounded to float32: of
float32's 24 bits, 16 are then left for what varies."""
CHANNELS = (1, 3, 4)
"""Numbers of channels by which a channel axis is told."""
IMAGE_AXES = ("auto", "nchw", "nhwc")


@dataclass(frozen=True)
class Values:
    """Numbers that are read when they are wanted.

    Attributes
    ----------
    name : str
        What messages call them.
    source : numpy.ndarray or h5py.Dataset
        (n, ...), real numbers.
    channels_last : bool
        Whether samples are (height, width, channels), to be read as (channels, height, width).
    """

    name: str
    source: Any
    channels_last: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a sample."""
        *image, last = self.source.shape[1:] or (1,)
        return (last, *image) if self.channels_last else (*image, last)

    @property
    def kept_as(self) -> type:
        """The type in which they are kept."""
        return np.uint8 if self.source.dtype == np.uint8 else np.float32

    @property
    def rounds(self) -> bool:
        """Whether float32 may not hold them exactly."""
        return not np.can_cast(self.source.dtype, np.float32)

    def __len__(self) -> int:
        return len(self.source)

    def rows(self, first: int, last: int) -> np.ndarray:
        """Some samples, (rows, columns), in their own type."""
        part = self.source[first:last]
        rows: np.ndarray = (np.moveaxis(part, -1, 1) if self.channels_last else part).reshape(last - first, -1)
        return rows

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All of them, some rows at a time, and which rows these are."""
        step = max(1, BLOCK // math.prod(self.shape))
        for first in range(0, len(self), step):
            last = min(first + step, len(self))
            yield slice(first, last), self.rows(first, last)

    def as_array(self, origin: np.ndarray | float = 0.0) -> np.ndarray:
        """The numbers less `origin`, subtracted in float64; float32 arrays that fit are not copied.

        Raises
        ------
        ValueError
            If one is NaN, infinite or beyond the largest float32.
        """
        shifted = bool(np.any(origin))
        if isinstance(self.source, np.ndarray) and not self.channels_last and not self.rounds and not shifted:
            array = np.require(self.source.reshape(len(self), -1), self.kept_as, ["C", "A", "W"])
        else:
            array = np.empty((len(self), math.prod(self.shape)), self.kept_as)
            with np.errstate(over="ignore", invalid="ignore"):
                for rows, block in self.blocks():
                    array[rows] = block.astype(np.float64) - origin if shifted else block
        with np.errstate(over="ignore", invalid="ignore"):
            finite = math.isfinite(array.sum(dtype=np.float64))
        if not finite:
            row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
            raise ValueError(f"{self.name} holds NaN, infinite or too large values (first in row {row})")
        return array


def values(name: str, numbers: Any) -> Values:
    """Numbers given as an array, as lists or as a dataset, or the one clear error."""
    source = numbers if type(numbers).__module__.startswith("h5py.") else plain(name, numbers)
    if source.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, not {source.dtype} of shape {source.shape}")
    if not source.shape or math.prod(source.shape) == 0:
        raise ValueError(f"{name} is empty: its shape is {source.shape}")
    return Values(name, source)


def as_images(images: Values, axes: str) -> tuple[Values, str, list[str]]:
    """Inputs with the channels of images first, how their axes were read, and notes where that was a guess.

    Four axes are samples and an image. 1, 3 or 4 speak for channels, where they are the first or the last axis of the
    image, and two equal ones beside each other for height and width. Where the one speaks for channels first and the
    other for last, or nothing speaks, `axes` has to say it.

    Raises
    ------
    ValueError
        If it does not, or if it does for what is no image.
    """
    shape = images.source.shape
    if len(shape) != 4:
        if axes != "auto":
            raise ValueError(f"axes={axes!r} is for images with four axes, but {images.name} has the shape {shape}")
        return images, axes, []
    layout, note = (axes, "") if axes != "auto" else _layout(images.name, shape)
    return Values(images.name, images.source, layout == "nhwc"), layout, [note] if note else []


_LAYOUTS = {"nchw": "(samples, channels, height, width)", "nhwc": "(samples, height, width, channels)"}


def _layout(name: str, shape: tuple[int, ...]) -> tuple[str, str]:
    """How the axes of images are read by their sizes, and a note if that is not plain."""
    _, first, middle, last = shape
    by_channels = (first in CHANNELS, last in CHANNELS)
    if first == middle == last == 1:
        return "nchw", ""
    if by_channels == (False, False):
        if middle == last != first or (first != middle and first < min(middle, last)):
            return "nchw", ""
    elif by_channels == (True, False):
        if first != middle or middle == last:
            return "nchw", ""
    elif by_channels == (False, True):
        if last < min(first, middle):
            return "nhwc", _settles(name, shape, "nhwc", "nchw")
        if first < min(middle, last):
            return "nchw", _settles(name, shape, "nchw", "nhwc")
    elif middle == last != first:
        return "nchw", _settles(name, shape, "nchw", "nhwc")
    raise ValueError(
        f"{name}, {shape}, may be {_LAYOUTS['nchw']} or {_LAYOUTS['nhwc']}: say which, axes='nchw' or axes='nhwc'"
    )


def _settles(name: str, shape: tuple[int, ...], layout: str, other: str) -> str:
    return f"{name}, {shape}, was read as {_LAYOUTS[layout]}: axes={layout!r} or {other!r} settles it"


def far_origin(numbers: Values, shared: bool) -> np.ndarray | None:
    """What to subtract from each column before it is rounded, (columns,) float64; ``None`` if nothing.

    Parameters
    ----------
    numbers : Values
    shared : bool
        Whether all columns are to be standardised by one mean and one standard deviation.
    """
    if not numbers.rounds:
        return None
    start, total, squares = numbers.rows(0, 1)[0].astype(np.float64), 0.0, 0.0
    if shared:
        start = np.full_like(start, start.mean())
    with np.errstate(over="ignore", invalid="ignore"):
        for _, block in numbers.blocks():
            offsets = block.astype(np.float64) - start
            total, squares = total + offsets.sum(axis=0), squares + np.square(offsets).sum(axis=0)
        mean, square = total / len(numbers), squares / len(numbers)
        if shared:
            mean, square = np.full_like(start, np.mean(mean)), np.full_like(start, np.mean(square))
        std = np.sqrt(np.maximum(square - mean * mean, 0.0))
        far = (np.abs(start + mean) > FAR * std) & (std > 0) & np.isfinite(std)
    return np.where(far, start + mean, 0.0) if far.any() else None
