"""Layers, and how a network is described by a short list of them: all that users take of it."""

from noisysim.networks.attention import Attention, Positional, attention, positional
from noisysim.networks.layer_kinds import (  # fmt: skip
    Activate,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Depthwise,
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
    depthwise,
    dropout,
    flatten,
    pool,
)
from noisysim.networks.layer_lists import Concat, Multiply, Residual, concat, layer, multiply, parse, plain, residual
from noisysim.networks.operation_kinds import (  # fmt: skip
    Add,
    Affine,
    Clip,
    Divide,
    Embedding,
    GroupNorm,
    LayerNorm,
    Leak,
    Matmul,
    OneHot,
    Output,
    RMSNorm,
    Softmax,
    Take,
    Wired,
    add,
    affine,
    clip,
    divide,
    embedding,
    group_norm,
    layer_norm,
    leak,
    matmul,
    one_hot,
    output,
    rms_norm,
    softmax,
    take,
)
from noisysim.networks.published import NAMED, Named, hidden, names
from noisysim.networks.recurrent_kinds import Recurrent, recurrent
from noisysim.networks.summary import Part, summary

__all__ = [
    "Activate", "Add", "Affine", "Attention", "AveragePool", "BatchNorm", "Clip", "Concat", "Conv", "Dense",
    "Depthwise", "Divide", "Dropout", "Embedding", "Flatten", "GroupNorm", "Layer", "LayerNorm", "Leak", "Matmul",
    "Multiply", "NAMED", "Named", "OneHot", "Output", "Part", "Pool", "Positional", "RMSNorm", "Recurrent",
    "Residual", "Softmax", "Take", "Wired", "activate", "add", "affine", "attention", "average_pool", "batch_norm",
    "clip", "concat", "conv", "conv1d", "dense", "depthwise", "divide", "dropout", "embedding", "flatten",
    "group_norm", "hidden", "layer", "layer_norm", "leak", "matmul", "multiply", "names", "one_hot", "output",
    "parse", "plain", "pool", "positional", "recurrent", "residual", "rms_norm", "softmax", "summary", "take",
]  # fmt: skip
