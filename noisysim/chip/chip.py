"""A chip: one fabricated device that carries one network; or several such chips, side by side."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

import noisysim.devices as devices
from noisysim.chip import (
    checkpoint,
    class_inputs,
    compensation,
    given_weights,
    initial_weights,
    origin,
    targets,
    weight_compensation,
    weight_decay,
    weight_normalisation,
)
from noisysim.chip import first_layer as first_layers
from noisysim.chip.calls import Calls
from noisysim.chip.checking import Checks, check_seeds
from noisysim.chip.decorrelation import change_macs, check_form, decorrelate, form, step_macs, turn_changes
from noisysim.chip.first_layer import FirstLayer
from noisysim.chip.given_weights import Initial
from noisysim.chip.granted import Granted
from noisysim.chip.kept import Kept
from noisysim.chip.offered import Offered
from noisysim.chip.prediction import predict
from noisysim.chip.state import State
from noisysim.chip.taught import Taught
from noisysim.chip.weight_scaling import WEIGHT_SCALINGS
from noisysim.common.fields import Field, check, check_choice, check_switch
from noisysim.common.limits import CHIPS
from noisysim.common.types import Array, Floats
from noisysim.compute import backends, grouping, layered, seeding
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.devices.contract import Device, DeviceSpec
from noisysim.devices.resolved import resolve
from noisysim.networks.activations import Activation
from noisysim.networks.importing.imported import Imported
from noisysim.networks.tiling import Network, network

INJECTIONS = ("line", "digital")
RATE = Field("per update", 0, 1, "step of the decorrelation")
WAIT = Field("s", 0, 1e12)


class Chip(Offered, Granted, Kept, Taught):
    """One fabricated device carrying one network; the only object that knows weights and noise.

    What it lets out are observations. Its weights can be changed, not read; its noise can be neither.

    Parameters
    ----------
    layers : sequence
        Inputs, hidden layers, number of outputs, e.g. ``[784, 256, 10]`` or ``[(3, 32, 32), conv(16, 3), pool(2), 10]``
        (`noisysim.layers`): the input is a number or an image's shape, (channels, height, width). Or a model from
        elsewhere, ``noisysim.networks.load("model.onnx")`` or its path, with weights and biases.
    device : str or device
        What the arrays are made of (`noisysim.devices.get`).
    activation : str or Activation
        Of hidden layers that state none (`noisysim.networks.activations.get`). The last layer is linear.
    decorrelate : bool or {"inputs", "updates", "compensated"}
        Whether the digital periphery turns each layer's inputs, of a convolution each patch, by a matrix R that
        `decorrelate` adapts. "inputs": R x drives the arrays, which hold W. "updates": x drives them, R x is observed,
        and what `program` is asked for is turned, dW R: steps of R change no output. "compensated": as "inputs", and
        each step of R is followed by a write of W that makes up for it (`noisysim.chip.decorrelation`).
        True is "inputs" where initial weights are drawn, "updates" where they are given.
    seed : int or sequence of int
        Of fabrication and noise. The same seed gives the same chip and the same noise, bit for bit. Of several chips
        perhaps one each: then each is the chip that its seed gives alone, initial weights included.
    backend : {"cpu", "cuda", "cuda:tf32", "auto"}
        Where the chip is simulated: on the CPU, or on a GPU, where its arrays are then CuPy's. "cuda:tf32" rounds what
        products take to ten bits; "auto" takes a GPU if there is one.
    bias : bool
        One more row per array, driven with the constant 1. A model from elsewhere has one if it needs one.
    inject : {"line", "digital"}
        Where a drive's perturbation enters: at the line before the ADC, or after it.
    oracle : bool
        Grant access that no real chip gives (`oracle`, `weights`, `cells`). The ideal device always does.
    init : {"he", "he-uniform", "uniform", "glorot", "zero"}, list, mapping, path, Result or Chip
        Initial weights, which the device writes like any others. Default: those of a model, else "he". A law: N(0, 2 /
        n_in) (He et al. 2015), or uniform of that variance; uniform within 1 / sqrt(n_in); N(0, 2 / (n_in + n_out))
        (Glorot & Bengio 2010); zero; biases are zero. Or given weights, the same for all chips: a list of arrays
        (n_out, n_in), with biases of pairs (W, b) or with one more column; named arrays such as ``"0.weight"`` or
        ``"fc1.weight"``, in a mapping or in a file ``.npz`` or ``.safetensors``; what a chip, the result of a run or
        its file hold (:doc:`/trained-elsewhere`).
    chips : int
        How many chips of the device to make, which differ in fabrication and noise and are asked for the same initial
        weights. Then a batch has the samples of the first chip, after them those of the second, and so on, and arrays
        in the shape of the weights have the rows of one chip after those of another.
    weight_scaling : {"fixed", "array", "column"}
        Which weight the full span of conductances stands for: the one that the device states; the largest |initial
        weight| of each layer, biases included; that of each output line, or of its layer where that is below 1 % of the
        layer's. The periphery multiplies by the scale after the ADC; noise, errors of cells and converter steps shrink
        with it. Learning cannot make a weight larger than that. Devices without cells have no span.

    Examples
    --------
    >>> import numpy as np
    >>> chip = Chip([64, 16, 10], "crossbar", seed=1)
    >>> first, second = chip.passes(np.ones((5, 64)), [Drive(), Drive()])
    >>> first.output.shape, bool((first.output == second.output).all())  # each pass has noise of its own
    ((5, 10), False)
    >>> chip.program([np.full(shape, 0.01, np.float32) for shape in chip.network.shapes])  # weights can be changed
    >>> sorted(chip.offers)
    ['output_error', 'perturbation']
    """

    def __init__(
        self,
        layers: Sequence[Any] | str | os.PathLike[str] | Imported,
        device: DeviceSpec = "crossbar",
        activation: str | Activation = "leaky_relu",
        decorrelate: bool | str = False,
        seed: seeding.Seeds = 0,
        backend: str = "cpu",
        *,
        bias: bool = False,
        inject: str = "line",
        oracle: bool = False,
        init: Initial | None = None,
        chips: int = 1,
        weight_scaling: str = "fixed",
    ):
        arguments = dict(locals())
        backend = backends.resolve(backend)
        check_choice("inject", inject, INJECTIONS)
        check_choice("weight_scaling", weight_scaling, WEIGHT_SCALINGS)
        bias, oracle = check_switch("bias", bias), check_switch("oracle", oracle)
        listed, bias, init = given_weights.of_model(layers, bias, init)
        self.chips = check("", "chips", chips, CHIPS)
        seed = check_seeds(seed, self.chips)
        self.device: Device = devices.get(device)
        self.network: Network = network(listed, activation, bias, resolve(self.device))
        self.architecture = self.network.untiled()
        self.noisy = devices.is_noisy(self.device)
        initial = given_weights.read(init, self.architecture)
        self.init: str | dict[str, Any] = initial if isinstance(initial, str) else initial.record
        self.inject, self.backend = inject, backend
        self._oracle = oracle or not devices.own_hooks(self.device)
        self._checks = Checks(self.network, self.chips, backend)
        decorrelation = form(decorrelate, not isinstance(initial, str))
        check_form("decorrelate", decorrelation, self.device)
        weights = initial_weights.wanted(self.network, initial, seed)
        self._hidden = State(self.network, self.device, seed, self.chips, backend, decorrelation, weight_scaling)
        self._calls = Calls(self._hidden, self._checks, inject == "digital")
        initial_weights.load(self._hidden, initial, weights)
        settled = {"layers": listed, "bias": bias, "seed": seed, "backend": backend, "init": self.init}
        self._origin = origin.made({**arguments, **settled}, self.device, self.architecture)

    # -- passes --------------------------------------------------------------------------------------------------

    def forward(self, x: Batch | npt.ArrayLike, drive: Drive | None = None) -> Observation:
        """One pass.

        Parameters
        ----------
        x : numpy.ndarray or Batch
            (batch, n_in), or a task's batch, which gives the observation its loss.
        drive : Drive, optional
            Perturbations to apply.
        """
        return self.passes(x, [Drive() if drive is None else drive])[0]

    def passes(
        self,
        batch: Batch | npt.ArrayLike,
        drives: Sequence[Drive],
        out: Sequence[Observation] | None = None,
        *,
        first_sample: int = 0,
        training: bool = False,
        inputs_of: str = "all",
    ) -> Sequence[Observation]:
        """One pass for each drive, over the same inputs.

        Parameters
        ----------
        batch : numpy.ndarray or Batch
            (batch, n_in) inputs, or a task's batch.
        drives : sequence of Drive
        out : sequence of Observation, optional
            What an earlier call returned for as many samples and drives: overwritten and returned.
        first_sample : int
            Above 0 the call resumes the passes of the call before at this sample: a batch handed over in chunks
            of a multiple of 512 rows sees the noise, and gives the bits, of the whole.
        training : bool
            Whether dropout layers drop, the same outputs in all passes of the call, and batch normalisation is by the
            statistics of this batch as the first pass observed them, instead of by running ones (of a single sample
            there are none).
        inputs_of : {"all", "first"}
            Whose ``inputs`` are observed. No rule uses those of perturbed passes, and of many passes of a convolution
            they are most of the memory.

        Returns
        -------
        sequence of Observation
            In the order of the drives. They share the array of the first layer's inputs, the same for all.

        Raises
        ------
        TypeError, ValueError
            For what is no array of real numbers, does not fit, or is non-finite (`noisysim.common.plain_arrays`): then
            nothing is drawn or counted. Arrays that are on a GPU already are not searched for NaN.
        """
        return self._calls.observe(batch, drives, out, first_sample, training, inputs_of)

    def calibrate(self, x: Batch | npt.ArrayLike) -> None:
        """Set the full scale of every converter that calibrates itself, by one pass of `x`, (batch, n_in) or a batch.

        The largest line value read, with a quarter to spare. Where nothing was read (all inputs zero) the range
        stays what it was. Before it the running statistics of batch normalisation are set, by a pass for each layer
        that has one, from the lowest up. A few dozen samples are enough; of one no variance can be told. A chip
        calibrates itself on its first pass if it was not asked to before. Of a network that begins with an `embedding`
        they must be numbers of classes.
        """
        class_inputs.check(self.architecture, x)
        self._calls.calibrate(x)

    def predict(self, x: Batch | npt.ArrayLike, n_reads: int = 1) -> Floats:
        """What the chip gives for some inputs, by passes like any others: they take time, and count.

        Parameters
        ----------
        x : numpy.ndarray or Batch
            (batch, n_in), or (batch, ...) in the shape of the inputs, standardised as the chip was trained on them
            (`noisysim.Result.predict` does that); or a task's batch, which is. Many samples go through in parts.
        n_reads : int
            Noisy reads to average.

        Returns
        -------
        numpy.ndarray
            Outputs, (batch, n_out) float32; of several chips, each of which is given all samples, (chips, batch,
            n_out).

        Raises
        ------
        TypeError, ValueError
            For what does not fit, or is non-finite: before the first pass.

        Examples
        --------
        >>> import numpy as np
        >>> chip = Chip([64, 16, 10], "crossbar", seed=1)
        >>> chip.predict(np.ones((1000, 64)), n_reads=4).shape
        (1000, 10)
        """
        return predict(self, self._checks, x, n_reads)

    # -- changes -------------------------------------------------------------------------------------------------

    def program(self, updates: Sequence[Array], *, decay: float = 0.0) -> None:
        """Ask for a change of the weights; the device's write physics decides what happens.

        Parameters
        ----------
        updates : sequence of numpy.ndarray
            One (n_out, n_in) array per layer, to be added; with a bias its last column is the bias's.
        decay : float
            Share of each weight, biases excepted, that the same write takes off: of what the controller knows it to be.

        Raises
        ------
        TypeError, ValueError
            For what is no array of real numbers, does not fit, or is non-finite (`noisysim.common.plain_arrays`): then
            no cell changes. For `decay` on a device whose write controller keeps no targets; for any change on a device
            that updates in the array (`descend`).
        """
        hidden, changes = self._hidden, self._checks.updates(updates)
        if self.network.is_grouped:
            changes = layered.layered([change.copy() for change in changes])  # which are the caller's
            grouping.mask(self.network, changes)
        if hidden.turns_updates:
            changes = turn_changes(hidden.rotations, changes, self.chips)
            hidden.meter.cost.decorrelation_macs += self.chips * change_macs(self.network)
        weight_decay.write(hidden, changes, decay)
        self._programmed()

    def wait(self, seconds: float) -> None:
        """Let time pass: cells drift, and a periphery that compensates for drift measures what it has taken.

        Where the controller keeps targets, the measure is what calibration vectors give, projected on what the targets
        should give: of cells as they were before the first wait it is the reference. From then on it is measured again
        before the first pass after a write, since cells that were written do not need what the others do. Without
        targets, such as after pulses in open loop, the measure is the mean |line|, and the reference what it was before
        the wait.

        Parameters
        ----------
        seconds : float
        """
        compensation.wait(self._hidden, check("", "seconds", seconds, WAIT))

    def decorrelate(self, inputs: Sequence[Array], rate: float) -> None:
        """Adapt the periphery's decorrelation matrices to the inputs that one pass observed.

        Parameters
        ----------
        inputs : sequence of numpy.ndarray
            An observation's ``inputs``.
        rate : float
            Step alpha of R <- R - alpha (<x* x*^T> - diag<x*^2>) R (`noisysim.chip.decorrelation`).
        """
        if not self._hidden.rotations:
            raise ValueError("this chip does not decorrelate: make it with decorrelate=True")
        if not (type(rate) is float and 0 <= rate <= 1):  # a plain rate comes with every update
            rate = check("", "rate", rate, RATE)
        checked = self._checks.observed("inputs", inputs, self.network.driven_shape)
        macs = step_macs(self.network, len(checked[0]) // self.chips, self._hidden.compensates_steps)
        self._hidden.meter.cost.adaptation_macs += self.chips * macs
        if self._hidden.compensates_steps:
            weight_compensation.step(self._hidden, checked, rate)
        else:
            decorrelate(self._hidden.rotations, checked, rate, self.chips, self.network)

    def track(self, activities: Sequence[Array]) -> None:
        """Move the running statistics of batch normalisation towards those of the activities that one pass observed.

        A batch counts by its samples (`noisysim.chip.normalisation`); one of a single sample moves mean and variance
        too.

        Parameters
        ----------
        activities : sequence of numpy.ndarray
            An observation's ``activities``.
        """
        if not self._hidden.normalises:
            return
        checked = self._checks.observed("activities", activities, self.network.line_shape)
        self._hidden.normalisation.track_all(checked)

    def normalise(self) -> None:
        """Rescale each neuron's incoming weights to the RMS sqrt(2 / (n_in + n_out)), without the biases.

        Neuron-wise weight normalisation (Hiratani et al. 2022, appendix C.1). The write controller does it, on arrays
        of cells from the targets it keeps, by a write like any other.

        Raises
        ------
        ValueError
            For a device whose write controller keeps no targets.
        """
        if not self._hidden.arrays.knows_targets:
            raise targets.lacking(self.device, "to normalise")
        weight_normalisation.rescale(self._hidden)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Passes in this block leave no trace in the noise, the cost and the converter ranges of those after it.

        Their noise is independent of that of the chip's other passes and of other such blocks.
        """
        with self._hidden.aside():
            yield


# -- for checkpoints, and for checks of the simulation itself ----------------------------------------------------------


def snapshot(chip: Chip, copied: bool = True) -> dict[str, Array]:
    """A copy of a chip's whole state, for a checkpoint, or a look at it. What follows from the seed is not in it."""
    return checkpoint.save(chip._hidden, copied)


def hand_over(chip: Chip) -> dict[str, Array]:
    """`snapshot`, of a chip that is not used any more: its memory now belongs to who asks."""
    return checkpoint.hand_over(chip._hidden)


def restore(chip: Chip, state: Mapping[str, Array]) -> None:
    """Set a chip made with the same arguments to a `snapshot`."""
    checkpoint.load(chip._hidden, state)


def first_layer(chip: Chip) -> FirstLayer:
    """A copy of what the next pass aside reads in the first layer."""
    return first_layers.copy(chip._hidden)


def analog_passes(chip: Chip, x: Array, count: int) -> Sequence[Observation]:
    """Passes of inputs (batch, n_in) whose lines are not digitised, and which do not count as passes."""
    return chip._calls.analog(x, count)
