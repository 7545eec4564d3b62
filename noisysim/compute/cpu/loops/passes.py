"""Passes through all layers, and converters that follow what they read: the loops that Python calls."""

from noisysim.compute.cpu.loops.driving import drive_layer
from noisysim.compute.cpu.loops.line_reads import read_tile as read_tile
from noisysim.compute.jit.compiling import loop
from noisysim.compute.layout import TILES
from noisysim.compute.rules.device import Numbers as Numbers
from noisysim.compute.rules.flags import HAS_JUMP as HAS_JUMP
from noisysim.compute.rules.ranges import followed


@loop()
def forward(x, span, members, layers, chips, passes, noise, scratch, d):
    """Samples of every pass, on some chips, through some layers. A layer's rows are samples at each position.

    Parameters
    ----------
    x : (chips batch, n_in) float32
        Samples of the first chip, then of the second.
    span, members, layers : (int, int)
        Samples of each chip's batch to do, the chips to do them on, and the layers to take them through: first, and
        behind the last.
    chips : tuple
        table, geometry, norms (shift or scale, units), tiles, weights, variances, rotations, ranges (chips, tiles),
        dac_range, gains (chips, tiles), own values of rows (fields, rows) and of columns (fields, columns), cells: the
        network as it stands; of all chips as `place` says.
        The cells, read one by one where the device asks for it: conductances (sides, n), own values (fields, sides, n),
        states (sides, n), units (layers, slices), seconds before the first read and between two samples. What a device
        does not have is an empty tuple. What each output line of a tile is multiplied by, as their own values are.
    passes : tuple
        inputs, flat (see `driven_in`), and activities, (passes, flat); what the drives add, flat, and where each part
        is, (passes, layers, 3), -1 for none: to lines, to hidden units' outputs, to weights (the line's
        part is then room for what they amount to); the layer at which each pass parts from pass 0; what hidden outputs
        are multiplied by, flat, or nothing; whether the perturbation enters after the ADC; whether the ADC converts;
        peaks (chips, tiles), raised to the largest values read.
    noise : tuple
        first sample, first pass, keys (chips, 2).
    scratch : tuple
        Work arrays for one block of rows.
    d : NamedTuple
        The device's numbers, float32.
    """
    table, count = chips[0], chips[7].shape[0]
    first_sample, first_pass, keys = noise
    batch = x.shape[0] // count
    for m in range(members[0], members[1]):
        stack = (m, count)
        here = (m * batch + span[0], m * batch + span[1])
        counted = (first_sample - m * batch, first_pass, keys[m, 0], keys[m, 1])
        for layer in range(layers[0], layers[1]):
            drive_layer(layer, x, here, stack, chips, passes, scratch, d)
            for k in range(table[layer, TILES]):
                read_tile(layer, k, x.shape[0], here, stack, chips, passes, counted, scratch, d)


@loop()
def follow_peaks(ranges, peaks):
    """Auto-ranging: widen a converter that saturated by a quarter, narrow one that is half idle by one per cent."""
    for m in range(ranges.shape[0]):
        for tile in range(ranges.shape[1]):
            ranges[m, tile] = followed(ranges[m, tile], peaks[m, tile])
            peaks[m, tile] = 0
