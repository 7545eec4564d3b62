"""CIFAR-10 and CIFAR-100, from their Python pickles, read by an unpickler that runs nothing."""

from __future__ import annotations

import gzip
import os
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, NamedTuple

import numpy as np

from noisysim.fields import Field
from noisysim.tasks import sources
from noisysim.tasks.base import ClassLoss, Split, Task, make
from noisysim.tasks.images import DEFAULTS, ImageSettings, ImageStandardise, check_labels, notes
from noisysim.tasks.sources import Source


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


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes written as {encoding}")
    return text.encode("latin-1")


def _dtype(spec: Any, align: object = False, copy: object = False) -> np.dtype:
    return np.dtype(spec, bool(align), bool(copy))  # Python 2 wrote 0 and 1, which NumPy has deprecated


class ArrayUnpickler(pickle.Unpickler):
    """Reads arrays, dicts, lists, strings and numbers; a pickle that asks for anything else is refused.

    A pickle is a programme: the standard unpickler runs whatever a file names. Here the only names that mean
    anything are NumPy's array and dtype, under their names in NumPy 1 and 2, and the way Python 3 spells bytes
    in old protocols.
    """

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): _dtype,
        ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        """One of the few known names; anything else raises `pickle.UnpicklingError`."""
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no data file needs") from None


def read_batch(stream: IO[bytes], where: object, classes: Classes, title: str) -> Split:
    """Images (n, 3072) uint8, channel by channel, and labels (n,) int64 of one pickle.

    Raises
    ------
    ValueError
        If it is damaged, asks for anything but arrays, or holds something else.
    """
    try:
        content = ArrayUnpickler(stream, encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{where}: not a readable {title} batch ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where}: not a {title} batch: a {type(content).__name__}, not a dict")
    content = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    images, labels = content.get("data"), content.get(classes.key)
    if not isinstance(images, np.ndarray) or labels is None:
        held = sorted(map(str, content))
        raise ValueError(f"{where}: not a {title} batch: keys {held}, no 'data' and {classes.key!r}")
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        raise ValueError(f"{where}: data are {images.dtype} {images.shape}, not uint8 (n, 3072)")
    try:
        labels = np.asarray(labels)
        whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(f"{where}: its {classes.key} are not a list of whole numbers")
    images = np.require(images, requirements=["C", "A", "W"])
    return Split(images, check_labels(labels, images, where, classes.number))


def _batches(kept: Pickles, classes: Classes, paths: list[Path]) -> Iterator[tuple[str, Split]]:
    """Name and content of every batch, in the order they lie in the folder or in the archive."""
    if len(paths) > 1:
        for path in paths:
            with open(path, "rb") as stream:
                yield path.name, read_batch(stream, path, classes, kept.title)
        return
    try:
        with tarfile.open(paths[0]) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                packed = archive.extractfile(member) if member.isfile() and name in kept.names else None
                if packed is not None:
                    yield name, read_batch(packed, f"{paths[0]}: {name}", classes, kept.title)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{paths[0]}: damaged archive ({error})") from None


def _load(kept: Pickles, classes: Classes, settings: Any, data: str | os.PathLike | None) -> Task:
    folders = sources.places(kept.source, data)
    paths = sources.find(folders, kept.names) or sources.find(folders, list(kept.source.files))
    paths = paths or sources.download(kept.source, folders)
    where, parts = paths[0].parent if len(paths) > 1 else paths[0], len(kept.train)
    train: Split | None = None
    test: Split | None = None
    for name, batch in _batches(kept, classes, paths):
        n = len(batch.inputs)
        if name == kept.test:
            test = batch
            continue
        if train is None:  # filled batch by batch, so that the images are in memory once
            train = Split(np.empty((parts * n, 3072), np.uint8), np.full(parts * n, -1))
        if parts * n != len(train.inputs):
            raise ValueError(f"{where}: {name} holds {n} images, the batch before it {len(train.inputs) // parts}")
        start = kept.train.index(name) * n
        train.inputs[start : start + n] = batch.inputs
        train.targets[start : start + n] = batch.targets
    if train is None or test is None or train.targets.min() < 0:
        raise ValueError(f"{where}: not every one of {', '.join(kept.names)} is in it")
    both = [train, test]
    shape, said = (3, 32, 32), notes(both, 50_000)
    return make(kept.source.task, both, settings, DEFAULTS, n_out=classes.number, input_shape=shape, notes=said)


def load_cifar10(settings: ImageSettings, data: str | os.PathLike | None, seed: int) -> Task:
    """CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels, Krizhevsky (2009).

    Inputs are (3, 32, 32): the red, then the green, then the blue pixels.
    """
    return _load(CIFAR10, CIFAR10_CLASSES, settings, data)


def load_cifar100(settings: Cifar100Settings, data: str | os.PathLike | None, seed: int) -> Task:
    """CIFAR-100: 50,000 + 10,000 colour images of 32 x 32 pixels in 100 classes, Krizhevsky (2009).

    The classes form 20 groups of five ("superclasses"), which ``labels="coarse"`` learns instead. Inputs are
    (3, 32, 32): the red, then the green, then the blue pixels.
    """
    return _load(CIFAR100, CIFAR100_CLASSES[settings.labels], settings, data)
