"""Limits of the arguments of `noisysim.run`, and the settings that a result file stores as plain values.

The signature and docstring of `noisysim.run` declare names, types, defaults and help; this module what the values may
be. The configuration, the result file's schema, the command line and studies read both, and repeat neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from noisysim.common.fields import Field
from noisysim.common.limits import CALIBRATION, CHIPS, SEED

Count = Annotated[int, Field("", 1, 10**9, whole=True)]
CHECKPOINT_SECONDS = Field("s", 0)


@dataclass(kw_only=True)
class PlainSettings:
    """Settings of a run that are numbers, words and switches, resolved."""

    learning_rate: Annotated[float, Field("", 0, 1e6, "step of the optimizer")]
    learning_rate_decay: Annotated[float, Field("", 1e-9, 1, "factor on the learning rate, each epoch")]
    batch_size: Count
    epochs: Count
    bias: bool
    inject: str
    backend: str
    seed: Annotated[int, SEED]
    oracle: bool
    weight_scaling: str
    decorrelate: str
    every: Annotated[int, Field("updates", 1, 10**9, "updates between two looks of the diagnostics", whole=True)]
    chips: Annotated[int, CHIPS]
    weight_decay: Annotated[float, Field("", 0, 1e6, "share of each weight that goes a unit of learning rate")] = 0.0
    clip: Annotated[float, Field("gradient units", 0, 1e30, "largest norm of a gradient; 0: any")] = 0.0
    calibration: Annotated[int, CALIBRATION] = 0


UNUSED: dict[str, Any] = {
    "weight_decay": 0.0, "clip": 0.0, "schedule": None, "validation": None, "callbacks": [], "weight_scaling": "fixed",
    "decorrelate": None, "frozen": [], "calibration": 0,
}  # fmt: skip
"""Settings that are recorded only where they are used, and what stands for no use: so a run that does not use them has
the record, and in a study the key, that it had before there were any."""
DEFAULTS_OF_OLD_FILES = {"chips": 1, **UNUSED}
"""Settings that a result file may lack, and what its run had."""
