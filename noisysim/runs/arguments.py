"""Limits of the arguments of `noisysim.run`, and the settings that a result file stores as plain values.

The signature and docstring of `noisysim.run` declare names, types, defaults and help; this module what the values may
be. The configuration, the result file's schema, the command line and studies read both, and repeat neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from noisysim.common.fields import Field
from noisysim.common.limits import CHIPS, SEED

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
    init: str
    every: Annotated[int, Field("updates", 1, 10**9, "updates between two looks of the diagnostics", whole=True)]
    chips: Annotated[int, CHIPS]


DEFAULTS_OF_OLD_FILES = {"chips": 1}
"""Settings that a result file of an earlier version may lack, and what its run had."""
