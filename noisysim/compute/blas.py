"""The BLAS that compiled products call: SciPy's, without the rest of its linear algebra.

Numba takes the addresses of BLAS from ``scipy.linalg.cython_blas``, and imports it before it compiles or loads
anything. Imported by its name it brings all of ``scipy.linalg`` along, and with that ``numpy.f2py`` and
``numpy.testing``: a tenth of a second of each start, of which nothing is used here. The module itself needs none of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import PathFinder

NAME = "scipy.linalg.cython_blas"


def load() -> None:
    """Load the module alone, under its own name; as Python would where it is not found so."""
    if NAME not in sys.modules and "scipy.linalg" not in sys.modules:
        _load_alone()
    importlib.import_module(NAME)  # finds it, if it is loaded


def _load_alone() -> None:
    import scipy

    spec = PathFinder.find_spec(NAME, [os.path.join(os.path.dirname(scipy.__file__), "linalg")])
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    try:
        spec.loader.exec_module(module)
    except Exception:  # whatever it lacks comes with the rest
        del sys.modules[NAME]
