"""RRAM changed by pulses: an exponential step, fitted to Gong et al., Nat. Commun. 9:2102, 2018.

Noise from pulse to pulse is five times the step; besides, what a cell shows after an update misses its state by 75
steps (Rasch et al., AICAS 2021; the preset ReRamES of AIHWKit), which does not add up. The fit is in weights, bounds
+-1: conductances are nominal, and g_min = (g_max - g_min) / 2 leaves the cells' own bounds room to twice the nominal
ones.
"""

from noisysim.devices.field_groups import check_span as check  # noqa: F401
from noisysim.devices.field_groups import device_fields
from noisysim.devices.models.pulsed_exponential import PulsedExponential
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.physics.writes import exponential_pulse as pulse  # noqa: F401  (hook)
from noisysim.devices.physics.writes import exponential_pulse_law as pulse_law  # noqa: F401
from noisysim.devices.physics.writes import within_bounds as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import within_bounds_law as program_law  # noqa: F401


@device_fields
class RramGong(PulsedExponential):
    """RRAM written by pulses of exponential step (Gong et al. 2018)."""

    weight_bound = 1.0
    pulse_step = 0.00135 / 2
    pulse_gain_spread = 0.2
    asymmetry_spread = 0.05
    bounds_spread = 0.3
    write_noise = 5.0
    apparent_noise = 75.0
    up_down = 0.259359
    a_up = -1.18445
    a_down = -0.081404
    gamma_up = 5.0
    gamma_down = 5.0
    scale = -0.5
    shift = -0.5
