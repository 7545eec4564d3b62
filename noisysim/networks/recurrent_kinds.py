"""Recurrent layers: two arrays a layer, one driven by every step of a sequence, one by what it gave the step before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from noisysim.common.fields import Field
from noisysim.common.types import Array
from noisysim.networks.layer_kinds import Layer, Size

GATES = {"rnn": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}
"""Lines that a unit of each kind of cell has on either array (`noisysim.compute.rules.recurrence`)."""
READS = {"rnn": 1, "lstm": 1, "gru": 1, "gru_reset_before": 2}
"""How often a cell reads its second array at each step."""
ONNX_ORDER = {"rnn": (0,), "lstm": (0, 2, 3, 1), "gru": (1, 0, 2), "gru_reset_before": (1, 0, 2)}
"""Where ONNX has each gate of the order here: it has those of a long short-term memory in the order i, o, f, c, and of
a gated recurrent unit z, r, h."""


def sorted_gates(lines: Array, order: Sequence[int]) -> Array:
    """Lines, (gates units, ...), gate by gate in another order."""
    gates = np.split(lines, len(order))
    return np.concatenate([gates[k] for k in order])


@dataclass(frozen=True, repr=False)
class Recurrent(Layer):
    """A recurrent layer over the rows of an image: steps of a sequence, whose values are a step's features.

    Two arrays hold its weights: one takes the features of all steps, the other, step after step, the layer's own last
    output, zeros at first. Their lines are digitised, and the digital periphery computes the cell.

    Parameters
    ----------
    units : int
    cell : {"rnn", "lstm", "gru", "gru_reset_before"}
        Elman's, a long short-term memory, or a gated recurrent unit: with its reset gate behind the product, as in
        PyTorch and Keras; or before it, as published, for which the second array is read a second time at each step.
    returns : {"last", "all"}
        What it gives: the output of the last step, or of every step, again rows of an image.
    digital : bool
        Whether its weights are kept in digital memory and both products are exact, whatever the arrays are made of.
    """

    name: ClassVar[str] = "recurrent"
    units: Size
    cell: Annotated[str, Field(choices=tuple(GATES))] = "rnn"
    returns: Annotated[str, Field(choices=("last", "all"))] = "last"
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False

    @property
    def lines(self) -> int:
        """Output lines of either array."""
        return GATES[self.cell] * self.units


@dataclass(frozen=True, repr=False)
class Recurrence(Layer):
    """The second array of a recurrent layer: what a network's `Block` of it has for a product.

    Parameters
    ----------
    units : int
    cell : str
    digital : bool
    """

    name: ClassVar[str] = "recurrence"
    units: Size
    cell: Annotated[str, Field(choices=tuple(GATES))]
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False

    @property
    def numbers(self) -> tuple[int, int]:
        """The number of its cell, from 1 in the order of `GATES`, and its units, which loops know of it."""
        return 1 + list(GATES).index(self.cell), self.units

    @property
    def reads(self) -> int:
        """Reads of its array at each step."""
        return READS[self.cell]

    @property
    def lines(self) -> int:
        """Output lines."""
        return GATES[self.cell] * self.units


recurrent = Recurrent
