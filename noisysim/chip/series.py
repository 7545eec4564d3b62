"""Series of updates over the state of some chips: noise, time and cost move on as they do update by update."""

from __future__ import annotations

from noisysim.chip import clock
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
    rows, passes, arrays, cost = len(lesson.observed[0].output), len(lesson.observed), state.arrays, state.meter.cost
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
    cost.count_passes(state.net, made.updates * rows * passes, made.updates * passes, True)
    cost.updates += made.updates
    if made.updates:
        arrays.wrote(state.clock, made.updates)
        state.wrote()
    return made
