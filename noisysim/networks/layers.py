"""Kinds of layers, and how a network is described by a short list of them.

>>> from noisysim import conv, pool
>>> layers = [conv(16, 3, stride=2), pool(2), 128]
>>> plain(layer(one) for one in layers)
['conv(16, 3, stride=2)', 'pool(2)', 128]

A convolution or a dense layer is a product that arrays of cells compute; it begins a block. Batch normalisation, the
activation function, max pooling and dropout, in this order, are what the digital periphery does with its lines.
"""

from __future__ import annotations

import ast
import dataclasses
import itertools
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from noisysim.common.fields import Field, as_list, check, declared, shown, unknown
from noisysim.networks import activations

Size = Annotated[int, Field("", 1, 10**7, whole=True)]


@dataclass(frozen=True, repr=False)
class Layer:
    """What all kinds of layers share: checked fields, and a text that can be read again."""

    name: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, spec in declared(type(self)).items():
            value = getattr(self, name)
            if value is None and self._defaults()[name] is None:
                continue
            if name == "activation":
                activations.check_name(value)
            elif value != "same" or name != "padding":
                object.__setattr__(self, name, check(self.name, name, value, spec))

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {f.name: f.default for f in dataclasses.fields(cls)}

    def __repr__(self) -> str:
        """``conv(16, 3, stride=2)``."""
        arguments = []
        for name, default in self._defaults().items():
            value = getattr(self, name)
            if default is dataclasses.MISSING:
                arguments.append(repr(value))
            elif value != default:
                arguments.append(f"{name}={value!r}")
        return f"{self.name}({', '.join(arguments)})"


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """A fully connected layer.

    Parameters
    ----------
    units : int
    activation : str, optional
        Default: the network's.
    """

    name: ClassVar[str] = "dense"
    units: Size
    activation: str | None = None


@dataclass(frozen=True, repr=False)
class Conv(Layer):
    """A two-dimensional convolution: the same product at every position of an image.

    Parameters
    ----------
    channels : int
        Output channels.
    kernel : int
        Height and width of a patch.
    stride : int
    padding : int or "same"
        Zeros around the image; "same" is (kernel - 1) / 2, of an odd kernel.
    activation : str, optional
        Default: the network's.
    """

    name: ClassVar[str] = "conv"
    channels: Size
    kernel: Size
    stride: Size = 1
    padding: Annotated[int | str, Field("", 0, 10**4, whole=True)] = 0
    activation: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding == "same" and self.kernel % 2 == 0:
            raise ValueError(f"{self}: padding='same' needs an odd kernel; give the padding as a number")

    @property
    def margin(self) -> int:
        """Zeros on each side."""
        return (self.kernel - 1) // 2 if self.padding == "same" else int(self.padding)


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Max pooling of outputs, behind the activation function; without padding.

    Positions that do not fill a window are dropped.

    Parameters
    ----------
    size : int
        Height and width of a window.
    stride : int, optional
        Default: `size`.
    """

    name: ClassVar[str] = "pool"
    size: Size
    stride: Annotated[int | None, Field("", 1, 10**7, whole=True)] = None


@dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Batch normalisation in the digital periphery, by statistics of the activities it observed.

    y = (a - mean) / sqrt(variance + epsilon), for each unit over samples and positions (Ioffe & Szegedy 2015, without
    their learned gain and offset). While learning, the statistics are those that an update's first pass observed, and
    the same in all its passes, so that what one sample sees does not depend on the others' perturbations; else, and for
    a batch of one sample, running ones.

    Parameters
    ----------
    rate : float
        Share of the newest batch in the running statistics, in the long run; a batch shorter than the largest so far,
        or than 32 samples, has its part of that. 0 keeps the statistics of the calibration.
    epsilon : float
        Added to the variance.
    """

    name: ClassVar[str] = "batch_norm"
    rate: Annotated[float, Field("per update", 0, 1)] = 0.1
    epsilon: Annotated[float, Field("", 1e-12, 1)] = 1e-5


@dataclass(frozen=True, repr=False)
class Dropout(Layer):
    """Dropout of hidden outputs while learning; what stays is scaled up by 1 / (1 - rate) (Srivastava et al. 2014).

    All passes of an update drop the same outputs: a rule compares them.

    Parameters
    ----------
    rate : float
        Share that is dropped.
    """

    name: ClassVar[str] = "dropout"
    rate: Annotated[float, Field("", 0, 0.99)]


@dataclass(frozen=True, repr=False)
class Flatten(Layer):
    """Positions and channels become units, channel fastest. A dense layer does it by itself; this says so."""

    name: ClassVar[str] = "flatten"


dense, conv, pool, batch_norm, dropout, flatten = Dense, Conv, Pool, BatchNorm, Dropout, Flatten
KINDS: dict[str, type[Layer]] = {kind.name: kind for kind in (Dense, Conv, Pool, BatchNorm, Dropout, Flatten)}


def parse(text: str) -> Layer:
    """The layer that a text such as ``"conv(16, 3, stride=2)"`` describes.

    Examples
    --------
    >>> parse("conv(16, 3, stride=2)").channels
    16
    >>> parse("conv(16, 3, strides=2)")
    Traceback (most recent call last):
    ValueError: unknown field of conv 'strides'; did you mean 'stride'? ...
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name = call.func.id if isinstance(call, ast.Call) else call.id  # type: ignore[attr-defined]
        arguments = [ast.literal_eval(a) for a in getattr(call, "args", ())]
        settings = {k.arg: ast.literal_eval(k.value) for k in getattr(call, "keywords", ())}
    except (SyntaxError, ValueError, AttributeError, MemoryError, RecursionError):
        raise ValueError(f"cannot read the layer {shown(text)}: write it as 'conv(16, 3, stride=2)' or '256'") from None
    if name not in KINDS:
        raise unknown("layer", name, KINDS)
    fields = list(KINDS[name]._defaults())
    for setting in settings:
        if setting not in fields:
            raise unknown(f"field of {name}", setting, fields)
    try:
        return KINDS[name](*arguments, **settings)
    except TypeError as error:
        raise ValueError(f"cannot read the layer {shown(text)}: {error}") from None


def layer(spec: Any) -> Layer:
    """A layer in any of its forms: itself, a number of units, or a text.

    Examples
    --------
    >>> layer(128) == layer("128") == layer("dense(128)")
    True
    """
    if isinstance(spec, Layer):
        return spec
    if isinstance(spec, str):
        number = spec.strip()
        return Dense(int(number)) if number.isdecimal() and len(number) <= 9 else parse(spec)
    if isinstance(spec, bool) or not isinstance(spec, numbers.Real):
        raise TypeError(
            f"a layer must be a number of units, or a text such as 'conv(16, 3, stride=2)', not {shown(spec)}"
        )
    return Dense(spec)  # type: ignore[arg-type]  # which checks it


def plain(layers: Sequence[Layer]) -> list[int | str]:
    """Layers as numbers and texts, which `layer` reads again."""
    return [layer.units if isinstance(layer, Dense) and layer.activation is None else repr(layer) for layer in layers]


class Named(tuple[Layer, ...]):
    """Hidden layers of a published network; `source` says where they stand, `activation` what most of them have."""

    source: str
    activation: str

    def __new__(cls, source: str, activation: str, layers: Sequence[Any]) -> Named:
        """Layers with the activation that the paper gives to those that have none of their own."""
        named = super().__new__(cls, [_with_activation(layer(item), activation) for item in layers])
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


def _with_activation(item: Layer, activation: str) -> Layer:
    """A layer with this activation, if it could have one and has none."""
    if isinstance(item, (Dense, Conv)) and item.activation is None:
        return dataclasses.replace(item, activation=activation)
    return item


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
