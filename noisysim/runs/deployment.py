"""`deploy`: a trained network on chips of a device: what it does there now, and after some time."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import noisysim.devices as devices
from noisysim import tasks
from noisysim.chip import storage as chip_files
from noisysim.chip.chip import Chip
from noisysim.common import openers, writing
from noisysim.common.arguments import argument
from noisysim.common.fields import as_list, check, check_switch, shown
from noisysim.common.limits import CALIBRATION, CHIPS, SEED
from noisysim.common.types import Array, Doubles
from noisysim.compute import backends, execution
from noisysim.compute.observation import Drive
from noisysim.networks import layers as kinds
from noisysim.networks.building import with_ends
from noisysim.networks.importing import models
from noisysim.runs import execute
from noisysim.runs.afterwards import Trained
from noisysim.runs.evaluation import Evaluation
from noisysim.runs.retention import check_times
from noisysim.tasks import Task
from noisysim.tasks.feed import Feed

BATCH = 256
"""Samples of a test's passes, and those by which layers are compared with the exact network."""


@dataclass(frozen=True)
class LayerHealth:
    """How a layer of weights does on the device.

    Attributes
    ----------
    shape : (int, int)
        Of the weights, (n_out, n_in).
    clipped : float
        Share of the weights beyond what cells can hold.
    saturated : float
        Share of the values that ADCs clip.
    snr : float
        Power of the exact network's lines over that of what the chips' differ by, dB, before the first wait: errors of
        writes, noise, converters, and what comes from the layers below. Infinite where nothing differs.
    """

    shape: tuple[int, int]
    clipped: float
    saturated: float
    snr: float


@dataclass(frozen=True, eq=False)
class Deployment:
    """A network on chips of a device.

    Attributes
    ----------
    task, device : str
    seconds : numpy.ndarray
        Times after programming, (times,).
    test_loss, test_accuracy : numpy.ndarray
        On the whole test split, (times, chips); the accuracy is a fraction, NaN of a regression.
    exact_loss, exact_accuracy : float
        The same of the network itself, on exact hardware.
    layers : tuple of LayerHealth
    cost : dict
        Of one sample's pass on one chip: ``mvms``, ``dac_conversions``, ``adc_conversions``; and of programming a chip,
        ``cells_programmed`` and ``pulses``.
    exact : Chip
        The network on exact hardware, with the weights that were asked for.
    """

    task: str
    device: str
    seconds: Doubles
    test_loss: Doubles
    test_accuracy: Doubles
    exact_loss: float
    exact_accuracy: float
    layers: tuple[LayerHealth, ...]
    cost: dict[str, float]
    exact: Chip = field(repr=False)

    def __repr__(self) -> str:
        """A table of times, and one of layers."""
        chips = self.test_loss.shape[1]
        exact = _share(self.exact_accuracy) if math.isfinite(self.exact_accuracy) else f"loss {self.exact_loss:.4g}"
        lines = [f"{self.task} on {self.device}, {chips} chip{'s' * (chips > 1)}; exact network: {exact}"]
        lines.append(f"{'seconds':>12}  {'test loss':>18}  test accuracy")
        for seconds, loss, accuracy in zip(self.seconds, self.test_loss, self.test_accuracy, strict=True):
            share = "" if np.isnan(accuracy).any() else f"  {_spread(100 * accuracy, '.1f')} %"
            lines.append(f"{seconds:>12g}  {_spread(loss, '.4g'):>18}{share}")
        lines.append(f"{'layer':>12}  {'weights':>14}  {'clipped':>8}  {'saturated':>9}  {'SNR':>8}")
        for k, layer in enumerate(self.layers):
            weights = f"{layer.shape[0]} x {layer.shape[1]}"
            lines.append(
                f"{k + 1:>12}  {weights:>14}  {100 * layer.clipped:>6.2f} %  {100 * layer.saturated:>7.2f} %  "
                f"{layer.snr:>5.1f} dB"
            )
        costs = ", ".join(f"{value:,.0f} {name.replace('_', ' ')}" for name, value in self.cost.items())
        return "\n".join([*lines, f"{'cost':>12}  {costs}"])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A matplotlib figure: accuracy against time, and the layers' signal to noise ratio.

        Parameters
        ----------
        path : path, optional
            Where to write it as well.
        """
        from noisysim.reporting import deployment_figure, style

        figure = deployment_figure.draw(self)
        if path is not None:
            style.save(figure, path)
        return figure

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it to an HDF5 file: that of a chip (`Chip.save`), the exact network's, with the tables beside.

        So `noisysim.Chip.load` has the network, and ``init=path`` lets a run begin with it.

        Parameters
        ----------
        path : path
            Its name ends in ``.h5`` or ``.hdf5``.
        overwrite : bool
            Replace an existing file.
        """
        record = {
            "task": self.task, "device": self.device, "seconds": self.seconds.tolist(),
            "test_loss": self.test_loss.tolist(), "test_accuracy": self.test_accuracy.tolist(),
            "exact_loss": self.exact_loss, "exact_accuracy": self.exact_accuracy, "cost": self.cost,
            "layers": [[list(one.shape), one.clipped, one.saturated, one.snr] for one in self.layers],
        }  # fmt: skip
        self.exact.save(path, overwrite=overwrite, beside={chip_files.DEPLOYMENT: json.dumps(record, indent=1)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Deployment:
        """What `save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it holds no deployment.
        """
        text = chip_files.beside(path, chip_files.DEPLOYMENT)
        if text is None:
            raise ValueError(f"{path} holds a chip, and no deployment")
        record = json.loads(text)
        record["layers"] = tuple(LayerHealth((a, b), *numbers) for (a, b), *numbers in record["layers"])
        record |= {name: np.array(record[name]) for name in ("seconds", "test_loss", "test_accuracy")}
        return cls(**record, exact=Chip.load(path, oracle=True))


def deploy(
    network: Any,
    *,
    init: Any = None,
    device: Any = "crossbar",
    task: Any = None,
    seconds: Sequence[float] = (0.0,),
    chips: int = 1,
    seed: int = 0,
    calibration: int = 256,
    activation: Any = "leaky_relu",
    bias: bool = False,
    weight_scaling: str = "fixed",
    data: str | os.PathLike[str] | None = None,
    backend: str = "cpu",
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Deployment:
    """Put a trained network on chips of a device, and test it now and later.

    Each chip is fabricated, programmed and read by itself. Weights reach its cells through the mapping that any given
    weights take; converters calibrate themselves by training samples.

    Parameters
    ----------
    network : str, path, onnx.ModelProto or list
        Whose weights come with it: an ONNX file, or what `noisysim.networks.load` makes of one; the file of a saved
        chip or of a run; a chip or a result. Or hidden layers as `noisysim.run` takes them, with `init`.
    init : list, mapping, path, Result or Chip, optional
        The weights, where the network has none of its own (`noisysim.Chip`).
    device : str or device
    task : str, path, arrays or Task
        Whose test split is tested on, and whose training samples converters are calibrated by. Default: a run's own
        task, of which a split that a seed draws is that of the run's seed; for other networks "digits".
    seconds : list of float
        Times after programming at which to test, rising.
    chips : int
        How many chips to make.
    seed : int
        Of the first chip's fabrication and noise; the others have the seeds that follow.
    calibration : int
        Training samples by which converters, and batch normalisation without statistics, are calibrated.
    activation : str or Activation
        Of layers that name none.
    bias : bool
        Whether a network given as a list has biases.
    weight_scaling : {"fixed", "array", "column"}
        Which weight the full span of conductances stands for (`noisysim.Chip`): with the device's own, "fixed", larger
        weights are clipped.
    data : path, optional
        Folder of the data files.
    backend : {"cpu", "cuda", "cuda:tf32", "auto"}
    threads : int, optional
        Threads to use.
    out : path, optional
        File to save it to (`Deployment.save`).
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Deployment

    Raises
    ------
    ValueError, TypeError, OSError
        If the network has no weights, or does not fit the task.

    Examples
    --------
    >>> import noisysim
    >>> result = noisysim.run("digits", layers=[16], device="ideal", learner="bp", epochs=2, progress=False)
    >>> found = noisysim.deploy(result, device="pcm", task="digits", seconds=[0, 86400], chips=2)
    >>> found.test_accuracy.shape
    (2, 2)
    """
    times = check_times("seconds", seconds) or [0.0]
    count, seed = check("", "chips", chips, CHIPS), check("", "seed", seed, SEED)
    samples = check("", "calibration", calibration, CALIBRATION._replace(low=1))
    if out is not None:
        writing.check_apart(out, {"the network": getattr(network, "path", network)})
        execute.check_apart(Path(out), task, init)
        writing.check(out, check_switch("overwrite", overwrite))
    holder, model = _held(network), devices.get(device)
    form = _form(holder, task, data, seed)
    exact = _exact(holder, init, form, activation, bias)
    layers = exact.layers
    seeds = list(range(seed, seed + count))
    chip = Chip(
        layers, model, exact.activation, seed=seeds if count > 1 else seed, chips=count, bias=exact.architecture.bias,
        init=exact, backend=backends.resolve(backend), weight_scaling=weight_scaling,
    )  # fmt: skip
    with execution.threads(threads if threads is None else check("", "threads", threads, CHIPS)):
        calibrating = form.batch("train", slice(0, min(samples, form.n_train))).inputs
        for one in (exact, chip):
            one.calibrate(np.tile(calibrating, (one.chips, 1)))
        written, before = chip.cost, chip.cost
        health = _health(chip, exact, form)
        tests = [_after(chip, form, time) for time in times]
        (exact_loss,), (exact_accuracy,) = _test(exact, form)
    net = chip.network
    cost = dict(zip(("mvms", "dac_conversions", "adc_conversions"), map(float, net.conversions), strict=True))
    cost |= {"cells_programmed": written.cells_written_at_start / count, "pulses": before.pulses / count}
    losses, accuracies = np.array(tests).swapaxes(0, 1)
    found = Deployment(
        form.name, devices.name_of(model), np.array(times), losses, accuracies, float(exact_loss),
        float(exact_accuracy), health, cost, exact,
    )  # fmt: skip
    if out is not None:
        found.save(out, overwrite=overwrite)
    return found


def _held(network: object) -> Any:
    """What was given, or what a chip's or a run's file holds."""
    if isinstance(network, (str, os.PathLike)) and os.path.splitext(network)[1].lower() in chip_files.ENDINGS:
        return openers.opened(network)
    return network


def _form(network: object, task: object, data: str | os.PathLike[str] | None, seed: int) -> Task:
    """The task to test on."""
    holder: Any = network
    learned = getattr(holder, "config", None)  # of a run
    if learned is None:
        return tasks.get("digits" if task is None else task, data=data, seed=seed)
    if task is not None:
        return tasks.get(task, data=data, seed=learned["seed"])
    if learned["task"]["name"] == "arrays":
        where = holder.path or "this run"
        raise ValueError(
            f"{where} learned arrays that its file does not hold: give "
            f"{argument('task=(x_train, y_train, x_test, y_test)')}, or (x, y) where the run itself split them"
        )
    return Trained(holder.content, holder.path or "this run").own_task(data)


def _exact(network: object, init: Any, form: Task, activation: Any, bias: bool) -> Chip:
    """The network on exact hardware, with its weights."""
    holder: Any = network
    model = models.opened(holder)
    if model is not None:
        model = model.fitted(form.input_shape, form.n_out)
        return Chip(model, "ideal", init=init, oracle=True)
    if hasattr(holder, "chip"):  # the result of a run
        holder = holder.chip(oracle=True)
    if isinstance(holder, Chip):
        source = holder if init is None else init
        listed, activation, bias = holder.layers, holder.activation, holder.architecture.bias
    else:
        if init is None:
            raise ValueError("deploy needs weights: give init, or a network that has its own, such as a result")
        source, listed = init, with_ends(form.input_shape, kinds.hidden(as_list(holder)), form.n_out)
    exact = Chip(listed, "ideal", activation, bias=bias, init=source, oracle=True)
    sizes = exact.sizes[0], exact.network.n_out
    if sizes != (form.n_in, form.n_out):
        raise ValueError(
            f"the network has {sizes[0]} inputs and {sizes[1]} outputs, task {shown(form.name)} has {form.n_in} and "
            f"{form.n_out}"
        )
    return exact


def _after(chip: Chip, form: Task, seconds: float) -> tuple[Doubles, Doubles]:
    """Loss and accuracy of each chip at a time after programming."""
    chip.wait(max(0.0, seconds - chip.clock))
    return _test(chip, form)


def _test(chip: Chip, form: Task) -> tuple[Doubles, Doubles]:
    """Loss and accuracy of each chip on the test split."""
    evaluation = Evaluation(chip, Feed(form, chip.backend, chip.chips), BATCH)
    return evaluation.means("test", np.arange(form.n_test))


def _health(chip: Chip, exact: Chip, form: Task) -> tuple[LayerHealth, ...]:
    """What becomes of each layer's weights and lines, over some samples of the test split."""
    inputs = form.batch("test", slice(0, min(BATCH, form.n_test))).inputs
    (truth,) = exact.passes(inputs, [Drive()])
    with chip.aside():
        (observed,) = chip.passes(np.tile(inputs, (chip.chips, 1)), [Drive()])
        clipped, saturated = chip.clipped, chip.saturated(observed.inputs)
    take, found = backends.get(chip.backend).take, list[LayerHealth]()
    for k, (shape, lines) in enumerate(zip(chip.network.shapes, observed.activities, strict=True)):
        found.append(LayerHealth(shape, clipped[k], saturated[k], _snr(truth.activities[k], take(lines), chip.chips)))
    return tuple(found)


def _snr(truth: Array, lines: Array, chips: int) -> float:
    """Power of lines over that of what all chips' differ by, dB."""
    differences = lines.reshape(chips, -1).astype(float) - truth.reshape(1, -1)
    power, lost = float(np.mean(np.square(truth, dtype=float))), float(np.mean(differences**2))
    return 10 * math.log10(power / lost) if power and lost else math.inf


def _spread(values: Doubles, form: str) -> str:
    """A mean over chips with its standard deviation."""
    mean = format(float(np.mean(values)), form)
    return mean if len(values) < 2 else f"{mean} +- {format(float(np.std(values, ddof=1)), form)}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"
