"""From hooks to machine code: the rows that a device, or a network's activation functions, bring to the loops.

Each row is compiled by itself, when it is first called for, in a tenth or two of a second; its machine code is kept
under a name made of the row's source, what the hook and all it calls do, and the numbers that it reads.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
from numba.core.caching import FunctionCache

from noisysim.common.plain_functions import fingerprint
from noisysim.common.source import attributes
from noisysim.compute.cpu import device_rows
from noisysim.compute.cpu.row_types import (
    APPEAR,
    CELL,
    CURRENT,
    DAC,
    DRIFT,
    HOOK_ROWS,
    JUMP,
    LEVEL,
    PROGRAM,
    PULSE,
    READ,
    SIZED,
    STD,
    TYPES,
    Rows,
)
from noisysim.compute.jit import ahead, cache, scalars, sources
from noisysim.compute.jit.compiling import COMMON, scalar
from noisysim.compute.jit.numbers import access
from noisysim.compute.rules.table import RULES

if TYPE_CHECKING:
    from noisysim.networks.activations import Activation

OPTIONS: dict[str, Any] = {**COMMON, "_nrt": True, "fastmath": {"contract"}}
SUMS: dict[str, Any] = {**OPTIONS, "fastmath": {"contract", "reassoc", "nsz"}}
_rows: dict[str, Any] = {}
"""Compiled rows by name: as long as they are here, their addresses hold."""
_scalars: dict[str, dict[Any, Any]] = {}
"""What hooks became, by digest: rows of one hook share it."""


class Recipe(NamedTuple):
    """How the row of a place is made.

    Attributes
    ----------
    factory : callable
        Of `noisysim.compute.cpu.device_rows`.
    hooks : sequence of str
    spread : str
        The part of a chip whose own values it takes; "" for none.
    options : mapping
        Of Numba.
    """

    factory: Callable[..., Any]
    hooks: tuple[str, ...]
    spread: str
    options: Mapping[str, Any] = OPTIONS


RECIPES = {
    DAC: Recipe(device_rows.driven, ("dac",), "row"),
    CURRENT: Recipe(device_rows.bent, ("current",), ""),
    READ: Recipe(device_rows.digitised, ("readout", "adc"), "column"),
    CELL: Recipe(device_rows.summed, ("read_cell",), "cell", SUMS),
    JUMP: Recipe(device_rows.moved_on, ("jump",), "cell"),
    LEVEL: Recipe(device_rows.levelled, ("program",), ""),
    PROGRAM: Recipe(device_rows.programmed, ("program",), "cell"),
    PULSE: Recipe(device_rows.pulsed, ("pulse",), "cell"),
    APPEAR: Recipe(device_rows.appearing, ("appear",), "cell"),
    DRIFT: Recipe(device_rows.drifted, ("drift",), "cell"),
    STD: Recipe(device_rows.deviating, ("cell_std",), "cell"),
    SIZED: Recipe(device_rows.pulsed, ("pulse",), "sized"),
}


class DeviceRows:
    """The rows of one device.

    Parameters
    ----------
    hooks : mapping
        Every hook there is, as plain functions.
    numbers : mapping
        The device's fields, float32.
    spreads : mapping
        Part of a chip ("cell", "row", "column") -> the fields of which each such part has values of its own, in order.
    settings : mapping
        Place -> what its factory is told besides; only these places have rows.
    """

    def __init__(
        self, hooks: Mapping[str, Callable[..., Any]], numbers: Mapping[str, np.float32],
        spreads: Mapping[str, Collection[str]], settings: Mapping[int, Mapping[str, bool]],
    ):  # fmt: skip
        self._hooks, self._numbers, self._spreads, self._settings = hooks, numbers, spreads, settings

    @functools.cached_property
    def compiled(self) -> Rows:
        """The rows as loops take them."""
        functions: list[Any] = [0] * HOOK_ROWS
        numbers = np.zeros((HOOK_ROWS, max(len(self._numbers), 1)), np.float32)
        range_at = np.full(HOOK_ROWS, -1, np.int64)
        for place, chosen in self._chosen.items():
            fields = chosen[2]
            numbers[place, : len(fields)] = [self._numbers[field] for field in fields]
            if "adc_range" in fields:
                range_at[place] = fields.index("adc_range")
            functions[place] = TYPES[place].address(row_of(*chosen))
        return Rows(table(functions), numbers, range_at)

    def expected(self) -> list[ahead.Job]:
        """The rows as jobs of helpers: those of built-in hooks, as no other process is to import what is a user's."""
        return [
            ahead.Job(row_of(*chosen), TYPES[place].arguments, (row_of, chosen))
            for place, chosen in self._chosen.items()
            if all(_is_found_by_name(hook) for hook in chosen[1])
        ]

    @functools.cached_property
    def _chosen(self) -> dict[int, tuple[Any, ...]]:
        """The arguments of `row_of` for each place."""
        chosen = dict[int, tuple[Any, ...]]()
        for place, settings in self._settings.items():
            hooks = [self._hooks[hook] for hook in RECIPES[place].hooks]
            read = attributes(*hooks)
            fields = sorted(field for field in self._numbers if field in read)
            own_fields = tuple(self._spreads.get(RECIPES[place].spread, ()))
            chosen[place] = place, hooks, fields, own_fields if set(own_fields) & set(fields) else (), settings
        return chosen


def _is_found_by_name(hook: Callable[..., Any]) -> bool:
    """Whether it is a function of a module of the package, which others find under its name."""
    home = hook.__module__ or ""  # which what was executed by itself may lack
    module = sys.modules.get(home)
    return home.startswith(f"{sources.PACKAGE}.") and getattr(module, hook.__name__, None) is hook


def table(functions: Sequence[Any]) -> Any:
    """Addresses in an array; without JIT functions in a tuple."""
    return np.array(functions, np.int64) if all(isinstance(f, int) for f in functions) else tuple(functions)


def row_of(
    place: int, hooks: Sequence[Callable[..., Any]], fields: Sequence[str], own_fields: tuple[str, ...],
    settings: Mapping[str, bool],
) -> Any:  # fmt: skip
    """A device's row at a place."""
    recipe = RECIPES[place]

    def make(compiled: Callable[..., Any]) -> Callable[..., Any]:
        numbers = access(tuple(fields), own_fields)
        row: Callable[..., Any] = recipe.factory(numbers, *map(compiled, hooks), **settings)
        return row

    identity = [repr((fields, own_fields, sorted(settings.items()))), *map(fingerprint, hooks)]
    return _kept(recipe.factory, identity, make, recipe.options)


def activation(chosen: Activation) -> Any:
    """The compiled step that applies an activation function."""
    return _of_function(device_rows.activated, chosen.value)


def operation(name: str) -> Any:
    """The compiled step of an operation."""
    return _of_function(device_rows.operated, RULES[name].forward)


def pushing(name: str) -> Any:
    """The compiled loop that pushes changes through an operation."""
    return _of_function(device_rows.pushed, RULES[name].push)


def pulling(name: str, source: int) -> Any:
    """The compiled loop that pulls a signal back through an operation, to its first source (0) or its second (1)."""
    rule = RULES[name]
    pull = rule.pull_second if source and rule.pull_second else rule.pull_first
    return _of_function(device_rows.pulled, pull)


def slope(chosen: Activation) -> Any:
    """The compiled row that multiplies by the derivative of an activation function."""
    return _of_function(device_rows.sloped, chosen.slope)


def share(function: Callable[..., float]) -> Any:
    """The compiled row of a learning rule's share (`noisysim.compute.compiled_estimate.CompiledEstimate`)."""
    return _of_function(device_rows.shared, function)


def _of_function(factory: Callable[..., Any], function: Callable[..., Any]) -> Any:
    """The row that a factory makes of one function: what every step of a run asks for.

    A built-in function is always the same one. What a user's own does may hang on globals, which are looked at each
    time.
    """
    return (_of_built_in if _is_found_by_name(function) else _of_any)(factory, function)


def _of_any(factory: Callable[..., Any], function: Callable[..., Any]) -> Any:
    return _kept(factory, [fingerprint(function)], lambda compiled: factory(compiled(function)))


_of_built_in = functools.cache(_of_any)


def _kept(
    factory: Callable[..., Any], identity: Sequence[str], make: Callable[[Callable[..., Any]], Callable[..., Any]],
    options: Mapping[str, Any] = OPTIONS,
) -> Any:  # fmt: skip
    """A compiled row: of this process, of the cache, or new.

    Numba tells functions of one name apart by a number that each process counts for itself. Rows of two devices that
    two processes kept may have the same: who loads both would get one for the other. So each has a name of its own.
    """
    texts = [repr(sorted(options.items(), key=str)), repr(sorted(scalars.OPTIONS.items(), key=str)), *identity]
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:24]
    name = f"noisysim_{factory.__name__}-{sources.digest(__name__)}-{digest}"
    if name not in _rows:
        row = make(functools.partial(scalar, suffix=f"_{digest}", others=_scalars.setdefault(digest, {})))
        row.__qualname__ = f"{row.__qualname__}_{digest}"
        compiled: Any = numba.njit(**options)(row)
        compiled = cache.keep(compiled, FunctionCache, name, ahead.delivered)
        _rows.setdefault(name, compiled)  # other threads may hold the address by now
    return _rows[name]
