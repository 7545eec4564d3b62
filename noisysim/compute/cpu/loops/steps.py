"""Periphery steps: what is computed of values between arrays, each a function that a plan calls by address.

A step takes a layer's row of `geometry`, its units, the value that it reads and the one that it writes, (samples,
values) each, and one more array: normalisation, masks or what a drive adds, where it takes one.
"""

from collections.abc import Callable
from typing import Any

from numba.core.types import float32, int64

from noisysim.compute.cpu.loops import images, rows
from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.compiling import bare
from noisysim.compute.layout import CHANNELS, POSITIONS

TYPE = RowType(int64[::1], int64, float32[:, ::1], float32[:, ::1], float32[:, :])


@bare()
def channels_last(g, units, values, out, more):
    """Images channel by channel to images pixel by pixel."""
    images.channels_last(values, g[CHANNELS], out)


@bare()
def unfold(g, units, values, out, more):
    """The patch at every position."""
    rows = values.shape[0] * g[POSITIONS]
    images.unfold(values, g, out.reshape((rows, out.size // max(rows, 1))))


@bare()
def pool(g, units, values, out, more):
    """The largest value of each window and unit."""
    images.pool(values, units, g, out)


@bare()
def normalise(g, units, values, out, more):
    """(value - shift) scale, unit by unit; `more` are shift and scale, (2, units)."""
    count = values.size // max(units, 1)
    rows.normalise(values.reshape((count, units)), more, out.reshape((count, units)))


@bare()
def drop(g, units, values, out, more):
    """Values times the masks of dropout."""
    for r in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[r, j] = values[r, j] * more[r, j]


@bare()
def perturb(g, units, values, out, more):
    """Values plus what a drive adds."""
    for r in range(values.shape[0]):
        for j in range(values.shape[1]):
            out[r, j] = values[r, j] + more[r, j]


STEPS: dict[str, Callable[..., Any]] = {
    "channels_last": channels_last, "unfold": unfold, "pool": pool, "normalise": normalise, "drop": drop,
    "perturb": perturb,
}  # fmt: skip
"""Those that do not depend on the network, by the names that plans give them."""
