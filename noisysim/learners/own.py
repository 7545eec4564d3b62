"""Arrays that a learner learns beside the chip's weights: feedback matrices, local readouts. Digital and exact."""

from __future__ import annotations

from collections.abc import Sequence

from noisysim.common.types import Floats
from noisysim.compute import algebra, layered
from noisysim.compute.layered import Layered
from noisysim.learners import optimizers
from noisysim.learners.base import State

INITIAL = 0xFFFF  # stream of initial arrays: no draw of a pass has it


def learned(
    state: State, name: str, shapes: Sequence[tuple[int, int]], bounds: Sequence[float], optimizer: str = ""
) -> None:
    """Put arrays, uniform within their bounds, into the state's memory, and what an optimizer of them remembers.

    Shapes are those of all chips' arrays (`State.stack`).
    """
    arrays = layered.empty(shapes, state.xp)
    algebra.uniforms(arrays, bounds, INITIAL, state.key)
    state.memory[name] = arrays.flat
    if optimizer:
        optimizer_state = optimizers.get(optimizer).init(shapes, xp=state.xp)
        state.memory.update({f"{name}_{part}": array for part, array in optimizer_state.items()})


def start_gains(state: State, arrays: Sequence[Floats], layers: Sequence[int], gain: float = 1.0) -> None:
    """Let arrays that stand for layers of weights have, where these are learned gains, what gains begin with.

    Parameters
    ----------
    state : State
    arrays : sequence of array
        (chips n_out, inputs) for each of `layers`, biases included or not; written to.
    layers : sequence of int
    gain : float
        1; or 0 of what is added to gains.
    """
    for array, layer in zip(arrays, layers, strict=True):
        if state.net.blocks[layer].is_gain:
            n = state.net.units[layer]
            matrices = array.reshape(state.chips, n, -1)
            matrices[...] = 0
            matrices[:, range(n), range(n)] = gain


def adapt(state: State, name: str, gradient: Layered, optimizer: str, rate: float) -> None:
    """One step of the named arrays down their gradient, which is overwritten."""
    prefix = f"{name}_"
    optimizer_state = {k.removeprefix(prefix): v for k, v in state.memory.items() if k.startswith(prefix)}
    change, optimizer_state = optimizers.get(optimizer).update(gradient, optimizer_state, rate)
    state.memory[name] += change.flat
    state.memory.update({prefix + part: array for part, array in optimizer_state.items()})
