"""How classes of devices are made of groups of fields (`noisysim.devices.field_groups`)."""

import inspect
from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, get_type_hints

from noisysim.common import html_table
from noisysim.common.deprecation import deprecated
from noisysim.common.fields import declared
from noisysim.common.texts import documentation
from noisysim.devices.contract import Device

T = TypeVar("T")

if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_):
        return lambda function: function


class FieldGroup:
    """What a type checker sees of the ``NamedTuple`` classes that `device_fields` makes."""

    if TYPE_CHECKING:
        _fields: ClassVar[tuple[str, ...]]
        _field_defaults: ClassVar[dict[str, Any]]

        def _asdict(self) -> dict[str, Any]: ...
        def _replace(self, **changes: Any) -> Self: ...


@dataclass_transform(kw_only_default=True, frozen_default=True)
def device_fields(cls: type[T]) -> type[T]:
    """Make a ``NamedTuple`` class of a class with annotated fields: first its own, then those of its bases.

    Every field needs a default. A name without an annotation gives an inherited field another one.

    Raises
    ------
    TypeError
        For a field without a default, and for what is no field.

    Examples
    --------
    >>> from typing import Annotated
    >>> from noisysim.common.fields import Field
    >>> from noisysim.devices.field_groups import Array
    >>> @device_fields
    ... class Wired(Array):
    ...     current: Annotated[float, Field("mA", 0, 10, "most that a wire carries")] = 1.0
    ...     wire_resistance = 2.0
    >>> Wired(tile_rows=64)[:2], Wired().wire_resistance
    ((1.0, 8.0), 2.0)
    """
    annotations = inspect.get_annotations(cls)
    values = {name: value for name, value in vars(cls).items() if not (name.startswith("__") and name.endswith("__"))}
    if missing := set(annotations) - set(values):
        raise TypeError(f"{cls.__name__}: field {min(missing)!r} has no default: write {min(missing)}: float = 0.0")
    defaults = {name: values.pop(name) for name in annotations}
    return _named_tuple(cls, annotations, defaults, cls.__bases__, values)


def _named_tuple(
    cls: type[T], annotations: Mapping[str, Any], defaults: Mapping[str, Any], bases: tuple[type, ...],
    changed: Mapping[str, Any],
) -> type[T]:  # fmt: skip
    """A ``NamedTuple`` class of the name and place of `cls`: its own fields, then those of groups or whole devices."""
    annotations, defaults = dict(annotations), dict(defaults)
    for base in bases:
        inherited = getattr(base, "_field_defaults", {})
        hints = get_type_hints(base, include_extras=True) if inherited else {}  # names in them are of the base's module
        for name, default in inherited.items():
            if name not in annotations:
                annotations[name], defaults[name] = hints[name], default
    if unknown := [name for name in changed if name not in defaults]:
        raise TypeError(f"{cls.__name__} has no field {', '.join(unknown)}")
    defaults.update(changed)
    make: Any = namedtuple  # whose fields no type checker could know
    new_class = make(cls.__name__, annotations, defaults=defaults.values(), module=cls.__module__)
    new_class._repr_html_ = html_form
    new_class.__doc__, new_class.__qualname__, new_class.__annotations__ = cls.__doc__, cls.__qualname__, annotations
    return cast("type[T]", new_class)


def html_form(device: Device) -> str:
    """The numbers of a device, for a notebook: ``_repr_html_`` of the classes that `device_fields` makes."""
    cls = type(device)
    defaults: dict[str, Any] = cls._field_defaults  # type: ignore[attr-defined]
    return html_table.settings(cls.__name__, documentation(cls), declared(cls), device._asdict(), defaults)


class Spanned(Protocol):
    """A device whose cells have a range, µS."""

    @property
    def g_min(self) -> float: ...
    @property
    def g_max(self) -> float: ...


def with_parts(*parts: type, **changed: float) -> Callable[[type[T]], type[T]]:
    """Add the fields of groups, or of whole devices, to those of a ``NamedTuple``: `device_fields` of earlier versions.

    Parameters
    ----------
    *parts : type
    **changed
        Other defaults for fields of the groups.
    """
    deprecated("with_parts", "@device_fields, with the groups as bases (docs/your-device.md)", "0.1")

    def extend(cls: type[T]) -> type[T]:
        return _named_tuple(cls, cls.__annotations__, cls._field_defaults, parts, changed)  # type: ignore[attr-defined]

    return extend


def check_span(d: Spanned) -> None:
    """A device's cells need a range."""
    if not d.g_min < d.g_max:
        name = type(d).__module__.rpartition(".")[2]
        raise ValueError(f"{name}.g_min ({d.g_min:g} µS) must be below {name}.g_max ({d.g_max:g} µS)")
