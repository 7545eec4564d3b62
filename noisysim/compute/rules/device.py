"""What a device puts into kernels: its numbers, with the own values of a part of the chip in them, and its hooks.

CUDA's kernels call hooks cell by cell, through these; the CPU's loops call rows (`noisysim.compute.cpu.device_rows`),
which say the same. The functions
up to `activation` are replaced where a device has own values, a self-calibrating ADC, or hooks that take a target; that
of activation by those of the network.
"""

from typing import NamedTuple

import numpy as np

from noisysim.compute.rules.flags import HAS_CELL_STD
from noisysim.devices.physics.ideal import appear, cell_std, drift, program, pulse

ZERO = np.float32(0.0)


class Numbers(NamedTuple):
    """The fields of the device that its hooks read, float32; replaced for every device."""


def with_cell(d, own, j):
    """The device's numbers with the own values of cell j."""
    return d


def with_step(d, step):
    """The device's numbers with the size of one pulse, a share of the span."""
    return d


def with_row(d, own, j):
    """The device's numbers with the own values of input line j."""
    return d


def with_column(d, own, j):
    """The device's numbers with the own values of output line j."""
    return d


def with_range(d, full_scale):
    """The device's numbers with the ADC range of one tile."""
    return d


def drifted(g, t, target, d):
    """What time leaves of a conductance."""
    return drift(g, t, d)


def deviation(g, t, target, d):
    """Standard deviation of a read of a cell."""
    return cell_std(g, t, d)


def activation(a, kind):
    """The activation function of a given number."""
    return a


def level(goal, d):
    """What a noiseless write of a goal would leave."""
    return np.float32(program(goal, ZERO, d))


def programmed(goal, z, d):
    """The conductance that a write of a goal leaves."""
    return max(np.float32(program(goal, z, d)), ZERO)


def pulsed(g, up, z, d):
    """The conductance after one pulse; `up` is 1 or -1."""
    return max(np.float32(pulse(g, up, z, d)), ZERO)


def appeared(g, z, d):
    """The conductance that a cell shows whose writes or pulses left it at g."""
    return max(np.float32(appear(g, z, d)), ZERO)


def aged(fresh, age, aim, d):
    """The conductance of a cell that was written as `fresh`, by a write that aimed at `aim`, after some seconds."""
    return max(np.float32(drifted(fresh, age, aim, d)), ZERO)


def variance_of(g, age, aim, unit, d):
    """The variance that a cell adds to one read, in weight units; `unit` is the weight per µS."""
    std = np.float32(deviation(g, age, aim, d)) * unit
    return std * std


def missing(goal, g, z, d):
    """What a verifying read finds missing to the goal; z is its N(0, 1) draw."""
    miss = goal - g
    if HAS_CELL_STD:
        miss -= np.float32(deviation(g, ZERO, goal, d)) * z
    return miss
