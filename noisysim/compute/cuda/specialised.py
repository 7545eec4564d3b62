"""Kernels compiled for one device and its activation functions: CUDA cannot call a function that it is handed."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from noisysim.common.source import attributes, uses
from noisysim.compute import noise
from noisysim.compute.behaviour import Behaviour, ReadFlags, takes_target
from noisysim.compute.cuda import build
from noisysim.compute.rules.table import RULES
from noisysim.networks import activations

OF = {
    "passes": ("dac", "current", "jump", "read_cell", "readout", "adc"),
    "cells": ("program", "pulse", "appear", "drift", "cell_std"),
}
"""Which hooks go into which kernels."""
PARTS = {"passes": ("row", "column", "cell"), "cells": ("cell",)}
"""Parts of a chip with own values that these kernels know."""


NOISE: dict[str, Callable[..., Any]] = {name: getattr(noise, name) for name in ("philox", "uniform", "normal_pair")}


def _load(template: str, scalars: Mapping[str, Callable[..., Any]], **parts: Any) -> types.ModuleType:
    """Kernels with these functions in them."""
    return build.load(f"cuda/kernels/{template}", build.Parts({**NOISE, **scalars}, **parts))


@cache
def draws() -> types.ModuleType:
    """The kernels that draw noise."""
    return _load("draws", {})


@cache
def sums() -> types.ModuleType:
    """The kernels of algebra, optimizers and decorrelation: none depends on a device."""
    return _load("sums", {})


@cache
def images() -> types.ModuleType:
    """The kernels over images: patches and windows."""
    return _load("images", {})


@cache
def trains() -> types.ModuleType:
    """The kernels that draw pulse trains."""
    return _load("trains", {})


@cache
def gather() -> types.ModuleType:
    """The kernels that gather batches from data sets."""
    return _load("gather", {})


@cache
def slopes(activation: str | activations.Activation) -> types.ModuleType:
    """The kernels over outputs and slopes of hidden units."""
    chosen = activations.get(activation)
    return _load("slopes", {"activation": chosen.value, "activation_slope": chosen.slope})


@cache
def operation(name: str) -> types.ModuleType:
    """The kernels of an operation of the periphery."""
    rule = RULES[name]
    second = rule.pull_second or rule.pull_first
    works = {"work": rule.forward, "work_along": rule.push, "work_first": rule.pull_first, "work_second": second}
    return _load("operations", works)


@cache
def shares(share: Callable[..., float]) -> types.ModuleType:
    """The kernels of algebra with a learning rule's share."""
    return _load("sums", {"share": share})


def numbers_of(kernels: types.ModuleType, behaviour: Behaviour) -> Any:
    """What kernels take of a device: the numbers that its hooks read, float32."""
    return kernels.Numbers(*(behaviour.numbers.get(field, np.float32(0.0)) for field in kernels.Numbers._fields))


def for_device(
    template: str, behaviour: Behaviour, constants: Mapping[str, Any],
    kinds: Sequence[str | activations.Activation] = (),
) -> types.ModuleType:  # fmt: skip
    """The kernels "passes" or "cells" with a device's hooks in them, and of passes an activation function.

    Parameters
    ----------
    template : {"passes", "cells"}
    behaviour : Behaviour
        The device's. Those of its numbers that its hooks read make the class ``Numbers`` of the module returned.
    constants : mapping
        The flags that these kernels declare.
    kinds : sequence of str or Activation
        Activation functions of hidden units, in the order in which layers number them.
    """
    hooks, spread_fields = behaviour.hooks, behaviour.spreads
    scalars = {name: hooks[name] for name in OF[template]}
    read = attributes(*scalars.values())
    numbers = sorted(field for field in behaviour.numbers if field in read) or ["none"]  # devices alike share kernels
    generated = {}
    for part in PARTS[template]:
        if set(spread_fields[part]) & set(numbers):
            values = {field: f"own[{k}, j]" for k, field in enumerate(spread_fields[part])}
            generated[f"with_{part}"] = _replacing(f"with_{part}", "own, j", numbers, values)
    if template == "cells":
        if "pulse_step" in numbers:
            generated["with_step"] = _replacing("with_step", "step", numbers, {"pulse_step": "step"})
        for hook, called in (("drift", "drifted"), ("cell_std", "deviation")):
            if takes_target(hooks[hook]):
                generated[called] = f"def {called}(g, t, target, d):\n    return {hook}(g, t, target, d)"
    if template == "passes":
        scalars.update({f"activation_{k}": activations.get(kind).value for k, kind in enumerate(kinds)})
        generated["activation"] = _choosing(len(kinds))
        if "adc_range" in numbers:
            generated["with_range"] = _replacing("with_range", "full_scale", numbers, {"adc_range": "full_scale"})
    return _load(template, scalars, constants=constants, generated=generated, numbers=numbers)


def for_passes(
    behaviour: Behaviour, flags: ReadFlags, kinds: Sequence[str | activations.Activation]
) -> types.ModuleType:
    """The kernels of passes, with the device's hooks in them."""
    hooks, own, spreads = behaviour.hooks, behaviour.own, behaviour.spreads
    constants = {
        **{f"HAS_{h.upper()}": h in own for h in ("dac", "current", "adc", "cell_std", "read_cell", "jump")},
        "COMPENSATED": flags.compensated,
        "SCALED": flags.scaled,
        **{f"OWN_{part.upper()}S": bool(spreads[part]) for part in ("row", "column")},
        # constants that only reads cell by cell need are off elsewhere: more devices share their kernels
        "OWN_CELLS": "read_cell" in own and bool(spreads["cell"]),
        "PAIRED": flags.paired,
        "USES_NORMAL": flags.noisy and uses(hooks["readout"], "z"),
        "USES_UNIFORM": flags.noisy and uses(hooks["readout"], "u"),
        "CELL_NORMAL": flags.noisy and uses(hooks["read_cell"], "z"),
        "CELL_UNIFORM": flags.noisy and uses(hooks["read_cell"], "u"),
    }
    return for_device("passes", behaviour, constants, kinds)


def _choosing(count: int) -> str:
    """The text of a function that applies the activation function of a given number."""
    chosen = "".join(f"    if kind == {k}:\n        return activation_{k}(a)\n" for k in range(1, count))
    return f"def activation(a, kind):\n{chosen}    return activation_0(a)"


def _replacing(name: str, arguments: str, numbers: Sequence[str], values: Mapping[str, str]) -> str:
    """The text of a function that gives the device's numbers with some replaced."""
    values_text = ", ".join(values.get(n, f"d.{n}") for n in numbers)
    return f"def {name}(d, {arguments}):\n    return Numbers({values_text})"
