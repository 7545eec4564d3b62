"""Calls of passes over the state of some chips: noise, time and cost move on, and observations are filled."""

from __future__ import annotations

from typing import Any

from noisysim.chip import clock, compensation
from noisysim.chip.drives import Added
from noisysim.chip.state import State
from noisysim.common.fields import shown
from noisysim.common.types import Floats
from noisysim.compute import backends
from noisysim.compute.jit import compile_errors
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Call


def observation_buffers(
    state: State, out: Any, rows: int, count: int, *, drops: bool = False, all_inputs: bool = True
) -> Observed:
    """Room for the observations of a call: that of an earlier call, if it fits."""
    if out is not None and type(out) is not Observed:
        raise TypeError(f"out must be what an earlier call of passes returned, not {shown(out)}")
    xp = state.backend.xp
    if out is not None and out.made_for == (rows, count, drops, all_inputs, state.net.extents, xp):
        return out
    return Observed(state.net, rows, count, drops, all_inputs, xp)


def run_passes(
    state: State,
    x: Floats,
    observed: Observed,
    added: Added,
    *,
    first_sample: int = 0,
    digital: bool = False,
    convert: bool = True,
    training: bool = False,
) -> None:
    """One call of passes, an observation each.

    Parameters
    ----------
    state : State
        Of calibrated chips.
    x : array
        (batch, n_in) float32, checked.
    observed : Observed
    added : Added
        What the drives add.
    first_sample : int
        Above 0 the call resumes the passes of the call before.
    digital, convert, training : bool
        See `noisysim.compute.protocols.Call`.
    """
    passes, rows = len(observed), len(x) // state.chips
    _begin(state, passes, resumed=first_sample > 0)
    _drop(state, observed, first_sample)
    normalisation = state.normalisation
    norms = normalisation.norms.copy() if state.normalises else normalisation.norms

    def settle(layer: int) -> None:
        normalisation.by_batch(layer, observed[0].activities[layer], norms)

    course = clock.course(state, first_sample, rows, passes)
    call = Call(
        observed, added.parts, added.fork, first_sample, state.next_pass, digital, convert, training, course,
        state.aged_at, state.age, settle,
    )  # fmt: skip
    try:
        with backends.products(state.backend_name):
            state.compiled.forward(x, state.standing(norms), call)
    except MemoryError:
        raise
    except Exception as error:
        raise compile_errors.explain(state.device, error, state.backend.NAME, state.net.kinds) from error
    if state.normalises:
        layers = normalisation.parts(norms)
        for observation in observed:
            observation.norms, observation.norms_of_batch = layers, training
    if state.net.operates_on_input:
        for observation in observed:
            observation.given = x
    state.next_pass += passes
    state.aged_at = course[-1][2]
    state.meter.cost.count_passes(state.net, len(x) * passes, 0 if first_sample else passes, convert)
    state.meter.cost.decorrelation_macs += len(x) * passes * state.turning
    clock.advance(state, passes, first_sample + rows)


def _begin(state: State, passes: int, resumed: bool) -> None:
    """Where the call's noise and time are counted from."""
    if resumed:
        state.next_pass -= passes
        return
    if state.gains_due:
        compensation.measure_gains(state)
    state.call_at = state.clock


def _drop(state: State, observed: Observed, first_sample: int) -> None:
    """Draw the masks of dropout."""
    for layer, mask in enumerate(observed.layer_masks):
        if mask is not None:
            flat, rate = mask.reshape(len(mask), -1), state.net.drops[layer]
            state.compiled.drop(flat, layer, rate, first_sample, state.next_pass, state.keys["dropout"])
