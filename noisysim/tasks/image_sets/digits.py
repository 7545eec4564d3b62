"""The digits bundled with the package."""

from __future__ import annotations

import gzip
import os
from importlib import resources
from typing import Any

import numpy as np

from noisysim.tasks.base import Split, Task, make
from noisysim.tasks.images import ImageSettings
from noisysim.tasks.rows import split_rows

DEFAULTS: dict[str, Any] = {"layers": [512], "batch_size": 32, "epochs": 25, "learning_rate_decay": 0.93}


def load_digits(settings: ImageSettings, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """1,797 handwritten digits of 8 x 8 pixels (0 to 16), always split into the same 1,437 + 360.

    They are the test set of Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository (1998), doi:10.24432/C50P49, CC BY 4.0. The split is one fixed permutation
    (`noisysim.tasks.rows.split_rows` with seed 0), so a result does not depend on the run's seed through it.
    """
    packed = (resources.files("noisysim.tasks") / "data" / "digits.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode("ascii").splitlines(), np.uint8, delimiter=",")
    splits = [
        Split(np.ascontiguousarray(table[rows, :64]), table[rows, 64].astype(np.int64))
        for rows in split_rows(len(table), 360, seed=0)
    ]
    return make("digits", splits, settings, DEFAULTS, n_out=10, input_shape=(8, 8), white=16, seed=seed)
