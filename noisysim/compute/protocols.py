"""What a chip and a backend tell each other, and what a backend is.

Arrays are typed as NumPy's: on a GPU they are CuPy's, which have the same methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from noisysim.common.types import Array, Bytes, Doubles, Floats, Ints, Words
from noisysim.compute.behaviour import Behaviour, ReadFlags
from noisysim.compute.cell_state import CellState
from noisysim.compute.layered import Layered
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.series import Lesson, Made, Position
from noisysim.networks.activations import Activation
from noisysim.networks.operations import Operation
from noisysim.networks.tiling import Network

Addition: TypeAlias = tuple[int, int, int, Floats]
"""What a drive adds: pass, kind, layer, and the array (`Call.parts`)."""


class Term(NamedTuple):
    """One summand of an estimate of dL/da: factors (activities - baseline).

    Attributes
    ----------
    factors : array
        (batch,), or (layers, batch) for factors of each layer's own; on the backend of the activities.
    activities : sequence of array
        (batch, units) or (batch, positions, units) per layer.
    baseline : sequence of array or None
        The same; ``None`` is zero.
    """

    factors: Array
    activities: Sequence[Floats]
    baseline: Sequence[Floats] | None = None


class ReadCells(NamedTuple):
    """Cells that are read one by one.

    Attributes
    ----------
    now : array
        Conductances, µS, (sides, cells of all chips).
    own : array
        Own values, (fields, sides, cells).
    states : array
        Discrete states, uint8, (sides, cells).
    units : numpy.ndarray
        Weights per µS, (layers, slices) float32.
    waited, interval : float32
        Seconds before the first sample's read, and between the reads of two samples.
    """

    now: Floats
    own: Floats
    states: Bytes
    units: Floats
    waited: np.float32
    interval: np.float32


class Standing(NamedTuple):
    """What passes read of a stack of chips, as it stands.

    What belongs to a layer or a tile of all chips is in one piece, chip after chip.

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
    rows_own, columns_own : array
        Own values of input lines, (fields, chips x rows), and of every tile's output lines, (fields, chips x columns).
    cells : ReadCells or None
    keys : array
        Of the chips' noise, (chips, 2) uint32.
    scales : array
        What the output of each tile's output lines is multiplied by besides, (chips x columns,) float32; empty where it
        is nothing.
    digital : array
        The weights of digital layers, flat float32; without any, empty.
    """

    norms: Floats
    weights: Floats
    variances: Floats
    rotations: Floats
    ranges: Floats
    gains: Floats
    peaks: Floats
    dac_range: np.float32
    rows_own: Floats
    columns_own: Floats
    cells: ReadCells | None
    keys: Words
    scales: Floats
    digital: Floats


class Call(NamedTuple):
    """One call of passes.

    Attributes
    ----------
    observed : noisysim.compute.observation_buffers.Observed
        Where to put what is observed, one observation per pass.
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

    observed: Observed
    parts: Sequence[Addition]
    fork: Ints
    first_sample: int
    first_pass: int
    digital: bool
    convert: bool
    training: bool
    course: Sequence[tuple[int, int, float]]
    stands: float
    age: Callable[[float, tuple[int, int]], None]
    settle: Callable[[int], None]


class Passes(Protocol):
    """Runs the passes of some chips of one device."""

    def forward(self, x: Floats, standing: Standing, call: Call) -> None:
        """Passes of inputs (chips batch, n_in): into ``call.observed``; ``standing.peaks`` are raised."""

    def tile_lines(self, inputs: Sequence[Floats], standing: Standing, first_pass: int) -> list[Floats]:
        """Lines of every tile, (rows of all chips, lines), for values that drive each layer, read and not converted."""

    def drop(self, mask: Floats, layer: int, rate: float, first_sample: int, number: int, keys: Words) -> None:
        """Draw what the periphery drops of a layer's hidden outputs, (chips batch, values)."""

    def follow(self, ranges: Floats, peaks: Floats) -> None:
        """Move converters' ranges towards the largest values read, (chips, tiles) each, and set these to 0."""


class Cells(Protocol):
    """Changes the cells of some chips of one device."""

    def done(self) -> Ints:
        """Cells programmed, pulses given and cells read for a write by each chip since the last call, (chips, 3)."""

    def add(self, change: Floats) -> None:
        """Add a change, flat, to weights that are exact."""

    def write(self, change: Floats, every: bool, number: int, clock: float) -> None:
        """Program the cells to new targets: those that a change, flat, moves to another level, or every one."""

    def move(self, change: Floats, number: int, clock: float) -> None:
        """Move cells from where they are, as a change, flat, asks for: what controllers do that keep no targets."""

    def age(self, clock: float, layers: tuple[int, int]) -> None:
        """Let time do its work on the cells of some layers: the first, and behind the last."""

    def wire(self, clock: float, layers: tuple[int, int]) -> None:
        """Put into the weights of some layers what arrays with wires pass, instead of what their cells hold."""


class Series(Protocol):
    """Makes series of updates on some chips."""

    def takes(self, rows: int, passes: int, decorrelates: bool) -> bool:
        """Whether updates of so many samples of all chips are made in series: where they are small."""

    def learn(self, lesson: Lesson, standing: Standing, position: Position) -> Made:
        """Make the updates of a lesson."""


class Ops(Protocol):
    """The operations of `noisysim.compute.algebra`, the losses, the optimizers and the decorrelation."""

    def all_finite(self, array: Floats, /) -> bool:
        """Whether a contiguous array holds neither NaN nor infinity."""

    def squared_distances(self, a: Layered, b: Layered, /) -> Doubles:
        """See `noisysim.compute.algebra.squared_distances`."""

    def layer_distances(self, a: Layered, b: Layered, /) -> Doubles:
        """See `noisysim.compute.algebra.layer_distances`."""

    def layer_squares(self, a: Layered, /) -> Doubles:
        """See `noisysim.compute.algebra.layer_squares`."""

    def shares(self, share: Callable[..., float], changes: Doubles, sizes: Doubles, units: Doubles, /) -> Doubles:
        """See `noisysim.compute.algebra.shares`."""

    def shares_by_distance(
        self, share: Callable[..., float], losses: tuple[Doubles, Doubles], a: Layered, b: Layered, units: float,
        divisor: float, /,
    ) -> Doubles:  # fmt: skip
        """See `noisysim.compute.algebra.shares_by_distance`."""

    def outer(
        self, terms: Sequence[Term], inputs: Sequence[Floats], out: Layered, normed: Sequence[Floats | None],
        chips: int, /,
    ) -> None:  # fmt: skip
        """See `noisysim.compute.algebra.outer`."""

    def leave_out_moments(self, signal: Floats, normed: Floats, chips: int, /) -> None:
        """See `noisysim.compute.algebra.leave_out_moments`."""

    def normalise(self, values: Floats, norm: Floats, out: Floats, chips: int, /) -> None:
        """See `noisysim.compute.algebra.normalise`."""

    def scale_units(self, values: Floats, scales: Floats, chips: int, /) -> None:
        """See `noisysim.compute.algebra.scale_units`."""

    def moments(self, activities: Floats, chips: int, /) -> Doubles:
        """See `noisysim.compute.algebra.moments`."""

    def normals(
        self, out: Layered, sigma: float | tuple[float, ...], first_sample: int, number: int, stream: int,
        keys: Words, /,
    ) -> None:  # fmt: skip
        """See `noisysim.compute.algebra.normals`."""

    def uniforms(self, out: Layered, bounds: Sequence[float], stream: int, keys: Words, /) -> None:
        """See `noisysim.compute.algebra.uniforms`."""

    def combine(self, factors: Array, activities: Sequence[Floats], out: Floats, baseline: Floats | None, /) -> None:
        """See `noisysim.compute.algebra.combine`."""

    def scale_by_slope(self, signal: Floats, activities: Floats, activation: str | Activation, /) -> None:
        """See `noisysim.compute.algebra.scale_by_slope`."""

    def activate(self, activities: Floats, activation: str | Activation, /) -> Floats:
        """See `noisysim.compute.algebra.activate`."""

    def product(self, x: Floats, matrices: Sequence[Floats], out: Floats, chips: int, transposed: bool, /) -> None:
        """See `noisysim.compute.algebra.product`."""

    def passed_share(self, activities: Sequence[Floats], baseline: Sequence[Floats], chips: int, /) -> Doubles:
        """See `noisysim.compute.algebra.passed_share`."""

    def adam(self, gradient: Floats, first: Floats, second: Floats, numbers: Floats, /) -> None:
        """The step of `noisysim.optimizers.Adam`, on flat arrays (`noisysim.compute.factors.Step`)."""

    def decorrelate(self, rotations: Layered, inputs: Layered, rate: float, chips: int, /) -> None:
        """See `noisysim.chip.decorrelation.decorrelate`."""

    def cross_entropy(self, output: Floats, targets: Floats, /) -> Doubles:
        """See `noisysim.losses.cross_entropy`."""

    def cross_entropy_error(self, output: Floats, targets: Floats, /) -> Floats:
        """See `noisysim.losses.cross_entropy_error`."""

    def squared_error(self, output: Floats, targets: Floats, /) -> Doubles:
        """See `noisysim.losses.squared_error`."""


class Images(Protocol):
    """Loops over images; `g` is a layer's row of ``geometry`` (`noisysim.compute.layout`)."""

    def channels_last(self, images: Floats, channels: int, out: Floats, /) -> None:
        """(rows, channels pixels), channel by channel, to (rows, pixels channels)."""

    def unfold(self, images: Floats, g: Ints, patches: Floats, /) -> None:
        """The patch at every position: images (rows, values) to patches (rows P, at least K), K as (y, x, channel)."""

    def fold(self, patches: Floats, g: Ints, images: Floats, /) -> None:
        """The transpose of `unfold`: what patches hold is added where it was taken from."""

    def pull(self, signal: Floats, matrices: Sequence[Floats], g: Ints, images: Floats, chips: int, /) -> None:
        """Signals at lines, (rows P, n), through each chip's `matrices`, (chips a, b) each, and folded."""

    def pool(self, values: Floats, units: int, g: Ints, out: Floats, /) -> None:
        """The largest value of each window and unit: (rows, P units) to (rows, P' units)."""

    def pick(self, change: Floats, values: Floats, units: int, g: Ints, out: Floats, /) -> None:
        """The derivative of `pool` at these values along a change: (rows, P units) to (rows, P' units)."""

    def unpool(self, signal: Floats, values: Floats, units: int, g: Ints, out: Floats, /) -> None:
        """The transpose of `pool` at these values: (rows, P' units) to (rows, P units)."""


class Operations(Protocol):
    """Operations of the periphery over some samples; values are (rows, values of a sample)."""

    def forward(self, operation: Operation, a: Floats, b: Floats, out: Floats, /) -> None:
        """The values of an operation, of those of its sources."""

    def push(self, operation: Operation, a: Floats, b: Floats, da: Floats, db: Floats, out: Floats, /) -> None:
        """Changes of an operation's values along changes of its sources."""

    def pull(self, operation: Operation, source: int, a: Floats, b: Floats, signal: Floats, out: Floats, /) -> None:
        """The signal at a source, the first (0) or the second (1), of that at an operation's values."""


PassesOfChips: TypeAlias = Passes
CellsOfChips: TypeAlias = Cells


class Backend(Protocol):
    """A module that computes: its arrays, the operations on them, and what runs chips.

    Attributes
    ----------
    NAME : str
    HOST_MEMORY : bool
        Whether its arrays are NumPy's, in the host's memory, and no call returns before it is done.
    BATCHED_PRODUCTS : bool
        Whether the products of chips side by side are one call, which costs little more than that of one chip.
    xp : module
        The array namespace: NumPy, CuPy.
    ops, images, operations : module
    """

    @property
    def NAME(self) -> str: ...
    @property
    def HOST_MEMORY(self) -> bool: ...
    @property
    def BATCHED_PRODUCTS(self) -> bool: ...
    @property
    def xp(self) -> ModuleType: ...
    @property
    def ops(self) -> Ops: ...
    @property
    def images(self) -> Images: ...
    @property
    def operations(self) -> Operations: ...

    def put(self, array: Array, /) -> Any:
        """An array of NumPy's, where this backend computes."""

    def take(self, array: Array, /) -> Array:
        """The inverse of `put`."""

    def tf32(self) -> AbstractContextManager[None]:
        """In this block products of two matrices may round what they take to ten bits (TF32)."""

    def Passes(self, net: Network, behaviour: Behaviour, flags: ReadFlags, chips: int, /) -> Passes:
        """What runs the passes of some chips of one device."""

    def Cells(self, state: CellState, behaviour: Behaviour, /) -> Cells:
        """What changes the cells of some chips of one device."""

    def series(self, passes: PassesOfChips, cells: CellsOfChips, /) -> Series | None:
        """What makes series of updates with what runs passes and changes cells of the same chips here, if it can."""
