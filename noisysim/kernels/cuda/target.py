"""What CUDA kernels are made with: decorators, launches, and NumPy's functions of numbers as CUDA has them.

With ``NUMBA_ENABLE_CUDASIM=1``, set before the first import, Numba's simulator runs the kernels on the CPU.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import cuda
from numba.core import types as typing

SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
_THREADS = 2 if SIMULATED else 256  # a simulated thread is one of Python's
_BLOCKS = 2 if SIMULATED else 132 * 32  # more elements than these have threads: each thread does several


def kernel(function: Callable) -> Any:
    """Compile a function that each thread of a grid runs."""
    return cuda.jit(cache=True)(function)


def device(function: Callable) -> Any:
    """Compile a function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True)(function)


def launch(function: Any, elements: int, *arguments: Any) -> None:
    """Run a kernel over so many elements, which it shares out by ``range(cuda.grid(1), elements, cuda.gridsize(1))``.

    Arrays are taken where they lie, whatever library made them; with no elements nothing runs.
    """
    if elements > 0:
        blocks = min(-(-elements // _THREADS), _BLOCKS)
        function[blocks, _THREADS](*[_argument(a) for a in arguments])


if SIMULATED:
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    def _argument(value: Any) -> Any:
        return FakeCUDAArray(value.view(np.ndarray)) if isinstance(value, np.ndarray) else value

    larger, smaller = max, min
    NAMES: dict[Any, Any] = {}
    """Modules and built-in functions that scalar functions name -> what they mean in a kernel."""
else:
    from numba.cuda import libdevice
    from numba.extending import overload

    _known: dict[tuple, Any] = {}

    def _argument(value: Any) -> Any:
        if not hasattr(value, "__cuda_array_interface__"):
            return value
        key = (value.data.ptr, value.shape, value.strides, value.dtype.char)
        found = _known.get(key)
        if found is None:
            if len(_known) > 1 << 14:
                _known.clear()
            # a description of memory, which it does not keep alive
            found = cuda.from_cuda_array_interface(value.__cuda_array_interface__, owner=None, sync=False)
            _known[key] = found
        return found

    def _choose(short: Callable, long: Callable) -> Callable:
        """A function of one number, by its width."""

        def generic(x: Any) -> Any:
            raise TypeError("compiled into kernels only")

        @overload(generic, target="cuda")
        def typed(x):  # type: ignore[no-untyped-def]  # numba compares names and annotations with those below
            if isinstance(x, typing.Float) and x.bitwidth == 32:
                return lambda x: short(x)
            return lambda x: long(x)

        return generic

    _numpy = types.ModuleType("numpy_in_kernels", "NumPy, with CUDA's functions in the place of those it lacks there")
    vars(_numpy).update(vars(np))
    vars(_numpy).update(
        sqrt=math.sqrt, exp=math.exp, expm1=math.expm1, log1p=math.log1p, floor=math.floor, ceil=math.ceil,
        isfinite=math.isfinite, isinf=math.isinf, abs=abs, absolute=abs, fabs=math.fabs, power=math.pow,
        rint=_choose(libdevice.rintf, libdevice.rint), trunc=_choose(libdevice.truncf, libdevice.trunc),
        cbrt=_choose(libdevice.cbrtf, libdevice.cbrt), exp2=_choose(libdevice.exp2f, libdevice.exp2),
    )  # fmt: skip

    def _comparing(built_in: Callable, better: Callable) -> Callable:
        """Python's ``max`` or ``min`` of two or three numbers."""

        def generic(*values: Any) -> Any:
            return built_in(*values)

        @overload(generic, target="cuda")
        def typed(*values):  # type: ignore[no-untyped-def]
            if len(values) == 2:
                return lambda *values: better(values[0], values[1])
            return lambda *values: better(better(values[0], values[1]), values[2])

        return generic

    @cuda.jit(device=True)
    def larger(a: Any, b: Any) -> Any:
        """Python's ``max`` of two: CUDA's own would drop NaN."""
        return b if b > a else a

    @cuda.jit(device=True)
    def smaller(a: Any, b: Any) -> Any:
        """Python's ``min`` of two."""
        return b if b < a else a

    NAMES = {np: _numpy, max: _comparing(max, larger), min: _comparing(min, smaller)}
    """Modules and built-in functions that scalar functions name -> what they mean in a kernel."""
