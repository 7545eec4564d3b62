"""What operations of the periphery compute, forwards and back, written once for both backends.

An operation is at most four functions, each of which does one part of a sample's work: part k of row r. They read
values ``a`` and ``b`` of the operation's sources, (rows, values) each, and numbers ``g`` that
`noisysim.networks.operations` sets: ``g[0]`` parts forwards, ``g[1]`` and ``g[2]`` back to the first and second source.

- forward(r, k, a, b, out, g): writes its part of the operation's values.
- push(r, k, a, b, da, db, out, g): writes its part of the change of these along changes of the sources.
- pull_first, pull_second(r, k, a, b, s, out, g): of the signal ``s`` = dL/d(values), write a part of dL/da, dL/db.

Parts write to different places, so they may be computed in any order, and each sums in a fixed one.
"""

from __future__ import annotations

import numpy as np

ZERO, ONE = np.float32(0.0), np.float32(1.0)
AT = 3
"""Where an operation's own numbers begin in `g`."""
CHANNELS, HEIGHT, WIDTH, SIZE, SIZE_X, STRIDE, STRIDE_X, TOP, LEFT, ROWS, COLUMNS, COUNTED = range(3, 15)
"""Numbers of windows over an image, those of `pool` and `average`."""


# --- sums and products ----------------------------------------------------------------------------------------------


def add(r, k, a, b, out, g):
    """a + b, a value a part."""
    out[r, k] = a[r, k] + b[r, k]


def add_push(r, k, a, b, da, db, out, g):
    """Da + db."""
    out[r, k] = da[r, k] + db[r, k]


def add_pull(r, k, a, b, s, out, g):
    """S, to either source."""
    out[r, k] = s[r, k]


def multiply(r, k, a, b, out, g):
    """A b, a value a part; b has `g[3]` values and is repeated."""
    out[r, k] = a[r, k] * b[r, k % g[AT]]


def multiply_push(r, k, a, b, da, db, out, g):
    """Da b + a db."""
    j = k % g[AT]
    out[r, k] = da[r, k] * b[r, j] + a[r, k] * db[r, j]


def multiply_pull_first(r, k, a, b, s, out, g):
    """S b."""
    out[r, k] = s[r, k] * b[r, k % g[AT]]


def multiply_pull_second(r, k, a, b, s, out, g):
    """The sum of s a over all values that b[k] multiplied."""
    total = ZERO
    for j in range(k, g[0], g[AT]):
        total += s[r, j] * a[r, j]
    out[r, k] = total


def divide(r, k, a, b, out, g):
    """A / b, a value a part."""
    out[r, k] = a[r, k] / b[r, k]


def divide_push(r, k, a, b, da, db, out, g):
    """(da - a / b db) / b."""
    out[r, k] = (da[r, k] - a[r, k] / b[r, k] * db[r, k]) / b[r, k]


def divide_pull_first(r, k, a, b, s, out, g):
    """S / b."""
    out[r, k] = s[r, k] / b[r, k]


def divide_pull_second(r, k, a, b, s, out, g):
    """-s a / b^2."""
    out[r, k] = -s[r, k] * a[r, k] / (b[r, k] * b[r, k])


# --- order ----------------------------------------------------------------------------------------------------------


def concatenate(r, k, a, b, out, g):
    """The channels of a, `g[3]`, and of b, `g[4]`, a position a part."""
    left, right = g[AT], g[AT + 1]
    at = k * (left + right)
    for c in range(left):
        out[r, at + c] = a[r, k * left + c]
    for c in range(right):
        out[r, at + left + c] = b[r, k * right + c]


def concatenate_push(r, k, a, b, da, db, out, g):
    """The same of changes."""
    concatenate(r, k, da, db, out, g)


def concatenate_pull_first(r, k, a, b, s, out, g):
    """The first channels."""
    left, right = g[AT], g[AT + 1]
    for c in range(left):
        out[r, k * left + c] = s[r, k * (left + right) + c]


def concatenate_pull_second(r, k, a, b, s, out, g):
    """The others."""
    left, right = g[AT], g[AT + 1]
    for c in range(right):
        out[r, k * right + c] = s[r, k * (left + right) + left + c]


def one_hot(r, k, a, b, out, g):
    """1 at the place of each number among ``g[3]`` classes, 0 at all others; nothing for what is no class."""
    classes = g[AT]
    out[r, k] = ONE if a[r, k // classes] == np.float32(k % classes) else ZERO


def one_hot_push(r, k, a, b, da, db, out, g):
    """Classes do not change by degrees."""
    out[r, k] = ZERO


def one_hot_pull(r, k, a, b, s, out, g):
    """Nothing comes back to a class."""
    out[r, k] = ZERO


def gather(r, k, a, b, out, g):
    """The value at place ``g[3 + k]``, 0 at -1."""
    at = g[AT + k]
    out[r, k] = a[r, at] if at >= 0 else ZERO


def gather_push(r, k, a, b, da, db, out, g):
    """The same of changes."""
    gather(r, k, da, db, out, g)


def gather_pull(r, k, a, b, s, out, g):
    """The sum over all places that read value k: behind the places come where each value's readers begin, and these."""
    starts = AT + g[0]
    readers = starts + g[1] + 1
    total = ZERO
    for j in range(g[starts + k], g[starts + k + 1]):
        total += s[r, g[readers + j]]
    out[r, k] = total


# --- windows --------------------------------------------------------------------------------------------------------


def window(at, size, stride, margin, length):
    """The part of a window that is in the image, along one axis: first, and behind the last."""
    first = at * stride - margin
    return max(first, 0), min(first + size, length)


def covering(at, size, stride, margin, count):
    """The windows that hold a place, of `count` along one axis: the first, and behind the last."""
    return max(0, (at + margin - size) // stride + 1), min(count, (at + margin) // stride + 1)


def largest(r, row, column, c, a, g):
    """Where the largest value of a window is; of equal ones the first."""
    top, bottom = window(row, g[SIZE], g[STRIDE], g[TOP], g[HEIGHT])
    left, right = window(column, g[SIZE_X], g[STRIDE_X], g[LEFT], g[WIDTH])
    found = (top * g[WIDTH] + left) * g[CHANNELS] + c
    best = a[r, found]
    for y in range(top, bottom):
        for x in range(left, right):
            here = (y * g[WIDTH] + x) * g[CHANNELS] + c
            if a[r, here] > best:
                found, best = here, a[r, here]
    return found


def pool(r, k, a, b, out, g):
    """The largest value of a window, a window a part."""
    for c in range(g[CHANNELS]):
        out[r, k * g[CHANNELS] + c] = a[r, largest(r, k // g[COLUMNS], k % g[COLUMNS], c, a, g)]


def pool_push(r, k, a, b, da, db, out, g):
    """The change where the largest value is."""
    for c in range(g[CHANNELS]):
        out[r, k * g[CHANNELS] + c] = da[r, largest(r, k // g[COLUMNS], k % g[COLUMNS], c, a, g)]


def pool_pull(r, k, a, b, s, out, g):
    """The sum over the windows whose largest value is at position k, window by window."""
    y, x = k // g[WIDTH], k % g[WIDTH]
    first_row, last_row = covering(y, g[SIZE], g[STRIDE], g[TOP], g[ROWS])
    first_column, last_column = covering(x, g[SIZE_X], g[STRIDE_X], g[LEFT], g[COLUMNS])
    for c in range(g[CHANNELS]):
        at, total = k * g[CHANNELS] + c, ZERO
        for row in range(first_row, last_row):
            for column in range(first_column, last_column):
                if largest(r, row, column, c, a, g) == at:
                    total += s[r, (row * g[COLUMNS] + column) * g[CHANNELS] + c]
        out[r, at] = total


def share_of(row, column, g):
    """What each value of a window counts in its mean."""
    if g[COUNTED]:
        return ONE / np.float32(g[SIZE] * g[SIZE_X])
    top, bottom = window(row, g[SIZE], g[STRIDE], g[TOP], g[HEIGHT])
    left, right = window(column, g[SIZE_X], g[STRIDE_X], g[LEFT], g[WIDTH])
    return ONE / np.float32((bottom - top) * (right - left))


def average(r, k, a, b, out, g):
    """The mean of a window, a window a part."""
    row, column, channels = k // g[COLUMNS], k % g[COLUMNS], g[CHANNELS]
    top, bottom = window(row, g[SIZE], g[STRIDE], g[TOP], g[HEIGHT])
    left, right = window(column, g[SIZE_X], g[STRIDE_X], g[LEFT], g[WIDTH])
    at, share = k * channels, share_of(row, column, g)
    for c in range(channels):
        out[r, at + c] = ZERO
    for y in range(top, bottom):
        for x in range(left, right):
            here = (y * g[WIDTH] + x) * channels
            for c in range(channels):
                out[r, at + c] += a[r, here + c]
    for c in range(channels):
        out[r, at + c] *= share


def average_push(r, k, a, b, da, db, out, g):
    """The same of changes."""
    average(r, k, da, db, out, g)


def average_pull(r, k, a, b, s, out, g):
    """The shares of position k in all windows that hold it."""
    y, x, channels = k // g[WIDTH], k % g[WIDTH], g[CHANNELS]
    first_row, last_row = covering(y, g[SIZE], g[STRIDE], g[TOP], g[ROWS])
    first_column, last_column = covering(x, g[SIZE_X], g[STRIDE_X], g[LEFT], g[COLUMNS])
    for c in range(channels):
        out[r, k * channels + c] = ZERO
    for row in range(first_row, last_row):
        for column in range(first_column, last_column):
            share, here = share_of(row, column, g), (row * g[COLUMNS] + column) * channels
            for c in range(channels):
                out[r, k * channels + c] += share * s[r, here + c]


# --- constants ------------------------------------------------------------------------------------------------------


def affine(r, k, a, b, out, g):
    """A gain and an offset, the rows of constants b, which are repeated every `g[3]` values."""
    out[r, k] = a[r, k] * b[0, k % g[AT]] + b[1, k % g[AT]]


def affine_push(r, k, a, b, da, db, out, g):
    """The change times the gain."""
    out[r, k] = da[r, k] * b[0, k % g[AT]]


def affine_pull(r, k, a, b, s, out, g):
    """The signal times the gain."""
    out[r, k] = s[r, k] * b[0, k % g[AT]]


def clip(r, k, a, b, out, g):
    """A value held between two constants."""
    out[r, k] = min(max(a[r, k], b[0, 0]), b[0, 1])


def clip_push(r, k, a, b, da, db, out, g):
    """The change, where nothing holds the value."""
    out[r, k] = da[r, k] if b[0, 0] < a[r, k] < b[0, 1] else ZERO


def clip_pull(r, k, a, b, s, out, g):
    """The signal, where nothing holds the value."""
    out[r, k] = s[r, k] if b[0, 0] < a[r, k] < b[0, 1] else ZERO


def leak(r, k, a, b, out, g):
    """A value, or where it is negative a share of it."""
    out[r, k] = a[r, k] if a[r, k] > ZERO else b[0, 0] * a[r, k]


def leak_push(r, k, a, b, da, db, out, g):
    """The change times the slope."""
    out[r, k] = da[r, k] if a[r, k] > ZERO else b[0, 0] * da[r, k]


def leak_pull(r, k, a, b, s, out, g):
    """The signal times the slope."""
    out[r, k] = s[r, k] if a[r, k] > ZERO else b[0, 0] * s[r, k]
