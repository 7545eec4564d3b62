"""Declared numbers: one annotation a field, read by validation, messages, command-line help and docs.

A device or a learner writes each of its numbers once::

    adc_bits: Annotated[float, Field("bits", 0, 24, "resolution of the ADC; 0 is ideal")] = 8
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import math
import numbers
import os
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from noisysim.common.arguments import argument
from noisysim.common.source import literal

_OUTSIDE_BRACKETS = re.compile(r",(?![^\[\]()]*[\])])")
"""Commas between settings, and not between the numbers of a list."""


class Spread(NamedTuple):
    """How a number differs from part to part of one fabricated chip; drawn once, from the chip's key.

    Attributes
    ----------
    by : str
        Name of the field that holds the size s of the spread; 0 is none.
    law : {"normal", "lognormal", "absolute"}
        v (1 + s xi); v exp(s xi - s^2 / 2), whose mean is v; v + s xi: each held within the field's own range.
    of : {"cell", "row", "column"}
        What has a value of its own: a cell, an input line with its DAC, an output line with its ADC.
    also : str
        Name of a field whose size is added to that of `by`, in quadrature. Default: "", none.
    """

    by: str
    law: str = "normal"
    of: str = "cell"
    also: str = ""

    def sizes(self) -> tuple[str, ...]:
        """Names of the fields that hold the size of the spread."""
        return (self.by, self.also) if self.also else (self.by,)

    def size(self, values: object) -> float:
        """The size s of the spread on a device, or another holder of fields."""
        return math.hypot(*(float(getattr(values, name)) for name in self.sizes()))


class Field(NamedTuple):
    """Unit, allowed range and meaning of one declared number.

    Attributes
    ----------
    unit : str
    low, high : float
    doc : str
    choices : tuple of str
        For a word instead of a number.
    whole : bool
        Whether it must be a whole number.
    off : float or None
        A value outside the range that switches the effect off.
    noise : {"", "read", "write"}
        Declares the amplitude of a noise: with every amplitude of a kind at zero, none is drawn.
    spread : Spread or None
        Each part of the chip has a value of its own, which is what its hooks find in this field.
    hook : str
        A hook that this number switches on: with every number that names it at zero, the hook is not used.
    file : bool
        A path of a data file instead of a number; a device's module turns it into tables (``tables(d)``).
    condition : bool
        Whether it is a condition under which cells are used, such as converters, time and temperature, and not what the
        cells are: `noisysim.Chip.with_device` may change it. The amplitude of a read's noise always is one.
    text : bool
        Any text instead of a number.
    each : str
        Of what there may be a number for each, in a list, instead of one for all: ``"layer"``.
    """

    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    doc: str = ""
    choices: tuple[str, ...] = ()
    whole: bool = False
    off: float | None = None
    noise: str = ""
    spread: Spread | None = None
    hook: str = ""
    file: bool = False
    condition: bool = False
    text: bool = False
    each: str = ""

    @property
    def range(self) -> str:
        """The allowed values, as a message shows them."""
        if self.choices:
            return "one of " + ", ".join(repr(c) for c in self.choices)
        if self.file:
            return "a file's path"
        if self.text:
            return "a text"
        kind = "a whole number" if self.whole else "a number"
        if self.off is not None:
            kind = f"{self.off:g} (off) or {kind}"
        if math.isinf(self.low) and math.isinf(self.high):
            return kind
        more = f", or a list with one for each {self.each}" if self.each else ""
        if math.isinf(self.high):
            return f"{kind} >= {self.low:g}{more}"
        if math.isinf(self.low):
            return f"{kind} <= {self.high:g}{more}"
        return f"{kind} from {self.low:g} to {self.high:g}{more}"


PATH = 200
"""Characters of a path in a message, of which people need more."""
SHOWN = 80
"""Most characters of a value that a message shows."""
LISTED = 160
"""Most characters of a list of names that a message shows."""


def shown(value: object, most: int | None = None) -> str:
    """A value as a message shows it: one line, printable, and no longer than `most` (default: `SHOWN`) characters.

    Examples
    --------
    >>> shown("crossbar"), len(shown("x" * 100_000))
    ("'crossbar'", 80)
    """
    try:
        text = repr(value)
    except Exception:  # a whole number with more digits than Python prints; whatever a foreign class comes up with
        text = f"<{type(value).__name__}>"
    most = SHOWN if most is None else most
    if len(text) > most and not isinstance(value, str):
        text = " ".join(text.split())  # an array's repr has lines
    if len(text) > most:
        text = f"{text[: most - 23]}...{text[-20:]}"
    return "".join(c if c.isprintable() else " " for c in text)


def listed(names: Iterable[object]) -> str:
    """Names in a row, of many the first few."""
    texts = [str(name) if len(str(name)) <= SHOWN and str(name).isprintable() else shown(str(name)) for name in names]
    count, length = 0, 0
    while count < len(texts) and length + len(texts[count]) <= LISTED:
        length += len(texts[count]) + 2
        count += 1
    remaining = len(texts) - count
    return ", ".join([*texts[:count], *([f"and {remaining} more"] if remaining else [])])


def nearest(name: str, known: Iterable[str]) -> str:
    """What a message appends to an unknown name: the nearest known one, and the list."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(str(name)[:SHOWN].lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{hint} (known: {listed(known)})"


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for an unknown name."""
    return ValueError(f"unknown {kind} {shown(name)}{nearest(_text(name), known)}")


def _text(name: object) -> str:
    """What a name is compared by: itself, or of what is no text how a message shows it."""
    return name if isinstance(name, str) else shown(name)


def declared(cls: type) -> Mapping[str, Field]:
    """The `Field` of every annotated attribute of a class, in order; a bare annotation gets an open range.

    An ``int`` is a whole number, and of a dataclass a ``str`` that declares nothing else a text.
    """
    return _declared(cls)


@functools.cache
def _declared(cls: Any) -> Mapping[str, Field]:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {}
    names = [f.name for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else cls._fields
    for name in names:
        hint = hints.get(name)
        kind, metadata = getattr(hint, "__origin__", hint), getattr(hint, "__metadata__", ())
        spec = next(
            (m for m in metadata if isinstance(m, Field)), Field(text=kind is str and dataclasses.is_dataclass(cls))
        )
        fields[name] = spec._replace(whole=True) if kind is int else spec
    return types.MappingProxyType(fields)


def check(owner: str, name: str, value: object, spec: Field) -> Any:
    """One value against its declaration; returns it as a plain Python value, or raises the one clear error.

    Whole numbers, NumPy's too, keep all their digits: as a float, 2^53 + 1 would become another seed.
    """
    where = argument(f"{owner}.{name}" if owner else name)
    if spec.choices:
        if not isinstance(value, str) or value not in spec.choices:
            raise ValueError(f"{where} must be {spec.range}, not {shown(value)}{nearest(_text(value), spec.choices)}")
        return str(value)
    if spec.file:
        if not isinstance(value, (str, os.PathLike)):
            raise TypeError(f"{where} must be {spec.range}, not {shown(value)} ({type(value).__name__})")
        return os.fspath(value)
    if spec.text:
        if not isinstance(value, str):
            raise TypeError(f"{where} must be {spec.range}, not {shown(value)} ({type(value).__name__})")
        return str(value)
    if spec.each and isinstance(several := as_list(value), (list, tuple)):
        alone = spec._replace(each="")
        return tuple(check(owner, f"{name}[{k}]", one, alone) for k, one in enumerate(several))
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{where} must be {spec.range}, not {shown(value)} ({type(value).__name__})")
    with contextlib.suppress(OverflowError):  # of a fraction or a whole number beyond the largest float
        number = int(value) if isinstance(value, numbers.Integral) else float(value)
        allowed = number == spec.off or spec.low <= number <= spec.high
        if allowed and abs(number) < math.inf and (number == int(number) or not spec.whole):
            return int(number) if spec.whole else float(number)
    unit = f", {spec.unit}" if spec.unit else ""
    raise ValueError(f"{where} must be {spec.range}{unit}, not {shown(value)}")


def check_switch(where: str, value: object, *others: object) -> Any:
    """True or False, NumPy's too, as Python's own; or what else the switch may be; anything else is refused."""
    if isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")):
        return bool(value)  # NumPy's is told by its name, without importing it
    if not any(value is other for other in others):
        raise TypeError(f"{argument(where)} must be True or False, not {shown(value)}")
    return value


def as_list(values: Any) -> Any:
    """An array, NumPy's or another's, as the list of Python's own values that it holds; anything else as it is."""
    return values.tolist() if hasattr(values, "tolist") and hasattr(values, "shape") else values


def check_choice(kind: str, value: object, known: Iterable[str]) -> None:
    """Refuse a word that is not among the known ones."""
    if not isinstance(value, str) or value not in known:
        raise unknown(kind, value, known)


def check_names(owner: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that the owner does not have."""
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{owner} has no field {shown(name)}{nearest(_text(name), known)}")


def parse_spec(text: str) -> tuple[str, dict[str, Any]]:
    """``"crossbar:adc_bits=6,read_noise=0.02"`` -> ``("crossbar", {"adc_bits": 6, "read_noise": 0.02})``."""
    name, _, rest = text.partition(":")
    settings: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in _OUTSIDE_BRACKETS.split(rest))):
        key, equals, value = (s.strip() for s in part.partition("="))
        if not equals or not key.isidentifier():
            raise ValueError(f"cannot read {shown(part)} in {shown(text)}: write it as name:field=value,field=value")
        if key in settings:
            raise ValueError(f"{shown(text)} sets {key} twice")
        try:
            settings[key] = literal(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):  # the latter two of text that is deeply nested
            settings[key] = value
    return name.strip(), settings


def bare(value: object) -> str:
    """A setting's value without quotes where it is read as the same one, else with them."""
    if not isinstance(value, str):
        return repr(value)
    try:
        same = parse_spec(f"x:k={value}")[1] == {"k": value}
    except ValueError:
        same = False
    return value if same else repr(value)


def checked(owner: str, cls: type, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Settings against the declarations of a class; where the default is True or False, so must the value be."""
    return check_settings(owner, settings, declared(cls), defaults)


def check_settings(
    owner: str, settings: Mapping[str, Any], specs: Mapping[str, Field], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings against their declarations; where the default is True, False or None, so must the value be."""
    check_names(owner, settings, defaults)
    values = {}
    for name, value in settings.items():
        if defaults[name] is None:  # decided by what is not known yet
            values[name] = check_switch(f"{owner}.{name}", value, None)
        elif isinstance(defaults[name], bool):
            values[name] = check_switch(f"{owner}.{name}", value)
        else:
            values[name] = check(owner, name, value, specs[name])
    return values
