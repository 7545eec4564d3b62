"""What every learner is: what it needs, which drives it wants, and how observations become gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np

from noisysim.common import html_table
from noisysim.common.deprecation import deprecated
from noisysim.common.fields import Field, declared
from noisysim.common.texts import documentation
from noisysim.common.types import Words
from noisysim.compute import backends, grouping, seeding
from noisysim.compute.compiled_estimate import CompiledEstimate
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.compute.losses import Loss
from noisysim.compute.observation import Drive, LossFunction, Observation
from noisysim.learners.memory import copied
from noisysim.learners.oracle import Oracle
from noisysim.networks.architecture import Architecture
from noisysim.networks.building import architecture

_HIGH = 1e9  # a floor at which every rule that chooses its perturbation by it chooses another

Rate = Annotated[float, Field("per update", 0, 1, "step alpha of the inputs' decorrelation; 0 is none")]


@dataclass(slots=True)
class State:
    """What a learner carries from one update to the next, for one chip or a stack of them that learn side by side.

    What is shaped like weights holds those of all chips, layer by layer, chip after chip along the first axis.

    Attributes
    ----------
    net : Architecture
        The network: layers, units, positions, and what the digital periphery computes of hidden units.
    key : array
        (chips, 2) uint32: of the learner's own draws on each chip; tells nothing of the chip's.
    offers : frozenset of str
        What the chip offers.
    sigma : float or tuple of float
        Standard deviation of what the learner injects: into every chip alike, or into each its own.
    loss : str or Loss or callable
        What the digital periphery computes of the output.
    needs : frozenset of str
        What the learner asked of the chip.
    chips : int
        How many chips learn side by side.
    xp : module
        The array namespace of all arrays here.
    step : int
        Updates done, counted for every rule (`Learner.update`); saved in a checkpoint.
    first_sample : int
        Number of each chip's first sample in the passes asked for: above 0 in later chunks of a large update.
    memory : dict
        What is saved in a checkpoint: by name arrays of numbers, or lists, tuples and dicts of them, numbers, texts and
        None. They come back exactly (`noisysim.learners.memory`).
    work : dict
        Arrays that are not: buffers, and draws that `step` and `key` give again.
    """

    net: Architecture
    key: Words
    offers: frozenset[str]
    sigma: float | tuple[float, ...] = 0.0
    loss: str | Loss | LossFunction = "cce"
    needs: frozenset[str] = frozenset()
    chips: int = 1
    xp: ModuleType = field(default=np, repr=False)
    step: int = 0
    first_sample: int = 0
    memory: dict[str, Any] = field(default_factory=dict)
    work: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def hidden(self) -> list[int]:
        """Values per sample that each hidden layer gives to the next."""
        return self.net.outputs[:-1]

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Standard deviation of what is injected into each chip."""
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma,) * self.chips

    @property
    def injects(self) -> bool:
        """Whether anything is injected."""
        return any(self.sigmas)

    def injected(self, passes: int, rows: int = 1) -> Any:
        """passes sigma^2, by which rules divide: a number, or if each chip has its own `rows` times that of each."""
        if not isinstance(self.sigma, tuple):
            return passes * self.sigma**2
        key = ("injected", passes, rows, self.sigma)
        if key not in self.work:
            each = [passes * sigma**2 for sigma in self.sigma]  # Python's numbers: to the bit what each is alone
            self.work[key] = self.xp.asarray(np.repeat(each, rows))
        return self.work[key]

    def stack(self, shapes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Shapes of all chips' matrices, from those of one chip's."""
        return [(self.chips * rows, n) for rows, n in shapes]

    def ones(self, samples: int) -> Any:
        """A factor of 1 for each sample, float64; not to be written to."""
        if ("ones", samples) not in self.work:
            self.work["ones", samples] = self.xp.ones(samples)
        return self.work["ones", samples]

    def aside(self, key: Words) -> State:
        """A copy that learns what this state has learned so far, draws by another key, and changes nothing of it."""
        return replace(self, key=key, memory=copied(self.memory), work={})


@dataclass(frozen=True)
class Learner:
    """A rule. Subclasses are dataclasses whose fields are the rule's numbers.

    Attributes
    ----------
    name : str
    needs : frozenset of str
        What a chip must offer: of ``"perturbation"``, ``"clean"``, ``"output_error"``, ``"targets"``, ``"oracle"``.
    rates : dict
        A learning rate that suits the rule, for each optimizer.
    decorrelation : float
        Rate at which the periphery decorrelates each layer's inputs; 0 is not at all. Composes with any rule.
    normalise : bool
        Neuron-wise weight normalisation after every update (Hiratani et al. 2022, appendix C.1): keeps noisy updates
        from letting the weights diffuse. Composes with any rule.
    """

    name: ClassVar[str] = ""
    needs: ClassVar[frozenset[str]] = frozenset()
    rates: ClassVar[dict[str, float]] = {"adam": 1e-3, "sgd": 1e-2}
    stacks: ClassVar[bool] = False
    """Whether it learns on several chips at once; else each is taught by itself (`noisysim.learners.apart`)."""
    has_factors: ClassVar[bool] = False
    """Whether the gradient is a mean of outer products with the baseline's inputs (`factors`)."""
    ends_in_weights: ClassVar[bool] = False
    """Whether it takes the network's output for the lines of the last layer of weights, which the rule teaches by the
    output's error: then the network must not end in an operation of the periphery."""
    additive: ClassVar[bool] = False
    """Whether the gradient is a mean over samples, all from a few passes' lines, and nothing else is learned."""

    decorrelation: Rate = 0.0
    normalise: Annotated[
        bool, Field(doc="reset the RMS of each neuron's weights to sqrt(2 / (n_in + n_out)) after every update")
    ] = False

    def __init_subclass__(cls, **named: Any) -> None:
        """Let every rule's `update` count `State.step`, from wherever it is called; take a method by its old name."""
        super().__init_subclass__(**named)
        if "heard" in cls.__dict__ and "sigma_at_floor" not in cls.__dict__:
            deprecated(f"{cls.__name__}.heard", f"{cls.__name__}.sigma_at_floor", since="0.1")
            cls.sigma_at_floor = cls.__dict__["heard"]  # type: ignore[method-assign]
        for method in (cls.update, cls.factors):
            if not hasattr(method, "counts"):
                setattr(cls, method.__name__, _counted(method))

    def _repr_html_(self) -> str:
        """Its settings, for a notebook."""
        cls, own = type(self), fields(self)
        values = {f.name: getattr(self, f.name) for f in own}
        defaults = {f.name: f.default for f in own}
        return html_table.settings(cls.name or cls.__name__, documentation(cls), declared(cls), values, defaults)

    def init(
        self,
        net: Architecture | Sequence[Any],
        *,
        seed: seeding.Seeds = 0,
        offers: frozenset[str] = frozenset({"perturbation", "output_error", "targets", "clean", "oracle"}),
        floor: float | None = None,
        activation: str = "leaky_relu",
        loss: str | Loss | LossFunction = "cce",
        bias: bool = False,
        chips: int = 1,
        backend: str = "cpu",
    ) -> State:
        """State before the first update.

        Parameters
        ----------
        net : Architecture or sequence
            The network (``chip.architecture``), or its list of layers, such as [784, 256, 10].
        seed : int or sequence of int
            Of the learner's draws; of several chips perhaps one each.
        offers : frozenset of str
            What the chip offers (``chip.offers``).
        floor : float
            Standard deviation below which a perturbation would drown in the device's noise or its ADC's step, as
            observed: for learners that choose how much to inject. `noisysim.prepare` finds it. Default: 0 where the
            chip offers both clean passes and oracle access, as the ideal device does.
        loss : str or Loss or callable
            What the digital periphery computes of the output.
        activation, bias
            Of a network given as a list.
        chips : int
            How many chips learn side by side, each with a key of its own; the first learns as it would alone.
        backend : {"cpu", "cuda", "cuda:tf32"}
            Where the chips' arrays are.

        Raises
        ------
        ValueError
            If the chip does not offer what the learner needs, or if the learner chooses how much to inject by a
            `floor` that is not known.
        """
        self._check_offers(offers)
        if not isinstance(net, Architecture):
            net = architecture(net, activation, bias)
        if self.ends_in_weights and net.has_tail:
            raise ValueError(
                f"learner {self.name!r} teaches the last layer by the error of the output, which must be this layer's: "
                "end the network in a dense layer, or use a rule that sees losses alone, such as 'anp'"
            )
        sigma = self.injects(offers, self._known_floor(net, offers) if floor is None else floor, net)
        place = backends.get(backend)
        key = place.put(seeding.keys(seed, "learner", chips))
        state = State(net, key, offers, sigma, loss, self.requires(), chips, place.xp)
        self.remember(state)
        return state

    def _check_offers(self, offers: frozenset[str]) -> None:
        """Refuse a chip that lacks something the rule needs."""
        lacking = sorted(self.requires() - offers)
        if lacking:
            raise ValueError(
                f"learner {self.name!r} needs {', '.join(sorted(self.requires()))}; the chip offers "
                f"{', '.join(sorted(offers))}: {self.advice(lacking)}"
            )

    def _known_floor(self, net: Architecture, offers: frozenset[str]) -> float:
        """0, where the rule injects the same at any floor, or the chip is exact; else it must be measured."""
        exact = {"clean", "oracle"} <= offers
        if not exact and self.injects(offers, 0.0, net) != self.injects(offers, _HIGH, net):
            raise ValueError(
                f"learner {self.name!r} has no perturbation strength: the chip's noise has not been measured; take "
                "state = noisysim.prepare(learner, chip, batch), or init(..., floor=...), or set sigma"
            )
        return 0.0

    def remember(self, state: State) -> None:
        """Put what the rule starts with into the state's memory."""

    def requires(self) -> frozenset[str]:
        """What this instance needs; some settings need more than the class does."""
        return self.needs | {"targets"} if self.normalise else self.needs

    def advice(self, lacking: list[str]) -> str:
        """What would fit, when the chip lacks something."""
        if lacking == ["targets"]:
            return "normalise=True needs a write controller that keeps targets: controller='copy', or verified pulses"
        return f"use a device that offers {', '.join(lacking)}, such as 'ideal'"

    def sigma_at_floor(self, floor: float, net: Architecture) -> float:
        """The `sigma` at which a perturbation moves a line by the standard deviation `floor`."""
        return floor

    def heard(self, floor: float, net: Architecture) -> float:
        """Deprecated: `sigma_at_floor`."""
        deprecated("Learner.heard", "Learner.sigma_at_floor", since="0.1")
        methods = ((cls.__dict__.get("sigma_at_floor"), cls.__dict__.get("heard")) for cls in type(self).__mro__)
        rule = next(new for new, old in methods if new is not None and new is not old)  # an old one may ask its base
        return float(rule(self, floor, net))

    def injects(self, offers: frozenset[str], floor: float, net: Architecture) -> float:
        """Standard deviation of the perturbation this learner applies on such a chip."""
        return 0.0

    def drives(self, state: State, batch_size: int) -> list[Drive]:
        """The passes of one update, baseline first; `batch_size` is the samples of all chips."""
        raise TypeError(f"{type(self).__name__} does not say which drives it wants")

    def update(
        self,
        state: State,
        observations: Sequence[Observation],
        *,
        oracle: Oracle | None = None,
        out: Layered | None = None,
    ) -> tuple[Layered | None, State]:
        """The gradient that observations give, to be descended.

        A rule need not count: around every rule's own update `State.step` is counted up by one.

        Parameters
        ----------
        state : State
        observations : sequence of Observation
            One for each drive, in their order; of several chips their samples chip after chip.
        oracle : noisysim.chip.oracle.Oracle, optional
            For learners that need it.
        out : Layered, optional
            An earlier gradient, to be overwritten.

        Returns
        -------
        gradients : Layered or None
            (n_out, n_in) per layer: the batch mean; of several chips (chips n_out, n_in). ``None`` asks for no change
            of the weights.
        state : State
        """
        raise TypeError(f"{type(self).__name__} does not say how it learns")

    def factors(
        self, state: State, observations: Sequence[Observation], *, oracle: Oracle | None = None
    ) -> tuple[Factors | None, State]:
        """What `update` gives, as factors: of rules whose `has_factors` says so."""
        raise TypeError(f"{type(self).__name__} has no factors")

    def estimate_macs(self, state: State, samples: int) -> int:
        """Digital multiplications of a chip's update, in forming signals of this many samples, and what they go with.

        For the account of a run; a rule of your own that says nothing counts as one that forms them for nothing.
        Single operations on a value are left out: slopes of activation functions, the loss.
        """
        return 0

    def gradient_macs(self, state: State, samples: int) -> int:
        """The same in forming the gradient of these signals: outer products with the inputs."""
        return samples * state.net.products

    def kept_values(self, state: State, samples: int) -> int:
        """How many numbers the rule keeps of a chip's update until its gradient is formed: inputs and signals.

        Of one sample, as samples go through the chip one after another, each in all passes; of all where a gradient
        waits for the whole batch.
        """
        return self.waiting(state, samples) * (state.net.driven + state.net.perturbed)

    def waiting(self, state: State, samples: int) -> int:
        """How many samples of an update have to be kept at once."""
        return samples if any(state.net.norms) else 1

    def compiled_estimate(self, state: State) -> CompiledEstimate | None:
        """The rule as a loop makes it by itself, where many small updates are one call; ``None`` where none can."""
        return None


def _counted(update: Callable[..., Any]) -> Callable[..., Any]:
    """A rule's update that counts `State.step` up by one, whether or not the rule, or one that it inherits from, does.

    A rule that did not would draw the same perturbation in every update. What it asks of cells outside the blocks of
    grouped convolutions is set to zero.
    """

    @functools.wraps(update)
    def counted(self: Learner, state: State, *arguments: Any, **named: Any) -> Any:
        step = state.step
        result = update(self, state, *arguments, **named)
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], State)):
            raise TypeError(f"update of learner {self.name!r} must end with: return gradients, state")
        gradients, after = result
        after.step = step + 1
        if isinstance(gradients, Layered) and after.net.is_grouped:
            grouping.mask(after.net, gradients)
        return gradients, after

    counted.counts = True  # type: ignore[attr-defined]
    return counted
