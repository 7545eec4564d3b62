r"""
Scales of weights
=================

A device states a weight :math:`w_\text{max}` for the full span of its cells (``weight_range``, ``weight_bound``).
Given weights that are much smaller use little of it, and all that is constant in units of the array counts the more:
errors of cells, noise of lines. ``weight_scaling`` has the cells hold :math:`W' = W / s` instead, and the digital
periphery multiply what it read of a line by :math:`s`, after the ADC:

.. math:: a_i = s_i\,\mathrm{ADC}\left(\sum_j W'_{ij} x_j + \text{noise}\right), \qquad s_i = \max |W| / w_\text{max}.

=================  ============================================================================
``"fixed"``        :math:`s = 1`: the device's own weight
``"array"``        the maximum is over a layer's initial weights, biases included
``"column"``       over those of each output line
=================  ============================================================================

Scales are set as the initial weights are written, given or drawn, and stay. In units of the network:

* noise of lines and cells, errors of writes, levels and steps of the ADC count :math:`s` times. Fields of a device
  state them in units of the array, as before.
* no weight can become larger than :math:`s\,w_\text{max}`, the largest initial one: what learning asks for beyond it
  is clipped. Networks that learn from scratch need the room that ``"fixed"`` leaves.
* a change :math:`\Delta W` is written as :math:`\Delta W / s`: more levels, or pulses, for the same change.
* a perturbation :math:`\epsilon` that enters at a line, before the ADC, enters as :math:`\epsilon / s`, and is
  observed as :math:`\epsilon`.

A line whose largest weight is below a hundredth of its layer's has the layer's scale: by its own, a perturbation meant
for ordinary lines would drive the converters that it shares with them far out of their range. Several row tiles and
slices of a line share its scale. A device without cells holds weights as they are.
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim.reporting.style import INK, TEST

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
MUTED = "#8a8f98"

# %%
# What small weights lose
# -----------------------
#
# Weights N(0, 1) times a share of :math:`w_\text{max}`, lines of which differ up to tenfold: error of the
# pre-activations over their standard deviation, on phase change memory and on the default crossbar.

rng = np.random.default_rng(0)
x = rng.standard_normal((256, 64)).astype(np.float32)
lines = rng.standard_normal((48, 64)) * np.geomspace(0.1, 1, 48)[:, None]
SHARES = [0.003, 0.01, 0.03, 0.1, 0.3]
figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for axes, device in zip(panels, ("pcm_hermes", "crossbar"), strict=True):
    lost = {}
    for scaling, colour in (("fixed", MUTED), ("array", INK), ("column", TEST)):
        lost[scaling] = []
        for share in SHARES:
            weights = [lines * share]  # both devices state 8 / sqrt(inputs) = 1
            exact = noisysim.Chip([64, 48], "ideal", init=weights).forward(x).output
            chip = noisysim.Chip([64, 48], device, seed=1, init=weights, weight_scaling=scaling)
            chip.calibrate(x)
            error = (chip.forward(x).output - exact).std(axis=0) / exact.std(axis=0)
            lost[scaling].append(np.sqrt(np.mean(error**2)))
        axes.loglog(SHARES, lost[scaling], "o-", color=colour, ms=4, lw=1.3, label=f'"{scaling}"')
    axes.set(xlabel="weights (share of the full span)", title=device)
    assert lost["fixed"][0] > 3 * lost["column"][0]
panels[0].set(ylabel="error of a line (in std of its output)")
panels[0].legend(frameon=False, fontsize=8)
figure.savefig("scales.png", dpi=150)
