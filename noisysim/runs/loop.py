"""Preparation and adaptation around a loop of updates, in `noisysim.run` and in a user's own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noisysim.common.types import Floats
from noisysim.compute.observation import Batch, Observation
from noisysim.learners.base import Learner, State
from noisysim.runs import perturbation_strength

if TYPE_CHECKING:
    from noisysim.chip.chip import Chip

FIRST = 32
"""Least samples to prepare a run with: of fewer neither converters' ranges nor statistics nor noise are known."""


def prepare(learner: Learner, chip: Chip, batch: Batch, *, seed: int = 0) -> State:
    """Make a chip and a learner ready for the first update.

    The chip calibrates its converters and its batch normalisation, the learner gets its state and, if it perturbs, the
    strength of its perturbation: by how much two passes over the batch differ, and by the converters' steps.

    Parameters
    ----------
    learner : Learner
        The rule, such as ``noisysim.learners.get("np")``.
    chip : Chip
        One chip. A rule with decorrelation needs one made with ``decorrelate=True``, backpropagation one made with
        ``oracle=True``.
    batch : Batch
        A few dozen samples or more, such as the first batch of the training split.
    seed : int
        Of the learner's draws. With the chip's own seed it is what `noisysim.run` makes of that seed.

    Returns
    -------
    State
        For ``learner.drives(state, batch_size)`` and ``learner.update(state, observations)``.

    Raises
    ------
    TypeError
        If the learner is no `Learner`, or the batch no `Batch`.
    ValueError
        If the chip does not offer what the learner needs.

    Examples
    --------
    >>> import noisysim
    >>> task, learner = noisysim.tasks.get("digits"), noisysim.learners.get("np")
    >>> chip = noisysim.Chip([64, 16, 10], "crossbar", seed=1)
    >>> state = prepare(learner, chip, task.batch("train", slice(0, 32)), seed=1)
    >>> bool(state.sigma > 1e-3)  # on an exact chip it would be that
    True
    """
    if not isinstance(learner, Learner):
        raise TypeError(f"learner must be a Learner, such as noisysim.learners.get('np'), not {str(learner)[:40]!r}")
    if not isinstance(batch, Batch):
        raise TypeError(f"batch must be a task's batch, such as task.batch('train', slice(0, 32)), not {type(batch)}")
    loss: Any = batch.loss  # ``None`` where the batch has no targets
    state = learner.init(
        chip.architecture, seed=seed, offers=chip.offers, floor=0.0, loss=loss, chips=chip.chips, backend=chip.backend
    )
    begin(learner, chip, state, batch.inputs)
    return state


def begin(learner: Learner, chip: Chip, state: State, inputs: Floats, apart: bool = False) -> list[float]:
    """Calibrate the chips, and settle in the learner's state how strongly to perturb them.

    Parameters
    ----------
    learner : Learner
    chip : Chip
    state : State
        Whose ``sigma`` is set.
    inputs : array
        (batch, n_in), of all chips.
    apart : bool
        Whether each of several chips gets a strength of its own, as if it were alone.

    Returns
    -------
    list of float
        What was observed (`noisysim.runs.perturbation_strength.floor`), of all chips or of each; 0 where no rule asks.
    """
    chip.calibrate(inputs)
    floors = [0.0] * (chip.chips if apart else 1)
    if getattr(learner, "sigma", None) is not None:
        floors = perturbation_strength.floors(chip, inputs) if apart else [perturbation_strength.floor(chip, inputs)]
    sigmas = tuple(learner.injects(state.offers, floor, state.net) for floor in floors)
    state.sigma = sigmas if len(set(sigmas)) > 1 else sigmas[0]
    return floors


def adapt(learner: Learner, chip: Chip, observation: Observation, *, programmed: bool = True) -> None:
    """Let the digital periphery follow an update, once its change was programmed.

    Running statistics of batch normalisation move; with a rule's ``decorrelation`` the inputs' decorrelation takes a
    step; with ``normalise`` the weights are normalised.

    Parameters
    ----------
    learner : Learner
    chip : Chip
    observation : Observation
        Of the update's first pass, the baseline.
    programmed : bool
        Whether the weights were changed; if not, they are not normalised either.
    """
    if programmed and learner.normalise:
        chip.normalise()
    if learner.decorrelation:
        chip.decorrelate(observation.inputs, learner.decorrelation)
    chip.track(observation.activities)
