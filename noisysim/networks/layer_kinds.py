"""Kinds of layers, from which a network's list is made.

A convolution or a dense layer is a product that arrays of cells compute; it begins a block. Batch normalisation, the
activation function, max pooling and dropout, in this order, are what the digital periphery does with its lines. All
other kinds are operations of the periphery between blocks: averages, sums and products of branches.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from noisysim.common.fields import Field, as_list, check, check_switch, declared, shown
from noisysim.networks import activations

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]
"""Top, left, bottom, right."""
_SIZE = Field("", 1, 10**7, whole=True)
_MARGIN = Field("", 0, 10**4, whole=True)
Size = Annotated[int, _SIZE]
Sizes = Annotated[int | Pair, _SIZE]
Margins = Annotated[int | str | Pair | Sides, _MARGIN]


@dataclass(frozen=True, repr=False)
class Layer:
    """What all kinds of layers share: checked fields, and a text that can be read again."""

    name: ClassVar[str] = ""
    several: ClassVar[dict[str, tuple[int, ...]]] = {}
    """Fields that may be a tuple of numbers, one for each side, and how long that may be."""

    def __post_init__(self) -> None:
        for name, spec in declared(type(self)).items():
            value = getattr(self, name)
            if value is None and self._defaults()[name] is None:
                continue
            if name == "activation":
                activations.check_name(value)
            elif value != "same" or name != "padding":
                object.__setattr__(self, name, self._checked(name, value, spec))

    def _checked(self, name: str, value: object, spec: Field) -> Any:
        """A field's value: one number, or one for each side, of equal ones the one."""
        if isinstance(self._defaults()[name], bool):
            return check_switch(f"{self.name}.{name}", value)
        value = as_list(value)
        if name not in self.several or not isinstance(value, (list, tuple)):
            return check(self.name, name, value, spec)
        lengths = self.several[name]
        if len(value) not in lengths:
            allowed = " or ".join(map(str, (1, *lengths)))
            raise ValueError(f"{self.name}.{name} must have {allowed} numbers, not {shown(value)}")
        numbers = tuple(check(self.name, name, one, spec) for one in value)
        return numbers[0] if len(set(numbers)) == 1 else numbers

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        return {f.name: f.default for f in dataclasses.fields(cls)}

    def __repr__(self) -> str:
        """``conv(16, 3, stride=2)``."""
        arguments = []
        for name, default in self._defaults().items():
            value = getattr(self, name)
            if default is dataclasses.MISSING:
                arguments.append(text_of(value))
            elif value != default:
                arguments.append(f"{name}={text_of(value)}")
        return f"{self.name}({', '.join(arguments)})"

    @property
    def in_branch(self) -> str:
        """Its text in the list of a branch."""
        return repr(self)


def text_of(value: object) -> str:
    """A field's value in the text of a layer; a branch is the list of its layers."""
    if isinstance(value, tuple) and all(isinstance(item, Layer) for item in value):
        return f"[{', '.join(item.in_branch for item in value)}]"
    return repr(value)


def each_side(value: int | Pair) -> Pair:
    """Height and width of what was given as one number or two."""
    return value if isinstance(value, tuple) else (value, value)


def margins_of(padding: int | str | Pair | Sides, kernel: Pair, dilation: Pair = (1, 1)) -> Sides:
    """Zeros above, left, below and right, of a padding in any of its forms."""
    if padding == "same":
        high, wide = ((n - 1) // 2 * d for n, d in zip(kernel, dilation, strict=True))
        return high, wide, high, wide
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding
    high, wide = each_side(cast("int | Pair", padding))
    return high, wide, high, wide


@dataclass(frozen=True, repr=False)
class Dense(Layer):
    """A fully connected layer.

    Parameters
    ----------
    units : int
    activation : str, optional
        Default: the network's.
    digital : bool
        Whether its weights are kept in digital memory and its product is exact, whatever the arrays are made of.
    """

    name: ClassVar[str] = "dense"
    units: Size
    activation: str | None = None
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False


class _Convolution(Layer):
    """What convolutions share: an odd kernel, if the image is to keep its size."""

    several: ClassVar[dict[str, tuple[int, ...]]] = {
        "kernel": (2,),
        "stride": (2,),
        "padding": (2, 4),
        "dilation": (2,),
    }
    kernel: Sizes
    stride: Sizes
    padding: Margins
    dilation: Sizes

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding == "same" and any(n % 2 == 0 for n in self.kernels):
            raise ValueError(f"{self}: padding='same' needs an odd kernel; give the padding as a number")

    @property
    def kernels(self) -> Pair:
        """Height and width of a patch."""
        return each_side(self.kernel)

    @property
    def strides(self) -> Pair:
        """Steps from one patch to the next, down and to the right."""
        return each_side(self.stride)

    @property
    def dilations(self) -> Pair:
        """Distances of a patch's rows and columns."""
        return each_side(self.dilation)

    @property
    def margins(self) -> Sides:
        """Zeros above, left, below and right of the image."""
        return margins_of(self.padding, self.kernels, self.dilations)


@dataclass(frozen=True, repr=False)
class Conv(_Convolution):
    """A two-dimensional convolution: the same product at every position of an image.

    Parameters
    ----------
    channels : int
        Output channels.
    kernel : int or (int, int)
        Height and width of a patch.
    stride : int or (int, int)
    padding : int, (int, int), (int, int, int, int) or "same"
        Zeros around the image: on all sides, above and below and left and right, or above, left, below and right;
        "same" is (kernel - 1) / 2, of an odd kernel.
    activation : str, optional
        Default: the network's.
    dilation : int or (int, int)
        Distance of a patch's pixels; 1 of neighbours (Yu & Koltun 2016).
    groups : int
        Groups of channels, of which each sees as many channels of the image: must divide both. An array holds them as
        blocks on its diagonal (`noisysim.compute.grouping`).
    digital : bool
        As of `dense`.
    """

    name: ClassVar[str] = "conv"
    channels: Size
    kernel: Sizes
    stride: Sizes = 1
    padding: Margins = 0
    activation: str | None = None
    dilation: Sizes = 1
    groups: Size = 1
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False


@dataclass(frozen=True, repr=False)
class Depthwise(_Convolution):
    """A convolution of each channel by itself (Howard et al. 2017): `conv` with a group a channel.

    Parameters
    ----------
    kernel, stride, padding, activation, dilation
        As of `conv`.
    multiplier : int
        Output channels of each channel.
    digital : bool
        As of `dense`.
    """

    name: ClassVar[str] = "depthwise"
    kernel: Sizes
    stride: Sizes = 1
    padding: Margins = 0
    activation: str | None = None
    dilation: Sizes = 1
    multiplier: Size = 1
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False

    def of(self, channels: int) -> Conv:
        """The convolution that it is of so many channels."""
        return Conv(
            channels * self.multiplier, self.kernel, self.stride, self.padding, self.activation, self.dilation,
            channels, self.digital,
        )  # fmt: skip


@dataclass(frozen=True, repr=False)
class Pool(Layer):
    """Max pooling of outputs, behind the activation function.

    Positions that do not fill a window are dropped.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of a window.
    stride : int or (int, int), optional
        Default: `size`.
    padding : int, (int, int) or (int, int, int, int)
        Positions around the image that are never the largest, as of `conv`; less than a window.
    """

    name: ClassVar[str] = "pool"
    several: ClassVar[dict[str, tuple[int, ...]]] = {"size": (2,), "stride": (2,), "padding": (2, 4)}
    size: Sizes
    stride: Annotated[int | Pair | None, _SIZE] = None
    padding: Annotated[int | Pair | Sides, _MARGIN] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_window(self)

    @property
    def sizes(self) -> Pair:
        """Height and width of a window."""
        return each_side(self.size)

    @property
    def strides(self) -> Pair:
        """Steps from one window to the next."""
        return each_side(self.stride or self.size)

    @property
    def margins(self) -> Sides:
        """Positions above, left, below and right of the image."""
        return margins_of(self.padding, self.sizes)


@dataclass(frozen=True, repr=False)
class AveragePool(Layer):
    """The mean of each window and channel.

    Parameters
    ----------
    size : int or (int, int), optional
        Height and width of a window. Default: the whole image, which leaves one position.
    stride : int or (int, int), optional
        Default: `size`.
    padding : int, (int, int) or (int, int, int, int)
        Positions around the image, as of `conv`; less than a window.
    count_padding : bool
        Whether they count as zeros, or not at all.
    """

    name: ClassVar[str] = "average_pool"
    several: ClassVar[dict[str, tuple[int, ...]]] = {"size": (2,), "stride": (2,), "padding": (2, 4)}
    size: Annotated[int | Pair | None, _SIZE] = None
    stride: Annotated[int | Pair | None, _SIZE] = None
    padding: Annotated[int | Pair | Sides, _MARGIN] = 0
    count_padding: Annotated[bool, Field(doc="whether padding counts as zeros")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is None and (self.stride is not None or self.padding):
            raise ValueError(f"{self}: without a size the window is the whole image; give one")
        _check_window(self)


@dataclass(frozen=True, repr=False)
class BatchNorm(Layer):
    """Batch normalisation in the digital periphery, by statistics of the activities it observed.

    y = (a - mean) / sqrt(variance + epsilon), for each unit over samples and positions (Ioffe & Szegedy 2015). While
    learning, the statistics are those that an update's first pass observed, and
    the same in all its passes, so that what one sample sees does not depend on the others' perturbations; else, and for
    a batch of one sample, running ones.

    Parameters
    ----------
    rate : float
        Share of the newest batch in the running statistics, in the long run; a batch shorter than the largest so far,
        or than 32 samples, has its part of that. 0 keeps the statistics of the calibration.
    epsilon : float
        Added to the variance.
    learned : bool
        Whether a gain and an offset of each unit follow, g y + o, digital and learned: a layer of weights like others,
        whose gains begin at 1 and offsets at 0.
    """

    name: ClassVar[str] = "batch_norm"
    rate: Annotated[float, Field("per update", 0, 1)] = 0.1
    epsilon: Annotated[float, Field("", 1e-12, 1)] = 1e-5
    learned: Annotated[bool, Field(doc="whether a gain and an offset follow")] = False


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


@dataclass(frozen=True, repr=False)
class Activate(Layer):
    """An activation function by itself, such as behind a sum.

    Parameters
    ----------
    activation : str, optional
        Default: the network's.
    """

    name: ClassVar[str] = "activate"
    activation: str | None = None


def _check_window(layer: Pool | AveragePool) -> None:
    """Refuse padding that would leave a window without a position of the image."""
    margins, size = margins_of(layer.padding, (1, 1)), layer.size
    if size is not None and any(m >= n for m, n in zip(margins, each_side(size) * 2, strict=True)):
        raise ValueError(f"{layer!r}: padding must be less than the window")


def conv1d(
    channels: int, kernel: int, stride: int = 1, padding: int | Pair | str = 0, activation: str | None = None,
    dilation: int = 1,
) -> Conv:  # fmt: skip
    """A convolution along the columns of an image of one row: a sequence (features, 1, steps).

    Parameters
    ----------
    channels, kernel, stride, activation, dilation
        As of `conv`; kernel, stride and dilation are numbers of steps.
    padding : int, (int, int) or "same"
        Zeros before and behind the sequence.
    """
    margins: Any = padding
    if padding != "same":
        first, last = each_side(padding)  # type: ignore[arg-type]
        margins = (0, first, 0, last)
    return Conv(channels, (1, kernel), (1, stride), margins, activation, (1, dilation))


dense, conv, depthwise, pool, average_pool = Dense, Conv, Depthwise, Pool, AveragePool
batch_norm, dropout, flatten, activate = BatchNorm, Dropout, Flatten, Activate
