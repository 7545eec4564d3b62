"""Parts that are dataclasses, whose fields are their settings: learners, optimizers, diagnostics."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeGuard, TypeVar

from noisysim.common import identity
from noisysim.common.fields import Field, checked, declared
from noisysim.common.texts import documentation, one_line
from noisysim.common.user_files import Origin, UserError, line_of_class


class Named(Protocol):
    """A dataclass with a name, which its instances share."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]


T = TypeVar("T", bound=Named)


class Method(NamedTuple):
    """What a class has to define.

    Attributes
    ----------
    usage : str
        How it is written, for messages.
    arguments : int
        How many it is called with, ``self`` included.
    named : tuple of str
        Names of further ones.
    """

    usage: str
    arguments: int
    named: tuple[str, ...] = ()


class Dataclasses(Generic[T]):
    """The form of parts that are dataclasses (`noisysim.common.registry.Form`).

    Parameters
    ----------
    kind : str
    base : type or None
        What classes inherit from; ``None`` where it is enough to have the methods.
    methods : mapping
        What a class has to define, by name.
    noun, nouns, example : str
        For messages.
    error : type
    """

    def __init__(
        self,
        kind: str,
        base: type[T] | None,
        methods: Mapping[str, Method],
        noun: str,
        nouns: str,
        example: str,
        error: type[UserError] = UserError,
    ):
        self.kind, self.noun, self.nouns, self.example, self.error = kind, noun, nouns, example, error
        self._base, self._methods = base, methods

    def defined(self, module: types.ModuleType) -> dict[str, type[T]]:
        """The classes of a module."""
        return {
            name: value for name, value in vars(module).items()
            if not name.startswith("_") and self._fits(value) and value.__module__ == module.__name__
        }  # fmt: skip

    def definition(self, value: object) -> type[T] | None:
        """A class itself, or that of an instance of one with a name."""
        cls: type = value if isinstance(value, type) else type(value)
        named = bool(isinstance(value, type) or getattr(value, "name", ""))
        return cls if named and dataclasses.is_dataclass(cls) and self._fits(cls) else None

    def lacking(self, value: object) -> str:
        """Of an object that inherits what it should, or has a method that it should have, the first thing missing."""
        cls = type(value)
        if not (issubclass(cls, self._base) if self._base else any(hasattr(cls, name) for name in self._methods)):
            return ""
        if missing := [method.usage for name, method in self._methods.items() if not hasattr(cls, name)]:
            return f"{cls.__name__} does not define {missing[0]}"
        if not dataclasses.is_dataclass(cls):
            return f"{cls.__name__} is no dataclass: write @dataclass(frozen=True) above it"
        return f'{cls.__name__} has no name: write name: ClassVar[str] = "my_{self.kind}"'

    def _fits(self, value: object) -> TypeGuard[type[T]]:
        if not isinstance(value, type):
            return False
        return issubclass(value, self._base) if self._base else all(hasattr(value, name) for name in self._methods)

    def module(self, definition: type[T]) -> str:
        """Where a class is written."""
        return str(definition.__module__)

    def name(self, definition: type[T]) -> str:
        """The ``name`` of a class."""
        return str(definition.name)

    def about(self, definition: type[T]) -> str:
        """A class's docstring."""
        return documentation(definition)

    def fields(self, definition: type[T]) -> Mapping[str, Field]:
        """What its fields declare."""
        return declared(definition)

    def defaults(self, definition: type[T]) -> Mapping[str, Any]:
        """What its fields are unless they are set."""
        return {field.name: field.default for field in dataclasses.fields(definition)}

    def make(self, definition: type[T], origin: Origin | None, settings: Mapping[str, Any], part: T | None) -> T:
        """An instance with these settings, all of them checked."""
        defaults, title = self.defaults(definition), definition.name if origin is None else origin.title
        current = {} if part is None else {name: getattr(part, name) for name in defaults}
        instance: T = definition(**checked(f"{self.kind} {title!r}", definition, {**current, **settings}, defaults))
        return instance

    def values(self, part: T) -> dict[str, Any]:
        """The fields of an instance; lists, as files have them, where a field has several numbers."""
        return {n: list(v) if isinstance(v, tuple) else v for n, v in dataclasses.asdict(part).items()}

    def origin(self, definition: type[T]) -> Origin | None:
        """``None``: of a class that was given as an object the code alone is recorded."""
        return None

    def identity(self, part: T) -> dict[str, Any]:
        """The class of an instance and digests of its code."""
        return identity.of_part(part)

    def part_type(self, definition: type[T]) -> type:
        """The class."""
        return definition

    def examine(self, definition: type[T], module: types.ModuleType | None, text: str, path: str) -> None:
        """Refuse a class without a name or a method, or with fields that cannot be set or read."""
        where = functools.partial(_line, definition)
        if module:
            where = functools.partial(line_of_class, text, path, definition)
        cls = definition.__name__
        if not isinstance(getattr(definition, "name", None), str) or not definition.name:
            raise self.error(f'{where()}: {cls} has no name: write name: ClassVar[str] = "my_{self.kind}"')
        for name, method in self._methods.items():
            function = inspect.unwrap(getattr(definition, name))
            if function is getattr(self._base, name, None):
                raise self.error(f"{where()}: {cls} does not define {method.usage}")
            try:
                inspect.signature(function).bind(*[None] * method.arguments, **dict.fromkeys(method.named))
            except (TypeError, ValueError):
                raise self.error(f"{where(name)}: {name} must be {method.usage}") from None
        self._check_fields(definition, where)
        if module:
            self.make(definition, None, {}, definition())

    def _check_fields(self, cls: type, where: Callable[..., str]) -> None:
        """Refuse fields without a default, or of a name that the record of a run needs."""
        if not dataclasses.is_dataclass(cls):
            raise self.error(f"{where()}: {cls.__name__} is no dataclass: write @dataclass(frozen=True) above it")
        try:
            hints, names = inspect.get_annotations(cls), declared(cls)
        except Exception as error:
            reason = one_line(error)
            raise self.error(f"{where()}: an annotation of {cls.__name__} cannot be read: {reason}") from None
        if "__dataclass_params__" not in vars(cls) and any("ClassVar" not in str(hint) for hint in hints.values()):
            raise self.error(f"{where()}: {cls.__name__} has fields: write @dataclass(frozen=True) above it")
        for name in names:
            if name in identity.RECORD:
                raise self.error(f"{where(name)}: a field cannot be called {name!r}, which the record of a run needs")
            if not hasattr(cls, name):
                raise self.error(f"{where(name)}: field {name!r} has no default")


def _line(cls: type, name: str = "") -> str:
    """Where a class, or one of its methods, is written, as far as Python knows."""
    code = getattr(inspect.unwrap(getattr(cls, name, cls)), "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or cls.__module__
