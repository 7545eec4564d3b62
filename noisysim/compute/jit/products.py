"""Products of matrices in loops, by BLAS: rows may lie apart in memory, and what is there may be added to.

Numba's ``np.dot`` takes whole arrays, checks their shapes at each call and is compiled once more for every mixture of
layouts. These call the same routines of SciPy's BLAS through the same functions of Numba, without. Shapes are not
looked at. With ``NUMBA_DISABLE_JIT=1`` they are NumPy's products.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Builder, Context, Kind, Plain, Value

_CHAR, _POINTER, _INT = ir.IntType(8), ir.IntType(8).as_pointer(), ir.IntType(64)
_KIND = ord("s")


def _product(a: Plain, b: Plain, transposed_a: bool, transposed_b: bool, alpha: Plain, beta: Plain, out: Plain) -> None:
    made = alpha * ((a.T if transposed_a else a) @ (b.T if transposed_b else b))
    out[...] = made if beta == 0 else made + beta * out


def _of_vector(matrix: Plain, transposed: bool, vector: Plain, out: Plain) -> None:
    out[...] = (matrix.T if transposed else matrix) @ vector


class _Operand:
    """An array's shape, memory and the distance of its rows, as BLAS takes them."""

    def __init__(self, context: Context, builder: Builder, kind: Kind, value: Value):
        array = make_array(kind)(context, builder, value)
        self.shape = cgutils.unpack_tuple(builder, array.shape)
        self.data = builder.bitcast(array.data, _POINTER)
        strides = cgutils.unpack_tuple(builder, array.strides)
        self.apart = builder.sdiv(strides[0], array.itemsize)


def _slot(builder: Builder, value: Value) -> Any:
    """Where a number is in memory."""
    return builder.bitcast(cgutils.alloca_once_value(builder, value), _POINTER)


def _letter(builder: Builder, transposed: Value) -> Any:
    return builder.select(transposed, ir.Constant(_CHAR, ord("t")), ir.Constant(_CHAR, ord("n")))


def _routine(builder: Builder, name: str, arguments: list[Any]) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), arguments), name)


@intrinsic
def _compiled_product(typing_context, a, b, transposed_a, transposed_b, alpha, beta, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
        x, y, c = (_Operand(context, builder, kind, operands[k]) for kind, k in ((a, 0), (b, 1), (out, 6)))
        inner = builder.select(operands[2], x.shape[0], x.shape[1])
        call = _routine(
            builder, "numba_xxgemm",
            [_CHAR, _CHAR, _CHAR, _INT, _INT, _INT, _POINTER, _POINTER, _INT, _POINTER, _INT, _POINTER, _POINTER, _INT],
        )  # fmt: skip
        # BLAS counts columns where these arrays have rows: out^T = b^T a^T
        builder.call(
            call,
            (
                ir.Constant(_CHAR, _KIND), _letter(builder, operands[3]), _letter(builder, operands[2]),
                c.shape[1], c.shape[0], inner, _slot(builder, operands[4]), y.data, y.apart, x.data, x.apart,
                _slot(builder, operands[5]), c.data, c.apart,
            ),
        )  # fmt: skip
        return context.get_dummy_value()

    flag, number = types.boolean, types.float32
    return types.void(a, b, flag, flag, number, number, out), generate


@intrinsic
def _compiled_of_vector(typing_context, matrix, transposed, vector, out):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, operands):  # type: ignore[no-untyped-def]
        m = _Operand(context, builder, matrix, operands[0])
        x = make_array(vector)(context, builder, operands[2])
        y = make_array(out)(context, builder, operands[3])
        call = _routine(
            builder, "numba_xxgemv", [_CHAR, _CHAR, _INT, _INT, _POINTER, _POINTER, _INT, _POINTER, _POINTER, _POINTER]
        )
        one, zero = (context.get_constant(types.float32, value) for value in (1.0, 0.0))
        swapped = builder.not_(operands[1])  # BLAS sees the transpose
        builder.call(
            call,
            (
                ir.Constant(_CHAR, _KIND), _letter(builder, swapped), m.shape[1], m.shape[0], _slot(builder, one),
                m.data, m.apart, builder.bitcast(x.data, _POINTER), _slot(builder, zero),
                builder.bitcast(y.data, _POINTER),
            ),
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(matrix, types.boolean, vector, out), generate


add_product: Any = _compiled_product if JIT else _product
"""``add_product(a, b, transposed_a, transposed_b, alpha, beta, out)``: out = alpha op(a) op(b) + beta out.

float32 arrays whose rows are contiguous; op transposes where its flag says so.
"""
product_of_vector: Any = _compiled_of_vector if JIT else _of_vector
"""``product_of_vector(matrix, transposed, vector, out)``: out = op(matrix) vector."""
