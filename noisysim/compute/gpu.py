"""Whether there is a GPU to compute on, and what is missing if not."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib import metadata

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0")
"""Whether Numba's simulator stands in for a GPU: slow, and made for tests."""
INSTALL = 'install both with: pip install ".[cuda]" in a checkout of noisysim'


def missing() -> str:
    """What keeps this process from using a GPU, and what helps; empty if nothing does."""
    if SIMULATED:
        return ""
    for module, package in (("cupy", "CuPy"), ("numba.cuda", "numba-cuda")):
        if importlib.util.find_spec(module) is None:
            return f"{package} is not installed; {INSTALL}"
    import cupy

    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no GPU can be used ({error}); check the driver with nvidia-smi"
    if count == 0:
        return "the driver finds no GPU; check it with nvidia-smi"
    from numba import cuda

    if not cuda.is_available():  # type: ignore[no-untyped-call]
        return f"numba-cuda finds no GPU that it can compile for, under Python {sys.version.split()[0]}; {INSTALL}"
    return ""


def describe() -> dict[str, str]:
    """The GPU, its driver, and the packages that use it."""
    if SIMULATED:
        return {"gpu": "none: Numba's simulator"}
    if missing():
        return {"gpu": "none"}
    import cupy

    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "gpu": f"{properties['name'].decode()}, {properties['totalGlobalMem'] / 2**30:.0f} GiB",
        "cuda": f"runtime {cupy.cuda.runtime.runtimeGetVersion()}, driver {cupy.cuda.runtime.driverGetVersion()}",
        "cupy": cupy.__version__,  # a wheel for each CUDA version has a name of its own
        **({"numba-cuda": metadata.version("numba-cuda")} if _installed("numba-cuda") else {}),
    }


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
