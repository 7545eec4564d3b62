"""`Task`: data, targets and the loss, handed out in batches."""

from __future__ import annotations

import functools
import json
import operator
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

import numpy as np

from noisysim.common import html_table
from noisysim.common.fields import listed, shown, unknown
from noisysim.common.user_files import Origin
from noisysim.compute import losses
from noisysim.compute.cpu.loops import gather
from noisysim.compute.losses import Loss
from noisysim.compute.observation import Batch
from noisysim.tasks import standard
from noisysim.tasks.augmentation import Augmentation, augmentation
from noisysim.tasks.noise import InputNoise
from noisysim.tasks.rows import order as row_order
from noisysim.tasks.rows import row_array
from noisysim.tasks.rows import split_rows as split_rows
from noisysim.tasks.settings import ClassLoss as ClassLoss
from noisysim.tasks.settings import Standardise as Standardise
from noisysim.tasks.settings import StandardiseTargets as StandardiseTargets
from noisysim.tasks.settings import ValueLoss as ValueLoss
from noisysim.tasks.settings import read_settings as read_settings
from noisysim.tasks.splits import Labels as Labels
from noisysim.tasks.splits import Split as Split

SPLITS = ("train", "test", "validation")

_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)


def whole_number(name: str, value: SupportsIndex, low: int) -> int:
    """`value` as an int of at least `low`, or the one clear error."""
    try:
        number = operator.index(value)
        if isinstance(value, bool):
            raise TypeError
    except TypeError:
        raise TypeError(f"{name} must be a whole number >= {low}, not {shown(value)}") from None
    if number < low:
        raise ValueError(f"{name} must be a whole number >= {low}, not {shown(value)}")
    return number


@dataclass(frozen=True, eq=False)
class Task:
    """Data, targets and the loss: what a network has to do. Made by `noisysim.tasks.get`.

    Attributes
    ----------
    name : str
        What `noisysim.tasks.get` was asked for.
    train, test : Split
        The data in their own type (uint8 for images, else float32). They are standardised, and labels made
        one-hot, where a batch is gathered: a run needs about the memory of the data.
    loss : str
        ``"cce"`` (softmax cross-entropy), ``"mse"`` (half the sum of squares), or what finds another one; see
        `noisysim.losses`. It may be given as a `noisysim.losses.Loss`.
    n_out : int
        Classes, or target values per sample.
    settings : dict
        Every setting with its value.
    affine, target_affine : numpy.ndarray
        float32, (2, n_in) and (2, n_out): ``(x - affine[0]) * affine[1]``. Labels have no use for the second.
    defaults : dict
        What suits this task unless asked otherwise: ``layers`` (hidden units), ``batch_size``, ``epochs``.
    input_shape : tuple of int
        How the n_in inputs of a sample are laid out, e.g. ``(3, 32, 32)``.
    notes : tuple of str
        What a reader of the results has to know about the data.
    labels : Labels or None
        Of images whose targets are other than their labels: for pictures.
    noise : InputNoise or None
        Added to the standardised inputs of the training split.
    augmentation : Augmentation or None
        How images of the training split are shifted and mirrored.
    validation : Split or None
        Further data, in the form of the others, that a run is validated on.
    origins : (numpy.ndarray or None, numpy.ndarray or None)
        What was subtracted of inputs and of target values before they were rounded to float32, float64 (n_in,) and
        (n_out,), where they are far from zero: what `affine` shifts by is counted from there.
    loader : noisysim.tasks.loading.Loader or None
        What made it, where a name or a file found that.
    origin : Origin or None
        The file or installed package of the loader, if it is not the package's own.
    classes : tuple
        The user's labels (text, numbers or switches) of the classes 0 to n_out - 1; empty where these are the labels.
    columns : tuple of str
        Names of the inputs that came from columns of a table; "city=Paris" where a text became one-hot columns.
    """

    name: str
    train: Split = field(repr=False)
    test: Split = field(repr=False)
    loss: str
    n_out: int
    settings: dict[str, Any]
    affine: np.ndarray = field(repr=False)
    target_affine: np.ndarray = field(repr=False)
    defaults: dict[str, Any] = field(repr=False)
    input_shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    labels: Labels | None = field(default=None, repr=False)
    noise: InputNoise | None = field(default=None, repr=False)
    augmentation: Augmentation | None = field(default=None, repr=False)
    validation: Split | None = field(default=None, repr=False)
    origins: tuple[np.ndarray | None, np.ndarray | None] = field(default=(None, None), repr=False)
    loader: Any = field(default=None, repr=False)
    origin: Origin | None = field(default=None, repr=False)
    classes: tuple[str | int | bool, ...] = ()
    columns: tuple[str, ...] = ()
    classification: bool = field(init=False)
    n_in: int = field(init=False)
    _loss: Loss = field(init=False, repr=False)
    _all_rows: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        loss = losses.get(self.loss)
        text = losses.REGISTRY.text(loss)
        derived = {
            "loss": text,
            "settings": {**self.settings, "loss": text} if "loss" in self.settings else self.settings,
            "classification": self.train.targets.ndim == 1,
            "n_in": self.train.inputs.shape[1],
            "input_shape": tuple(self.input_shape) or self.train.inputs.shape[1:],
            "_loss": loss,
            "_all_rows": np.arange(max(len(self.split(name).inputs) for name in SPLITS), dtype=np.int64),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def _repr_html_(self) -> str:
        """What a network has to learn, for a notebook."""
        shape = " x ".join(map(str, self.input_shape))
        named = f": {listed(self.classes)}" if self.classes else ""
        rows = [
            ("samples", f"{self.n_train:,} to learn, {self.n_test:,} to test"),
            ("inputs", f"{self.n_in:,}" if len(self.input_shape) == 1 else f"{self.n_in:,} ({shape})"),
            ("outputs", f"{self.n_out:,} classes{named}" if self.classification else f"{self.n_out:,} values"),
            *((name, html_table.plain(value)) for name, value in {"loss": self.loss, **self.settings}.items()),
            ("defaults", ", ".join(f"{name}={value!r}" for name, value in self.defaults.items())),
            *(("note", note) for note in self.notes),
        ]
        return html_table.table(rows, f"Task {self.name}")

    @property
    def loss_function(self) -> Loss:
        """The loss and its derivative."""
        return self._loss

    @property
    def n_train(self) -> int:
        """Samples in the training split."""
        return len(self.train.inputs)

    @property
    def n_test(self) -> int:
        """Samples in the test split."""
        return len(self.test.inputs)

    def batch(self, split: str, rows: slice | np.ndarray, out: Batch | None = None, epoch: int = 0) -> Batch:
        """Samples of a split, standardised and ready for a pass.

        Parameters
        ----------
        split : str
            ``"train"``, ``"test"``, or ``"validation"``: further data if there are any, else ``train`` without noise
            or augmentation.
        rows : slice or integer array
            Which samples. Negative rows count from the end.
        out : Batch, optional
            An earlier batch of as many samples of this task: its arrays are overwritten and handed out again.
        epoch : int
            Whose noise and augmentation the inputs of the training split get, where the task has any; nothing else
            depends on it.

        Returns
        -------
        Batch
            float32 inputs (batch, n_in) and targets (batch, n_out), and the loss.

        Raises
        ------
        IndexError
            If a row is outside the split.
        TypeError
            If `rows` are not whole numbers.
        ValueError
            If no row is asked for, or `out` does not fit.
        """
        data, index = self.split(split), self.index(split, rows)
        inputs, targets = self._arrays(index.shape[0], out)
        arguments = (data.inputs, data.targets, index, self.affine)
        if self.classification:
            outside = gather.with_labels(*arguments, inputs, targets)
        else:
            outside = gather.with_values(*arguments, self.target_affine, inputs, targets)
        if outside >= 0:
            raise self.outside(split, index[outside])
        if split == "train" and (self.noise is not None or self.augmentation is not None):
            found, of_epoch = index % self.n_train, whole_number("epoch", epoch, 0)
            if self.augmentation is not None:
                self.augmentation.write(data.inputs, found, self.affine, of_epoch, inputs)
            if self.noise is not None:
                self.noise.add(inputs, found, of_epoch)
        return Batch(inputs, targets, self.loss_function)

    def index(self, split: str, rows: slice | np.ndarray) -> np.ndarray:
        """The rows that `batch` takes as a contiguous int64 array; whether the split has them is not looked at."""
        if isinstance(rows, slice):
            index = self._all_rows[: len(self.split(split).inputs)][rows]
        elif type(rows) is np.ndarray and rows.dtype is _INT64 and rows.ndim == 1:
            index = rows
        else:
            index = row_array(rows)
        if index.shape[0] == 0:
            raise ValueError(f"a batch needs at least one row of the {split} split")
        return index if index.flags.carray else index.copy()  # one memory layout, so the loops are compiled once

    def outside(self, split: str, row: int) -> IndexError:
        """The error of a row that a split does not have."""
        return IndexError(f"row {row} is outside the {split} split of {len(self.split(split).inputs)} samples")

    def split(self, split: str) -> Split:
        """The data of a split, by its name."""
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        data: Split | None = getattr(self, split)
        return self.train if data is None else data

    def _arrays(self, n: int, out: Batch | None) -> tuple[np.ndarray, np.ndarray]:
        """The arrays a batch of `n` samples is written to: those of `out`, or new ones."""
        if out is None:
            return np.empty((n, self.n_in), np.float32), np.empty((n, self.n_out), np.float32)
        inputs, targets, _ = out
        shapes = inputs.shape == (n, self.n_in) and targets.shape == (n, self.n_out)
        types = inputs.dtype == _FLOAT32 == targets.dtype
        if not (shapes and types and inputs.flags.carray and targets.flags.carray):
            raise ValueError(
                f"out must hold writable float32 arrays of shapes {(n, self.n_in)} and {(n, self.n_out)}, "
                f"not {inputs.dtype} {inputs.shape} and {targets.dtype} {targets.shape}"
            )
        return inputs, targets

    def order(self, epoch: int, seed: int) -> np.ndarray:
        """The order of the training rows in one epoch: a pure function of (`seed`, `epoch`).

        Parameters
        ----------
        epoch, seed : int
            Each 0 or more.

        Returns
        -------
        numpy.ndarray
            int64, (n_train,): a permutation, the same on every machine and NumPy version.
        """
        return row_order(self.n_train, whole_number("epoch", epoch, 0), whole_number("seed", seed, 0))

    def batches(self, batch_size: int, seed: int = 0, epoch: int = 0) -> Iterator[Batch]:
        """The training split in the order of `epoch`, in batches; the last one may be shorter.

        Parameters
        ----------
        batch_size : int
            Samples per batch, 1 or more.
        seed, epoch : int
            See `order`.

        Yields
        ------
        Batch
            Each with arrays of its own.
        """
        size = whole_number("batch_size", batch_size, 1)
        rows = self.order(epoch, seed)
        return (self.batch("train", rows[start : start + size], epoch=epoch) for start in range(0, len(rows), size))

    @functools.cached_property
    def crc32(self) -> str:
        """A CRC-32 of the data, of the keys of their noise and augmentation, and of the labels of their classes."""
        crc = 0
        for drawn in (self.noise, self.augmentation):
            crc = crc if drawn is None else zlib.crc32(np.array(drawn.key).data, crc)
        for array in (*self.train, *self.test, *(origin for origin in self.origins if origin is not None)):
            crc = zlib.crc32(array.data, crc)
        crc = zlib.crc32(json.dumps(self.classes).encode(), crc) if self.classes else crc
        return f"{crc:08x}"

    def describe(self) -> dict[str, Any]:
        """What the task is, in plain values: for result files.

        Returns
        -------
        dict
            Name, settings, sizes, loss, standardisation, notes, and a CRC-32 of the data (and of the keys of
            their noise and augmentation), by which a resumed run can tell that it was given the same ones.
        """
        how = self.settings.get("standardise_targets", standard.AS_INPUTS)
        of_targets = None if self.classification else (how, self.target_affine, self.origins[1])
        described = {
            "name": self.name,
            "settings": dict(self.settings),
            "n_train": self.n_train,
            "n_test": self.n_test,
            "n_in": self.n_in,
            "n_out": self.n_out,
            "input_shape": list(self.input_shape),
            "classification": self.classification,
            "loss": self.loss,
            "standardise": standard.described(self.settings["standardise"], self.affine, self.origins[0], of_targets),
            "crc32": self.crc32,
            "notes": list(self.notes),
        }
        loss = losses.describe(self.loss_function)
        described.update({"loss_part": loss} if len(loss) > 1 else {})
        named = {"classes": list(self.classes), "columns": list(self.columns)}
        described.update({name: names for name, names in named.items() if names})
        described.update({} if self.origin is None else {"source": self.origin.source, "sha256": self.origin.sha256})
        return described


def make(
    name: str,
    splits: Iterable[Split],
    settings: Any,
    defaults: dict[str, Any],
    *,
    n_out: int = 0,
    white: int = 255,
    input_shape: tuple[int, ...] = (),
    notes: Iterable[str] = (),
    origins: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
    classes: tuple[str | int | bool, ...] = (),
    columns: Iterable[str] = (),
    seed: int = 0,
) -> Task:
    """A `Task` of its training and its test split.

    Parameters
    ----------
    settings : NamedTuple
        At least ``standardise`` and ``loss``; with values as targets ``standardise_targets`` too.
    n_out : int
        Number of classes; for values it is read from the targets.
    white : int
        The value of a white pixel, which ``standardise="unit"`` makes 1.
    origins, classes, columns
        See `Task`.
    seed : int
        Draws how images are shifted and mirrored, where the settings ask for that.

    Raises
    ------
    ValueError
        If there is nothing to standardise by: inputs, or target values, none of which ever varies.
    """
    train, test = splits
    affine = standard.affine(train.inputs, settings.standardise, white)
    if not affine[1].any():
        raise ValueError(f"task {name!r}: all training inputs are the same, so standardising leaves nothing")
    if train.targets.ndim == 2:
        n_out = train.targets.shape[1]
        target_affine = standard.affine(train.targets, "feature" if settings.standardise_targets else "none")
        if not target_affine[1].any():
            raise ValueError(f"task {name!r}: no target value ever varies: there is no std to be standardised by")
        target_affine[1, target_affine[1] == 0] = 1  # outputs that never vary are only shifted
    else:
        target_affine = np.stack([np.zeros(n_out, np.float32), np.ones(n_out, np.float32)])
    shape = tuple(input_shape) or train.inputs.shape[1:]
    return Task(
        name=name,
        train=train,
        test=test,
        loss=settings.loss,
        n_out=n_out,
        settings=settings._asdict(),
        affine=affine,
        target_affine=target_affine,
        defaults=defaults,
        input_shape=input_shape,
        notes=tuple(notes),
        augmentation=augmentation(settings, shape, affine, origins[0], seed),
        origins=origins,
        classes=classes,
        columns=tuple(columns),
    )
