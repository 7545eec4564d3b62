"""Tiny ImageNet, from its zip archive or the unpacked folder."""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
import zipfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from noisysim.tasks import decoded, sources
from noisysim.tasks.base import Split, Task, make
from noisysim.tasks.images import DEFAULTS, ImageSettings, check_labels, notes
from noisysim.tasks.sources import Source

FOLDER = "tiny-imagenet-200"
TINY_IMAGENET = Source(
    task="tiny-imagenet",
    files={f"{FOLDER}.zip": "90528d7ca1a48142e341f4ef8d21d0de"},
    folders=(f"tiny-imagenet/{FOLDER}", FOLDER, "tiny-imagenet", "."),
    url="http://cs231n.stanford.edu/",
)
WNIDS, ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"
TRAIN_IMAGE = re.compile(r"train/([^/]+)/images/[^/.][^/]*\.JPEG")
TEST_IMAGES = "val/images/"
N_CLASSES, SIDE = 200, 64
LIMIT = 1 << 20  # bytes of one file: an image has some thousand
NOTE = "tested on the validation split: the published test split has no labels"
THREADS, BLOCK = 4, 250  # what reads and decodes, and how many images at a time


class Archive:
    """The files of the set in its zip archive; they are read in memory, and none is unpacked.

    Attributes
    ----------
    where : path
    stamp : str
        Tells this version of the archive from others.
    names : collection of str
        The files, by their paths in the set's folder.
    """

    def __init__(self, path: Path):
        status = path.stat()
        self.where = path
        self.stamp = f"{path.name} {status.st_size} {status.st_mtime_ns}"
        self.names: Collection[str] = ()
        self._lock = threading.Lock()

    def __enter__(self) -> Archive:
        try:
            self._zip = zipfile.ZipFile(self.where)
        except Exception as error:  # a damaged archive can raise anything
            raise ValueError(f"{self.where}: damaged archive ({error})") from None
        prefix = f"{FOLDER}/"
        self.names = {n.removeprefix(prefix) for n in self._zip.namelist() if n.startswith(prefix)}
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """The first bytes of a file, one more than the limit at most."""
        with self._lock, self._zip.open(f"{FOLDER}/{name}") as stream:
            return stream.read(LIMIT + 1)


class Folder:
    """The files of the set in its unpacked folder; the attributes are those of `Archive`."""

    def __init__(self, path: Path):
        self.where = path
        files = sorted(self._files())
        self.names: Collection[str] = {name for name, *_ in files}
        self.stamp = f"{FOLDER} {hashlib.sha256(repr(files).encode()).hexdigest()}"

    def _files(self) -> Iterator[tuple[str, int, int]]:
        """Name, size and time of every file that is read."""
        for name in (WNIDS, ANNOTATIONS):
            status = (self.where / name).stat()
            yield name, status.st_size, status.st_mtime_ns
        train = self.where / "train"
        classes = [f"train/{name}/images/" for name in os.listdir(train)] if train.is_dir() else []
        for folder in (*classes, TEST_IMAGES):
            if (self.where / folder).is_dir():
                with os.scandir(self.where / folder) as entries:
                    for entry in entries:
                        status = entry.stat()
                        yield folder + entry.name, status.st_size, status.st_mtime_ns

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, name: str) -> bytes:
        """The first bytes of a file, one more than the limit at most."""
        with open(self.where / name, "rb") as stream:
            return stream.read(LIMIT + 1)


Files = Archive | Folder


def _content(files: Files, name: str) -> bytes:
    """A file of the set, or the one clear error."""
    if name not in files.names:
        raise ValueError(f"{files.where}: holds no {name}")
    try:
        content = files.read(name)
    except Exception as error:  # a damaged archive can raise anything
        raise ValueError(f"{files.where}: {name} cannot be read ({error})") from None
    if len(content) > LIMIT:
        raise ValueError(f"{files.where}: {name} is larger than {LIMIT:,} bytes")
    return content


def _lines(files: Files, name: str) -> list[list[str]]:
    """The words of every line of a text file."""
    try:
        text = _content(files, name).decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{files.where}: {name} is no text") from None
    return [line.split() for line in text.splitlines() if line.strip()]


def _classes(files: Files) -> dict[str, int]:
    """Number of each class, in the order of the set's list."""
    listed = [words[0] for words in _lines(files, WNIDS)]
    numbers = {wnid: number for number, wnid in enumerate(listed)}
    if len(numbers) < len(listed) or len(listed) < 2:
        raise ValueError(f"{files.where}: {WNIDS} does not list two classes or more, each once")
    return numbers


def _train_images(files: Files, numbers: dict[str, int]) -> tuple[list[str], np.ndarray]:
    """Names and labels of the images to train on: class by class, each by number."""
    by_class: list[list[str]] = [[] for _ in numbers]
    for name in files.names:
        image = TRAIN_IMAGE.fullmatch(name)
        if image:
            if image[1] not in numbers:
                raise ValueError(f"{files.where}: {WNIDS} does not list {image[1]}, the class of {name}")
            by_class[numbers[image[1]]].append(name)
    for wnid, number in numbers.items():
        if not by_class[number]:
            raise ValueError(f"{files.where}: no image in train/{wnid}/images")
        by_class[number].sort(key=lambda name: (len(name), name))  # 2 before 10
    labels = np.repeat(np.arange(len(by_class)), [len(names) for names in by_class])
    return [name for names in by_class for name in names], labels


def _test_images(files: Files, numbers: dict[str, int]) -> tuple[list[str], np.ndarray]:
    """Names and labels of the images to test on, in the order of their annotations."""
    labels: dict[str, int] = {}
    for words in _lines(files, ANNOTATIONS):
        name, wnid = TEST_IMAGES + words[0], words[1] if len(words) > 1 else ""
        if name not in files.names:
            raise ValueError(f"{files.where}: holds no {name}, which {ANNOTATIONS} names")
        if wnid not in numbers or name in labels:
            fault = f"the class {wnid!r}, which {WNIDS} does not list" if wnid not in numbers else "two classes"
            raise ValueError(f"{files.where}: {ANNOTATIONS} gives {words[0]} {fault}")
        labels[name] = numbers[wnid]
    if not labels:
        raise ValueError(f"{files.where}: {ANNOTATIONS} names no image")
    return list(labels), np.fromiter(labels.values(), np.int64, len(labels))


def pixels(content: bytes, where: str) -> np.ndarray:
    """The pixels of a JPEG image, uint8, (3, 64, 64); a grey image is as much red as green and blue.

    Raises
    ------
    ValueError
        If it is no JPEG image, damaged or of another size.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            size = image.size
            if size == (SIDE, SIDE):
                colours = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{where}: not a JPEG image") from None
    except Exception as error:  # a damaged image can raise anything
        raise ValueError(f"{where}: not a readable JPEG image ({error})") from None
    if size != (SIDE, SIDE):
        raise ValueError(f"{where}: {size[0]} x {size[1]} pixels, not {SIDE} x {SIDE}")
    channels_first: np.ndarray = colours.transpose(2, 0, 1)
    return channels_first


def _decode(files: Files, names: list[str]) -> np.ndarray:
    """The images of these names, uint8, (n, 12288)."""
    images = np.empty((len(names), 3, SIDE, SIDE), np.uint8)

    def block(start: int) -> None:
        for row, name in enumerate(names[start : start + BLOCK], start):
            images[row] = pixels(_content(files, name), f"{files.where}: {name}")

    pool = ThreadPoolExecutor(THREADS)
    try:
        for _ in pool.map(block, range(0, len(names), BLOCK)):
            pass  # raises the first error there was
    finally:
        pool.shutdown(cancel_futures=True)
    return images.reshape(len(names), -1)


def _read(files: Files) -> list[Split]:
    """The training and the test split."""
    with files:
        numbers = _classes(files)
        listed = [_train_images(files, numbers), _test_images(files, numbers)]
        return [Split(_decode(files, names), labels) for names, labels in listed]


def load_tiny_imagenet(settings: ImageSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """Tiny ImageNet: 100,000 + 10,000 colour images of 64 x 64 pixels in 200 classes, Le and Yang (2015).

    The test split is the published validation split: the labels of the published test split were never given out.
    Classes are in the order of ``wnids.txt``. Inputs are (3, 64, 64): the red, then the green, then the blue pixels.

    The images are JPEG files, in ``tiny-imagenet-200.zip`` or in its unpacked folder. Decoded, they are 1.4 GB; they
    are kept in the user's cache folder, if it can be written to, and taken from there as long as the names, sizes and
    times of the files are the same. Another JPEG library may round a pixel otherwise: the data, and their CRC-32, are
    those of a machine.
    """
    from PIL import features

    folders = sources.places(TINY_IMAGENET, data)
    loose = sources.find(folders, (WNIDS, ANNOTATIONS))
    files: Files
    if loose:
        files = Folder(loose[0].parent)
    else:
        archive = list(TINY_IMAGENET.files)
        files = Archive((sources.find(folders, archive) or sources.download(TINY_IMAGENET, folders))[0])
    cached = sources.cache_folder() / TINY_IMAGENET.task / "decoded.h5"
    source = f"{files.stamp}, JPEG library {features.version('jpg')}"
    splits = decoded.recall(cached, source)
    if splits is None:
        splits = _read(files)
        decoded.keep(cached, source, splits)
    n_classes = int(splits[0].targets.max()) + 1  # each has an image to train on
    check_labels(splits[1].targets, splits[1].inputs, files.where, n_classes)
    remarks = [NOTE, *notes(splits, 100_000)]
    if n_classes != N_CLASSES:
        remarks.append(f"not the published {N_CLASSES} classes: {n_classes} found")
    return make(
        TINY_IMAGENET.task,
        splits,
        settings,
        DEFAULTS,
        n_out=n_classes,
        input_shape=(3, SIDE, SIDE),
        notes=remarks,
        seed=seed,
    )
