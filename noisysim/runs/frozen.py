"""Layers of a run that keep their weights while the others learn."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from types import ModuleType

from noisysim.common.arguments import argument
from noisysim.common.fields import shown
from noisysim.compute import layered
from noisysim.compute.factors import Factors
from noisysim.compute.layered import Layered
from noisysim.compute.protocols import Term
from noisysim.devices.contract import Device
from noisysim.devices.controllers import TRANSFERS
from noisysim.learners import Learner
from noisysim.learners.shadow import Shadow
from noisysim.networks.architecture import Architecture

DIGITAL = {"arrays": False, "digital": True}
"""Words for several layers: whether these are digital."""
ADVICE = "give 'arrays', 'digital', or numbers of layers as noisysim networks show prints them, from 1; -1 is the last"


def resolve(
    asked: object, net: Architecture, device: Device, learner: Learner, decay: float, decorrelate: str | None
) -> list[int]:
    """Numbers of the layers of weights that are frozen, from 1, where nothing else changes their weights.

    Parameters
    ----------
    asked : str or int or sequence of these, or None
        "arrays", "digital", numbers from 1, negative ones from the last; numbers may be texts, as on a command line.
    net : Architecture
    device : device
    learner : Learner
    decay : float
        Weight decay.
    decorrelate : str or None
        What was asked for.
    """
    if asked is None:
        return []
    each = [asked] if isinstance(asked, (str, Integral)) else asked
    if not isinstance(each, Sequence) or isinstance(each, bytes):
        raise TypeError(f"{argument('run.frozen')} is {shown(asked)}: {ADVICE}")
    found = sorted({number for one in each for number in _numbers(one, net)})
    if len(found) == net.depth:
        raise ValueError(
            f"{argument('run.frozen')} is {shown(asked)}, every layer of weights: nothing is left to learn; leave one "
            f"out, or set {argument('learning_rate=0')}, at which running statistics alone follow a chip"
        )
    if found:
        _check(not all(net.blocks[number - 1].digital for number in found), device, learner, decay, decorrelate)
    return found


def _numbers(one: object, net: Architecture) -> list[int]:
    """The layers that one word or number means."""
    what = argument("run.frozen")
    if isinstance(one, str) and one in DIGITAL:
        numbers = [n for n, block in enumerate(net.blocks, 1) if block.digital == DIGITAL[one]]
        if not numbers:
            raise ValueError(f"{what} is {one!r}, but the network has no such layers of weights: omit it")
        return numbers
    try:
        number = int(one) if isinstance(one, (str, Integral)) and not isinstance(one, bool) else 0
    except ValueError:
        number = 0
    if not 1 <= abs(number) <= net.depth:
        raise ValueError(f"{what} has {shown(one)}, and the network has {net.depth} layers of weights: {ADVICE}")
    return [number if number > 0 else net.depth + 1 + number]


def _check(on_arrays: bool, device: Device, learner: Learner, decay: float, decorrelate: str | None) -> None:
    """Refuse what would change the weights of frozen layers all the same."""
    controller = getattr(device, "controller", "")
    for happens, why, use in (
        (
            decay > 0,
            argument(f"run.weight_decay={decay:g}") + " takes a share of every weight off",
            argument("weight_decay=0"),
        ),
        (learner.normalise, f"learner {learner.name!r} rescales the weights of all layers", "normalise=False"),
        (
            on_arrays and controller in TRANSFERS,
            f"controller {controller!r} writes what it reads of a second array, read noise included",
            "controller='accumulate'",
        ),
        (
            isinstance(learner, Shadow),
            "learner 'shadow' adds up what it asks for, frozen or not",
            argument("learner='fdfa'"),
        ),
        (
            learner.decorrelation > 0 and decorrelate not in (None, "updates"),
            argument(f"run.decorrelate={decorrelate!r}") + " changes what the weights of a layer do, or the weights",
            argument("decorrelate='updates'"),
        ),
    ):
        if happens:
            raise ValueError(f"{argument('run.frozen')} keeps weights as they are, but {why}: use {use}")


def still(gradient: Layered | Factors, frozen: Sequence[int], xp: ModuleType) -> Layered | Factors:
    """A gradient that is 0 in frozen layers; a copy, as a rule may keep its own.

    Parameters
    ----------
    gradient : Layered or Factors
        Of all chips.
    frozen : sequence of int
        Numbers from 1.
    xp : module
        NumPy, or CuPy on a GPU.
    """
    if not frozen:
        return gradient
    if isinstance(gradient, Factors):
        moves = xp.ones((len(gradient.inputs), 1))
        moves[[number - 1 for number in frozen]] = 0
        terms = [Term(term.factors * moves, term.activities, term.baseline) for term in gradient.terms]
        return Factors(terms, gradient.inputs, gradient.normed, gradient.chips)
    return silenced(layered.layered(list(gradient)), frozen)  # of a plain list it is a copy


def silenced(arrays: Layered, frozen: Sequence[int]) -> Layered:
    """The same arrays, those of frozen layers set to 0."""
    for number in frozen:
        arrays[number - 1].fill(0)
    return arrays
