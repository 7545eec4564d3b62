"""Which types of arrays there are: the backend that computes on each, and its namespace.

A backend registers its own when it is imported.
"""

from __future__ import annotations

from types import ModuleType
from typing import TypeGuard

import numpy as np

from noisysim.common.types import Array

_KNOWN: dict[type, tuple[str, ModuleType]] = {np.ndarray: ("cpu", np)}


def register(kind: type, backend: str, namespace: ModuleType) -> None:
    """Let arrays of a type be known as those of a backend, and of a namespace with NumPy's functions."""
    _KNOWN[kind] = (backend, namespace)


def is_array(value: object) -> TypeGuard[Array]:
    """Whether a value is an array of a backend's own type, and of no subclass."""
    return type(value) in _KNOWN


def backend_name(array: object) -> str:
    """The name of the backend whose type an array has; "cpu" for all that no backend has registered."""
    return _KNOWN.get(type(array), _KNOWN[np.ndarray])[0]


def namespace_of(array: object) -> ModuleType:
    """The namespace that an array belongs to; NumPy for all that no backend has registered."""
    return _KNOWN.get(type(array), _KNOWN[np.ndarray])[1]
