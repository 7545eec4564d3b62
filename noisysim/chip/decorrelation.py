"""Decorrelation of a layer's inputs, in the digital periphery: x* = R x with R learned from x* alone.

R <- R - alpha (<x* x*^T> - diag<x*^2>) R (Dalm et al. 2025, section 2.2), stable for alpha below
2 / lambda_max of the inputs' covariance. Any learner can be combined with it. In a convolution R turns the patch at
each position, as in Dalm et al. 2024, "Efficient deep learning with decorrelated backpropagation" (arXiv 2405.02385),
and the mean is over samples and positions, so that every patch counts as one input vector: a sum over positions would
make the stable alpha smaller by their number. Where channels are in groups, R has a block for each group and nothing
between them: an output sees the inputs of its own group alone, as its weights do.

There are three forms. "inputs": the arrays hold W and are driven with x*; what they compute, W R x, changes with each
step of R. "compensated": the same, and after each step R -> R' the controller writes W <- W R R'^-1, so that what they
compute stays (`noisysim.chip.weight_compensation`). "updates": the arrays hold A = W R and are driven with x. The
periphery turns what it digitised of the inputs, x* = R x, and shows that to the learner; it turns the change dW that is
asked of it, and writes dA = dW R. A step of R then changes no output either, without a write: A = W R stays what it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from noisysim.chip import targets
from noisysim.common.arguments import argument
from noisysim.common.fields import check_choice, check_switch
from noisysim.common.types import Floats
from noisysim.compute import algebra, backends, layered
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Observation
from noisysim.devices.contract import Device
from noisysim.networks.architecture import Architecture

FORMS = ("inputs", "updates", "compensated")
"""Where R is applied, and what is written for it."""


def form(decorrelate: object, given_weights: bool = False) -> str:
    """How R is applied, one of `FORMS`; "" where nothing is decorrelated.

    Parameters
    ----------
    decorrelate : object
        False, True, or one of `FORMS`; to be checked. True stands for "updates" where the initial weights were given,
        and mean something to begin with, and for "inputs" where they were drawn.
    given_weights : bool
    """
    if isinstance(decorrelate, str):
        check_choice("decorrelate", decorrelate, FORMS)
        return decorrelate
    return FORMS[given_weights] if check_switch("decorrelate", decorrelate) else ""


def check_form(name: str, chosen: str | None, device: Device) -> None:
    """Refuse to compensate weights on a device whose write controller does not know them."""
    if chosen == "compensated":
        targets.require(argument(f"{name}={chosen!r}"), device, "use 'updates', which needs no write")


def decorrelate(
    rotations: Layered, inputs: Layered, rate: float, chips: int = 1, net: Architecture | None = None
) -> None:
    """One step for every layer, in place.

    Parameters
    ----------
    rotations : Layered
        R of each layer, (chips n, n); of a gain, which is not decorrelated, (0, 0).
    inputs : Layered
        x* of each layer, (batch, n) or (batch, positions, n), n + 1 with a bias, whose column is ignored; the chips
        share the samples.
    rate : float
        alpha.
    chips : int
        How many chips stand side by side.
    net : Architecture
        Which inputs are in one group. Default: all.
    """
    place = backends.backend_of(rotations.flat)
    place.ops.decorrelate(rotations, inputs, rate, chips)
    if net is not None and net.is_grouped:  # blocks step as they would by themselves, as nothing was between them
        for rotation, blocks in zip(rotations, net.blocks_of_rotations, strict=True):
            if blocks is not None:
                matrices = rotation.reshape(chips, *blocks.shape)
                matrices *= place.put(blocks)


def step_macs(net: Architecture, samples: int, compensated: bool = False) -> int:
    """Multiplications of one step of one chip's matrices, from this many samples.

    For each group of a layer's n inputs the lesser of two ways: x^T (x R), 2 P n^2 a sample; or the correlations,
    n (n - 1) / 2 of each position and sample, and their product with R, n^3. With `compensated` weights also W R and
    its product with R'^-1 by elimination, 2 n_out n^2 + n^3 / 3.
    """
    macs = 0
    for positions, units, (groups, n) in zip(net.positions, net.units, net.turned_together, strict=True):
        rows = samples * positions
        macs += groups * min(2 * rows * n * n, rows * n * (n - 1) // 2 + n**3)
        macs += 2 * units * n * n + groups * (n**3 // 3) if compensated else 0
    return macs


def change_macs(net: Architecture) -> int:
    """Multiplications by which `turn_changes` turns the changes of one chip's weights."""
    return sum(units * n * n for units, (_, n) in zip(net.units, net.turned_together, strict=True))


def turn_inputs(rotations: Layered, observed: Sequence[Observation], chips: int, net: Architecture) -> int:
    """x -> R x of what the passes of a call were driven with, in place; they share that of the first layer.

    Returns the multiplications that this takes.
    """
    macs = 0
    for p, observation in enumerate(observed):
        for layer, inputs in enumerate(observation.inputs):
            if p == 0 or layer > 0:
                rotation = rotations[layer]
                if not rotation.size:  # of a gain
                    continue
                x = inputs[..., : rotation.shape[1]]
                x[...] = algebra.product(x, [rotation], chips=chips, transposed=True)
                macs += x.size * net.turned_together[layer][1]
    return macs


def turn_change(rotation: Floats, change: Floats, chips: int) -> Floats:
    """dA = dW R of one layer, (chips n_out, n_in); a bias column stays as it is."""
    n = rotation.shape[1]
    if not n:  # of a gain
        return change
    if change.shape[1] == n:
        return algebra.product(change, [rotation], chips=chips)
    of_cells: Floats = change.copy()
    of_cells[:, :n] = algebra.product(change[:, :n], [rotation], chips=chips)
    return of_cells


def turn_changes(rotations: Layered, changes: Layered, chips: int) -> Layered:
    """dA = dW R of all layers."""
    turned = [turn_change(rotation, change, chips) for rotation, change in zip(rotations, changes, strict=True)]
    return layered.layered(turned)
