"""CIFAR-10 and CIFAR-100, from their Python pickles, of which nothing is run (`noisysim.tasks.pickles`)."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, NamedTuple, cast

import numpy as np

from noisysim.common.fields import Field, listed
from noisysim.tasks import pickles, sources
from noisysim.tasks.augmentation import Mirror, Shift
from noisysim.tasks.base import ClassLoss, Split, Task, make
from noisysim.tasks.images import DEFAULTS, ImageSettings, ImageStandardise, check_labels, notes
from noisysim.tasks.pickles import Array
from noisysim.tasks.sources import Source

LIMIT = 1 << 29
"""Bytes of a pickle: the largest, of 50,000 images, has 155 million."""


class Pickles(NamedTuple):
    """How one of the sets is kept.

    Attributes
    ----------
    title : str
        What messages call it.
    source : Source
    train : tuple of str
        The pickles of the training split, in the order of their images; each holds as many.
    test : str
        The pickle of the test split.
    """

    title: str
    source: Source
    train: tuple[str, ...]
    test: str

    @property
    def names(self) -> tuple[str, ...]:
        """Every pickle."""
        return (*self.train, self.test)


CIFAR10 = Pickles(
    title="CIFAR-10",
    source=Source(
        task="cifar10",
        files={"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"},
        folders=("cifar10/cifar-10-batches-py", "cifar-10-batches-py", "cifar10", "."),
        url="https://www.cs.toronto.edu/~kriz/",
    ),
    train=tuple(f"data_batch_{k}" for k in range(1, 6)),
    test="test_batch",
)
CIFAR100 = Pickles(
    title="CIFAR-100",
    source=Source(
        task="cifar100",
        files={"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"},
        folders=("cifar100/cifar-100-python", "cifar-100-python", "cifar100", "."),
        url="https://www.cs.toronto.edu/~kriz/",
    ),
    train=("train",),
    test="test",
)


class Classes(NamedTuple):
    """What is learned: the key of its labels in a pickle, and how many classes they tell apart."""

    key: str
    number: int


CIFAR10_CLASSES = Classes("labels", 10)
CIFAR100_CLASSES = {"fine": Classes("fine_labels", 100), "coarse": Classes("coarse_labels", 20)}


class Cifar100Settings(NamedTuple):
    """Settings of CIFAR-100."""

    standardise: ImageStandardise = "global"
    loss: ClassLoss = "cce"
    labels: Annotated[str, Field(choices=tuple(CIFAR100_CLASSES), doc="100 classes, or 20 groups of five")] = "fine"
    shift: Shift = 0
    mirror: Mirror = False


def read_batch(stream: IO[bytes], where: object, classes: Classes, title: str) -> Split:
    """Images (n, 3072) uint8, channel by channel, and labels (n,) int64 of one pickle.

    Raises
    ------
    ValueError
        If it is damaged, asks for anything but arrays, or holds something else.
    """
    packed = stream.read(LIMIT + 1)
    if len(packed) > LIMIT:
        raise ValueError(f"{where}: not a {title} batch: it is larger than {LIMIT:,} bytes")
    try:
        content = pickles.load(packed)
    except Exception as error:  # a damaged pickle can raise anything
        why = str(error).partition("\n")[0][:160]
        raise ValueError(f"{where}: not a readable {title} batch ({why})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where}: not a {title} batch: a {type(content).__name__}, not a dict")
    content = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    images, labels = content.get("data"), content.get(classes.key)
    if not isinstance(images, Array) or labels is None:
        raise ValueError(f"{where}: not a {title} batch: keys {listed(sorted(content))}, no 'data' and {classes.key!r}")
    pixels = images.numpy
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3072:
        raise ValueError(f"{where}: data are {pixels.dtype} {pixels.shape}, not uint8 (n, 3072)")
    return Split(pixels, check_labels(_labels(labels, classes.key, where), pixels, where, classes.number))


def _labels(labels: Any, key: str, where: object) -> np.ndarray:
    """A list or an array of whole numbers as int64, (n,)."""
    array = labels.numpy if isinstance(labels, Array) else None
    if array is not None and array.ndim == 1 and array.dtype.kind in "iu":
        return array
    if not isinstance(labels, list) or not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise ValueError(f"{where}: its {key} are not a list of whole numbers")
    return np.array(labels, np.int64)


class _Bounded:
    """What an archive unpacks to, up to `LIMIT` bytes of all: no header can claim more."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self._left = stream, LIMIT

    def read(self, size: int) -> bytes:
        """The next bytes."""
        part = self._stream.read(size)
        self._left -= len(part)
        if self._left < 0:
            raise tarfile.ReadError(f"unpacked, it is larger than {LIMIT:,} bytes")
        return part


def _unpacked(path: Path) -> IO[bytes]:
    """The bytes of a tar file, packed by gzip or not."""
    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path, "rb")) if packed else open(path, "rb")


def _batches(files: Pickles, classes: Classes, paths: list[Path]) -> Iterator[tuple[str, Split]]:
    """Name and content of every batch, in the order of the folder or of the archive."""
    if len(paths) > 1:
        for path in paths:
            with open(path, "rb") as stream:
                yield path.name, read_batch(stream, path, classes, files.title)
        return
    try:
        with _unpacked(paths[0]) as tar, tarfile.open(fileobj=cast(Any, _Bounded(tar)), mode="r|") as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                packed = archive.extractfile(member) if member.isfile() and name in files.names else None
                if packed is not None:
                    yield name, read_batch(packed, f"{paths[0]}: {name}", classes, files.title)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{paths[0]}: damaged archive ({error})") from None


def _load(files: Pickles, classes: Classes, settings: Any, data: str | os.PathLike[str] | None, seed: int) -> Task:
    folders = sources.places(files.source, data)
    paths = sources.find(folders, files.names) or sources.find(folders, list(files.source.files))
    paths = paths or sources.download(files.source, folders)
    where, parts = paths[0].parent if len(paths) > 1 else paths[0], len(files.train)
    train: Split | None = None
    test: Split | None = None
    for name, batch in _batches(files, classes, paths):
        n = len(batch.inputs)
        if name == files.test:
            test = batch
            continue
        if train is None:  # filled batch by batch, so that the images are in memory once
            train = Split(np.empty((parts * n, 3072), np.uint8), np.full(parts * n, -1))
        if parts * n != len(train.inputs):
            raise ValueError(f"{where}: {name} holds {n} images, the batch before it {len(train.inputs) // parts}")
        start = files.train.index(name) * n
        train.inputs[start : start + n] = batch.inputs
        train.targets[start : start + n] = batch.targets
    if train is None or test is None or train.targets.min() < 0:
        raise ValueError(f"{where}: not every one of {', '.join(files.names)} is in it")
    splits = [train, test]
    shape, remarks = (3, 32, 32), notes(splits, 50_000)
    return make(
        files.source.task, splits, settings, DEFAULTS, n_out=classes.number, input_shape=shape, notes=remarks, seed=seed
    )


def load_cifar10(settings: ImageSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels, Krizhevsky (2009).

    Inputs are (3, 32, 32): the red, then the green, then the blue pixels.
    """
    return _load(CIFAR10, CIFAR10_CLASSES, settings, data, seed)


def load_cifar100(settings: Cifar100Settings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 pixels in 100 classes, Krizhevsky (2009).

    The classes form 20 groups of five ("superclasses"), which ``labels="coarse"`` learns instead. Inputs are
    (3, 32, 32): the red, then the green, then the blue pixels.
    """
    return _load(CIFAR100, CIFAR100_CLASSES[settings.labels], settings, data, seed)
