"""One run's settings: checked, resolved to plain values, stored, and read back from TOML or a result file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import noisysim.devices as devices
from noisysim import tasks
from noisysim.chip import diagnostics
from noisysim.chip.chip import CHIPS, INJECTIONS
from noisysim.chip.initial_weights import INITS
from noisysim.common import identity
from noisysim.common.fields import Field, check, check_choice, check_names, check_switch, declared, shown
from noisysim.compute import backends
from noisysim.learners import files as learner_files
from noisysim.learners import optimizers
from noisysim.networks import layers as kinds
from noisysim.networks.activations import ACTIVATIONS
from noisysim.networks.architecture import architecture, with_ends

Count = Annotated[int, Field("", 1, 10**9, whole=True)]


@dataclass
class Config:
    """A resolved run.

    The fields are the arguments of `noisysim.run`; names have become objects and ``None`` has become a value.
    """

    task: Any
    layers: list[kinds.Layer]
    device: Any
    learner: Any
    optimizer: Any
    learning_rate: Annotated[float, Field("", 0, 1e6, "step of the optimizer")]
    learning_rate_decay: Annotated[float, Field("", 1e-9, 1, "factor on the learning rate, each epoch")]
    batch_size: Count
    epochs: Count
    activation: str
    bias: bool
    inject: str
    backend: str
    seed: Annotated[int, Field("", 0, 2**63 - 1, whole=True)]
    oracle: bool
    init: str
    diagnostics: list[Any]
    every: Annotated[int, Field("updates", 1, 10**9, whole=True)]
    chips: Annotated[int, CHIPS]

    def plain(self) -> dict[str, Any]:
        """The settings as JSON-able values that `resolve` reads again."""
        return {
            **{k: getattr(self, k) for k in _PLAIN},
            "layers": kinds.plain(self.layers),
            "task": {**self.task.describe(), **identity.of(self.task)},
            "device": devices.describe(self.device),
            "learner": learner_files.describe(self.learner),
            "optimizer": optimizers.describe(self.optimizer),
            "diagnostics": [diagnostics.describe(d) for d in self.diagnostics],
        }


_PLAIN = (
    "learning_rate", "learning_rate_decay", "batch_size", "epochs", "activation", "bias", "inject",
    "backend", "seed", "oracle", "init", "every", "chips",
)  # fmt: skip


def resolve(
    *,
    task: Any,
    layers: Any,
    device: Any,
    learner: Any,
    optimizer: Any,
    learning_rate: float | None,
    learning_rate_decay: float | None,
    batch_size: int | None,
    epochs: int | None,
    activation: str,
    bias: bool,
    inject: str,
    backend: str,
    seed: int,
    oracle: bool | None,
    init: str,
    diagnostics: Sequence[Any],
    every: int,
    data: str | os.PathLike[str] | None,
    chips: int = 1,
) -> Config:
    """Check every setting and fill in what was left to the task and the learner.

    Raises
    ------
    ValueError, TypeError
        Naming the setting, its value, what is allowed and, for a misspelt name, the nearest known one.
    """
    specs = declared(Config)
    seed = check("run", "seed", seed, specs["seed"])
    device, learner, optimizer = devices.get(device), learner_files.get(learner), optimizers.get(optimizer)
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("inject", inject, INJECTIONS)
    backend = backends.resolve(backend)
    check_choice("init", init, INITS)
    bias = check_switch("run.bias", bias)
    oracle = check_switch("run.oracle", oracle, None)
    if oracle is False and "oracle" in learner.requires():
        raise ValueError(f"run.oracle is False, but learner {learner.name!r} needs oracle access: leave it out or True")
    watched = _diagnostics(diagnostics)
    chips = check("run", "chips", chips, specs["chips"])
    if watched and chips > 1:
        raise ValueError(f"run.diagnostics look at one chip, not at {chips}: leave them out, or chips=1")
    numbers = {
        "learning_rate": learning_rate, "learning_rate_decay": learning_rate_decay, "batch_size": batch_size,
        "epochs": epochs, "every": every,
    }  # fmt: skip
    numbers = {name: value for name, value in numbers.items() if value is not None or name == "every"}
    given = {name: check("run", name, value, specs[name]) for name, value in numbers.items()}
    listed = None if layers is None else kinds.hidden(layers)
    _check_folder(data)
    task = tasks.get(task, data=data, seed=seed)
    listed = kinds.hidden(task.defaults["layers"]) if listed is None else listed
    plan = architecture(with_ends(task.input_shape, listed, task.n_out), activation, bias)
    _check_start(init, plan.activations[:-1])
    suggested = learner.rates.get(optimizer.name)
    if suggested is None and "learning_rate" not in given:
        raise ValueError(
            f"run.learning_rate: learner {learner.name!r} suggests none for optimizer {optimizer.name!r}: give one"
        )
    filled = {"learning_rate": suggested, "learning_rate_decay": 1.0, **task.defaults, **given}
    return Config(
        task=task,
        layers=listed,
        device=device,
        learner=learner,
        optimizer=optimizer,
        activation=activation,
        bias=bias,
        inject=inject,
        backend=backend,
        seed=seed,
        oracle="oracle" in learner.requires() if oracle is None else oracle,
        init=init,
        diagnostics=watched,
        chips=chips,
        **{name: filled[name] for name in ("learning_rate", "learning_rate_decay", "batch_size", "epochs", "every")},
    )


def _check_start(init: str, activations: list[str]) -> None:
    if init == "zero" and "relu" in activations:
        raise ValueError(
            "run.init='zero' with activation 'relu' never starts: every hidden unit stays at 0, where relu's slope is "
            "0; use 'leaky_relu', or other initial weights"
        )


def _diagnostics(given: Any) -> list[Any]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence):
        raise TypeError(f"run.diagnostics must be a list of names such as ['angle'], not {shown(given)}")
    chosen = [diagnostics.get(one) for one in given]
    if len({one.name for one in chosen}) < len(chosen):
        raise ValueError(f"run.diagnostics names one twice: {', '.join(one.name for one in chosen)}")
    return chosen


def _check_folder(data: Any) -> None:
    if data is None:
        return
    if not isinstance(data, (str, os.PathLike)):
        raise TypeError(f"run.data must be a folder's path, not {shown(data)}")
    if not os.path.isdir(data):
        raise FileNotFoundError(f"run.data: there is no folder {shown(os.fspath(data))}")


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
    if path.suffix == ".toml":
        given = _read_toml(path)
    else:
        from noisysim.runs import storage

        given = rerunnable(storage.read_config(path))
    check_names(f"configuration {path}", given, known)
    return given


def _read_toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from None


def rerunnable(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What a result file stored, as arguments of `noisysim.run`."""
    given = json.loads(json.dumps(dict(plain)))
    stored = given["task"]
    if "identity" in stored:
        own = stored["identity"]["class"]
        raise ValueError(f"this run's task was an object of class {own}, which no name finds: give it again, task=...")
    if stored["name"] == "arrays":
        raise ValueError("this run learned arrays that its file does not hold: give them again as task=(x, y, ...)")
    given["task"] = {"name": stored["name"], **stored["settings"]}
    return given
