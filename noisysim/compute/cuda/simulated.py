"""What CuPy offers of what noisysim uses, on NumPy's arrays: beside Numba's simulator, for machines without a GPU.

As with CuPy, arrays on the GPU and NumPy's do not mix: an operation on both fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np


class ndarray(np.ndarray):
    """An array that plays one on a GPU."""

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The description of an array on a GPU, as CuPy's arrays have it."""
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3}

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's function, on arrays that are all on the GPU."""
        if method == "__call__" and "where" in kwargs:
            raise TypeError(f"{ufunc.__name__} has no argument 'where' on a GPU")
        return _on_gpu(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """NumPy's functions that are no ufuncs, likewise."""
        return _on_gpu(func, args, kwargs)

    def __getitem__(self, where: object) -> Any:
        """A part; of one value an array without an axis, as CuPy gives it."""
        return _placed(super().__getitem__(_plain(where)))

    def __setitem__(self, where: object, value: object) -> None:
        """Refuses values that are not on the GPU."""
        launched("copy")
        super().__setitem__(_plain(where), _plain(value))

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """A copy of another type; itself, if that is asked for."""
        return _counted("astype", self, super().astype(*args, **kwargs))

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """A copy."""
        return _counted("copy", self, super().copy(*args, **kwargs))

    def reshape(self, *args: Any, **kwargs: Any) -> Any:
        """A view where there can be one, else a copy."""
        return _counted("reshape", self, super().reshape(*args, **kwargs))

    def fill(self, value: object) -> None:
        """Set all values."""
        launched("fill")
        super().fill(value)

    def __bool__(self) -> bool:
        """A value, fetched."""
        launched("fetch")
        return bool(self.view(np.ndarray))

    def __float__(self) -> float:
        """A value, fetched."""
        launched("fetch")
        return float(self.view(np.ndarray))


def _plain(value: object) -> Any:
    """Arguments as NumPy takes them; arrays that are not on the GPU are refused."""
    if type(value) is np.ndarray and value.ndim > 0:
        raise TypeError("an array of NumPy's met one on a GPU")
    if isinstance(value, ndarray):
        return value.view(np.ndarray)
    if isinstance(value, (tuple, list)):
        return type(value)(_plain(v) for v in value)
    return value


def _placed(value: object) -> Any:
    """Results as the GPU would hold them: CuPy has no scalars, only arrays without an axis."""
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value).view(ndarray)
    if isinstance(value, (tuple, list)):
        return type(value)(_placed(v) for v in value)
    return value


def launched(name: str) -> None:
    """Called for what a GPU would be asked to do, by name: to compute, to copy or to set memory; for who counts it."""


def _counted(name: str, source: np.ndarray, result: object) -> Any:
    """A result, which counts unless it is memory of its source."""
    if not np.may_share_memory(_plain(source), _plain(result)):
        launched(name)
    return result


def _on_gpu(function: Callable[..., Any], args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    out, arguments = kwargs.get("out"), _plain(tuple(args))
    result = function(*arguments, **{k: _plain(v) for k, v in kwargs.items()})
    name = getattr(function, "__name__", "")
    for _ in filter(_is_copied, arguments if name == "matmul" else ()):
        launched("copy")
    views = [a for a in arguments if isinstance(a, np.ndarray) and isinstance(result, np.ndarray)]
    if out is not None or not (name in _ALLOCATE or any(np.may_share_memory(a, result) for a in views)):
        launched(name)
    if out is not None:
        return out[0] if isinstance(out, tuple) else out
    return _placed(result)


def _is_copied(factor: np.ndarray) -> bool:
    """Whether CuPy copies a factor of a product: cuBLAS is told of transposed matrices, but not of those in stacks."""
    return not (factor.flags.c_contiguous or (factor.ndim == 2 and factor.flags.f_contiguous))


_ALLOCATE = ("empty", "empty_like")
"""Functions that only find memory."""


def asnumpy(array: np.ndarray) -> np.ndarray:
    """A copy that is NumPy's own."""
    launched("fetch")
    copy: np.ndarray = array.view(np.ndarray).copy()
    return copy


def array(values: object, *args: Any, **kwargs: Any) -> Any:
    """A copy on the GPU."""
    launched("copy")
    source = values.view(np.ndarray) if isinstance(values, ndarray) else values
    return np.array(source, *args, **kwargs).view(ndarray)


def asarray(values: object, *args: Any, **kwargs: Any) -> Any:
    """An array on the GPU as it is, anything else copied there."""
    return values if isinstance(values, ndarray) and not (args or kwargs) else array(values, *args, **kwargs)


def __getattr__(name: str) -> Any:
    value = getattr(np, name)
    if not callable(value) or isinstance(value, type):
        return value

    def function(*args: Any, **kwargs: Any) -> Any:
        return _on_gpu(value, args, kwargs)

    return function
