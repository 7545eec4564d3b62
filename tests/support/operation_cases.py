"""Operations of the periphery, one of each kind, and values of their sources."""

import zlib

import numpy as np

from noisysim.networks import operations as ops

ROWS = 3
IMAGE = (4, 5, 3)
CASES = {
    "add": ops.add(1, 2, IMAGE),
    "multiply": ops.multiply(1, 2, IMAGE, IMAGE),
    "gate": ops.multiply(1, 2, IMAGE, (1, 1, 3)),
    "divide": ops.divide(1, 2, IMAGE),
    "concatenate": ops.concatenate(1, 2, IMAGE, (4, 5, 2)),
    "gather": ops.gather(1, 60, (1, 1, 8), [3, -1, 59, 3, 0, 7, -1, 21]),
    "one hot": ops.one_hot(1, 60, 4),
    "pool": ops.pool(1, IMAGE, (2, 2), (2, 2), (0, 0, 0, 0)),
    "pool, overlapping and padded": ops.pool(1, IMAGE, (3, 2), (1, 2), (2, 0, 1, 1)),
    "average": ops.average(1, IMAGE, (2, 3), (1, 2), (1, 1, 0, 1), False),
    "average, padding counted": ops.average(1, IMAGE, (2, 3), (1, 2), (1, 1, 0, 1), True),
    "average of all": ops.average(1, IMAGE, (4, 5), (4, 5), (0, 0, 0, 0), False),
    "affine": ops.affine(1, IMAGE, [0.5, -2.0, 1.0], [0.1, 0.2, 0.3]),
    "clip": ops.clip(1, IMAGE, -0.5, 0.7),
    "leak": ops.leak(1, IMAGE, 0.3),
    "layer norm": ops.normalise(1, IMAGE, 0, 1e-3),
    "group norm": ops.normalise(1, (4, 5, 4), 2, 1e-3),
    "RMS norm": ops.normalise(1, IMAGE, 0, 1e-3, scaled=True),
    "softmax": ops.softmax(1, IMAGE),
    "matmul": ops.matmul(1, 2, 2, 3, 4, 5),
}
SECOND = {"add": 60, "multiply": 60, "divide": 60, "gate": 3, "concatenate": 40, "matmul": 40}
FIRST = {"group norm": 80, "matmul": 24}


def sources(name):
    """Values of an operation's sources, float64, far enough from its kinks."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    operation = CASES[name]
    a = rng.permutation(np.linspace(-2, 2, ROWS * FIRST.get(name, 60))).reshape(ROWS, -1)
    if name == "one hot":  # one class in ten is none
        a = rng.permutation(np.arange(a.size) % 5 * (np.arange(a.size) % 10 != 9)).reshape(a.shape).astype(float)
    b = rng.standard_normal((ROWS, SECOND[name])) if name in SECOND else operation.constant().astype(float)
    if name == "divide":
        b += np.sign(b)
    return a, b
