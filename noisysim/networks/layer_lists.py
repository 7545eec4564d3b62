"""Lists of layers: as texts and numbers, in branches, and wired by name.

>>> from noisysim import conv, pool
>>> layers = [conv(16, 3, stride=2), pool(2), 128]
>>> plain(layer(one) for one in layers)
['conv(16, 3, stride=2)', 'pool(2)', 128]
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from noisysim.common.fields import as_list, shown, unknown
from noisysim.common.source import parsed
from noisysim.networks import activations, layer_kinds, operation_kinds
from noisysim.networks.attention import attention, positional
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
    """`Residual`, of branches that are lists of layers in any form: ``residual([conv(8, 3, padding=1)])``."""
    return Residual(main, shortcut, activation)  # type: ignore[arg-type]


KINDS: dict[str, Callable[..., Layer]] = {
    **{name: getattr(layer_kinds, name) for name in (
        "dense", "conv", "conv1d", "depthwise", "pool", "average_pool", "batch_norm", "dropout", "flatten", "activate",
    )},
    **{name: getattr(operation_kinds, name) for name in (
        "layer_norm", "rms_norm", "group_norm", "softmax", "clip", "leak", "affine", "take", "one_hot", "embedding",
        "add", "divide", "matmul", "output",
    )},
    "attention": attention, "positional": positional, "recurrent": recurrent, "residual": residual,
    "concat": concat, "multiply": multiply,
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


# --- texts -----------------------------------------------------------------------------------------------------------


def parse(text: str) -> Layer:
    """The layer that a text such as ``"conv(16, 3, stride=2)"`` describes.

    Examples
    --------
    >>> parse("conv(16, 3, stride=2)").channels
    16
    >>> parse("residual([conv(16, 3, padding='same')])").main
    (conv(16, 3, padding='same'),)
    >>> parse("c = add()(a, b)")
    c = add()(a, b)
    >>> parse("conv(16, 3, strides=2)")
    Traceback (most recent call last):
    ValueError: unknown field of conv 'strides'; did you mean 'stride'? ...
    """
    try:
        (statement,) = parsed(text.strip()).body
        label, tree, sources = _wires(statement)
        name, arguments, settings = _call(tree)
    except (SyntaxError, ValueError, AttributeError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    made = _made(text, name, arguments, settings)
    return Wired(made, label, sources) if label or sources else made


def _wires(statement: ast.stmt) -> tuple[str, ast.expr, tuple[str, ...]]:
    """A text's label, the call that makes its layer, and the labels of what it sees: ``label = call(...)(a, b)``."""
    label, sources = "", tuple[str, ...]()
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        label = statement.targets[0].id  # type: ignore[attr-defined]  # else it is no name
    elif not isinstance(statement, ast.Expr):
        raise ValueError("no layer")
    tree = statement.value
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Call):
        sources = tuple(argument.id for argument in tree.args)  # type: ignore[attr-defined]
        if tree.keywords or not sources:
            raise ValueError("no names")
        tree = tree.func
    return label, tree, sources


def _unreadable(text: str) -> ValueError:
    return ValueError(f"cannot read the layer {shown(text)}: write it as 'conv(16, 3, stride=2)' or '256'")


def _call(tree: ast.expr) -> tuple[str, list[ast.expr], dict[str, ast.expr]]:
    """The parts of a call; a name alone is a call without arguments, a number units."""
    if isinstance(tree, ast.Name):
        return tree.id, [], {}
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return "dense", [tree], {}
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise ValueError("no call")
    return tree.func.id, list(tree.args), {str(keyword.arg): keyword.value for keyword in tree.keywords}


def _made(text: str, name: str, arguments: Sequence[ast.expr], settings: Mapping[str, ast.expr]) -> Layer:
    """The layer that a call in a text makes."""
    if name not in KINDS:
        raise unknown("layer", name, KINDS)
    maker = KINDS[name]
    fields = list(inspect.signature(maker).parameters)
    for setting in settings:
        if setting not in fields:
            raise unknown(f"field of {name}", setting, fields)
    values = [_value(text, argument) for argument in arguments]
    named = {setting: _value(text, value) for setting, value in settings.items()}
    try:
        return maker(*values, **named)
    except TypeError as error:
        raise ValueError(f"cannot read the layer {shown(text)}: {error}") from None


def _value(text: str, tree: ast.expr) -> Any:
    """An argument: a number, a word, a layer, or a list of such."""
    if isinstance(tree, ast.List):
        return [_value(text, item) for item in tree.elts]
    try:
        if isinstance(tree, (ast.Call, ast.Name)):
            return _made(text, *_call(tree))
        return ast.literal_eval(tree)
    except (SyntaxError, AttributeError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    except ValueError as error:
        if isinstance(tree, (ast.Call, ast.Name)) and isinstance(getattr(tree, "func", tree), ast.Name):
            raise
        raise _unreadable(text) from error


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


def branch(owner: str, given: object) -> Branch:
    """The layers of a branch, of a list in which each has any form."""
    spec = as_list(given)
    if isinstance(spec, (str, bytes, Mapping, Layer)) or not isinstance(spec, Iterable):
        raise TypeError(f"a branch of {owner} must be a list of layers such as [conv(16, 3), 128], not {shown(spec)}")
    return tuple(layer(one) for one in spec)


def plain(layers: Iterable[Layer]) -> list[int | str]:
    """Layers as numbers and texts, which `layer` reads again."""
    return [one.units if isinstance(one, Dense) and one == Dense(one.units) else repr(one) for one in layers]
