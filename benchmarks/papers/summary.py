"""Tables of reproductions as text, and `summary.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEADINGS = ("", "published", "measured", "tolerance", "verdict", "s")


def write(out: Path, stems: Sequence[str]) -> Path:
    """Write `summary.md` of the tables in a folder that go by these names."""
    paths = [path for path in sorted(out.glob("*.json")) if path.stem in stems]
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    path = out / "summary.md"
    text = "\n".join(["# Published and measured\n", verdicts(contents), *map(section, contents)])
    path.write_text(text, encoding="utf-8")
    return path


def section(content: dict[str, Any]) -> str:
    """One reproduction: what, where and when, and its table; Markdown that reads as plain text too."""
    where = content["where"]
    versions = ", ".join(f"{k} {where[k]}" for k in ("noisysim", "python", "numpy", "scipy", "numba"))
    lines = [f"## {label(content)}: {content['title']}", ""]
    lines += [f"{where['date']}, {versions}; {where['cpu']}; seeds: {content['seeds']}; {where['seconds']:g} s.", ""]
    if content["error"]:
        lines += [f"Failed: {content['error']}", ""]
    lines += [text + "\n" for text in content["said"]]
    if missing := content.get("missing"):
        lines += [f"Not measured yet: {'; '.join(missing)}.", ""]
    rows = []
    for row in content["rows"]:
        published, tolerance, measured, verdict = cells(row)
        name = f"{row['name']} ({row['progress']})" if "progress" in row else row["name"]
        rows.append((name, published, measured, tolerance, verdict, f"{row['seconds']:.0f}"))
    return "\n".join([*lines, _table(HEADINGS, rows) if rows else ""])


def verdicts(contents: Sequence[dict[str, Any]]) -> str:
    """A line for each reproduction: how many of its values are within their tolerance."""
    rows = []
    for content in contents:
        judged = [row["passed"] for row in content["rows"] if row["passed"] is not None]
        outside = "; ".join(row["name"] for row in content["rows"] if row["passed"] is False)
        within = f"{sum(judged)} of {len(judged)}"
        rows.append((label(content), content["status"], within, f"{content['where']['seconds']:.0f}", outside))
    return _table(("", "status", "within tolerance", "s", "outside"), rows)


def cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """How a row shows what was published, the tolerance, what was measured, and the verdict."""
    spread, tolerance = row.get("spread"), row["tolerance"]
    measured = _text(row["ours"], ".2f", ".0f") + ("" if spread is None else f" +- {spread:.2f}")
    limit = "" if tolerance is None else f"{tolerance:g}" if isinstance(tolerance, (int, float)) else str(tolerance)
    verdict = {True: "ok", False: "OUT", None: ""}[row["passed"]]
    return _text(row["published"], "g", "g"), limit, measured, "so far" if "progress" in row else verdict


def label(content: dict[str, Any]) -> str:
    """Name and form of a reproduction."""
    return str(content["name"]) + (" (quick)" if content["quick"] else "")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cleaned = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(headings, *cleaned, strict=True)]
    lines = [headings, ["-" * width for width in widths], *cleaned]
    padded = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines]
    return "\n".join(padded) + "\n"


def _text(values: object, alone: str, listed: str) -> str:
    """A number, or several with strokes between; nothing for None, a dash for what was not finite."""
    if isinstance(values, list):
        return "/".join("-" if v is None else format(v, listed) for v in values)
    return "" if values is None else values if isinstance(values, str) else format(values, alone)
