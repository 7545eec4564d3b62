"""The loops of a backend compiled for one device and its activation functions."""

from __future__ import annotations

import importlib
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from typing import Any

from noisysim.common.source import attributes
from noisysim.compute import noise
from noisysim.compute.jit import build
from noisysim.networks import activations

OF = {
    "passes": ("dac", "current", "jump", "read_cell", "readout", "adc"),
    "cells": ("program", "pulse", "drift", "cell_std"),
}
"""Which hooks go into which loops."""
PARTS = {"passes": ("row", "column", "cell"), "cells": ("cell",)}
"""Parts of a chip with own values that these loops know."""


@cache
def _compilers(backend: str) -> build.Compilers:
    """What compiles for a backend; each backend's is imported where it is asked for alone."""
    compilers: build.Compilers = importlib.import_module(f"noisysim.compute.{backend}.compilers").COMPILERS
    return compilers


NOISE: dict[str, Callable[..., Any]] = {name: getattr(noise, name) for name in ("philox", "uniform", "normal_pair")}


def _load(backend: str, template: str, scalars: Mapping[str, Callable[..., Any]], **parts: Any) -> types.ModuleType:
    """Loops of a backend."""
    compilers = _compilers(backend)
    return build.load(f"{compilers.folder}/{template}", build.Parts({**NOISE, **scalars}, **parts), compilers)


@cache
def draws(backend: str = "cpu") -> types.ModuleType:
    """The loops that draw noise."""
    return _load(backend, "draws", {})


@cache
def sums(backend: str = "cpu") -> types.ModuleType:
    """The loops of algebra, optimizers and decorrelation: none depends on a device."""
    return _load(backend, "sums", {})


@cache
def images(backend: str = "cpu") -> types.ModuleType:
    """The loops over images: patches and windows."""
    return _load(backend, "images", {})


@cache
def gather(backend: str = "cpu") -> types.ModuleType:
    """The loops that gather batches from data sets."""
    return _load(backend, "gather", {})


@cache
def slopes(activation: str | activations.Activation, backend: str = "cpu") -> types.ModuleType:
    """The loops over outputs and slopes of hidden units."""
    chosen = activations.get(activation)
    return _load(backend, "slopes", {"activation": chosen.value, "activation_slope": chosen.slope})


def for_device(
    template: str,
    fields: Sequence[str],
    hooks: Mapping[str, Callable[..., Any]],
    spread_fields: Mapping[str, Collection[str]],
    constants: Mapping[str, Any],
    kinds: Sequence[str | activations.Activation] = (),
    backend: str = "cpu",
) -> types.ModuleType:
    """The loops "passes" or "cells" with a device's hooks in them, and of passes an activation function.

    Parameters
    ----------
    template : {"passes", "cells"}
    fields : sequence of str
        The device's. Those that its hooks read make the class ``Numbers`` of the module returned.
    hooks : mapping
        Every hook there is.
    spread_fields : mapping
        Part of a chip ("cell", "row", "column") -> the fields of which each such part has values of its own, in order.
    constants : mapping
        The flags that these loops declare.
    kinds : sequence of str or Activation
        Activation functions of hidden units, in the order in which layers number them.
    backend : {"cpu", "cuda"}
    """
    scalars = {name: hooks[name] for name in OF[template]}
    read = attributes(*scalars.values())
    numbers = sorted(field for field in fields if field in read) or ["none"]  # so devices alike share their loops
    generated = {}
    for part in PARTS[template]:
        if set(spread_fields[part]) & set(numbers):
            values = {field: f"own[{k}, j]" for k, field in enumerate(spread_fields[part])}
            generated[f"with_{part}"] = _replacing(f"with_{part}", "own, j", numbers, values)
    if template == "cells":
        for hook, called in (("drift", "drifted"), ("cell_std", "deviation")):
            if "target" in hooks[hook].__code__.co_varnames[: hooks[hook].__code__.co_argcount]:
                generated[called] = f"def {called}(g, t, target, d):\n    return {hook}(g, t, target, d)"
    if template == "passes":
        scalars.update({f"activation_{k}": activations.get(kind).value for k, kind in enumerate(kinds)})
        generated["activation"] = _choosing(len(kinds))
        if "adc_range" in numbers:
            generated["with_range"] = _replacing("with_range", "full_scale", numbers, {"adc_range": "full_scale"})
    return _load(backend, template, scalars, constants=constants, generated=generated, numbers=numbers)


def _choosing(count: int) -> str:
    """The text of a function that applies the activation function of a given number."""
    chosen = "".join(f"    if kind == {k}:\n        return activation_{k}(a)\n" for k in range(1, count))
    return f"def activation(a, kind):\n{chosen}    return activation_0(a)"


def _replacing(name: str, arguments: str, numbers: Sequence[str], values: Mapping[str, str]) -> str:
    """The text of a function that gives the device's numbers with some replaced."""
    values_text = ", ".join(values.get(n, f"d.{n}") for n in numbers)
    return f"def {name}(d, {arguments}):\n    return Numbers({values_text})"
