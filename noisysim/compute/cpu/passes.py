"""Passes on the CPU: blocks of samples through the compiled loops, shared out among threads."""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from noisysim.common.source import uses
from noisysim.common.types import Array, Floats, Ints, Words
from noisysim.compute import execution
from noisysim.compute.behaviour import EXACT, Behaviour, ReadFlags
from noisysim.compute.cpu import bring, plans
from noisysim.compute.cpu.loops import draws
from noisysim.compute.cpu.loops import passes as loops
from noisysim.compute.cpu.loops.cell_reads import read_by_cell
from noisysim.compute.cpu.loops.driving import drive_layer
from noisysim.compute.cpu.loops.line_reads import read_rows, read_tile
from noisysim.compute.cpu.loops.records import (  # fmt: skip
    CALL,
    CHIPS,
    DRIVE_LAYER,
    MULTIPLY,
    NET,
    NORMALS,
    PART_TYPES,
    PARTS,
    READ_BY_CELL,
    READ_ROWS,
    READ_TILE,
    ROOM,
    RUN_RECURRENCE,
    UNIFORMS,
)
from noisysim.compute.cpu.loops.recurrence import run_recurrence
from noisysim.compute.cpu.loops.rows import SIDE, multiply
from noisysim.compute.cpu.row_types import CELL, CURRENT, DAC, HOOK_ROWS, JUMP, READ
from noisysim.compute.jit import ahead
from noisysim.compute.jit.records import Record, together
from noisysim.compute.layout import (  # fmt: skip
    DROP_STREAM,
    FIRST_TILE,
    ON_LINE,
    ON_WEIGHTS,
    TILES,
)
from noisysim.compute.noise import stream_word
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Addition, Call, Standing
from noisysim.devices.physics import ideal
from noisysim.networks.tiling import Network, Room, Stage

Pair = tuple[int, int]
NOTHING = np.zeros(0, np.float32)
NO_CELLS: dict[str, Any] = {
    "now": NOTHING, "own": NOTHING, "states": np.zeros(0, np.uint8), "units": NOTHING, "slices": 1,
}  # fmt: skip
"""Of chips whose cells are not read one by one."""
MEMBERS = 16
"""Most chips that one task takes a block of samples through."""


class Passes:
    """Runs the passes of some chips of one device.

    Parameters
    ----------
    net : Network
    behaviour : Behaviour
        The device's.
    flags : ReadFlags
    chips : int
    """

    def __init__(self, net: Network, behaviour: Behaviour, flags: ReadFlags, chips: int):
        self.net, self._behaviour, self._read, self.chips = net, behaviour, flags, chips
        self._stages = {training: net.stages(training) for training in (False, True)}
        self._undriven: dict[int, Ints] = {}
        self._cuts: dict[tuple[int, Pair], list[tuple[Pair, Pair]]] = {}
        self._stood: Standing | None = None
        self._observed: Callable[[], Observed | None] = lambda: None  # a weak reference: it is none of the chip's
        self._call_record = CALL.make()
        ahead.expect(self._expected, execution.available_cores())

    def _expected(self) -> list[ahead.Job]:
        """What passes call, in the order of need."""
        parts = [ahead.Job(part, PART_TYPES[place].arguments) for place, part in self._parts_called.items()]
        one_call = [ahead.Job(loops.forward, loops.FORWARD), ahead.Job(loops.follow_peaks, loops.FOLLOW)]
        return [*parts, *self._device_rows.expected(), *one_call]

    @property
    def _parts_called(self) -> dict[int, Any]:
        """The parts of a pass that are called by address, by place: not kept, as they lead to all that is compiled."""
        parts = {DRIVE_LAYER: drive_layer, READ_TILE: read_tile, READ_ROWS: read_rows, MULTIPLY: multiply}
        if self.net.is_recurrent:
            parts[RUN_RECURRENCE] = run_recurrence
        if "read_cell" in self._behaviour.own:
            parts[READ_BY_CELL] = read_by_cell
        if self._draws["normal"] or self._draws["cell_normal"]:
            parts[NORMALS] = draws.fill_normals_from
        if self._draws["uniform"] or self._draws["cell_uniform"] or self._jumps:
            parts[UNIFORMS] = draws.fill_uniforms_from
        return parts

    @cached_property
    def _device_rows(self) -> bring.DeviceRows:
        """The rows that the device brings."""
        hooks, draws_ = self._behaviour.hooks, self._draws
        of_line = {
            "converts": "adc" in self._behaviour.own, "energetic": self._read.varied, "normal": draws_["normal"],
            "uniform": draws_["uniform"],
        }  # fmt: skip
        of_cell = {"jumps": self._jumps, "normal": draws_["cell_normal"], "uniform": draws_["cell_uniform"]}
        places: dict[str, tuple[int, dict[str, bool]]] = {
            "dac": (DAC, {}), "current": (CURRENT, {}), "read_cell": (CELL, of_cell), "jump": (JUMP, {}),
        }  # fmt: skip
        settings = dict(places[hook] for hook in places if hook in self._behaviour.own)
        if hooks["readout"] is not ideal.readout or "adc" in self._behaviour.own:
            settings[READ] = of_line
        return bring.DeviceRows(hooks, self._behaviour.numbers, self._behaviour.spreads, settings)

    @cached_property
    def _draws(self) -> dict[str, bool]:
        """What reads of lines, and of single cells, draw."""
        hooks = self._behaviour.hooks
        reads = {"normal": ("readout", "z"), "uniform": ("readout", "u")}
        reads |= {"cell_normal": ("read_cell", "z"), "cell_uniform": ("read_cell", "u")}
        return {name: self._read.noisy and uses(hooks[hook], draw) for name, (hook, draw) in reads.items()}

    @property
    def _jumps(self) -> bool:
        """Whether cells have a past: what they did before decides what they do."""
        return "jump" in self._behaviour.own

    @cached_property
    def tables(self) -> Record:
        """The network, with the functions of its steps, which are compiled when passes are first run."""
        table, tiles = self.net.layout()
        parts: list[Any] = [0] * PARTS
        for place, function in self._parts_called.items():
            parts[place] = PART_TYPES[place].address(function)
        return NET.make(
            table=table, tiles=tiles, parts=bring.table(parts), layers=self.net.depth, **plans.tables(self.net)
        )

    @cached_property
    def chip_record(self) -> Record:
        """The chips, but for what stands."""
        rows = self._device_rows.compiled
        return CHIPS.make(
            **self._draws, compensated=self._read.compensated, paired=self._read.paired, varied=self._read.varied,
            scaled=self._read.scaled, chips=self.chips, functions=rows.functions, numbers=rows.numbers,
            range_at=rows.range_at, number_count=rows.numbers.shape[1], norms=NOTHING, **NO_CELLS,
        )  # fmt: skip

    @cached_property
    def digital_records(self) -> list[Record]:
        """The same for digital layers, which no device does anything to, and for gains."""
        rows = bring.DeviceRows(EXACT.hooks, EXACT.numbers, EXACT.spreads, {}).compiled
        nothing = dict.fromkeys(("variances", "rows_own", "columns_own", "scales", "norms"), NOTHING)
        fields = {"functions": rows.functions, "numbers": rows.numbers, "range_at": rows.range_at}
        return [CHIPS.make(chips=self.chips, **fields, **nothing, **NO_CELLS) for _ in range(2)]

    def records_of(self, standing: Standing) -> Array:
        """The chips as they stand, for layers on arrays; of networks that have any, for digital ones and gains too."""
        on_arrays = self.record_of(standing)
        if not any(self.net.digital):
            return on_arrays
        for record in self.digital_records:
            record.lend({"norms": standing.norms, "norm_units": standing.norms.shape[-1]})
            record.set({
                "weights": standing.digital, "rotations": standing.rotations, "ranges": standing.ranges,
                "tile_count": standing.ranges.shape[1], "gains": standing.gains, "keys": standing.keys,
            })  # fmt: skip
        digital, gains = self.digital_records
        digital.set({"rotated": standing.rotations.size > 0})  # gains are not decorrelated
        return together([on_arrays, digital.data, gains.data])

    def record_of(self, standing: Standing) -> Array:
        """The chips as they stand, for layers on arrays."""
        record, norms = self.chip_record, standing.norms
        if norms.size:  # they go out with the observations
            record.lend({"norms": norms, "norm_units": norms.shape[1]})
            standing = standing._replace(norms=NOTHING)
        if self._stood is not None and all(map(operator.is_, standing, self._stood)):
            return record.data
        self._stood, cells = standing, standing.cells
        rows, columns = standing.rows_own, standing.columns_own
        record.set({
            "weights": standing.weights, "variances": standing.variances,
            "rotations": standing.rotations, "rotated": standing.rotations.size > 0,
            "ranges": standing.ranges, "tile_count": standing.ranges.shape[1], "gains": standing.gains,
            "dac_range": standing.dac_range, "rows_own": rows, "row_fields": rows.shape[0], "row_count": rows.shape[1],
            "columns_own": columns, "column_fields": columns.shape[0], "column_count": columns.shape[1],
            "scales": standing.scales, "keys": standing.keys,
        })  # fmt: skip
        if cells is not None:
            record.set({
                "now": cells.now, "cell_sides": cells.now.shape[0], "cell_count": cells.now.shape[1], "own": cells.own,
                "cell_fields": cells.own.shape[0], "states": cells.states, "units": cells.units,
                "slices": cells.units.shape[1], "waited": cells.waited, "interval": cells.interval,
            })  # fmt: skip
        return record.data

    def _call(self, x: Floats, samples: int, added: tuple[Floats, Ints], peaks: Floats, call: Call) -> Record:
        """One call; its peaks are those of each task."""
        observed, (perturbations, places) = call.observed, added
        if observed is not self._observed():
            self._observed = weakref.ref(observed)
            self._call_record.lend({
                "inputs": observed.inputs, "activities": observed.activities, "passes": len(observed),
                "values": observed.activities.shape[1], "masks": observed.masks, "masked": observed.masks.size > 0,
                "kept": observed.kept, "outputs": observed.outputs,
            })  # fmt: skip
        self._call_record.lend({
            "x": x, "samples": samples, "perturbations": perturbations, "places": places, "fork": call.fork,
            "peaks": peaks, "first_sample": call.first_sample, "first_pass": call.first_pass, "digital": call.digital,
            "convert": call.convert,
        })  # fmt: skip
        return self._call_record

    def forward(self, x: Floats, standing: Standing, call: Call) -> None:
        """Passes of the inputs (chips batch, n_in): into ``call.observed``, and ``standing.peaks`` raised.

        Parameters
        ----------
        x : numpy.ndarray
            Samples of the first chip, then of the second.
        standing : Standing
        call : Call
        """
        net, observed, count = self.net, call.observed, len(call.observed)
        batch = len(x) // self.chips
        # with noise in every read passes share the first layer's product only, and its side is free again after it
        sides, spare = 1 if self._read.noisy else 2, 0 if observed.whole else count - 1
        tables, chips = self.tables.data, self.records_of(standing)
        added = self._lay_out(call.parts, count, len(x))  # kept to the end of the call: the record has addresses alone
        record = self._call(x, len(x), added, standing.peaks, call)

        def block(stage: Stage, span: Pair, members: Pair, calls: Array) -> None:
            work = room_for(stage.room, span[1] - span[0], sides, spare, self.chip_record)
            loops.forward(span, members, stage.layers, tables, chips, calls, work)

        for stage in self._stages[call.training]:
            parts = self.parts(batch, stage)
            calls, peaks = [record.data], standing.peaks[None]
            if len(parts) > 1:  # tasks that run at once raise peaks of their own
                peaks = np.zeros((len(parts), *standing.peaks.shape), np.float32)
                calls = [record.with_array("peaks", part_peaks) for part_peaks in peaks]
            tasks = [partial(block, stage, *part, of_task) for part, of_task in zip(parts, calls, strict=True)]
            stands, flops = call.stands, stage.flops * len(x) * count
            for first, last, time in call.course:
                if time != stands:
                    call.age(time, stage.layers)
                    stands = time
                now = [task for task, (span, _) in zip(tasks, parts, strict=True) if first <= span[0] < last]
                if self._jumps:
                    for task in now:
                        task()
                else:
                    execution.run(now, flops * len(now) / len(tasks))
            if len(parts) > 1:
                np.maximum(standing.peaks, peaks.max(axis=0), out=standing.peaks)
            last = stage.layers[1] - 1
            if call.training and net.norms[last] is not None:
                call.settle(last)
        if net.has_tail:
            self._finish(len(x), count, standing, record.data)

    def _finish(self, samples: int, passes: int, standing: Standing, call: Array) -> None:
        """The network's output of the last lines."""
        stage, tables, chips = self.net.tail(), self.tables.data, self.record_of(standing)

        def block(span: Pair, members: Pair) -> None:
            loops.finish(
                span, members, tables, chips, call, room_for(stage.room, span[1] - span[0], 1, 0, self.chip_record)
            )

        tasks = [partial(block, *part) for part in self.parts(samples // self.chips, stage)]
        execution.run(tasks, stage.flops * samples * passes)

    def tile_lines(self, inputs: Sequence[Floats], standing: Standing, first_pass: int) -> list[Floats]:
        """Lines of every tile, (rows of all chips, lines), for values that drive each layer, read and not converted."""
        net, chips = self.net, self.chips
        rows, (table, _) = len(inputs[0]), net.layout()
        tiles = [np.empty((rows, net.lines[k]), np.float32) for k in range(net.depth) for _ in range(net.tiles(k))]
        observed = Observed(net, rows, 1)
        for driven, source in zip(observed[0].inputs, inputs, strict=True):
            driven[...] = source
        batch, tables = rows // chips, self.tables.data
        call = Call(
            observed, (), np.zeros(1, np.int64), 0, first_pass, False, False, False, (), 0.0, _never, _never
        )  # fmt: skip
        added, peaks = self._lay_out((), 1, rows), np.zeros_like(standing.peaks)
        calls = self._call(NOTHING, rows, added, peaks, call).data
        work = room_for(net.room(0, net.depth), batch, 1 if self._read.noisy else 2, 0, self.chip_record)
        stack = self.records_of(standing)
        for m in range(chips):
            samples = slice(m * batch, (m + 1) * batch)
            span = (samples.start, samples.stop)
            for layer, lines in enumerate(observed[0].activities):
                before = np.zeros_like(lines[samples])
                for k in range(table[layer, TILES]):
                    loops.read_one_tile(layer, k, span, (m, chips), tables, stack, calls, work)
                    tile = tiles[table[layer, FIRST_TILE] + k]
                    tile[samples] = (lines[samples] - before).reshape(batch, -1)
                    before[...] = lines[samples]
        return tiles

    def drop(self, mask: Floats, layer: int, rate: float, first_sample: int, number: int, keys: Words) -> None:
        """Draw what the periphery drops of a layer's hidden outputs, (chips batch, values)."""
        batch = len(mask) // len(keys)
        word = stream_word(DROP_STREAM, layer, 0)
        for m, key in enumerate(keys):
            draws.drops(mask[m * batch : (m + 1) * batch], np.float32(rate), first_sample, number, word, *key)

    def follow(self, ranges: Floats, peaks: Floats) -> None:
        """Move the ranges of converters towards the largest values that they met, (chips, tiles), and forget these."""
        loops.follow_peaks(ranges, peaks)

    @property
    def plain(self) -> bool:
        """Whether a call of passes is nothing but one compiled call."""
        net, own = self.net, self._behaviour.own
        if net.has_tail:
            return False
        return "read_cell" not in own and not any(net.drops) and not any(net.norms) and not self._read.compensated

    def parts(self, batch: int, stage: Stage) -> list[tuple[Pair, Pair]]:
        """Samples of each chip, and chips, that one task does: several chips where batches are small."""
        key = (batch, stage.layers)
        if key not in self._cuts:
            at_once = 1 if batch >= execution.BLOCK_ROWS else min(MEMBERS, -(-execution.BLOCK_ROWS // batch))
            members = execution.spans(self.chips, at_once)
            spans = stage.spans(batch, shared=not self._jumps)
            self._cuts[key] = [(span, some) for some in members for span in spans]
        return self._cuts[key]

    def _lay_out(self, parts: Sequence[Addition], count: int, rows: int) -> tuple[Floats, Ints]:
        """What the drives add in one buffer, and where each part is in it, (passes, layers, 3)."""
        if not parts:
            if count not in self._undriven:
                self._undriven[count] = np.full((count, self.net.depth, 3), -1, np.int64)
            return NOTHING, self._undriven[count]
        places, size, pieces = np.full((count, self.net.depth, 3), -1, np.int64), 0, list[tuple[int, Floats]]()
        for p, kind, layer, piece in parts:
            places[p, layer, kind] = size
            pieces.append((size, piece))
            size += piece.size
            if kind == ON_WEIGHTS:
                places[p, layer, ON_LINE] = size
                size += rows * self.net.lines[layer]
        buffer = execution.scratch("perturbations", size)
        for at, piece in pieces:
            buffer[at : at + piece.size].reshape(piece.shape)[...] = piece
        return buffer[:size], places


def _never(*_: Any) -> None:
    """What is not called."""


def room_for(room: Room, rows: int, sides: int, spare: int, chips: Record) -> Array:
    """Work arrays of this thread for one block of samples, a record.

    Products of two sides where passes can share one; what `spare` passes are driven with that no observation keeps.
    """
    asked = (room, rows, sides, spare, int(chips.data["number_count"][0]))
    return execution.scratch_set(asked, partial(_cut, *asked))[0].data  # type: ignore[no-any-return]


def _cut(room: Room, rows: int, sides: int, spare: int, numbers: int) -> tuple[Record]:
    take, padded = execution.scratch, 4 * -(-max(room.lines, room.columns) // 4)
    lines, line = rows * room.lines, take("line", 2 * room.lines)
    return (
        ROOM.make(
            values=take("values", rows * room.values), part=take("work", rows * room.driven),
            product=take("product", sides * lines), energy=take("energy", sides * lines),
            turned=take("turned", rows * max(room.lines, room.driven) + SIDE**2),
            rotated=take("rotated", rows * room.driven), z=take("z", padded), u=take("u", padded),
            bits=take("bits", padded, np.uint32), line=line, mixed=line[room.lines :],
            driven=take("driven", spare * rows * room.driven), numbers=take("numbers", HOOK_ROWS * numbers),
            step=take("step", rows * room.step), lines=lines, sides=sides, spare=rows * room.driven if spare else 0,
        ),
    )  # fmt: skip
