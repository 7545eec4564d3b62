"""What cells amount to as weights, and the variances of their reads."""

import math

import numpy as np
from numba import cuda

from noisysim.compute.cuda.kernels.cell_places import place_of, weight_at
from noisysim.compute.cuda.kernels.target import device, kernel, larger
from noisysim.compute.rules.device import variance_of, with_cell
from noisysim.compute.rules.flags import AIMED, FAULTY, HAS_CELL_STD, PAIRED, TIMED

ZERO = np.float32(0.0)


@device
def read_variance(cells, side, k, clock, unit, d):
    """Variance that a cell adds to one read, in weight units; none, where its line is cut."""
    now, _, since, own, stuck, aimed = cells
    if now[side, k] < ZERO:
        return ZERO
    age, aim = np.float32(clock - since[side, k]) if TIMED else ZERO, now[side, k]
    if AIMED and not (FAULTY and not math.isnan(stuck[side, k])):  # a stuck cell holds what it holds
        aim = aimed[side, k]
    return variance_of(now[side, k], age, aim, unit, with_cell(d, own, side * now.shape[1] + k))


@device
def refresh(cells, k, cell, place, units, clock, weights, variances, d):
    """Bring a weight, and the variance of its read, up to date with its cells in every slice."""
    now, layer = cells[0], place[0]
    for s in range(place[5]):
        to, unit = place_of(cell, s, place), units[layer, s]
        weights[to] = (now[2 * s, k] - now[2 * s + 1, k]) * unit
        if HAS_CELL_STD and variances.size == weights.size:
            variance = read_variance(cells, 2 * s, k, clock, unit, d)
            if PAIRED:
                variance += read_variance(cells, 2 * s + 1, k, clock, unit, d)
            variances[to] = variance


@kernel
def wire_cells(
    first, last, passed, factor, now, since, own, stuck, aimed, weights, variances, table, tiles, units, span, clock,
    chips, d,
):  # fmt: skip
    """Put into weights first..last - 1 what arrays with wires pass.

    `factor` is the share of each cell's current that arrives. A fixed reference has no wires.
    """
    cells = (now, passed, since, own, stuck, aimed)
    for k in range(first + cuda.grid(1), last, cuda.gridsize(1)):
        layer, chip, cell = weight_at(k, chips, table)
        place = (layer, chip, chips, table, tiles, span[2])
        for s in range(span[2]):
            to, unit = place_of(cell, s, place), units[layer, s]
            minus = passed[2 * s + 1, k] if PAIRED else larger(now[2 * s + 1, k], ZERO)
            weights[to] = (passed[2 * s, k] - minus) * unit
            if HAS_CELL_STD and variances.size == weights.size:
                variance = ZERO
                for side in range(2 * s, 2 * s + (2 if PAIRED else 1)):
                    share = factor[side, k]
                    variance += read_variance(cells, side, k, clock, unit, d) * share * share
                variances[to] = variance
