"""DACs that add perturbations at lines: what lines get of what a rule asked for, and takes for granted.

v -> g_i q(v) + s F z on line i: q clips to +-F and rounds to the codes of
`noisysim.devices.physics.converters.quantise`; g_i is a line's own gain, fixed when the chip is made; z a standard
normal draw for each line, sample and pass. The full scale F is the device's `perturbation_range`, or the largest |v| of
a vector of lines. Second arrays (`Drive.weights`) and what is added digitally have no such DACs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.chip.drives import Added
from noisysim.common.types import Floats, Words
from noisysim.compute import backends, layered
from noisysim.compute.layout import ON_LINE
from noisysim.compute.protocols import Addition
from noisysim.devices.resolved import DeviceNumbers


class PerturbationDacs:
    """The perturbation DACs of some chips.

    Parameters
    ----------
    numbers : DeviceNumbers
    gains : dict of array
        Of the lines of each layer on arrays, by its number, (chips, units) float32.
    keys : array
        Of their noise, (chips, 2) uint32.
    backend : str
    """

    def __init__(self, numbers: DeviceNumbers, gains: dict[int, Floats], keys: Words, backend: str):
        self._numbers, self.gains, self._keys, self._backend = numbers, gains, keys, backends.get(backend)
        self._chips = len(keys)

    def convert(self, added: Added, first_pass: int, first_sample: int) -> Added:
        """What lines get of what drives add to passes from a number on; the drives' own arrays are left as they are."""
        parts = list[Addition]()
        for p, kind, layer, array in added.parts:
            if kind == ON_LINE and layer in self.gains:
                array = self._converted(array, layer, first_pass + p, first_sample)
            parts.append((p, kind, layer, array))
        return added._replace(parts=parts)

    def _converted(self, array: Floats, layer: int, number: int, first_sample: int) -> Floats:
        """One layer's perturbations, (batch, units) or (batch, positions, units), as its lines get them."""
        numbers, xp = self._numbers, self._backend.xp
        full = np.float32(numbers.perturbation_range) or abs(array).max(axis=-1, keepdims=True)
        out: Floats = self._quantised(array, full)
        units = array.shape[-1]
        by_chip = out.reshape(self._chips, -1, units)
        if numbers.perturbation_gain_error:
            by_chip *= self.gains[layer][:, None]
        if numbers.perturbation_noise:
            noise = layered.empty([array.shape], xp)
            self._backend.ops.normals(noise, 1.0, first_sample, number, layer, self._keys)
            out += (np.float32(numbers.perturbation_noise) * full) * noise[0]
        return out

    def _quantised(self, array: Floats, full: Floats | np.float32) -> Any:
        """Clipped to the full scale and rounded to its codes; a vector of zeros stays one."""
        xp, bits = self._backend.xp, self._numbers.perturbation_bits
        clipped = xp.clip(array, -full, full)
        if not bits:
            return clipped
        half, full = np.float32((1 << (bits - 1)) - 1), xp.where(full > 0, full, np.float32(1))
        return xp.rint(clipped * (half / full)) * (full / half)
