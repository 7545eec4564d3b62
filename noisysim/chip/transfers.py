"""Arrays of which a second one takes the pulses of changes, for cells whose steps up and down differ.

Pulses up and down that should cancel drive a cell with unequal steps to the place where they are equal, its symmetric
point, whatever its weight should be. Here they go to cells of a second array, A, that may be driven there. A's columns
are read in turn, by the arrays' ADC, and what is read moves the weights, C (`noisysim.devices.controllers`)::

    A[:, j] <- A[:, j] + s_j change[:, j]                  by pulses
    a = read(A[:, j]) - r[:, j]
    C[:, j] <- C[:, j] + transfer_rate T s_j a             by pulses, rounded by chance or by an accumulator

T is the updates from one read of a column to the next, so that arrays of all sizes follow at one rate. r is A's
symmetric point as zero-shifting finds it (Kim et al., arXiv 1907.10228, 2019), or the mean read of the last period of
the sign s_j (agad), or nothing. Changes may be scaled to A's pulses, and reads back, and C may get one share of them
in all layers (`noisysim.chip.transfer_scales`). With ``transfer_gamma`` passes read C + gamma A, and A learns what C is
off by: residual learning (Wu et al., arXiv 2502.06309, 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from noisysim.chip.arrays import Arrays
from noisysim.chip.erasing import erase_with
from noisysim.chip.transfer_scales import TAIL, ChangeScales, period_of, telling_reads
from noisysim.common.types import Array, Bools, Floats, Words
from noisysim.compute import backends, grouping, layered, layout, seeding
from noisysim.compute.cpu.loops import draws
from noisysim.compute.factors import Factors
from noisysim.compute.noise import stream_word
from noisysim.compute.optimizer_step import Step
from noisysim.devices import controllers
from noisysim.devices.contract import Device
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import Network


def arrays_of(net: Network, device: Device, seed: seeding.Seeds, chips: int, backend: str, scaling: str) -> Arrays:
    """The arrays of a device, with a second one where its controller has one."""
    kind = TransferArrays if resolve(device).controller in controllers.TRANSFERS else Arrays
    return kind(net, device, seed, chips, backend, scaling)


class TransferArrays(Arrays):
    """The weights' array C, and beside it A, `fast`: cells of the same device, with their own spread and noise.

    Parameters are those of `Arrays`.

    Attributes
    ----------
    fast : Arrays
    signs : Layered
        s, (chips, n_in) per layer; empty where they do not turn.
    reads : Layered
        Reads of each column since its sign turned, the same, where that is regular.
    references, means : Layered
        r, and the mean read of the period so far, in weights of the cells, (chips n_out, n_in) per layer; or empty.
    entering : ChangeScales or None
        Of changes as they enter A, where they are scaled.
    keys : array
        Of noise of reads and of signs, (chips, 2) uint32.
    """

    def __init__(
        self, net: Network, device: Device, seed: seeding.Seeds, chips: int = 1, backend: str = "cpu",
        scaling: str = "fixed",
    ):  # fmt: skip
        numbers, computes = resolve(device), backends.get(backend)
        zeros, controller = computes.xp.zeros, numbers.controller
        plain = device._replace(controller="increment")
        self.fast = Arrays(net, plain, seed, chips, backend, part="chip/fast")
        self.keys: Words = computes.put(seeding.keys(seed, "chip/transfer", chips))
        lines = [(chips, n_in) for _, n_in in net.shapes]
        weights = [(chips * n_out, n_in) for n_out, n_in in net.shapes]
        chops, dynamic = controller in controllers.CHOPPED, controller == "agad"
        self.signs = layered.zeros(lines if chops else [], computes.xp)
        self.reads = layered.zeros(lines if dynamic else [], computes.xp)
        self.means = layered.zeros(weights if dynamic else [], computes.xp)
        self.references = layered.zeros(weights if dynamic or numbers.zero_shift_pulses else [], computes.xp)
        self.entering: ChangeScales | None = None
        if numbers.fast_pulses:
            pulses = numbers.fast_pulses, numbers.slow_pulses
            self.entering = ChangeScales(net, chips, *pulses, self.fast.pulsing, computes.xp)
        mixed = sum(n_out * n_in for n_out, n_in in weights) * net.slices if numbers.transfer_gamma else 0
        self._mixed = zeros(mixed, np.float32), zeros(mixed if self.fast.variances.size else 0, np.float32)
        self._read_cells = 0  # of each chip, since this was asked last
        super().__init__(net, device, seed, chips, backend, scaling)
        erase_with(self, [self.keys, *self._mixed])

    @property
    def parts(self) -> list[Arrays]:
        return [self, self.fast]

    @property
    def noise_keys(self) -> dict[str, Words]:
        return {**super().noise_keys, "fast/write": self.fast.write_keys, "transfer": self.keys}

    @property
    def takes_factors(self) -> bool:
        """Signs are those of changes; only of plain SGD, which pulse trains do, are they those of inputs as well."""
        return super().takes_factors and self.entering is None and (not self.signs or self.trains is not None)

    @property
    def digital(self) -> dict[str, Array]:
        digital = {name: getattr(self, name).flat for name in ("signs", "reads", "references", "means")}
        if self.entering is not None:
            digital["largest"] = self.entering.largest.flat
        return {f"transfer_{name}": array for name, array in digital.items()}

    @property
    def held(self) -> dict[str, Array]:
        return {**super().held, **{f"fast_{name}": array for name, array in self.fast.held.items()}}

    def hand_over(self) -> dict[str, Array]:
        self.fast.hand_over()
        return super().hand_over()

    @property
    def standing(self) -> tuple[Floats, Floats]:
        self._mix()
        return self._mixed if self.numbers.transfer_gamma else super().standing

    @property
    def aged(self) -> list[Any]:
        return [*super().aged, *self.fast.aged, *(self._mixed if self.timed else ())]

    @property
    def kept_bytes(self) -> int:
        """A sign is a bit of a column, a scale a number of a layer."""
        scales = 4 * len(self.entering.largest.flat) if self.entering is not None else 0
        return super().kept_bytes + scales + self.chips * -(-len(self.signs.flat) // (8 * self.chips))

    def done_by_chip(self) -> np.ndarray:
        done: np.ndarray = super().done_by_chip() + self.fast.done_by_chip()
        done[:, 2] += self._read_cells
        self._read_cells = 0
        return done

    def bring_up_to_date(self, clock: float, layers: tuple[int, int]) -> None:
        super().bring_up_to_date(clock, layers)
        self.fast.bring_up_to_date(clock, layers)
        self._mix()

    # -- changes -------------------------------------------------------------------------------------------------

    def write(self, change: Floats, every: bool, clock: float) -> None:
        super().write(change, every, clock)
        if every:
            self._start(clock)

    def move(self, change: Floats, clock: float) -> None:
        self.fast.writes = self.writes
        changes = layered.Layered(change, [(self.chips * n_out, n_in) for n_out, n_in in self.net.shapes])
        if self.entering is not None:
            changes = self.entering.enter(changes)
        if self.signs:
            changes = self._signed(changes)
        self.fast.write(changes.flat, False, clock)
        self._transfer(clock)

    def descend(self, factors: Factors, take: Callable[[], Step], clock: float) -> Bools:
        self.fast.writes = self.writes
        if self.signs:
            factors = replace(factors, inputs=self._signed(factors.inputs))
        refused = self.fast.descend(factors, take, clock)
        self._transfer(clock)
        self.wrote(clock)
        return refused

    def _signed(self, arrays: Sequence[Floats]) -> layered.Layered:
        """Copies of arrays whose last axis are the columns of a layer, of each chip as many rows, with its signs."""
        out = layered.empty([array.shape for array in arrays], self._backend.xp)
        for array, signs, to in zip(arrays, self.signs, out, strict=True):
            of_chips = array.reshape(self.chips, -1, array.shape[-1]) * signs[:, None, :]
            to[...] = of_chips.reshape(array.shape)
        return out

    def _start(self, clock: float) -> None:
        """Write A to zero, or bring it to its symmetric point, and begin all turns anew."""
        nothing = self._backend.xp.zeros(self.cell_count, np.float32)
        self.fast.write(nothing, True, clock)
        for name, flat in self.digital.items():
            flat[...] = name == "transfer_signs"
        if self.numbers.zero_shift_pulses:
            self._zero_shift(clock)

    def _zero_shift(self, clock: float) -> None:
        """Give A's cells pulses up and down in turn, and set its reference to what one read then tells."""
        shapes = [(self.chips * n_out, n_in) for n_out, n_in in self.net.shapes]
        pulse = layered.zeros(shapes, self._backend.xp)
        for array, per in zip(pulse, self.pulsing, strict=True):
            array[...] = 1 / per
        for _ in range(self.numbers.zero_shift_pulses):
            self.fast.write(pulse.flat, False, clock)
            self.fast.write(-pulse.flat, False, clock)
        self.fast.age(clock)
        for layer, (_, n_in) in enumerate(self.net.shapes):
            self.references[layer][...] = self._read(layer, 0, n_in, number=0)
        self.means.flat[...] = self.references.flat[: self.means.flat.size]

    def _mix(self) -> None:
        """What passes read, where A counts in the weights."""
        gamma = np.float32(self.numbers.transfer_gamma)
        if gamma:
            self._mixed[0][...] = self.weights + gamma * self.fast.weights
            if self.variances.size:
                self._mixed[1][...] = self.variances + gamma * gamma * self.fast.variances

    # -- transfers -----------------------------------------------------------------------------------------------

    def _transfer(self, clock: float) -> None:
        """Read the columns of A whose turn it is, and move C by what they tell."""
        if self.writes % self.numbers.transfer_every:
            return
        self.fast.age(clock)
        shapes = [(self.chips * n_out, n_in) for n_out, n_in in self.net.shapes]
        change = layered.zeros(shapes, self._backend.xp)
        for layer, (_, n_in) in enumerate(self.net.shapes):
            columns = min(self.numbers.transfer_columns, n_in)
            share = self._share(layer, self.numbers.transfer_every * n_in / columns)
            for first, last in self._due(columns, n_in):
                change[layer][:, first:last] = share * self._told(layer, first, last)
        grouping.mask(self.net, change)  # what A's cells between groups hold is no change of a weight
        self.cells.move(change.flat, self.writes, clock)

    def _share(self, layer: int, turn: float) -> Floats | np.float32:
        """By how much of what a read tells C moves, where a column is read every `turn` updates."""
        d = self.numbers
        told = telling_reads(d.controller, d.chop_rate) if d.transfer_gain else 0.0
        share: Floats | np.float32 = np.float32(d.transfer_gain / told if told else d.transfer_rate * turn)
        if self.entering is not None:
            share = share * self.entering.leave(layer, self.chips * self.net.shapes[layer][0])
        return share

    def _due(self, columns: int, n_in: int) -> Iterator[tuple[int, int]]:
        """Those columns of n_in whose turn it is, from one to the one behind the last."""
        first = self.writes // self.numbers.transfer_every * columns % n_in
        yield first, min(first + columns, n_in)
        if first + columns > n_in:
            yield 0, first + columns - n_in

    def _told(self, layer: int, first: int, last: int) -> Floats:
        """What reads of these columns of A tell of the changes that entered it; signs and references move on."""
        read = told = self._read(layer, first, last, self.writes)
        if self.references:
            told = read - self.references[layer][:, first:last]
        if self.signs:
            signs = self.signs[layer][:, first:last]
            told = told.reshape(self.chips, -1, last - first) * signs[:, None, :]
            told = told.reshape(read.shape)
            if self.reads:
                self._count(layer, slice(first, last), read)
            else:
                signs *= self._turned_by_chance(layer)[:, first:last]
        return told

    def _count(self, layer: int, columns: slice, read: Floats) -> None:
        """Add a read to the means; where a period ends the mean becomes the reference, and the sign turns."""
        xp, reads, means = self._backend.xp, self.reads[layer][:, columns], self.means[layer][:, columns]
        reads += 1
        ends = reads >= period_of(self.numbers.chop_rate)
        n_out = self.net.shapes[layer][0]
        share = xp.repeat(xp.minimum(np.float32(TAIL) / reads, np.float32(1)), n_out, axis=0)
        means += share * (read - means)
        references = self.references[layer][:, columns]
        references[...] = xp.where(xp.repeat(ends, n_out, axis=0), means, references)
        signs = self.signs[layer][:, columns]
        signs[...] = xp.where(ends, -signs, signs)
        reads[...] = xp.where(ends, np.float32(0), reads)

    def _turned_by_chance(self, layer: int) -> Floats:
        """-1 where the sign of a column would turn, else 1, (chips, n_in)."""
        turned = np.empty((self.chips, self.net.shapes[layer][1]), np.float32)
        stream = stream_word(layout.UNIFORM_STREAM, layer, 0)
        for of_chip, key in zip(turned, self._backend.take(self.keys), strict=True):
            draws.uniforms(of_chip[None], np.float32(1), 0, self.writes, stream, *key)
        below = np.float32(2 * self.numbers.chop_rate - 1)
        turns: Floats = self._backend.put(np.where(turned < below, np.float32(-1), np.float32(1)))
        return turns

    def _read(self, layer: int, first: int, last: int, number: int) -> Floats:
        """One read of some columns of A, in weights of the cells, (chips n_out, columns): slice by slice, by the ADC.

        Its noise is that of the cells and of the lines. Codes lie evenly on both sides of zero.
        """
        fast, xp, (n_out, _) = self.fast, self._backend.xp, self.net.shapes[layer]
        out: Floats = xp.zeros((self.chips * n_out, last - first), np.float32)
        from_tile, count = (int(self.table[layer, column]) for column in (layout.FIRST_TILE, layout.TILES))
        for k, (start, stop, at, _) in enumerate(self.tiles[from_tile : from_tile + count].tolist()):
            low, high = max(first, start), min(last, stop)
            if low >= high:
                continue
            s = k // (count // self.net.slices)
            here = slice(self.chips * at, self.chips * (at + n_out * (stop - start)))
            part = slice(low - start, high - start)
            unit = fast.units[layer, s]
            line, step = unit * fast.reading.noise, unit * fast.reading.quantum
            read = fast.weights[here].reshape(-1, stop - start)[:, part]
            if fast.variances.size:
                std = xp.sqrt(fast.variances[here].reshape(-1, stop - start)[:, part] + line * line)
                read = read + std * self._normals(layer, s, (low, high), number)
            elif line:
                read = read + line * self._normals(layer, s, (low, high), number)
            most = unit * fast.span.width * np.float32(1 if fast.paired else 0.5)
            read = xp.clip(read, -most, most)
            out[:, low - first : high - first] += xp.rint(read / step) * step if step else read
        self._read_cells += n_out * (last - first) * (len(fast.now) if fast.paired else fast.net.slices)
        return out

    def _normals(self, layer: int, s: int, columns: tuple[int, int], number: int) -> Floats:
        """Draws of a read of columns of slice s, (chips n_out, columns)."""
        first, last = columns
        z = np.empty((self.chips, last - first, self.net.shapes[layer][0]), np.float32)
        stream = stream_word(layout.NORMAL_STREAM, layer, s)
        for of_chip, key in zip(z, self._backend.take(self.keys), strict=True):
            draws.normals(of_chip, np.float32(1), first, number, stream, *key)
        draws_of_read: Floats = self._backend.put(z.transpose(0, 2, 1).reshape(-1, last - first).copy())
        return draws_of_read
