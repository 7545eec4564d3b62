"""Checks of chips of a device: what they let out, that it is reproducible, and that it hides what it must."""

from __future__ import annotations

import gc
import types
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numba.core import event

import noisysim.devices as devices
from noisysim.chip.chip import Chip
from noisysim.common.fields import declared
from noisysim.common.types import Floats
from noisysim.compute import execution, losses, seeding
from noisysim.compute.observation import Batch, Drive
from noisysim.conformance import noise_states
from noisysim.conformance.hooks import SEED, Hook, active_hooks, evaluate
from noisysim.conformance.moments import SIGNIFICANCE
from noisysim.conformance.report import Finding, Note, require
from noisysim.devices import files as device_files
from noisysim.devices.contract import Device
from noisysim.runs import api

SIZES, ROWS = (64, 128, 10), 2 * execution.BLOCK_ROWS + 276  # three blocks, and work enough for several threads


def _chip(device: Device, seed: int = SEED) -> Chip:
    return Chip(SIZES, device, seed=seed)


def _batch(rows: int = ROWS) -> Batch:
    rng = np.random.default_rng(SEED)
    x = rng.standard_normal((rows, SIZES[0]), np.float32)
    t = np.eye(SIZES[-1], dtype=np.float32)[rng.integers(0, SIZES[-1], rows)]
    loss: Any = losses.get("cce")
    return Batch(x, t, loss)


def _drives(rows: int) -> list[Drive]:
    rng = np.random.default_rng(SEED + 1)
    return [Drive(), Drive([0.1 * rng.standard_normal((rows, n), np.float32) for n in SIZES[1:]])]


def _activities(chip: Chip, rows: int = ROWS) -> list[Floats]:
    """What a chip lets out of two passes, a write and two more passes."""
    arrays = []
    batch, drives = _batch(rows), _drives(rows)
    for _ in range(2):
        observed = chip.passes(batch, drives)
        arrays += [a.copy() for o in observed for a in (*o.inputs, *o.activities)]
        chip.program([np.full((b, a), 0.01, np.float32) for a, b in pairwise(SIZES)])
    return arrays


def _same(some: list[Floats], others: list[Floats]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(some, others, strict=True))


def _shapes(device: Device) -> str:
    batch = _batch(7)
    observation = _chip(device).forward(batch)
    require([a.shape for a in observation.inputs] == [(7, n) for n in SIZES[:-1]], "inputs have other shapes")
    require([a.shape for a in observation.activities] == [(7, n) for n in SIZES[1:]], "activities have other shapes")
    loss = np.asarray(observation.loss)
    require(loss.shape == (7,), "the loss is not one number per sample")
    arrays = [*observation.inputs, *observation.activities, loss]
    require(all(np.isfinite(a).all() for a in arrays), "an observation is not finite")
    return "inputs, activities and loss of each layer, finite"


def _determinism(device: Device) -> str:
    first = _activities(_chip(device))
    require(_same(first, _activities(_chip(device))), "the same seed gave other bits")
    require(not _same(first, _activities(_chip(device, SEED + 1))), "another seed gave the same bits")
    chip, x = _chip(device), _batch().inputs
    chip.calibrate(x)
    first_read, second_read = (list(chip.forward(x).activities) for _ in range(2))
    if not devices.is_noisy(device):
        require(_same(first_read, second_read), "it declares no read noise, but two passes differ")
        return "same seed, same bits; two passes are the same"
    require(not _same(first_read, second_read), "it declares read noise, but two passes are the same")
    spread = float(np.std(second_read[-1] - first_read[-1])) / np.sqrt(2)
    return f"same seed, same bits; another, others; std of one read of the output {spread:.3g}"


def _threads(device: Device) -> str:
    results = []
    for count in (1, 3):
        with execution.threads(count):
            results.append(_activities(_chip(device)))
    require(_same(*results), "1 and 3 threads give other bits")
    return f"1 and 3 threads, {ROWS} rows in 3 blocks: same bits"


def _chunks(device: Device) -> str:
    whole, parts = _chip(device), _chip(device)
    x, block = _batch().inputs, execution.BLOCK_ROWS
    whole.calibrate(x)
    parts.calibrate(x)
    wanted = whole.forward(x).activities
    for at in range(0, len(x), block):
        got = parts.passes(x[at : at + block], [Drive()], first_sample=at)[0].activities
        require(_same([w[at : at + block] for w in wanted], list(got)), f"other bits from sample {at} on")
    return f"a batch in chunks of {block} rows gives the bits of the whole"


def _silence(device: Device) -> str:
    """With the declared amplitudes of read noise at zero nothing is drawn in a read, and of write noise in a write."""
    specs = declared(type(device))
    amplitudes = {kind: [n for n, f in specs.items() if f.noise == kind] for kind in ("read", "write")}
    if not any(amplitudes.values()):
        raise Note("no field declares an amplitude, Field(noise='read'): its noise cannot be switched off")
    affected = {"read": ("read_cell", "readout"), "write": ("program", "pulse", "appear")}
    for kind, names in amplitudes.items():
        if not names:
            continue
        quiet = devices.get(device, **dict.fromkeys(names, 0))
        for hook, function in active_hooks(quiet).items():
            if hook in affected[kind]:
                require(_ignores_draws(quiet, hook, function), f"with {', '.join(names)} at 0 {hook} still draws")
    if not amplitudes["read"]:
        return f"{', '.join(amplitudes['write'])} at 0: exact writes"
    quiet = devices.get(device, **dict.fromkeys(amplitudes["read"], 0))
    chip, x = _chip(quiet), _batch().inputs
    chip.calibrate(x)
    require(_same(*(list(chip.forward(x).activities) for _ in range(2))), "two passes differ all the same")
    return f"{', '.join(amplitudes['read'] + amplitudes['write'])} at 0: two passes are the same"


def _states(device: Device) -> list[Finding]:
    return [Finding(*one) for one in noise_states.in_every_state(device, SIGNIFICANCE, SEED)]


def _amplitudes(device: Device) -> list[Finding]:
    return [Finding(*one) for one in noise_states.of_every_amplitude(device, SEED)]


def _ignores_draws(device: Device, hook: str, function: Hook) -> bool:
    """Whether a hook's draws change nothing, on lines whose cells add no energy."""
    parameters = device_files.PARAMETERS[hook][:-1]
    points = [
        p for p in device_files.typical(device, function) if dict(zip(parameters, p, strict=True)).get("energy", 0) == 0
    ]
    columns = [np.array(column, np.float32) for column in zip(*points, strict=True)]
    still = [np.full_like(c, 0.5) if n in "zu" else c for n, c in zip(parameters, columns, strict=True)]
    return _same([evaluate(device, hook, function, columns)], [evaluate(device, hook, function, still)])


def _is_gone(value: object) -> bool:
    """Whether it is a weak proxy, such as compilers keep, of something that was freed: whatever asks it fails."""
    try:
        return type(value) in weakref.ProxyTypes and value.__class__ is None
    except ReferenceError:
        return True


def _reachable(*roots: Any) -> list[Any]:
    """Everything that objects lead to, bases of views and closures among it; not classes, modules and globals."""
    seen: dict[int, Any] = {}
    left = list(roots)
    while left:
        value = left.pop()
        if id(value) in seen or _is_gone(value) or isinstance(value, (type, types.ModuleType, types.CodeType)):
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray):
            left.append(value.base)
        elif isinstance(value, types.FunctionType):
            left += [*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        else:
            left += gc.get_referents(value)
    return list(seen.values())


def _hiding(device: Device) -> str:
    chip = _chip(device)
    batch = _batch(7)
    observed = [*chip.passes(batch, _drives(7)), chip.forward(batch)]
    reached, inside = _reachable(observed), _reachable(chip)
    words = {int(w) for p in ("noise", "write", "weights", "fabrication") for w in seeding.key(SEED, f"chip/{p}")}
    arrays = [v for v in inside if isinstance(v, np.ndarray) and v.size]
    for value in reached:
        require(not isinstance(value, Chip), "an observation leads to the chip")
        if isinstance(value, np.ndarray):
            require(not any(np.may_share_memory(value, a) for a in arrays), "an observation shares the chip's memory")
        elif isinstance(value, (int, np.integer)):
            require(int(value) not in {SEED, *words}, "an observation leads to a key of the chip's")
    return f"observations share no memory with the chip's {len(arrays)} arrays, and lead to none of its keys"


def _compiled_once(device: Device) -> str:
    _activities(_chip(device), 32)
    with event.install_recorder("numba:compile") as recorder:
        _activities(_chip(device), 32)
    count = sum(1 for _, one in recorder.buffer if one.is_start)
    require(not count, f"a second chip compiled {count} functions again")
    return "a second chip and its passes compile nothing"


def _record(device: Device) -> str:
    record = devices.describe(device)
    if record["name"].startswith("__main__."):
        raise Note("made in a script or a notebook: to resume a run, give the device to resume")
    require(devices.get(record) == device, "describe() gives another device")
    return f"found again as {record['name']!r}" + (f", SHA-256 {record['sha256'][:12]}" if "sha256" in record else "")


def _learning(device: Device) -> str:
    result = api.run("digits", layers=[32], device=device, learner="danp", epochs=2, seed=SEED % 1000, progress=False)
    loss = result.steps["train_loss"]
    summary = f"{len(loss)} updates of DANP on the digits: loss {loss[:5].mean():.3g} to {loss[-5:].mean():.3g}"
    if result.status != "finished" or not loss[-5:].mean() < loss[:5].mean():
        raise Note(f"{summary}: it did NOT learn ({result.status})")
    return summary


CHECKS: dict[str, Callable[[Device], str | list[Finding]]] = {
    "observations": _shapes, "determinism": _determinism, "threads": _threads, "chunks": _chunks, "noise": _states,
    "noise off": _silence, "switched on": _amplitudes, "hiding": _hiding, "compiled once": _compiled_once,
    "record": _record, "learning": _learning,
}  # fmt: skip
"""Checks by name, in order."""
