"""What cells should hold, which of them a change moves, and what a write, a pulse and time make of them.

``span`` is (g_min, g_max - g_min, slices, bits of each). Side 2 s is the positive cell of slice s, side 2 s + 1 its
negative cell; where a weight has one cell, that is side 0. A target is a weight in units of the full span, -1 to 1.
"""

import numpy as np

from noisysim.compute.rules.device import deviation, drifted
from noisysim.compute.rules.flags import HAS_CELL_STD, PAIRED, SLICED, VERIFIED
from noisysim.compute.rules.marks import fused
from noisysim.devices.physics.ideal import program, pulse

ZERO, HALF, ONE, TWO = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(2.0)
ROOM = np.float32(0.1)
"""Share of the span that the reset of a pair must win back."""
LEAST_TOLERANCE = np.float32(1e-4)
"""Of the span: what counts as the tolerance of a closed-loop write at least, where levels are told apart."""
FEW_WRITES, FEW_PULSES = 8, 256
"""Below these parts of its weights a block is written cell by cell, or refreshed weight by weight after pulses."""


# --- goals ----------------------------------------------------------------------------------------------------------


def share_of(magnitude, s, slices, bits):
    """The share of the full span that slice s holds of the magnitude of a target: its digit."""
    if not SLICED:
        return magnitude
    digits = (1 << bits) - 1
    whole = int(np.rint(np.float32(magnitude * np.float32((1 << (bits * slices)) - 1))))
    return np.float32((whole >> (bits * (slices - 1 - s))) & digits) / np.float32(digits)


def goal_of(target, k, span):
    """The conductance that side k should hold for a target."""
    g_min, width, slices, bits = span
    if not PAIRED:
        return g_min + width * (HALF + HALF * target)
    sign = np.float32(1 - 2 * (k & 1))
    return g_min + width * share_of(max(sign * target, ZERO), k >> 1, slices, bits)


def level(goal, span, tolerance, d):
    """What a noiseless write of a goal would leave: goals at different levels are worth a write."""
    if VERIFIED:
        return np.rint(goal / (TWO * max(tolerance, LEAST_TOLERANCE) * span[1]))
    return np.float32(program(goal, ZERO, d))


@fused
def retargeted(target, change, scale):
    """The target of a weight after a change; `scale` is targets per weight unit."""
    return min(max(target + change * scale, -ONE), ONE)


def single_moves(old, new, span, tolerance, d):
    """Whether a new target moves the one cell of a weight to another level: 1, or 0."""
    before, after = level(goal_of(old, 0, span), span, tolerance, d), level(goal_of(new, 0, span), span, tolerance, d)
    return np.int32(before != after)


@fused
def pair_moves(old, new, s, rest, span, tolerance, d):
    """Which cells of slice s a new target moves to another level: 1 for the positive, 2 for the negative one.

    `rest` is the level of a cell that holds nothing.
    """
    g_min, width, slices, bits = span
    was = level(g_min + width * share_of(abs(old), s, slices, bits), span, tolerance, d)
    becomes = level(g_min + width * share_of(abs(new), s, slices, bits), span, tolerance, d)
    plus = (was if old > ZERO else rest) != (becomes if new > ZERO else rest)
    minus = (rest if old > ZERO else was) != (rest if new > ZERO else becomes)
    return np.int32(np.int32(plus) + np.int32(2) * np.int32(minus))


# --- what becomes of one cell ---------------------------------------------------------------------------------------


@fused
def programmed(goal, z, d):
    """The conductance that a write of a goal leaves."""
    return max(np.float32(program(goal, z, d)), ZERO)


@fused
def pulsed(g, up, z, d):
    """The conductance after one pulse; `up` is 1 or -1."""
    return max(np.float32(pulse(g, up, z, d)), ZERO)


@fused
def aged(fresh, age, aim, d):
    """The conductance of a cell that was written as `fresh`, by a write that aimed at `aim`, after some seconds."""
    return max(np.float32(drifted(fresh, age, aim, d)), ZERO)


@fused
def variance_of(g, age, aim, unit, d):
    """The variance that a cell adds to one read, in weight units; `unit` is the weight per µS."""
    std = np.float32(deviation(g, age, aim, d)) * unit
    return std * std


# --- closed-loop writes ---------------------------------------------------------------------------------------------


@fused
def missing(goal, g, z, d):
    """What a verifying read finds missing to the goal; z is its N(0, 1) draw."""
    miss = goal - g
    if HAS_CELL_STD:
        miss -= np.float32(deviation(g, ZERO, goal, d)) * z
    return miss


def is_met(miss, tolerance, span):
    """Whether a goal is met."""
    return abs(miss) <= tolerance * span[1]


# --- pulses ---------------------------------------------------------------------------------------------------------


@fused
def pulses_asked(change, per, u, most):
    """Pulses asked of a weight, signed, stochastically rounded by u; `per` is pulses per weight unit."""
    wanted = change * per
    count = np.int32(min(most, abs(wanted) + u))  # positive: truncation rounds down
    return np.int32(-count) if wanted < ZERO else count


def side_of_pulses(count):
    """The side that gets the pulses of a weight."""
    return 1 if PAIRED and count < 0 else 0


def direction_of_pulses(count):
    """Whether they raise or lower the conductance: 1 or -1."""
    return ONE if PAIRED or count > 0 else -ONE


@fused
def needs_reset(plus, minus, at_most, span):
    """Whether one of a pair has come near its end, and writing the pair anew wins room back."""
    g_min, width, _, _ = span
    low, high = min(plus, minus), max(plus, minus)
    return not (high <= g_min + at_most * width or low <= g_min + ROOM * width)


def reset_goal(difference, k, span):
    """The conductance that side k of a pair is written to, so that one cell holds the difference."""
    g_min, width, _, _ = span
    return g_min + min(max(difference if k == 0 else -difference, ZERO), width)


# --- how a block is gone through --------------------------------------------------------------------------------------


def few_written(written, n):
    """Whether cells draw noise one by one, since few of a block of n weights are written."""
    return written < n // FEW_WRITES


def few_pulsed(listed, n):
    """Whether weights are brought up to date one by one, since few of a block of n got pulses."""
    return listed < n // FEW_PULSES


def whole_turn(turn, listed, n):
    """Whether cell j of a block takes draw j of `CELL_BLOCK`, instead of the i-th of those listed draw i."""
    return turn == 0 and listed >= n // 2
