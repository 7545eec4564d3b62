"""Passes through a plan, and converters that follow what they read."""

from numba.core.types import UniTuple, float32, int64

from noisysim.compute.cpu.loops.driving import finish_samples
from noisysim.compute.cpu.loops.records import (
    CALL,
    CHIPS,
    DRIVE_LAYER,
    NET,
    PART_TYPES,
    READ_TILE,
    ROOM,
    RUN_RECURRENCE,
)
from noisysim.compute.jit.calls import array_of
from noisysim.compute.jit.compiling import loop, scalar
from noisysim.compute.jit.places import longs_at
from noisysim.compute.jit.views import function_at
from noisysim.compute.layout import CELL_KIND, GEOMETRY, HELD, NO_CELL, TABLE, TILES
from noisysim.compute.rules.ranges import followed as followed_rule

drive_layer, read_tile = PART_TYPES[DRIVE_LAYER].call, PART_TYPES[READ_TILE].call
run_recurrence = PART_TYPES[RUN_RECURRENCE].call
followed = scalar(followed_rule)
FORWARD = (*[UniTuple(int64, 2)] * 3, *(array_of(record.compiled) for record in (NET, CHIPS, CALL, ROOM)))
FOLLOW = (float32[:, ::1], float32[:, ::1])
"""What `forward` and `follow_peaks` are called with."""


@loop()
def forward(span, members, layers, nets, stacks, calls, rooms):
    """Samples of every pass, on some chips, through some layers. A layer's rows are samples at each position.

    Parameters
    ----------
    span, members, layers : (int, int)
        Samples of each chip's batch to do, the chips to do them on, and the layers to take them through: first, and
        behind the last.
    nets, stacks, calls, rooms : array of records
        `NET`, `CHIPS`, `CALL` and `ROOM` of `noisysim.compute.cpu.loops.records`: one each, but of chips one for each
        place where weights are held (`noisysim.compute.layout.HELD`).
    """
    net, call, room, of_stack = nets[0], calls[0], rooms[0], stacks[0].chips
    batch = call.samples // of_stack
    for m in range(members[0], members[1]):
        stack, here = (m, of_stack), (m * batch + span[0], m * batch + span[1])
        for layer in range(layers[0], layers[1]):
            g = longs_at(net.geometry, layer * GEOMETRY, GEOMETRY)
            chips = stacks[g[HELD]]
            if g[CELL_KIND] != NO_CELL:
                run_recurrence(function_at(net.parts, RUN_RECURRENCE), (layer, here, stack, net, chips, call, room))
                continue
            drive_layer(function_at(net.parts, DRIVE_LAYER), (layer, here, stack, net, chips, call, room))
            for k in range(longs_at(net.table, layer * TABLE, TABLE)[TILES]):
                read_tile(function_at(net.parts, READ_TILE), (layer, k, here, stack, net, chips, call, room))


@loop()
def finish(span, members, nets, stacks, calls, rooms):
    """Samples of every pass, on some chips, from the last lines to the network's output, where steps make it.

    Parameters as of `forward`.
    """
    net, chips, call, room = nets[0], stacks[0], calls[0], rooms[0]
    batch = call.samples // chips.chips
    for m in range(members[0], members[1]):
        finish_samples((m * batch + span[0], m * batch + span[1]), (m, chips.chips), net, chips, call, room)


@loop()
def read_one_tile(layer, k, span, stack, nets, stacks, calls, rooms):
    """Read the k-th tile of a layer alone, in every pass, of the chip `stack[0]` of `stack[1]`."""
    held = longs_at(nets[0].geometry, layer * GEOMETRY, GEOMETRY)[HELD]
    tile = (layer, k, span, stack, nets[0], stacks[held], calls[0], rooms[0])
    read_tile(function_at(nets[0].parts, READ_TILE), tile)


@loop()
def follow_peaks(ranges, peaks):
    """Auto-ranging: widen a converter that saturated by a quarter, narrow one that is half idle by one per cent."""
    for m in range(ranges.shape[0]):
        for tile in range(ranges.shape[1]):
            ranges[m, tile] = followed(ranges[m, tile], peaks[m, tile])
            peaks[m, tile] = 0
