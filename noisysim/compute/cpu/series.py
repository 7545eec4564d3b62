"""Series of small updates on the CPU, each series one compiled call (`noisysim.compute.cpu.loops.series`)."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.types import Doubles, Floats, Ints
from noisysim.compute import execution, layered
from noisysim.compute.compiled_estimate import CompiledEstimate
from noisysim.compute.cpu import bring
from noisysim.compute.cpu.cell_kits import block_of, counted
from noisysim.compute.cpu.cells import Cells
from noisysim.compute.cpu.decorrelation import FEW
from noisysim.compute.cpu.loops import series as loops
from noisysim.compute.cpu.loops import sums, sweeps
from noisysim.compute.cpu.loops.records import CALL
from noisysim.compute.cpu.passes import Passes, room_for
from noisysim.compute.cpu.row_types import SHARE
from noisysim.compute.cpu.sweeping import step_address
from noisysim.compute.jit import places
from noisysim.compute.jit.records import Record
from noisysim.compute.layout import ADDED, ON_LINE
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Standing
from noisysim.compute.series import Lesson, Made, Position
from noisysim.networks.tiling import Stage

SIZES = {"variance": loops.VARIANCE, "length": loops.LENGTH, "distance": loops.DISTANCE}


class _Plan(NamedTuple):
    """What updates of one shape have in common.

    Attributes
    ----------
    call : Record
    drawing : tuple
        Perturbations, flat, and how many sets there are.
    losses : numpy.ndarray
        Room, (passes, samples) float64.
    rule, terms : tuple
        See `noisysim.compute.cpu.loops.series.learn`. Those of terms hold addresses of an update's observations.
    """

    call: Record
    drawing: tuple[Floats, int]
    losses: Doubles
    rule: tuple[Any, ...]
    terms: tuple[Any, ...]


class Series:
    """Makes series of updates on some chips.

    Parameters
    ----------
    passes : Passes
    cells : Cells
    """

    def __init__(self, passes: Passes, cells: Cells):
        self._passes, self._cells, self._net = passes, cells, passes.net
        self._plan: _Plan | None = None
        self._observed: Callable[[], Observed | None] = lambda: None  # a weak reference: it is none of the chip's
        self._made_for: tuple[object, ...] = ()

    def takes(self, rows: int, passes: int, decorrelates: bool) -> bool:
        """Whether updates of so many samples of all chips are made in series: those whose parts one thread does."""
        cells, net, chips = self._cells.state, self._net, self._passes.chips
        if cells.timed or cells.aims or cells.wire or cells.trains or (cells.apart and chips > 1):
            return False
        if not self._passes.plain:
            return False
        if decorrelates and (rows > FEW * chips or any(block.is_conv for block in net.blocks)):
            return False
        squares = 2.0 * sum(n * n for n in net.fan_in) if decorrelates else 0.0
        work = 2.0 * rows * passes * (net.products + squares)
        return work < execution.SERIAL_FLOPS and len(self._passes.parts(rows // chips, self._stage)) == 1

    @cached_property
    def _stage(self) -> Stage:
        """All layers: without normalisation there is but one stage."""
        return self._net.stages(True)[0]

    def learn(self, lesson: Lesson, standing: Standing, position: Position) -> Made:
        """Make the updates of a lesson."""
        observed, chips, steps = lesson.observed, self._passes.chips, lesson.steps
        plan, x = self._planned(lesson, position.noisy), layered.layered(observed[0].inputs)
        rows = len(observed[0].output)
        count = len(lesson.batch.inputs) // rows
        kind, kits, tasks, layers, work = self._cells.sweeps.whole(rows // chips)
        sides, spare = 1 if position.noisy else 2, 0 if observed.whole else len(observed) - 1
        room = room_for(self._stage.room, rows // chips, sides, spare, self._passes.chip_record)
        plan.call.lend({
            "x": lesson.batch.inputs, "inputs": observed.inputs, "activities": observed.activities,
            "kept": observed.kept, "peaks": standing.peaks, "first_pass": position.next_pass,
            "digital": position.digital,
        })  # fmt: skip
        records = (self._passes.tables.data, self._passes.record_of(standing), plan.call.data, room)
        drawing = (*plan.drawing, np.array(lesson.sigmas, np.float32), lesson.learner_keys, lesson.number)
        judging = (sums.LOSS.address(sums.LOSSES[lesson.loss]), lesson.bounds, plan.losses)
        stages = (sweeps.TASK.address(sweeps.sweep_task), kits[0][block_of(kind)])
        step = (step_address(steps.name), steps.numbers, steps.first, steps.second)
        counter = (position.write, self._cells.state.write_keys, 0.0)
        sweeping = (tasks, layers, plan.terms, x.flat, step, stages, counter, work, kits)
        periphery = (
            position.follows, standing.ranges, standing.peaks, lesson.decorrelation, position.rotations,
            np.array(self._net.fan_in, np.int64), x.widths,
        )  # fmt: skip
        made = np.empty((count, rows)), np.zeros((count, chips), np.int64), np.zeros(chips, bool)
        data = (lesson.batch.targets, np.array(self._net.lines, np.int64))
        with execution.single_blas():
            done, total = loops.learn(count, records, data, drawing, judging, plan.rule, sweeping, periphery, made)
        self._cells.count(*counted(kind, total, self._cells.state.verified))
        return Made(done, *made)

    def _planned(self, lesson: Lesson, noisy: bool) -> _Plan:
        """What is common to the updates of a lesson, as it was for the lesson before if that was alike."""
        rule = lesson.estimate
        of_rule = (rule.share, rule.size, rule.samples, rule.one_by_one, rule.divisor, rule.perturbed_baseline)
        made_for = (*of_rule, rule.units.tolist(), lesson.sigmas, noisy)
        if self._plan is None or self._observed() is not lesson.observed or self._made_for != made_for:
            self._plan, self._made_for = self._make(lesson, noisy), made_for
            self._observed = weakref.ref(lesson.observed)
        return self._plan

    def _make(self, lesson: Lesson, noisy: bool) -> _Plan:
        net, chips, observed, rule = self._net, self._passes.chips, lesson.observed, lesson.estimate
        rows, depth, passes = len(observed[0].output), net.depth, len(observed)
        sets = rule.samples + rule.perturbed_baseline if any(lesson.sigmas) else 0
        starts = np.cumsum([0, *(rows * lines for lines in net.lines)])
        size = int(starts[-1])
        perturbations = np.zeros(sets * size, np.float32)
        where, fork = np.full((passes, depth, ADDED), -1, np.int64), np.full(passes, 0 if noisy else depth, np.int64)
        for p, k, layers in _perturbed(rule, depth) if sets else ():
            where[p, layers, ON_LINE] = k * size + starts[layers]
            fork[p] = min(fork[p], layers[0])
        fork = np.minimum(fork, fork[0])
        call = CALL.make(
            x_at=0, samples=rows, passes=passes, values=observed.activities.shape[1], first_sample=0, convert=True,
            masked=False, perturbations=perturbations, places=where, fork=fork,
        )  # fmt: skip
        of_layers = len(rule.units)
        factors = np.empty((rule.samples, of_layers, rows))
        if rule.size == "distance":
            moved, rest = list(observed.activities[1:]), [observed.activities[0]] * rule.samples
        else:
            moved, rest = list(perturbations.reshape(sets, size)[: rule.samples]), [None] * rule.samples
        based = np.full(rule.samples, rule.size == "distance")
        terms = (factors, places.addresses(moved), places.addresses(rest), based, chips / rows)
        sizes = np.empty((rule.samples * of_layers, rows))
        if rule.size == "variance":
            sizes[...] = np.repeat([rule.samples * sigma**2 for sigma in lesson.sigmas], rows // chips)
        of_rule = (
            SHARE.address(bring.share(rule.share)), SIZES[rule.size], rule.units, rule.divisor,
            np.empty((passes - 1, rows)), sizes,
        )  # fmt: skip
        return _Plan(call, (perturbations, sets), np.empty((passes, rows)), of_rule, terms)


def _perturbed(rule: CompiledEstimate, depth: int) -> Iterator[tuple[int, int, Ints]]:
    """Every pass that is perturbed: its number, that of its set of draws, and its layers."""
    every = np.arange(depth)
    if rule.perturbed_baseline:
        yield 0, rule.samples, every
    for k in range(rule.samples):
        for at, layers in enumerate(every[:, None] if rule.one_by_one else [every]):
            yield 1 + (k * depth + at if rule.one_by_one else k), k, layers
