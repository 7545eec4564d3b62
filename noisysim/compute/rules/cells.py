"""What cells should hold, which of them a change moves, and how pulses are shared out.

``span`` is (g_min, g_max - g_min, slices, bits of each). Side 2 s is the positive cell of slice s, side 2 s + 1 its
negative cell; where a weight has one cell, that is side 0. A target is a weight in units of the full span, -1 to 1.
`paired` is whether a weight has two cells.
"""

import numpy as np

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
ROOM = np.float32(0.1)
"""Share of the span that the reset of a pair must win back."""
MOST = np.float32(1 << 22)
"""Steps at most: all are whole float32 numbers."""
LEAST_TOLERANCE = np.float32(1e-4)
"""Of the span: what counts as the tolerance of a closed-loop write at least, where levels are told apart."""


# --- goals ----------------------------------------------------------------------------------------------------------


def retargeted(target, change, scale):
    """The target of a weight after a change; `scale` is targets per weight unit."""
    return min(max(target + change * scale, -ONE), ONE)


def kept_target(target, change, scale, u, step):
    """`retargeted`, of a controller that keeps targets in whole steps: the change is rounded to them by u."""
    wanted = change * scale / step
    count = np.float32(int(min(abs(wanted) + u, MOST)))  # positive: truncation rounds down
    return min(max((np.rint(target / step) + (-count if wanted < ZERO else count)) * step, -ONE), ONE)


def share_of(magnitude, s, slices, bits):
    """The share of the full span that slice s holds of the magnitude of a target: its digit, without bits all of it."""
    if slices < 2 or bits == 0:
        return magnitude
    digits = (1 << bits) - 1
    whole = int(np.rint(np.float32(magnitude * np.float32((1 << (bits * slices)) - 1))))
    return np.float32((whole >> (bits * (slices - 1 - s))) & digits) / np.float32(digits)


def goal_of_one(target, span):
    """The conductance that the only cell of a weight should hold for a target."""
    return span[0] + span[1] * (HALF + HALF * target)


def goal_of_slice(magnitude, s, span):
    """The conductance that one of the pair of slice s should hold for a magnitude; the other holds nothing."""
    g_min, width, slices, bits = span
    return g_min + width * share_of(magnitude, s, slices, bits)


def goal_of(target, k, span, paired):
    """The conductance that side k should hold for a target."""
    if not paired:
        return goal_of_one(target, span)
    sign = np.float32(1 - 2 * (k & 1))
    return goal_of_slice(max(sign * target, ZERO), k >> 1, span)


def verified_level(goal, span, tolerance):
    """Which of the levels that a closed-loop write tells apart a goal is at; others: what a noiseless write leaves."""
    return np.rint(goal / (TWO * max(tolerance, LEAST_TOLERANCE) * span[1]))


def pair_moves(old, new, was, becomes, rest):
    """Which cells of a slice a new target moves to another level: 1 for the positive, 2 for the negative one.

    Parameters
    ----------
    old, new : float32
        The targets.
    was, becomes : float32
        The levels of their magnitudes in this slice.
    rest : float32
        The level of a cell that holds nothing.
    """
    plus = (was if old > ZERO else rest) != (becomes if new > ZERO else rest)
    minus = (rest if old > ZERO else was) != (rest if new > ZERO else becomes)
    return np.int32(np.int32(plus) + np.int32(2) * np.int32(minus))


def is_met(miss, tolerance, span):
    """Whether the goal of a closed-loop write is met."""
    return abs(miss) <= tolerance * span[1]


def together(unit, column, groups):
    """Whether a unit sees a column: the cells where it does not hold no weight.

    Parameters
    ----------
    unit, column : int
    groups : tuple of int
        Columns that are split between groups, channel by channel of each pixel: those behind them, a bias, are of all.
        0 where a layer has no groups. Then the image's channels, channels of a group, and units of a group.
    """
    return column >= groups[0] or column % groups[1] // groups[2] == unit // groups[3]


# --- pulses ---------------------------------------------------------------------------------------------------------


def pulses_asked(change, per, u, most):
    """Pulses asked of a weight, signed, stochastically rounded by u; `per` is pulses per weight unit."""
    wanted = change * per
    count = np.int32(min(most, abs(wanted) + u))  # positive: truncation rounds down
    return np.int32(-count) if wanted < ZERO else count


def steps_due(chi, change, per, most):
    """Whole steps that an accumulator has together with a change, signed, `most` at most."""
    due = chi + change * per
    count = np.int32(min(most, abs(due)))
    return np.int32(-count) if due < ZERO else count


def slice_of_pulses(write, slices):
    """Which of equal slices gets the pulses of an update: each in its turn."""
    return write % slices


def side_of_pulses(count, paired):
    """The side of a slice that gets the pulses of a weight."""
    return 1 if paired and count < 0 else 0


def direction_of_pulses(count, paired):
    """Whether they raise or lower the conductance: 1 or -1."""
    return ONE if paired or count > 0 else -ONE


def stepped(g, count, step, span, paired):
    """Where so many steps take a cell from where it is, within the range that it is written in."""
    up = np.float32(abs(count) if paired else count)
    return min(max(g + up * step, span[0]), span[0] + span[1])


def moved_by(goal, written, meant):
    """What a write leaves that moves a cell to a goal: its error is what a program write misses what it means by."""
    return max(goal + (written - meant), ZERO)


def whole_turn(turn, listed, n):
    """Whether cell j of a block takes draw j of `CELL_BLOCK`, instead of the i-th of those listed draw i."""
    return turn == 0 and listed >= n // 2


def digitised(g, std, line, z, quantum, span):
    """One read of a cell by an ADC whose codes lie evenly over the range; without a step what its noise makes of it."""
    read = min(max(g + np.sqrt(std * std + line * line) * z, span[0]), span[0] + span[1])
    return span[0] + np.rint((read - span[0]) / quantum) * quantum if quantum > ZERO else read


def target_read(plus, minus, paired):
    """The target that reads stand for: of a pair the cell that holds more, of one cell beside the middle."""
    if not paired:
        return plus - ONE
    return plus if plus >= minus else -minus


def whole_change(count, per):
    """The change of a weight that so many steps are."""
    return np.float32(count) / per


def needs_reset(plus, minus, at_most, span):
    """Whether one of a pair has come near its end, and writing the pair anew wins room back."""
    g_min, width = span[0], span[1]
    low, high = min(plus, minus), max(plus, minus)
    return not (high <= g_min + at_most * width or low <= g_min + ROOM * width)


def reset_goal(difference, k, span):
    """The conductance that side k of a pair is written to, so that one cell holds the difference."""
    return span[0] + min(max(difference if k == 0 else -difference, ZERO), span[1])
