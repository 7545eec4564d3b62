"""The resistive processing unit of Gokmen & Vlasov, Front. Neurosci. 10:333, 2016.

Weights within +-0.6 (bounds differ by 30 % from cell to cell), constant steps of 0.001 that differ by 30 % from cell to
cell and by 30 % from pulse to pulse. The asymmetry of 1 % from cell to cell is a choice of ours, and so are the
conductances: the model is stated in weights. ``update="pulse_trains"`` is the paper's update in the array.
"""

from noisysim.devices.field_groups import device_fields
from noisysim.devices.models.pulsed import Pulsed, check, drift  # noqa: F401  (hooks)
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)
from noisysim.devices.physics.reads import proportional_std as cell_std  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near as appear  # noqa: F401  (hook)
from noisysim.devices.physics.writes import appear_near_law as appear_law  # noqa: F401
from noisysim.devices.physics.writes import linear_program as program  # noqa: F401  (hook)
from noisysim.devices.physics.writes import linear_program_law as program_law  # noqa: F401
from noisysim.devices.physics.writes import linear_pulse as pulse  # noqa: F401  (hook)
from noisysim.devices.physics.writes import linear_pulse_law as pulse_law  # noqa: F401


@device_fields
class Rpu(Pulsed):
    """Resistive processing unit (Gokmen & Vlasov 2016): `pulsed` with the published numbers."""

    weight_bound = 0.6
    pulse_step = 0.001 / 1.2
    pulse_gain_spread = 0.3
    asymmetry_spread = 0.01
    bounds_spread = 0.3
    write_noise = 0.3
