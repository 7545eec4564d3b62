"""Updates as factors on the CPU: a gradient that is never formed as a whole (`noisysim.compute.cpu.loops.sweeps`)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np

from noisysim.common.types import Bools, Floats, Ints
from noisysim.compute import execution, layered
from noisysim.compute.cell_state import CellState
from noisysim.compute.cpu import ops, sharing
from noisysim.compute.cpu.cell_kits import Kits, block_of, counted
from noisysim.compute.cpu.loops import optimizer_steps, sums, sweeps
from noisysim.compute.factors import Factors, factor_places
from noisysim.compute.jit import ahead, places
from noisysim.compute.layout import CELL_BLOCK
from noisysim.compute.optimizer_step import Step
from noisysim.compute.protocols import Term


class Sweeps:
    """Applies factors to the cells of some chips.

    Parameters
    ----------
    state : CellState
    kits : Kits
    """

    def __init__(self, state: CellState, kits: Kits):
        self._state, self._kits = state, kits
        self._places: dict[int, Ints] = {}
        self._rooms: dict[int, int] = {}

    def expected(self) -> list[ahead.Job]:
        """What updates will call, in the order of need."""
        task = ahead.Job(sweeps.sweep_task, sweeps.TASK.arguments)
        return [*self._kits.expected(self._state.kind), task, ahead.Job(sweeps.sweep, sweeps.SWEEP)]

    @cached_property
    def _tasks(self) -> list[tuple[float, Ints]]:
        return block_tasks(self._state)

    @cached_property
    def _all(self) -> Ints:
        """All tasks, one after the other."""
        return np.concatenate([task for _, task in self._tasks])

    def _room(self, samples: int) -> int:
        """Values that the largest task has of signals and gradient."""
        shapes, positions = self._state.net.shapes, self._state.net.positions
        most = 0
        for _, task in self._tasks:
            layer, first, last = task[0, 1:]
            n_in = shapes[layer][1]
            units = (last - first) * CELL_BLOCK // n_in + 2
            most = max(most, int(units * (n_in + samples * positions[layer])))
        return most

    def whole(self, samples: int) -> tuple[str, Any, Ints, Ints, Floats]:
        """What one sweep over everything takes, of so many samples of a chip: kind, kits, tasks, layers, room."""
        layers, room = self._shaped(samples)
        kind = self._state.kind
        return kind, self._kits.of(kind), self._all, layers, execution.scratch("gradient", room)

    def apply(self, factors: Factors, take: Callable[[], Step], number: int, clock: float) -> tuple[Ints, Bools]:
        """Descend factors; returns cells written, pulses and reads of each chip, (chips, 3), and which were refused."""
        state, samples = self._state, len(factors.inputs[0]) // self._state.chips
        x, step = layered.layered(factors.inputs), take()
        terms, _held = addressed_terms(factors, 1 / samples)  # the arrays must not be freed before the sweep is over
        layers, room = self._shaped(samples)
        taken = (step_address(step.name), step.numbers, step.first, step.second)
        counter, kind, task = (number, state.write_keys, clock), state.kind, sweeps.TASK.address(sweeps.sweep_task)
        counts, refused = list[tuple[int, int]](), np.zeros(state.chips, bool)

        def sweep(tasks: Ints) -> None:
            kits, work = self._kits.of(kind), execution.scratch("gradient", room)
            stages = task, kits[0][block_of(kind)]
            count = sweeps.sweep(tasks, layers, terms, x.flat, taken, stages, counter, work, kits, refused)
            counts.append((tasks[0, 0], count))

        flops = 2.0 * samples * state.net.products
        if flops < execution.SERIAL_FLOPS and not (state.apart and state.chips > 1):
            with execution.single_blas():
                sweep(self._all)
        else:
            weighed = [(2.0 * samples * weights, partial(sweep, task)) for weights, task in self._tasks]
            sharing.run_weighed(weighed, state.chips)
        done = np.zeros((state.chips, 3), np.int64)
        for chip, count in counts:
            done[chip] += counted(kind, count, state.verified)
        return done, refused

    def _shaped(self, samples: int) -> tuple[Ints, int]:
        """Where layers start, and the room of a task, of so many samples of a chip."""
        if samples not in self._places:
            self._places[samples] = factor_places(self._state.net, self._state.chips, samples)
            self._rooms[samples] = self._room(samples)
        return self._places[samples], self._rooms[samples]


def block_tasks(state: CellState) -> list[tuple[float, Ints]]:
    """Chip, layer and blocks of cells of each task of a sweep, (1, 4), and how many weights these are."""
    tasks = []
    for chip in range(state.chips):
        for layer, (n_out, n_in) in enumerate(state.net.shapes):
            blocks = -(-n_out * n_in // CELL_BLOCK)
            count = min(len(execution.unit_spans(n_out)), blocks)
            cuts = [k * blocks // count for k in range(count + 1)]
            for first, last in itertools.pairwise(cuts):
                weights = float((last - first) * CELL_BLOCK)
                tasks.append((weights, np.array([[chip, layer, first, last]], np.int64)))
    return tasks


def addressed_terms(factors: Factors, share: float) -> tuple[tuple[Any, ...], list[Floats | None]]:
    """What a sweep takes of the terms, times `share`, and the arrays whose addresses are in it."""
    samples = len(factors.inputs[0])
    if factors.normed and any(lines is not None for lines in factors.normed):
        factors, share = _settled(factors, share), 1.0
    terms = factors.terms
    each = [np.ascontiguousarray(t.factors, np.float64).reshape(1, -1, samples) for t in terms]
    shares = each[0] if len(each) == 1 else np.concatenate(each)
    activities = [layered.layered(t.activities).flat for t in terms]
    baselines = [None if t.baseline is None else layered.layered(t.baseline).flat for t in terms]
    based = np.array([baseline is not None for baseline in baselines])
    held = [*activities, *baselines]
    return (shares, places.addresses(activities), places.addresses(baselines), based, share), held


def _settled(factors: Factors, share: float) -> Factors:
    """Factors whose signals are formed, as the statistics of a batch take part of each away."""
    first, chips = factors.terms[0].activities, factors.chips
    samples = len(first[0])
    signals, nothing = layered.empty([a.shape for a in first]), np.empty((0, 0), np.float32)
    for k, term in enumerate(factors.terms):
        shares = np.ascontiguousarray(term.factors, np.float64).reshape(-1, samples)
        for layer, out in enumerate(signals):
            rest = nothing if term.baseline is None else ops.rows_of(term.baseline[layer])
            own = shares[layer if len(shares) > 1 else 0]
            sums.pack(ops.rows_of(out), own, ops.rows_of(term.activities[layer]), rest, share, 0, k == 0)
    for layer, lines in enumerate(factors.normed):
        if lines is not None:
            ops.leave_out_moments(ops.rows_of(signals[layer]), ops.rows_of(lines), chips)
    return Factors([Term(np.ones(samples), signals)], factors.inputs, (), chips)


def step_address(name: str) -> Any:
    """Where an optimizer's step is."""
    return optimizer_steps.TYPE.address(optimizer_steps.STEPS[name])
