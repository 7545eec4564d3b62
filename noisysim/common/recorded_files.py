"""Python files that a record names, which would be executed: refused without the hash by which they are recognised."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

from noisysim.common.source import parsed
from noisysim.common.texts import one_line
from noisysim.common.user_files import split


def check_hash(what: str, name: str, recorded: Mapping[str, Any]) -> None:
    """Refuse a name in which there is that of a Python file, unless it is that alone and its hash is recorded."""
    if not split(name):
        return
    sha256 = recorded.get("sha256")
    if split(name) != (name, "") or not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError(f"{what} names the file {one_line(name)!r} without its SHA-256")


def strings_of_layer(layer: str) -> list[str]:
    """The strings in the text of a layer."""
    try:
        tree = parsed(layer.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # refused where it is read
        return []
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
