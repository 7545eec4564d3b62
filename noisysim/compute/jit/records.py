"""Records: what loops take by name, in one piece of memory.

A record has addresses of arrays and of functions, numbers and flags. A loop takes an array of one record, which costs a
call from Python a quarter of a microsecond, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numba
import numpy as np

from noisysim.common.types import Array
from noisysim.compute.jit.calls import JIT
from noisysim.compute.jit.kinds import Plain
from noisysim.compute.jit.places import ADDRESS, address

_TYPES = {int: np.int64, bool: np.bool_, float: np.float32}


class RecordType:
    """The type of a record.

    Parameters
    ----------
    addresses : sequence of str
        Fields that hold where an array or a function is.
    numbers : mapping
        Other fields -> int, bool or float (float32).

    Attributes
    ----------
    compiled : numba type or None
        What loops see.
    """

    def __init__(self, addresses: Sequence[str], numbers: Mapping[str, type]):
        fields = [(name, ADDRESS) for name in addresses] + [(name, _TYPES[kind]) for name, kind in numbers.items()]
        self._dtype = np.dtype((np.record, np.dtype(fields, align=True)))
        self.compiled: Any = numba.from_dtype(self._dtype) if JIT else None
        self._addresses = frozenset(addresses)

    def make(self, **values: Any) -> Record:
        """A record with these values."""
        return Record(self._dtype, self._addresses, values)


class Record:
    """A record, and the arrays whose addresses it has.

    Attributes
    ----------
    data : numpy.ndarray
        The record, (1,): what loops take.
    """

    def __init__(self, dtype: Plain, addresses: frozenset[str], values: Mapping[str, Any]):
        self.data: Array = np.zeros(1, dtype)
        self._fields = {name: self.data[name] for name in dtype.names}  # writing through them is quicker
        self._addresses, self._kept = addresses, dict[str, Any]()
        self.set(values)

    def set(self, values: Mapping[str, Any]) -> None:
        """Change fields; what is there already costs next to nothing."""
        kept, fields = self._kept, self._fields
        for name, value in values.items():
            if kept.get(name) is not value:
                kept[name] = value
                fields[name][0] = address(value) if isinstance(value, np.ndarray) and name in self._addresses else value

    def lend(self, values: Mapping[str, Any]) -> None:
        """Change fields for one call: the caller keeps the arrays, and the record does not."""
        kept, fields = self._kept, self._fields
        for name, value in values.items():
            if name in self._addresses:
                kept.pop(name, None)
                fields[name][0] = address(value)
            elif kept.get(name) is not value:
                kept[name] = fields[name][0] = value

    def with_array(self, name: str, array: Array) -> Array:
        """A copy of the record with another array, which the caller keeps."""
        copy = together([self.data])
        copy[name][0] = address(array)
        return copy


def together(records: Sequence[Array]) -> Array:
    """Records of one type, each (1,), in one array: copies, whose arrays are those of the records."""
    if not JIT:
        return np.concatenate(records)
    copies: Array = np.empty(len(records), records[0].dtype)
    as_bytes = copies.view(np.uint8).reshape(len(records), -1)  # NumPy copies records field by field, which takes 26 µs
    for row, record in zip(as_bytes, records, strict=True):
        row[...] = record.view(np.uint8)
    return copies
