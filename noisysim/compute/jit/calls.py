"""Rows: compiled functions that a device or a network brings, called by address from loops that know their type alone.

A loop is compiled once for all devices. What a device does to a row of numbers is a function of its own, of which the
loop gets the address at run time. Numba's first-class functions do the same, but take 30 µs for every function of every
call from Python; an address is an integer. With ``NUMBA_DISABLE_JIT=1`` the function itself stands for its address.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from numba.core import cgutils, types
from numba.extending import intrinsic

from noisysim.compute.jit.kinds import Compiled, Kind

JIT = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


class RowType:
    """The type of rows that do one thing.

    Parameters
    ----------
    *arguments : numba type
    returns : numba type

    Attributes
    ----------
    call : callable
        ``call(address, arguments)`` in a loop calls the row at an address with a tuple of arguments.
    """

    def __init__(self, *arguments: Any, returns: Kind = types.void):
        self.arguments, self.returns = arguments, returns
        self.call: Callable[..., Any] = _caller(arguments, returns) if JIT else _call
        self._addresses: dict[Compiled, int] = {}

    def address(self, row: Compiled) -> Any:
        """The address of a compiled row, which is kept from then on."""
        if not JIT:
            return row
        if row not in self._addresses:
            row.compile(self.arguments)
            result = row.overloads[self.arguments]
            if result.signature.return_type != self.returns:
                raise TypeError(f"{row.__name__} returns {result.signature.return_type}, not {self.returns}")
            self._addresses[row] = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
        return self._addresses[row]


def array_of(record: Kind) -> Kind:
    """The type of arrays of a record."""
    return types.Array(record, 1, "C") if JIT else None


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


def _caller(arguments: tuple[Any, ...], returns: Kind) -> Any:
    """An intrinsic that calls what is at an address by Numba's own convention."""

    @intrinsic
    def call(typing_context, address, values):  # type: ignore[no-untyped-def]
        def generate(context, builder, _, operands):  # type: ignore[no-untyped-def]
            place, packed = operands
            kind = context.call_conv.get_function_type(returns, arguments)
            function = builder.inttoptr(place, kind.as_pointer())
            unpacked = cgutils.unpack_tuple(builder, packed)
            status, value = context.call_conv.call_function(builder, function, returns, arguments, unpacked)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return value

        return returns(types.int64, types.Tuple(arguments)), generate

    return call
