"""What a result file has to hold: names, types and limits of its texts and arrays, checked when one is read.

Keys that are not listed are allowed, so that files of other versions can be read; `noisysim.resume` refuses settings
that it does not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, get_type_hints

import numpy as np

from noisysim.chip.weight_sources import check_record
from noisysim.common import identity
from noisysim.common.fields import declared
from noisysim.common.recorded_files import check_hash, strings_of_layer
from noisysim.common.texts import one_line
from noisysim.runs.arguments import DEFAULTS_OF_OLD_FILES, PlainSettings
from noisysim.runs.history import EPOCH, LOOKS, MEASURED, STEP, VALIDATED

STATUSES = ("finished", "diverged", "running", "interrupted", "stopped")
MOST = 2**53
"""Largest count: beyond it float64 has gaps."""
DEEPEST = 8
"""Axes of an array at most."""
_STATE = ("state/chip", "state/learner", "state/optimizer", "state/progress", "state/callbacks", "state/task")


class Limits:
    """A number from `low` to `high`; a whole one if `whole`."""

    def __init__(self, low: float, high: float = math.inf, whole: bool = False):
        self.low, self.high, self.whole = low, high, whole

    def allows(self, value: object) -> bool:
        """Whether a value is such a number."""
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.low:g} to {self.high:g}"


COUNT, POSITIVE = Limits(0, MOST, whole=True), Limits(1, MOST, whole=True)
_PART = {"name": str}


def _plain_settings() -> dict[str, type | Limits]:
    """What a file has to hold of each setting that is a number, a word or a switch."""
    kinds, limits = get_type_hints(PlainSettings), declared(PlainSettings)
    return {
        name + "?" * (name in DEFAULTS_OF_OLD_FILES): Limits(limits[name].low, limits[name].high, limits[name].whole)
        if kind in (int, float) else kind
        for name, kind in kinds.items()
    }  # fmt: skip


TEXTS: dict[str, Any] = {
    "config": {
        "task": {
            "name": str, "settings": {}, "n_train": POSITIVE, "n_test": POSITIVE, "n_in": POSITIVE, "n_out": POSITIVE,
            "input_shape": [POSITIVE], "classification": bool, "loss": str, "crc32": str, "notes": [str],
            "classes?": [(str, bool, Limits(-(2**63), 2**63, whole=True))], "columns?": [str],
        },
        "layers": [(POSITIVE, str)],
        "device": _PART, "learner": _PART, "optimizer": _PART, "diagnostics": [_PART],
        "init": (str, dict), "activation": str, "activations?": [_PART], "frozen?": [POSITIVE], "schedule?": _PART,
        "validation?": {"samples": POSITIVE}, "callbacks?": [_PART], **_plain_settings(),
    },
    "environment": {"backend": str, "folder?": str},
    "warnings": [str],
    "cost": {"passes": COUNT, "mvms": COUNT, "adc_conversions": COUNT, "updates": COUNT, "cells_programmed": COUNT},
}  # fmt: skip
"""A type, limits, a table of keys (``?`` ends those that may be missing), a list of one kind, or a tuple of kinds."""


def text(name: str, content: str) -> Any:
    """A JSON text of a result file, as values.

    Raises
    ------
    ValueError
        Naming what is missing, or has another type or size than it should.
    """
    try:
        value = json.loads(content)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a character") from None
    _check(name, value, TEXTS[name])
    if name == "cost":
        _check_counts(value)
    if name == "config":
        _check_hashes(value)
        if isinstance(value["init"], dict):
            check_record(value["init"])
    return value


def _check(where: str, value: object, kind: Any) -> None:
    """Refuse a value that is not of the kind declared."""
    if isinstance(kind, tuple):
        if not any(_is(value, allowed) for allowed in kind):
            raise _wrong(where, value, " or ".join(map(_words, kind)))
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise _wrong(where, value, "a list")
        for number, item in enumerate(value):
            _check(f"{where}[{number}]", item, kind[0])
    elif isinstance(kind, dict):
        if not isinstance(value, dict):
            raise _wrong(where, value, "a table")
        for key, of_value in kind.items():
            name = key.removesuffix("?")
            if name in value:
                _check(f"{where}.{name}", value[name], of_value)
            elif name == key:
                raise ValueError(f"{where} has no {name!r}")
    elif not _is(value, kind):
        raise _wrong(where, value, _words(kind))


def _is(value: object, kind: type | Limits) -> bool:
    return kind.allows(value) if isinstance(kind, Limits) else isinstance(value, kind)


def _words(kind: type | Limits) -> str:
    if isinstance(kind, Limits):
        return str(kind)
    return "a text" if kind is str else "a table" if kind is dict else "true or false"


def _wrong(where: str, value: object, kind: str) -> ValueError:
    return ValueError(f"{where} must be {kind}, not {one_line(json.dumps(value))[:60]}")


def _check_counts(cost: Mapping[str, Any]) -> None:
    for name, count in cost.items():
        _check(f"cost.{name}", count, COUNT)


def _check_hashes(config: Mapping[str, Any]) -> None:
    """Refuse a part that names a Python file without the hash by which it is recognised: it would be executed."""
    for name, part in config.items():
        for one in part if isinstance(part, list) else [part]:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                check_hash(name, one["name"], one)
    task, recorded = config["task"], {one["name"]: one for one in config.get("activations", [])}
    loss, part = task["settings"].get("loss"), task.get("loss_part")
    if isinstance(loss, str):
        check_hash("loss", loss, part if isinstance(part, dict) and part.get("name") == loss else {})
    texts = [text for layer in config["layers"] if isinstance(layer, str) for text in strings_of_layer(layer)]
    for text in (config["activation"], *texts):
        check_hash("activation", text, recorded.get(text, {}))


# --- arrays ---------------------------------------------------------------------------------------------------------


def wants(group: str, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> bool:
    """Whether an array of the file is one that is read; refused if it is, and not as it should be."""
    if group.startswith("history/"):
        if dtype != np.float64 and not (group == LOOKS and name == "update" and dtype.kind in "iu"):
            raise ValueError(f"{group}/{name} must be float64, not {dtype}")
        return True
    if group in _STATE or group.startswith(tuple(f"{one}/" for one in _STATE)):
        if dtype.kind not in "biuf" or len(shape) > DEEPEST:
            raise ValueError(f"{group}/{name} must be an array of numbers, not {dtype} of {len(shape)} axes")
        return True
    return False


def arrays(columns_by_group: Mapping[str, Mapping[str, np.ndarray]], config: Mapping[str, Any]) -> None:
    """Refuse columns of a history that are missing, or are not as long as each other."""
    chips = config.get("chips", 1)
    of_epochs = (*EPOCH, *(VALIDATED if "validation" in config else ()))
    for group, columns in (("history/epoch", of_epochs), ("history/step", STEP)):
        present = columns_by_group.get(group, {})
        if missing := sorted(set(columns) - set(present)):
            raise ValueError(f"no {group}/{missing[0]}")
        length = len(np.atleast_1d(present[columns[0]]))
        for name in columns:
            of_each = chips > 1 and name in (*MEASURED, *VALIDATED)
            _check_shape(f"{group}/{name}", present[name], (length, chips) if of_each else (length,))
    if asked := [identity.title(one) for one in config["diagnostics"]]:
        looks = columns_by_group.get(LOOKS, {})
        if missing := sorted({"update", *asked} - set(looks)):
            raise ValueError(f"no {LOOKS}/{one_line(missing[0])}")
        length = looks["update"].size
        _check_shape(f"{LOOKS}/update", looks["update"], (length,))
        for name, values in looks.items():
            if name != "update" and length and (values.ndim != 2 or len(values) != length):
                raise ValueError(f"{LOOKS}/{name} must have {length} rows, not the shape {values.shape}")


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
