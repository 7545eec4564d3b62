"""Pickles of arrays, read without an unpickler: nothing that a file names is called or becomes an object of NumPy's.

A pickle is a programme. The few instructions that dicts, lists, texts, numbers and arrays are written in are followed
here one by one (`pickletools` takes them apart); any other is refused. What NumPy is asked for by name are `Dtype` and
`Array`, plain records whose sizes are checked against the bytes that are there.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.fields import shown

NUMBERS = re.compile(r"[biuf][1248]")
ORDERS: dict[str, Any] = {"|": "|", "<": "<", ">": ">", "=": "="}


class Name(NamedTuple):
    """What a pickle asks for by name."""

    module: str
    name: str


NDARRAY, DTYPE = Name("numpy", "ndarray"), Name("numpy", "dtype")
RECONSTRUCT = (Name("numpy.core.multiarray", "_reconstruct"), Name("numpy._core.multiarray", "_reconstruct"))
FROM_BUFFER = (Name("numpy.core.numeric", "_frombuffer"), Name("numpy._core.numeric", "_frombuffer"))
ENCODE = Name("_codecs", "encode")
KNOWN = {NDARRAY, DTYPE, *RECONSTRUCT, *FROM_BUFFER, ENCODE}


class Dtype:
    """The type of an array's elements: a text such as ``"u1"``, and the order of its bytes."""

    def __init__(self, spec: Any):
        self.spec, self.order = _text(spec), "|"
        if not NUMBERS.fullmatch(self.spec):
            raise _refusal(f"an array of {shown(self.spec)}")

    def set(self, state: Any) -> None:
        """The state that NumPy gives a type: version, order of bytes, and of plain numbers nothing else."""
        if type(state) is not tuple or len(state) < 5 or state[2:5] != (None, None, None):
            raise _refusal("a type of structures")
        self.order = _text(state[1])
        if self.order not in ORDERS:
            raise _refusal("an unknown order of bytes")

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type as NumPy's."""
        dtype: np.dtype[Any] = np.dtype(self.spec).newbyteorder(ORDERS[self.order])
        return dtype


class Array:
    """An array as its pickle has it: shape, type, order and bytes."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.dtype: Dtype = Dtype("u1")
        self.fortran, self.data = False, b""

    def set(self, state: Any) -> None:
        """The state that NumPy gives an array: version, shape, type, whether in Fortran's order, bytes."""
        if type(state) is not tuple or len(state) != 5:
            raise _refusal("an array of unknown layout")
        _, shape, dtype, fortran, data = state
        data = data.encode("latin-1") if isinstance(data, str) else data
        sizes = type(shape) is tuple and len(shape) <= 8 and all(type(n) is int and 0 <= n < 2**31 for n in shape)
        if not sizes or type(dtype) is not Dtype or type(data) is not bytes:
            raise _refusal("an array of unknown layout")
        if math.prod(shape) * dtype.numpy.itemsize != len(data):
            raise _refusal(f"an array whose {len(data):,} bytes are not those of its shape {shown(shape)}")
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, bool(fortran), data

    @property
    def numpy(self) -> np.ndarray:
        """A copy as NumPy's own array, (C order, writable)."""
        array = np.frombuffer(self.data, self.dtype.numpy).reshape(self.shape, order="F" if self.fortran else "C")
        return np.array(array, self.dtype.numpy.newbyteorder("="), order="C")


def _refusal(what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f"it holds {what}")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if not isinstance(value, str):
        raise _refusal("a name that is no text")
    return value


def _called(name: Any, arguments: Any) -> Any:
    """What a call that NumPy's arrays are written in stands for."""
    if type(name) is not Name or type(arguments) is not tuple:
        raise _refusal("a call of something else than a name")
    if name in RECONSTRUCT and arguments[:1] == (NDARRAY,):
        return Array()
    if name == DTYPE and arguments:
        return Dtype(arguments[0])
    if name in FROM_BUFFER and len(arguments) == 4:
        data, dtype, shape, order = arguments
        array = Array()
        array.set((1, shape, dtype, order == "F", data))
        return array
    if name == ENCODE and len(arguments) == 2 and arguments[1] in ("latin1", "latin-1"):
        return _text(arguments[0]).encode("latin-1")
    raise _refusal(f"a call of {name.module}.{name.name} that no data file needs")


CONSTANTS = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False,
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT"}
VALUES |= {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
STRINGS = {"STRING", "BINSTRING", "SHORT_BINSTRING"}  # bytes, as Python 2 wrote them
PUT, GET = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """Follows a pickle's instructions."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, op: str, argument: Any) -> None:
        """One instruction; any but the few known ones is refused."""
        stack = self.stack
        if op in VALUES:
            stack.append(argument)
        elif op in STRINGS:
            stack.append(argument.encode("latin-1"))
        elif op in CONSTANTS:
            constant = CONSTANTS[op]
            stack.append(constant() if isinstance(constant, type) else constant)
        elif op in PUT:
            self.memo[int(argument)] = stack[-1]
        elif op == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif op in GET:
            stack.append(self.memo[int(argument)])
        elif op == "MARK":
            self.marks.append(len(stack))
        elif op in TUPLES:
            stack.append(tuple(self._last(TUPLES[op])))
        elif op == "BYTEARRAY8":
            stack.append(bytes(argument))
        elif op not in ("PROTO", "FRAME"):
            self._build(op, argument)

    def _build(self, op: str, argument: Any) -> None:
        """An instruction that makes one thing of others."""
        stack = self.stack
        if op in ("APPEND", "APPENDS"):
            values = self._last(1) if op == "APPEND" else self._marked()
            self._top(list).extend(values)
        elif op in ("SETITEM", "SETITEMS"):
            pairs = self._last(2) if op == "SETITEM" else self._marked()
            self._fill(self._top(dict), pairs)
        elif op == "TUPLE":
            stack.append(tuple(self._marked()))
        elif op == "LIST":
            stack.append(self._marked())
        elif op == "DICT":
            pairs = self._marked()
            stack.append(self._fill({}, pairs))
        elif op in ("GLOBAL", "STACK_GLOBAL"):
            words = argument.split(" ", 1) if op == "GLOBAL" else self._last(2)
            stack.append(self._named(words))
        elif op == "REDUCE":
            name, arguments = self._last(2)
            stack.append(_called(name, arguments))
        elif op == "BUILD":
            (state,) = self._last(1)
            if type(stack[-1]) not in (Array, Dtype):
                raise _refusal("a state for something else than an array")
            stack[-1].set(state)
        else:
            raise _refusal(f"the instruction {op}, which no data file needs")

    def _named(self, words: list[Any]) -> Name:
        """What is asked for by module and name."""
        name = Name(*map(_text, words))
        if name not in KNOWN:
            requested = shown(f"{name.module}.{name.name}").strip("'")
            raise pickle.UnpicklingError(f"it asks for {requested}, which no data file needs")
        return name

    def _last(self, count: int) -> list[Any]:
        """The last values, taken from the stack."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise _refusal("too few values for an instruction")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _marked(self) -> list[Any]:
        """All values since the last mark, taken from the stack."""
        if not self.marks:
            raise _refusal("no mark where one is needed")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise _refusal(f"no {kind.__name__} where one is needed")
        return self.stack[-1]

    @staticmethod
    def _fill(target: dict[Any, Any], pairs: list[Any]) -> dict[Any, Any]:
        """Put keys and values, in turn, into a dict; keys are texts: the hash of others may never end."""
        if len(pairs) % 2 or not all(type(key) in (str, bytes) for key in pairs[::2]):
            raise _refusal("a dict whose keys are no texts")
        target.update(zip(pairs[::2], pairs[1::2], strict=True))
        return target


def load(content: bytes) -> Any:
    """What a pickle of dicts, lists, tuples, texts, numbers and arrays holds; each array an `Array`.

    Raises
    ------
    pickle.UnpicklingError
        If it asks for anything else.
    Exception
        Whatever a damaged one leads to.
    """
    machine = _Machine()
    for op, argument, _ in pickletools.genops(content):
        if op.name == "STOP":
            return machine.stack.pop()
        machine.step(op.name, argument)
    raise _refusal("no end")
