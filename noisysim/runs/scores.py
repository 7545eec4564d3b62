"""Scores of a test: loss, accuracy or R2, and which classes were taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noisysim.common.texts import printable
from noisysim.common.types import Array, Doubles, Ints
from noisysim.tasks import Task

MOST_SHOWN = 20
"""Classes of which a table shows the confusion matrix; of more it lists the commonest confusions."""
WIDEST = 12
"""Characters of a label in the table."""


@dataclass(frozen=True, eq=False)
class Scores:
    """How well a chip did in a test; its repr is a table. Of several chips each array has one more axis first.

    Attributes
    ----------
    samples : int
    loss : float or numpy.ndarray
        Mean over the samples, on standardised targets; of several chips (chips,).
    accuracy : float or numpy.ndarray
        Share of the samples whose class was named; NaN for a regression.
    r2 : float or numpy.ndarray
        1 - sum (y - p)^2 / sum (y - mean y)^2, sums over samples and outputs, of standardised targets; NaN for a
        classification.
    r2_by_output : numpy.ndarray
        The same of each output, (n_out,); NaN where targets are constant. Empty for a classification.
    confusion : numpy.ndarray
        Samples of each class, a row, that were taken for each class, a column: (classes, classes) int64. Empty for a
        regression.
    classes : tuple
        The labels of the rows and columns.
    """

    samples: int
    loss: float | Doubles
    accuracy: float | Doubles
    r2: float | Doubles
    r2_by_output: Doubles
    confusion: Ints
    classes: tuple[str | int | bool, ...]

    def __repr__(self) -> str:
        how = f"accuracy {_spread(self.accuracy, 100)} %" if self.classes else f"R2 {_spread(self.r2, 1)}"
        lines = [f"{self.samples:,} samples: loss {_spread(self.loss, 1)}, {how}"]
        if self.classes:
            together = self.confusion.reshape(-1, len(self.classes), len(self.classes)).sum(axis=0)
            lines += _table(together, self.classes) if len(self.classes) <= MOST_SHOWN else _list(
                together, self.classes
            )  # fmt: skip
        elif self.r2_by_output.shape[-1] > 1:
            each = np.atleast_2d(self.r2_by_output).mean(axis=0)
            lines.append("R2 by output: " + ", ".join(f"{value:.3g}" for value in each[:MOST_SHOWN]))
        return "\n".join(lines)


def scores(task: Task, outputs: Array, targets: Array) -> Scores:
    """Scores of outputs, (chips, samples, n_out), with targets (samples, n_out), standardised or one-hot."""
    loss = np.array([task.loss_function(of_chip, targets).mean() for of_chip in outputs])
    nothing = np.full(len(outputs), np.nan)
    if task.classification:
        truth, named = targets.argmax(axis=1), outputs.argmax(axis=2)
        confusion = np.stack([_confusion(truth, of_chip, task.n_out) for of_chip in named])
        accuracy = (named == truth).mean(axis=1)
        classes = task.classes or tuple(range(task.n_out))
        return Scores(
            len(targets), _of_each(loss), _of_each(accuracy), _of_each(nothing), np.zeros(0),
            confusion if len(outputs) > 1 else confusion[0], classes,
        )  # fmt: skip
    squares = np.stack([_squares(of_chip.astype(float), targets.astype(float)) for of_chip in outputs])
    by_output, r2 = _share_explained(squares), _share_explained(squares.sum(axis=2))
    each = by_output if len(outputs) > 1 else by_output[0]
    return Scores(
        len(targets), _of_each(loss), _of_each(nothing), _of_each(r2), each, np.zeros((0, 0), np.int64), ()
    )  # fmt: skip


def _of_each(values: Doubles) -> float | Doubles:
    """A value of each chip, of one alone as Python's own number."""
    return values if len(values) > 1 else float(values[0])


def _confusion(truth: Ints, named: Ints, classes: int) -> Ints:
    """How often each class was taken for each."""
    counts: Ints = np.bincount(truth * classes + named, minlength=classes * classes).reshape(classes, classes)
    return counts


def _squares(outputs: Doubles, targets: Doubles) -> Doubles:
    """Of each output the sums of squares of what was missed, and about the mean of the targets: (2, n_out)."""
    return np.stack([((targets - outputs) ** 2).sum(axis=0), ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)])


def _share_explained(squares: Doubles) -> Doubles:
    """R2 of such sums, (chips, 2, ...); NaN where the targets never vary."""
    missed, spread = squares[:, 0], squares[:, 1]
    r2: Doubles = np.where(spread > 0, 1 - missed / np.where(spread > 0, spread, 1), np.nan)
    return r2


def _spread(values: float | Doubles, factor: float) -> str:
    """A value; of several chips mean and standard deviation."""
    numbers = np.atleast_1d(values) * factor
    if numbers.size == 1:
        return f"{numbers[0]:.4g}"
    return f"{numbers.mean():.4g} +- {numbers.std(ddof=1):.2g}"


def _table(confusion: Ints, classes: Sequence[object]) -> list[str]:
    """The confusion matrix with the labels of rows and columns, and the share of each row that is right."""
    labels = [printable(label)[:WIDEST] for label in classes]
    width = max(4, *map(len, labels), *(len(str(n)) for n in confusion.ravel()))
    first = max(len("true"), *map(len, labels))
    lines = [
        f"{'':>{first}}  named",
        f"{'true':>{first}}  " + " ".join(f"{label:>{width}}" for label in labels) + "  right",
    ]
    for label, row, right in zip(labels, confusion, np.diag(confusion), strict=True):
        share = f"{100 * right / row.sum():.1f} %" if row.sum() else "-"
        lines.append(f"{label:>{first}}  " + " ".join(f"{n:>{width}}" for n in row) + f"  {share}")
    return lines


def _list(confusion: Ints, classes: Sequence[object]) -> list[str]:
    """The commonest confusions."""
    wrong = confusion - np.diag(np.diag(confusion))
    lines = [f"{len(classes)} classes; commonest confusions:"]
    for k in np.argsort(wrong, axis=None)[::-1][:5]:
        truth, named = divmod(int(k), len(classes))
        if wrong[truth, named]:
            lines.append(f"{printable(classes[truth])} named {printable(classes[named])}: {wrong[truth, named]}")
    return lines
