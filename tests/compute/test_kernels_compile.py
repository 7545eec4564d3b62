"""Every CUDA kernel compiles for a GPU (NVVM, sm_90), and computes in float32 where nothing else is meant.

No GPU is needed: chips, learners and tasks run in a Python of their own, with the simulator's stand-in for CuPy and
numba-cuda as it is, but a launch compiles its kernel for the arguments it got and computes nothing. The cases: each
device of the package, kinds of chips that have every hook and flag between them, users' devices, each learner,
optimizer, loss, activation function and form of data.

Kernels that differ in a device's hooks alone are compiled whole with so many devices that every flag has both values,
and the hooks of the others by themselves; ``--thorough`` compiles every kernel for every device.
"""

import importlib.util
import json
import os
import pkgutil
import re
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from noisysim import batch_norm, conv, devices, dropout, learners, pool, recurrent
from noisysim.learners import optimizers
from noisysim.networks.activations import ACTIVATIONS
from noisysim.networks.recurrent_kinds import GATES

CELL_DEVICE = Path(__file__).parents[1] / "support" / "cell_device.py"
IMAGES = [conv(3, 3, padding=1, activation="tanh"), batch_norm(), pool(2, 1), dropout(0.3), conv(4, 2), 5]
TILES = {"tile_rows": 20, "tile_columns": 4}
SPREADS = {f"{c}_spread": 0.05 for c in ("dac_gain", "dac_offset", "adc_gain", "adc_offset")}
DRIFTS = {"drift_nu": 0.05, "drift_nu_spread": 0.3, "flicker_noise": 0.05, "temperature_coefficient": 1e-3}
CROSSBARS = {
    "drift and own lines": {**TILES, **SPREADS, **DRIFTS, "compensation": 1, "stuck_low": 0.1, "iv_curve": 1.5},
    "telegraph noise": {"telegraph": 0.1, "telegraph_spread": 0.2, "tau_capture": 0.3, "tau_emission": 0.1},
    "wires": {**TILES, **DRIFTS, "wire_resistance": 5.0, "nodal": 0, "retention": 1e6, "activation_energy": 0.2},
    "wires solved": {"wire_resistance": 5.0, "nodal": 1, "bandwidth": 1e6, "fano": 0.3, "dead_rows": 0.1},
    "no noise": {"read_noise": 0.0, "line_noise": 0.0, "program_noise": 0.0},
}
USERS = {
    "functions": '''
"""What NumPy, math and Python offer."""
import math
from typing import Annotated, NamedTuple

import numpy as np

from noisysim.common.fields import Field

HALF, ONE = np.float32(0.5), np.float32(1)
CURVE = np.ones(2, np.float32)


class Users(NamedTuple):
    gain: Annotated[float, Field("", 0, 2)] = 1.5
    noise: Annotated[float, Field("", 0, 1, noise="read")] = 0.1


def tables(d):
    return {"CURVE": d.gain * np.arange(5)}


def _bend(x):
    return CURVE[int(min(abs(x), ONE))] + np.tanh(x) * math.tanh(x) + math.atan(x)


def dac(v, d):
    return np.rint(v * d.gain) / d.gain + np.floor(v) + np.ceil(v) + np.trunc(v)


def current(v, d):
    return np.sinh(v) + np.cbrt(v) + np.exp2(v) + np.expm1(v) + np.log1p(abs(v)) + np.log(ONE + np.abs(v))


def adc(i, d):
    if i > d.gain:
        return d.gain + np.sqrt(i - d.gain)
    elif i < -d.gain:
        return -d.gain
    return max(min(i, d.gain), -d.gain, -HALF * d.gain)


def readout(i, energy, z, u, d):
    noise = d.noise * np.sqrt(np.exp(-abs(i))) * z + np.power(u, d.gain) + z**2
    return i + noise if np.isfinite(noise) and u < HALF else _bend(i)
''',
    "plain numbers": '''
from typing import NamedTuple

class Plain(NamedTuple):
    """Of Python's numbers, which are double: they compile."""
    amplitude: float = 0.05
    duty: float = 0.1

def readout(i, energy, z, u, d):
    return i + 0.5 * d.amplitude * (u < d.duty) + z / 3
''',
}
"""Files of devices."""
AGES = "a cell's age is the difference of two times of a clock that runs for years"
SUMS, GROUPED = "sums over a group's members", {"add", "div", "fma", "mul", "rcp", "selp", "sqrt", "sub"}
LOSSES = "a small perturbation changes a loss by less than float32 resolves"
JUDGED = {"add", "fma", "max", "mul", "neg", "rcp", "selp", "setp", "sub"}
DOUBLE = {
    "age_cells": ({"sub"}, AGES),
    "modify_cells": ({"sub"}, AGES),
    "pulse_cells": ({"sub"}, AGES),
    "mean_cells": ({"sub"}, AGES),
    "step_cells": ({"sub"}, AGES),
    "train_cells": ({"sub"}, AGES),
    "wire_cells": ({"sub"}, AGES),
    "write_cells": ({"sub"}, AGES),
    "bit_lines": ({"add", "div", "fma", "rcp"}, "rounding adds up along a line"),
    "word_lines": ({"div", "fma", "mul", "rcp"}, "rounding adds up along a line"),
    "forward": (GROUPED, SUMS),
    "push": (GROUPED, SUMS),
    "pull_first": (GROUPED, SUMS),
    "draw_trains": ({"abs", "div", "mul", "selp", "setp", "sqrt"}, "probabilities in steps of 2^-32"),
    "pack": ({"mul"}, "factors are ratios of losses, which are float64"),
    "share_all": ({"div", "mul", "selp", "setp"}, "shares are ratios of losses, which are float64"),
    "share_by_distance": ({"add", "div", "mul", "setp", "sub"}, "losses, and sums over all units"),
    "distances": ({"add"}, "sums over all units"),
    "cross_entropy": (JUDGED, LOSSES),
    "cross_entropy_error": (JUDGED, LOSSES),
    "squared_error": ({"add", "fma", "mul", "sub"}, LOSSES),
}
"""Kernel -> what it does in float64, as PTX names it, and why."""
MOVES, DOUBLES = {"ld", "st", "mov", "cvt"}, re.compile(r"^\s+(?:@!?%p\d+\s+)?([a-z]+)\.[a-z0-9.]*f64\s", re.MULTILINE)
PART = re.compile(r"noisysim.*cuda[._]kernels[._]([a-z_]+?)(_[0-9a-f]{24})?")
"""Names of modules of kernels: which, and of those that are made for a device a hash."""
FOUND = "found.json"
WHOLE = ("share", "work", "work_along", "work_first", "work_second")
"""Names of functions each of which has kernels of its own: those are compiled whole."""
FREE = "plain numbers"
"""The user's device whose hooks mean float64."""


# --- in a Python of its own -------------------------------------------------------------------------------------------


def cases(folder):
    """What is compiled: name -> function."""
    sys.path.append(str(CELL_DEVICE.parent))
    import operation_cases

    import noisysim
    from noisysim import Chip, Drive, tasks
    from noisysim.compute import losses
    from noisysim.compute.factors import Factors
    from noisysim.compute.observation import Batch
    from noisysim.compute.protocols import Term
    from noisysim.tasks.noise import InputNoise

    rng, place = np.random.default_rng(0), noisysim.compute.backends.get("cuda")
    x, labels = rng.standard_normal((24, 2, 6, 5)).astype(np.float32), np.arange(24) % 3
    bench = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("bench", CELL_DEVICE))
    spec.loader.exec_module(bench)

    def live(device, form=True, scaling="fixed", seed=0, **settings):
        """All that a chip can be asked for."""
        device, rows = devices.get(device, **settings), 4
        net = [x.shape[1:], *IMAGES, 3]
        chip = Chip(net, device, decorrelate=form, bias=True, backend="cuda", weight_scaling=scaling, seed=seed)

        def draws(shapes):
            return [place.put(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]

        net = chip.network
        weights = [place.put(np.zeros(shape, np.float32)) for shape in net.shapes]
        lines = draws(net.line_shape(layer, rows) for layer in range(net.depth))
        outputs = [*draws(net.output_shape(layer, rows) for layer in range(net.depth - 1)), None]
        drives = [Drive(), Drive(lines, outputs), Drive(weights=weights, output_error=True)]
        batch = Batch(x[:rows].reshape(rows, -1), np.eye(3, dtype=np.float32)[labels[:rows]], losses.get("cce"))
        seen = chip.passes(batch, drives, training=True)
        chip.program(weights)
        chip.wait(100.0)
        chip.passes(batch, drives)
        chip.decorrelate(seen[0].inputs, 0.01)
        if "targets" in chip.offers:
            chip.normalise()

    def in_array(device, rows=4, **settings):
        """An update that the array does by itself."""
        device = devices.get(device, update="pulse_trains", **settings)
        chip = Chip([x.shape[1:], *IMAGES, 3], device, bias=True, backend="cuda", seed=0)
        layers = list(zip(chip.network.positions, chip.network.shapes, strict=True))
        driven, signals = (
            [place.put(np.ones((rows, positions, shape[side]), np.float32)) for positions, shape in layers]
            for side in (1, 0)
        )
        factors = Factors([Term(place.put(np.ones(rows)), signals)], driven, (), 1)
        chip.descend(factors, lambda: optimizers.get("sgd").step({}, 0.1))

    def operate(name):
        """An operation of the periphery: values, and derivatives along and back."""
        from noisysim.compute.cuda import operations

        operation = operation_cases.CASES[name]
        a, b = (place.put(given.astype(np.float32)) for given in operation_cases.sources(name))
        out = place.put(np.zeros((len(a), operation.size), np.float32))
        operations.forward(operation, a, b, out)
        operations.push(operation, a, b, a, b, out)
        for source, to in enumerate((a, b)[: len(operation.sources)]):
            operations.pull(operation, source, a, b, out, to)

    def train(task=(x, labels), **settings):
        """A run."""
        settings = {"layers": IMAGES, "device": "ideal", "epochs": 1, "batch_size": 8, "chips": 2, **settings}
        noisysim.run(task, **settings, backend="cuda", progress=False)

    flat, values = x.reshape(24, -1), rng.standard_normal((24, 3)).astype(np.float32)
    found = {f"device {name}": (live, name, {}) for name in devices.BUILT_IN}
    copy = "crossbar:controller=copy"
    found |= {f"crossbar, {name}": (live, copy, given) for name, given in CROSSBARS.items()}
    found |= {
        f"bench, {name}": (live, str(CELL_DEVICE), given) for name, given in {**bench.KINDS, **bench.CONTROLLED}.items()
    }
    for name, text in USERS.items():
        path = Path(folder, name.replace(" ", "_") + ".py")
        path.write_text(text)
        found[f"user's device, {name}"] = live, str(path), {}
    found |= {f"learner {name}": (train, (x, labels), {"learner": name}) for name in learners.names()}
    found |= {f"optimizer {name}": (train, (x, labels), {"optimizer": name}) for name in optimizers.names()}
    for name in ACTIVATIONS:
        found[f"activation {name}"] = train, (flat, labels), {"activation": name, "layers": [5], "learner": "dfa"}
    found["values"] = train, (flat, values), {"layers": [5], "diagnostics": ["angle"], "chips": 1}
    for name in ("pulses", "pulsed pairs"):
        for kind, given in {"trains": {}, "pulses of any size": {"pulse_step": 0.0}}.items():
            found[f"bench, {name}, {kind}"] = in_array, str(CELL_DEVICE), {**bench.KINDS[name], **given}
    found["rram_gong, trains"] = in_array, "rram_gong", {}
    found["scales, turned updates"] = live, "crossbar", {"form": "updates", "scaling": "column"}
    found["scales, compensated weights"] = live, copy, {"form": "compensated", "scaling": "array"}
    found["one chip, counted apart"] = live, "crossbar", {"seed": [1]}
    found |= {f"operation {name}": (operate, name, {}) for name in operation_cases.CASES}
    series = rng.standard_normal((24, 1, 5, 2)).astype(np.float32)
    for kind in GATES:
        found[f"recurrence {kind}"] = train, (series, labels), {"layers": [recurrent(4, kind)], "learner": "bp"}
    found["bytes"] = train, (np.abs(flat).astype(np.uint8), labels), {"layers": [5]}
    noisy = replace(tasks.get((flat, values)), noise=InputNoise(0.1, (np.uint32(1), np.uint32(2))))
    found["noise"] = train, noisy, {"layers": [5]}
    return found


class Launch:
    """Stands for a kernel with a configuration: a call compiles the kernel for these arguments."""

    made: ClassVar[dict[tuple, tuple[str, list[str]]]] = {}  # (module, kernel, types) -> case, float64's operations
    hooks: ClassVar[dict[tuple, tuple[str, list[str]]]] = {}  # (hook, its code) -> the same
    types: ClassVar[dict[tuple, tuple]] = {}  # of what a hook of so many arguments takes
    covered: ClassVar[set[tuple]] = set()  # by the kernels that were compiled whole
    seen: ClassVar[set[tuple]] = set()  # the keys of `made`, and of what was left to hooks
    failed: ClassVar[dict[str, str]] = {}  # case -> why
    case = ""
    every = False  # whether to compile what adds nothing to these

    def __init__(self, kernel):
        self.kernel = kernel

    def __call__(self, *arguments):
        """Compile it, if that has not been done, or the hooks that are new in it."""
        function = self.kernel.py_func
        values = [a.view(np.ndarray) if isinstance(a, np.ndarray) else a for a in arguments]
        given = tuple(map(self.kernel.typeof_pyval, values))
        key = function.__module__, function.__name__, given
        if key in self.seen:
            return
        self.seen.add(key)
        named = reached(function)
        hooks = {name: value for name, value in named.items() if is_scalar(value)}
        adds = options(function, given, named) - self.covered
        if adds or self.every:
            self.covered |= adds
            self.compile(function, given, self.made, key)
            for name, hook in hooks.items():
                if hook.overloads:  # a flag may keep it out
                    self.types[name, arity(hook)] = next(iter(hook.overloads))
                    self.hooks.setdefault((name, hook.py_func.__code__), (self.case, []))
        for name, hook in hooks.items():
            one = name, hook.py_func.__code__
            if one not in self.hooks and (name, arity(hook)) in self.types:
                types = tuple(given[-1] if is_numbers(t) else t for t in self.types[name, arity(hook)])
                self.compile(hook.py_func, types, self.hooks, one, device=True)

    def compile(self, function, types, made, key, **options):
        """Compile a function, and note what it computes in float64."""
        from numba import cuda

        made[key] = self.case, []
        try:
            ptx, _ = cuda.compile_ptx(function, types, cc=(9, 0), **options)
        except Exception as error:  # one at a time: the case goes on
            self.failed[f"{self.case}: {function.__name__}"] = str(error)
        else:
            made[key][1][:] = sorted(set(DOUBLES.findall(ptx)) - MOVES)


def reached(function):
    """What a kernel names of its module, itself and by the functions that it calls, but for what hooks name."""
    found, pending = {}, [function]
    while pending:
        plain = pending.pop()
        for name in set(plain.__code__.co_names) & set(plain.__globals__) - set(found):
            found[name] = value = plain.__globals__[name]
            if hasattr(value, "py_func") and not is_scalar(value):
                pending.append(value.py_func)
    return found


def is_scalar(value):
    """Whether it is a plain function that was compiled into kernels: a hook, a rule, a draw."""
    return getattr(getattr(value, "py_func", None), "__module__", "") == "noisysim.compute.jit.scalars"


def arity(hook):
    """How many arguments a hook takes."""
    return hook.py_func.__code__.co_argcount


def is_numbers(kind):
    """Whether a type is that of a device's numbers."""
    return str(kind).startswith("Numbers(")


def options(function, given, named):
    """What one compilation of a kernel covers: types, flags, functions made for the device, and kinds of hooks."""
    found = {("types", *("Numbers" if is_numbers(kind) else str(kind) for kind in given))}
    for name, value in named.items():
        if type(value) is bool:
            found.add((name, value))
        elif is_scalar(value):
            found.add((name, value.py_func.__code__ if name in WHOLE else arity(value)))
        elif hasattr(value, "py_func"):
            found.add((name, value.py_func.__code__.co_filename))
    return {(PART.fullmatch(function.__module__)[1], function.__name__, *one) for one in found}


def stand_in():
    """Put what needs no GPU in the place of what does."""
    from numba.cuda import dispatcher

    from noisysim.compute import gpu

    path = Path(gpu.__file__).parent / "cuda" / "simulated.py"
    cupy = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("cupy", path))
    spec.loader.exec_module(cupy)
    cupy.empty = cupy.zeros  # nothing is computed: let arrays hold numbers at least
    sys.modules["cupy"] = cupy
    gpu.missing, gpu.describe = lambda: "", lambda: {}
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
    dispatcher.CUDADispatcher.__getitem__ = lambda kernel, configuration: Launch(kernel)
    from noisysim.compute.cuda.kernels import target
    from noisysim.tasks import feed

    target.argument = lambda value: value
    feed.free_bytes = lambda xp: float("inf")


def compile_all(folder, every):
    """Run the cases; returns why nothing can be compiled here, or what failed, what was compiled, and what there is."""
    from numba.cuda.cudadrv import nvvm

    try:
        nvvm.NVVM()
    except nvvm.NvvmSupportError as error:
        return {"missing": f"no NVVM: {error}"}
    stand_in()
    Launch.every = every
    for Launch.case, (function, what, settings) in cases(folder).items():
        try:
            function(what, **settings)
        except Exception:
            Launch.failed[Launch.case] = traceback.format_exc()
    from noisysim.compute.cuda import specialised

    made, seen, (kernels, flags) = [], {}, there_are()
    for (module, kernel, _), (case, double) in Launch.made.items():
        made.append((PART.fullmatch(module)[1], kernel, case, double))
    for name, module in list(sys.modules.items()):  # also those that have no kernels, which others call
        part = family(found[1]) if (found := PART.fullmatch(name)) and found[2] else ""
        for flag in flags.get(part, ()):
            if hasattr(module, flag):
                seen.setdefault(f"{part}.{flag}", set()).add(getattr(module, flag))
    return {
        "failed": Launch.failed,
        "made": made,
        "kinds of hooks": [name for names in specialised.OF.values() for name in names],
        "hooks": [(name, case, double) for (name, _), (case, double) in Launch.hooks.items()],
        "kernels": kernels,
        "flags": {f"{part}.{flag}": sorted(seen[f"{part}.{flag}"]) for part in flags for flag in flags[part]},
    }


def family(part):
    """The modules of kernels that a device has flags for: all about cells that are changed are one."""
    return "cells" if part.startswith("cell_") else part


def there_are():
    """The kernels of each module of loops, and its flags."""
    import noisysim.compute.cuda.kernels as package

    kernels, flags = {}, {}
    for _, name, _ in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{name}")
        own = [f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__]
        kernels[name] = [f.__name__ for f in own if not getattr(f, "targetoptions", {"device": True}).get("device")]
        declared = [n for n, value in vars(module).items() if type(value) is bool and n != "SIMULATED"]
        flags[family(name)] = sorted({*flags.get(family(name), ()), *declared})
    return kernels, {name: found for name, found in flags.items() if found}


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, request):
    """What `compile_all` says, by a Python of its own: no other test must meet the stand-in."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip('numba-cuda is not installed: pip install -e ".[test,cuda]"')
    there = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    folder = tmp_path_factory.mktemp("devices")
    command = [sys.executable, __file__, folder, *["--thorough"] * request.config.getoption("thorough")]
    done = subprocess.run(command, env=there, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / FOUND).read_text())
    if "missing" in found:
        pytest.skip(found["missing"])
    return found


def test_kernels_compile(compiled):
    assert not compiled["failed"], "\n\n".join(f"{what}: {why}" for what, why in compiled["failed"].items())


def test_no_kernel_and_no_flag_is_left_out(compiled):
    made = {(part, kernel) for part, kernel, *_ in compiled["made"]}
    assert made == {(part, kernel) for part, kernels in compiled["kernels"].items() for kernel in kernels}
    assert all(values == [False, True] for values in compiled["flags"].values()), compiled["flags"]


def test_no_hook_is_left_out_and_none_computes_in_float64(compiled):
    kinds = set(compiled["kinds of hooks"])
    assert {name for name, *_ in compiled["hooks"]} >= kinds
    assert not [one for one in compiled["hooks"] if one[0] in kinds and one[2] and FREE not in one[1]]


def test_float64_is_used_where_it_is_meant(compiled):
    found = {}
    for _, kernel, case, double in compiled["made"]:
        if double and FREE not in case:
            found.setdefault(kernel, set()).update(double)
    assert found == {kernel: operations for kernel, (operations, _) in DOUBLE.items()}
    grouped = {case for part, _, case, double in compiled["made"] if part == "operations" and double}
    assert grouped == {"operation layer norm", "operation softmax"}
    assert any(double for _, case, double in compiled["hooks"] if FREE in case)


if __name__ == "__main__":
    (Path(sys.argv[1]) / FOUND).write_text(json.dumps(compile_all(sys.argv[1], "--thorough" in sys.argv)))
