"""One run's settings: checked, resolved to plain values, stored, and read back from TOML or a result file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

import noisysim.devices as devices
from noisysim import learners, tasks
from noisysim.chip import decorrelation, diagnostics, given_weights
from noisysim.chip.chip import INJECTIONS
from noisysim.chip.diagnostics import Diagnostic
from noisysim.chip.given_weights import Given
from noisysim.chip.weight_laws import USUAL
from noisysim.chip.weight_scaling import WEIGHT_SCALINGS
from noisysim.chip.weight_sources import Source
from noisysim.common import identity
from noisysim.common.arguments import argument
from noisysim.common.fields import check, check_choice, check_names, check_switch, declared, shown
from noisysim.common.toml_files import read_toml
from noisysim.compute import backends, losses
from noisysim.devices.contract import Device
from noisysim.learners import Learner, optimizers
from noisysim.learners.optimizers import Optimizer
from noisysim.networks import activations
from noisysim.networks import layers as kinds
from noisysim.networks.activations import Activation
from noisysim.networks.building import architecture, with_ends
from noisysim.networks.importing import models
from noisysim.networks.importing.imported import Imported
from noisysim.runs import callbacks, frozen, in_array, rates, schedules, storage
from noisysim.runs import validation as validating
from noisysim.runs.arguments import DEFAULTS_OF_OLD_FILES, UNUSED, PlainSettings
from noisysim.runs.history import MONITORS, VALIDATED
from noisysim.runs.schedules import Schedule
from noisysim.runs.validation import Validation
from noisysim.tasks import remembered


@dataclass(kw_only=True)
class Config(PlainSettings):
    """A resolved run.

    The fields are arguments of `noisysim.run`; names have become objects and ``None`` has become a value.
    """

    init: str | Given
    task: tasks.Task
    layers: list[kinds.Layer]
    device: Device
    activation: Activation
    learner: Learner
    optimizer: Optimizer
    diagnostics: list[Diagnostic]
    frozen: list[int] = field(default_factory=list)
    schedule: Schedule | None = None
    validation: Validation | None = None
    callbacks: list[Any] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-able values that `resolve` reads again; those that are not used are left out."""
        numbers_and_words = {setting.name: getattr(self, setting.name) for setting in fields(PlainSettings)}
        steered = {
            "frozen": self.frozen,
            "schedule": None if self.schedule is None else schedules.describe(self.schedule),
            "validation": None if self.validation is None else self.validation.describe(),
            "callbacks": [callbacks.describe(one) for one in self.callbacks],
        }
        usual = {**UNUSED, "decorrelate": decorrelation.form(True, isinstance(self.init, Given))}
        return {
            **{
                name: value for name, value in {**numbers_and_words, **steered}.items() if value != usual.get(name, ...)
            },
            "init": self.init if isinstance(self.init, str) else dict(self.init.record),
            "layers": kinds.plain(self.layers),
            "activation": activations.REGISTRY.text(self.activation),
            **self._described_activations(),
            "task": {**self.task.describe(), **identity.of_part(self.task)},
            "device": devices.describe(self.device),
            "learner": learners.describe(self.learner),
            "optimizer": optimizers.describe(self.optimizer),
            "diagnostics": [diagnostics.describe(d) for d in self.diagnostics],
        }

    def _described_activations(self) -> dict[str, Any]:
        """The network's activation functions that are not the package's own, if there are any."""
        plan = architecture(with_ends(self.task.input_shape, self.layers, self.task.n_out), self.activation, self.bias)
        foreign = activations.foreign((self.activation, *plan.kinds))
        return {"activations": foreign} if foreign else {}


SETTINGS = tuple(setting.name for setting in fields(Config))
"""Arguments of `noisysim.run` that decide what it computes; the others decide where, how fast and for how long."""


def resolve(
    *, data: str | os.PathLike[str] | None = None, loss: losses.LossSpec | None = None, **settings: Any
) -> Config:
    """Check every setting and fill in what was left to the task and the learner.

    Parameters
    ----------
    data : path, optional
        Folder of the data files.
    loss : str or path or Loss or function, optional
        In place of the task's own.
    **settings
        All of `SETTINGS`, as `noisysim.run` takes them.

    Raises
    ------
    ValueError, TypeError
        Naming the setting, its value, what is allowed and, for a misspelt name, the nearest known one.
    """
    settings = {**DEFAULTS_OF_OLD_FILES, **settings}
    check_names("run", settings, SETTINGS)
    seed = _check_number("seed", settings["seed"])
    device, learner = devices.get(settings["device"]), learners.get(settings["learner"])
    optimizer = _optimizer(settings["optimizer"])
    words = _check_words(settings, learner, device)
    watched = _check_diagnostics(settings["diagnostics"])
    chips = _check_number("chips", settings["chips"])
    if watched and chips > 1:
        one = argument("chips=1")
        raise ValueError(f"{argument('run.diagnostics')} look at one chip, not at {chips}: omit them, or set {one}")
    numbers = {name: _check_number(name, settings[name]) for name in _NUMBERS if settings[name] is not None}
    every, decay, clip, calibration = (
        _check_number(name, settings[name]) for name in ("every", "weight_decay", "clip", "calibration")
    )
    model = models.opened(settings["init"] if settings["layers"] is None else settings["layers"])
    layers = None if model or settings["layers"] is None else kinds.hidden(settings["layers"])
    _check_folder(data)
    source = _source(settings["init"], model, settings["layers"] is None)
    validation, task = validating.resolve(settings["validation"], _task(settings["task"], data, seed, loss))
    _check_derivative(task, learner, watched)
    steered = _check_steering(settings, task, validation is not None)
    if model is not None:
        model = model.fitted(task.input_shape, task.n_out)
        layers, words["bias"] = model.hidden(), words["bias"] or model.bias
    elif layers is None:
        layers, of_network = _usual_layers(source, task)
        words.update(of_network if words["activation"].name == ACTIVATION and not words["bias"] else {})
    net = architecture(with_ends(task.input_shape, layers, task.n_out), words["activation"], words["bias"])
    init = given_weights.read(model if source is None else source, net, task.input_shape)
    if isinstance(init, Given) and isinstance(source, Source):
        init = init.with_notes(remembered.taken_over(source.learned, task))
    _check_start(init, net.activations[:-1])
    filled = {**rates.suggested(learner, optimizer, numbers), "learning_rate_decay": 1.0, **task.defaults, **numbers}
    if steered["schedule"] is not None:
        filled["learning_rate_decay"] = rates.no_decay(numbers)
        schedules.check(steered["schedule"], filled["epochs"])
    rates.check_decay(decay, filled["learning_rate"], device)
    still = frozen.resolve(settings["frozen"], net, device, learner, decay, words["decorrelate"])
    means_something = isinstance(init, Given) or (bool(still) and learner.decorrelation > 0)
    decorrelate = words["decorrelate"] or decorrelation.form(True, means_something)
    in_array.check(device, learner, optimizer, clip, chips, decorrelate)
    return Config(
        task=task, layers=layers, device=device, learner=learner, optimizer=optimizer, diagnostics=watched, seed=seed,
        chips=chips, init=init, every=every, weight_decay=decay, clip=clip, calibration=calibration,
        validation=validation, **steered,
        **{**words, "decorrelate": decorrelate, "frozen": still},
        **{name: filled[name] for name in _NUMBERS},
    )  # fmt: skip


def _source(init: object, model: Imported | None, is_model: bool) -> str | Source | Given | None:
    """What initial weights are, as far as that is known without a network; ``None`` if they are a model's own."""
    if model is not None and (init is None or is_model):
        return None
    return given_weights.opened(USUAL if init is None else init)


def _usual_layers(source: object, task: tasks.Task) -> tuple[list[kinds.Layer], dict[str, Any]]:
    """Hidden layers where none were asked for, with activation function and biases that go with them.

    Those of the network that initial weights are from, where that is known; else the task's.
    """
    network = getattr(source, "network", None)
    if network is None:
        return kinds.hidden(task.defaults["layers"]), {}
    (_, *listed), activation, bias = network
    hidden = listed[:-1] if isinstance(listed[-1], int) else listed
    return [kinds.layer(one) for one in hidden], {"activation": activations.get(activation), "bias": bias}


def _task(spec: object, data: str | os.PathLike[str] | None, seed: int, loss: losses.LossSpec | None) -> tasks.Task:
    """The task, with another loss if one was asked for."""
    if loss is None:
        return tasks.get(spec, data=data, seed=seed)
    chosen = losses.get(loss)
    if isinstance(spec, tasks.Task):
        return replace(spec, loss=cast(str, chosen))  # which a task takes as well as a name
    name = losses.REGISTRY.text(chosen)
    return tasks.get(spec, data=data, seed=seed, loss=name if name in losses.LOSSES else chosen)


def _check_derivative(task: tasks.Task, learner: Learner, watched: Sequence[Diagnostic]) -> None:
    """Refuse a loss that gives no number per sample, or that lacks the derivative which the rule needs."""
    loss = task.loss_function
    if loss.error is not None:
        return
    rows = np.arange(min(3, task.n_train))
    losses.check_on(loss, task.batch("train", rows).targets)
    needing = [f"learner {learner.name!r}"] if "output_error" in learner.requires() else []
    needing += [f"diagnostic {one.name!r}" for one in watched if "output_error" in one.needs]
    if needing:
        raise ValueError(
            f"{needing[0]} needs the derivative of the loss, and {loss.name!r} has none: write {loss.name}_error "
            "beside it, or choose what learns from the scalar loss alone, such as 'anp'"
        )


ACTIVATION = "leaky_relu"
"""The activation function where none is asked for."""
_NUMBERS = ("learning_rate", "learning_rate_decay", "batch_size", "epochs")
"""Numbers that default to what suits the task or the learner."""


def _check_number(name: str, value: object) -> Any:
    return check("run", name, value, declared(PlainSettings)[name])


def _check_words(settings: Mapping[str, Any], learner: Learner, device: Device) -> dict[str, Any]:
    """The settings that are names, words or switches."""
    activation = activations.get(settings["activation"])
    check_choice("inject", settings["inject"], INJECTIONS)
    backend = backends.resolve(settings["backend"])
    check_choice("weight_scaling", settings["weight_scaling"], WEIGHT_SCALINGS)
    bias = check_switch("run.bias", settings["bias"])
    oracle = check_switch("run.oracle", settings["oracle"], None)
    needs_oracle = "oracle" in learner.requires()
    if oracle is False and needs_oracle:
        refused = argument("run.oracle=False")
        raise ValueError(f"{refused}, but learner {learner.name!r} needs oracle access: omit it, or set True")
    return {
        "activation": activation, "inject": settings["inject"], "backend": backend,
        "bias": bias, "oracle": needs_oracle if oracle is None else oracle,
        "weight_scaling": settings["weight_scaling"],
        "decorrelate": _check_decorrelate(settings["decorrelate"], learner, device),
    }  # fmt: skip


def _check_decorrelate(asked: object, learner: Learner, device: Device) -> str | None:
    """How the periphery is to apply decorrelation matrices; ``None`` where the initial weights decide."""
    if asked is None:
        return None
    check_choice("decorrelate", asked, decorrelation.FORMS)
    if asked != "inputs" and not learner.decorrelation:
        raise ValueError(
            f"{argument(f'run.decorrelate={asked!r}')}, but learner {learner.name!r} does not decorrelate: omit it, or "
            "set " + argument(f"learner='{learner.name}:decorrelation=0.001'")
        )
    decorrelation.check_form("run.decorrelate", str(asked), device)
    return str(asked)


def _check_start(init: str | Given, activations: list[str]) -> None:
    stuck = [name for name in activations if name in ("relu", "relu6")]
    if init == "zero" and stuck:
        raise ValueError(
            argument("run.init='zero'")
            + f" with activation {stuck[0]!r} never starts: every hidden unit stays at 0, where its slope is 0; "
            "use 'leaky_relu', or other initial weights"
        )


def _check_diagnostics(specs: object) -> list[Diagnostic]:
    if isinstance(specs, (str, Mapping)) or not isinstance(specs, Sequence):
        raise TypeError(f"{argument('run.diagnostics')} must be a list of names such as ['angle'], not {shown(specs)}")
    chosen = [diagnostics.get(spec) for spec in specs]
    if len({one.name for one in chosen}) < len(chosen):
        raise ValueError(f"{argument('run.diagnostics')} names one twice: {', '.join(one.name for one in chosen)}")
    return chosen


def _check_steering(settings: Mapping[str, Any], task: tasks.Task, validated: bool) -> dict[str, Any]:
    """The schedule and the callbacks of a run, whose columns there must be."""
    schedule = None if settings["schedule"] is None else schedules.get(settings["schedule"])
    specs = settings["callbacks"]
    if isinstance(specs, (str, Mapping)) or not isinstance(specs, Sequence):
        raise TypeError(f"{argument('run.callbacks')} must be a list such as ['early-stopping'], not {shown(specs)}")
    chosen = [callbacks.get(spec) for spec in specs]
    watching = [("schedule", schedule), *(("callback", one) for one in chosen)]
    for kind, one in watching:
        monitor = getattr(one, "monitor", "")
        what = f"{kind} {getattr(one, 'name', '')!r} watches {monitor}"
        if monitor in VALIDATED and not validated:
            share = argument("validation=0.1")
            raise ValueError(f"{what}, which this run does not record: set {share}, or monitor='train_loss'")
        if monitor in MONITORS and monitor.endswith("accuracy") and not task.classification:
            raise ValueError(
                f"{what}, which a regression does not have: set monitor={monitor.split('_')[0] + '_loss'!r}"
            )
    return {"schedule": schedule, "callbacks": chosen}


def _optimizer(spec: object) -> Optimizer:
    """The optimizer; of what is an argument of the run, the message says so."""
    named, given = optimizers.REGISTRY.parse(spec, {})
    for name in ("weight_decay", "clip"):
        if not isinstance(named, str) or name not in given:
            continue
        optimizers.REGISTRY.definition(named, given.get("sha256"))  # another file than the recorded is not executed
        if name not in optimizers.REGISTRY.fields(named):
            own = argument(f"{name}=...")
            raise ValueError(f"optimizer {named!r} has no field {name!r}, which is an argument of the run: {own}")
    return optimizers.get(spec)


def _check_folder(data: object) -> None:
    if data is None:
        return
    if not isinstance(data, (str, os.PathLike)):
        raise TypeError(f"{argument('run.data')} must be a folder's path, not {shown(data)}")
    if not os.path.isdir(data):
        raise FileNotFoundError(f"{argument('run.data')}: there is no folder {shown(os.fspath(data))}")


def read(path: str | os.PathLike[str], known: Sequence[str]) -> dict[str, Any]:
    """The arguments of `noisysim.run` that a TOML file or a result file holds.

    Parameters
    ----------
    path : path
        ``.toml``, with run's arguments as keys (tables for device, learner, task, optimizer), or a result file.
    known : sequence of str
        The arguments there are: others are refused.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no configuration file {path}")
    arguments = read_toml(path) if path.suffix == ".toml" else rerunnable(storage.read_config(path))
    check_names(f"configuration {path}", arguments, known)
    return arguments


def rerunnable(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What a result file stored, as arguments of `noisysim.run`."""
    arguments: dict[str, Any] = json.loads(json.dumps(dict(plain)))
    return with_activations({**arguments, "task": rerunnable_task(arguments["task"])})


def rerunnable_task(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The task that a result file stored, as `noisysim.tasks.get` takes it."""
    task = argument("task=...")
    if "identity" in stored:
        name = stored["identity"]["class"]
        raise ValueError(f"this run's task was an object of class {name}, which no name finds: give it again, {task}")
    if stored["name"] == "arrays":
        arrays = argument("task=(x, y, ...)")
        raise ValueError(f"this run learned arrays that its file does not hold: give them again as {arrays}")
    name = stored["name"]
    record = {name: stored[name] for name in ("source", "sha256") if name in stored}
    if ":" in name and not record and tasks.file_spec(name) is None:  # settings that nothing confirms
        raise ValueError(f"this run's task {shown(name)} has no name that finds it: give it again, {task}")
    return {**task_settings(stored), **record, "name": name}


def task_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a recorded task, a loss that is not the package's own with its record."""
    settings = dict(stored["settings"])
    if not isinstance(settings.get("loss", ""), str):
        raise ValueError(f"this run's task has the loss {shown(settings['loss'])}, which is no name")
    return {**settings, "loss": stored["loss_part"]} if "loss_part" in stored else settings


def with_activations(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings as arguments of `noisysim.run`, their own activation functions compared with the record."""
    arguments = {name: value for name, value in plain.items() if name != "activations"}
    for recorded in plain.get("activations", []):
        activations.REGISTRY.get(recorded)
        if recorded["name"] == arguments["activation"]:
            arguments["activation"] = recorded
    return arguments
