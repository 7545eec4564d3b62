"""What a trained chip is good for: taken out of a run, asked for predictions, tested."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from noisysim import tasks
from noisysim.chip import kept, origin
from noisysim.chip.chip import Chip
from noisysim.chip.origin import ActivationSpec
from noisysim.common.arguments import argument
from noisysim.common.fields import check_names, check_switch, shown
from noisysim.common.types import Array
from noisysim.common.user_files import moved_device
from noisysim.compute import backends
from noisysim.compute.losses import LossSpec
from noisysim.compute.observation import Batch
from noisysim.devices.contract import DeviceSpec
from noisysim.networks import layers as kinds
from noisysim.networks.building import with_ends
from noisysim.runs import resuming
from noisysim.runs.arguments import DEFAULTS_OF_OLD_FILES
from noisysim.runs.scores import Scores, scores
from noisysim.tasks import Split, Task, remembered, sample_files, tables
from noisysim.tasks.frames import is_frame
from noisysim.tasks.further import further_inputs, further_split

CHIP, TASK = "state/chip", "state/task"


class Trained:
    """A run's chip, and how its task standardises and names things.

    Parameters
    ----------
    content : mapping
        Of the run's result.
    name : str or Path
        What messages call the run.
    """

    def __init__(self, content: Mapping[str, Any], name: str | Path):
        self._config: dict[str, Any] = {**DEFAULTS_OF_OLD_FILES, **content["config"]}
        self._arrays: Mapping[str, Mapping[str, Array]] = content["arrays"]
        self._name = name

    def chip(
        self, oracle: bool, device: DeviceSpec | None, activation: ActivationSpec | None, backend: str | None
    ) -> Chip:
        """The chip as it stands: `noisysim.Result.chip`."""
        self._check_state()
        stored, known = self._config, tuple(inspect.signature(Chip).parameters)
        task, turns = stored["task"], stored["learner"].get("decorrelation", 0) > 0
        first, *rest = with_ends(task["input_shape"], kinds.hidden(stored["layers"]), task["n_out"])
        record = {
            **{argument: stored[argument] for argument in known if argument in stored},
            "layers": [
                list(first) if isinstance(first, tuple) else first, *kinds.plain([kinds.layer(one) for one in rest])
            ],
            "decorrelate": turns and (stored["decorrelate"] or True),  # of which initial weights decide
            "oracle": check_switch("oracle", oracle),
            "activations": stored.get("activations", []),
            "forks": [],
        }  # fmt: skip
        found = origin.recorded(record, known, device, activation)
        found = found.changed(backend=None if backend is None else backends.resolve(backend))
        return kept.made_again(Chip, found, self._arrays[CHIP], refusal=f"{self._name} holds no whole chip: ")

    def predict(
        self, x: object, n_reads: int, proba: bool, chip: Chip | None, task: object,
        data: str | os.PathLike[str] | None,
    ) -> Array:  # fmt: skip
        """Answers as the run's data have them: `noisysim.Result.predict`."""
        form = self._form(task, data, "mse")  # no loss is asked for
        if check_switch("proba", proba) and not (form.classification and self._config["task"]["loss"] == "cce"):
            raise ValueError(
                f"{argument('proba=True')} needs a classification with the loss 'cce', whose softmax gives "
                "probabilities"
            )
        if isinstance(x, Batch):
            raise TypeError(
                "x is a task's batch, which is standardised already: give result.chip().predict the batch, or "
                "result.predict samples in the units of the data"
            )
        samples = sample_files.read(x, form) if isinstance(x, (str, os.PathLike)) else x
        outputs = self._outputs(chip, form, further_inputs(form, samples), n_reads)
        if proba:
            likely = np.exp(outputs.astype(float) - outputs.max(axis=-1, keepdims=True))
            shares: Array = likely / likely.sum(axis=-1, keepdims=True)
            return shares
        if form.classification:
            return remembered.given_labels(form, outputs.argmax(axis=-1))
        return remembered.in_units(form, outputs)

    def test(
        self, task: object, n_reads: int, chip: Chip | None, loss: LossSpec | None,
        data: str | os.PathLike[str] | None,
    ) -> Scores:  # fmt: skip
        """Scores on samples with targets: `noisysim.Result.test`."""
        if loss is not None:
            loss = remembered.recorded_loss(self._config["task"], loss)
        form = self._form(task, data, loss)
        split = self._own(data, loss).test if task is None else self._other(form, task, data)
        function: Any = form.loss_function  # which a task takes as well as a name
        held = replace(form, test=split, loss=function)
        outputs = self._outputs(chip, held, split.inputs, n_reads)
        return scores(held, outputs if outputs.ndim == 3 else outputs[None], held.batch("test", slice(None)).targets)

    def own_task(self, data: str | os.PathLike[str] | None) -> Task:
        """The run's task with its data, split and standardised as in the run; found as `noisysim.resume` finds it."""
        return self._own(data, None)

    def _form(self, task: object, data: str | os.PathLike[str] | None, loss: LossSpec | None) -> Task:
        """The run's task without samples; of a file of an earlier version, which kept nothing of it, with its data."""
        if TASK in self._arrays:
            return remembered.recalled(self._config["task"], self._arrays[TASK], loss)
        self._check_state()
        if task is None and self._config["task"]["name"] == "arrays":
            raise ValueError(
                f"{self._name} was written by a version that did not keep how its task standardises: give the run's "
                f"data again, {argument('task=(x_train, y_train, x_test, y_test)')}"
            )
        return self._own(data, loss, task)

    def _check_state(self) -> None:
        if CHIP not in self._arrays:
            raise ValueError(f"{self._name} holds no state of its chip: runs side by side do not keep it")

    def _own(self, data: str | os.PathLike[str] | None, loss: LossSpec | None, task: object = None) -> Task:
        """The run's task with its data."""
        stored = self._config
        if task is None and stored["task"]["name"] == "arrays":
            raise ValueError(
                f"{self._name} learned arrays that its file does not hold: give samples, "
                "result.test((x_test, y_test)) (--task my_test.csv); where the run itself split (x, y), its test split "
                f"is that of result.test(noisysim.tasks.get((x, y), seed={stored['seed']}))"
            )
        if loss is not None:  # the recorded one is not looked for
            learned = {name: value for name, value in stored["task"].items() if name != "loss_part"}
            settings = {name: value for name, value in learned["settings"].items() if name != "loss"}
            stored = {**stored, "task": {**learned, "settings": settings}}
        return resuming.recorded_task(stored, self._name, task, data)

    def _other(self, form: Task, task: object, data: str | os.PathLike[str] | None) -> Split:
        """Samples of another task, or arrays, in the form of the run's."""
        if isinstance(task, (tuple, list)):
            if len(task) not in (2, 4):
                raise ValueError(
                    f"test needs arrays (x, y), or (x_train, y_train, x_test, y_test), not {len(task)} of them"
                )
            return further_split(form, *task[-2:])
        table, settings = tasks.file_spec(task) or (task, {})
        if form.columns and (is_frame(table) or (isinstance(table, str) and table.lower().endswith(tables.SUFFIXES))):
            check_names("a table to test on", settings, ("target",))
            target = settings.get("target", form.settings.get("target", ""))
            return further_split(form, *tables.read_further(table, form.columns, str(target)))
        found = tasks.get(task, data=data, seed=self._config["seed"])
        if found.classification != form.classification:
            kinds_of = {True: "a classification", False: "a regression"}
            raise ValueError(
                f"{self._name} learned {kinds_of[form.classification]}, and task {found.name!r} is "
                f"{kinds_of[found.classification]}"
            )
        return further_split(form, *_as_given(found))

    def _outputs(self, chip: Chip | None, form: Task, inputs: Array, n_reads: int) -> Array:
        """Outputs for inputs in the form of the task's, (samples, n_out), of several chips with these first."""
        if chip is None:
            with moved_device("give chip=result.chip({})"):
                chip = self.chip(False, None, None, None)
        elif not isinstance(chip, Chip):
            raise TypeError(f"chip must be a noisysim.Chip, such as result.chip(), not {shown(chip)}")
        if (chip.sizes[0], chip.network.n_out) != (form.n_in, form.n_out):
            raise ValueError(
                f"the chip has {chip.sizes[0]} inputs and {chip.network.n_out} outputs, the run's task {form.n_in} and "
                f"{form.n_out}"
            )
        targets = (
            np.zeros(len(inputs), np.int64) if form.classification else np.zeros((len(inputs), form.n_out), np.float32)
        )
        function: Any = form.loss_function
        held = replace(form, test=Split(inputs, targets), loss=function)
        standardised = held.batch("test", slice(None)).inputs
        if unlike := remembered.other_units(form, standardised):
            warnings.warn(unlike, RuntimeWarning, stacklevel=4)
        return chip.predict(standardised, n_reads)


def _as_given(task: Task) -> tuple[Array, Array]:
    """The test split of a task, in the units and with the labels of its data."""
    x, y = task.test
    if task.origins[0] is not None:
        x = x.astype(np.float64) + task.origins[0]
    if task.classification:
        return x, remembered.given_labels(task, y)
    return x, y if task.origins[1] is None else y.astype(np.float64) + task.origins[1]
