"""What CUDA kernels are made with: decorators, launches, comparisons.

With ``NUMBA_ENABLE_CUDASIM=1``, set before the first import, Numba's simulator runs the kernels on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numba
import numpy as np
from numba import cuda

from noisysim.compute.cuda.arrays import xp
from noisysim.compute.jit import cache

Kernel: TypeAlias = Mapping[tuple[int, int], Callable[..., object]]
"""What gives a kernel on a grid of (blocks, threads)."""
SIMULATED = bool(numba.config.ENABLE_CUDASIM)  # type: ignore[attr-defined]
_THREADS = 2 if SIMULATED else 256  # a simulated thread is one of Python's
ROW_THREADS = 256
"""Most threads of a block that takes a row: what they add up together has as many places."""
HASHED = "noisysim_cuda_kernels_"
"""How the names of modules begin that `noisysim.compute.cuda.build` makes."""
_BLOCKS = 2 if SIMULATED else 132 * 32  # more elements than these have threads: each thread does several


def kernel(function: Callable) -> Any:
    """Compile a function that each thread of a grid runs."""
    if SIMULATED:
        return cuda.jit(function)
    from numba.cuda.dispatcher import CUDACache

    name = f"{function.__module__}.{function.__qualname__}"  # of a module whose name is a hash of all its sources
    compiled: Any = cuda.jit(function)
    return cache.keep(compiled, CUDACache, name) if name.startswith(HASHED) else compiled


def device(function: Callable) -> Any:
    """Compile a function that kernels call."""
    return function if SIMULATED else cuda.jit(device=True)(function)


def launch(function: Any, elements: int, *arguments: Any) -> None:
    """Run a kernel over `elements`, which it shares out by ``range(cuda.grid(1), elements, cuda.gridsize(1))``.

    With no elements nothing runs.
    """
    if elements > 0:
        start(function, min(-(-elements // _THREADS), _BLOCKS), _THREADS, *arguments)


def launch_rows(function: Kernel, rows: int, width: int, *arguments: Any) -> None:
    """Run a kernel whose blocks take a row of `width` values each: ``range(cuda.blockIdx.x, rows, cuda.gridDim.x)``.

    The threads of a block are a power of two, at most `ROW_THREADS`.
    """
    if rows > 0:
        threads = _THREADS if SIMULATED else min(ROW_THREADS, max(32, 1 << (width - 1).bit_length()))
        start(function, min(rows, _BLOCKS), threads, *arguments)


def start(function: Kernel, blocks: int, threads: int, *arguments: Any) -> None:
    """Run a kernel on a grid: all kernels are started here, where they are counted."""
    function[blocks, threads](*[argument(a) for a in arguments])


if SIMULATED:
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    from noisysim.compute.cuda import simulated_threads  # it is put in the place of Numba's

    in_kernels: Any = simulated_threads.Running()

    def argument(value: Any) -> Any:
        """A value as kernels take it."""
        return FakeCUDAArray(value.view(np.ndarray)) if isinstance(value, np.ndarray) else value

else:
    in_kernels = cuda
    _known: dict[tuple[Any, ...], Any] = {}

    def argument(value: Any) -> Any:
        """A value as kernels take it."""
        if not isinstance(value, xp.ndarray):
            return value
        key = (value.data.ptr, value.shape, value.strides, value.dtype.char)
        described = _known.get(key)
        if described is None:
            if len(_known) > 1 << 14:
                _known.clear()
            # a description of memory, which it does not keep alive
            described = cuda.from_cuda_array_interface(value.__cuda_array_interface__, owner=None, sync=False)
            _known[key] = described
        return described


@device
def larger(a, b):
    """Python's ``max`` of two: CUDA's own would drop NaN."""
    return b if b > a else a


@device
def smaller(a, b):
    """Python's ``min`` of two."""
    return b if b < a else a
