"""What axes of figures and columns of tables are called: words instead of names, and units.

A unit is that of the field's declaration in the run's own device or rule; `WORDS` has names that alone say too little.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from noisysim.reporting import settings

SHORT = {
    "mvms": "MVMs",
    "macs": "MACs",
    "adc": "ADC",
    "dac": "DAC",
    "train": "training",
    "elapsed": "seconds",
    "cpu": "CPU",
    "program": "programming",
}
"""Words for parts of names."""
WORDS = {
    "adc_bits": "ADC resolution",
    "dac_bits": "DAC resolution",
    "perturbation_bits": "resolution of perturbation DACs",
    "target_bits": "resolution of stored targets",
    "line_noise": "line noise, std",
    "read_noise": "read noise, std",
    "program_noise": "programming noise, std",
    "perturbation_noise": "noise of perturbation DACs, std",
    "write_noise": "write noise, std",
    "stuck_random": "stuck cells",
    "stuck_low": "cells stuck at g_min",
    "stuck_high": "cells stuck at g_max",
    "dead_rows": "dead input lines",
    "dead_columns": "dead output lines",
    "levels": "conductance levels",
    "pulse_step": "change per pulse",
    "asymmetry": "asymmetry of steps up and down",
    "drift_nu": "drift exponent",
    "drift_nu_spread": "spread of drift exponents",
    "max_cycles": "endurance",
    "tile_rows": "rows of a tile",
    "tile_columns": "columns of a tile",
    "learner.sigma": "perturbation, std",
    "device.sigma": "line noise, std",
    "learner.samples": "noisy passes per update",
    "decorrelation": "decorrelation rate",
    "learning_rate_decay": "learning rate decay per epoch",
    "layers": "hidden layers",
    "init": "initial weights",
    "seconds": "time since learning ended",
}
"""Words for axes whose names, read as words, say too little; of a field of one part alone with that part before it."""
_WITHOUT = ("relative", "0 or 1")
"""Units that say nothing to who looks at a figure."""


class Quantity(NamedTuple):
    """What is along an axis: its name in words and its unit, "" where it has none."""

    words: str
    unit: str = ""

    @property
    def label(self) -> str:
        """What an axis is called, such as "ADC resolution (bits)"."""
        return f"{self.words} ({self.unit})" if self.unit else self.words

    @property
    def short(self) -> str:
        """What the head of a column is called, with the unit where it is a plain one."""
        return self.words if " " in self.unit else self.label

    def value(self, label: object) -> str:
        """What a panel is called, such as "ADC resolution = 8 bits", with the unit where it is a plain one.

        It may be broken before the sign.
        """
        unit = f"\N{NO-BREAK SPACE}{self.unit}" if self.unit and " " not in self.unit else ""
        return f"{self.words} =\N{NO-BREAK SPACE}{label}{unit}"


def words(name: str) -> str:
    """A name as words: "adc_conversions" -> "ADC conversions"."""
    return " ".join(SHORT.get(word, word) for word in name.split("_"))


def axis(name: str, config: Mapping[str, Any], varied: Collection[str] = ()) -> Quantity:
    """The axis of a study.

    Parameters
    ----------
    name : str
        An axis of the study, or "epoch" or "seconds".
    config : mapping
        Settings of one of its runs (`noisysim.Study.config`), which say whose field it is.
    varied : collection of str
        Settings in which the runs differ, such as "device.sigma": which of two fields of that name it is.
    """
    fields = {
        f"{part}.{setting.name}": setting
        for group in settings.groups(config)
        for part in [group.title.partition(" ")[0].lower()]
        for setting in group.settings
        if name in (setting.name, f"{part}_{setting.name}")
    }
    for whole, setting in sorted(fields.items(), key=lambda field: field[0] not in varied):
        called = WORDS.get(whole, WORDS.get(setting.name, words(setting.name)))
        return Quantity(called, "" if setting.unit in _WITHOUT else setting.unit)
    return Quantity(WORDS.get(name, words(name)))


def is_share(name: str) -> bool:
    """Whether a measured variable is shown in per cent."""
    return "accuracy" in name.split("_")


def measured(name: str) -> Quantity:
    """A measured variable of a study or a run, such as "test_accuracy"."""
    if name == "elapsed":
        return Quantity("time", "s")
    return Quantity(words(name.removesuffix("_after")), "%" if is_share(name) else "")
