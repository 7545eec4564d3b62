"""The cells of some chips, as backends change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from noisysim.common.types import Doubles, Floats, Ints, Words
from noisysim.networks.tiling import Network


class Span(NamedTuple):
    """The range of conductances that weights are written into.

    Attributes
    ----------
    g_min, width : float32
        Lowest conductance, and how far the highest is above it, µS.
    slices, bits : int
        Pairs of cells per weight, and bits of a weight that each holds.
    """

    g_min: np.float32
    width: np.float32
    slices: int
    bits: int


class VerifyLimits(NamedTuple):
    """When a closed-loop write stops: after a number of pulses, or within a share of the span of the goal."""

    pulses: int
    tolerance: np.float32


class PulseLimits(NamedTuple):
    """Of open-loop pulses: most of a cell in one update, and the share of the span at which a pair is reset."""

    pulses: int
    reset_at: np.float32


class Reading(NamedTuple):
    """How a controller reads a cell: noise of the line, and step of the ADC (0: none), µS."""

    noise: np.float32
    quantum: np.float32


class TrainLimits(NamedTuple):
    """Of updates by pulse trains: slots of a train, and whether gains are balanced and trains shortened.

    See `noisysim.compute.rules.trains`.
    """

    slots: int
    balances: bool
    shortens: bool


@dataclass(eq=False)
class CellState:
    """Cells, the weights that they amount to, and what the write controller keeps.

    Cells are rows of arrays, (sides, cells), two sides per slice: 2 s positive, 2 s + 1 negative or the fixed
    reference. In a row a layer's cells are laid out like its weights, (n_out, n_in); what belongs to a layer or a tile
    of all chips is in one piece, chip after chip. What a device does not have is an array of size 0.

    Attributes
    ----------
    net : Network
    chips : int
    apart : bool
        Whether what is written is counted for each chip.
    table, tiles : numpy.ndarray
        Where layers and tiles start (`noisysim.compute.layout`).
    controller : str
        What makes writes of changes (`noisysim.devices.controllers`).
    paired, pulsed, verified, timed, aims, faulty, varied : bool
        Two cells per weight; written by pulses; these in a closed loop with reads; the age of a cell matters; what its
        last write aimed at matters; some are stuck; cells have values of their own.
    apparent : bool
        Whether cells show something else than what writes and pulses left (``appear``).
    at_once : bool
        Whether time does something to cells that were just written.
    lazy : bool
        Whether writes leave the variances to the next read.
    weights, variances : array
        Of every tile, flat float32: what the cells amount to, and the variances of one read.
    targets : array
        Of every weight, in units of the full span, (cells,) float32; empty if the controller keeps none.
    chi : array
        Of every weight what an accumulating controller has left, in steps, (cells,) float32.
    now : array
        Conductances, µS, (sides, cells) float32.
    fresh, since : array
        Conductances as written, float32, and when that was, s, float64. Pulses to cells that show something else
        start from `fresh`.
    aimed : array
        What the last write aimed at, µS, float32.
    own : array
        Own values, (fields, sides, cells) float32.
    stuck : array
        Where stuck cells are stuck, µS, NaN for the others, float32.
    write_keys : array
        (chips, 2) uint32.
    scales, pulsing : numpy.ndarray
        Targets, and pulses or steps, per weight unit, (layers,) float32.
    units : numpy.ndarray
        Weights per µS, (layers, slices) float32.
    span : Span
    step, target_step : float32
        Change of a cell by one step, µS; distance of two targets that a copy can keep, in units of the full span, or 0.
    reading : Reading
    verify_limits : VerifyLimits
    pulse_limits : PulseLimits
    trains : TrainLimits or None
        Where pulse trains on rows and columns update the cells.
    exact : bool
        Whether a pulse may have any size: weights change by just what is asked for.
    wire : float
        Resistance between two neighbouring cells, Ohm; 0 without wires.
    exact_wires : bool
        Whether arrays with wires are solved node by node.
    """

    net: Network
    chips: int
    apart: bool
    table: Ints
    tiles: Ints
    controller: str
    paired: bool
    pulsed: bool
    verified: bool
    timed: bool
    aims: bool
    faulty: bool
    varied: bool
    apparent: bool
    at_once: bool
    lazy: bool
    weights: Floats
    variances: Floats
    targets: Floats
    chi: Floats
    now: Floats
    fresh: Floats
    since: Doubles
    aimed: Floats
    own: Floats
    stuck: Floats
    write_keys: Words
    scales: Floats
    pulsing: Floats
    units: Floats
    span: Span
    step: np.float32
    target_step: np.float32
    reading: Reading
    verify_limits: VerifyLimits
    pulse_limits: PulseLimits
    trains: TrainLimits | None
    exact: bool
    wire: float
    exact_wires: bool

    @property
    def knows_targets(self) -> bool:
        """Whether a write controller keeps what the weights should be; those of exact weights it knows."""
        return self.controller == "copy"

    @property
    def cell_count(self) -> int:
        """How many cells a side has in all chips, one a weight; 0 where weights are exact."""
        return int(self.now.shape[1])

    @property
    def kind(self) -> str:
        """How changes of weights are written, which is what is done to a block of them."""
        if not self.cell_count:
            return "add"
        if self.knows_targets:
            return "verify" if self.verified else "write"
        if self.controller == "read_modify_write":
            return "modify"
        return "step" if not self.pulsed else "mean" if self.exact else "pulse"

    @property
    def written_variances(self) -> Floats:
        """The variances that a write brings up to date."""
        return self.variances[:0] if self.lazy else self.variances
