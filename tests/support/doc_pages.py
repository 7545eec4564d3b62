"""The pages of the documentation, and the pieces of code in them."""

import contextlib
import importlib
import re
import types
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")),
    *sorted(DOCS.glob("contributing/*.md")), *sorted(DOCS.glob("api/*.md")),
]  # fmt: skip
SCRIPTS = [path for folder in ("tutorials", "gallery", "physics") for path in sorted((DOCS / folder).glob("*.py"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, *languages):
    """(line, text) of the code blocks of a page."""
    text = path.read_text()
    for found in FENCE.finditer(text):
        if found[1] in languages:
            yield text.count("\n", 0, found.start()) + 1, found[2]


def has(value, name):
    """Whether a module or an object has an attribute, or a module of this name in it."""
    if not hasattr(value, name) and isinstance(value, types.ModuleType):
        with contextlib.suppress(ImportError):
            importlib.import_module(f"{value.__name__}.{name}")
    return hasattr(value, name)
