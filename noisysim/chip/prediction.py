"""Outputs of some chips for many samples: passes over parts of them, averaged over reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from noisysim.chip.checking import Checks
from noisysim.common.array_types import is_array
from noisysim.common.fields import Field, check
from noisysim.common.plain_arrays import plain
from noisysim.common.types import Floats
from noisysim.compute import backends
from noisysim.compute.execution import BLOCK_ROWS
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.networks.tiling import Network

READS = Field("", 1, 10**6, whole=True)
MOST_VALUES = 1 << 25
"""Values that a part of the samples makes a chip observe at most, unless it is a single one."""
MOST_BLOCKS = 16
"""Blocks of rows that go through at once at most."""


class Reads(Protocol):
    """A chip, as far as passes go."""

    chips: int
    network: Network
    backend: str

    def passes(
        self, batch: npt.ArrayLike, drives: Sequence[Drive], out: Sequence[Observation] | None = None, *,
        first_sample: int = 0,
    ) -> Sequence[Observation]: ...  # fmt: skip


def predict(chip: Reads, checks: Checks, x: Batch | npt.ArrayLike, n_reads: int) -> Floats:
    """Mean outputs, (batch, n_out), of several chips (chips, batch, n_out): `noisysim.Chip.predict`."""
    reads = check("", "n_reads", n_reads, READS)
    if isinstance(x, Batch):
        x = x.inputs
    on_gpu = is_array(x) and not isinstance(x, np.ndarray)
    samples = plain("x", backends.backend_of(x).take(x) if on_gpu and is_array(x) else x)
    shape = chip.network.input_shape
    if samples.ndim > 2 and samples.shape[1:] == shape:
        samples = samples.reshape(len(samples), -1)
    if samples.ndim != 2 or samples.shape[1] != chip.network.sizes[0] or not len(samples):
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"x must have the shape (batch, {wanted}) with one sample or more, not {samples.shape}")
    inputs = checks.array("x", samples)
    checks.finite("x", inputs)
    take, size = backends.get(chip.backend).take, samples_at_once(chip.network, chip.chips)
    total = np.zeros((chip.chips, len(inputs), chip.network.n_out))
    for _ in range(reads):
        observed: Sequence[Observation] | None = None
        for first in range(0, len(inputs), size):
            part = np.tile(inputs[first : first + size], (chip.chips, 1))
            observed = chip.passes(part, [Drive()], observed, first_sample=first)
            total[:, first : first + size] += take(observed[0].output).reshape(chip.chips, -1, total.shape[-1])
    mean: Floats = (total / reads).astype(np.float32)
    return mean if chip.chips > 1 else mean[0]


def samples_at_once(net: Network, chips: int) -> int:
    """Samples of each chip in a part: a power of two; from 512 on blocks of rows are cut as they are of the whole."""
    values = chips * sum(p * (a + b) for p, (a, b) in zip(net.positions, net.shapes, strict=True))
    most = min(MOST_VALUES // values, MOST_BLOCKS * BLOCK_ROWS)
    return 1 << max(most.bit_length() - 1, 0)
