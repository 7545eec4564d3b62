"""MNIST and Fashion-MNIST, from their IDX files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from noisysim.tasks import sources
from noisysim.tasks.base import Split, Task, make
from noisysim.tasks.images import DEFAULTS, ImageSettings, check_labels, notes
from noisysim.tasks.sources import Source

IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST = Source(
    task="mnist",
    files=dict(
        zip(
            IDX_FILES,
            (
                "f68b3c2dcbeaaa9fbdd348bbdeb89873",
                "d53e105ee54ea40749a09fcbcd1e9432",
                "9fb629c4189551a2d022fa330f9573f3",
                "ec29112dd5afa0611ce80d1b7f02629c",
            ),
            strict=True,
        )
    ),
    folders=("mnist", "."),
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
)
FASHION_MNIST = Source(
    task="fashion-mnist",
    files=dict(
        zip(
            IDX_FILES,
            (
                "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79",
                "bb300cfdad3c16e7a12a480ee83cd310",
            ),
            strict=True,
        )
    ),
    folders=("fashion-mnist", "."),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    system=("/usr/share/dataset-fashion-mnist",),  # Debian's package of that name
)
# The first training labels: the two sets use the same file names, and a mix-up would go unseen.
FIRST_LABELS = {"mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4), "fashion-mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5)}


def _fill(stream: BufferedIOBase, array: np.ndarray) -> int:
    """Read into `array` (uint8), a mebibyte at a time; returns the bytes that came."""
    view, done = array.data.cast("B"), 0
    while done < len(view):
        part = stream.read(min(1 << 20, len(view) - done))
        if not part:
            break
        view[done : done + len(part)] = part
        done += len(part)
    return done


def read_idx(path: str | os.PathLike[str], n_dims: int) -> np.ndarray:
    """The uint8 array of an IDX file, plain or gzip (format: http://yann.lecun.com/exdb/mnist/).

    Parameters
    ----------
    path : path
    n_dims : int
        Dimensions the array must have: 3 for images, 1 for labels.

    Raises
    ------
    ValueError
        If the file is no IDX file of that kind, or shorter or longer than its header says.
    """
    path = Path(path)
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as stream:
            header = stream.read(4 + 4 * n_dims)
            if len(header) < 4 + 4 * n_dims or header[:4] != bytes((0, 0, 8, n_dims)):
                raise ValueError(f"{path}: not an IDX file of {n_dims}-dimensional uint8 data")
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
            size = math.prod(shape)
            if size > path.stat().st_size * 1032:  # the most that deflate can pack
                raise ValueError(f"{path}: its header says {shape}, far more than the file can hold")
            array = np.empty(shape, np.uint8)
            came = _fill(stream, array) if size else 0
            if came < size or stream.read(1):
                count = f"only {came}" if came < size else f"more than {size}"
                raise ValueError(f"{path}: its header says {shape}, but {count} bytes follow it")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged gzip file ({error})") from None
    return array


def _idx_task(source: Source, settings: ImageSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    folders = sources.places(source, data)
    paths = sources.find(folders, IDX_FILES) or sources.download(source, folders)
    splits, shapes = [], []
    for images_path, labels_path in (paths[:2], paths[2:]):
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        targets = check_labels(labels, images, labels_path, 10)
        shapes.append(images.shape[1:])
        splits.append(Split(images.reshape(len(images), -1), targets))
    if shapes[0] != shapes[1]:
        raise ValueError(f"{paths[2]}: images of {shapes[1]}, but those to train on are {shapes[0]}")
    for other, first in FIRST_LABELS.items():
        if other != source.task and tuple(splits[0].targets[:10]) == first:
            raise ValueError(f"{paths[1]}: these are the labels of {other}, not of {source.task}")
    remarks = notes(splits, 60_000)
    return make(source.task, splits, settings, DEFAULTS, n_out=10, input_shape=shapes[0], notes=remarks, seed=seed)


def load_mnist(settings: ImageSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """MNIST: 60,000 + 10,000 handwritten digits of 28 x 28 pixels, LeCun et al., Proc. IEEE 86(11) (1998)."""
    return _idx_task(MNIST, settings, data, seed)


def load_fashion_mnist(settings: ImageSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """Fashion-MNIST: 60,000 + 10,000 pieces of clothing of 28 x 28 pixels, Xiao et al., arXiv:1708.07747 (2017)."""
    return _idx_task(FASHION_MNIST, settings, data, seed)
