"""What a microscope would show of cells."""

from __future__ import annotations

from typing import NamedTuple

from noisysim.common.types import Bools, Doubles, Floats


class Cells(NamedTuple):
    """One layer's cells, as a microscope would show them; of several chips, the rows of one after those of another.

    Attributes
    ----------
    plus, minus : numpy.ndarray
        Conductances now, µS, (slices, n_out, n_in). With one cell per weight, minus is the fixed reference.
    stuck : numpy.ndarray
        Which do not answer to writes, bool, (slices, 2, n_out, n_in).
    age : numpy.ndarray
        Seconds since each was written, (slices, 2, n_out, n_in); zeros for a device that does not age.
    target : numpy.ndarray
        What the last write of each aimed at, µS, (slices, 2, n_out, n_in); after pulses of an open loop, what it held
        then. NaN for a device whose hooks do not ask for it.
    """

    plus: Floats
    minus: Floats
    stuck: Bools
    age: Doubles
    target: Floats

    def of_first(self, n_out: int) -> Cells:
        """The cells of the first chip, whose layer has `n_out` outputs."""
        return Cells._make(array[..., :n_out, :] for array in self)
