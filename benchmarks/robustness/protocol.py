"""The robustness benchmark, version 2: which runs it consists of. It is fixed: what changes gets another version.

How well does a rule learn where one thing about the chip gets worse? The reference chip is the crossbar at its defaults
(8-bit converters, 256 levels, 1 % line noise, 1 % read noise of each cell, 0.2 % write noise), whose write controller
keeps nothing of the weights; for what pulses do, the pulsed device at its defaults (1000 steps over the range). Each
axis changes one field of one of them; everything else stays. Each rule runs at a learning rate of its own, chosen once
a task on the reference chip.

Version 1 had a crossbar whose controller keeps a copy of every weight, which makes errors of writes good, and counted
nothing that is digital.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from noisysim import learners

VERSION = "2"
REFERENCE, PULSED = "crossbar", "pulsed"
TUNING_SEEDS = (1000, 1001)
"""Of the runs by which rates are chosen; none of those that are reported."""
LOST = 5.0
"""Points of test accuracy whose loss sets the tolerance of a rule to an axis."""


class Axis(NamedTuple):
    """One thing that gets worse.

    Attributes
    ----------
    title, unit : str
    device, field : str
        What is changed; the device at its defaults is the axis's reference.
    at : float
        The field's default, at which the reference stands.
    levels : tuple of float
        The other values.
    worse : int
        1 if larger values are worse, -1 if smaller ones are.
    """

    title: str
    unit: str
    device: str
    field: str
    at: float
    levels: tuple[float, ...]
    worse: int = 1

    def specs(self) -> dict[float, str]:
        """The devices of the axis by level, the reference among them, in the order of the levels."""
        found = {level: f"{self.device}:{self.field}={level:g}" for level in self.levels}
        return dict(sorted({**found, self.at: self.device}.items()))


AXES = {
    "line_noise": Axis("line noise", "share of the ADC's range", REFERENCE, "line_noise", 0.01, (0.0, 0.02, 0.05, 0.1)),
    "read_noise": Axis("cell read noise", "share of conductance", REFERENCE, "read_noise", 0.01, (0.0, 0.05, 0.1, 0.2)),
    "program_noise": Axis(
        "write noise", "share of g_max - g_min", REFERENCE, "program_noise", 0.002, (0.01, 0.02, 0.05)
    ),
    "adc_bits": Axis("ADC", "bits", REFERENCE, "adc_bits", 8, (3, 4, 5, 6, 10), -1),
    "dac_bits": Axis("DAC", "bits", REFERENCE, "dac_bits", 8, (2, 3, 4, 6), -1),
    "pulse_step": Axis("write granularity", "share of g_max - g_min", PULSED, "pulse_step", 1e-3, (0.005, 0.02, 0.05)),
    "asymmetry": Axis("write asymmetry", "of a step", PULSED, "asymmetry", 0.0, (0.1, 0.2, 0.4)),
    "stuck": Axis("stuck cells", "share of the cells", REFERENCE, "stuck_random", 0.0, (0.01, 0.05, 0.1, 0.2)),
}
DRIFTING = "crossbar:drift_nu=0.05,drift_nu_spread=0.3"
"""Drift (t / t0)^-nu of cells that differ, without compensation; the axis is the time since the end of learning."""
SECONDS = (0.0, 3600.0, 86400.0, 2.6e6)
PRESETS = ("ideal", "gaussian", "rpu", "rram_gong", "measured", "pcm", "pcm_hermes", "rram_wan", "rram_milo", "sonos")
"""Devices that get a card in addition to the two references."""
KEEPING = ("crossbar:controller=copy", "crossbar:controller=read_modify_write", "crossbar:controller=accumulate")
"""The crossbar under other write controllers: with a copy, with reads of what is there, with sums of small updates."""


class Protocol(NamedTuple):
    """What is run on one task.

    Attributes
    ----------
    settings : dict
        Arguments of `noisysim.run`, the same for all.
    rates : tuple of float
        The learning rates that compete, of Adam.
    rate_epochs : int
        Of the runs in which they do. At least two: a mean over the first epoch tells how learning begins, not how well.
    target : float
        Test accuracy whose cost is told.
    learners, seeds, presets : tuple
    axes : dict of Axis
    """

    settings: dict[str, Any]
    rates: tuple[float, ...]
    rate_epochs: int
    target: float
    learners: tuple[str, ...]
    seeds: tuple[int, ...]
    presets: tuple[str, ...]
    axes: dict[str, Axis]

    def devices(self) -> list[str]:
        """Every device but the drifting one, each once."""
        of_axes = [spec for axis in self.axes.values() for spec in axis.specs().values()]
        return list(dict.fromkeys([REFERENCE, PULSED, *KEEPING, *self.presets, *of_axes]))


def _fewer(**levels: tuple[float, ...]) -> dict[str, Axis]:
    """The axes with these levels only."""
    return {name: AXES[name]._replace(levels=kept) for name, kept in levels.items()}


EVERY = tuple(name for name in learners.names() if name != "shadow")  # `benchmarks.robustness.controllers` has it
MAIN = ("anp", "bp", "danp", "dbp", "dfa", "dnp", "fdfa", "inp", "np")
"""The rules that run on tasks which take long."""
SEEDS = (0, 1, 2, 3, 4)
DOUBLING = tuple(1e-4 * 2**k for k in range(11))
"""1e-4 to 0.1."""
TASKS = {
    "digits": Protocol(
        {"task": "digits", "layers": [64, 32], "batch_size": 32, "epochs": 15}, DOUBLING, 15, 0.80, EVERY, SEEDS,
        PRESETS, AXES,
    ),
    "fashion-mnist": Protocol(
        {"task": "fashion-mnist", "layers": [64, 32], "batch_size": 100, "epochs": 1}, DOUBLING[1:8], 2, 0.70, MAIN,
        SEEDS, ("ideal",),
        _fewer(
            line_noise=(0.03, 0.1), read_noise=(0.2,), program_noise=(0.05,), adc_bits=(4, 6), dac_bits=(3,),
            pulse_step=(0.02,), asymmetry=(0.4,), stuck=(0.05, 0.2),
        ),
    ),
    "cifar10": Protocol(  # for a GPU: about a minute a run there, a day a learner on a core
        {"task": "cifar10", "layers": "dalm-convnet", "batch_size": 1000, "epochs": 20, "backend": "auto"},
        DOUBLING[:8], 20, 0.40, EVERY, SEEDS, ("ideal",), AXES,
    ),
}  # fmt: skip
QUICK = {
    "digits": Protocol(
        {"task": "digits", "layers": [16], "batch_size": 32, "epochs": 6}, (2e-3, 1e-2), 6, 0.50, ("danp", "bp"),
        (0, 1), ("ideal",), _fewer(line_noise=(0.1,), adc_bits=(3,)),
    )
}  # fmt: skip
