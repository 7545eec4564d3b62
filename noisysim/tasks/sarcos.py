"""SARCOS: the inverse dynamics of a robot arm."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from noisysim.common.fields import listed
from noisysim.tasks import sources
from noisysim.tasks.base import Split, Standardise, StandardiseTargets, Task, ValueLoss, make
from noisysim.tasks.rows import split_rows
from noisysim.tasks.sources import Source

DEFAULTS: dict[str, Any] = {"layers": [32, 32], "batch_size": 100, "epochs": 100}

TRAIN, TEST = "sarcos_inv.mat", "sarcos_inv_test.mat"
SARCOS = Source(
    task="sarcos",
    files={TRAIN: "", TEST: ""},
    folders=("sarcos", "."),
    url="https://gaussianprocess.org/gpml/data/",
)
N_IN, N_OUT = 21, 7
LARGEST_RATIO = 1032  # bytes that deflate can pack into one


class SarcosSettings(NamedTuple):
    """Settings of SARCOS."""

    standardise: Standardise = "feature"
    standardise_targets: StandardiseTargets = True
    loss: ValueLoss = "mse"


def read_mat(path: Path) -> Split:
    """Inputs (n, 21) and torques (n, 7), float32, of one of the two files.

    Raises
    ------
    ValueError
        If the file is damaged or holds something else.
    """
    import scipy.io

    name = path.name.removesuffix(".mat")
    try:
        shapes = {key: shape for key, shape, _ in scipy.io.whosmat(path)}
        if 8 * math.prod(shapes.get(name, ())) > LARGEST_RATIO * path.stat().st_size:
            raise ValueError(f"{name} claims to be {shapes[name]}, far more than the file can hold")
        variables = scipy.io.loadmat(path, variable_names=[name])  # others are not even unpacked
    except Exception as error:  # a damaged file can raise anything
        why = str(error).partition("\n")[0][:160]
        raise ValueError(f"{path}: not a readable MATLAB file ({why})") from None
    if name not in variables:
        raise ValueError(f"{path}: holds {listed(shapes) or 'nothing'}, no variable {name!r}")
    table = variables[name]
    numbers = isinstance(table, np.ndarray) and table.dtype.kind in "iuf"
    if not numbers or table.ndim != 2 or table.shape[1] != N_IN + N_OUT or len(table) < 2:
        raise ValueError(f"{path}: {name} is {table.dtype} {table.shape}, not numbers of shape (n, {N_IN + N_OUT})")
    if not np.isfinite(table).all():
        raise ValueError(f"{path}: {name} holds NaN or infinite values")
    return Split(table[:, :N_IN].astype(np.float32), table[:, N_IN:].astype(np.float32))


def _shared_rows(train: Split, test: Split) -> list[str]:
    """A note on test samples that are also trained on."""
    train_rows = {row.tobytes() for row in train.inputs}
    shared = sum(row.tobytes() in train_rows for row in test.inputs)
    return [f"{shared:,} of the {len(test.inputs):,} test inputs are training inputs too"] if shared else []


def load_sarcos(settings: SarcosSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """21 joint positions, velocities and accelerations to 7 joint torques; 44,484 + 4,449 samples.

    Vijayakumar and Schaal, ICML 2000. The inputs are in rad, rad/s and rad/s^2 and spread from 0.1 to 15, so each
    is standardised on its own. So are the torques (in N m) unless ``standardise_targets=False``: a chip's
    conductances, and the ranges of its converters, are bounded, and torques of +-100 are out of their reach. A loss
    of standardised torques is a fraction of variance: 3.5 is that of their mean. Published losses (Hiratani et al.
    2022; Dalm et al. 2025, appendix J) are of torques in N m: for those, ask for ``standardise_targets=False``.

    Where only one of the two files is found, it is split by one fixed permutation, 4,000 to 449, and the task's
    notes say so. The files cannot be downloaded by themselves: no checksum of them was published.
    """
    folders = sources.places(SARCOS, data)
    files = sources.find(folders, (TRAIN, TEST))
    if files:
        train, test = read_mat(files[0]), read_mat(files[1])
        return make("sarcos", [train, test], settings, DEFAULTS, notes=_shared_rows(train, test))
    paths = sources.find(folders, (TEST,)) or sources.find(folders, (TRAIN,))
    if not paths:
        raise sources.missing(SARCOS, folders, f"It is not downloaded (no checksum is known): get it from {SARCOS.url}")
    joint = read_mat(paths[0])
    n = len(joint.inputs)
    train, test = (
        Split(joint.inputs[rows], joint.targets[rows]) for rows in split_rows(n, n - 4000 * n // 4449, seed=0)
    )
    sizes = f"{len(train.inputs):,}/{len(test.inputs):,}"
    note = f"SARCOS: only the {n:,}-row file {paths[0].name} found, split {sizes} by a fixed permutation"
    return make("sarcos", [train, test], settings, DEFAULTS, notes=[note])
