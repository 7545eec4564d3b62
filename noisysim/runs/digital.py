"""What a run costs digitally, beside the arrays: by formula, from its network, rule, optimizer and updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from noisysim.chip.cost import Cost
from noisysim.common.array_types import is_array

if TYPE_CHECKING:
    from noisysim.runs.training import Training

BYTES = 4
"""Of a number that is kept digitally, float32."""


def account(training: Training, cost: Cost, of_each: bool = False) -> dict[str, int]:
    """All that a run has cost: what its chips count, and what stands beside them.

    Parameters
    ----------
    training : Training
    cost : Cost
        Of all its chips, or of one of several runs side by side.
    of_each : bool
        Whether it is that of one.

    Returns
    -------
    dict of int
        The counts of `Cost`; and ``rule_macs``, multiplications of the rule (`Learner.estimate_macs`,
        `Learner.gradient_macs`); ``digital_macs``, all digital ones; the memory that the digital side needs, in bytes,
        ``optimizer_bytes``, ``learner_bytes``, ``gradient_bytes``, ``activity_bytes``; and ``digital_bytes``, all of
        it with that of controllers, decorrelation and digital layers.
    """
    chips = 1 if of_each else training.chips
    counts = cost.as_dict()
    counts["rule_macs"] = chips * _rule_macs(training, cost.updates)
    done = ("layer_macs", "decorrelation_macs", "adaptation_macs", "rule_macs")
    counts["digital_macs"] = sum(counts[name] for name in done)
    memory = {
        "optimizer_bytes": _optimizer_bytes(training),
        "learner_bytes": _nbytes(training.learner_state.memory) // training.chips,
        "gradient_bytes": _gradient_bytes(training),
        "activity_bytes": _activity_bytes(training),
    }
    counts.update({name: chips * size for name, size in memory.items()})
    kept = (*memory, "controller_bytes", "decorrelation_bytes", "layer_bytes")
    return {**counts, "digital_bytes": sum(counts[name] for name in kept)}


def _rule_macs(training: Training, updates: int) -> int:
    """Multiplications of the rule on one chip; the last batch of an epoch may be a smaller one."""
    size, samples = training.config.batch_size, training.rows.samples
    epochs, rest = divmod(updates, training.steps)
    whole, left = divmod(samples, size)
    macs = (epochs * whole + rest) * _update_macs(training, min(size, samples))
    return macs + (epochs * _update_macs(training, left) if left else 0)


def _update_macs(training: Training, samples: int) -> int:
    """Multiplications of an update on one chip; pulse trains form outer products in the array."""
    rule, state = training.config.learner, training.learner_state
    outer = 0 if training.in_array else rule.gradient_macs(state, samples)
    return int(rule.estimate_macs(state, samples)) + int(outer)


def _optimizer_bytes(training: Training) -> int:
    """What a chip's optimizer remembers: of each weight alike, of digital layers of those that there are."""
    net = training.chip.network
    return _nbytes(training.optimizer_state) // training.chips * sum(net.places) // net.cells


def _gradient_bytes(training: Training) -> int:
    """What a chip's gradient needs: a number a weight, where more than one sample adds to it."""
    samples = min(training.config.batch_size, training.rows.samples)
    summed = samples > 1 and not training.in_array
    return BYTES * sum(training.chip.network.places) * summed


def _activity_bytes(training: Training) -> int:
    """What is kept of samples of one chip until the gradient is formed, and decorrelation has taken its step."""
    net, samples = training.chip.network, min(training.config.batch_size, training.rows.samples)
    values = int(training.config.learner.kept_values(training.learner_state, samples))
    if training.config.learner.decorrelation:  # the batch's inputs, or the correlations of these
        sizes = zip(net.positions, net.turned, strict=True)
        values += sum(min(samples * positions * n, n * n) for positions, n in sizes)
    return BYTES * values


def _nbytes(memory: Mapping[str, Any]) -> int:
    """Memory of all arrays in a state; single numbers, such as a count of steps, are none."""
    return sum(array.nbytes for array in _arrays(memory) if array.size > 1)


def _arrays(value: object) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for inner in value:
            yield from _arrays(inner)
    elif is_array(value):
        yield value
