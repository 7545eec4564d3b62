"""The packages that studies need besides those of a single run; without one, a line that says how to get it."""

from __future__ import annotations

import importlib
from typing import Any


def _get(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        how = "pip install '.[sweep]' in a checkout of noisysim"
        raise ImportError(f"studies need {name}, which is not installed: {how}") from None


def xarray() -> Any:
    """Labelled arrays."""
    return _get("xarray")


def distributed() -> Any:
    """Dask's scheduler, workers and clients."""
    return _get("distributed")


def pandas() -> Any:
    """Data frames."""
    return _get("pandas")
