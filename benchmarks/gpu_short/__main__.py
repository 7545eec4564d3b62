"""A GPU measured in eight minutes: ``python -m benchmarks.gpu_short [PART ...] [--out FILE]``, from the repository.

Each part runs in a process of its own, for as long as it may: one that fails, hangs or crashes the driver leaves the
others alone, and its rows so far are kept. A table comes last; the rows, with hardware and date, are in a JSON file
that is written after every part. With ``NUMBA_ENABLE_CUDASIM=1`` all of it runs in Numba's simulator, in small. The
exit status is 1 if a part failed or a bar was missed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed.measure import Row

TOTAL = 480.0
"""Seconds that all parts may take together."""
MARK = "ROW "
"""How lines begin in which a part's process gives a row."""
LIMITS = {
    "smoke": 70, "forward": 50, "steps": 100, "epoch": 60, "profile": 40, "launches": 30, "chips": 50, "suite": 90,
}  # fmt: skip
"""Seconds that each part may take; a function of `benchmarks.gpu_short.parts` each."""
RESULTS = Path(__file__).parents[1] / "speed" / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts, keep and print what they found."""
    asked = _parser().parse_args(arguments)
    if asked.part:
        _part(asked.part)
        return
    out = asked.out or RESULTS / f"{datetime.date.today()}-gpu-short.json"
    content: dict[str, Any] = {"environment": _environment(), "parts": {}}
    end = time.monotonic() + TOTAL
    for name in asked.parts or LIMITS:
        content["parts"][name] = _run(name, end)
        _write(out, content)
    print(f"\n{_table(content)}\n{out}")
    parts = content["parts"].values()
    sys.exit(not all(part["status"] == "done" and all(row["passed"] for row in part["rows"]) for part in parts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_short", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *LIMITS], help="which parts; default: all")
    parser.add_argument("--out", type=Path, help="JSON file; default: benchmarks/speed/results/DATE-gpu-short.json")
    parser.add_argument("--part", choices=LIMITS, help=argparse.SUPPRESS)
    return parser


def _part(name: str) -> None:
    """Run a part in this process, and print its rows as they come."""
    from benchmarks.gpu_short import parts

    for row in getattr(parts, name)():
        print(MARK + json.dumps(row._asdict()), flush=True)


def _command(name: str) -> list[str]:
    """What runs a part."""
    return [sys.executable, "-m", "benchmarks.gpu_short", "--part", name]


def _run(name: str, end: float) -> dict[str, Any]:
    """Run a part in a process of its own: its rows, how it ended and how long it took."""
    started, rows, said = time.monotonic(), [], []
    limit = min(LIMITS[name], end - started)
    if limit <= 0:
        return {"status": "not begun: no time left", "seconds": 0.0, "rows": []}
    print(f"-- {name}, at most {limit:.0f} s", flush=True)
    environ = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"} if name == "launches" else os.environ
    over = threading.Event()
    with subprocess.Popen(
        _command(name), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environ,
        start_new_session=True,
    ) as process:  # fmt: skip

        def kill() -> None:
            over.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit, kill)
        timer.start()
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(MARK):
                rows.append(json.loads(line.removeprefix(MARK)))
                print(Row(**rows[-1]), flush=True)
            else:
                said.append(line)
        code = process.wait()
        timer.cancel()
    status = "done" if code == 0 else f"stopped after {limit:.0f} s" if over.is_set() else f"failed with {code}"
    if code and not over.is_set():
        print("".join(said[-20:]), flush=True)
    took = round(time.monotonic() - started, 1)
    return {"status": status, "seconds": took, "rows": rows, **({"said": said[-20:]} if code else {})}


def _environment() -> dict[str, Any]:
    """Hardware, versions and date; found in a process of its own, as a driver may crash."""
    code = "import json; from noisysim.runs.environment import describe; print(json.dumps(describe('cuda')))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    described: dict[str, Any] = json.loads(found.stdout) if found.returncode == 0 else {"error": found.stderr[-2000:]}
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), **described}


def _write(out: Path, content: dict[str, Any]) -> None:
    """Keep what there is so far."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f"{out.name}.part")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draft.replace(out)


def _table(content: dict[str, Any]) -> str:
    """All rows of all parts, and how the parts ended."""
    lines = [content["environment"].get("gpu", "no GPU was found")]
    for name, part in content["parts"].items():
        lines += [f"-- {name}: {part['status']}, {part['seconds']:.0f} s", *(str(Row(**row)) for row in part["rows"])]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
