"""The compiled loops as Python calls them: the types of what `noisysim.compute.jit.specialised` makes of the templates.

Arguments are explained where a loop is written: `noisysim.compute.cpu.loops.passes`, and `cells`.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np

from noisysim.common.types import Array, Floats, Ints, Words

Numbers: TypeAlias = tuple[np.float32, ...]
"""The device's numbers that its hooks read, a NamedTuple."""
Pair: TypeAlias = tuple[int, int]
Chips: TypeAlias = tuple[Any, ...]
"""Arrays of the chips, in the order of `noisysim.compute.cpu.loops.passes.forward`."""
Share: TypeAlias = tuple[int, int, int, Pair]
"""The first chip, the one behind the last, how many there are, and (k, n): the k-th of n parts of a chip's cells."""
CellArrays: TypeAlias = tuple[Array | tuple[()], ...]
Counter: TypeAlias = tuple[int, Words, float]
"""Number of a write, the chips' keys, and their time."""


class PassLoops(Protocol):
    """`noisysim.compute.cpu.loops.passes`, specialised."""

    @property
    def HAS_JUMP(self) -> bool: ...

    def forward(
        self, x: Floats, span: Pair, members: Pair, layers: Pair, chips: Chips, passes: tuple[Any, ...],
        noise: tuple[int, int, Words], scratch: tuple[Any, ...], d: Numbers, /,
    ) -> None:  # fmt: skip
        """See `noisysim.compute.cpu.loops.passes.forward`."""

    def read_tile(
        self, layer: int, k: int, samples: int, span: Pair, stack: Pair, chip: Chips, passes: tuple[Any, ...],
        noise: tuple[Any, ...], scratch: tuple[Any, ...], d: Numbers, /,
    ) -> None:  # fmt: skip
        """See `noisysim.compute.cpu.loops.line_reads.read_tile`."""

    def follow_peaks(self, ranges: Floats, peaks: Floats, /) -> None:
        """See `noisysim.compute.cpu.loops.passes.follow_peaks`."""


class CellLoops(Protocol):
    """`noisysim.compute.cpu.loops.cells`, specialised."""

    def add_chips(self, change: Floats, chips: int, net: tuple[Ints, Ints], weights: Floats, /) -> None:
        """See `noisysim.compute.cpu.loops.cell_weights.add_chips`."""

    def add_variances(
        self, cells: CellArrays, k: int, run: Pair, clock: float, unit: np.float32, variances: Floats, d: Numbers, /
    ) -> None:
        """See `noisysim.compute.cpu.loops.cell_weights.add_variances`."""

    def write_chips(
        self, change: Floats, every: bool, part: Share, net: tuple[Ints, Ints], cells: CellArrays, scales: Floats,
        units: Floats, span: tuple[Any, ...], limits: tuple[Any, ...], counter: Counter, weights: Floats,
        variances: Floats, d: Numbers, /,
    ) -> Pair:  # fmt: skip
        """See `noisysim.compute.cpu.loops.cell_writes.write_chips`."""

    def pulse_chips(
        self, change: Floats, part: Share, net: tuple[Ints, Ints], cells: CellArrays, pers: Floats, units: Floats,
        span: tuple[Any, ...], limits: tuple[Any, ...], counter: Counter, weights: Floats, variances: Floats,
        d: Numbers, /,
    ) -> Pair:  # fmt: skip
        """See `noisysim.compute.cpu.loops.cell_pulses.pulse_chips`."""

    def age_chips(
        self, layers: Pair, part: Share, net: tuple[Ints, Ints], cells: CellArrays, units: Floats,
        span: tuple[Any, ...], clock: float, weights: Floats, variances: Floats, d: Numbers, /,
    ) -> None:  # fmt: skip
        """See `noisysim.compute.cpu.loops.cell_ageing.age_chips`."""
