"""Networks by name: hidden layers of published ones; the task gives input and output."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from noisysim.common.fields import as_list, shown, unknown
from noisysim.networks.attention import attention, positional
from noisysim.networks.layer_kinds import (  # fmt: skip
    Layer,
    average_pool,
    batch_norm,
    conv,
    dense,
    depthwise,
    dropout,
    pool,
)
from noisysim.networks.layer_lists import layer, plain, residual, with_activation
from noisysim.networks.operation_kinds import layer_norm
from noisysim.networks.recurrent_kinds import recurrent


class Named(tuple[Layer, ...]):
    """Hidden layers of a published network.

    Parameters
    ----------
    source : str
        Where they stand, and what is not as there.
    activation : str
        Of layers that have none of their own.
    layers : sequence
        In any form that `noisysim.layers.layer` reads.
    input_shape : tuple of int
        Of what they were published for: (n_in,), or (channels, height, width).
    n_out : int
        The outputs that it had there.
    """

    source: str
    activation: str
    input_shape: tuple[int, ...]
    n_out: int
    _written: list[Layer]

    def __new__(
        cls, source: str, activation: str, layers: Sequence[Any], input_shape: tuple[int, ...], n_out: int = 10
    ) -> Named:
        """Layers with the activation that the paper gives to those that have none of their own."""
        written = [layer(item) for item in layers]
        named = super().__new__(cls, [with_activation(item, activation) for item in written])
        named.source, named.activation, named._written = source, activation, written
        named.input_shape, named.n_out = input_shape, n_out
        return named

    def __str__(self) -> str:
        """The layers in short: ``3 x 1024; relu``."""
        return f"{_short([*map(str, plain(self._written))])}; {self.activation}" if self else "none"


def _short(texts: Sequence[str]) -> str:
    """Texts one after the other, what is repeated once: ``4 x (a, b), c``."""
    parts, at = list[str](), 0
    while at < len(texts):
        rest = texts[at:]
        counts = {period: _repeats(rest, period) for period in range(1, len(rest) + 1)}
        period = max(counts, key=lambda one: (counts[one] > 1) * counts[one] * one)
        several = ", ".join(rest[:period])
        if counts[period] > 1:
            several = f"{counts[period]} x {several if period == 1 else f'({several})'}"
        else:
            period, several = 1, rest[0]
        parts.append(several)
        at += period * counts[period]
    return ", ".join(parts)


def _repeats(texts: Sequence[str], period: int) -> int:
    """How often the first `period` texts stand one after the other."""
    count = 1
    while texts[count * period : (count + 1) * period] == texts[:period]:
        count += 1
    return count


def _alexnet() -> list[Any]:
    norm = batch_norm()
    return [
        conv(64, 3, stride=2, padding=1), norm, pool(2), conv(192, 3, padding=1), norm, pool(2),
        conv(384, 3, padding=1), norm, conv(256, 3, padding=1), norm, conv(256, 3, padding=1), norm, pool(2),
        4096, 4096,
    ]  # fmt: skip


_NEXT = (0, 0, 1, 1)
"""Zeros below and to the right: padding "same" in Keras, of a kernel of 3, a stride of 2 and an even number of rows."""
_KERAS_NORM = batch_norm(epsilon=1e-3)


def _resnet_8() -> list[Any]:
    norm = _KERAS_NORM

    def stage(channels: int) -> Layer:
        main = [conv(channels, 3, 2, _NEXT), norm, conv(channels, 3, padding="same"), norm]
        return residual(main, [conv(channels, 1, 2)])

    same = residual([conv(16, 3, padding="same"), norm, conv(16, 3, padding="same"), norm])
    return [conv(16, 3, padding="same"), norm, same, stage(32), stage(64), average_pool()]


def _resnet(blocks: int) -> list[Any]:
    norm = batch_norm()

    def block(channels: int, stride: int) -> Layer:
        main = [conv(channels, 3, stride, "same"), norm, conv(channels, 3, padding="same"), norm]
        return residual(main, [conv(channels, 1, stride), norm] if stride > 1 else [])

    stages = [block(16 * 2**k, 2 if k and n == 0 else 1) for k in range(3) for n in range(blocks)]
    return [conv(16, 3, padding="same"), norm, *stages, average_pool()]


def _separable(channels: int, stride: int = 1) -> list[Any]:
    """A depthwise and a pointwise convolution (Howard et al. 2017)."""
    padding = _NEXT if stride == 2 else "same"
    return [depthwise(3, stride, padding), _KERAS_NORM, conv(channels, 1), _KERAS_NORM]


def _ds_cnn() -> list[Any]:
    separable = _separable(64) * 4
    return [conv(64, (10, 4), 2, (4, 1, 5, 1)), _KERAS_NORM, dropout(0.2), *separable, dropout(0.4), average_pool()]


def _mobilenet() -> list[Any]:
    widths = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    separable = itertools.chain.from_iterable(_separable(*one) for one in widths)
    return [conv(8, 3, 2, _NEXT), _KERAS_NORM, *separable, average_pool()]


def _vgg_8() -> list[Any]:
    pairs = ([conv(n, 3, padding="same"), conv(n, 3, padding="same"), pool(2)] for n in (128, 256, 512))
    return [*itertools.chain.from_iterable(pairs), 1024]


def _encoder(count: int, units: int, heads: int) -> list[Any]:
    """Blocks of attention and of two layers step by step, each beside its input."""
    attends = residual([layer_norm(), attention(heads)], activation="linear")
    answers = residual([layer_norm(), conv(2 * units, 1), conv(units, 1)], activation="linear")
    steps = [conv(units, (1, 28), activation="linear"), positional()]
    return [*steps, *[attends, answers] * count, layer_norm(), average_pool()]


_DALM, _BACHO = "Dalm et al. 2025", "Bacho & Chu 2024"
_LANSDELL, _HIRATANI = "Lansdell et al. 2020", "Hiratani et al. 2022"
_CONVS = [conv(16, 3, stride=2), conv(32, 3, stride=2), conv(64, 3)]
_TINY = [conv(32, 5, stride=2), conv(64, 3, stride=2), conv(128, 5)]
_SHALLOW = [conv(15, 5), pool(2), conv(40, 5), pool(2), 128]
_LANSDELL_CNN = [
    conv(32, 3, padding="same"), pool(3, 2), conv(128, 5, padding="same"), pool(3, 2), conv(256, 5, padding="same"),
    pool(3, 2), 2048, dropout(0.5), 2048, dropout(0.5),
]  # fmt: skip
_MNIST, _CIFAR = (1, 28, 28), (3, 32, 32)
_TINY_BENCHMARK = "Banbury et al. 2021, MLPerf Tiny"
_LENET = [conv(6, 5, padding=2), average_pool(2), conv(16, 5), average_pool(2), conv(120, 5), 84]
_ANOMALY = [one for n in [128] * 4 + [8] + [128] * 4 for one in (n, _KERAS_NORM)]
_CODE = [200, dense(2, "linear"), 200]
NAMED: dict[str, Named] = {
    "dalm-1": Named(f"{_DALM}, Table 1: no hidden layer", "leaky_relu", [], _CIFAR),
    **{f"dalm-{n}": Named(f"{_DALM}, Table 1: {n} hidden layers", "leaky_relu", [1024] * n, _CIFAR) for n in (3, 6, 9)},
    "dalm-convnet": Named(f"{_DALM}, Table 1: ConvNet (padding unstated: none)", "leaky_relu", [*_CONVS, 1024], _CIFAR),
    "dalm-tiny-imagenet": Named(
        f"{_DALM}, Table 1: ConvNet Tiny ImageNet (padding unstated: none)",
        "leaky_relu",
        [*_TINY, 512, 512],
        (3, 64, 64),
        200,
    ),
    **{
        f"bacho-{n + 1}-layers-{width}": Named(f"{_BACHO}, Table B.5: {n + 1} layers", "relu", [width] * n, _MNIST)
        for width in (800, 1000)
        for n in (1, 2, 3)
    },
    "bacho-cnn": Named(f"{_BACHO}, Table 2: 15C5-P2-40C5-P2-128-10", "relu", _SHALLOW, _MNIST),
    "bacho-alexnet": Named(
        f"{_BACHO}, Table 3: AlexNet with batch normalisation and without dropout; cut to 32 x 32 pixels in the usual "
        "way (kernels of 3), which the paper leaves open",
        "relu",
        _alexnet(),
        _CIFAR,
    ),
    "hiratani-linear": Named(f"{_HIRATANI}, Figure 1: 10,000 linear hidden units", "linear", [10_000], (100,)),
    **{
        f"hiratani-mnist-{n + 1}": Named(f"{_HIRATANI}, Figure 5: {n + 1} layers of weights", "relu", [300] * n, _MNIST)
        for n in (1, 2, 3)
    },
    "lansdell-mnist": Named(f"{_LANSDELL}, C.1: 784-50-20-10", "sigmoid", [50, 20], _MNIST),
    "lansdell-autoencoder": Named(
        f"{_LANSDELL}, C.2: 784-200-2-200-784 (output linear, not relu)", "tanh", _CODE, _MNIST, 784
    ),
    "lansdell-cnn": Named(
        f"{_LANSDELL}, C.4: three convolutions, two layers of 2048, dropout (activation unstated: relu)",
        "relu",
        _LANSDELL_CNN,
        _CIFAR,
    ),
    "lenet-5": Named(
        "LeCun et al. 1998, Figure 2: 28 x 28 pixels padded to 32 x 32; C3 sees all maps of S2, subsampling has no "
        "gain and activation of its own, tanh is not scaled, outputs are linear",
        "tanh",
        _LENET,
        _MNIST,
    ),
    **{
        f"{cell}-64": Named(
            f"sequential MNIST by rows: {cell.upper()} of 64 units ({paper})", "tanh", [recurrent(64, cell)], _MNIST
        )
        for cell, paper in (("lstm", "Hochreiter & Schmidhuber 1997"), ("gru", "Cho et al. 2014"))
    },
    "encoder-rows": Named(
        "Vaswani et al. 2017, two layers of an encoder, small, over the rows of MNIST: normalised before each branch, "
        "without gain and offset",
        "gelu",
        _encoder(2, 32, 4),
        _MNIST,
    ),
    "resnet-8": Named(f"{_TINY_BENCHMARK}: image classification", "relu", _resnet_8(), _CIFAR),
    "resnet-20": Named(
        "He et al. 2016, section 4.2: n = 3; projections (1 x 1, with normalisation) where maps change in size, in "
        "place of the paper's zero padding",
        "relu",
        _resnet(3),
        _CIFAR,
    ),
    "ds-cnn": Named(f"{_TINY_BENCHMARK}: keyword spotting (Zhang et al. 2017)", "relu", _ds_cnn(), (1, 49, 10), 12),
    "mobilenet-v1-0.25": Named(
        f"{_TINY_BENCHMARK}: visual wake words; 0.25 MobileNet (Howard et al. 2017)",
        "relu",
        _mobilenet(),
        (3, 96, 96),
        2,
    ),
    "mlperf-autoencoder": Named(f"{_TINY_BENCHMARK}: anomaly detection", "relu", _ANOMALY, (640,), 640),
    "vgg-8": Named("Peng et al. 2019, DNN+NeuroSim: VGG-8", "relu", _vgg_8(), _CIFAR),
}
"""Hidden layers of published networks; the task gives input and output."""


def names() -> list[str]:
    """Names of the published networks there are."""
    return list(NAMED)


def hidden(spec: Any) -> list[Layer]:
    """Hidden layers: a list or an array, or the name of a published network."""
    spec = as_list(spec)
    if isinstance(spec, str):
        if spec not in NAMED:
            if "(" in spec:
                raise TypeError(f"layers must be a list, such as ['conv(16, 3)', 128], or a name, not {shown(spec)}")
            raise unknown("network", spec, NAMED)
        return list(NAMED[spec])
    if isinstance(spec, (bytes, Mapping, Layer)) or not isinstance(spec, Sequence):
        raise TypeError(f"layers must be a list of hidden layers such as [256, 128], or a name, not {shown(spec)}")
    listed: list[Layer] = []
    for item in spec:  # of a command line the list holds a name
        if isinstance(item, str) and "-" in item and "(" not in item and item not in NAMED:
            raise unknown("network", item, NAMED)
        listed += NAMED[item] if isinstance(item, str) and item in NAMED else [layer(item)]
    return listed
