"""Networks by name: hidden layers of published ones; the task gives input and output."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from noisysim.common.fields import as_list, shown, unknown
from noisysim.networks.layer_kinds import Conv, Dense, Layer, batch_norm, conv, dense, dropout, pool
from noisysim.networks.layer_lists import layer, plain, with_activation


class Named(tuple[Layer, ...]):
    """Hidden layers of a published network; `source` says where they stand, `activation` what most of them have."""

    source: str
    activation: str

    def __new__(cls, source: str, activation: str, layers: Sequence[Any]) -> Named:
        """Layers with the activation that the paper gives to those that have none of their own."""
        named = super().__new__(cls, [with_activation(layer(item), activation) for item in layers])
        named.source, named.activation = source, activation
        return named

    def __str__(self) -> str:
        """The layers in short: ``3 x 1024; relu``."""
        without = [
            dataclasses.replace(item, activation=None)
            if isinstance(item, (Dense, Conv)) and item.activation == self.activation
            else item
            for item in self
        ]
        runs = [(text, len(list(group))) for text, group in itertools.groupby(map(str, plain(without)))]
        layers = ", ".join(text if count == 1 else f"{count} x {text}" for text, count in runs)
        return f"{layers}; {self.activation}" if layers else "none"


def _alexnet() -> list[Any]:
    norm = batch_norm()
    return [
        conv(64, 3, stride=2, padding=1), norm, pool(2), conv(192, 3, padding=1), norm, pool(2),
        conv(384, 3, padding=1), norm, conv(256, 3, padding=1), norm, conv(256, 3, padding=1), norm, pool(2),
        4096, 4096,
    ]  # fmt: skip


_DALM, _BACHO = "Dalm et al. 2025", "Bacho & Chu 2024"
_LANSDELL, _HIRATANI = "Lansdell et al. 2020", "Hiratani et al. 2022"
_CONVS = [conv(16, 3, stride=2), conv(32, 3, stride=2), conv(64, 3)]
_TINY = [conv(32, 5, stride=2), conv(64, 3, stride=2), conv(128, 5)]
_SHALLOW = [conv(15, 5), pool(2), conv(40, 5), pool(2), 128]
_LANSDELL_CNN = [
    conv(32, 3, padding="same"), pool(3, 2), conv(128, 5, padding="same"), pool(3, 2), conv(256, 5, padding="same"),
    pool(3, 2), 2048, dropout(0.5), 2048, dropout(0.5),
]  # fmt: skip
_CODE = [dense(200, "tanh"), dense(2, "linear"), dense(200, "tanh")]
NAMED: dict[str, Named] = {
    "dalm-1": Named(f"{_DALM}, Table 1: no hidden layer", "leaky_relu", []),
    **{f"dalm-{n}": Named(f"{_DALM}, Table 1: {n} hidden layers", "leaky_relu", [1024] * n) for n in (3, 6, 9)},
    "dalm-convnet": Named(f"{_DALM}, Table 1: ConvNet (padding unstated: none)", "leaky_relu", [*_CONVS, 1024]),
    "dalm-tiny-imagenet": Named(
        f"{_DALM}, Table 1: ConvNet Tiny ImageNet (padding unstated: none)", "leaky_relu", [*_TINY, 512, 512]
    ),
    **{
        f"bacho-{n + 1}-layers-{width}": Named(f"{_BACHO}, Table B.5: {n + 1} layers", "relu", [width] * n)
        for width in (800, 1000)
        for n in (1, 2, 3)
    },
    "bacho-cnn": Named(f"{_BACHO}, Table 2: 15C5-P2-40C5-P2-128-10", "relu", _SHALLOW),
    "bacho-alexnet": Named(
        f"{_BACHO}, Table 3: AlexNet with batch normalisation and without dropout; cut to 32 x 32 pixels in the usual "
        "way (kernels of 3), which the paper leaves open",
        "relu",
        _alexnet(),
    ),
    "hiratani-linear": Named(f"{_HIRATANI}, Figure 1: 10,000 linear hidden units", "linear", [10_000]),
    **{
        f"hiratani-mnist-{n + 1}": Named(f"{_HIRATANI}, Figure 5: {n + 1} layers of weights", "relu", [300] * n)
        for n in (1, 2, 3)
    },
    "lansdell-mnist": Named(f"{_LANSDELL}, C.1: 784-50-20-10", "sigmoid", [50, 20]),
    "lansdell-autoencoder": Named(f"{_LANSDELL}, C.2: 784-200-2-200-784 (output linear, not relu)", "tanh", _CODE),
    "lansdell-cnn": Named(
        f"{_LANSDELL}, C.4: three convolutions, two layers of 2048, dropout (activation unstated: relu)",
        "relu",
        _LANSDELL_CNN,
    ),
}
"""Hidden layers of the papers' networks; the task gives input and output."""


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
        listed += NAMED[item] if isinstance(item, str) and item in NAMED else [layer(item)]
    return listed
