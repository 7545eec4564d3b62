"""How rows read a device's numbers: a float32 array becomes the NamedTuple that hooks take."""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

from numba.core import cgutils, types
from numba.extending import intrinsic

from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Builder, Context, Kind, Plain, Value


class Access(NamedTuple):
    """How a row gets at the numbers.

    Attributes
    ----------
    read : callable
        ``read(values)``: the numbers of a float32 array, in the order of the fields.
    with_own : callable
        ``with_own(d, own, j)``: the same with the values that part j of a chip has of its own, (fields, parts), those
        of a field contiguous.
    """

    read: Callable[..., Any]
    with_own: Callable[..., Any]


@functools.cache
def access(fields: tuple[str, ...], spread: tuple[str, ...] = ()) -> Access:
    """How to read numbers with these fields; the k-th of `spread` is in row k of the own values.

    A field of `spread` that is none of `fields` is not read. Equal fields give the same type: what hooks call is
    compiled once for all rows.
    """
    named: Any = namedtuple("Numbers", fields)  # type: ignore[misc]
    own = [(fields.index(field), k) for k, field in enumerate(spread) if field in fields]
    return _compiled(named, own) if JIT else _plain(named, own)


def _plain(named: Plain, places: list[tuple[int, int]]) -> Access:
    def with_own(d: Plain, own: Plain, j: int) -> Any:
        return d._replace(**{named._fields[at]: own[k, j] for at, k in places})

    return Access(lambda values: named(*values[: len(named._fields)]), with_own)


def _compiled(named: Plain, places: list[tuple[int, int]]) -> Access:
    count = len(named._fields)
    numbers = types.NamedUniTuple(types.float32, count, named) if count else types.NamedTuple((), named)

    def item(context: Context, builder: Builder, kind: Kind, array: Value, *at: Value) -> Any:
        struct = context.make_array(kind)(context, builder, value=array)
        index = [at_k if hasattr(at_k, "type") else context.get_constant(types.intp, at_k) for at_k in at]
        return builder.load(cgutils.get_item_pointer(context, builder, kind, struct, index))

    def own_item(context: Context, builder: Builder, kind: Kind, array: Value, k: int, index: Value) -> Value:
        """The value of a part; those of a field are taken as contiguous, or rows would not vectorise."""
        struct = context.make_array(kind)(context, builder, value=array)
        row = cgutils.unpack_tuple(builder, struct.strides, 2)[0]
        field = cgutils.pointer_add(builder, struct.data, builder.mul(row, row.type(k)))
        return builder.load(builder.gep(builder.bitcast(field, struct.data.type), [index]))

    @intrinsic
    def read(typing_context, values):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
            items = [item(context, builder, values, operands[0], k) for k in range(count)]
            return context.make_tuple(builder, numbers, items)

        return numbers(values), generate

    @intrinsic
    def with_own(typing_context, d, own, j):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
            changed, array, index = operands
            index = context.cast(builder, index, j, types.intp)
            for at, k in places:
                changed = builder.insert_value(changed, own_item(context, builder, own, array, k, index), at)
            return changed

        return numbers(d, own, j), generate

    return Access(read, with_own)
