"""The CPU loops compiled for one device and activation."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numba

from noisysim.kernels import build
from noisysim.scalars import activations, noise


def _jit(function: Callable) -> Callable:
    return numba.njit(**build.OPTIONS)(function)


def _scalars() -> dict[str, Callable]:
    return {name: getattr(noise, name) for name in ("philox", "uniform", "normal_pair")}


@cache
def general() -> types.ModuleType:
    """The loops that depend on no device: products, sums, optimizers, draws."""
    return build.load("cpu", _scalars(), {}, _jit)


@cache
def for_activation(activation: str) -> types.ModuleType:
    """The loops that depend on an activation function and no device: outputs and slopes of hidden units."""
    value, slope = activations.ACTIVATIONS[activation]
    return build.load("cpu", {**_scalars(), "activation": value, "activation_slope": slope}, {}, _jit)


def with_range(cls: type) -> Callable:
    """``with_range(d, r)``: d with its field ``adc_range`` set to r, as a function that compiles."""
    fields = ", ".join("full_scale" if f == "adc_range" else f"d.{f}" for f in cls._fields)  # type: ignore[attr-defined]
    space: dict[str, Any] = {"cls": cls}
    exec(f"def with_range(d, full_scale):\n    return cls({fields},)", space)  # fields are identifiers of a NamedTuple
    return space["with_range"]


def for_device(
    device: Any, hooks: dict[str, Callable], own: frozenset[str], noisy: bool, activation: str
) -> types.ModuleType:
    """The loops with a device's hooks and an activation function in them."""
    value, slope = activations.ACTIVATIONS[activation]
    scalars = {**_scalars(), **hooks, "activation": value, "activation_slope": slope}
    readout = hooks["readout"]
    constants = {
        "HAS_DAC": "dac" in own,
        "HAS_ADC": "adc" in own,
        "HAS_CELL_STD": "cell_std" in own,
        "USES_NORMAL": noisy and build.uses(readout, "z"),
        "USES_UNIFORM": noisy and build.uses(readout, "u"),
    }
    made = {}
    if "adc_range" in type(device)._fields:
        made["with_range"] = with_range(type(device))
    return build.load(
        "cpu", scalars, {**constants, "FIELDS": (type(device).__qualname__, *type(device)._fields)}, _jit, made
    )
