"""Updates in the array: pulse trains on rows and columns, and pulses for the cells where they coincide.

First the trains of every sample are drawn, one for each line of an array, and the columns whose train is on in any slot
are listed. Then each block of cells goes through the samples while it is in the cache: a row that is off costs nothing,
and of the columns only those that are listed are met. Groups of channels take turns, each with the trains of its lines:
no row meets a column of another.
"""

import numpy as np

from noisysim.compute.cpu.cell_types import COUNT, MOVED, WHERE, W, Z
from noisysim.compute.cpu.loops.cell_places import cells_at, go_to, list_moved, together
from noisysim.compute.cpu.loops.cell_pulses import bring_up_listed, finish_block, settle_block
from noisysim.compute.cpu.loops.draws import philox, stream_word
from noisysim.compute.cpu.loops.rows import largest
from noisysim.compute.cpu.loops.sweeps import form_rows, groups_of
from noisysim.compute.jit.compiling import bare, loop, scalar
from noisysim.compute.jit.places import ints_at, long_rows_at
from noisysim.compute.jit.views import part, view
from noisysim.compute.layout import (
    CELL_BLOCK,
    COLUMN_STREAM,
    DRIVEN_AT,
    FACTORS_AT,
    FACTORS_EACH,
    N_IN,
    N_OUT,
    ROW_STREAM,
    SIGNALS_AT,
)
from noisysim.compute.rules import trains as rules

train_length, threshold, slots_of = scalar(rules.train_length), scalar(rules.threshold), scalar(rules.slots_of)
column_gain, row_gain, decide = scalar(rules.column_gain), scalar(rules.row_gain), scalar(rules.decide)
coincidences, signed = scalar(rules.coincidences), scalar(rules.signed)
count, CERTAIN = COUNT.call, np.int64(rules.CERTAIN)
OFF, SIGN = np.uint32(0), rules.SIGN
LINES = 256
"""Lines of which trains are drawn together."""
COUNTERS = rules.COUNTERS
COUNTS, REACHED = Z + W, Z + 2 * W
"""Work arrays behind the draws of pulses: coincidences with columns, and which cells got any."""


@bare()
def draw_word(word, length, counter, lines, on):
    """One word of the trains of some lines, into ``on``, where those that are always on are marked by all bits."""
    units, limits, undecided = lines
    kind, layer, row, number, k0, k1 = counter
    slots = slots_of(length, word)
    for i in range(on.size):
        on[i] &= slots
        undecided[i] = slots ^ on[i]
    for block in range(COUNTERS):
        stream, left, plane = stream_word(kind, layer, word * COUNTERS + block), OFF, 4 * block
        for i in range(on.size):
            r0, r1, r2, r3 = philox(units[i], row, number, stream, k0, k1)
            limit = limits[i]
            sure, rest = decide(limit, plane, r0, on[i], undecided[i])
            sure, rest = decide(limit, plane + 1, r1, sure, rest)
            sure, rest = decide(limit, plane + 2, r2, sure, rest)
            sure, rest = decide(limit, plane + 3, r3, sure, rest)
            on[i] = sure
            undecided[i] = rest
            left |= rest
        if left == OFF:
            break


@bare()
def draw_lines(values, gain, length, falling, counter, room, places, words):
    """The trains of lines driven with `values`; of those that are on in any slot the number of the line, and its words.

    Returns how many these are.

    Parameters
    ----------
    values : (n,) float32
    gain : float64
        C: a slot is on with probability min(1, C |value|).
    length : int
        Slots.
    falling : bool
        Whether the sign is turned: what is descended along has a minus.
    counter : tuple
        Stream, layer, sample, number of the update, key.
    room : (4, LINES) uint32
    places : (n,) int32
    words : (words, n) uint32
    """
    units, limits, undecided, on = room[0], room[1], room[2], room[3]
    listed, line = 0, 0
    while line < values.size:
        start, m = listed, 0
        while line < values.size and m < LINES:
            limit = threshold(gain, values[line])
            if limit > 0:
                units[m] = np.uint32(line)
                limits[m] = np.uint32(min(limit, CERTAIN - 1))
                places[start + m] = line
                m += 1
            line += 1
        for word in range(words.shape[0]):
            for i in range(m):
                on[i] = np.uint32(0xFFFFFFFF) if threshold(gain, values[units[i]]) == CERTAIN else OFF
            draw_word(word, length, counter, (units[:m], limits[:m], undecided[:m]), on[:m])
            for i in range(m):
                words[word, start + i] = on[i]
        listed = keep_on(values, falling, start, m, places, words)
    return listed


@bare()
def keep_on(values, falling, start, m, places, words):
    """Of the m lines listed last keep those that are on in any slot, and put their signs in; returns how many are."""
    listed = start
    for i in range(start, start + m):
        any_on, line = OFF, places[i]
        for word in range(words.shape[0]):
            any_on |= words[word, i]
        sign = SIGN if (values[line] < 0) != falling else OFF
        places[listed] = line
        for word in range(words.shape[0]):
            words[word, listed] = np.uint32(words[word, i] | sign)
        listed += int(any_on != OFF)
    return listed


@bare()
def lists_of(drawn, layer, layers, row, widths):
    """The lists of one sample: columns' numbers and words, rows' numbers and words, and how many each are."""
    column_places, columns, row_places, rows, listed = drawn
    (n_in, n_out), count_of = widths, columns.size // column_places.size
    a, b = layers[layer, DRIVEN_AT] + row * n_in, layers[layer, SIGNALS_AT] + row * n_out
    return (
        part(column_places, a, n_in), view(columns, count_of * a, n_in, count_of),
        part(row_places, b, n_out), view(rows, count_of * b, n_out, count_of),
        part(listed, 2 * (layers[layer, FACTORS_AT] + row), 2),
    )  # fmt: skip


@bare()
def draw_sample(x, signals, asked, settings, counter, room, drawn, layers, listed_row):
    """The trains of one sample; returns whether what it asks for is finite."""
    slots, balances, shortens = settings
    layer, row, number, k0, k1 = counter
    column_places, columns, row_places, rows, listed = lists_of(
        drawn, layer, layers, listed_row, (x.size, signals.size)
    )
    listed[0], listed[1] = 0, 0
    x_most, d_most = np.float64(largest(x)), np.float64(largest(signals))
    strongest = asked * x_most * d_most
    if not strongest < np.inf:
        return False
    if not strongest > 0:
        return True
    length = train_length(strongest, slots, shortens)
    gain = column_gain(asked, length, x_most, d_most, balances)
    of_columns = (np.int64(COLUMN_STREAM), layer, row, number, k0, k1)
    listed[0] = draw_lines(x, gain, length, False, of_columns, room, column_places, columns)
    if listed[0] > 0:
        gain = row_gain(asked, length, x_most, d_most, balances)
        of_rows = (np.int64(ROW_STREAM), layer, row, number, k0, k1)
        listed[1] = draw_lines(signals, gain, length, True, of_rows, room, row_places, rows)
    return True


@loop()
def draw_trains(tasks, table, layers, pulsing, terms, inputs, rate, settings, counter, work, room, drawn, refused):
    """The trains of all samples of an update.

    Parameters
    ----------
    tasks : (n, 4) int64
        Chip, layer, and which of the chip's samples: the first, and behind the last.
    table : (layers, columns) int64
        `noisysim.compute.layout`.
    layers : (layers, columns) int64
        `factors` of `noisysim.compute.layout`.
    pulsing : (layers,) float32
        Pulses per weight unit.
    terms, inputs
        `noisysim.compute.cpu.loops.sweeps.sweep`.
    rate : float64
        Learning rate of one sample.
    settings : tuple
        Most slots, whether gains are balanced, and whether trains are shortened (`noisysim.compute.rules.trains`).
    counter : tuple
        Number of the write, and the chips' keys.
    work : flat float32
        Room for the signals of a task.
    room : (4, LINES) uint32
    drawn : tuple
        What is filled, flat, row by row like the inputs and the signals: numbers of the columns that are on, int32,
        their words, uint32, the same of rows, and how many both are, (rows of all layers, 2) int64.
    refused : (chips,) bool
        Set for a chip whose change is not finite.
    """
    number, keys = counter
    samples = terms[0].shape[2] // keys.shape[0]
    for t in range(tasks.shape[0]):
        chip, layer, first, last = tasks[t, 0], tasks[t, 1], tasks[t, 2], tasks[t, 3]
        n_in, n_out, rows = table[layer, N_IN], table[layer, N_OUT], layers[layer, FACTORS_EACH]
        each = rows // samples
        start, stop = chip * rows + first * each, chip * rows + last * each
        signals = view(work, 0, n_out, stop - start)
        at = layers[layer, SIGNALS_AT] + start * n_out
        form_rows(terms, layer, chip * samples + first, n_out, 0, at, last - first, signals)
        for row in range(start, stop):
            x = part(inputs, layers[layer, DRIVEN_AT] + row * n_in, n_in)
            of_row = (layer, np.uint32(row - chip * rows), np.uint32(number), keys[chip, 0], keys[chip, 1])
            asked = rate * np.float64(pulsing[layer])
            if not draw_sample(x, signals[row - start], asked, settings, of_row, room, drawn, layers, row):
                refused[chip] = True


@bare()
def behind(places, size, line):
    """How many of the listed lines, in ascending order, come before a line."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if places[middle] < line:
            low = middle + 1
        else:
            high = middle
    return low


@bare()
def meet_row(line, rows, columns, place, span, groups, m, kit):
    """Coincidences of a row with the columns listed in ``span``: lists their cells behind the first m, and counts.

    ``line`` is where the row is listed, its unit, and a shift: column j is cell j + shift of the block. Columns of
    groups that the unit does not see are off in its turn. Returns how many cells are listed.
    """
    first, size = span[0], span[1] - span[0]
    row, unit, shift = line
    counts, here, word = ints_at(kit.work, COUNTS, size), part(columns[0], first, size), rows[0, row]
    where, of_cell = ints_at(kit.work, WHERE, kit.count), ints_at(kit.work, MOVED, kit.count)
    for k in range(size):
        counts[k] = coincidences(word, here[k])
    for w in range(1, rows.shape[0]):
        more, next_word = part(columns[w], first, size), rows[w, row]
        for k in range(size):
            counts[k] += coincidences(next_word, more[k])
    for k in range(size):
        counts[k] = signed(counts[k], word, here[k])
    if groups[0] > 0:
        for k in range(size):
            counts[k] = counts[k] if together(unit, place[first + k], groups) else 0
    listed = m
    for k in range(size):
        where[listed] = np.int32(k)
        listed += int(counts[k] != 0)
    for i in range(m, listed):
        k = where[i]
        cell = np.int32(place[first + k] + shift)
        where[i] = cell
        of_cell[cell] = counts[k]
    return listed


@bare()
def meet(lists, n_in, groups, kit):
    """Coincidences of one sample in the block: signed counts in ``MOVED``, which is 0 elsewhere, listed in ``WHERE``.

    Returns how many cells have any.
    """
    column_places, columns, row_places, rows, listed = lists
    a, n, m = kit.first, kit.count, 0
    k = behind(row_places, listed[1], a // n_in)
    while k < listed[1] and row_places[k] * n_in < a + n:
        shift = row_places[k] * n_in - a
        low = behind(column_places, listed[0], -shift) if shift < 0 else 0
        high = behind(column_places, listed[0], n - shift) if shift + n_in > n else listed[0]
        line = k, row_places[k], shift
        m = meet_row(line, rows, columns, column_places, (low, high), groups, m, kit)
        k += 1
    return m


@bare()
def clear(kit):
    """No cell of a block has met anything yet."""
    moved, reached = ints_at(kit.work, MOVED, CELL_BLOCK), ints_at(kit.work, REACHED, CELL_BLOCK)
    for j in range(CELL_BLOCK):
        moved[j] = 0
        reached[j] = 0


@bare()
def list_reached(kit):
    """After several samples: the cells that got any pulse, listed as those of one sample are; returns how many."""
    reached, moved = ints_at(kit.work, REACHED, kit.count), ints_at(kit.work, MOVED, kit.count)
    for j in range(kit.count):
        moved[j] = reached[j]
        reached[j] = 0
    return list_moved(moved, ints_at(kit.work, WHERE, kit.count), kit.count)


@bare()
def train_block(layers, drawn, rows, n_in, n_out, kit):
    """Give the cells of the block the pulses of all samples, one after the other; returns pulses, and cells set anew.

    Sample by sample, as in the array: a cell meets the next as the one before has left it. ``MOVED`` and ``REACHED``
    are 0 before and after it.
    """
    counts, where = ints_at(kit.work, MOVED, kit.count), ints_at(kit.work, WHERE, kit.count)
    reached, given, m, samples_met = ints_at(kit.work, REACHED, kit.count), 0, 0, 0
    groups = groups_of(kit.layer, layers)
    for row in range(rows):
        for i in range(m):
            reached[where[i]] = 1
            counts[where[i]] = 0
        lists = lists_of(drawn, kit.layer, layers, kit.chip * rows + row, (n_in, n_out))
        m = meet(lists, n_in, groups, kit)
        if m > 0:
            samples_met += 1
            kit.sample = row
            bring_up_listed(m, kit)
            given += count(kit.give_pulses, (kit, 0, m))
            settle_block(m, kit)
    if samples_met == 0:
        return 0, 0
    if samples_met > 1 or m == 0:
        for i in range(m):
            reached[where[i]] = 1
        m = list_reached(kit)
    anew = finish_block(m, kit)
    for i in range(m):
        counts[where[i]] = 0
    return given, anew


@loop()
def give_trains(tasks, layers, drawn, counter, kits, refused, done):
    """Let the trains of all samples meet in the cells of some blocks.

    Parameters
    ----------
    tasks : (n, 4) int64
        Chip, layer, and which of its blocks of `CELL_BLOCK` weights: the first, and behind the last.
    layers, drawn
        `draw_trains`.
    counter : tuple
        Number of the write, the chips' keys, and their time.
    kits : (1,) array of records
    refused : (chips,) bool
        Chips of which no cell is changed.
    done : (chips, 2) int64
        Cells set anew and pulses of each chip, added up.
    """
    kit = kits[0]
    table = long_rows_at(kit.table, kit.layers, kit.columns, 0, kit.columns)
    kit.write, keys, kit.clock = counter
    kit.chips = keys.shape[0]
    for t in range(tasks.shape[0]):
        chip, layer, first, last = tasks[t, 0], tasks[t, 1], tasks[t, 2], tasks[t, 3]
        if refused[chip]:
            continue
        kit.chip, kit.k0, kit.k1 = chip, keys[chip, 0], keys[chip, 1]
        n_in, n_out = table[layer, N_IN], table[layer, N_OUT]
        at = cells_at(layer, table, (chip, keys.shape[0]))
        clear(kit)
        for block in range(first, last):
            go_to(block, layer, at, n_in * n_out, kit)
            given, anew = train_block(layers, drawn, layers[layer, FACTORS_EACH], n_in, n_out, kit)
            done[chip, 0] += anew
            done[chip, 1] += given
