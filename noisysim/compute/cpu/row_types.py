"""What a device and a network bring to the loops: a function for rows of numbers from each hook, called by address.

Rows are contiguous float32 arrays. `own` are the values that the parts of a chip have of their own, (fields, parts),
empty where they have none; `numbers` those of the device that the row reads.
"""

from typing import NamedTuple

from numba.core.types import boolean, float32, float64, int64, uint8

from noisysim.common.types import Floats, Ints
from noisysim.compute.jit.calls import RowType

_ROW, _OWN, _STATES = float32[::1], float32[:, :], uint8[::1]

# Places in `Rows`, one for each hook or pair of hooks that makes a row
DAC, CURRENT, READ, CELL, JUMP, LEVEL, PROGRAM, PULSE, DRIFT, STD, SIZED, APPEAR = range(12)
HOOK_ROWS = 12

TYPES = (
    RowType(_ROW, _ROW, float32, _OWN, _ROW),  # inputs, out, full scale, own, numbers
    RowType(_ROW, _ROW, float32, _ROW),  # inputs, out, full scale, numbers
    RowType(_ROW, _ROW, _ROW, _ROW, int64, boolean, _OWN, _ROW, _ROW),  # line, energy, z, u, units, convert, own, out
    RowType(_ROW, _ROW, _STATES, _OWN, _ROW, _ROW, _ROW, returns=float32),  # inputs, cells, states, own, z, u, numbers
    RowType(_STATES, _OWN, _ROW, float32, _ROW),  # states, own, u, seconds, numbers
    RowType(_ROW, _ROW, _ROW),  # goals, out, numbers
    RowType(_ROW, _ROW, _OWN, _ROW, _ROW),  # goals, z, own, out, numbers
    RowType(_ROW, _ROW, _ROW, _OWN, _ROW, _ROW),  # conductances, directions, z, own, out, numbers
    RowType(_ROW, _ROW, _ROW, _OWN, _ROW, _ROW),  # as written, ages, aims, own, out, numbers
    RowType(_ROW, _ROW, _ROW, _OWN, _ROW, _ROW),  # conductances, ages, aims, own, out, numbers
    RowType(_ROW, _ROW, _ROW, _OWN, _ROW, _ROW),  # as of PULSE; the last own value is the size of the step
    RowType(_ROW, _ROW, _OWN, _ROW, _ROW),  # states, z, own, out, numbers
)
"""Of the rows of hooks, by place."""


SHARE = RowType(float64[::1], float64[::1], float64, float64[::1])
"""Of the row that a learning rule brings: loss changes, sizes, units, out."""


class Rows(NamedTuple):
    """What a device brings, by place.

    Attributes
    ----------
    functions : numpy.ndarray
        Addresses, int64; 0 where a device does not have the hook.
    numbers : numpy.ndarray
        What each row reads of the device's numbers, (places, most fields) float32.
    range_at : numpy.ndarray
        Where the full scale of the ADC is among these, int64; -1 where the row does not read it.
    """

    functions: Ints
    numbers: Floats
    range_at: Ints
