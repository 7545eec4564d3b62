"""A device file: converters of 8 bits and noise on the lines; weights are kept and changed exactly."""

from noisysim.devices.field_groups import Converters, device_fields
from noisysim.devices.physics.converters import adc, dac, readout, readout_law  # noqa: F401  (hooks)


@device_fields
class LineDevice(Converters):
    """What a simulation of a noisy chip needs least."""
