"""Series of updates over the state of some chips: noise, time and cost move on as they do update by update."""

from __future__ import annotations

from noisysim.chip import clock
from noisysim.chip.decorrelation import step_macs
from noisysim.chip.state import State
from noisysim.compute.series import Lesson, Made, Position


def make_updates(state: State, lesson: Lesson, digital: bool) -> Made:
    """Make the updates of a lesson.

    Parameters
    ----------
    state : State
        Of calibrated chips that make series (`State.series`).
    lesson : Lesson
    digital : bool
        Whether perturbations of lines enter after the ADC.
    """
    rows, passes, arrays = len(lesson.observed[0].output), len(lesson.observed), state.arrays
    position = Position(
        state.next_pass, arrays.writes, digital, state.noisy, state.numbers.calibrates, state.flat_rotations
    )
    assert state.series is not None
    with state.explaining():
        made = state.series.learn(lesson, state.standing(state.normalisation.norms), position)
    for _ in range(made.updates):
        state.call_at = state.clock
        clock.advance(state, passes, rows // state.chips)
    state.next_pass += made.updates * passes
    _count(state, lesson, made, digital)
    if made.updates:
        arrays.wrote(state.clock, made.updates)
        state.wrote()
    return made


def _count(state: State, lesson: Lesson, made: Made, digital: bool) -> None:
    """Count the updates that a series made as they count one by one."""
    cost, net, rule = state.meter.cost, state.net, lesson.estimate
    rows, passes = len(lesson.observed[0].output), len(lesson.observed)
    samples = made.updates * rows
    cost.count_passes(net, samples * passes, made.updates * passes, True)
    cost.decorrelation_macs += samples * passes * state.turning
    cost.updates += made.updates
    if any(lesson.sigmas) and not digital:
        cost.perturbation_conversions += samples * net.perturbed * (rule.samples + rule.perturbed_baseline)
    if lesson.decorrelation:
        steps = made.updates - int(made.refused.any())
        cost.adaptation_macs += steps * state.chips * step_macs(net, rows // state.chips)
