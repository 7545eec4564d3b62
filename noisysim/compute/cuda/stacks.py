"""Which passes go through a layer together on a GPU: rows of one after those of another, in one product."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from noisysim.common.types import Ints

STACKED = 1 << 27
"""Most values of a work array that holds several passes."""


class Run(NamedTuple):
    """Passes that follow each other, and where their rows are: one kernel takes them all.

    Attributes
    ----------
    first, length : int
        The first one's number, and how many they are.
    block : int
        Where the first one's rows are, in passes.
    step : int
        1 where those of each pass follow those of the one before it, 0 where all read the same ones.
    """

    first: int
    length: int
    block: int
    step: int

    def split(self, alone: Callable[[int], bool]) -> list[Run]:
        """The same passes in as few runs as may be, some passes in one by themselves."""
        return runs([(self.first + i, self.block + i * self.step) for i in range(self.length)], alone)


class Stack(NamedTuple):
    """Passes that go through a layer together.

    Attributes
    ----------
    passes : tuple of int
        Those with rows of their own in what drives the layer, in this order.
    readers : tuple of (int, int)
        Those whose lines are read, and the place in `passes` of the one whose rows they read: in the layer in which
        passes part from the first they share its rows.
    """

    passes: tuple[int, ...]
    readers: tuple[tuple[int, int], ...]

    @property
    def runs(self) -> list[Run]:
        """Those with rows of their own, by where these are."""
        return runs([(p, place) for place, p in enumerate(self.passes)])


def stacks(layer: int, fork: Ints, values: int) -> list[Stack]:
    """The passes of a call, as they go through a layer: together, as long as work arrays hold them.

    Parameters
    ----------
    layer : int
    fork : array
        The layer at which each pass parts from the first (`noisysim.compute.protocols.Call`).
    values : int
        Of one pass in the largest work array; 0 sets no limit.
    """
    passes = parted(layer, fork)
    most = max(1, STACKED // values) if values else len(passes)
    found = []
    for at in range(0, len(passes), most):
        own = passes[at : at + most]
        shared = [p for p, parts_at in enumerate(fork) if p > 0 and parts_at == layer] if at == 0 else []
        readers = sorted([(p, place) for place, p in enumerate(own)] + [(p, 0) for p in shared])
        found.append(Stack(tuple(own), tuple(readers)))
    return found


def parted(layer: int, fork: Ints) -> list[int]:
    """The passes that need not be driven alike in a layer: the first, and those that parted from it below."""
    return [p for p, at in enumerate(fork) if p == 0 or at < layer]


def runs(readers: Iterable[tuple[int, int]], alone: Callable[[int], bool] = lambda p: False) -> list[Run]:
    """Passes, each with the place of its rows, in as few runs as may be, some in one by themselves."""
    found: list[Run] = []
    for p, block in readers:
        if found and not alone(p) and not alone(found[-1].first):
            first, length, start, step = found[-1]
            step = step if length > 1 else block - start
            if p == first + length and block == start + length * step and step in (0, 1):
                found[-1] = Run(first, length + 1, start, step)
                continue
        found.append(Run(p, 1, block, 0))
    return found
