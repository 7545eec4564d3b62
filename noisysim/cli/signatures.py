"""Commands that take what a function takes: words for arguments, the function's docstring for help."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import cyclopts

from noisysim.cli.app import SHORT_OUT

Body = Callable[[dict[str, Any]], None]
"""What a command does with the arguments that were given, by name."""


def words_for(hint: object) -> Any:
    """The type that the words of a command line become for an argument of this type.

    A list where a sequence may be given, a number or a switch where nothing else may, and else a text, which the
    function reads itself.
    """
    kinds = set(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else {hint}
    kinds -= {type(None)}
    for kind in kinds:
        if get_origin(kind) is Sequence:
            element = get_args(kind)[0] if get_args(kind)[0] in (int, float) else str
            return Annotated[list[element], cyclopts.Parameter(consume_multiple=True, negative="")]  # type: ignore[valid-type]
    return kinds.pop() if kinds in ({bool}, {int}, {float}) else str


def command_of(
    function: Callable[..., Any], further: dict[str, Any] | None = None
) -> Callable[[Body], Callable[..., None]]:
    """A decorator that gives a command the signature and the docstring of a function, with words for its arguments.

    Parameters
    ----------
    function : callable
    further : dict, optional
        Annotations of options that the command has besides, by name.
    """
    hints, parameters = get_type_hints(function), []
    for parameter in inspect.signature(function).parameters.values():
        words = words_for(hints[parameter.name])
        if parameter.default is not inspect.Parameter.empty:
            words, parameter = words | None, parameter.replace(default=None)
        if parameter.name == "out":
            words = Annotated[words, SHORT_OUT]
        parameters.append(parameter.replace(annotation=words))
    for name, annotation in (further or {}).items():
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    def decorate(body: Body) -> Callable[..., None]:
        @functools.wraps(function)
        def command(*positional: Any, **named: Any) -> None:
            names = [parameter.name for parameter in parameters]
            values = {**dict(zip(names, positional, strict=False)), **named}
            body({name: value for name, value in values.items() if value is not None})

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate
