"""Names for what Numba and llvmlite, which annotate nothing, hand to code that generates code."""

from __future__ import annotations

from typing import Any, TypeAlias

Kind: TypeAlias = Any
"""A type of Numba's (`numba.core.types`)."""
Context: TypeAlias = Any
"""What knows how types are laid out in memory (`numba.core.base.BaseContext`)."""
Builder: TypeAlias = Any
"""What instructions are added to (`llvmlite.ir.IRBuilder`)."""
Value: TypeAlias = Any
"""A value in the code that is generated (`llvmlite.ir.Value`)."""
Compiled: TypeAlias = Any
"""A function that Numba compiled, or, with ``NUMBA_DISABLE_JIT=1``, the plain one."""
Plain: TypeAlias = Any
"""What stands for such a value in plain Python: an array, a number, or a NamedTuple."""
