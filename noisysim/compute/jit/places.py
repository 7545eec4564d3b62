"""Arrays by address: a loop takes one record that says where everything is, and views what it needs.

Numba passes every array as seven numbers, and compiles what packs and unpacks them again for every function that an
array goes through; a record is one pointer. Whoever fills a record keeps its arrays for as long as it is used. With
``NUMBA_DISABLE_JIT=1`` the array itself stands for its address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from noisysim.common.types import Array
from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Builder, Context, Kind, Value

ADDRESS: Any = np.int64 if JIT else np.object_
"""The type of a field of a record that holds an address, of an array or of a function."""


def address(array: Array) -> Any:
    """Where a C-contiguous array is."""
    if not array.flags.c_contiguous:
        raise ValueError("loops take C-contiguous arrays by address")
    return array.__array_interface__["data"][0] if JIT else array


def addresses(arrays: Sequence[Array | None]) -> Any:
    """Where arrays are, 0 for ``None``: an array of addresses, or a tuple of the arrays themselves."""
    places = [0 if array is None else address(array) for array in arrays]
    return np.array(places, np.int64) if JIT else tuple(places)


def _array(
    context: Context, builder: Builder, kind: Kind, place: Value, start: Value, shape: Sequence[Any], row: Value
) -> Any:
    """An array that owns no memory: `row` is the distance of rows in items, for two axes."""
    item = context.get_data_type(kind.dtype)
    pointer = builder.gep(builder.inttoptr(place, item.as_pointer()), [start])
    size = context.get_constant(types.intp, context.get_abi_sizeof(item))
    strides = [size] if row is None else [builder.mul(row, size), size]
    array = context.make_array(kind)(context, builder)
    context.populate_array(array, data=pointer, shape=list(shape), strides=strides, itemsize=size, meminfo=None)
    return array._getvalue()


def _line(item: Kind) -> Callable[..., Any]:
    """``at(address, start, count)``: items start..start + count - 1 of an array, flat."""
    if not JIT:
        kind = np.dtype(str(item))
        return lambda array, start, count: array.reshape(-1)[start : start + count].view(kind)

    @intrinsic
    def at(typing_context, place, start, count):  # type: ignore[no-untyped-def]
        kind = types.Array(item, 1, "C")

        def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
            return _array(context, builder, kind, operands[0], operands[1], [operands[2]], None)

        return kind(types.int64, types.intp, types.intp), generate

    return at


def _rows(array: Array, rows: int, row: int, start: int, count: int) -> Array:
    size = array.itemsize
    return np.lib.stride_tricks.as_strided(array.reshape(-1)[start:], (rows, count), (row * size, size))


def _grid(item: Kind, layout: Literal["A", "C"]) -> Callable[..., Any]:
    """``at(address, rows, row, start, count)``: items start..start + count - 1 of each of rows of `row` items."""
    if not JIT:
        return _rows

    @intrinsic
    def at(typing_context, place, rows, row, start, count):  # type: ignore[no-untyped-def]
        kind = types.Array(item, 2, layout)

        def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
            place, rows, row, start, count = operands
            return _array(context, builder, kind, place, start, [rows, count], row)

        return kind(types.int64, types.intp, types.intp, types.intp, types.intp), generate

    return at


floats_at, doubles_at = _line(types.float32), _line(types.float64)
longs_at, bytes_at = _line(types.int64), _line(types.uint8)
ints_at, words_at = _line(types.int32), _line(types.uint32)
float_rows_at, long_rows_at = _grid(types.float32, "A"), _grid(types.int64, "C")
