"""A weight gradient as factors: the mean of outer products that it is, not yet formed.

Nearly every rule's gradient is <s_l x_l^T>, with an estimate s_l of dL/da_l and the inputs x_l that drove a layer. What
applies it needs no array of the size of the weights in between: a sweep forms a block of it, takes the optimizer's step
and writes the cells of that block before the next. It is also how hardware updates in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from noisysim.common.types import Bools, Floats, Ints
from noisysim.compute import algebra
from noisysim.compute.layered import Layered
from noisysim.compute.optimizer_step import Step
from noisysim.compute.protocols import Term
from noisysim.networks.block import Block
from noisysim.networks.tiling import Network


@dataclass(frozen=True)
class Factors:
    """A gradient as factors.

    Parameters
    ----------
    terms : sequence of Term
        Whose sum is s.
    inputs : sequence of array
        x, (batch, n_in) or (batch, positions, n_in) per layer.
    normed : sequence of (array or None)
        Normalised lines of the layers that have such (`noisysim.compute.algebra.outer`).
    chips : int
    """

    terms: Sequence[Term]
    inputs: Sequence[Floats]
    normed: Sequence[Floats | None]
    chips: int

    def of_layers(self, layers: Sequence[int]) -> Factors:
        """Those of some layers alone."""

        def chosen(arrays: Sequence[Any]) -> list[Any]:
            return [arrays[layer] for layer in layers]

        terms = [
            Term(
                term.factors[list(layers)] if term.factors.ndim > 1 else term.factors, chosen(term.activities),
                None if term.baseline is None else chosen(term.baseline),
            )
            for term in self.terms
        ]  # fmt: skip
        return Factors(terms, chosen(self.inputs), chosen(self.normed) if self.normed else (), self.chips)

    def gradient(self, out: Layered | None = None) -> Layered:
        """The gradient itself, (chips n_out, n_in) per layer."""
        return algebra.outer(self.terms, self.inputs, out, self.normed, chips=self.chips)


def factor_places(net: Network, chips: int, samples: int) -> Ints:
    """Where the factors of each layer are in flat buffers: the table `factors` of `noisysim.compute.layout`.

    Parameters
    ----------
    net : Network
    chips : int
    samples : int
        Of each chip.
    """
    rows = np.array(net.positions) * samples
    n_out, n_in = np.array(net.shapes).T
    starts = [np.cumsum([0, *(chips * rows * widths)])[:-1] for widths in (n_out, n_in, np.ones_like(n_in))]
    groups = [_groups(block, n) for block, n in zip(net.blocks, n_out.tolist(), strict=True)]
    return np.column_stack([*starts, rows, groups]).astype(np.int64)


def _groups(block: Block, n_out: int) -> tuple[int, int, int, int]:
    """A layer's groups of channels, as `together` of `noisysim.compute.rules.cells` takes them."""
    if block.groups == 1:
        return 0, 1, 1, 1
    channels = block.source[2]
    return block.fan_in, channels, channels // block.groups, n_out // block.groups


class Sweeping(Protocol):
    """Cells that are changed by factors: on a GPU those that take pulse trains."""

    def descend(self, factors: Factors, take: Callable[[], Step], number: int, clock: float, /) -> Bools:
        """Write what a step, which ``take()`` gives, makes of a gradient; says whose change is not finite, (chips,)."""
