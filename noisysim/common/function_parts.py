"""Parts that are pairs of functions, the second called as the first with an ending: losses and activations.

Of a function that stands alone the second is found another way, or is missing.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from noisysim.common import identity
from noisysim.common.fields import Field, listed
from noisysim.common.user_files import Origin, UserError

T = TypeVar("T", bound=tuple[Any, ...])


class FunctionPairs(Generic[T]):
    """The form of parts that are pairs of functions (`noisysim.common.registry.Form`); they have no settings.

    Parameters
    ----------
    kind : str
    cls : type
        A NamedTuple class of a name and two functions, in this order; what follows them has defaults.
    ending : str
        Of the second function's name: ``"_slope"``.
    arguments : int
        How many both take.
    noun, example : str
        For messages.
    fault : callable
        What is wrong with a part, tried on a few values; "" if nothing is.
    second : callable
        ``second(function)``: the second function of one that stands alone, or ``None`` if it has none.
    """

    error = UserError

    def __init__(
        self,
        kind: str,
        cls: type[T],
        ending: str,
        arguments: int,
        noun: str,
        example: str,
        fault: Callable[[T], str],
        second: Callable[[types.FunctionType], types.FunctionType | None],
    ):
        self.kind, self.noun, self.nouns, self.example = kind, noun, "functions", example
        self._cls: Any = cls
        self._ending, self._arguments, self._fault, self._second = ending, arguments, fault, second
        self._alone: dict[types.FunctionType, T] = {}

    def defined(self, module: types.ModuleType) -> dict[str, T]:
        """The pairs of a module; of one without any, what its functions are that take the arguments of one."""
        functions = {
            name: value for name, value in vars(module).items()
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__
            and not name.startswith("_")
        }  # fmt: skip
        pairs = {
            name: self._cls(name, functions[name], functions[f"{name}{self._ending}"])
            for name in functions
            if f"{name}{self._ending}" in functions
        }
        return pairs or {name: self._of(f) for name, f in functions.items() if self._takes_the_arguments(f)}

    def definition(self, value: object) -> T | None:
        """A pair itself, or the one whose first function it is; a function that stands alone has no other."""
        if isinstance(value, types.FunctionType):
            name, beside = value.__name__, value.__globals__
            partner = beside.get(f"{name}{self._ending}")
            pair: T | None = self._cls(name, value, partner)
            is_pair = isinstance(partner, types.FunctionType) and beside.get(name) is value
            return pair if is_pair else self._of(value)
        return value if isinstance(value, self._cls) else None

    def lacking(self, value: object) -> str:
        """Nothing: any function that takes the arguments is a part."""
        return ""

    def _of(self, function: types.FunctionType) -> T:
        """What a function that stands alone amounts to: the same object as long as the function does the same."""
        if not function.__name__.isidentifier():
            raise self.error(f"{self.kind}: give the function a name (def NAME ...), which is recorded")
        pair, second = self._alone.get(function), self._second(function)
        if pair is None or pair[2] is not second:
            pair = self._alone[function] = self._cls(function.__name__, function, second)
        return pair

    def _takes_the_arguments(self, function: types.FunctionType) -> bool:
        code = function.__code__
        return code.co_argcount == self._arguments and not code.co_kwonlyargcount and not function.__defaults__

    def module(self, definition: T) -> str:
        """Where the first function is written."""
        return str(definition[1].__module__)

    def name(self, definition: T) -> str:
        """The name of a pair."""
        return str(definition[0])

    def about(self, definition: T) -> str:
        """The docstring of the first function."""
        return inspect.getdoc(definition[1]) or ""

    def fields(self, definition: T) -> Mapping[str, Field]:
        """None."""
        return {}

    def defaults(self, definition: T) -> Mapping[str, Any]:
        """None."""
        return {}

    def make(self, definition: T, origin: Origin | None, settings: Mapping[str, Any], part: T | None) -> T:
        """The pair itself."""
        if settings:
            raise ValueError(f"{self.kind} {definition[0]!r} has no settings: leave out {listed(settings)}")
        return definition

    def values(self, part: T) -> dict[str, Any]:
        """No settings."""
        return {}

    def origin(self, definition: T) -> Origin | None:
        """``None``: of a pair that was given as an object the code alone is recorded."""
        return None

    def identity(self, part: T) -> dict[str, Any]:
        """Where the functions are and digests of their code."""
        return identity.of_functions(*filter(None, part[1:3]))

    def part_type(self, definition: T) -> type:
        """The type of all pairs."""
        return type(definition)

    def examine(self, definition: T, module: types.ModuleType | None, text: str, path: str) -> None:
        """Refuse functions that take other arguments, or that return what they must not."""
        for function in (definition[1], *filter(None, definition[2:3])):
            if not isinstance(function, types.FunctionType):
                kind = type(function).__name__
                raise self.error(f"{self.kind} {definition[0]!r} must be plain functions, not {kind}")
            code = function.__code__
            where = f"{path or code.co_filename}:{code.co_firstlineno}"
            if not self._takes_the_arguments(function):
                raise self.error(f"{where}: {function.__name__} must take {self._arguments} arguments: {self.example}")
        if fault := self._fault(definition):
            raise self.error(f"{path or definition[1].__code__.co_filename}: {self.kind} {definition[0]!r}: {fault}")
