"""Conformance: what any device must do, checked on one, and what it does, measured.

python -m noisysim.conformance my_chip.py
noisysim.conformance.check("my_chip.py:amplitude=0.1").raise_on_failure()
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numba
import numpy as np
from numba.core import event

import noisysim.devices as devices
from noisysim.chip.chip import Chip
from noisysim.common.fields import declared
from noisysim.common.source import attributes
from noisysim.compute import execution, losses, seeding
from noisysim.compute.jit import compile_errors
from noisysim.compute.observation import Batch, Drive
from noisysim.conformance import noise_states
from noisysim.devices import field_groups
from noisysim.devices import files as device_files
from noisysim.runs import api

SIGNIFICANCE = 1e-4
"""Chance that a device which obeys its laws fails their test: of all its moments together (Bonferroni)."""
DRAWS = 200_000
SEED = 20_260_101
SIZES, ROWS = (64, 128, 10), 2 * execution.BLOCK_ROWS + 276  # three blocks, and work enough for several threads
_FLOAT32 = 1e-6  # relative: a few roundings of a float32
_DRAWN = {
    "program": ("g",), "pulse": ("g", "up"), "read_cell": ("g",), "readout": ("i", "energy"),
}  # fmt: skip
"""Hooks whose moments a device may declare, and what the laws take."""


class Finding(NamedTuple):
    """What one check found; `passed` is None where there was nothing to pass."""

    check: str
    passed: bool | None
    said: str


class Report:
    """What the suite found on one device.

    Attributes
    ----------
    device : str
        Its name and settings.
    findings : list of Finding
    """

    def __init__(self, device: str):
        self.device = device
        self.findings: list[Finding] = []

    @property
    def failures(self) -> list[Finding]:
        """The checks that failed."""
        return [finding for finding in self.findings if finding.passed is False]

    def raise_on_failure(self) -> None:
        """Raise an AssertionError that names every failure, if there is one."""
        if self.failures:
            said = "; ".join(f"{finding.check}: {finding.said}" for finding in self.failures)
            raise AssertionError(f"device {self.device} fails {len(self.failures)} checks: {said}")

    def print(self) -> None:
        """Print a table of the findings."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        marks = {True: Text("ok", "green"), False: Text("FAILS", "bold red"), None: Text("-", "dim")}
        table = Table("check", "", "what was found", box=None, pad_edge=False, header_style="bold")
        for check, passed, said in self.findings:
            table.add_row(check, marks[passed], Text(said))
        console = Console(width=None if sys.stdout.isatty() else 160)
        console.print(Text(self.device, "bold"))
        console.print(table)
        count = len(self.failures)
        console.print(f"{count} of {len(self.findings)} checks failed" if count else "conforms")


class _Failure(Exception):
    """A check's finding that the device does not conform."""


class _Note(Exception):
    """A check's finding where there is nothing to pass."""


def check(device: Any) -> Report:
    """Run the suite.

    Parameters
    ----------
    device : str, path, mapping or device
        As for `noisysim.devices.get`, whose errors are raised.

    Returns
    -------
    Report
    """
    device = devices.get(device)
    settings = ", ".join(f"{name}={value!r}" for name, value in devices.changes(device).items())
    report = Report(devices.name_of(device) + (f"({settings})" if settings else ""))
    for name, function in {**_FIRST, **_SUITE}.items():
        _try(report, name, function, device)
        if report.failures and name in _FIRST:  # nothing of it runs
            break
    return report


def _try(report: Report, name: str, function: Callable[[Any], Any], device: Any) -> None:
    """Add what one check found; one that measures several things gives a list of findings."""
    try:
        said = function(device)
        found = said if isinstance(said, list) else [Finding(name, True, said)]
    except _Note as note:
        found = [Finding(name, None, str(note))]
    except Exception as error:
        cause = error if isinstance(error, _Failure) else compile_errors.explain(device, error)
        kind = "" if isinstance(cause, (_Failure, devices.DeviceError)) else f"{type(cause).__name__}: "
        found = [Finding(name, False, kind + " ".join(str(cause).split()))]
    report.findings += found


def _require(condition: Any, said: str) -> None:
    if not condition:
        raise _Failure(said)


def _own(device: Any) -> dict[str, Callable]:
    """The hooks that a device defines and its fields leave on, in order."""
    found, own = devices.hooks(device), devices.own_hooks(device)
    return {hook: found[hook] for hook in devices.HOOKS if hook in own}


# --- the hooks ------------------------------------------------------------------------------------------------------


def _hooks(device: Any) -> str:
    own = _own(device)
    space = vars(sys.modules[type(device).__module__])
    idle = [hook for hook in devices.HOOKS if callable(space.get(hook)) and hook not in own]
    return (", ".join(own) or "none: exact hardware") + (f" (switched off: {', '.join(idle)})" if idle else "")


def _signatures(device: Any) -> str:
    device_files.examine(type(device))
    return "as documented"


def _fields(device: Any) -> str:
    """Whether something reads each field: a hook, ``check`` or ``tables``, the chip, or another field's declaration."""
    space, specs = vars(sys.modules[type(device).__module__]), declared(type(device))
    functions = [space.get(name) for name in (*devices.HOOKS, "check", "tables")]
    known = attributes(*(f for f in functions if isinstance(f, types.FunctionType)))
    known |= {
        name
        for part in (field_groups.Array, field_groups.Faults, field_groups.Clock, field_groups.Pulses)
        for name in part._fields
    }
    known |= {"g_min", "g_max", "drift_start", "dac_range", "adc_range"}
    known |= {f.spread.by for f in specs.values() if f.spread}
    idle = [name for name in specs if name not in known]
    if idle:
        raise _Note(f"nothing reads {', '.join(idle)}: without effect")
    return "each is read by something" if specs else "none"


def _compiles(device: Any) -> str:
    for hook, function in _own(device).items():
        compile_errors.compiled(device, hook, function)
    return f"{len(_own(device))} of {len(_own(device))}, each by itself"


def _scalar(device: Any) -> str:
    device_files.try_hooks(device, _own(device))
    tried = 0
    for hook, function in _own(device).items():
        arguments = list(device_files.typical(device, function))
        columns = [np.repeat(column, 64) for column in zip(*arguments, strict=True)]
        for name, column in zip(device_files.taken(function), columns, strict=False):
            if name in "zu":
                column[:] = _draws(name, len(column), tried)
        values = _evaluate(device, hook, function, columns)
        _require(np.isfinite(values).all(), f"compiled, {hook} gives {values[~np.isfinite(values)][:1]}")
        tried += len(values)
    return f"one finite number at all of {tried:,} points" if tried else "no hooks"


def _draws(name: str, count: int, seed: int) -> np.ndarray:
    """(count,) float32 draws of a hook's argument: z normal, u uniform within (0, 1)."""
    rng = np.random.default_rng((SEED, seed))
    if name == "z":
        return rng.standard_normal(count, np.float32)
    return (rng.integers(0, 1 << 23, count) + np.float32(0.5)) / np.float32(1 << 23)


def _numbers(device: Any) -> Any:
    """The numbers that a device's hooks are given; a calibrated converter's full scale is 1."""
    fields = device_files.scalars(device)
    if fields.get("adc_range") == 0:
        fields["adc_range"] = np.float32(1)
    return type(device)(**fields)


def _evaluate(device: Any, hook: str, function: Callable, columns: Iterable[np.ndarray]) -> np.ndarray:
    """A compiled hook at many points: a float32 column for each of its arguments but the device's numbers."""
    columns = [np.ascontiguousarray(column, np.float32) for column in columns]
    out = np.empty(len(columns[0]), np.float32)
    cls: Any = type(device)
    _loop(cls, hook, function)(out, *columns, _numbers(device))
    return out


@cache
def _loop(cls: Any, hook: str, function: Callable) -> Callable:
    """A compiled loop over the points of a hook."""
    names = [f"a{k}" for k in range(len(device_files.taken(function)) - 1)]
    taken = ", ".join(f"{name}[k]" for name in names)
    source = f"def loop(out, {', '.join(names)}, d):\n for k in range(out.size):\n  out[k] = hook({taken}, d)"
    space: dict[str, Any] = {"hook": compile_errors.compiled(cls(), hook, function)}
    exec(source, space)  # numba has no loop over a varying number of arguments
    return numba.njit(space["loop"])


# --- moments --------------------------------------------------------------------------------------------------------


def _moments(device: Any) -> list[Finding]:
    """Mean and variance of what the hooks draw, against the declared laws."""
    laws, own = devices.laws(device), _own(device)
    points = {hook: _points(device, hook) for hook in _DRAWN if hook in own}
    tests = 2 * sum(len(at) for hook, at in points.items() if f"{hook}_law" in laws)
    found = []
    for hook, at in points.items():
        law = laws.get(f"{hook}_law")
        draws = [_drawn(device, hook, own[hook], point) for point in at]
        if law is None:
            middle = len(at) // 2
            said = f"mean {draws[middle].mean():.4g}, std {draws[middle].std():.3g} at {_spelt(hook, at[middle])}"
            found.append(Finding(f"moments: {hook}", None, f"no law declared; measured {said}"))
            continue
        known = device._replace(adc_range=1.0) if getattr(device, "adc_range", None) == 0 else device
        seen = {point: _against(law(*point, known), x, tests) for point, x in zip(at, draws, strict=True)}
        wrong = [f"at {_spelt(hook, point)} {said}" for point, said in seen.items() if said]
        right = f"as {hook}_law says at {len(at)} points, {DRAWS:,} draws each"
        said = f"{wrong[0]} ({len(wrong)} of {len(at)} points)" if wrong else right
        found.append(Finding(f"moments: {hook}", not wrong, said))
    return found or [Finding("moments", None, "no hook draws")]


def _points(device: Any, hook: str) -> list[tuple[float, ...]]:
    """Where a hook's moments are measured: inside the range of a cell, up and down, lines with and without energy."""
    low, high = getattr(device, "g_min", 0.0), getattr(device, "g_max", 25.0)
    g = [low + share * (high - low) for share in (0.25, 0.5, 0.75)]
    if hook == "pulse":
        return [(one, up) for one in g for up in (1.0, -1.0)]
    if hook == "readout":
        return [(i, energy) for i in (-0.5, 0.0, 0.5) for energy in (0.0, 1e-4)]
    return [(one,) for one in g]


def _spelt(hook: str, point: tuple[float, ...]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in zip(_DRAWN[hook], point, strict=True))


def _drawn(device: Any, hook: str, function: Callable, point: tuple[float, ...]) -> np.ndarray:
    """(DRAWS,) float64 results of a hook at one point; a cell's state is drawn from where its jumps settle."""
    given = dict(zip(_DRAWN[hook], point, strict=True))
    columns = []
    for k, name in enumerate(device_files.PARAMETERS[hook][:-1]):
        if name in given:
            columns.append(np.full(DRAWS, given[name], np.float32))
        elif name == "s":
            columns.append(_settled(device))
        else:
            columns.append(_draws(name, DRAWS, k))
    return _evaluate(device, hook, function, columns).astype(float)


def _settled(device: Any) -> np.ndarray:
    """(DRAWS,) states of cells that had all the time there is to jump."""
    states, own = np.zeros(DRAWS, np.float32), _own(device)
    if "jump" in own:
        for again in range(3):
            columns = [states, _draws("u", DRAWS, 100 + again), np.full(DRAWS, 1e12, np.float32)]
            states = _evaluate(device, "jump", own["jump"], columns)
    return states


def _against(law: tuple[float, float], x: np.ndarray, tests: int) -> str:
    """How far the moments of a sample are from a law's; "" if within what chance and float32 explain.

    The variance's standard error is taken from the sample's fourth moment, so no normality is assumed.
    """
    from scipy.stats import norm

    mean, std = map(float, law)
    quantile = norm.isf(SIGNIFICANCE / tests / 2)
    rounding = _FLOAT32 * max(abs(mean), abs(std), float(np.abs(x).max()))
    centred = x - x.mean()
    variance, fourth = float(np.mean(centred**2)), float(np.mean(centred**4))
    slack = quantile * np.sqrt(variance / len(x)) + rounding
    if not abs(x.mean() - mean) <= slack:
        return f"the mean is {x.mean():.6g}, the law's {mean:.6g} (tolerance {slack:.2g})"
    slack = quantile * np.sqrt(max(fourth - variance**2, 0.0) / len(x)) + rounding * (2 * abs(std) + rounding)
    if not abs(variance - std**2) <= slack:
        return f"the std is {np.sqrt(variance):.6g}, the law's {std:.6g}"
    return ""


# --- the chip -------------------------------------------------------------------------------------------------------


def _chip(device: Any, seed: int = SEED) -> Chip:
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


def _activities(chip: Chip, rows: int = ROWS) -> list[np.ndarray]:
    """What a chip lets out of two passes, a write and two passes more."""
    found = []
    batch, drives = _batch(rows), _drives(rows)
    for _ in range(2):
        observed = chip.passes(batch, drives)
        found += [a.copy() for o in observed for a in (*o.inputs, *o.activities)]
        chip.program([np.full((b, a), 0.01, np.float32) for a, b in pairwise(SIZES)])
    return found


def _same(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(some, others, strict=True))


def _shapes(device: Any) -> str:
    batch = _batch(7)
    observation = _chip(device).forward(batch)
    _require([a.shape for a in observation.inputs] == [(7, n) for n in SIZES[:-1]], "inputs have other shapes")
    _require([a.shape for a in observation.activities] == [(7, n) for n in SIZES[1:]], "activities have other shapes")
    loss = np.asarray(observation.loss)
    _require(loss.shape == (7,), "the loss is not one number a sample")
    arrays = [*observation.inputs, *observation.activities, loss]
    _require(all(np.isfinite(a).all() for a in arrays), "an observation is not finite")
    return "inputs, activities and loss of each layer, finite"


def _determinism(device: Any) -> str:
    first = _activities(_chip(device))
    _require(_same(first, _activities(_chip(device))), "the same seed gave other bits")
    _require(not _same(first, _activities(_chip(device, SEED + 1))), "another seed gave the same bits")
    chip, x = _chip(device), _batch().inputs
    chip.calibrate(x)
    once, again = (list(chip.forward(x).activities) for _ in range(2))
    if not devices.is_noisy(device):
        _require(_same(once, again), "it declares no read noise, but two passes differ")
        return "same seed, same bits; two passes are the same"
    _require(not _same(once, again), "it declares read noise, but two passes are the same")
    spread = float(np.std(again[-1] - once[-1])) / np.sqrt(2)
    return f"same seed, same bits; another, others; std of one read of the output {spread:.3g}"


def _threads(device: Any) -> str:
    found = []
    for count in (1, 3):
        with execution.threads(count):
            found.append(_activities(_chip(device)))
    _require(_same(*found), "1 and 3 threads give other bits")
    return f"1 and 3 threads, {ROWS} rows in 3 blocks: same bits"


def _chunks(device: Any) -> str:
    whole, parts = _chip(device), _chip(device)
    x, block = _batch().inputs, execution.BLOCK_ROWS
    whole.calibrate(x)
    parts.calibrate(x)
    wanted = whole.forward(x).activities
    for at in range(0, len(x), block):
        got = parts.passes(x[at : at + block], [Drive()], first_sample=at)[0].activities
        _require(_same([w[at : at + block] for w in wanted], list(got)), f"other bits from sample {at} on")
    return f"a batch in chunks of {block} rows gives the bits of the whole"


def _silence(device: Any) -> str:
    """With the declared amplitudes of read noise at zero nothing is drawn in a read, and of write noise in a write."""
    specs = declared(type(device))
    amplitudes = {kind: [n for n, f in specs.items() if f.noise == kind] for kind in ("read", "write")}
    if not any(amplitudes.values()):
        raise _Note("no field declares an amplitude, Field(noise='read'): its noise cannot be switched off")
    affected = {"read": ("read_cell", "readout"), "write": ("program", "pulse")}
    for kind, names in amplitudes.items():
        if not names:
            continue
        quiet = devices.get(device, **dict.fromkeys(names, 0))
        for hook, function in _own(quiet).items():
            if hook in affected[kind]:
                _require(_deaf(quiet, hook, function), f"with {', '.join(names)} at 0 {hook} still draws")
    if not amplitudes["read"]:
        return f"{', '.join(amplitudes['write'])} at 0: exact writes"
    quiet = devices.get(device, **dict.fromkeys(amplitudes["read"], 0))
    chip, x = _chip(quiet), _batch().inputs
    chip.calibrate(x)
    _require(_same(*(list(chip.forward(x).activities) for _ in range(2))), "two passes differ all the same")
    return f"{', '.join(amplitudes['read'] + amplitudes['write'])} at 0: two passes are the same"


def _states(device: Any) -> list[Finding]:
    return [Finding(*one) for one in noise_states.in_every_state(device, SIGNIFICANCE, SEED)]


def _amplitudes(device: Any) -> list[Finding]:
    return [Finding(*one) for one in noise_states.of_every_amplitude(device, SEED)]


def _deaf(device: Any, hook: str, function: Callable) -> bool:
    """Whether a hook's draws change nothing, on lines whose cells add no energy."""
    parameters = device_files.PARAMETERS[hook][:-1]
    points = [
        p for p in device_files.typical(device, function) if dict(zip(parameters, p, strict=True)).get("energy", 0) == 0
    ]
    columns = [np.array(column, np.float32) for column in zip(*points, strict=True)]
    still = [np.full_like(c, 0.5) if n in "zu" else c for n, c in zip(parameters, columns, strict=True)]
    return _same([_evaluate(device, hook, function, columns)], [_evaluate(device, hook, function, still)])


def _reachable(*roots: Any) -> list[Any]:
    """Everything that objects lead to, bases of views and closures among it; not classes, modules and globals."""
    seen: dict[int, Any] = {}
    left = list(roots)
    while left:
        value = left.pop()
        if id(value) in seen or isinstance(value, (type, types.ModuleType, types.CodeType)):
            continue
        seen[id(value)] = value
        if isinstance(value, np.ndarray):
            left.append(value.base)
        elif isinstance(value, types.FunctionType):
            left += [*(value.__closure__ or ()), *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        else:
            left += gc.get_referents(value)
    return list(seen.values())


def _hiding(device: Any) -> str:
    chip = _chip(device)
    batch = _batch(7)
    observed = [*chip.passes(batch, _drives(7)), chip.forward(batch)]
    found, inside = _reachable(observed), _reachable(chip)
    words = {int(w) for p in ("noise", "write", "weights", "fabrication") for w in seeding.key(SEED, f"chip/{p}")}
    arrays = [v for v in inside if isinstance(v, np.ndarray) and v.size]
    for value in found:
        _require(not isinstance(value, Chip), "an observation leads to the chip")
        if isinstance(value, np.ndarray):
            _require(not any(np.may_share_memory(value, a) for a in arrays), "an observation shares the chip's memory")
        elif isinstance(value, (int, np.integer)):
            _require(int(value) not in {SEED, *words}, "an observation leads to a key of the chip's")
    return f"observations share no memory with the chip's {len(arrays)} arrays, and lead to none of its keys"


def _compiled_once(device: Any) -> str:
    _activities(_chip(device), 32)
    with event.install_recorder("numba:compile") as recorder:
        _activities(_chip(device), 32)
    count = sum(1 for _, one in recorder.buffer if one.is_start)
    _require(not count, f"a second chip compiled {count} functions again")
    return "a second chip and its passes compile nothing"


def _record(device: Any) -> str:
    said = devices.describe(device)
    if said["name"].startswith("__main__."):
        raise _Note("made in a script or a notebook: to go on with a run, give it to resume again")
    _require(devices.get(said) == device, "what describe() says is another device")
    return f"found again as {said['name']!r}" + (f", SHA-256 {said['sha256'][:12]}" if "sha256" in said else "")


def _learning(device: Any) -> str:
    result = api.run("digits", layers=[32], device=device, learner="danp", epochs=2, seed=SEED % 1000, progress=False)
    loss = result.steps["train_loss"]
    said = f"{len(loss)} updates of DANP on the digits: loss {loss[:5].mean():.3g} to {loss[-5:].mean():.3g}"
    if result.status != "finished" or not loss[-5:].mean() < loss[:5].mean():
        raise _Note(f"{said}: it did NOT learn ({result.status})")
    return said


_FIRST: dict[str, Callable[[Any], Any]] = {
    "hooks": _hooks, "signatures": _signatures, "fields": _fields, "compile": _compiles, "finite scalars": _scalar,
}  # fmt: skip
_SUITE: dict[str, Callable[[Any], Any]] = {
    "moments": _moments, "observations": _shapes, "determinism": _determinism, "threads": _threads,
    "chunks": _chunks, "noise": _states, "noise off": _silence, "switched on": _amplitudes, "hiding": _hiding,
    "compiled once": _compiled_once, "record": _record, "learning": _learning,
}  # fmt: skip


def main(words: list[str]) -> int:
    """Check the device that a command line names; the exit status."""
    if len(words) != 1 or words[0] in ("-h", "--help"):
        print(
            "python -m noisysim.conformance DEVICE: a name or a device file, with settings (my_chip.py:amplitude=0.1)"
        )
        return 0 if words[:1] in (["-h"], ["--help"]) else 2
    try:
        report = check(words[0])
    except (ValueError, TypeError, OSError) as error:
        print(f"noisysim: {error}", file=sys.stderr)
        return 1
    report.print()
    return 1 if report.failures else 0
