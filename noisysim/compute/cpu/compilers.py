"""What compiles loops for the CPU, and where their templates are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from noisysim.compute.jit import build, compiling


def jit(function: Callable[..., Any]) -> Any:
    """Numba's compiler, as it compiles hooks and activation functions."""
    return numba.njit(**build.OPTIONS)(function)


COMPILERS = build.Compilers("cpu/loops", jit, compiling.rule, support=("jit/compiling",))
