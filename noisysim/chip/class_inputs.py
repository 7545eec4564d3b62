"""Inputs that have to be numbers of classes, as an `embedding` takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.common.fields import shown
from noisysim.compute import backends
from noisysim.compute.observation import Batch
from noisysim.networks.architecture import INPUT, Architecture


def check(net: Architecture, inputs: object) -> None:
    """Refuse inputs of which some are none.

    Parameters
    ----------
    net : Architecture
    inputs : array or Batch
        (batch, n_in).

    Raises
    ------
    ValueError
    """
    counts = [one.shape[2] for one in net.operations if one.name == "one_hot" and one.sources == (INPUT,)]
    if not counts:
        return
    given: Any = inputs.inputs if isinstance(inputs, Batch) else inputs
    classes, values = min(counts), np.asarray(backends.backend_of(given).take(given))
    wrong = (values != values.round()) | (values < 0) | (values >= classes)
    if wrong.any():
        raise ValueError(
            f"inputs must be numbers of classes, whole numbers from 0 to {classes - 1}, and one is "
            f"{shown(float(values[wrong][0]))}: data of your own are standardised, unless standardise='none'"
        )
