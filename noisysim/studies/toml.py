"""Arguments of a study as the text of a study file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def study_file(arguments: Mapping[str, Any]) -> str:
    """Arguments as a study file: a line each, in their order, which is that of the axes."""
    return "".join(f"{name} = {_toml(value)}\n" for name, value in arguments.items())


def _toml(value: object) -> str:
    """A plain value on one line; TOML writes numbers, texts and lists as JSON does, and tables in a way of its own."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml_key(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
