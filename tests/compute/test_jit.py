"""What loops are written with: rows by address, parts of arrays, products, records; compiled, and in plain Python."""

import gc
import os
import subprocess
import sys
import weakref
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from numba.core.types import UniTuple, boolean, float32, int64

from noisysim.compute.cpu.loops import gather
from noisysim.compute.jit import compiling, places, products
from noisysim.compute.jit.calls import JIT, RowType
from noisysim.compute.jit.records import RecordType
from noisysim.compute.jit.views import function_at, part, view

compiled = pytest.mark.skipif(not JIT, reason="nothing is compiled")


@compiled
def test_all_of_it_holds_without_jit():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(command, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


def floats(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- rows by address --------------------------------------------------------------------------------------------------

ROW = RowType(float32[::1], int64, boolean, UniTuple(int64, 2), float32[:, :], float32[::1])
COUNT = RowType(float32[::1], float32, returns=float32)
call_row, call_count = ROW.call, COUNT.call


@numba.njit
def mixed(x, shift, negative, span, own, out):
    for j in range(span[0], span[1]):
        out[j] = (-x[j] if negative else x[j]) + shift + own[1, j]


@numba.njit
def above(x, least):
    total = np.float32(0)
    for j in range(x.size):
        total += np.float32(x[j] > least)
    return total


@numba.njit
def other(x, least):
    return least * x[0]


@numba.njit
def through(row, count, x, own, out):
    call_row(row, (x, 3, True, (1, 4), own, out))
    return call_count(count, (x, np.float32(0.5)))


def test_rows_get_their_arguments_and_give_what_they_return():
    x, own, out = floats(5), floats(3, 10)[:, ::2], np.zeros(5, np.float32)
    found = through(ROW.address(mixed), COUNT.address(above), x, own, out)
    np.testing.assert_allclose(out[1:4], 3 - x[1:4] + own[1, 1:4], rtol=1e-6)
    assert out[0] == out[4] == 0
    assert found == (x > 0.5).sum()


def test_a_caller_takes_any_row_of_the_type():
    x = floats(5)
    results = [
        through(ROW.address(mixed), COUNT.address(row), x, floats(3, 5), np.zeros(5, np.float32))
        for row in (above, other)
    ]
    assert results == [(x > 0.5).sum(), np.float32(0.5) * x[0]]
    assert results[0] != results[1]


@compiled
def test_a_row_that_returns_another_type_is_refused():
    @numba.njit
    def counts(x, least):
        return x.size

    with pytest.raises(TypeError, match=r"counts returns int64, not float32"):
        COUNT.address(counts)


@compiled
def test_a_row_that_takes_other_arguments_is_refused():
    @numba.njit
    def short(x):
        return x[0]

    with pytest.raises((TypeError, numba.core.errors.NumbaError)):
        COUNT.address(short)


def test_an_error_in_a_row_reaches_who_called_the_loop():
    @numba.njit
    def fails(x, least):
        if x[0] == x[0]:
            raise ValueError("no such row")
        return least

    with pytest.raises(ValueError, match="no such row"):
        through(ROW.address(mixed), COUNT.address(fails), floats(5), floats(3, 5), np.zeros(5, np.float32))


# --- parts of arrays --------------------------------------------------------------------------------------------------


@numba.njit
def cut(flat, start, columns, rows):
    return view(flat, start, columns, rows)


@numba.njit
def put_part(row, start, size, value):
    some = part(row, start, size)
    for j in range(some.size):
        some[j] = value
    return some.size


@pytest.mark.parametrize("kind", [np.float32, np.int64, np.uint8])
@pytest.mark.parametrize(("start", "columns", "rows"), [(0, 4, 6), (5, 3, 2), (23, 1, 1), (24, 4, 0), (2, 0, 7)])
def test_views_are_parts_of_what_they_are_of(kind, start, columns, rows):
    flat = np.arange(24).astype(kind)
    for whole in (flat, flat.reshape(4, 6)):
        found = cut(whole, start, columns, rows)
        assert (found.shape, found.dtype) == ((rows, columns), flat.dtype)
        np.testing.assert_array_equal(found, flat[start : start + rows * columns].reshape(rows, columns))
    if found.size:
        found[-1, -1] = 77
        assert flat[start + rows * columns - 1] == 77


def test_a_view_keeps_its_memory():
    found = cut(np.arange(1 << 16, dtype=np.float32), 8, 2, 3)
    gc.collect()
    taken = [np.full(1 << 16, -1, np.float32) for _ in range(8)]  # would be put where it was
    assert found.ravel().tolist() == [8, 9, 10, 11, 12, 13]
    assert len(taken) == 8


def test_parts_are_written_through():
    row = np.zeros(6, np.float32)
    assert put_part(row, 2, 3, 1.5) == 3
    assert row.tolist() == [0, 0, 1.5, 1.5, 1.5, 0]


@numba.njit
def sums_at(floats_of, doubles, longs, some_bytes, words, functions):
    """A sum over a part of each kind of array, all given by address."""
    return (
        places.floats_at(floats_of, 1, 3).sum() + places.doubles_at(doubles, 1, 3).sum(),
        places.longs_at(longs, 1, 3).sum() + places.bytes_at(some_bytes, 1, 3)[0] + places.words_at(words, 1, 3)[1],
        places.float_rows_at(floats_of, 2, 4, 1, 2).sum(),  # items 1 and 2 of each of two rows of four
        places.long_rows_at(longs, 2, 4, 0, 4).sum(),
        view(floats_of, 2, 2, 3).sum(),
        function_at(functions, 1),
    )


def test_parts_of_arrays_by_address():
    kinds = (np.float32, np.float64, np.int64, np.uint8, np.uint32)
    arrays = [np.arange(8).astype(kind) * (k + 1) for k, kind in enumerate(kinds)]
    f, d, n, b, w = arrays
    functions = np.array([11, 12, 13]) if JIT else (11, 12, 13)
    address = [places.address(a) for a in arrays] + [places.address(functions) if JIT else functions]
    expected = (
        f[1:4].sum() + d[1:4].sum(), n[1:4].sum() + b[1] + w[2], f.reshape(2, 4)[:, 1:3].sum(), n.sum(),
        f[2:8].sum(), 12,
    )  # fmt: skip
    assert sums_at(*address) == expected


def test_addresses_are_those_of_contiguous_arrays():
    with pytest.raises(ValueError, match="C-contiguous"):
        places.address(floats(4, 4)[:, 1:])


# --- products ---------------------------------------------------------------------------------------------------------


@numba.njit
def multiplied(a, b, transposed_a, transposed_b, alpha, beta, out):
    products.add_product(a, b, transposed_a, transposed_b, np.float32(alpha), np.float32(beta), out)


@numba.njit
def times_vector(matrix, transposed, vector, out):
    products.product_of_vector(matrix, transposed, vector, out)


def matrix(rows, columns, apart, seed):
    """One whose rows lie further apart than they are long, if `apart`."""
    return floats(rows, columns + 3, seed=seed)[:, 1 : columns + 1] if apart else floats(rows, columns, seed=seed)


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "rows apart"])
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (1, 1), (-0.5, 1), (2, -0.25)])
@pytest.mark.parametrize("transposed_a", [False, True])
@pytest.mark.parametrize("transposed_b", [False, True])
def test_products_are_numpys(transposed_a, transposed_b, alpha, beta, apart):
    m, n, inner = 5, 7, 3
    a = matrix(*((inner, m) if transposed_a else (m, inner)), apart, 1)
    b = matrix(*((n, inner) if transposed_b else (inner, n)), apart, 2)
    out = matrix(m, n, apart, 3)
    beside, before = out.base, out.astype(float)
    around = None if beside is None else beside.copy()
    x, y = (p.astype(float).T if t else p.astype(float) for p, t in ((a, transposed_a), (b, transposed_b)))
    multiplied(a, b, transposed_a, transposed_b, alpha, beta, out)
    np.testing.assert_allclose(out, alpha * (x @ y) + beta * before, rtol=1e-5, atol=1e-5)
    if apart:  # nothing beside it was touched
        around[:, 1:-2] = out
        np.testing.assert_array_equal(beside, around)


def test_without_a_beta_what_was_there_does_not_count():
    out = np.full((2, 2), np.nan, np.float32)
    multiplied(floats(2, 3), floats(3, 2), False, False, 1.0, 0.0, out)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("apart", [False, True], ids=["whole", "rows apart"])
@pytest.mark.parametrize("transposed", [False, True])
def test_products_with_a_vector_are_numpys(transposed, apart):
    a = matrix(5, 7, apart, 1)
    x, out = floats(5 if transposed else 7), np.full(7 if transposed else 5, np.nan, np.float32)
    times_vector(a, transposed, x, out)
    np.testing.assert_allclose(out, (a.T if transposed else a).astype(float) @ x, rtol=1e-5, atol=1e-5)


# --- records ----------------------------------------------------------------------------------------------------------

KIND = RecordType(("values", "more"), {"count": int, "on": bool, "share": float})


@numba.njit
def read_record(records):
    record = records[0]
    if not record.on:
        return np.float32(-1)
    return (
        places.floats_at(record.values, 0, record.count).sum() * record.share + places.floats_at(record.more, 0, 1)[0]
    )


def test_loops_read_the_fields_of_a_record():
    values, more = np.arange(6, dtype=np.float32), np.full(1, 100, np.float32)
    record = KIND.make(values=values, more=more, count=4, on=True, share=0.5)
    assert read_record(record.data) == 103
    values[0] = 2  # it is the same memory
    assert read_record(record.data) == 104
    record.set({"values": np.ones(6, np.float32), "count": 6})
    assert read_record(record.data) == 103
    record.set({"on": False})
    assert read_record(record.data) == -1


def test_a_copy_with_another_array_leaves_the_record_as_it_is():
    record = KIND.make(values=np.ones(4, np.float32), more=np.zeros(1, np.float32), count=4, on=True, share=1.0)
    twos = np.full(4, 2, np.float32)
    assert read_record(record.with_array("values", twos)) == 8
    assert read_record(record.data) == 4


def test_a_record_keeps_the_arrays_that_it_is_set_to_and_not_those_that_it_is_lent():
    class Kept(np.ndarray):
        """An array that weak references can tell of."""

    def array():
        made = np.ones(4, np.float32).view(Kept)
        return made, weakref.ref(made)

    record = KIND.make(more=np.zeros(1, np.float32), count=4, on=True, share=1.0)
    values, kept = array()
    record.set({"values": values})
    del values
    gc.collect()
    assert kept() is not None
    assert read_record(record.data) == 4
    values, (lent, other) = kept(), array()
    lent *= 2
    record.lend({"values": lent, "share": 0.5})
    assert read_record(record.data) == 4
    record.set({"values": values})  # which it does not hold any more
    record.lend({"share": 1.0})
    assert read_record(record.data) == 4
    del lent
    gc.collect()
    assert other() is None or not JIT  # there the array itself stands for its address


def test_lists_are_no_arrays():
    with pytest.raises(ValueError, match="C-contiguous"):
        KIND.make(values=floats(4, 4)[:, 1])


@pytest.mark.skipif(not JIT, reason="nothing is compiled")
def test_a_function_is_compiled_alike_whoever_calls_it_first():
    """Numba hands options that a function does not state down from its first caller: last bits would depend on that."""

    @numba.njit(**compiling.COMMON)
    def multiplied(a, b, c):
        return a * b + c

    @numba.njit(**{**compiling.COMMON, "fastmath": {"contract"}})
    def caller(a, b, c):
        return multiplied(a, b, c)

    caller(np.float32(3), np.float32(5), np.float32(7))
    (signature,) = multiplied.signatures
    multiplications = [line for line in multiplied.inspect_llvm(signature).splitlines() if "fmul" in line]
    assert multiplications
    assert not any("contract" in line for line in multiplications)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_what_cannot_be_kept_is_said_of_the_function_and_its_file():
    """As with NUMBA_OPT=0, which leaves addresses of rows in machine code."""
    function = gather.add_bytes
    library, qualname = SimpleNamespace(has_dynamic_globals=True), "gather.add_bytes"
    compiled = SimpleNamespace(lifted=(), library=library, fndesc=SimpleNamespace(qualname=qualname))
    with pytest.warns(numba.core.errors.NumbaWarning, match='Cannot cache compiled function "add_bytes"') as said:
        assert not function._cache._impl.check_cachable(compiled)
    assert said[0].filename == function.py_func.__code__.co_filename
