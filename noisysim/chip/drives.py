"""What the drives of a call add to its passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from noisysim.chip.checking import Checks, Shape
from noisysim.common.fields import shown
from noisysim.common.types import Floats, Ints
from noisysim.compute import grouping
from noisysim.compute.layout import ON_LINE, ON_OUTPUT, ON_WEIGHTS
from noisysim.compute.observation import Drive
from noisysim.compute.protocols import Addition


class Added(NamedTuple):
    """What the drives of a call add.

    Attributes
    ----------
    parts : list of Addition
    fork : numpy.ndarray
        The layer at which each pass parts from the first, (passes,) int64 (`noisysim.compute.protocols.Call`).
    """

    parts: list[Addition]
    fork: Ints


class Drives:
    """Takes the drives of a call apart.

    Parameters
    ----------
    checks : Checks
    noisy : bool
        Whether two passes of the same inputs can differ.
    """

    def __init__(self, checks: Checks, noisy: bool):
        self._checks, self._net, self._noisy = checks, checks.net, noisy
        self._forks: dict[int, Ints] = {}
        self._of_rows: dict[int, tuple[list[Shape], list[Shape]]] = {}  # of the last batch's: updates are alike

    def nothing(self, passes: int) -> Added:
        """What undriven passes add."""
        if passes not in self._forks:  # wanted in every update
            self._forks[passes] = np.full(passes, 0 if self._noisy else self._net.depth, np.int64)
        return Added([], self._forks[passes])

    def added(self, drives: Sequence[Drive], rows: int) -> Added:
        """What drives add to passes of a batch of `rows` samples."""
        nothing = self.nothing(len(drives))
        parts = [(p, *part) for p, drive in enumerate(drives) if not drive.empty for part in self._parts(drive, rows)]
        if self._noisy or not parts:
            return Added(parts, nothing.fork)
        fork = nothing.fork.copy()
        for p, _, layer, _ in parts:
            fork[p] = min(fork[p], layer)
        return Added(parts, np.minimum(fork, fork[0]))

    def second_products(self, parts: Sequence[Addition], rows: int) -> int:
        """Array products of drives of weights, which cost what those of the first arrays do."""
        net = self._net
        driven = [layer for _, kind, layer, _ in parts if kind == ON_WEIGHTS and not net.digital[layer]]
        tiles = (len(net.row_tiles(i)) * len(net.column_tiles(i)) * net.positions[i] for i in driven)
        return rows * sum(tiles)

    def _parts(self, drive: Drive, rows: int) -> list[tuple[int, int, Floats]]:
        """The parts of a drive: to what it adds, in which layer, and what."""
        depth, checks, parts = self._net.depth, self._checks, list[tuple[int, int, Floats]]()
        lines, outputs = self._shapes(rows)
        for name, kind, pieces, shapes in (
            ("perturbation", ON_LINE, drive.perturbations, lines),
            ("output perturbation", ON_OUTPUT, drive.outputs, outputs),
            ("weight perturbation", ON_WEIGHTS, drive.weights, checks.weight_shapes),
        ):
            if len(pieces) not in (0, depth):
                raise ValueError(f"a drive needs a {name} or None for each of {depth} layers, not {len(pieces)}")
            for layer, piece in enumerate(pieces):
                if piece is not None:
                    if not checks.fits(piece, shapes[layer]):
                        piece = checks.piece(f"the {name} of layer {layer}", piece, shapes[layer])
                    if kind == ON_WEIGHTS and self._net.blocks[layer].groups > 1:
                        piece = piece.copy()
                        grouping.mask_layer(self._net, layer, piece)
                    parts.append((kind, layer, piece))
        if drive.outputs or drive.weights:
            _check_together(parts, depth)
        return parts

    def _shapes(self, rows: int) -> tuple[list[Shape], list[Shape]]:
        """Shapes of what is added to each layer's lines and outputs, of batches of `rows` samples."""
        if rows not in self._of_rows:
            layers = range(self._net.depth)
            lines = [self._net.line_shape(layer, rows) for layer in layers]
            self._of_rows = {rows: (lines, [self._net.output_shape(layer, rows) for layer in layers])}
        return self._of_rows[rows]


def as_drives(values: object) -> tuple[Drive, ...]:
    """Drives in a plain tuple, or the one clear error."""
    if type(values) is not list and (not isinstance(values, Sequence) or isinstance(values, str)):
        raise TypeError(f"drives must be a list of Drive, not {shown(values)}")
    drives = tuple(values)
    if not drives:
        raise ValueError("drives must be one or more: each is a pass")
    if not all(type(drive) is Drive for drive in drives):
        raise TypeError("a drive must be a Drive")
    return drives


def _check_together(parts: Sequence[tuple[int, int, Floats]], depth: int) -> None:
    """Refuse what has no effect, and what has two in one layer."""
    if any(kind == ON_OUTPUT and layer == depth - 1 for kind, layer, _ in parts):
        raise ValueError("the last layer's output feeds no layer: perturb its pre-activations instead")
    taken = [layer for kind, layer, _ in parts if kind != ON_OUTPUT]
    if len(taken) > len(set(taken)):
        raise ValueError("a layer takes a perturbation of its lines or of its weights, not both")
