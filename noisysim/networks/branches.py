"""Layers with branches: sums, products, and what stands side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from noisysim.networks import activations, layer_kinds, operation_kinds
from noisysim.networks.layer_kinds import Activate, Conv, Dense, Depthwise, Layer, text_of
from noisysim.networks.operation_kinds import Wired
from noisysim.networks.recurrent_kinds import recurrent

PRODUCTS = (Dense, Conv, Depthwise)
"""Layers with weights."""
Branch = tuple[Layer, ...]
"""Layers one after the other; without any, what goes in comes out."""


@dataclass(frozen=True, repr=False)
class Residual(Layer):
    """The sum of two branches, through an activation function (He et al. 2016).

    The last product of a branch is linear, unless it names an activation function.

    Parameters
    ----------
    main : list of layers
    shortcut : list of layers
        Default: none, the input itself.
    activation : str, optional
        Of the sum. Default: the network's.
    """

    name: ClassVar[str] = "residual"
    main: Branch
    shortcut: Branch = ()
    activation: str | None = None

    def __post_init__(self) -> None:
        _check_branches(self, "main", "shortcut")
        if self.activation is not None:
            activations.check_name(self.activation)


@dataclass(frozen=True, repr=False)
class Concat(Layer):
    """Branches side by side: what they give, channel by channel of the same positions, or unit by unit.

    Parameters
    ----------
    branches : lists of layers
    """

    name: ClassVar[str] = "concat"
    branches: tuple[Branch, ...]

    def __post_init__(self) -> None:
        _check_branches(self, "branches")

    def __repr__(self) -> str:
        """``concat([8], [4])``."""
        return f"{self.name}({', '.join(map(text_of, self.branches))})"


@dataclass(frozen=True, repr=False)
class Multiply(Concat):
    """The product of branches, value by value; one that gives a value per channel is a gate for all positions.

    Squeeze-and-excitation (Hu et al. 2018) is ``multiply([], [average_pool(), 8, dense(64, "sigmoid")])``.

    Parameters
    ----------
    branches : lists of layers
    """

    name: ClassVar[str] = "multiply"

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.branches) == 1:
            raise ValueError(f"{self!r} needs two branches or more")


def _check_branches(layer: Layer, *names: str) -> None:
    """Take branches as tuples of layers."""
    from noisysim.networks.layer_texts import branch

    for name in names:
        value = getattr(layer, name)
        several = name == "branches"
        taken = tuple(branch(layer.name, one) for one in value) if several else branch(layer.name, value)
        object.__setattr__(layer, name, taken)


def concat(*branches: Sequence[Any]) -> Concat:
    """`Concat`, of branches one after the other: ``concat([conv(8, 1)], [conv(8, 3, padding="same")])``."""
    return Concat(branches)  # type: ignore[arg-type]  # which takes any form


def multiply(*branches: Sequence[Any]) -> Multiply:
    """`Multiply`, of branches one after the other: ``multiply([64], [dense(64, "sigmoid")])``."""
    return Multiply(branches)  # type: ignore[arg-type]


def residual(main: Sequence[Any], shortcut: Sequence[Any] = (), activation: str | None = None) -> Residual:
    """`Residual`: ``residual([conv(8, 3, padding="same"), batch_norm()])``."""
    return Residual(main, shortcut, activation)  # type: ignore[arg-type]


KINDS: dict[str, Callable[..., Layer]] = {
    **{name: getattr(layer_kinds, name) for name in (
        "dense", "conv", "conv1d", "depthwise", "pool", "average_pool", "batch_norm", "dropout", "flatten", "activate",
    )},
    **{name: getattr(operation_kinds, name) for name in (
        "layer_norm", "rms_norm", "group_norm", "softmax", "clip", "leak", "affine", "take", "add", "matmul", "output",
    )},
    "recurrent": recurrent, "residual": residual, "concat": concat, "multiply": multiply,
}  # fmt: skip
"""What makes layers, by the names that texts call it by."""


def parts(layers: Sequence[Layer]) -> list[Layer]:
    """Layers, and those of all their branches."""
    listed: list[Layer] = []
    for layer in layers:
        listed.append(layer)
        for branch in branches(layer):
            listed += parts(branch)
    return listed


def branches(layer: Layer) -> tuple[Branch, ...]:
    """The branches of a layer; none of most."""
    if isinstance(layer, Wired):
        return ((layer.layer,),)
    if isinstance(layer, Residual):
        return layer.main, layer.shortcut
    return layer.branches if isinstance(layer, Concat) else ()


def last_product(branch: Sequence[Layer]) -> int:
    """Where the last product of a branch of a sum is; -1 without one."""
    bare = [layer.layer if isinstance(layer, Wired) else layer for layer in branch]
    return max((k for k, layer in enumerate(bare) if isinstance(layer, PRODUCTS)), default=-1)


def with_activation(layer: Layer, activation: str) -> Layer:
    """A layer with this activation function wherever it, or a layer of its branches, could have one and has none."""
    if isinstance(layer, Residual):
        main, shortcut = (_summand(branch, activation) for branch in (layer.main, layer.shortcut))
        return Residual(main, shortcut, layer.activation or activation)
    if isinstance(layer, Concat):
        filled = tuple(tuple(with_activation(one, activation) for one in branch) for branch in layer.branches)
        return dataclasses.replace(layer, branches=filled)
    if isinstance(layer, Wired):
        return dataclasses.replace(layer, layer=with_activation(layer.layer, activation))
    if isinstance(layer, (*PRODUCTS, Activate)) and layer.activation is None:
        return dataclasses.replace(layer, activation=activation)
    return layer


def _summand(branch: Branch, activation: str) -> Branch:
    """A branch of a sum, whose last product stays linear."""
    last = last_product(branch)
    return tuple(with_activation(layer, "linear" if k == last else activation) for k, layer in enumerate(branch))
