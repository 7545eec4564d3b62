"""Docstrings as they are: formulas in plain text, such as |g| or x*, are no markup."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

_CODE = re.compile(r"(``.+?``|`[^`]+`)")
_MARKUP = re.compile(r"\\|\||\*|(?<=\w)_(?!\w)")


def plain(text: str) -> str:
    """A line of text, outside of code in backticks, with what reST takes for markup escaped."""
    parts = _CODE.split(text)
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def escape(lines: list[str]) -> list[str]:
    """A docstring's lines; examples, code blocks and the names of ``*args`` stay as they are."""
    found, code_from, example = [], None, False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if line.strip() and code_from is not None and indent <= code_from:
            code_from = None
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        kept = code_from is not None or example or line.lstrip().startswith("*")
        found.append(line if kept else plain(line))
        if line.rstrip().endswith("::") and code_from is None:
            code_from = indent
    return found


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = escape(lines)


def _signature(app: Any, what: str, name: str, obj: Any, options: Any, signature: str, returned: str) -> Any:
    """Classes of declared numbers stand beside a table of them; it says more than a signature of sixty names."""
    declares = hasattr(obj, "_fields") or dataclasses.is_dataclass(obj)
    return ("", None) if what == "class" and declares else None


def setup(app: Any) -> dict[str, bool]:
    """Escape docstrings before napoleon reads them."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
