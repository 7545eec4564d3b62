"""Tasks: data, targets and the loss.

>>> import noisysim
>>> task = noisysim.tasks.get("digits", standardise="feature")
>>> sum(len(batch.inputs) for batch in task.batches(100, seed=0, epoch=0)) == task.n_train
True
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noisysim.common.fields import check, listed, parse_spec, shown
from noisysim.common.limits import SEED
from noisysim.common.registry import Registry, scan
from noisysim.tasks import own, tables
from noisysim.tasks.autoencoding import IMAGE_TASKS
from noisysim.tasks.base import Split, Task, make, whole_number
from noisysim.tasks.frames import is_frame
from noisysim.tasks.loading import Loader, Loaders, as_made
from noisysim.tasks.own_settings import OwnSettings, TableSettings
from noisysim.tasks.rows import split_rows
from noisysim.tasks.teacher import teacher_weights

__all__ = [
    "REGISTRY", "TASKS", "Split", "Task", "about", "describe", "get", "make", "names", "settings", "split_rows",
    "teacher_weights",
]  # fmt: skip

TASKS: dict[str, Loader] = {**IMAGE_TASKS, **scan(__name__, Loaders())}
"""The package's own tasks by name: every ``load_NAME`` of these modules."""
REGISTRY: Registry[Loader, Task] = Registry("task", Loaders(), TASKS, __name__)
_SUFFIXES = (".h5", ".hdf5", *tables.SUFFIXES)
_FILE = re.compile(
    rf"(?P<path>.+?(?:{'|'.join(map(re.escape, _SUFFIXES))}))(?::(?P<settings>.*))?", re.IGNORECASE | re.DOTALL
)


def names() -> list[str]:
    """Names of the tasks there are: the package's own, and those of installed packages."""
    return REGISTRY.names()


def settings(name: str) -> type:
    """The `NamedTuple` class that declares a task's settings; `noisysim.common.fields.declared` reads it."""
    return REGISTRY.definition(name).settings


def own_settings(recorded: Mapping[str, Any]) -> type | None:
    """The class of the settings of a user's own data, by the record of the task; ``None`` of one that has a name."""
    name = recorded.get("name", "")
    if name != "arrays" and (name in names() or file_spec(name) is None):
        return None
    return TableSettings if is_table(name) or "target" in recorded.get("settings", {}) else OwnSettings


def about(name: str) -> str:
    """One line on what a task is; of one that cannot be loaded, why."""
    return REGISTRY.about(name)


def describe(task: Task) -> dict[str, Any]:
    """A task that a name or a file found as plain values that `get` takes again."""
    return REGISTRY.describe(task)


def get(spec: Any, *, data: str | os.PathLike[str] | None = None, seed: int = 0, **settings: Any) -> Task:
    """The task that `spec` asks for.

    Parameters
    ----------
    spec : str, path, tuple of arrays, mapping or Task
        - a name, perhaps with settings: ``"digits"``, ``"autoencoding:of=mnist"``,
          ``"student-teacher:n_in=50,noise=0.1"``;
        - an HDF5 file (``.h5``, ``.hdf5``) with the datasets ``x_train``, ``y_train``, ``x_test``, ``y_test``, or
          ``x``, ``y``;
        - a table, ``.csv``, ``.tsv`` (both also ``.gz``) or ``.parquet``, perhaps with settings:
          ``"my.csv:target=y,drop=id+name,test=my_test.csv"`` (`noisysim.tasks.own_settings.TableSettings`);
        - a data frame of pandas or polars or a pyarrow table, its last column the target, or
          ``{"frame": df, "target": "y"}`` with settings, perhaps a second frame as ``"test"``;
        - a Python file that defines one function ``load_NAME(settings, data, seed)``, perhaps with settings:
          ``"my_task.py:noise=0.1"``;
        - ``(x_train, y_train, x_test, y_test)`` or ``(x, y)``, arrays or frames: labels (text, switches, whole
          numbers) or one-hot rows make a classification, floats a regression. Floats that are all whole numbers 0 to
          n - 1, with some samples of each, are read as labels, and images of four axes with 1, 3 or 4 channels at the
          end as channels last; a note in the record says so, and ``kind`` and ``axes`` settle it. A fifth of x and y,
          drawn by `seed`, becomes the test split;
        - a mapping with a ``"name"`` and settings;
        - a `Task`, which is returned as it is.
    data : path, optional
        The folder with the data files (``mnist/``, ``fashion-mnist/``, ``cifar10/``, ``cifar100/``,
        ``tiny-imagenet/``, ``sarcos/``). It is looked at before the folder that ``NOISYSIM_DATA`` names, the user's
        cache and the system's folders.
    seed : int
        Draws the data of ``"student-teacher"``, the noise of ``"autoencoding"`` and the split of ``(x, y)``; nothing
        else depends on it.
    **settings
        Settings of the task: ``standardise`` (``"global"``, ``"feature"``, ``"none"``, for images ``"unit"`` too),
        ``loss`` (``"cce"``, ``"mse"``), for target values ``standardise_targets``, for your own data ``kind``
        (``"classification"``, ``"regression"``), ``axes`` (``"nchw"``, ``"nhwc"``) and ``missing`` (``"empty"``: such
        a text as "NA" is a text like others); and its own, see `settings`.

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        For an unknown name or setting, and for files and arrays that do not hold what they should.
    FileNotFoundError
        If data files are neither found nor to be downloaded.

    Notes
    -----
    Your own arrays, and the datasets of an HDF5 file, of n samples:

    - ``x``: (n, inputs), real numbers of any type, in any units; (n, steps, features) of sequences; of images
      (n, channels, height, width), (n, height, width) of one channel, or with ``axes="nhwc"``
      (n, height, width, channels);
    - ``y`` of a classification: labels (n,), whole numbers, text or bool, the numbers of classes and not one-hot; they
      need not be 0 to n_out - 1 (`Task.classes` has them in the order of the outputs). One-hot rows (n, classes) of
      any type do as well;
    - ``y`` of a regression: floats, (n,) or (n, outputs).

    A task keeps uint8 or float32 inputs (n, n_in), images flattened channel by channel, with int64 labels (n,) or
    float32 values (n, n_out), as they were given (`Split`). What it hands out (`Task.batch`) is standardised: float32
    inputs (batch, n_in) and targets (batch, n_out), which are one-hot rows for labels.

    Examples
    --------
    >>> task = get("digits")
    >>> task.n_in, task.n_out, task.n_train, task.n_test
    (64, 10, 1437, 360)
    >>> batch = task.batch("test", slice(0, 5))
    >>> batch.inputs.shape, batch.targets.shape
    ((5, 64), (5, 10))
    """
    seed = check("", "seed", whole_number("seed", seed, 0), SEED)
    if data is not None and not isinstance(data, (str, os.PathLike)):
        raise TypeError(f"data must be a folder's path, not {shown(data)}")
    if isinstance(spec, Task):
        return as_made(spec, settings)
    if isinstance(spec, Mapping) and "frame" in spec:
        chosen = {"test": None, **spec}
        frames = chosen.pop("frame"), chosen.pop("test")
        seed = check("", "seed", whole_number("seed", chosen.pop("seed", seed), 0), SEED)
        return tables.from_frame(*frames, {**chosen, **settings}, seed)
    if isinstance(spec, Mapping):
        if "name" not in spec:
            raise ValueError(
                f"a task given as a mapping needs a 'name' or a 'frame', but has {listed(spec) or 'none'} (arrays with "
                "settings are noisysim.tasks.get((x, y), kind=...))"
            )
        chosen = {"data": data, "seed": seed, **spec, **settings}
        return get(chosen.pop("name"), **chosen)
    if isinstance(spec, (tuple, list)):
        return own.from_tuple(spec, settings, seed)
    if is_frame(spec):
        return tables.from_frame(spec, None, settings, seed)
    if (file := file_spec(spec)) is not None:
        path, inline = file
        load = tables.from_file if is_table(path) else own.from_hdf5
        return load(path, {**inline, **settings}, seed)
    if isinstance(spec, os.PathLike) and Path(spec).suffix != ".py":
        raise ValueError(f"a task file must be .py, {', '.join(_SUFFIXES)}, not {shown(os.fspath(spec))}")
    if not isinstance(spec, (str, os.PathLike)):
        raise TypeError(
            f"a task is a name, a file, arrays, a data frame, a mapping or a Task, not {type(spec).__name__}"
        )
    return REGISTRY.get(spec, data=data, seed=seed, **settings)


def is_in_memory(spec: object) -> bool:
    """Whether a specification holds the data themselves: arrays, or frames."""
    return isinstance(spec, (tuple, list)) or is_frame(spec) or (isinstance(spec, Mapping) and "frame" in spec)


def is_table(path: str) -> bool:
    """Whether a file of this name is read as a table."""
    return path.lower().endswith(tables.SUFFIXES)


def file_spec(spec: object) -> tuple[str, dict[str, Any]] | None:
    """The data file that a specification or a recorded name is of, and the settings in it; ``None`` of any other."""
    if isinstance(spec, os.PathLike):
        path = os.fspath(spec)
        return (path, {}) if isinstance(path, str) and path.lower().endswith(_SUFFIXES) else None
    if not isinstance(spec, str) or not (found := _FILE.fullmatch(spec)):
        return None
    return found["path"], parse_spec(f":{found['settings'] or ''}")[1]
