"""What every learner is: what it needs, which drives it wants, and how observations become gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim import seeding
from noisysim.fields import Field
from noisysim.layered import Layered
from noisysim.observation import Drive, Observation

Rate = Annotated[float, Field("per update", 0, 1, "step alpha of the inputs' decorrelation; 0 is none")]


@dataclass(slots=True)
class State:
    """What a learner carries from one update to the next.

    Attributes
    ----------
    units : list of int
        Units of each layer.
    key : tuple of numpy.uint32
        Of the learner's own draws; tells nothing of the chip's.
    offers : frozenset of str
        What the chip offers.
    sigma : float
        Standard deviation of what the learner injects.
    step : int
        Updates done; saved in a checkpoint.
    memory : dict
        Arrays that are saved in a checkpoint.
    work : dict
        Arrays that are not: buffers, and draws that `step` and `key` give again.
    """

    units: list[int]
    key: tuple[Any, Any]
    offers: frozenset[str]
    sigma: float = 0.0
    step: int = 0
    memory: dict[str, np.ndarray] = field(default_factory=dict)
    work: dict[Any, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Learner:
    """A rule. Subclasses are dataclasses whose fields are the rule's numbers.

    Attributes
    ----------
    name : str
    needs : frozenset of str
        What a chip must offer: of ``"perturbation"``, ``"clean"``, ``"output_error"``, ``"oracle"``.
    rates : dict
        A learning rate that suits the rule, for each optimizer.
    decorrelation : float
        Rate at which the periphery decorrelates each layer's inputs; 0 is not at all. Composes with any rule.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    rates: ClassVar[dict[str, float]] = {"adam": 1e-3, "sgd": 1e-2}

    decorrelation: Rate = 0.0

    def init(
        self,
        sizes: Sequence[int],
        *,
        seed: int = 0,
        offers: frozenset[str] = frozenset({"perturbation", "clean", "oracle"}),
        floor: float = 0.0,
    ) -> State:
        """State before the first update.

        Parameters
        ----------
        sizes : sequence of int
            Units of the network, input first.
        seed : int
            Of the learner's draws.
        offers : frozenset of str
            What the chip offers (``chip.offers``).
        floor : float
            Standard deviation below which a perturbation would drown in the device's noise or its ADC's step, as
            observed (`noisysim.negotiation.floor`); for learners that choose how much to inject.

        Raises
        ------
        ValueError
            If the chip does not offer what the learner needs.
        """
        lacking = sorted(self.requires() - offers)
        if lacking:
            raise ValueError(
                f"learner {self.name!r} needs {', '.join(sorted(self.requires()))}; the chip offers "
                f"{', '.join(sorted(offers))}: {self.advice(lacking)}"
            )
        return State(list(sizes[1:]), seeding.key(seed, "learner"), offers, sigma=self.injects(offers, floor))

    def requires(self) -> frozenset[str]:
        """What this instance needs; some settings need more than the class does."""
        return self.needs

    def advice(self, lacking: list[str]) -> str:
        """What would fit, when the chip lacks something."""
        return f"use a device that offers {', '.join(lacking)}, such as 'ideal'"

    def injects(self, offers: frozenset[str], floor: float) -> float:
        """Standard deviation of the perturbation this learner applies on such a chip."""
        return 0.0

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        """The passes of one update, baseline first."""
        raise TypeError(f"{type(self).__name__} does not say which drives it wants")

    def update(
        self, state: State, observations: Sequence[Observation], *, oracle: Any = None, out: Layered | None = None
    ) -> tuple[Layered, State]:
        """The gradient that observations give, to be descended.

        Parameters
        ----------
        state : State
        observations : sequence of Observation
            One for each drive, in their order.
        oracle : noisysim.oracle.Oracle, optional
            For learners that need it.
        out : Layered, optional
            An earlier gradient, to be overwritten.

        Returns
        -------
        gradients : Layered
            (n_out, n_in) a layer: the batch mean.
        state : State
        """
        raise TypeError(f"{type(self).__name__} does not say how it learns")
