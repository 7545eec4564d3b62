"""The whole state of some chips as arrays, for a checkpoint, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from noisysim.chip.cost import Cost
from noisysim.chip.state import State
from noisysim.common.types import Array


def save(state: State, copied: bool = True) -> dict[str, Array]:
    """A copy of a state. What follows from the seed is not in it.

    Parameters
    ----------
    state : State
    copied : bool
        False: on a backend in the host's memory the arrays are looked at, and not to be written: what is to be put
        into a file at once needs no second copy.
    """
    return {**{name: _taken(state, array, copied) for name, array in state.held.items()}, **_numbers(state)}


def hand_over(state: State) -> dict[str, Array]:
    """`save`, of chips that are not used any more: large arrays are not copied, they belong to who asks."""
    if not state.backend.HOST_MEMORY:
        return save(state)
    given = {**state.weights.hand_over(), "rotations": state.flat_rotations}
    kept = {name: given.get(name, array) for name, array in state.held.items()}
    return {**{n: a if n in given else a.copy() for n, a in kept.items()}, **_numbers(state)}


def _taken(state: State, array: Array, copied: bool) -> Array:
    if copied or not state.backend.HOST_MEMORY:
        return np.array(state.backend.take(array))
    seen: Array = array.view()
    seen.flags.writeable = False
    return seen


def _numbers(state: State) -> dict[str, Array]:
    """What is no array in a state."""
    flags = [state.calibrated, state.reference_due, state.gains_due]
    return {
        "counters": np.array([state.next_pass, state.arrays.writes, *flags], np.int64),
        "times": np.array(state.times),
        "cost": state.cost().array(),
        "clipped": np.array(state.clipped),
    }


def load(state: State, saved: Mapping[str, Array]) -> None:
    """Set the state of chips made with the same arguments to what `save` gave."""
    saved = _completed(saved)
    for name, target in state.held.items():
        if not target.size and not np.any(saved.get(name, 0)):  # of what this chip lacks, an older file says nothing
            continue
        value = saved["fresh" if name == "aimed" and name not in saved else name]  # earlier versions kept no targets
        if target.shape != value.shape:
            raise ValueError(f"the checkpoint's {name} have shape {value.shape}, the chip's {target.shape}")
        target[...] = state.backend.put(value)
    if state.arrays.wear:
        state.arrays.wear.hold()  # where they are stuck is what they hold
    state.next_pass, state.arrays.writes, *flags = (int(n) for n in saved["counters"])
    state.calibrated, state.reference_due, state.gains_due = map(bool, flags)
    state.times = saved["times"]
    state.arrays.done()  # what was written to make the chip is in the checkpoint's cost
    state.meter.cost = Cost.from_array(saved["cost"])
    state.clipped = [float(share) for share in saved.get("clipped", np.zeros(state.net.depth))]


def _completed(saved: Mapping[str, Array]) -> dict[str, Array]:
    """A saved state with the times and flags that earlier versions did not keep."""
    clock, *_ = saved["times"]
    written = saved["since"].max(initial=0.0)
    times = [*saved["times"], *(clock, written)[len(saved["times"]) - 3 :]]
    counters = np.resize(saved["counters"], 5) * (np.arange(5) < len(saved["counters"]))
    return {**saved, "times": np.array(times), "counters": counters}
