"""Which types of arrays there are: the backend that computes on each, and its namespace.

A backend registers its own when it is imported. Arrays on a GPU may come before that, from the user: they are known by
the interface that all libraries for CUDA share.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import TypeGuard

import numpy as np

from noisysim.common.types import Array

_KNOWN: dict[type, tuple[str, ModuleType]] = {np.ndarray: ("cpu", np)}
_GPU, _GPU_INTERFACE = "cuda", "__cuda_array_interface__"
_loaders: list[Callable[[str], None]] = []


def register(kind: type, backend: str, namespace: ModuleType) -> None:
    """Let arrays of a type be known as those of a backend, and of a namespace with NumPy's functions."""
    _KNOWN[kind] = (backend, namespace)


def load_with(loader: Callable[[str], None]) -> None:
    """Let `loader` import a backend, by its name, where an array of an unknown type is its; it may find none."""
    _loaders[:] = [loader]


def is_array(value: object) -> TypeGuard[Array]:
    """Whether a value is an array of a backend's own type, and of no subclass, or any array on a GPU."""
    return type(value) in _KNOWN or _on_gpu(value)


def backend_name(array: object) -> str:
    """The name of the backend that computes on an array; "cpu" for all that is neither registered nor on a GPU."""
    try:
        return _KNOWN[type(array)][0]  # asked for in every operation
    except KeyError:
        return _GPU if _on_gpu(array) else "cpu"


def namespace_of(array: object) -> ModuleType:
    """The namespace that an array belongs to; NumPy for all that is neither registered nor on a GPU."""
    known = _KNOWN.get(type(array))
    if known is None and _on_gpu(array):
        for load in _loaders:
            load(_GPU)
        known = next((known for known in _KNOWN.values() if known[0] == _GPU), None)
    return np if known is None else known[1]


def _on_gpu(value: object) -> bool:
    """Whether a value of an unregistered type is on a GPU; some libraries have one type for both places."""
    return hasattr(type(value), _GPU_INTERFACE) and hasattr(value, _GPU_INTERFACE)
