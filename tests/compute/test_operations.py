"""Operations of the periphery: values, derivatives along a direction and back, on both backends."""

import numpy as np
import pytest
from operation_cases import CASES, IMAGE, ROWS, SECOND, sources

from noisysim.compute import backends
from noisysim.compute.rules.table import RULES

EACH = pytest.mark.parametrize("name", CASES)


def forward(operation, a, b):
    """The values, by the rule as plain Python."""
    out, g = np.zeros((ROWS, operation.size)), np.array(operation.numbers)
    for r in range(ROWS):
        for k in range(g[0]):
            RULES[operation.name].forward(r, k, a, b, out, g)
    return out


def push(operation, a, b, da, db):
    out, g = np.zeros((ROWS, operation.size)), np.array(operation.numbers)
    for r in range(ROWS):
        for k in range(g[0]):
            RULES[operation.name].push(r, k, a, b, da, db, out, g)
    return out


def pull(operation, source, a, b, s):
    rule, out, g = RULES[operation.name], np.zeros_like((a, b)[source]), np.array(operation.numbers)
    for r in range(ROWS):
        for k in range(g[1 + source]):
            (rule.pull_first, rule.pull_second)[source](r, k, a, b, s, out, g)
    return out


def directions(name, a, b, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(a.shape), rng.standard_normal(b.shape) if name in SECOND else b


@EACH
def test_changes_are_those_of_finite_differences(name):
    operation, (a, b) = CASES[name], sources(name)
    da, db = directions(name, a, b)
    step = 1e-4
    moved = [forward(operation, a + sign * da, b + sign * db if name in SECOND else b) for sign in (step, -step)]
    np.testing.assert_allclose(push(operation, a, b, da, db), (moved[0] - moved[1]) / (2 * step), atol=3e-3)


@EACH
def test_signals_come_back_by_the_transpose(name):
    """<s, J d> = <J^T s, d>, source by source."""
    operation, (a, b) = CASES[name], sources(name)
    da, db = directions(name, a, b)
    s = np.random.default_rng(2).standard_normal((ROWS, operation.size))
    for source, along in enumerate([(da, 0 * db), (0 * da, db)][: len(operation.sources)]):
        other = (along[0], along[1] if name in SECOND else b)
        expected = (s * push(operation, a, b, *other)).sum(axis=1)
        found = (pull(operation, source, a, b, s) * along[source]).sum(axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def naive(name, a, b):
    """What operations give, in NumPy's words."""
    image = a.reshape(ROWS, *IMAGE) if a.shape[1] == 60 else None
    if name == "concatenate":
        return np.concatenate([image, b.reshape(ROWS, 4, 5, 2)], axis=3)
    if name == "gather":
        places = np.array(CASES[name].numbers[3:11])
        return np.where(places < 0, 0, a[:, places])
    if name.startswith(("pool", "average")):
        return windows(name, image)
    mean = {"layer norm": image, "RMS norm": image}.get(name)
    if name == "group norm":
        parts = a.reshape(ROWS, 20, 2, 2)
        centred = parts - parts.mean(axis=(1, 3), keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=(1, 3), keepdims=True) + 1e-3)
    if mean is not None:
        centred = image - (image.mean(axis=3, keepdims=True) if name == "layer norm" else 0)
        return centred / np.sqrt((centred**2).mean(axis=3, keepdims=True) + 1e-3)
    if name == "softmax":
        return np.exp(image) / np.exp(image).sum(axis=3, keepdims=True)
    if name == "one hot":
        return a[:, :, None] == np.arange(4)
    if name == "matmul":
        return a.reshape(ROWS, 2, 3, 4) @ b.reshape(ROWS, 2, 4, 5)
    return {
        "add": lambda: a + b, "multiply": lambda: a * b, "divide": lambda: a / b,
        "gate": lambda: image * b[:, None, None],
        "affine": lambda: image * [0.5, -2.0, 1.0] + np.float32([0.1, 0.2, 0.3]),
        "clip": lambda: np.clip(a, -0.5, np.float32(0.7)), "leak": lambda: np.where(a > 0, a, np.float32(0.3) * a),
    }[name]()  # fmt: skip


def windows(name, image):
    """Maxima and means over windows."""
    (high, wide), (down, right), (top, left, bottom, end) = {
        "pool": ((2, 2), (2, 2), (0, 0, 0, 0)),
        "pool, overlapping and padded": ((3, 2), (1, 2), (2, 0, 1, 1)),
        "average of all": ((4, 5), (4, 5), (0, 0, 0, 0)),
    }.get(name, ((2, 3), (1, 2), (1, 1, 0, 1)))
    fill = 0 if name == "average, padding counted" else np.nan
    padded = np.pad(image, ((0, 0), (top, bottom), (left, end), (0, 0)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(padded, (high, wide), (1, 2))[:, ::down, ::right]
    return (np.nanmax if name.startswith("pool") else np.nanmean)(seen, axis=(4, 5))


@EACH
def test_values_are_what_they_are_called(name):
    operation, (a, b) = CASES[name], sources(name)
    np.testing.assert_allclose(forward(operation, a, b), naive(name, a, b).reshape(ROWS, -1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@EACH
def test_backends_compute_what_the_rules_say(backend, name):
    place, operation, (a, b) = backends.get(backend), CASES[name], sources(name)
    da, db = directions(name, a, b)
    s = np.random.default_rng(2).standard_normal((ROWS, operation.size))
    there = [place.put(np.ascontiguousarray(v, np.float32)) for v in (a, b, da, db, s)]
    values, changes = (place.xp.empty((ROWS, operation.size), np.float32) for _ in range(2))
    place.operations.forward(operation, *there[:2], values)
    place.operations.push(operation, *there[:4], changes)
    np.testing.assert_allclose(place.take(values), forward(operation, a, b), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(place.take(changes), push(operation, a, b, da, db), rtol=2e-4, atol=2e-4)
    for source in range(len(operation.sources)):
        back = place.xp.empty((ROWS, (a, b)[source].shape[1]), np.float32)
        place.operations.pull(operation, source, *there[:2], there[4], back)
        np.testing.assert_allclose(place.take(back), pull(operation, source, a, b, s), rtol=2e-4, atol=2e-4)
