"""How the loops of the CPU backend are compiled.

A `loop` is what Python calls, `inner` is what loops alone call: what Python needs to call a function would be a fifth
of all compilation. Without it a call from Python ends the process.
"""

from functools import partial

from numba import njit

loop = partial(njit, cache=True, nogil=True, error_model="numpy", no_cfunc_wrapper=True)
inner = partial(loop, no_cpython_wrapper=True)
