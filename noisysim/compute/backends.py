"""Where arrays are, and what computes on them: "cpu" (NumPy, compiled loops) or "cuda" (CuPy, CUDA kernels, cuBLAS).

A backend is a module (`noisysim.compute.protocols.Backend`). Arrays are recognised by their type, so that no call has
to say where its arrays are.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING

from noisysim.common import array_types
from noisysim.common.fields import check_choice

if TYPE_CHECKING:
    from noisysim.compute.protocols import Backend

NAMES = ("auto", "cpu", "cuda", "cuda:tf32")
"""What `resolve` takes: "auto" is "cuda" where a GPU can be used, else "cpu"; "cuda:tf32" rounds what products take to
ten bits, which is faster, and blurs small perturbations."""

_EXACT: AbstractContextManager[None] = nullcontext()


class BackendError(RuntimeError):
    """A backend that cannot be used here: what is missing, and what helps."""


@cache
def get(name: str) -> Backend:
    """The backend of this name."""
    backend: Backend = importlib.import_module(f"noisysim.compute.{name.partition(':')[0]}")
    return backend


def products(name: str) -> AbstractContextManager[None]:
    """In a ``with`` block large products are as exact as a backend of this name makes them."""
    return get(name).tf32() if name == "cuda:tf32" else _EXACT


def backend_of(array: object) -> Backend:
    """The backend of an array, by its type; asked for in every operation of every update."""
    return get(array_types.backend_name(array))


def _load(name: str) -> None:
    """Import a backend, which registers its type of arrays, if its packages are there."""
    with suppress(ImportError):
        get(name)


array_types.load_with(_load)


def resolve(name: str) -> str:
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
