"""`Feed`: batches of a task where chips compute, for several chips at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np

from noisysim.common.plain_arrays import NonFiniteError
from noisysim.compute import backends, gpu
from noisysim.compute.cpu.loops import gather
from noisysim.compute.observation import Batch, Gathered
from noisysim.tasks.base import Split, Task, whole_number

AT_ONCE, BATCHES = 1 << 16, 256
"""Most values, and most batches, that are gathered together: they stay in the cache until they are learned from."""


class Several(NamedTuple):
    """Batches that were gathered together.

    Attributes
    ----------
    whole : Batch
        Their samples, one batch after another.
    parts : sequence of Gathered
        Each of them, in the same memory.
    """

    whole: Batch
    parts: Sequence[Gathered]

    def some(self, first: int, count: int) -> Batch:
        """The samples of some of the batches, which are of one size."""
        size = len(self.parts[first].inputs)
        return _part(self.whole, first * size, (first + count) * size)


class Feed:
    """Batches of a task, the samples of each repeated chip after chip.

    A GPU keeps the data in their own type, and is sent the numbers of rows alone; a split that would take more than
    half of its free memory, or is augmented, is gathered on the host.

    Parameters
    ----------
    task : Task
    backend : str
        Where the chips compute: a name that `noisysim.compute.backends.get` takes.
    chips : int
        How many of them learn side by side.
    """

    def __init__(self, task: Task, backend: str = "cpu", chips: int = 1):
        self.task, self.chips = task, chips
        self._place = backends.get(backend)
        self._affines = [self._place.put(affine) for affine in (task.affine, task.target_affine)]
        self._batches: dict[int, Batch] = {}
        self._staged: dict[int, Batch] = {}
        self._data: dict[str, Split | None] = {}
        self._whole, self._parts = self._room(0), list[Gathered]()  # several batches in one, and each of them

    def batches(self, split: str, rows: np.ndarray, size: int, first: int = 0, epoch: int = 0) -> Iterator[Several]:
        """Batches of rows in their order, the last one perhaps shorter; small ones are gathered together.

        Parameters
        ----------
        split, epoch
            As `batch` takes them.
        rows : numpy.ndarray
            (n,), or (chips, n), of each chip its own.
        size : int
            Rows of a batch, of each chip.
        first : int
            The batch to begin with.

        Yields
        ------
        Several
            Without NaN or infinity; their arrays are overwritten for later ones.

        Raises
        ------
        NonFiniteError
            For inputs on the host that are non-finite once they are standardised.
        """
        steps, values = -(-rows.shape[-1] // size), size * self.chips * (self.task.n_in + self.task.n_out)
        most = min(AT_ONCE // values, BATCHES) if self._place.HOST_MEMORY else 1
        while first < steps:
            count = min(most, rows.shape[-1] // size - first)
            if count > 1:
                yield self._gather_together(split, rows[..., first * size : (first + count) * size], size, epoch)
                first += count
            else:
                batch = self.batch(split, rows[..., first * size : (first + 1) * size], epoch=epoch)
                self._check(batch)
                yield Several(batch, [Gathered(*batch)])
                first += 1

    def _gather_together(self, split: str, rows: np.ndarray, size: int, epoch: int) -> Several:
        """Several batches of `size` rows a chip."""
        count, each = rows.shape[-1] // size, size * self.chips
        if len(self._parts) < count or len(self._parts[0].inputs) != each:
            self._whole = self._room(count * each)
            self._parts = [Gathered(*_part(self._whole, k * each, (k + 1) * each)) for k in range(count)]
        # batch by batch, and in each chip by chip
        by_chip = np.broadcast_to(rows.reshape(-1, count, size), (self.chips, count, size))
        several = _part(self._whole, 0, count * each)
        self.task.batch(split, by_chip.swapaxes(0, 1).ravel(), several, epoch)
        self._check(several)
        return Several(several, self._parts[:count])

    def _check(self, batch: Batch) -> None:
        """Refuse inputs that a chip would refuse; on a GPU the check would wait for them."""
        if self._place.HOST_MEMORY and not self._place.ops.all_finite(batch.inputs):
            raise NonFiniteError("inputs hold NaN, infinite or too large values")

    def batch(self, split: str, rows: slice | np.ndarray, epoch: int = 0, reuse: bool = True) -> Batch:
        """Samples of a split, standardised and ready for a pass.

        Parameters
        ----------
        split, rows, epoch
            As `noisysim.tasks.base.Task.batch` takes them; it refuses the same. Rows (chips, n) are each chip's own.
        reuse : bool
            Whether the arrays of an earlier batch of as many rows are overwritten and handed out again.

        Returns
        -------
        Batch
            float32 inputs (chips x rows, n_in) and targets (chips x rows, n_out), and the loss.
        """
        copies = self.chips
        if isinstance(rows, np.ndarray) and rows.ndim == 2:
            copies, rows = 1, rows.ravel()
        index = self.task.index(split, rows)
        out = self._batches.get(copies * len(index)) if reuse else None
        if out is None:
            out = self._room(copies * len(index))
        if self._place.HOST_MEMORY:
            self._gather(split, index, copies, epoch, out)
        elif (data := self._resident(split)) is not None:
            self._gather_on_gpu(data, split, index, copies, epoch, out)
        else:
            self._send(split, index, copies, epoch, out)
        if reuse:
            self._batches[copies * len(index)] = out
        return out

    def _room(self, rows: int) -> Batch:
        """A batch of `rows` samples, not filled."""
        empty = self._place.xp.empty
        inputs, targets = (empty((rows, width), np.float32) for width in (self.task.n_in, self.task.n_out))
        return Batch(inputs, targets, self.task.loss_function)

    def _gather(self, split: str, index: np.ndarray, copies: int, epoch: int, out: Batch) -> None:
        """On the host, for chips there."""
        if copies == 1:
            self.task.batch(split, index, out, epoch)
            return
        n = len(index)
        self.task.batch(split, index, Batch(out.inputs[:n], out.targets[:n], out.loss), epoch)
        for array in (out.inputs, out.targets):
            array.reshape(copies, n, -1)[1:] = array[:n]

    def _send(self, split: str, index: np.ndarray, copies: int, epoch: int, out: Batch) -> None:
        """On the host, for chips on a GPU."""
        n = len(index)
        batch = self._staged[n] = self.task.batch(split, index, self._staged.get(n), epoch)
        for array, source in ((out.inputs, batch.inputs), (out.targets, batch.targets)):
            array.reshape(copies, n, -1)[...] = self._place.put(source)

    def _gather_on_gpu(self, data: Split, split: str, index: np.ndarray, copies: int, epoch: int, out: Batch) -> None:
        """On the GPU that has the data."""
        from noisysim.compute.cuda import specialised
        from noisysim.compute.cuda.kernels.target import launch

        n, task, loops = len(data.inputs), self.task, specialised.gather()
        if (outside := gather.first_outside(index, n)) >= 0:
            raise task.outside(split, index[outside])
        rows = self._place.put(index % n)
        n_inputs, n_targets = len(index) * task.n_in, len(index) * task.n_out
        launch(loops.standardised, n_inputs, data.inputs, rows, self._affines[0], copies, out.inputs)
        if task.classification:
            launch(loops.one_hot, n_targets, data.targets, rows, copies, out.targets)
        else:
            launch(loops.standardised, n_targets, data.targets, rows, self._affines[1], copies, out.targets)
        if task.noise is not None and split == "train":
            task.noise.add_on_gpu(out.inputs, rows, whole_number("epoch", epoch, 0), copies)

    def _resident(self, split: str) -> Split | None:
        """A split's data on the GPU, brought there when first asked for; ``None`` of one too large
        or gathered on the host for its augmentation."""
        if split == "validation" and self.task.validation is None:
            return self._resident("train")
        if split not in self._data:
            inputs, targets = self.task.split(split)
            same = targets is inputs
            drawn_anew = split == "train" and self.task.augmentation is not None
            if drawn_anew or 2 * (inputs.nbytes + (0 if same else targets.nbytes)) > free_bytes(self._place.xp):
                self._data[split] = None
            else:
                placed = self._place.put(inputs)
                self._data[split] = Split(placed, placed if same else self._place.put(targets))
        return self._data[split]


def _part(batch: Batch, first: int, last: int) -> Batch:
    """Some samples of a batch, in the same memory."""
    return batch._replace(inputs=batch.inputs[first:last], targets=batch.targets[first:last])


def free_bytes(xp: ModuleType) -> float:
    """Free memory of the GPU; unlimited on the simulated one."""
    return math.inf if gpu.SIMULATED else xp.cuda.runtime.memGetInfo()[0]
