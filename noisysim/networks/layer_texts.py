"""Layers as texts, numbers and lists, and back.

>>> from noisysim import conv, pool
>>> layers = [conv(16, 3, stride=2), pool(2), 128]
>>> plain(layer(one) for one in layers)
['conv(16, 3, stride=2)', 'pool(2)', 128]
"""

from __future__ import annotations

import ast
import inspect
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from noisysim.common.fields import as_list, shown, unknown
from noisysim.networks.branches import KINDS, Branch
from noisysim.networks.layer_kinds import Dense, Layer
from noisysim.networks.operation_kinds import Wired


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
        (statement,) = ast.parse(text.strip()).body
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


def branch(owner: str, spec: Any) -> Branch:
    """The layers of a branch, of a list in which each has any form."""
    spec = as_list(spec)
    if isinstance(spec, (str, bytes, Mapping, Layer)) or not isinstance(spec, Iterable):
        raise TypeError(f"a branch of {owner} must be a list of layers such as [conv(16, 3), 128], not {shown(spec)}")
    return tuple(layer(one) for one in spec)


def plain(layers: Iterable[Layer]) -> list[int | str]:
    """Layers as numbers and texts, which `layer` reads again."""
    return [one.units if isinstance(one, Dense) and one.activation is None else repr(one) for one in layers]
