"""noisysim: learning on noisy analog hardware, simulated.

>>> import noisysim
>>> result = noisysim.run(device="crossbar", layers=[16], epochs=5)
>>> bool(result.history["test_accuracy"][-1] > 0.5)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    **dict.fromkeys(("batch_norm", "conv", "dense", "dropout", "flatten", "pool"), "layers"),
    "Batch": "observation",
    "Chip": "chip",
    "Drive": "observation",
    "Observation": "observation",
    "Result": "results",
    "Study": "studies.study",
    "adapt": "loop",
    "by": "studies.grids",
    "grid": "studies.grids",
    "sweep": "studies.engine",
    "tune": "studies.tuning",
    "load": "loading",
    "prepare": "loop",
    "report": "reporting",
    "resume": "running",
    "retention": "running",
    "run": "running",
}
_PACKAGES = (
    "conformance",
    "devices",
    "diagnostics",
    "layers",
    "learners",
    "optimizers",
    "papers",
    "plot",
    "tasks",
    "theory",
)

if TYPE_CHECKING:
    from noisysim import conformance, devices, diagnostics, layers, learners, optimizers, plot, tasks, theory
    from noisysim.chip import Chip
    from noisysim.layers import batch_norm, conv, dense, dropout, flatten, pool
    from noisysim.loading import load
    from noisysim.loop import adapt, prepare
    from noisysim.observation import Batch, Drive, Observation
    from noisysim.reporting import report
    from noisysim.results import Result
    from noisysim.running import resume, retention, run
    from noisysim.studies.engine import sweep
    from noisysim.studies.grids import by, grid
    from noisysim.studies.study import Study
    from noisysim.studies.tuning import tune

__all__ = [
    "Batch", "Chip", "Drive", "Observation", "Result", "Study", "adapt", "batch_norm", "by", "conformance", "conv",
    "dense", "devices", "diagnostics", "dropout", "flatten", "grid", "layers", "learners", "load", "optimizers",
    "papers", "plot", "pool", "prepare", "report", "resume", "retention", "run", "sweep", "tasks", "theory", "tune",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Parts are imported when they are first used: `import noisysim` stays quick."""
    if name in _HOME:
        value = getattr(_part(_HOME[name]), name)
    elif name in _PACKAGES:
        value = _part(name)
    elif name == "__version__":
        value = _part("environment").version()
    else:
        raise AttributeError(f"module 'noisysim' has no attribute {name!r}")
    globals()[name] = value
    return value


def _part(name: str) -> Any:
    try:
        return importlib.import_module(f"noisysim.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ("noisysim.devices", "noisysim.papers"):
            raise
        raise ImportError(
            f"{error.name} is not beside this noisysim: Python is running in the source folder without an editable "
            "install; leave the folder, or run: pip install -e ."
        ) from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
