"""What a hook is where a device leaves it out: the ideal device, one function a hook.

This module is also the list of hooks there are, with the arguments each takes.
"""


def dac(v, d):
    """What the DAC drives for an input ``v``, in units of the row's full scale (-1 to 1)."""
    return v


def program(g, z, d):
    """What conductance a write of target ``g`` leaves; ``z`` is an N(0, 1) draw, new for each write."""
    return g


def cell_std(g, d):
    """Standard deviation of one read of a cell of conductance ``g``."""
    return 0.0


def readout(i, energy, z, u, d):
    """A line's analog value ``i`` (pre-activation units) after the noise of one read.

    ``energy`` is the variance that the line's cells add to this read, ``z`` an N(0, 1) draw, ``u`` a uniform draw
    in (0, 1), both new for each line and read.
    """
    return i


def adc(i, d):
    """What the ADC makes of a line's analog value ``i`` (pre-activation units)."""
    return i
