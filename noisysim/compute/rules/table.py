"""The functions of every operation of the periphery, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from noisysim.compute.rules import group_operations as groups
from noisysim.compute.rules import operations as plain


class Rule(NamedTuple):
    """The functions of one operation (see above).

    Attributes
    ----------
    forward, push, pull_first, pull_second : callable
    """

    forward: Callable[..., Any]
    push: Callable[..., Any]
    pull_first: Callable[..., Any]
    pull_second: Callable[..., Any] | None = None


RULES: dict[str, Rule] = {
    "add": Rule(plain.add, plain.add_push, plain.add_pull, plain.add_pull),
    "multiply": Rule(plain.multiply, plain.multiply_push, plain.multiply_pull_first, plain.multiply_pull_second),
    "divide": Rule(plain.divide, plain.divide_push, plain.divide_pull_first, plain.divide_pull_second),
    "concatenate": Rule(
        plain.concatenate, plain.concatenate_push, plain.concatenate_pull_first, plain.concatenate_pull_second
    ),
    "gather": Rule(plain.gather, plain.gather_push, plain.gather_pull),
    "one_hot": Rule(plain.one_hot, plain.one_hot_push, plain.one_hot_pull),
    "pool": Rule(plain.pool, plain.pool_push, plain.pool_pull),
    "average": Rule(plain.average, plain.average_push, plain.average_pull),
    "affine": Rule(plain.affine, plain.affine_push, plain.affine_pull),
    "clip": Rule(plain.clip, plain.clip_push, plain.clip_pull),
    "leak": Rule(plain.leak, plain.leak_push, plain.leak_pull),
    "normalise": Rule(groups.normalise, groups.normalise_push, groups.through_group),
    "softmax": Rule(groups.softmax, groups.softmax_push, groups.softmax_pull),
    "matmul": Rule(groups.matmul, groups.matmul_push, groups.matmul_pull_first, groups.matmul_pull_second),
}
"""Operations by name."""
