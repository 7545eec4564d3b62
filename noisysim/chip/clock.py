"""The clock of some chips: when samples are read, and how old cells are then."""

from __future__ import annotations

from noisysim.chip.state import State
from noisysim.compute import execution


def time_of_sample(state: State, passes: int, sample: int) -> float:
    """When a call of this many passes reaches a sample of a chip.

    Counted from the start of the call, so that chunks of it give the same bits.
    """
    return state.call_at + sample * passes * state.interval


def advance(state: State, passes: int, samples: int) -> None:
    """Let the clock stand where these samples of a call have been read; chips side by side read at the same time."""
    state.clock = state.read_at = time_of_sample(state, passes, samples)


def course(state: State, first_sample: int, rows: int, passes: int) -> list[tuple[int, int, float]]:
    """The time at which cells stand for samples of each chip in a call (`noisysim.compute.protocols.Call`)."""
    time = state.aged_at
    if not state.arrays.timed:
        return [(0, rows, time)]
    spans = list[tuple[int, int, float]]()
    for first, last in execution.spans(rows, execution.BLOCK_ROWS):
        start, end = (time_of_sample(state, passes, first_sample + sample) for sample in (first, last))
        time = state.arrays.time_of_reads(start, end, state.numbers.read_time, time)
        if spans and spans[-1][2] == time:
            first = spans.pop()[0]
        spans.append((first, last, time))
    return spans


def age_to(state: State, time: float) -> None:
    """Make the cells as old as they are at a time."""
    if state.arrays.timed and time != state.aged_at:
        state.arrays.age(time)
        state.aged_at = time
