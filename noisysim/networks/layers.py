"""Layers, and how a network is described by a short list of them: all that users take of it."""

from noisysim.networks.branches import Concat, Multiply, Residual, concat, multiply, residual
from noisysim.networks.layer_kinds import (  # fmt: skip
    Activate,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Pool,
    activate,
    average_pool,
    batch_norm,
    conv,
    conv1d,
    dense,
    dropout,
    flatten,
    pool,
)
from noisysim.networks.layer_texts import layer, parse, plain
from noisysim.networks.published import NAMED, Named, hidden, names

__all__ = [
    "NAMED", "Activate", "AveragePool", "BatchNorm", "Concat", "Conv", "Dense", "Dropout", "Flatten", "Layer",
    "Multiply", "Named", "Pool", "Residual", "activate", "average_pool", "batch_norm", "concat", "conv", "conv1d",
    "dense", "dropout", "flatten", "hidden", "layer", "multiply", "names", "parse", "plain", "pool", "residual",
]  # fmt: skip
