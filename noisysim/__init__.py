"""noisysim: learning on noisy analog hardware, simulated.

>>> import noisysim
>>> result = noisysim.run(device="crossbar", layers=[16], epochs=5)
>>> bool(result.history["test_accuracy"][-1] > 0.5)
True
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from noisysim.common import garbage, openers
from noisysim.common.deprecation import MOVED, Aliases

_LAYERS = (
    "activate", "average_pool", "batch_norm", "concat", "conv", "conv1d", "dense", "depthwise", "dropout",
    "flatten", "multiply", "pool", "recurrent", "residual",
)  # fmt: skip
"""Layers of which most networks are made; all others are in `noisysim.layers` alone."""
_HOME = {
    **dict.fromkeys(_LAYERS, "networks.layers"),
    "Batch": "compute.observation",
    "Chip": "chip.chip",
    "Drive": "compute.observation",
    "Observation": "compute.observation",
    "Result": "runs.result",
    "Deployment": "runs.deployment",
    "Study": "studies.study",
    "adapt": "runs.loop",
    "by": "studies.grids",
    "deploy": "runs.deployment",
    "grid": "studies.grids",
    "sweep": "studies.engine",
    "tune": "studies.tuning",
    "load": "studies.loading",
    "prepare": "runs.loop",
    "report": "reporting.report",
    "resume": "runs.api",
    "retention": "runs.retention",
    "run": "runs.api",
}
_MODULES = {
    "bench": "chip.bench",
    "callbacks": "runs.callbacks",
    "conformance": "conformance",
    "devices": "devices",
    "diagnostics": "chip.diagnostics",
    "layers": "networks.layers",
    "learners": "learners",
    "losses": "compute.losses",
    "networks": "networks",
    "optimizers": "learners.optimizers",
    "papers": "papers",
    "plot": "reporting.plot",
    "schedules": "runs.schedules",
    "tasks": "tasks",
    "theory": "learners.theory",
}

if TYPE_CHECKING:
    from noisysim import conformance, devices, learners, networks, papers, tasks
    from noisysim.chip import bench, diagnostics
    from noisysim.chip.chip import Chip
    from noisysim.compute import losses
    from noisysim.compute.observation import Batch, Drive, Observation
    from noisysim.learners import optimizers, theory
    from noisysim.networks import layers
    from noisysim.networks.layers import (  # fmt: skip
        activate,
        average_pool,
        batch_norm,
        concat,
        conv,
        conv1d,
        dense,
        depthwise,
        dropout,
        flatten,
        multiply,
        pool,
        recurrent,
        residual,
    )
    from noisysim.reporting import plot
    from noisysim.reporting.report import report
    from noisysim.runs import callbacks, schedules
    from noisysim.runs.api import resume, run
    from noisysim.runs.deployment import Deployment, deploy
    from noisysim.runs.loop import adapt, prepare
    from noisysim.runs.result import Result
    from noisysim.runs.retention import retention
    from noisysim.studies.engine import sweep
    from noisysim.studies.grids import by, grid
    from noisysim.studies.loading import load
    from noisysim.studies.study import Study
    from noisysim.studies.tuning import tune

    __version__: str

__all__ = [
    "Batch", "Chip", "Deployment", "Drive", "Observation", "Result", "Study", "activate", "adapt",
    "average_pool", "batch_norm", "bench", "by", "callbacks", "concat", "conformance", "conv", "conv1d",
    "dense", "deploy", "depthwise", "devices", "diagnostics", "dropout", "flatten", "grid", "layers",
    "learners", "load", "losses", "multiply", "networks", "optimizers", "papers", "plot", "pool", "prepare",
    "recurrent", "report", "residual", "resume", "retention", "run", "schedules", "sweep", "tasks", "theory", "tune",
]  # fmt: skip

sys.meta_path.insert(
    0,
    Aliases(
        {f"noisysim.{name}": f"noisysim.{place}" for name, place in _MODULES.items() if name != place},
        MOVED,
        since="0.1",
    ),
)


if not TYPE_CHECKING:  # a name that does not exist is an error for type checkers

    def __getattr__(name: str) -> Any:
        """Parts are imported when they are first used: `import noisysim` stays quick."""
        if name in _HOME:
            value = getattr(_part(_HOME[name]), name)
        elif name in _MODULES:
            value = _part(_MODULES[name])
        elif name == "__version__":
            value = _part("runs.environment").version()
        else:
            raise AttributeError(f"module 'noisysim' has no attribute {name!r}")
        globals()[name] = value
        return value


def _part(name: str) -> Any:
    try:
        with garbage.uncollected():
            return importlib.import_module(f"noisysim.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("noisysim.devices.models", "noisysim.papers"):
            raise
        raise ImportError(
            f"{error.name} is not beside this noisysim: Python is running in the source folder without an editable "
            "install; leave the folder, or run: pip install -e ."
        ) from None


openers.register((".h5", ".hdf5"), lambda path: _part("runs.trained").opened(path))


def __dir__() -> list[str]:
    """What is public, loaded or not: what a prompt completes."""
    return sorted({*__all__, "__version__", *(name for name in globals() if name.startswith("__"))})
