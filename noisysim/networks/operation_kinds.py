"""Layers that are operations of the digital periphery alone, and how a list wires layers that are no chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from noisysim.common.fields import Field, as_list, check, shown
from noisysim.networks.layer_kinds import Conv, Layer

Numbers = tuple[float, ...]
_ANY = Field("")
_EPSILON = Field("", 1e-12, 1)
_COUNT = Field("", 1, 10**7, whole=True)
_LEARNED = Field(doc="whether a gain and an offset follow")


@dataclass(frozen=True, repr=False)
class LayerNorm(Layer):
    """Values less their mean, over their deviation, over the channels of each position (Ba et al. 2016).

    Parameters
    ----------
    epsilon : float
        Added to the variance.
    learned : bool
        Whether a gain and an offset of each channel follow, digital and learned, as of `batch_norm`.
    """

    name: ClassVar[str] = "layer_norm"
    epsilon: Annotated[float, _EPSILON] = 1e-5
    learned: Annotated[bool, _LEARNED] = False


@dataclass(frozen=True, repr=False)
class RMSNorm(Layer):
    """Values over their root mean square, over the channels of each position (Zhang & Sennrich 2019).

    Parameters
    ----------
    epsilon : float
        Added to the mean square.
    learned : bool
        As of `layer_norm`.
    """

    name: ClassVar[str] = "rms_norm"
    epsilon: Annotated[float, _EPSILON] = 1e-5
    learned: Annotated[bool, _LEARNED] = False


@dataclass(frozen=True, repr=False)
class GroupNorm(Layer):
    """Values less their mean, over their deviation, over groups of channels and all positions (Wu & He 2018).

    One group takes all values of a sample; as many as there are channels is instance normalisation.

    Parameters
    ----------
    groups : int
        Of channels, whose number they must divide.
    epsilon : float
        Added to the variance.
    learned : bool
        As of `layer_norm`.
    """

    name: ClassVar[str] = "group_norm"
    groups: Annotated[int, _COUNT]
    epsilon: Annotated[float, _EPSILON] = 1e-5
    learned: Annotated[bool, _LEARNED] = False


NORMS = (LayerNorm, RMSNorm, GroupNorm)
"""Normalisations of a sample by its own values."""


@dataclass(frozen=True, repr=False)
class Softmax(Layer):
    """exp(a) / sum exp(a) over the channels of each position."""

    name: ClassVar[str] = "softmax"


@dataclass(frozen=True, repr=False)
class Clip(Layer):
    """Values held between two bounds.

    Parameters
    ----------
    low, high : float
    """

    name: ClassVar[str] = "clip"
    low: Annotated[float, _ANY]
    high: Annotated[float, _ANY]


@dataclass(frozen=True, repr=False)
class Leak(Layer):
    """Values, of negative ones a share: a leaky rectifier of any slope.

    Parameters
    ----------
    slope : float
    """

    name: ClassVar[str] = "leak"
    slope: Annotated[float, _ANY]


@dataclass(frozen=True, repr=False)
class Affine(Layer):
    """A gain and an offset, digital and fixed.

    Parameters
    ----------
    gain, offset : float or list of float
        Of all values; of each channel; or of each value, pixel by pixel.
    """

    name: ClassVar[str] = "affine"
    gain: Any = 1.0
    offset: Any = 0.0

    def __post_init__(self) -> None:
        for name in ("gain", "offset"):
            object.__setattr__(self, name, _numbers(self.name, name, getattr(self, name)))
        if len(self.gain) != len(self.offset) and 1 not in (len(self.gain), len(self.offset)):
            raise ValueError(f"affine has {len(self.gain)} gains and {len(self.offset)} offsets")


@dataclass(frozen=True, repr=False)
class Take(Layer):
    """Values in another order, and perhaps more than once or not at all: transposes, slices, padding.

    Parameters
    ----------
    places : list of int
        Of each value that is given, where it is among those that are taken, pixel by pixel; at -1 zeros are given.
    shape : (int, int, int), optional
        Height, width and channels of what is given. Default: (1, 1, all), units.
    """

    name: ClassVar[str] = "take"
    places: Any
    shape: Any = None

    def __post_init__(self) -> None:
        places = _numbers(self.name, "places", self.places, Field("", -1, 2**40, whole=True))
        shape = as_list((1, 1, len(places)) if self.shape is None else self.shape)
        if not isinstance(shape, (list, tuple)) or len(shape) != 3:
            raise ValueError(f"take.shape must be (height, width, channels), not {shown(shape)}")
        sizes = tuple(check(self.name, "shape", n, _COUNT) for n in shape)
        if sizes[0] * sizes[1] * sizes[2] != len(places):
            raise ValueError(f"take has {len(places)} places for a shape of {sizes}")
        object.__setattr__(self, "places", places)
        object.__setattr__(self, "shape", sizes)


@dataclass(frozen=True, repr=False)
class Add(Layer):
    """The sum of what it is wired to: ``add()(a, b)``."""

    name: ClassVar[str] = "add"


@dataclass(frozen=True, repr=False)
class Divide(Layer):
    """The first of two values divided by the second, value by value: ``divide()(a, b)``."""

    name: ClassVar[str] = "divide"


@dataclass(frozen=True, repr=False)
class Matmul(Layer):
    """The product of two values as matrices, several side by side: ``matmul(4, 8, 16, 8)(a, b)``.

    Parameters
    ----------
    sides, rows, inner, columns : int
        The first value is `sides` matrices (rows, inner), the second as many (inner, columns).
    """

    name: ClassVar[str] = "matmul"
    sides: Annotated[int, _COUNT]
    rows: Annotated[int, _COUNT]
    inner: Annotated[int, _COUNT]
    columns: Annotated[int, _COUNT]


@dataclass(frozen=True, repr=False)
class OneHot(Layer):
    """Of each value, the number of a class from 0 on, a step with 1 at the class and 0 elsewhere.

    The steps are rows of an image, (steps, 1, classes). A value that is no class gives a step of zeros. No signal comes
    back through it.

    Parameters
    ----------
    classes : int
    """

    name: ClassVar[str] = "one_hot"
    classes: Annotated[int, _COUNT]


@dataclass(frozen=True, repr=False)
class Embedding(Layer):
    """A vector of weights for each class, such as a word: of steps that are numbers of classes from 0 on.

    `one_hot`, and an array with a column a class, of which each step drives one. It gives rows of an image, (steps, 1,
    units), which `recurrent` and `attention` take; a value that is no class gives zeros, or the bias.

    Parameters
    ----------
    classes, units : int
    digital : bool
        Whether the vectors are kept in digital memory, and looked up exactly.
    """

    name: ClassVar[str] = "embedding"
    classes: Annotated[int, _COUNT]
    units: Annotated[int, _COUNT]
    digital: Annotated[bool, Field(doc="whether its weights are in digital memory")] = False

    @property
    def parts(self) -> list[Layer]:
        """The layers that it is made of."""
        return [OneHot(self.classes), Conv(self.units, 1, activation="linear", digital=self.digital)]


@dataclass(frozen=True, repr=False)
class Output(Layer):
    """What comes before it is the network's output: no layer of the task's outputs is added."""

    name: ClassVar[str] = "output"


@dataclass(frozen=True, repr=False)
class Wired(Layer):
    """A layer with a name, or with the names of what it sees: ``c = conv(8, 3)(a)``.

    Parameters
    ----------
    layer : Layer
    label : str
        What later layers call it by; "" for none.
    sources : tuple of str
        Labels, or "input", of what it sees. Default: what comes before it.
    """

    name: ClassVar[str] = "wired"
    layer: Layer
    label: str = ""
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for label in (self.label, *self.sources):
            if label and not (isinstance(label, str) and label.isidentifier()):
                raise ValueError(f"a layer's name must be a word, not {shown(label)}")
        if self.label == INPUT:
            raise ValueError(f"{INPUT!r} is the network's input; call the layer something else")

    def __repr__(self) -> str:
        """``c = conv(8, 3)(a)``."""
        text = repr(self.layer)
        if self.sources:
            text += f"({', '.join(self.sources)})"
        return f"{self.label} = {text}" if self.label else text

    @property
    def in_branch(self) -> str:
        """A text of its own within the text of the branch."""
        return repr(repr(self))


INPUT = "input"
"""What wired layers call the network's input."""


def _numbers(owner: str, name: str, values: object, spec: Field = _ANY) -> tuple[Any, ...]:
    """Numbers of a layer, one or several, each checked."""
    values = as_list(values)
    listed = values if isinstance(values, (list, tuple)) else [values]
    if not listed:
        raise ValueError(f"{owner}.{name} must hold a number, not {shown(values)}")
    return tuple(check(owner, name, value, spec) for value in listed)


layer_norm, rms_norm, group_norm, softmax, clip, leak = LayerNorm, RMSNorm, GroupNorm, Softmax, Clip, Leak
affine, take, add, divide, matmul, output = Affine, Take, Add, Divide, Matmul, Output
one_hot, embedding = OneHot, Embedding
