"""Validation data of a run: a share of the training split, which is not learned from, or arrays beside the task's."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from noisysim.common.arguments import argument
from noisysim.common.fields import Field, check, check_names, shown
from noisysim.common.types import Ints
from noisysim.tasks import Task
from noisysim.tasks.further import further_split
from noisysim.tasks.rows import VALIDATION, permutation

ValidationLike = float | str | tuple[npt.ArrayLike, npt.ArrayLike] | Mapping[str, Any] | None
"""What `noisysim.run` takes: a share, arrays (x, y), or what a result file has of either."""
SHARE = Field("", 0.0001, 0.9999, "share of the training split")


@dataclass(frozen=True)
class Validation:
    """What a run is validated on.

    Attributes
    ----------
    samples : int
    share : float
        Of the training split; 0 if the data are arrays.
    crc32 : str
        Of the arrays; "" if there are none.
    """

    samples: int
    share: float = 0.0
    crc32: str = ""

    def describe(self) -> dict[str, Any]:
        """The record in a result file."""
        kind = {"share": self.share} if self.share else {"crc32": self.crc32}
        return {**kind, "samples": self.samples}

    def split(self, n_train: int, seed: int) -> tuple[Ints, Ints]:
        """Rows of the training split that are learned from, and those that are held back, drawn by the seed; sorted.

        Classes are not balanced. Of arrays nothing is held back: the second are the rows of these.
        """
        if not self.share:
            return np.arange(n_train), np.arange(self.samples)
        rows = permutation(n_train, seed, VALIDATION)
        return np.sort(rows[self.samples :]), np.sort(rows[: self.samples])


def resolve(spec: ValidationLike, task: Task) -> tuple[Validation | None, Task]:
    """What a run is validated on, and the task that holds the data.

    Raises
    ------
    ValueError, TypeError
        For a share that leaves no sample on one side, and for arrays that are not like the task's.
    """
    if isinstance(spec, str):
        try:
            spec = float(spec)
        except ValueError:
            raise ValueError(f"{argument('run.validation')} must be a share such as 0.1, not {shown(spec)}") from None
    if spec is None:
        return None, task
    if isinstance(spec, Mapping):
        check_names("run.validation", spec, ("share", "samples", "crc32"))
        if "share" not in spec:
            raise ValueError(
                f"this run was validated on arrays that its file does not hold: give {argument('validation=(x, y)')}"
            )
        spec = spec["share"]
    if isinstance(spec, (tuple, list)):
        return _of_arrays(spec, task)
    if isinstance(spec, np.ndarray):
        raise TypeError(
            f"{argument('run.validation')} must be a share such as 0.1, or arrays (x, y), not one of shape {spec.shape}"
        )
    share = check("run", "validation", spec, SHARE)
    samples = max(1, round(share * task.n_train))
    if samples >= task.n_train:
        raise ValueError(
            f"{argument(f'run.validation={share:g}')} of {task.n_train} training samples leaves none to learn "
            "from: take less"
        )
    return Validation(samples, share), task


def _of_arrays(arrays: Sequence[npt.ArrayLike], task: Task) -> tuple[Validation, Task]:
    """Arrays as a third split of a task, in the form of its others."""
    if len(arrays) != 2:
        raise ValueError(
            f"{argument('run.validation')} must be a share such as 0.1, or arrays (x, y), not {len(arrays)} values"
        )
    try:
        split = further_split(task, *arrays)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{argument('run.validation')}: {error}") from None
    crc = 0
    for array in split:
        crc = zlib.crc32(array.data, crc)
    loss: Any = task.loss_function  # which a task takes as well as a name
    return Validation(len(split.inputs), crc32=f"{crc:08x}"), replace(task, loss=loss, validation=split)
