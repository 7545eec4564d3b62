"""What a device puts into the loops besides its hooks: its numbers, with the own values of a part of the chip in them.

The functions are replaced where a device has own values, a self-calibrating ADC, or hooks that take a target; that of
activation by those of the network.
"""

from typing import NamedTuple

from noisysim.devices.physics.ideal import cell_std, drift


class Numbers(NamedTuple):
    """The fields of the device that its hooks read, float32; replaced for every device."""


def with_cell(d, own, j):
    """The device's numbers with the own values of cell j."""
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
