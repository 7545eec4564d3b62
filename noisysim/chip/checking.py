"""Arguments of a chip as float32 arrays where it computes, or one clear error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from noisysim.common.array_types import is_array
from noisysim.common.fields import Field, as_list, check, shown
from noisysim.common.limits import SEED
from noisysim.common.plain_arrays import REAL, NonFiniteError, plain
from noisysim.common.types import Array, Floats
from noisysim.compute import backends, layered, seeding
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch
from noisysim.networks.tiling import Network

SAMPLES = 1 << 32
"""Samples of a call of passes that get independent noise: they are counted in 32 bits."""
FIRST_SAMPLE = Field("", 0, SAMPLES - 1, whole=True)
FLOAT32 = np.dtype(np.float32)
"""Compared with an array's type in every call: with NumPy's class the comparison would make this each time."""

Shape = tuple[int, ...]


class Checks:
    """Checks arrays of some chips.

    Parameters
    ----------
    net : Network
    chips : int
    backend : str

    Attributes
    ----------
    weight_shapes : list of (int, int)
        Of the weights of all chips, one per layer.
    """

    def __init__(self, net: Network, chips: int, backend: str):
        self.net, self.chips = net, chips
        self._backend, self._host = backends.get(backend), backends.get("cpu").ops
        self.weight_shapes: list[Shape] = [(chips * n_out, n_in) for n_out, n_in in net.shapes]
        self._expected: dict[tuple[str, int], list[Shape]] = {}

    def inputs(self, x: object) -> Floats:
        """Inputs, (batch, n_in), or those of a task's batch."""
        x = self.array("inputs", x.inputs if isinstance(x, Batch) else x)
        if x.ndim != 2 or x.shape[1] != self.net.sizes[0] or not len(x):
            raise ValueError(f"inputs must have the shape (batch, {self.net.sizes[0]}), not {x.shape}")
        if len(x) % self.chips:
            raise ValueError(f"{self.chips} chips need as many samples each: {len(x)} cannot be shared out")
        if len(x) // self.chips > SAMPLES:
            raise ValueError(f"a chip takes {SAMPLES} samples in one call at most, not {len(x) // self.chips}")
        self.finite("inputs", x)
        return self._put(x)

    def targets(self, batch: Batch, rows: int) -> Floats:
        """A batch's targets, (batch, n_out)."""
        targets = self.array("targets", batch.targets)
        if targets.shape != (rows, self.net.n_out):
            raise ValueError(f"targets have shape {targets.shape}, the chip gives {(rows, self.net.n_out)}")
        return self._put(targets)

    def fits(self, array: Array, shape: Shape) -> bool:
        """Whether an array is such as `piece` gives: nothing in it is to be converted, moved or refused."""
        own = type(array) is self._backend.xp.ndarray and array.dtype == FLOAT32
        if not own or array.shape != shape or not array.flags.c_contiguous:
            return False
        return not self._backend.HOST_MEMORY or self._host.all_finite(array)

    def piece(self, name: str, array: Array, shape: Shape) -> Floats:
        """A part of a drive, of this shape."""
        array = self.array(name, array)
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
        self.finite(name, array)
        return self._put(array)

    def first_sample(self, first_sample: Any, samples: int, passes: int, passes_before: int) -> int:
        """Where a call resumes the passes of the call before: noise is counted from there."""
        first_sample = check("", "first_sample", first_sample, FIRST_SAMPLE)
        if first_sample + samples > SAMPLES:
            raise ValueError(f"first_sample={first_sample}: noise would repeat after {SAMPLES} samples")
        if first_sample and passes_before < passes:
            raise ValueError(f"first_sample={first_sample} resumes the passes of a call before: there is none")
        return int(first_sample)

    def array(self, name: str, array: Any) -> Floats:
        """Contiguous float32 numbers, on the GPU if they are there."""
        if type(array) is np.ndarray and array.dtype == FLOAT32 and array.flags.c_contiguous:
            return array
        if is_array(array) and type(array) is not np.ndarray:
            if self._backend.HOST_MEMORY:
                raise TypeError(f"{name} are on a GPU; this chip is on the CPU: make it with backend='cuda'")
            on_gpu = self._backend.xp.asarray(array)  # another library's too, without a copy
            if on_gpu.dtype.kind not in REAL:
                raise TypeError(f"{name} must hold real numbers, not {on_gpu.dtype}")
            numbers: Floats = self._backend.xp.ascontiguousarray(on_gpu, np.float32)
            return numbers
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(plain(name, array), np.float32)

    def finite(self, name: str, array: object) -> None:
        """Refuse NaN and infinity in a float32 array that is not on a GPU: there the check would wait for the GPU."""
        if type(array) is np.ndarray and not self._host.all_finite(array):
            raise NonFiniteError(f"{name} hold NaN, infinite or too large values")

    def updates(self, updates: object) -> Layered:
        """Changes of all weights; non-finite ones, on a GPU too, would stay for good."""
        changes = self.layers("updates", updates, self.weight_shapes)
        if not self._backend.ops.all_finite(changes.flat):
            raise NonFiniteError("updates hold NaN, infinite or too large values: no cell was changed")
        return changes

    def observed(self, name: str, arrays: object, shape: Callable[[int, int], Shape]) -> Layered:
        """Arrays of a pass, one per layer, of the shapes that `shape` gives for a layer and the first one's samples."""
        if not isinstance(arrays, Layered) and (not isinstance(arrays, Sequence) or isinstance(arrays, str)):
            raise TypeError(f"{name} must be a list of arrays, one per layer, not {shown(arrays)}")
        rows = (arrays[0].shape if isinstance(arrays, Layered) else np.shape(arrays[0])) if len(arrays) else ()
        if not rows or not rows[0] or rows[0] % self.chips:
            raise ValueError(f"{name} must be arrays of the samples of a pass, one per layer, not {shown(arrays)}")
        if (name, rows[0]) not in self._expected:
            self._expected = {(name, rows[0]): [shape(layer, rows[0]) for layer in range(self.net.depth)]}
        checked = self.layers(name, arrays, self._expected[name, rows[0]])
        self.finite(name, checked.flat)
        return checked

    def layers(self, name: str, arrays: object, shapes: Sequence[Shape]) -> Layered:
        """Arrays of these shapes, one per layer, where the chip is: themselves, if they are a `Layered` that fits."""
        if not isinstance(arrays, Layered) and (not isinstance(arrays, Sequence) or isinstance(arrays, str)):
            raise TypeError(f"{name} must be a list of arrays, one per layer, not {shown(arrays)}")
        fits = type(arrays) is Layered and type(arrays.flat) is self._backend.xp.ndarray
        placed = arrays if fits else [self._put(self.array(name, array)) for array in arrays]
        placed_shapes = [array.shape for array in placed]
        if placed_shapes != list(shapes):
            raise ValueError(f"{name} must have the shapes {shown(list(shapes))}, not {shown(placed_shapes)}")
        joined = layered.layered(placed)
        if joined.flat.dtype != FLOAT32 or joined.flat.size != sum([array.size for array in placed]):
            raise ValueError(f"{name} are in a buffer that does not fit them: {joined.flat.dtype} {joined.flat.shape}")
        return joined

    def _put(self, array: Array) -> Floats:
        placed: Floats = self._backend.put(array)
        return placed


def check_seeds(seed: object, chips: int) -> seeding.Seeds:
    """The seed of all chips, or one for each."""
    seed = as_list(seed)
    if isinstance(seed, (str, bytes)) or not isinstance(seed, Sequence):
        return int(check("", "seed", seed, SEED))
    if len(seed) != chips:
        raise ValueError(f"seed must be one number, or one for each of {chips} chips, not {len(seed)} of them")
    return tuple(check("", "seed", of_chip, SEED) for of_chip in seed)
