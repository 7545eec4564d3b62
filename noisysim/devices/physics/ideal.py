"""What a hook is where a device leaves it out: the ideal device, one function a hook.

This module is also the list of hooks there are, in the order in which a signal or a change meets them, with the
arguments each takes. ``d`` is the device's numbers; where a field has a spread, the cell's, row's or column's own.
"""

from typing import Any

from noisysim.devices.physics.scalars import Scalar


def dac(v: Scalar, d: Any) -> Scalar:
    """What the DAC drives for an input ``v``, in units of the row's full scale (-1 to 1)."""
    return v


def current(v: Scalar, d: Any) -> Scalar:
    """What a cell of unit conductance carries at drive ``v``, both in units of full scale: its I-V curve."""
    return v


def program(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """What conductance a write of target ``g`` leaves; ``z`` is an N(0, 1) draw, new for each write."""
    return g


def pulse(g: Scalar, up: Scalar, z: Scalar, d: Any) -> Scalar:
    """What conductance one pulse leaves of ``g``: ``up`` is 1 for potentiation, -1 for depression; ``z`` as above."""
    return g


def appear(g: Scalar, z: Scalar, d: Any) -> Scalar:
    """What conductance a cell shows whose writes or pulses left it at ``g``; ``z`` as above, new for each update.

    Further pulses start from ``g``, not from what it shows: this noise does not add up.
    """
    return g


def drift(g: Scalar, t: Scalar, d: Any) -> Scalar:
    """What is left after ``t`` seconds of a conductance that was written as ``g``.

    A device may define it as ``drift(g, t, target, d)``: ``target`` is what the write aimed at.
    """
    return g


def cell_std(g: Scalar, t: Scalar, d: Any) -> float:
    """Standard deviation of one read of a cell of conductance ``g``, ``t`` seconds after its write.

    A device may define it as ``cell_std(g, t, target, d)``: ``target`` is what the write aimed at.
    """
    return 0.0


def jump(s: Scalar, u: Scalar, t: Scalar, d: Any) -> Scalar:
    """The state (a whole number from 0 to 255) of a cell ``t`` seconds after it was ``s``; ``u`` a uniform draw."""
    return s


def read_cell(g: Scalar, s: Scalar, z: Scalar, u: Scalar, d: Any) -> Scalar:
    """What conductance one read of a cell in state ``s`` sees; ``z`` an N(0, 1) and ``u`` a uniform draw, both new."""
    return g


def readout(i: Scalar, energy: Scalar, z: Scalar, u: Scalar, d: Any) -> Scalar:
    """A line's analog value ``i`` (pre-activation units) after the noise of one read.

    ``energy`` is the variance that the line's cells add to this read, ``z`` an N(0, 1) draw, ``u`` a uniform draw
    in (0, 1), both new for each line and read.
    """
    return i


def adc(i: Scalar, d: Any) -> Scalar:
    """What the ADC makes of a line's analog value ``i`` (pre-activation units)."""
    return i
