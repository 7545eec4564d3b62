"""Parts of contiguous arrays as arrays, without the checks, and the code for them, of NumPy's slices and shapes.

None looks at bounds. An array is given itself, or by its address (`noisysim.compute.jit.places`). With
``NUMBA_DISABLE_JIT=1`` they are NumPy's own, which do look.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Builder, Context, Kind, Plain, Value


def _view(flat: Plain, start: int, columns: int, rows: int) -> Any:
    return flat.reshape(-1)[start : start + columns * rows].reshape((rows, columns))


def _part(row: Plain, start: int, size: int) -> Any:
    return row[start : start + size]


def _cut(
    context: Context, builder: Builder, source: Kind, value: Value, start: Value, target: Kind, shape: list[Any]
) -> Any:
    """An array of this shape over the memory of another, or at an address, from item `start` on."""
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(target.dtype)))
    if isinstance(source, types.Array):
        whole = make_array(source)(context, builder, value=value)
        data, owner = whole.data, (whole.meminfo, whole.parent)
    else:
        data, owner = builder.inttoptr(value, context.get_data_type(target.dtype).as_pointer()), (None, None)
    strides = [itemsize] if len(shape) == 1 else [builder.mul(itemsize, shape[1]), itemsize]
    made = make_array(target)(context, builder)
    populate_array(
        made, data=builder.gep(data, [start]), shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides), itemsize=itemsize, meminfo=owner[0], parent=owner[1],
    )  # fmt: skip
    if isinstance(source, types.Array) and context.enable_nrt:
        context.nrt.incref(builder, target, made._getvalue())
    return made._getvalue()


@intrinsic
def _compiled_view(typing_context, flat, start, columns, rows):  # type: ignore[no-untyped-def]
    target = types.Array(getattr(flat, "dtype", types.float32), 2, "C")
    source = flat if isinstance(flat, types.Array) else types.int64

    def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
        array, first, width, count = operands
        return _cut(context, builder, source, array, first, target, [count, width])

    return target(source, types.intp, types.intp, types.intp), generate


@intrinsic
def _compiled_part(typing_context, row, start, size):  # type: ignore[no-untyped-def]
    target = types.Array(row.dtype, 1, "C")

    def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
        array, first, count = operands
        return _cut(context, builder, row, array, first, target, [count])

    return target(row, types.intp, types.intp), generate


@intrinsic
def _compiled_function(typing_context, place, k):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
        word = context.get_data_type(types.int64)
        return builder.load(builder.gep(builder.inttoptr(operands[0], word.as_pointer()), [operands[1]]))

    return types.int64(types.int64, types.intp), generate


view: Any = _compiled_view if JIT else _view
"""``view(flat, start, columns, rows)``: the array (rows, columns) that starts at an item of a contiguous array.

Of an address it is one of float32.
"""
part: Any = _compiled_part if JIT else _part
"""``part(row, start, size)``: some items of a contiguous array of one dimension."""
function_at: Any = _compiled_function if JIT else (lambda functions, k: functions[k])
"""``function_at(place, k)``: the k-th address of those that are at an address."""
