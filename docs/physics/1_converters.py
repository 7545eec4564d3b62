r"""
Converters
==========

A DAC drives the input lines, an ADC reads the output lines. Both clip to a full scale :math:`R` and round to one of
:math:`2^b - 1` codes, symmetric about a code at zero:

.. math:: Q(y) = \Delta \operatorname{rint}\!\left(\frac{\min(\max(y, -R), R)}{\Delta}\right), \qquad
          \Delta = \frac{2R}{2^b - 2}.

Their analog sides have errors of gain :math:`\gamma`, offset :math:`o` (in units of full scale) and curvature
:math:`c`; those of an ADC come before its quantisation, those of a DAC after it:

.. math:: v \to \frac{(1 + \gamma)\, v + o}{1 + c\,|(1 + \gamma)\, v + o|}.

.. list-table::
   :header-rows: 1

   * - constant
     - field
     - default
     - remark
   * - bits :math:`b`
     - ``dac_bits``, ``adc_bits``
     - 8
     - 0: ideal, and without a limit
   * - full scale :math:`R`
     - ``dac_range`` (input units), ``adc_range`` (pre-activation units)
     - 0
     - 0: each vector's own largest value (DAC), calibrated on the chip (ADC)
   * - :math:`\gamma`, :math:`o`, :math:`c`
     - ``adc_gain``, ``adc_offset``, ``adc_curve``; ``dac_...``
     - 0
     - from a converter's data sheet; ``..._spread`` draws them for each row or column

Learning sees the step through what it rounds away: a difference of two passes below a step is mostly zero, and
``passed_share`` is the share that is not (:doc:`/generated/gallery/passed_share`). A rule that learns from such
differences stops where it is small (:doc:`/generated/gallery/adc_bits`).
"""

import matplotlib.pyplot as plt
import numpy as np

import noisysim
from noisysim import bench
from noisysim.reporting.style import INK, TEST, TRAIN

plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25})
EXACT = {"name": "crossbar", "line_noise": 0, "read_noise": 0, "program_noise": 0, "levels": 0, "dac_bits": 0}


def codes(y, full, bits):
    """The law: what a converter of full scale `full` gives."""
    step = 2 * full / (2**bits - 2)
    return step * np.rint(np.clip(y, -full, full) / step)


# %%
# Quantisation and saturation
# ---------------------------
#
# All inputs of a line are swept together, a fifth beyond what the ADC can show: four bits, full scale 2.

found = bench.transfer({**EXACT, "adc_bits": 4, "adc_range": 2.0})
law = codes(found.ideal, 2.0, 4)
read = found.reads[0, :, 0]
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.plot(found.ideal, found.ideal, color=TRAIN, lw=1, ls=(0, (4, 3)), label="exact product")
axes.step(found.ideal, law, where="mid", color=TEST, lw=1.3, label="law")
axes.plot(found.ideal, read, ".", color=INK, ms=4, label="chip")
axes.set(xlabel="line (pre-activation units)", ylabel="digitised")
axes.legend(frameon=False, fontsize=8)
figure.savefig("staircase.png", dpi=150)
edge = np.abs(np.abs(found.ideal / (4 / 14)) % 1 - 0.5) > 1e-3  # rounding decides on the edge of a step
assert np.abs(read - law)[edge].max() < 1e-5

# %%
# The error of rounding
# ---------------------
#
# Values that fall anywhere within a step are missed by :math:`\Delta / \sqrt{12}` (root mean square). Random inputs to
# chips of 2 to 12 bits:

BITS = [2, 3, 4, 6, 8, 10, 12]
inputs = np.random.default_rng(0).uniform(-1, 1, (2000, 64)).astype(np.float32)
exact = noisysim.Chip([64, 32], {**EXACT, "adc_bits": 0, "adc_range": 8.0}, "linear", seed=1).forward(inputs).output
errors = []
for bits in BITS:
    chip = noisysim.Chip([64, 32], {**EXACT, "adc_bits": bits, "adc_range": 8.0}, "linear", seed=1)
    errors.append(np.std(chip.forward(inputs).output - exact))
step = 16 / (2.0 ** np.array(BITS) - 2)
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
axes.semilogy(BITS, step / np.sqrt(12), color=TEST, lw=1.3, label=r"law, $\Delta / \sqrt{12}$")
axes.plot(BITS, errors, "o", color=INK, ms=5, label="chip")
axes.axhline(exact.std(), color=TRAIN, lw=1, ls=(0, (4, 3)), label="the signal itself")
axes.set(xlabel="bits", ylabel="rms error (pre-activation units)", xticks=BITS)
axes.legend(frameon=False, fontsize=8)
figure.savefig("rounding.png", dpi=150)
assert np.allclose(errors[2:], (step / np.sqrt(12))[2:], rtol=0.1)

# %%
# With very few bits values no longer fall anywhere within a step: most lie in the middle one, all are rounded to zero,
# and the error is the signal itself.
#
# Gain, offset, curvature
# -----------------------
#
# The static errors of an ADC, one at a time, without quantisation. Large values, so that they can be seen.

ERRORS = {"adc_gain": 0.2, "adc_offset": 0.1, "adc_curve": 0.5}
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, value), colour in zip(ERRORS.items(), ("#0072B2", "#009E73", TEST), strict=True):
    found = bench.transfer({**EXACT, "adc_bits": 12, "adc_range": 2.0, name: value})
    given = {"adc_gain": 0.0, "adc_offset": 0.0, "adc_curve": 0.0, name: value}
    v = (1 + given["adc_gain"]) * found.ideal / 2 + given["adc_offset"]
    law = codes(2 * v / (1 + given["adc_curve"] * np.abs(v)), 2.0, 12)
    axes.plot(found.ideal, law, color=colour, lw=1.3, label=f"{name} = {value:g}")
    axes.plot(found.ideal[::3], found.reads[0, ::3, 0], "o", color=colour, ms=3.5, mew=0)
    assert np.abs(found.reads[0, :, 0] - law).max() < 1.1 * 4 / (2**12 - 2)
axes.plot(found.ideal, found.ideal, color=TRAIN, lw=1, ls=(0, (4, 3)), label="exact product")
axes.set(xlabel="line (pre-activation units)", ylabel="digitised")
axes.set_title("lines: law, points: chip", loc="left", fontsize=10)
axes.legend(frameon=False, fontsize=8)
figure.savefig("static_errors.png", dpi=150)
