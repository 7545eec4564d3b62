"""Updates in the array on the CPU: pulse trains, drawn once for all, which then meet in the cells block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from noisysim.common.types import Array, Bools, Ints
from noisysim.compute import execution, layered
from noisysim.compute.cell_state import CellState, TrainLimits
from noisysim.compute.cpu import sharing
from noisysim.compute.cpu.cell_kits import Kits
from noisysim.compute.cpu.loops import trains
from noisysim.compute.cpu.sweeping import addressed_terms, block_tasks
from noisysim.compute.factors import Factors, factor_places
from noisysim.compute.jit import ahead
from noisysim.compute.layout import FACTORS_EACH
from noisysim.compute.optimizer_step import Step, rate_in_array
from noisysim.compute.rules.trains import SLOTS

DRAWN = 1 << 15
"""About how many lines' trains one task draws."""
PER_LINE, PER_CELL = 400.0, 20.0
"""Work of a train, and of a cell that a sample's trains may meet in, as weighed against a product (flops)."""


class Work(NamedTuple):
    """Tasks of one kind, and how much work each is."""

    tasks: Sequence[tuple[float, Ints]]
    all: Ints


class Plan(NamedTuple):
    """How an update of some samples is worked on.

    Attributes
    ----------
    layers : numpy.ndarray
        Where signals, inputs and rows of a layer start, and its groups (`factors` of `noisysim.compute.layout`).
    draws, gives : Work
        Of chips, layers and samples whose trains are drawn; of chips, layers and blocks of cells.
    signals, columns, rows, listed : int
        Values of the signals of the largest task; lines of all samples, and samples of all layers.
    """

    layers: Ints
    draws: Work
    gives: Work
    signals: int
    columns: int
    rows: int
    listed: int


class Trains:
    """Applies factors to the cells of some chips by pulse trains (`noisysim.compute.rules.trains`).

    Parameters
    ----------
    state : CellState
    limits : TrainLimits
    kits : Kits
    """

    def __init__(self, state: CellState, limits: TrainLimits, kits: Kits):
        self._state, self._limits, self._kits = state, limits, kits
        self._words = -(-limits.slots // SLOTS)
        self._plans: dict[int, Plan] = {}

    def expected(self) -> list[ahead.Job]:
        """What updates will call, in the order of need."""
        return self._kits.expected("train")

    def apply(self, factors: Factors, take: Callable[[], Step], number: int, clock: float) -> tuple[Ints, Bools]:
        """Descend factors; returns cells set anew, pulses and reads of each chip, (chips, 3), and who was refused."""
        state, step, chips = self._state, take(), self._state.chips
        samples = len(factors.inputs[0]) // chips
        rate = rate_in_array(step) / samples
        if samples not in self._plans:
            self._plans[samples] = self._planned(samples)
        plan = self._plans[samples]
        inputs, refused = layered.layered(factors.inputs).flat, np.zeros(chips, bool)
        terms, _held = addressed_terms(factors, 1.0)  # the arrays at these addresses must not be freed before the end
        drawn, keys, limits = self._room(plan), state.write_keys, tuple(self._limits)

        def draw(tasks: Ints) -> None:
            work = execution.scratch("gradient", plan.signals)
            room = execution.scratch("lines", 4 * trains.LINES, np.uint32)[: 4 * trains.LINES].reshape(4, -1)
            trains.draw_trains(
                tasks, state.table, plan.layers, state.pulsing, terms, inputs, rate, limits, (number, keys), work,
                room, drawn, refused,
            )  # fmt: skip

        counts: list[Ints] = []

        def give(tasks: Ints) -> None:
            done = np.zeros((chips, 2), np.int64)
            trains.give_trains(tasks, plan.layers, drawn, (number, keys, clock), self._kits.of("train"), refused, done)
            counts.append(done)

        self._share(plan.draws, draw)
        self._share(plan.gives, give)
        done = sum(counts[1:], counts[0])
        return np.column_stack([done, np.zeros_like(done[:, 0])]), refused

    def _share(self, work: Work, loop: Callable[[Ints], None]) -> None:
        """Do all tasks of a kind: one after the other where they are little work."""
        if sum(flops for flops, _ in work.tasks) < execution.SERIAL_FLOPS:
            with execution.single_blas():
                loop(work.all)
        else:
            sharing.run_weighed([(flops, partial(loop, task)) for flops, task in work.tasks], self._state.chips)

    def _planned(self, samples: int) -> Plan:
        chips, net = self._state.chips, self._state.net
        layers, n_outs = factor_places(net, chips, samples), np.array(net.shapes)[:, 0]
        rows = chips * layers[:, FACTORS_EACH]
        draws = []
        for layer, (n_out, n_in) in enumerate(net.shapes):
            each = net.positions[layer] * (n_out + n_in)
            for first, last in execution.spans(samples, max(1, DRAWN // each)):
                for chip in range(chips):
                    task = np.array([[chip, layer, first, last]], np.int64)
                    draws.append((PER_LINE * (last - first) * each, task))
        signals = [n_outs[k] * net.positions[k] * (last - first) for _, ((_, k, first, last),) in draws]
        own_rows = layers[:, FACTORS_EACH].tolist()
        gives = [(PER_CELL * cells * own_rows[task[0, 1]], task) for cells, task in block_tasks(self._state)]
        return Plan(
            layers, _work(draws), _work(gives), int(max(signals)), int(rows @ np.array(net.shapes)[:, 1]),
            int(rows @ n_outs), int(rows.sum()),
        )  # fmt: skip

    def _room(self, plan: Plan) -> tuple[Array, ...]:
        """Room for trains: numbers of the columns that are on, their words, the same of rows, and how many both are."""
        return execution.scratch_set(
            ("trains", plan.columns, plan.rows, plan.listed, self._words),
            lambda: tuple(
                execution.scratch(f"trains {name}", size, kind)[:size]
                for name, size, kind in (
                    ("column places", plan.columns, np.int32), ("columns", self._words * plan.columns, np.uint32),
                    ("row places", plan.rows, np.int32), ("rows", self._words * plan.rows, np.uint32),
                    ("listed", 2 * plan.listed, np.int64),
                )
            ),
        )  # fmt: skip


def _work(tasks: Sequence[tuple[float, Ints]]) -> Work:
    return Work(tasks, np.concatenate([task for _, task in tasks]))
