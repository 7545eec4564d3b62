"""Where arrays lie, and who computes on them: "cpu" (NumPy, compiled loops) or "cuda" (CuPy, CUDA kernels, cuBLAS).

A backend is a module. It has ``xp``, the array namespace (`numpy`, `cupy`); ``put`` and ``take``, which bring NumPy
arrays to where it computes and back; ``ops``, the operations that learners are made of; ``Passes`` and ``Cells``, which
run a chip. What lies on a GPU is found by its type, so nobody has to be told.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

from noisysim.common.fields import check_choice

NAMES = ("auto", "cpu", "cuda", "cuda:tf32")
"""What `resolve` takes: "auto" is "cuda" where a GPU can be used, else "cpu"; "cuda:tf32" rounds what products take to
ten bits, which is faster, and blurs small perturbations."""


_AS_EVER: AbstractContextManager[Any] = nullcontext()
_BY_TYPE: dict[type, Any] = {}


class BackendError(RuntimeError):
    """A backend that cannot be used here: what is missing, and what helps."""


@cache
def get(name: str) -> Any:
    """The backend called so."""
    return importlib.import_module(f"noisysim.compute.{name.partition(':')[0]}")


def products(name: str) -> AbstractContextManager[Any]:
    """In a ``with`` block large products are as exact as a backend of this name makes them."""
    return get(name).tf32() if name == "cuda:tf32" else _AS_EVER


def of(array: Any) -> Any:
    """The backend of an array, by its type; asked for in every operation of every update."""
    found = _BY_TYPE.get(type(array))
    if found is None:
        on_gpu = hasattr(type(array), "__cuda_array_interface__")
        found = _BY_TYPE[type(array)] = get("cuda" if on_gpu else "cpu")
    return found


def resolve(name: Any) -> str:
    """The backend that a run gets that asks for `name`.

    Raises
    ------
    ValueError
        For an unknown name, naming the nearest.
    BackendError
        For a GPU where a package, a driver or a GPU is missing, saying which, and what helps.
    """
    check_choice("backend", name, NAMES)
    if name == "cpu":
        return name
    from noisysim.compute import gpu

    missing = gpu.missing()
    if missing and name != "auto":
        raise BackendError(f"backend {name!r}: {missing}")
    if name == "auto":
        return "cpu" if missing or gpu.SIMULATED else "cuda"
    return name
