"""The result of a run."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from noisysim.chip.chip import Chip
from noisysim.chip.decorrelation import FORMS
from noisysim.chip.origin import ActivationSpec
from noisysim.chip.weight_sources import title
from noisysim.common import html_table, writing
from noisysim.common.identity import RECORD
from noisysim.common.texts import printable
from noisysim.compute.losses import LossSpec
from noisysim.devices.contract import DeviceSpec
from noisysim.runs import storage
from noisysim.runs.afterwards import Trained
from noisysim.runs.history import LOOKS
from noisysim.runs.scores import Scores


class Result:
    """What a run recorded.

    Attributes
    ----------
    status : {"finished", "interrupted", "stopped", "diverged", "running"}
        Interrupted by a signal, stopped at its time limit or by a callback. A file left by a run that was killed says
        "running".
    reason : str
        Why a callback stopped the run, "" if none did.
    config : dict
        Every argument, resolved: `noisysim run --config FILE` runs it again.
    environment : dict
        Versions, backend, processor.
    history : dict of numpy.ndarray
        One value per epoch: train_loss, train_accuracy, test_loss, test_accuracy (fractions), learning_rate,
        passed_share (of activities, those in which two passes of an update differ: what the ADC lets through),
        activity_rms, passes, mvms, adc_conversions, cells_programmed, pulses, and with validation data validation_loss,
        validation_accuracy (`noisysim.runs.history.History`). Of several chips losses, accuracies, passed_share and
        activity_rms are (epochs, chips); counts are of all chips together.
    steps : dict of numpy.ndarray
        One value per update: train_loss; of several chips (updates, chips).
    diagnostics : dict of numpy.ndarray
        What the diagnostics found, (looks, layers) each, by name; and ``"update"``, (looks,), the updates done before
        each look. Empty for a run without any.
    cost : dict of int
        What learning cost on the chip (`noisysim.chip.cost.Cost`), and digitally beside it
        (`noisysim.runs.digital.account`).
    warnings : list of str
        What the run noticed about itself.
    elapsed : float
        Seconds, set-up included.
    path : Path or None
        The result file.
    content : dict
        All of it, as the file has it.
    """

    def __init__(self, content: dict[str, Any], path: Path | None):
        self.content = content
        self.path = path
        self.status: str = content["status"]
        self.reason: str = content.get("reason", "")
        self.config: dict[str, Any] = content["config"]
        self.environment: dict[str, Any] = content["environment"]
        self.warnings: list[str] = content["warnings"]
        self.cost: dict[str, int] = content["cost"]
        self.elapsed: float = content["elapsed"]
        self.history: dict[str, np.ndarray] = content["arrays"]["history/epoch"]
        self.steps: dict[str, np.ndarray] = content["arrays"]["history/step"]
        self.diagnostics: dict[str, np.ndarray] = content["arrays"].get(LOOKS, {})

    @property
    def clock(self) -> float | None:
        """Seconds on the chip's clock at the run's end, of reads, of waits, and of writes where these take time.

        ``None`` where the result holds no state of its chip.
        """
        state = self.content["arrays"].get("state/chip", {})
        return float(state["times"][0]) if "times" in state else None

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a result file (layout: `noisysim.runs.storage`)."""
        path = Path(path)
        with writing.hold(path, overwrite) as file:
            storage.write(file, self.content)
        self.path = path

    def chip(
        self,
        *,
        oracle: bool = False,
        device: DeviceSpec | None = None,
        activation: ActivationSpec | None = None,
        backend: str | None = None,
    ) -> Chip:
        """The trained chip as it stands, with the noise that it would go on with: each call gives another copy.

        The data of the task are not needed.

        Parameters
        ----------
        oracle : bool
            Grant access that no real chip gives, such as `noisysim.Chip.weights`. The run is over: nothing records it.
        device : path or device
            Where the run's device file is now, if it was moved; or the device, if it was made in a script or a
            notebook. It must be the same to the byte; its numbers are the run's.
        activation : path or activation
            Likewise the network's activation function.
        backend : {"cpu", "cuda", "cuda:tf32", "auto"}
            Where to simulate it. Default: where the run did.

        Returns
        -------
        Chip
            Of a run of several chips all of them, side by side.

        Raises
        ------
        ValueError, FileNotFoundError
            If a part is not found or is not the run's, or the result holds no state of its chip.

        Examples
        --------
        >>> import noisysim
        >>> result = noisysim.run(device="pcm", layers=[16], epochs=1)
        >>> chip = result.chip()
        >>> chip.wait(86400)  # a day
        >>> result.test(chip=chip).samples
        360
        """
        return self._trained.chip(oracle, device, activation, backend)

    def predict(
        self,
        x: object,
        n_reads: int = 1,
        *,
        proba: bool = False,
        chip: Chip | None = None,
        task: object = None,
        data: str | os.PathLike[str] | None = None,
    ) -> np.ndarray:
        """What the trained network says of samples, standardised as its task's were.

        Parameters
        ----------
        x : array, frame or path
            (samples, ...) in the units of the task's data: of MNIST and CIFAR whole numbers from 0 to 255, of "digits"
            from 0 to 16, of your own data as they were given to the run. They are standardised here: neither divide nor
            standardise them before. Inputs that vary by far less, or lie far further out, than the data that the run
            learned are warned about. Of a task of a table a frame, or a file, whose columns are found by name. Files:
            ``.csv``, ``.tsv``, ``.parquet``, ``.npy``, ``.npz``, ``.h5`` and others
            (`noisysim.tasks.sample_files`).
        n_reads : int
            Noisy reads to average.
        proba : bool
            Of a classification with the loss "cce": give the softmax of the outputs, (samples, classes), instead.
        chip : Chip
            To ask in place of the run's, such as one that has aged; its passes count. Default: that of the run's end,
            made anew for each call, so that the same question has the same answer.
        task, data
            The run's data and the folder of its data files (`noisysim.resume`), for a file of a version that did not
            keep how the task standardises.

        Returns
        -------
        numpy.ndarray
            Of a classification labels as the data have them, (samples,); of a regression values in their units,
            float64 (samples, n_out). Of several chips with an axis of chips first.

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            For samples that are not like the task's, in one line.
        """
        return self._trained.predict(x, n_reads, proba, chip, task, data)

    def test(
        self,
        task: object = None,
        *,
        n_reads: int = 1,
        chip: Chip | None = None,
        loss: LossSpec | None = None,
        data: str | os.PathLike[str] | None = None,
    ) -> Scores:
        """Test the trained chip: loss, accuracy or R2, and which classes were taken for which.

        Parameters
        ----------
        task : arrays, path, Task or None
            Samples (x, y) in the units, and with the labels, of the run's data; or a task, whose test split is used,
            standardised as the run's data were; of a task of a table another table with its targets. Default: the
            run's own test split, which has to be found as `noisysim.resume` finds it.
        n_reads : int
            Noisy reads to average.
        chip : Chip
            To test in place of the run's (`predict`).
        loss : path or Loss or function
            The run's loss, if that was an object, or its file was moved: it must be the same.
        data : path
            Folder of the data files.

        Returns
        -------
        noisysim.runs.scores.Scores
            Its repr is a table.

        Raises
        ------
        ValueError, TypeError, FileNotFoundError
            For data that are not like the run's, in one line.

        Examples
        --------
        >>> import noisysim
        >>> result = noisysim.run(layers=[16], epochs=5, seed=1)
        >>> scores = result.test(n_reads=4)
        >>> scores.confusion.shape, int(scores.confusion.sum()), bool(scores.accuracy > 0.5)
        ((10, 10), 360, True)
        """
        return self._trained.test(task, n_reads, chip, loss, data)

    def to_onnx(self, path: str | os.PathLike[str], *, oracle: bool = False, overwrite: bool = False) -> None:
        """Write the trained network as an ONNX model, by `noisysim.Chip.to_onnx` of `chip(oracle=oracle)`."""
        self.chip(oracle=oracle).to_onnx(path, overwrite=overwrite)

    @property
    def _trained(self) -> Trained:
        return Trained(self.content, self.path or "this run")

    def plot(self, path: str | os.PathLike[str] | None = None, *, what: str = "curves") -> Any:
        """A matplotlib figure, written to `path` if one is given.

        Parameters
        ----------
        path : path, optional
        what : str
            "curves" (loss and accuracy, with test points), the name of a diagnostic, or "diagnostics" (all of them).
        """
        from noisysim.reporting import plot

        if what == "curves":
            return plot.learning_curves(self, path)
        return plot.diagnostics(self, path) if what == "diagnostics" else plot.diagnostic(self, what, path)

    def rows(self) -> list[tuple[str, str]]:
        """What a summary says, as names and values."""
        device, learner, task = self.config["device"], self.config["learner"], self.config["task"]
        layers = self.config["layers"]
        sizes = "-".join(str(n) for n in [task["n_in"], *layers, task["n_out"]])
        if any(isinstance(layer, str) for layer in layers):
            shape = "x".join(str(n) for n in task["input_shape"])
            sizes = " - ".join(str(n) for n in [shape, *layers, task["n_out"]])
        epochs = len(self.history["train_loss"])
        rows = [
            ("task", f"{task['name']} ({task['n_train']} training and {task['n_test']} test samples)"),
            ("network", f"{sizes}, {self.config['activation']}"),
            ("device", _device(device) + _chips(self.config)),
            ("learner", _call(learner) + _form(self.config) + ", with oracle access" * self.config["oracle"]),
            *_weights(self.config),
            ("optimizer", ", ".join(_optimizer(self.config))),
            ("epochs", f"{epochs} of {self.config['epochs']} ({self.status}), {self.elapsed:.1f} s"),
        ]
        for split in ("train", "validation", "test"):
            if epochs and f"{split}_loss" in self.history:
                loss, accuracy = self.history[f"{split}_loss"][-1], self.history[f"{split}_accuracy"][-1]
                of_answers = "" if np.isnan(accuracy).all() else f", accuracy {with_spread(100 * accuracy, '.1f')} %"
                rows.append((split, f"loss {with_spread(loss, '.4g')}{of_answers}"))
        cost = (
            f"{self.cost['passes']:,} passes for {self.cost['updates']:,} updates "
            f"({self.cost['passes'] / max(self.cost['updates'], 1):.2f} each), {self.cost['mvms']:,} MVMs, "
            f"{self.cost['adc_conversions']:,} ADC conversions, {self.cost['cells_programmed']:,} cells programmed"
            + (f", {self.cost['pulses']:,} pulses" if self.cost.get("pulses") else "")
            + (f", {self.cost['cells_read']:,} cells read" if self.cost.get("cells_read") else "")
        )
        rows += [("cost", cost), *_digital(self.cost)]
        written = self.config["device"].get("write_time") or self.config["device"].get("verify_time")
        rows += [("clock", f"{self.clock:.3g} s on the chip, writes included")] if written and self.clock else []
        rows += self._measured()
        rows += [("note", note) for note in task.get("notes", [])]
        rows += [("WARNING", warning) for warning in self.warnings]
        called = self.config.get("callbacks", [])
        rows += [("callbacks", ", ".join(map(_call, called)))] if called else []
        rows += [("stopped", self.reason)] if self.reason else []
        if storage.is_cut_short(self.content) and self.path is not None:
            rows.append(("resume", f"noisysim resume {self.path}"))
        return [(printable(name), printable(value)) for name, value in rows]

    def _measured(self) -> list[tuple[str, str]]:
        """Which diagnostics looked, how often, and at what the learner did not see."""
        described = self.config["diagnostics"]
        if not described:
            return []
        from noisysim.chip.diagnostics import DIAGNOSTICS, ORACLE, Diagnostic

        looks, every = len(self.diagnostics["update"]), self.config["every"]
        often = f"{looks:,} look{'s' * (looks != 1)}, one every {f'{every:,} updates' if every > 1 else 'update'}"
        text = f"{', '.join(map(_call, described))}: {often}"
        exact = [d["name"] for d in described if DIAGNOSTICS.get(d["name"], Diagnostic).needs >= ORACLE]
        if exact and not self.config["oracle"]:
            text += f"; {', '.join(exact)} read exact weights, the learner did not"
        return [("measured", text)]

    def summary(self) -> str:
        """The run in a few lines."""
        rows = self.rows()
        width = max(9, *(len(name) for name, _ in rows))
        return "\n".join(f"{name:>{width}}  {value}" for name, value in rows)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """The summary and the learning curves, for a notebook."""
        picture = base64.b64encode(self.plot()._repr_png_()).decode()
        curves = f'<img alt="learning curves" src="data:image/png;base64,{picture}">'
        return html_table.table(self.rows(), "Result") + curves


def with_spread(values: ArrayLike, form: str) -> str:
    """A value; of several chips those that are finite, as mean and standard deviation."""
    numbers = np.asarray(values, float)
    finite = numbers[np.isfinite(numbers)]
    if numbers.ndim == 0 or not finite.size:
        return f"{numbers.mean():{form}}"
    return f"{finite.mean():{form}} +- {finite.std(ddof=1 if finite.size > 1 else 0):{form}}"


def _digital(cost: dict[str, int]) -> list[tuple[str, str]]:
    """What the digital side did beside the arrays, and keeps; earlier versions did not count it."""
    if "digital_macs" not in cost:
        return []
    parts = {
        "layer_macs": "digital layers", "decorrelation_macs": "decorrelating", "adaptation_macs": "adapting that",
        "rule_macs": "the rule",
    }  # fmt: skip
    shares = ", ".join(f"{cost[name]:,} {text}" for name, text in parts.items() if cost.get(name))
    text = f"{cost['digital_macs']:,} MACs ({shares or 'none'}) beside {cost['analog_macs']:,} in the arrays"
    text += f", {cost['digital_bytes']:,} bytes kept"
    if converted := cost["perturbation_conversions"]:
        text += f", {converted:,} perturbations converted"
    return [("digital", text)]


def _call(described: dict[str, Any]) -> str:
    """``{"name": "danp", "samples": 1}`` -> ``danp(samples=1)``."""
    inside = ", ".join(f"{k}={v!r}" for k, v in described.items() if k not in RECORD)
    return f"{described['name']}({inside})" if inside else described["name"]


def _form(config: dict[str, Any]) -> str:
    """How a rule that decorrelates does, if its matrices do not merely turn what drives the arrays."""
    chosen = config.get("decorrelate", FORMS[isinstance(config["init"], dict)])
    said = {"updates": ", turning updates", "compensated": ", weights compensated for its steps"}
    return said.get(chosen, "") if config["learner"].get("decorrelation") else ""


def _weights(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Where the initial weights are from, if they were given, and their scale, if it is not the device's."""
    parts = [f"from {title(config['init'])}"] if isinstance(config["init"], dict) else []
    parts += [f"scaled by {config['weight_scaling']}"] if "weight_scaling" in config else []
    parts += [f"layers {', '.join(map(str, config['frozen']))} frozen"] if config.get("frozen") else []
    return [("weights", ", ".join(parts))] if parts else []


def _optimizer(config: dict[str, Any]) -> list[str]:
    """The optimizer, and what else decides the size of its steps."""
    parts = [_call(config["optimizer"]), f"rate {config['learning_rate']:g}"]
    parts += [f"schedule {_call(config['schedule'])}"] if "schedule" in config else []
    parts += [f"weight decay {config['weight_decay']:g}"] if "weight_decay" in config else []
    return parts + ([f"clipped at norm {config['clip']:g}"] if "clip" in config else [])


def _chips(config: dict[str, Any]) -> str:
    """How many chips there are, if several, and how many samples calibrate them, if not at the start alone."""
    text = f", {config['chips']} chips: mean and standard deviation" if config.get("chips", 1) > 1 else ""
    return text + (f", calibrated by {config['calibration']} samples before tests" if "calibration" in config else "")


def _device(described: dict[str, Any]) -> str:
    """A device with those of its fields that are not at their defaults; of a device file its hash too."""
    from noisysim import devices
    from noisysim.devices import source_defaults

    name, usual = described["name"], source_defaults.read(described.get("source", ""))
    if name in devices.BUILT_IN:
        usual = devices.defaults(devices.kind(name))
    settings = {k: v for k, v in described.items() if k != "source" and not k.endswith("sha256")}
    settings = {k: v for k, v in settings.items() if k == "name" or k not in usual or v != usual[k]}
    return _call(settings) + (f" [{described['sha256'][:12]}]" if "sha256" in described else "")
