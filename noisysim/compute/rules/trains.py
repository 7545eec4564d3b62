"""Pulse trains on rows and columns: how long and how dense they are, and what a cell gets where they coincide.

The stochastic update of Gokmen & Vlasov (Front. Neurosci. 10:333, 2016): a column is on in each slot of a train with
probability C_x |x_j|, a row with C_d |d_i|, independently, and a cell gets a pulse in each slot in which both are. With
C_x C_d = lr / (BL dw_min) that is lr x_j d_i in the mean. How the strength is shared out between rows and columns is
update management (Gokmen, Onen & Haensch, Front. Neurosci. 11:538, 2017). That trains get no longer than they have to
is called update BL management in AIHWKit (Rasch et al., AICAS 2021), whose formula this is.

A train is words of `SLOTS` slots, the first slot in the lowest bit; the bit above them is the sign.
"""

import numpy as np

SLOTS = 31
"""Slots in a word."""
ALL, SIGN = np.uint32((1 << SLOTS) - 1), np.uint32(1 << SLOTS)
COUNTERS = 8
"""Counters of four words that give a random number of 32 bits for each slot of a word."""
_ONE, _TWO, _FOUR, _EIGHT, _SIXTEEN = (np.uint32(k) for k in (1, 2, 4, 8, 16))
_PAIRS, _FOURS, _BYTES, _COUNT = (np.uint32(k) for k in (0x55555555, 0x33333333, 0x0F0F0F0F, 0x3F))
_SIGN = np.int32(31)
CERTAIN = 2.0**32
"""The threshold of a probability of 1."""


def train_length(strongest, slots, shortens):
    """Slots of a train; `strongest` is the mean number of pulses of the cell that is to get most of them."""
    return min(slots, max(1, int(np.ceil(min(strongest, 1e9))))) if shortens else slots


def column_gain(asked, length, x_most, d_most, balances):
    """C_x; `asked` is lr / dw_min, `x_most` and `d_most` are the largest |x| and |d| of the sample."""
    return np.sqrt(asked / length * (d_most / x_most if balances else 1.0))


def row_gain(asked, length, x_most, d_most, balances):
    """C_d."""
    return np.sqrt(asked / length * (x_most / d_most if balances else 1.0))


def threshold(gain, value):
    """A random word of 32 bits below it switches a slot on: 2^32 min(1, gain |value|)."""
    return np.int64(np.rint(min(gain * abs(np.float64(value)), 1.0) * CERTAIN))


def slots_of(length, word):
    """The slots that a train has in one of its words, as bits."""
    return np.uint32((1 << min(max(length - word * SLOTS, 0), SLOTS)) - 1)


def decide(limit, plane, random, on, undecided):
    """Slots that are on, and those still undecided, after one more bit of each one's random number.

    A slot is on if its number is below `limit`. Of both the bits count from the highest down, and the first in which
    they differ decides; `plane` is which it is, `random` holds that bit of all slots of a word.
    """
    bit = np.int32(-np.int32(np.uint32(limit >> np.uint32(31 - plane)) & _ONE)).view(np.uint32)
    differs = np.uint32(bit ^ random) & undecided
    return np.uint32(on | (differs & bit)), np.uint32(undecided ^ differs)


def coincidences(row, column):
    """In how many slots of a word both are on."""
    v = np.uint32(row & column & ALL)
    v = np.uint32(v - (np.uint32(v >> _ONE) & _PAIRS))
    v = np.uint32((v & _FOURS) + (np.uint32(v >> _TWO) & _FOURS))
    v = np.uint32(np.uint32(v + np.uint32(v >> _FOUR)) & _BYTES)
    v = np.uint32(v + np.uint32(v >> _EIGHT))
    return np.int32(np.uint32(v + np.uint32(v >> _SIXTEEN)) & _COUNT)


def signed(count, row, column):
    """A count with the sign of both trains: negative where they differ in it."""
    sign = np.uint32(row ^ column).view(np.int32) >> _SIGN
    return np.int32((count ^ sign) - sign)
