"""Plans as loops read them: tables of integers, the addresses of the steps' functions, and what these take."""

from __future__ import annotations

from typing import Any

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.cpu import bring
from noisysim.compute.cpu.loops import steps
from noisysim.compute.layout import (  # fmt: skip
    CHANNELS,
    GEOMETRY,
    STEP,
    WITH_CONSTANTS,
    WITH_DRIVE,
    WITH_MASK,
    WITH_NORM,
    WITH_NOTHING,
    WITH_VALUE,
)
from noisysim.networks.plan import NONE, Step
from noisysim.networks.tiling import Network

WITH = {"normalise": WITH_NORM, "drop": WITH_MASK, "perturb": WITH_DRIVE}


def tables(net: Network) -> dict[str, Any]:
    """Fields of the record `noisysim.compute.cpu.loops.records.NET` that tell of the plan."""
    plan, geometry = net.plan, net.geometry()
    functions: dict[Any, Any] = {}
    rows, groups = list[tuple[int, ...]](), list[tuple[int, ...]]()
    numbers, constants = [geometry.reshape(-1)], list[Floats]()
    for group in plan.groups:
        first = len(rows)
        for step in group.steps:
            which, address = _function(net, step)
            number = list(functions).index(which) if which in functions else len(functions)
            functions.setdefault(which, address)
            more, own = _more(net, step, constants), _numbers(net, step, numbers)
            rows.append((number, step.layer, step.source, step.target, *more, *own))
        unfolds = bool(group.steps) and group.steps[-1].name == "unfold"
        groups.append((first, len(rows), group.source, group.state, unfolds))
    flat = [one.reshape(-1) for one in constants]
    return {
        "geometry": geometry, "steps": np.array(rows, np.int64).reshape(-1, STEP), "groups": np.array(groups, np.int64),
        "values": plan.values(), "functions": bring.table(list(functions.values())), "keeps": plan.keeps,
        "numbers": np.concatenate(numbers), "constants": np.concatenate([np.zeros(0, np.float32), *flat]),
    }  # fmt: skip


def _function(net: Network, step: Step) -> tuple[Any, Any]:
    """What a step's function is known by, and where it is."""
    if step.name == "operate":
        name = net.operations[step.layer - net.depth].name
        return (step.name, name), steps.TYPE.address(bring.operation(name))  # a step of a block may be called so too
    if step.name == "activate":
        of_layer = step.layer < net.depth
        kind: Any = net.blocks[step.layer].activation if of_layer else net.operations[step.layer - net.depth].activation
        return kind, steps.TYPE.address(bring.activation(kind))
    return step.name, steps.TYPE.address(steps.STEPS[step.name])


def _more(net: Network, step: Step, constants: list[Floats]) -> tuple[int, int, int, int]:
    """What a step takes besides its first value: of which kind, where it is, rows and columns of constants."""
    if step.second != NONE:
        return WITH_VALUE, step.second, 0, 0
    if step.name == "operate" and (own := net.operations[step.layer - net.depth].constant()).size:
        at = sum(one.size for one in constants)
        constants.append(own)
        return WITH_CONSTANTS, at, *own.shape
    return WITH.get(step.name, WITH_NOTHING), 0, 0, 0


def _numbers(net: Network, step: Step, numbers: list[Any]) -> tuple[int, int]:
    """Where a step's numbers are, and how many."""
    if step.name == "channels_last":  # of the input, which no layer need see
        own = net.geometry()[0].copy()
        own[CHANNELS] = net.input_shape[0]
    elif step.layer < net.depth:
        return step.layer * GEOMETRY, GEOMETRY
    else:
        own = np.array(net.operations[step.layer - net.depth].numbers, np.int64)
    at = sum(len(one) for one in numbers)
    numbers.append(own)
    return at, len(own)
