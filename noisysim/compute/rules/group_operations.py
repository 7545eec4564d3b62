"""Operations of the periphery over groups of values, and products of matrices (`noisysim.compute.rules.operations`)."""

import numpy as np

ZERO = np.float32(0.0)
MEMBERS, INNER, OUTER, BASE, SCALED = range(3, 8)
"""Numbers of groups of values: how many are in one; how many of them follow each other, and how far on the next are;
how far apart groups begin; whether they are scaled alone."""
MATRIX_ROWS, MATRIX_INNER, MATRIX_COLUMNS = range(3, 6)
"""Numbers of `matmul`."""


# --- groups of values -----------------------------------------------------------------------------------------------


def member(q, i, g):
    """Where the i-th value of group q is."""
    return q * g[BASE] + i // g[INNER] * g[OUTER] + i % g[INNER]


def mean_of(r, q, a, g):
    """The mean of a group; 0 where the group is scaled alone (Zhang & Sennrich 2019)."""
    total = 0.0
    if g[SCALED] == 0:
        for i in range(g[MEMBERS]):
            total += a[r, member(q, i, g)]
    return total / g[MEMBERS]


def inverse_deviation(r, q, mean, a, b, g):
    """1 / sqrt(mean squared distance from the mean + epsilon)."""
    total = 0.0
    for i in range(g[MEMBERS]):
        distance = a[r, member(q, i, g)] - mean
        total += distance * distance
    return 1.0 / np.sqrt(total / g[MEMBERS] + b[0, 0])


def normalise(r, q, a, b, out, g):
    """(a - mean) / deviation, a group a part (Ba et al. 2016, Wu & He 2018); epsilon is the constant b."""
    mean = mean_of(r, q, a, g)
    scale = inverse_deviation(r, q, mean, a, b, g)
    for i in range(g[MEMBERS]):
        at = member(q, i, g)
        out[r, at] = np.float32((a[r, at] - mean) * scale)


def through_group(r, q, a, b, s, out, g):
    """What a group's statistics leave of changes or signals: its Jacobian is symmetric."""
    mean = mean_of(r, q, a, g)
    scale = inverse_deviation(r, q, mean, a, b, g)
    along, common = 0.0, 0.0
    for i in range(g[MEMBERS]):
        at = member(q, i, g)
        along += s[r, at] * (a[r, at] - mean) * scale
        common += s[r, at]
    along, common = along / g[MEMBERS], (0.0 if g[SCALED] else common / g[MEMBERS])
    for i in range(g[MEMBERS]):
        at = member(q, i, g)
        out[r, at] = np.float32((s[r, at] - common - (a[r, at] - mean) * scale * along) * scale)


def normalise_push(r, q, a, b, da, db, out, g):
    """Changes through a group's statistics."""
    through_group(r, q, a, b, da, out, g)


def softmax(r, q, a, b, out, g):
    """exp(a) / sum exp(a), a group a part."""
    largest_value = a[r, member(q, 0, g)]
    for i in range(1, g[MEMBERS]):
        largest_value = max(largest_value, a[r, member(q, i, g)])
    total = 0.0
    for i in range(g[MEMBERS]):
        total += np.exp(np.float64(a[r, member(q, i, g)] - largest_value))
    for i in range(g[MEMBERS]):
        at = member(q, i, g)
        out[r, at] = np.float32(np.exp(np.float64(a[r, at] - largest_value)) / total)


def softmax_pull(r, q, a, b, s, out, g):
    """P (s - sum p s), p the values: the Jacobian is symmetric."""
    softmax(r, q, a, b, out, g)
    total = 0.0
    for i in range(g[MEMBERS]):
        at = member(q, i, g)
        total += np.float64(out[r, at]) * s[r, at]
    for i in range(g[MEMBERS]):
        at = member(q, i, g)
        out[r, at] = np.float32(out[r, at] * (s[r, at] - total))


def softmax_push(r, q, a, b, da, db, out, g):
    """The same of changes."""
    softmax_pull(r, q, a, b, da, out, g)


# --- products of matrices -------------------------------------------------------------------------------------------


def matmul(r, k, a, b, out, g):
    """Products of matrices (rows, inner) and (inner, columns), several side by side, a value a part."""
    m, inner, n = g[MATRIX_ROWS], g[MATRIX_INNER], g[MATRIX_COLUMNS]
    side, i, j = k // (m * n), k // n % m, k % n
    total = ZERO
    for c in range(inner):
        total += a[r, (side * m + i) * inner + c] * b[r, (side * inner + c) * n + j]
    out[r, k] = total


def matmul_push(r, k, a, b, da, db, out, g):
    """Da b + a db."""
    m, inner, n = g[MATRIX_ROWS], g[MATRIX_INNER], g[MATRIX_COLUMNS]
    side, i, j = k // (m * n), k // n % m, k % n
    total = ZERO
    for c in range(inner):
        x, y = (side * m + i) * inner + c, (side * inner + c) * n + j
        total += da[r, x] * b[r, y] + a[r, x] * db[r, y]
    out[r, k] = total


def matmul_pull_first(r, k, a, b, s, out, g):
    """S b^T."""
    m, inner, n = g[MATRIX_ROWS], g[MATRIX_INNER], g[MATRIX_COLUMNS]
    side, i, c = k // (m * inner), k // inner % m, k % inner
    total = ZERO
    for j in range(n):
        total += s[r, (side * m + i) * n + j] * b[r, (side * inner + c) * n + j]
    out[r, k] = total


def matmul_pull_second(r, k, a, b, s, out, g):
    """A^T s."""
    m, inner, n = g[MATRIX_ROWS], g[MATRIX_INNER], g[MATRIX_COLUMNS]
    side, c, j = k // (inner * n), k // n % inner, k % n
    total = ZERO
    for i in range(m):
        total += a[r, (side * m + i) * inner + c] * s[r, (side * m + i) * n + j]
    out[r, k] = total
