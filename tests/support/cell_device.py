"""A device for tests: every effect that a chip's cells can have, each of the simplest kind, and all of them off.

Its converters do not round, so that a chip can be compared tightly with naive.py. What its hooks compute is
written there once more (``cell_program`` and the others).
"""

from typing import Annotated

import numpy as np

from noisysim.common.fields import Field, Spread
from noisysim.devices.field_groups import Array, Clock, Controller, Converters, Faults, Pulses, device_fields

ONE = np.float32(1.0)


@device_fields
class Bench(Converters, Array, Faults, Clock, Controller, Pulses):
    """Linear pulses, offsets, a power law of time, proportional noise, two states."""

    line_noise = 0.0

    g_min: Annotated[float, Field("µS", 0, 1e3)] = 1.0
    g_max: Annotated[float, Field("µS", 0, 1e3)] = 21.0
    program_noise: Annotated[float, Field("of the span", 0, 1, noise="write")] = 0.0
    miss: Annotated[float, Field("of the span", -1, 0.03, spread=Spread("miss_spread", "absolute"))] = 0.0
    miss_spread: Annotated[float, Field("of the span", 0, 1)] = 0.0
    gain: Annotated[float, Field("", 0, 3, hook="pulse", spread=Spread("gain_spread", "lognormal"))] = 0.0
    gain_spread: Annotated[float, Field("", 0, 1)] = 0.0
    step_noise: Annotated[float, Field("of the step", 0, 10, noise="write")] = 0.0
    nu: Annotated[float, Field("", 0, 0.2, hook="drift", spread=Spread("nu_spread"))] = 0.0
    nu_spread: Annotated[float, Field("", 0, 2)] = 0.0
    drift_start: Annotated[float, Field("s", 1e-9, 1e9)] = 1.0
    read_noise: Annotated[float, Field("of the cell", 0, 1, hook="cell_std", noise="read")] = 0.0
    floor: Annotated[float, Field("of the span", 0, 1, hook="cell_std", noise="read")] = 0.0
    cell_noise: Annotated[float, Field("of the cell", 0, 1, hook="read_cell", noise="read")] = 0.0
    jitter: Annotated[float, Field("of the cell", 0, 1, hook="read_cell", noise="read")] = 0.0
    amplitude: Annotated[
        float, Field("of the cell", -1, 1, hook="read_cell", noise="read", spread=Spread("amplitude_spread"))
    ] = 0.0
    amplitude_spread: Annotated[float, Field("", 0, 1)] = 0.0
    tau_up: Annotated[float, Field("s", 1e-9, 1e9, off=0, hook="jump")] = 0.0
    tau_down: Annotated[float, Field("s", 1e-9, 1e9)] = 1.0
    bend: Annotated[float, Field("", 0, 1, hook="current")] = 0.0


def dac(v, d):
    """Gain and offset."""
    return v * (ONE + d.dac_gain) + d.dac_offset


def current(v, d):
    """A cubic term."""
    return v * (ONE - d.bend + d.bend * v * v)


def program(g, z, d):
    """The cell's own offset, and noise."""
    return g + (d.miss + d.program_noise * z) * (d.g_max - d.g_min)


def pulse(g, up, z, d):
    """A step of the cell's own size, with noise; ends at the range."""
    step = d.gain * d.pulse_step * (d.g_max - d.g_min) * (ONE + d.step_noise * z)
    return min(max(g + up * step, d.g_min), d.g_max)


def drift(g, t, d):
    """Power law with the cell's own exponent."""
    return g * max(t / d.drift_start, ONE) ** (-d.nu)


def cell_std(g, t, d):
    """A share of the conductance, and a constant."""
    return d.read_noise * g + d.floor * (d.g_max - d.g_min)


def jump(s, u, t, d):
    """Up with the rate 1 / tau_up, down with 1 / tau_down."""
    rate = ONE / d.tau_up + ONE / d.tau_down
    rest = ONE / d.tau_up / rate
    return 1 if u < rest + (s - rest) * np.exp(-t * rate) else 0


def read_cell(g, s, z, u, d):
    """Normal and uniform noise, and what the state adds."""
    return g * (ONE + d.cell_noise * z + d.jitter * (ONE + ONE) * (u - ONE / (ONE + ONE)) + d.amplitude * s)


def readout(i, energy, z, u, d):
    """The cells' noise and the line's own."""
    line = d.line_noise * d.adc_range
    return i + np.sqrt(energy + line * line) * z


def adc(i, d):
    """Gain and offset."""
    return i * (ONE + d.adc_gain) + d.adc_offset * d.adc_range


# --- kinds of chips, each with as much of it on as goes together ----------------------------------------------------

SPREADS = {"miss_spread": 0.02, "nu": 0.05, "nu_spread": 0.5, "program_noise": 0.03}
FAULTS = {"stuck_low": 0.02, "stuck_high": 0.03, "stuck_random": 0.04, "dead_rows": 0.05, "dead_columns": 0.04}
PULSES = {"gain": 1.0, "gain_spread": 0.4, "step_noise": 0.3, "pulse_step": 0.02, "pulse_limit": 9}
READS = {
    "cell_noise": 0.05, "jitter": 0.04, "amplitude": -0.3, "amplitude_spread": 0.6, "tau_up": 0.3, "tau_down": 0.1,
    "read_time": 0.02, "compensation": 1, "bend": 0.2, "line_noise": 0.02, "tile_rows": 20, "dac_gain_spread": 0.05,
    "dac_offset_spread": 0.03, "adc_gain_spread": 0.06, "adc_offset_spread": 0.02,
}  # fmt: skip
KINDS = {
    "pulses": {**SPREADS, **FAULTS, **PULSES, **READS, "cells_per_weight": 1, "weight_bound": 0.9},
    "pulsed pairs": {**SPREADS, **FAULTS, **PULSES, **READS, "refresh_at": 0.6},
    "closed loop": {
        **SPREADS, **FAULTS, **PULSES, "verify_pulses": 12, "verify_tolerance": 0.02, "slices": 3, "slice_bits": 2,
        "tile_rows": 20, "read_noise": 0.02, "floor": 0.004, "weight_range": 4.0,
    },
    "slices": {
        **SPREADS, **FAULTS, "slices": 2, "slice_bits": 3, "tile_rows": 20, "read_noise": 0.03, "floor": 0.01,
        "line_noise": 0.01, "weight_range": 4.0,
    },
    "one cell": {"program_noise": 0.02, "cells_per_weight": 1, "tile_rows": 20, "read_noise": 0.03},
}  # fmt: skip
STEPPED = {**SPREADS, **FAULTS, "read_noise": 0.02, "floor": 0.004, "line_noise": 0.01, "refresh_at": 0.6}
CONTROLLED = {
    "copy of 7 bits": {**SPREADS, **FAULTS, "controller": "copy", "target_bits": 7},
    "steps, pairs": {**STEPPED, "controller": "increment", "write_step": 0.02},
    "steps, one cell": {**STEPPED, "controller": "increment", "cells_per_weight": 1, "tile_rows": 20},
    "accumulated steps": {**STEPPED, "controller": "accumulate", "write_step": 0.03},
    "accumulated pulses": {**KINDS["pulses"], "controller": "accumulate"},
    "read, pairs": {**STEPPED, "controller": "read_modify_write", "adc_bits": 6},
    "read, one cell": {**STEPPED, "controller": "read_modify_write", "cells_per_weight": 1, "write_step": 0.01},
    "read, slices": {**STEPPED, "controller": "read_modify_write", "slices": 2, "slice_bits": 3, "tile_rows": 20},
    "read, closed loop": {**STEPPED, **PULSES, "controller": "read_modify_write", "verify_pulses": 12,
                          "verify_tolerance": 0.02},
}  # fmt: skip
"""Every controller, on both kinds of cells."""
