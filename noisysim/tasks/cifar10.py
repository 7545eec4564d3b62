"""CIFAR-10, from its Python pickles, read by an unpickler that runs nothing."""

from __future__ import annotations

import gzip
import os
import pickle
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from noisysim.tasks import sources
from noisysim.tasks.base import Split, Task, make
from noisysim.tasks.images import DEFAULTS, ImageSettings, check_labels, notes
from noisysim.tasks.sources import Source

CIFAR10 = Source(
    task="cifar10",
    files={"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"},
    folders=("cifar10/cifar-10-batches-py", "cifar-10-batches-py", "cifar10", "."),
    url="https://www.cs.toronto.edu/~kriz/",
)
CIFAR10_BATCHES = (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch")


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


def read_cifar_batch(stream: IO[bytes], where: object) -> Split:
    """Images (n, 3072) uint8, channel by channel, and labels (n,) int64 of one CIFAR-10 pickle.

    Raises
    ------
    ValueError
        If it is damaged, asks for anything but arrays, or holds something else.
    """
    try:
        content = ArrayUnpickler(stream, encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{where}: not a readable CIFAR-10 batch ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{where}: not a CIFAR-10 batch: a {type(content).__name__}, not a dict")
    content = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    images, labels = content.get("data"), content.get("labels")
    if not isinstance(images, np.ndarray) or labels is None:
        raise ValueError(f"{where}: not a CIFAR-10 batch: keys {sorted(map(str, content))}, no 'data' and 'labels'")
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072:
        raise ValueError(f"{where}: data are {images.dtype} {images.shape}, not uint8 (n, 3072)")
    try:
        labels = np.asarray(labels)
        whole = labels.ndim == 1 and labels.dtype.kind in "iu"
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(f"{where}: its labels are not a list of whole numbers")
    images = np.require(images, requirements=["C", "A", "W"])
    return Split(images, check_labels(labels, images, where))


def _cifar_batches(paths: list[Path]) -> Iterator[tuple[str, Split]]:
    """Name and content of every batch, in the order they lie in the folder or in the archive."""
    if len(paths) > 1:
        for path in paths:
            with open(path, "rb") as stream:
                yield path.name, read_cifar_batch(stream, path)
        return
    try:
        with tarfile.open(paths[0]) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                packed = archive.extractfile(member) if member.isfile() and name in CIFAR10_BATCHES else None
                if packed is not None:
                    yield name, read_cifar_batch(packed, f"{paths[0]}: {name}")
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{paths[0]}: damaged archive ({error})") from None


def load_cifar10(settings: ImageSettings, data: str | os.PathLike | None, seed: int) -> Task:
    """CIFAR-10: 50,000 + 10,000 colour images of 32 x 32 pixels, Krizhevsky (2009).

    Inputs are (3, 32, 32): the red, then the green, then the blue pixels.
    """
    folders = sources.places(CIFAR10, data)
    archive = list(CIFAR10.files)
    paths = sources.find(folders, CIFAR10_BATCHES) or sources.find(folders, archive)
    paths = paths or sources.download(CIFAR10, folders)
    where, splits = paths[0].parent if len(paths) > 1 else paths[0], {}
    train: Split | None = None
    for name, batch in _cifar_batches(paths):
        n = len(batch.inputs)
        if name == "test_batch":
            splits["test"] = batch
            continue
        if train is None:  # filled batch by batch, so that the images are in memory once
            train = Split(np.empty((5 * n, 3072), np.uint8), np.full(5 * n, -1))
        if 5 * n != len(train.inputs):
            raise ValueError(f"{where}: {name} holds {n} images, the batch before it {len(train.inputs) // 5}")
        start = (int(name[-1]) - 1) * n
        train.inputs[start : start + n] = batch.inputs
        train.targets[start : start + n] = batch.targets
    if train is None or "test" not in splits or train.targets.min() < 0:
        raise ValueError(f"{where}: not every one of {', '.join(CIFAR10_BATCHES)} is in it")
    both = [train, splits["test"]]
    return make("cifar10", both, settings, DEFAULTS, n_out=10, input_shape=(3, 32, 32), notes=notes(both, 50_000))
