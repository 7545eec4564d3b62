"""What the loops that change cells take: one record that says where everything is and what is true of it.

A stage is a loop that others call by its address, which is in the record: it is compiled by itself, once, and not again
inside of each of its callers. Each has one signature, whatever the device.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core.types import boolean, float32, int64

from noisysim.compute.jit.calls import RowType
from noisysim.compute.jit.places import ADDRESS
from noisysim.compute.layout import CELL_BLOCK

ARRAYS = ("targets", "chi", "now", "fresh", "since", "own", "stuck", "aimed", "weights", "variances")
"""Those of `noisysim.compute.cell_state.CellState`."""
TABLES = ("table", "tiles", "scales", "pulsing", "units")
ROWS = ("program", "level", "pulse", "drift", "deviation", "appearing")
"""A device's rows, and what each reads of its numbers, "program_numbers" and so on."""
FLAGS = (
    "paired", "verified", "faulty", "timed", "aims", "at_once", "apparent", "drifts", "deviates", "varies", "dated",
    "trained", "steps", "accumulates", "knows_targets",
)  # fmt: skip
"""What is true of all cells; varies: there are variances of reads to be brought up to date;
dated: it matters when a cell was written, or to which goal; trained: pulses come from trains; steps: cells move by
steps, not by pulses; accumulates: the controller keeps what is left of changes; knows_targets: it keeps targets."""
COUNTS = (
    "cells",  # in a side, of all chips
    "sides",
    "drawn_sides",  # those that have draws of write noise
    "fields",  # with own values
    "layers", "columns", "tile_count", "tile_columns", "slices", "bits", "verify_pulses", "pulse_limit",
    "numbers_size",
)  # fmt: skip
SHARES = ("g_min", "width", "tolerance", "reset_at", "step", "target_step", "line_std", "quantum")
PLACE = (
    "layer", "number",  # which block of cells, of which layer
    "first", "count",  # its first weight, counted in its layer, and how many they are
    "at",  # where its first cell is among those of all chips
    "target_at",  # and the target of its first weight: 0, where the block in work has room for its own alone
    "chip", "chips", "write",  # number of the write
    "sample",  # of an update of several, which its pulses come from
)  # fmt: skip
STAGES = (
    "retarget", "write_block", "verify_block", "verify_side", "pulse_block", "give_pulses", "reset_pairs",
    "age_block", "program_listed", "program_side", "settle", "date_listed", "date_side", "appear_listed", "bring_up",
    "refresh", "refresh_few", "add_side", "add_listed", "draw_listed",
    "draw_sides", "round_pulses", "mean_block", "fill_normals", "fill_uniforms", "add_block",
    "give_steps", "read_side", "read_targets", "modify_block", "round_targets",
)  # fmt: skip

KIT = np.dtype(
    [(name, ADDRESS) for name in (*ARRAYS, *TABLES, *ROWS, *(f"{row}_numbers" for row in ROWS), *STAGES, "work")]
    + [(name, np.int64) for name in (*COUNTS, *PLACE)]
    + [(name, np.bool_) for name in FLAGS]
    + [(name, np.float32) for name in SHARES]
    + [("k0", np.uint32), ("k1", np.uint32), ("clock", np.float64)],
    align=True,
)
"""The record: of one chip's block of cells at one time, its key, and the time of the write."""
RECORD: Any = numba.from_dtype(KIT) if ADDRESS is np.int64 else None
_ROW: Any = float32[::1]

BLOCK = RowType(RECORD, _ROW, boolean, returns=int64)
"""Stages that take a change of a block's weights, and whether every cell is written; they return a count."""
STAGE, COUNT = RowType(RECORD, int64, int64), RowType(RECORD, int64, int64, returns=int64)
"""The other stages: they take two numbers, mostly a side and how many are listed; some return a count."""

# Work arrays for one block of cells: where each starts in one buffer of 4-byte items
W = CELL_BLOCK + 16
G, UP, OUT, AGES, AIMS, SUMS, DRAWN = (k * W for k in range(7))  # what rows take and give, of cells that lie apart
MOVED = 7 * W  # which cells of a weight are written, a bit for each side; or the pulses that it gets
WHERE, MINE, UNITS = 8 * W, 9 * W, 10 * W  # lists of weights of the block, and the numbers of their draws or sides
GOALS, LEVELS = 11 * W, 13 * W  # before and after a change, and of a cell that holds nothing
BITS, Z = 15 * W, 31 * W  # what draws are made of, and those of all cells of up to `MOST_SIDES`
TARGETS = 47 * W  # of a block, while it is written, where the controller keeps none
OWN = 48 * W  # own values, row by row of `CELL_BLOCK`
MOST_SIDES = 16
