"""What a chip and the backend that runs it tell each other of one call of passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class ReadCells(NamedTuple):
    """Cells that are read one by one.

    Attributes
    ----------
    now : array
        Conductances, uS, (sides, cells of all chips).
    own : array or ()
        Own values, (fields, sides, cells).
    states : array or ()
        Discrete states, uint8, (sides, cells).
    units : numpy.ndarray
        Weights a uS, (layers, slices) float32.
    waited, interval : float32
        Seconds before the first sample's read, and between the reads of two samples.
    """

    now: Any
    own: Any
    states: Any
    units: Any
    waited: Any
    interval: Any


class Standing(NamedTuple):
    """What passes read of a stack of chips, as it stands.

    What belongs to a layer or a tile of all chips lies together, chip after chip.

    Attributes
    ----------
    norms : array
        Shift and scale of normalised layers, (2, chips x units) float32.
    weights, variances, rotations : array
        Flat float32; without any, empty.
    ranges, gains : array
        Full scale of each tile's ADC, and what its output is multiplied by, (chips, tiles) float32.
    peaks : array
        Largest values read, (chips, tiles) float32: raised.
    dac_range : float32
    rows_own, columns_own : array or ()
        Own values of input lines, (fields, chips x rows), and of every tile's output lines, (fields, chips x columns).
    cells : ReadCells or None
    keys : array
        Of the chips' noise, (chips, 2) uint32.
    """

    norms: Any
    weights: Any
    variances: Any
    rotations: Any
    ranges: Any
    gains: Any
    peaks: Any
    dac_range: Any
    rows_own: Any
    columns_own: Any
    cells: ReadCells | None
    keys: Any


class Call(NamedTuple):
    """One call of passes.

    Attributes
    ----------
    observed : noisysim.compute.observation_buffers.Observed
        Where to put what is observed, a pass each.
    parts : sequence of (int, int, int, array)
        What the drives add: pass, kind (``ON_LINE``, ``ON_OUTPUT``, ``ON_WEIGHTS`` of `noisysim.compute.layout`),
        layer, and the array.
    fork : numpy.ndarray
        The layer at which each pass parts from the first, (passes,) int64: below it they give the same; in it they
        share what drives it. With noise in every read it is 0: passes share the first layer's inputs and products.
    first_sample, first_pass : int
        Number of the first sample, and of the first pass: where their noise is counted from.
    digital : bool
        Whether perturbations of lines enter after the ADC.
    convert : bool
        Whether the ADC converts.
    training : bool
        Whether batch normalisation is by this batch's statistics.
    course : sequence of (int, int, float)
        The time, s, at which cells stand for samples first..last - 1 of each chip, in all passes; cut at multiples of
        512 samples alone.
    stands : float
        The time at which the cells of all layers stand.
    age : callable
        To be called with a time of the course and a span of layers, the first and behind the last, before they are read
        at it, if they stand at another: changes `Standing.weights`, `Standing.variances` and the cells in place. Every
        layer is left as the course ends.
    settle : callable
        To be called with each normalised layer while learning, after its lines are read and before they are
        normalised: sets its part of `Standing.norms`.
    """

    observed: Any
    parts: Sequence[tuple[int, int, int, Any]]
    fork: Any
    first_sample: int
    first_pass: int
    digital: bool
    convert: bool
    training: bool
    course: Sequence[tuple[int, int, float]]
    stands: float
    age: Callable[[float, tuple[int, int]], None]
    settle: Callable[[int], None]
