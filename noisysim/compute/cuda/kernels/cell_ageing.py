"""What time makes of cells, and what keeps account of it: when each was written, and as what."""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.cell_places import weight_at
from noisysim.compute.cuda.kernels.cell_weights import refresh
from noisysim.compute.cuda.kernels.target import device, kernel
from noisysim.compute.rules.device import aged, with_cell
from noisysim.compute.rules.flags import AIMED, APPARENT, FAULTY, HAS_DRIFT, PAIRED, TIMED


@device
def hold_stuck(now, stuck, side, k):
    """Put a stuck cell back to where it is."""
    if FAULTY and not math.isnan(stuck[side, k]):
        now[side, k] = stuck[side, k]


@device
def bring_up(cells, side, k, clock, d):
    """Make one cell what it is at a time."""
    now, fresh, since, own, stuck, aimed = cells
    if HAS_DRIFT:
        aim = aimed[side, k] if AIMED else fresh[side, k]
        age, mine = np.float32(clock - since[side, k]), with_cell(d, own, side * now.shape[1] + k)
        now[side, k] = aged(fresh[side, k], age, aim, mine)
        hold_stuck(now, stuck, side, k)


@device
def settle_pulsed(cells, side, k, clock):
    """After pulses to a cell: its age starts anew, unless it is stuck."""
    now, fresh, since, _, stuck, aimed = cells
    hold_stuck(now, stuck, side, k)
    if AIMED:  # at nothing but what it has become
        aimed[side, k] = now[side, k]
    if TIMED:
        if not APPARENT:
            fresh[side, k] = now[side, k]
        since[side, k] = clock


@kernel
def age_cells(
    first, last, now, fresh, since, own, stuck, aimed, weights, variances, table, tiles, units, span, clock, chips, d
):  # fmt: skip
    """Bring weights first..last - 1, whole layers, and their cells to what they are at a time."""
    cells = (now, fresh, since, own, stuck, aimed)
    sides = now.shape[0] if PAIRED else 1
    for k in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        for side in range(sides):
            bring_up(cells, side, k, clock, d)
        place = (layer, chip, chips, table, tiles, span[2])
        refresh(cells, k, cell, place, units, clock, weights, variances, d)
