"""Presets: a device with settings and where they come from, one TOML file each; published ones, and users' own.

::

    about = "electrochemical memory with lithium"
    device = "pulsed"
    source = "paper"
    figure = "of the paper"
    note = "what the numbers mean"

    [fields]
    pulse_step = 0.001

``devices.get`` takes a preset by its name (``"ecram"``), or by the path of its file (``"my_fit.toml"``), with further
settings like any device; what is recorded is the device and its fields. `device` and `fields` alone are needed. A path
in `fields` is relative to the file.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from noisysim.common.fields import nearest, shown
from noisysim.common.toml_files import read_toml
from noisysim.devices.files import READ_BY_NAME, WORDS

FOLDER = Path(__file__).parent / "published"
"""The package's own presets."""
SUFFIX = ".toml"
TEXTS = ("about", "device", "source", "figure", "note")


class Preset(NamedTuple):
    """A device with settings.

    Attributes
    ----------
    name : str
        The file's, without ``.toml``.
    model : str
        The device that it sets, by name or path.
    fields : mapping
    about, source, figure, note : str
        What it is, the paper, what of the paper was fitted, and what the numbers mean there.
    """

    name: str
    model: str
    fields: Mapping[str, Any]
    about: str = ""
    source: str = ""
    figure: str = ""
    note: str = ""


def names() -> list[str]:
    """Names of the published presets."""
    return list(_published())


@functools.cache
def _published() -> dict[str, Path]:
    """Their files by name, in order."""
    return {path.stem: path for path in sorted(FOLDER.glob(f"*{SUFFIX}"))}


def find(spec: str) -> Preset | None:
    """The preset of a name, or in the file of a path; None if it is neither."""
    if spec.endswith(SUFFIX):
        return read(spec)
    return read(_published()[spec]) if spec in _published() else None


def read(path: str | os.PathLike[str]) -> Preset:
    """The preset in a file.

    Raises
    ------
    ValueError, FileNotFoundError
        For what is no preset.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no preset {shown(str(path))}")
    content = read_toml(path)
    fields, found = content.pop("fields", {}), {key: content.pop(key) for key in TEXTS if key in content}
    content.pop("fit", None)  # how well it fits, which is for people
    if content:
        raise ValueError(f"{path}: unknown key {shown(min(content))}{nearest(min(content), (*TEXTS, 'fields', 'fit'))}")
    wrong = [key for key, value in found.items() if not isinstance(value, str)]
    if wrong or "device" not in found:
        raise ValueError(f'{path}: {wrong[0] if wrong else "device"} must be a text, as in device = "pulsed"')
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: fields must be a table, [fields], of the device's settings")
    return Preset(path.stem, found.pop("device"), _placed(fields, path), **found)


def _placed(fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Fields with paths as seen from where the program runs; words that the chip reads are none."""
    words = READ_BY_NAME | set(WORDS)
    return {
        name: str(path.parent / value) if isinstance(value, str) and value and name not in words else value
        for name, value in fields.items()
    }
