"""Several chips for a learner that knows of one: each chip is taught by itself, with a state of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from noisysim.common.types import Array
from noisysim.compute import backends, layered, seeding
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.compute.seeding import Seeds
from noisysim.learners.base import Learner, State
from noisysim.learners.oracle import Oracle
from noisysim.networks.architecture import Architecture


class Apart:
    """A learner of some chips, made of a learner of one.

    Parameters
    ----------
    learner : Learner
        Its numbers, needs and name are this one's as well.
    """

    def __init__(self, learner: Learner):
        self.learner = learner

    def __getattr__(self, name: str) -> Any:
        """What is not about several chips is the learner's own."""
        return getattr(self.learner, name)

    def init(
        self,
        net: Architecture | Sequence[Any],
        *,
        seed: Seeds = 0,
        chips: int = 1,
        backend: str = "cpu",
        **settings: Any,
    ) -> State:
        """State of all chips (`Learner.init`): what the learner of each remembers is its own."""
        first = seed[0] if isinstance(seed, Sequence) else seed
        of_first = self.learner.init(net, seed=first, backend=backend, **settings)
        state = replace(of_first, key=backends.get(backend).put(seeding.keys(seed, "learner", chips)), chips=chips)
        state.memory, state.work = {}, {}
        for m in range(chips):
            member = self.member(state, m)
            self.learner.remember(member)
            self._keep(state, m, member)
        return state

    def _keep(self, state: State, m: int, member: State) -> None:
        """Take over what the m-th chip's learner remembers."""
        state.memory.update({f"{m}.{name}": array for name, array in member.memory.items()})

    def member(self, state: State, m: int) -> State:
        """The state of the m-th chip's learner."""
        prefix, work = f"{m}.", state.work.setdefault(m, {})
        memory = {name.removeprefix(prefix): a for name, a in state.memory.items() if name.startswith(prefix)}
        return replace(state, key=state.key[m : m + 1], sigma=state.sigmas[m], chips=1, memory=memory, work=work)

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        """The passes of one update (`Learner.drives`): each chip's own drives, together."""
        each = [self.learner.drives(self.member(state, m), batch_size // state.chips) for m in range(state.chips)]
        return [self._joined(passes, state.xp) for passes in zip(*each, strict=True)]

    def _joined(self, drives: Sequence[Drive], xp: ModuleType) -> Drive:
        """One drive of several chips'."""

        def joined(name: str) -> list[Any]:
            layers = zip(*[getattr(drive, name) for drive in drives], strict=True)
            return [None if parts[0] is None else xp.concatenate(parts) for parts in layers]

        parts = {name: joined(name) for name in ("perturbations", "outputs", "weights")}
        return Drive(**parts, output_error=any(drive.output_error for drive in drives))

    def update(
        self,
        state: State,
        observations: Sequence[Observation],
        *,
        oracle: Oracle | None = None,
        out: Layered | None = None,
    ) -> tuple[Layered | None, State]:
        """The gradients of all chips (`Learner.update`), the rows of one after those of another."""
        gradients = []
        for m in range(state.chips):
            own_oracle = None if oracle is None else oracle.chip(m)
            of_chip = [_of_chip(observation, m, state.chips) for observation in observations]
            gradient, member = self.learner.update(self.member(state, m), of_chip, oracle=own_oracle)
            self._keep(state, m, member)
            gradients.append(gradient)
        state.step = member.step
        if gradients[0] is None:
            return None, state
        if out is None:
            out = layered.empty(state.stack(state.net.shapes), state.xp)
        for layer, target in enumerate(out):
            for m, part in enumerate(target.reshape(state.chips, -1, target.shape[1])):
                part[...] = gradients[m][layer]  # type: ignore[index]  # all of them or none
        return out, state


def _of_chip(observation: Observation, m: int, chips: int) -> Observation:
    """What a pass lets out of the m-th chip."""

    def part(array: Array | None) -> Any:
        return None if array is None else array.reshape(chips, -1, *array.shape[1:])[m]

    def each(arrays: Sequence[Array | None]) -> Any:
        parts = [part(a) for a in arrays]
        return layered.layered(parts) if isinstance(arrays, Layered) else parts

    norms = [None if n is None else n.reshape(2, chips, -1)[:, m] for n in observation.norms]
    activities = each(observation.activities)
    return replace(
        observation, inputs=each(observation.inputs), activities=activities, output=activities[-1],
        loss=part(observation.loss), output_error=part(observation.output_error), norms=norms,
        masks=each(observation.masks),
    )  # fmt: skip
