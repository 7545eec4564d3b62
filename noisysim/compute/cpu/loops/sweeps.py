"""Updates as factors: blocks of a gradient are formed, stepped along and written while they are in the cache."""

from typing import Any

import numpy as np
from numba.core.types import Tuple, UniTuple, boolean, float32, float64, int64, uint32

from noisysim.compute.cpu.cell_types import BLOCK, RECORD
from noisysim.compute.cpu.loops import optimizer_steps
from noisysim.compute.cpu.loops.cell_places import cells_at, go_to, keep_together
from noisysim.compute.cpu.loops.rows import largest
from noisysim.compute.cpu.loops.sums import pack
from noisysim.compute.jit.calls import RowType, array_of
from noisysim.compute.jit.compiling import bare, loop
from noisysim.compute.jit.places import long_rows_at
from noisysim.compute.jit.products import add_product
from noisysim.compute.jit.views import part, view
from noisysim.compute.layout import CELL_BLOCK, DRIVEN_AT, FACTORS_EACH, GROUPS_AT, N_IN, N_OUT, SIGNALS_AT

call_block, call_step = BLOCK.call, optimizer_steps.TYPE.call
ZERO, ONE = np.float32(0.0), np.float32(1.0)
FEW = 4
"""Up to this many rows an outer product is summed term by term."""
REFUSED = -1
"""What a task returns whose change is not finite."""
_TERMS: Any = Tuple((float64[:, :, ::1], int64[::1], int64[::1], boolean[::1], float64))
_STEP: Any = Tuple((int64, float32[::1], float32[::1], float32[::1]))
_COUNTER: Any = Tuple((int64, uint32[:, ::1], float64))
TASK = RowType(
    int64[::1], int64[:, ::1], _TERMS, float32[::1], _STEP, int64, _COUNTER, float32[::1], RECORD, returns=int64
)
"""The type of `sweep_task`."""
SWEEP = (int64[:, ::1], *TASK.arguments[1:5], UniTuple(int64, 2), *TASK.arguments[6:8], array_of(RECORD), boolean[::1])
"""What `sweep` is called with."""
call_task = TASK.call


@bare(fastmath={"contract"})
def outer_rows(signals, inputs, out):
    """out = signals^T inputs."""
    if signals.shape[0] > FEW:
        add_product(signals, inputs, True, False, ONE, ZERO, out)
        return
    for i in range(out.shape[0]):
        s = signals[0, i]
        for j in range(out.shape[1]):
            out[i, j] = s * inputs[0, j]
        for b in range(1, signals.shape[0]):
            s = signals[b, i]
            for j in range(out.shape[1]):
                out[i, j] += s * inputs[b, j]


@bare()
def form_rows(terms, layer, start, n_out, first, at, samples, signals):
    """The signals of a layer's units from `first` on: the sum of all terms, for samples from `start` on."""
    factors, activities, baselines, based, share = terms
    rows = signals.shape[0]
    for k in range(factors.shape[0]):
        shares = part(factors[k, layer if factors.shape[1] > 1 else 0], start, samples)
        source = view(activities[k], at, n_out, rows)
        rest = view(activities[k], 0, 0, 0)
        if based[k]:
            rest = view(baselines[k], at, n_out, rows)
        pack(signals, shares, source, rest, share, first, k == 0)


@bare()
def groups_of(layer, layers):
    """A layer's groups of channels, as `together` takes them."""
    first = GROUPS_AT
    return layers[layer, first], layers[layer, first + 1], layers[layer, first + 2], layers[layer, first + 3]


@bare()
def sweep_task(task, layers, terms, inputs, step, stage, counter, work, kit):
    """One task of `sweep`; returns what its writes count, or `REFUSED`."""
    table, keys = long_rows_at(kit.table, kit.layers, kit.columns, 0, kit.columns), counter[1]
    address, numbers, moment1, moment2 = step
    chip, layer, first, last = task[0], task[1], task[2], task[3]
    kit.chip, kit.k0, kit.k1 = chip, keys[chip, 0], keys[chip, 1]
    n_in, n_out, rows = table[layer, N_IN], table[layer, N_OUT], layers[layer, FACTORS_EACH]
    at, size = cells_at(layer, table, (chip, keys.shape[0])), n_in * n_out
    a, b = first * CELL_BLOCK, last * CELL_BLOCK if last * CELL_BLOCK < size else size
    unit, end = a // n_in, (b + n_in - 1) // n_in
    signals, samples = view(work, 0, end - unit, rows), terms[0].shape[2] // keys.shape[0]
    at_lines = layers[layer, SIGNALS_AT] + chip * rows * n_out
    form_rows(terms, layer, chip * samples, n_out, unit, at_lines, samples, signals)
    x, room = view(inputs, layers[layer, DRIVEN_AT] + chip * rows * n_in, n_in, rows), signals.size
    outer_rows(signals, x, view(work, room, n_in, end - unit))
    change = part(work, room + a - unit * n_in, b - a)
    if layers[layer, GROUPS_AT] > 0:
        keep_together(change, a, n_in, groups_of(layer, layers))
    m1 = part(moment1, at + a if moment1.size > 0 else 0, b - a if moment1.size > 0 else 0)
    m2 = part(moment2, at + a if moment2.size > 0 else 0, b - a if moment2.size > 0 else 0)
    call_step(address, (change, m1, m2, numbers))
    if not largest(change) < np.inf:
        return REFUSED
    total = np.int64(0)
    for block in range(first, last):
        place, n = go_to(block, layer, at, size, kit)
        total += call_block(stage, (kit, part(change, place - at - a, n), False))
    return total


@loop()
def sweep(tasks, layers, terms, inputs, step, stages, counter, work, kits, refused):
    """Descend a gradient: form its blocks, take an optimizer's step, and write cells; returns what the writes count.

    Parameters
    ----------
    tasks : (n, 4) int64
        Chip, layer, and which of its blocks of `CELL_BLOCK` weights: the first, and behind the last.
    layers : (layers, columns) int64
        `factors` of `noisysim.compute.layout`.
    terms : tuple
        Factors, (terms, 1 or layers, samples of all chips) float64; the addresses of each term's activities and of
        its baseline, flat, layer by layer and in each chip by chip; whether it has one; one over a chip's samples.
    inputs : flat float32
        What drove each layer, likewise.
    step : tuple
        Address of the optimizer's step, its numbers, and two moments, flat like the weights.
    stages : (int64, int64)
        Addresses of `sweep_task`, and of what writes a block.
    counter : tuple
        Number of the write, the chips' keys, and their time.
    work : flat float32
        Room for the signals and the gradient of a task.
    kits : (1,) array of records
    refused : (chips,) bool
        Set for a chip whose change is not finite: the task that finds it writes nothing.
    """
    kit, total = kits[0], 0
    kit.write, kit.clock = counter[0], counter[2]
    kit.chips = counter[1].shape[0]
    for t in range(tasks.shape[0]):
        count = call_task(stages[0], (tasks[t], layers, terms, inputs, step, stages[1], counter, work, kit))
        if count == REFUSED:
            refused[tasks[t, 0]] = True
        else:
            total += count
    return total
