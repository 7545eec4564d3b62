"""What the loops of passes take: the network, the chips, a call, and the room of one thread, each a record.

A field in ``backticks`` of a comment is an array by its address (`noisysim.compute.jit.places`). Each record has every
field at all times: so a loop has one signature, and is compiled once for all devices.
"""

from numba.core.types import Tuple, UniTuple, boolean, float32, int64, uint32

from noisysim.compute.cpu.loops import draws
from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.records import RecordType

NET = RecordType(
    # tables of integers, whose columns `noisysim.compute.layout` names; addresses of the steps' functions, and of the
    # parts of a pass that are compiled by themselves; numbers and constants of operations, flat
    ("table", "geometry", "tiles", "steps", "groups", "values", "functions", "parts", "numbers", "constants"),
    {"layers": int, "keeps": int},  # `keeps`: values of a sample that are kept for later layers
)
"""A network on its tiles."""

CHIPS = RecordType(
    (
        "norms",  # shift and scale of normalised layers, (2, units of all chips)
        "weights", "variances", "rotations",  # flat; what belongs to one chip is where `place` says
        "ranges", "gains",  # (chips, tiles)
        "rows_own", "columns_own",  # own values, (fields, rows) and (fields, columns)
        "scales",  # what the output of each tile's lines is multiplied by
        "keys",  # of the noise, (chips, 2) uint32
        "now", "own", "states", "units",  # of cells that are read one by one (`noisysim.compute.protocols.ReadCells`)
        "functions", "numbers", "range_at",  # what the device brings (`noisysim.compute.cpu.row_types.Rows`)
    ),
    {
        "chips": int, "tile_count": int, "norm_units": int, "row_fields": int, "row_count": int, "column_fields": int,
        "column_count": int, "cell_fields": int, "cell_sides": int, "cell_count": int, "slices": int,
        "number_rows": int, "number_count": int,
        "varied": bool,  # cells add variance to reads
        "rotated": bool,  # inputs are decorrelated
        "scaled": bool,  # lines have scales
        "compensated": bool,  # the periphery makes up for drift
        "paired": bool,  # a weight has two cells
        "normal": bool, "uniform": bool,  # a line's read draws from N(0, 1), and from (0, 1)
        "cell_normal": bool, "cell_uniform": bool,  # the same of reads of single cells
        "dac_range": float, "waited": float, "interval": float,
    },
)  # fmt: skip
"""Chips as they stand (`noisysim.compute.protocols.Standing`)."""

CALL = RecordType(
    (
        "x",  # (samples, inputs), from sample `x_at` on
        "inputs",  # what drives arrays, flat (`noisysim.compute.cpu.loops.driving.driven_in`)
        "activities",  # (passes, flat)
        "perturbations",  # what drives add, flat
        "places",  # where each part of it is, (passes, layers, 3), -1 for none: to lines, to hidden outputs, to weights
        "fork",  # the layer at which each pass parts from pass 0
        "masks",  # what hidden outputs are multiplied by, flat
        "peaks",  # (chips, tiles), raised to the largest values read
        "outputs",  # of networks whose periphery makes the output of the last lines, (passes, samples, values)
        "kept",  # values that later layers need, of each pass, flat
    ),
    {
        "x_at": int, "samples": int, "passes": int, "values": int,  # activities of a pass
        "first_sample": int, "first_pass": int,
        "masked": bool,
        "digital": bool,  # perturbations of lines enter after the ADC
        "convert": bool,  # the ADC converts
    },
)  # fmt: skip
"""A call of passes. Of a perturbation of weights the line's part is room for what it amounts to."""

ROOM = RecordType(
    (
        "values",  # what steps write
        "part",  # what drives the cells of a tile
        "product", "energy",  # of lines, for one or two sides
        "turned",  # what `multiply` transposes
        "rotated", "z", "u", "bits", "line", "mixed",
        "driven",  # what later passes are driven with that no observation keeps
        "numbers",  # the device's numbers with a tile's range among them
        "step",  # of a recurrent layer: outputs and states, and what drives its second array
    ),
    {
        "lines": int,  # values of a side's product
        "sides": int,  # 2 where passes can share a product
        "spare": int,  # values of a pass in `driven`, 0 where observations keep all
    },
)  # fmt: skip
"""Work arrays of one thread, for one block of samples."""

# Parts of a pass. A function that is called by name is compiled once more in each that calls it.
DRIVE_LAYER, READ_TILE, READ_ROWS, READ_BY_CELL, MULTIPLY, NORMALS, UNIFORMS, RUN_RECURRENCE = range(8)
PARTS = 8
_RECORDS = (NET.compiled, CHIPS.compiled, CALL.compiled, ROOM.compiled)
_PAIR, _LINES = UniTuple(int64, 2), float32[:, ::1]
COUNTER = Tuple((int64, int64, int64, int64, uint32, uint32))
"""First sample, pass, layer, tile, and the key: what noise is counted by."""
PART_TYPES = (
    RowType(int64, _PAIR, _PAIR, *_RECORDS),
    RowType(int64, int64, _PAIR, _PAIR, *_RECORDS),
    RowType(_LINES, _LINES, _LINES, boolean, COUNTER, int64, int64, int64, float32, *_RECORDS, _LINES, returns=float32),
    RowType(COUNTER, _LINES, int64, int64, int64, _PAIR, *_RECORDS, _LINES),
    RowType(_LINES, _LINES, _LINES, int64),
    draws.FILL,
    draws.FILL,
    RowType(int64, _PAIR, _PAIR, *_RECORDS),
)
