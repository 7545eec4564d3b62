"""Measure it, from the repository's root.

``python -m benchmarks.robustness protocol`` measures every built-in rule on every axis and device;
``python -m benchmarks.robustness enter --learner my_rule.py`` or ``--device my_chip.py`` measures one of yours by the
same protocol, and shows it beside the built-in ones; ``python -m benchmarks.robustness checks`` examines the causes of
two of the findings; ``python -m benchmarks.robustness presets`` looks for the best rate of a few rules on each device;
``python -m benchmarks.robustness controllers`` shows what write controllers hide from a rule that adds up its updates;
``python -m benchmarks.robustness asymmetric`` what a second array is worth where steps up and down differ;
``python -m benchmarks.robustness sequential`` has a recurrent network read images row by row;
``python -m benchmarks.robustness deployed`` puts a trained ResNet-8 on chips, lets them age, and tunes it there;
``python -m benchmarks.robustness tuned`` tunes a small network on chips, with its arrays written again or left alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.robustness import (
    asymmetric,
    cards,
    checks,
    controllers,
    deployed,
    figures,
    measure,
    presets,
    protocol,
    sequential,
    tuned,
)

RESULTS = Path(__file__).with_name("results")
ALONE = {
    "presets": presets, "controllers": controllers, "asymmetric": asymmetric, "sequential": sequential,
    "deployed": deployed, "tuned": tuned,
}  # fmt: skip
"""Parts with a protocol of their own."""


def main(words: Sequence[str] | None = None) -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    whole = parts.add_parser("protocol", help="every built-in rule on every axis and device")
    entry = parts.add_parser("enter", help="a rule or a device of your own, beside the built-in ones")
    entry.add_argument("--learner", action="append", default=[], help="a learner's file or name with settings")
    entry.add_argument("--device", action="append", default=[], help="a device's file or name with settings")
    behind = parts.add_parser("checks", help="is it the rate, and what about drift is it?")
    for one in (whole, entry):
        one.add_argument("--tasks", nargs="+", choices=list(protocol.TASKS), default=["digits", "fashion-mnist"])
        one.add_argument("--quick", action="store_true", help="two rules, two axes, a small network: digits only")
    for one in (whole, entry, behind):
        one.add_argument("--out", type=Path, default=Path("robustness"), help="folder for studies, tables and figures")
        one.add_argument("--workers", type=int, help="processes on this machine; default: one per core")
        one.add_argument("--scheduler", help="address or file of a Dask scheduler")
    for one in (whole, behind):
        one.add_argument("--save", action="store_true", help="keep what comes out in benchmarks/robustness/results")
    of_presets = parts.add_parser("presets", help="the best rate of a few rules on every device preset")
    presets.options(of_presets)
    of_controllers = parts.add_parser("controllers", help="what write controllers hide, and what they cost")
    controllers.options(of_controllers)
    of_asymmetric = parts.add_parser("asymmetric", help="a second array, where steps up and down differ")
    asymmetric.options(of_asymmetric)
    of_sequential = parts.add_parser("sequential", help="a recurrent network, row by row, on two devices")
    sequential.options(of_sequential)
    of_deployed = parts.add_parser("deployed", help="a trained ResNet-8 on chips, as they age and as they are tuned")
    deployed.options(of_deployed)
    of_tuned = parts.add_parser("tuned", help="a small network tuned on chips, arrays written again or left alone")
    tuned.options(of_tuned)
    asked = parser.parse_args(words)
    if asked.part in ALONE:
        ALONE[asked.part].main(asked, RESULTS)
        return
    if asked.part == "enter" and not (asked.learner or asked.device):
        parser.error("enter what? give --learner or --device")
    _measure(asked)


def _measure(asked: Any) -> None:
    from noisysim.studies import asking

    asked.out.mkdir(parents=True, exist_ok=True)
    with asking.client(asked.scheduler) as client:
        how = {"client": client, "workers": asked.workers}
        if asked.part == "checks":
            said = checks.page(asked.out, RESULTS, **how)
            print(said)
            ((RESULTS if asked.save else asked.out) / "checks.md").write_text(said + "\n", encoding="utf-8")
            return
        plans = protocol.QUICK if asked.quick else protocol.TASKS
        for task in [task for task in asked.tasks if task in plans]:
            content = (_protocol if asked.part == "protocol" else _entry)(task, plans[task], asked, how)
            entries = [] if asked.part == "protocol" else [*asked.learner, *asked.device]
            target = RESULTS if asked.part == "protocol" and asked.save else asked.out
            _show(cards.Found(content, plans[task].axes), target, asked.quick, entries)


def _protocol(task: str, plan: Any, asked: Any, how: dict[str, Any]) -> dict[str, Any]:
    content = measure.measure(task, plan, asked.out, **how)
    measure.kept(_named(RESULTS if asked.save else asked.out, task, asked.quick, "json"), content)
    return content


def _entry(task: str, plan: Any, asked: Any, how: dict[str, Any]) -> dict[str, Any]:
    """What was measured of the built-in ones, with the entries' results among it."""
    content: dict[str, Any] = json.loads(_named(RESULTS, task, asked.quick, "json").read_text(encoding="utf-8"))
    if content["version"] != protocol.VERSION:
        raise ValueError(f"the kept results are of version {content['version']}, this is {protocol.VERSION}")
    known = content["rates"]
    if asked.learner:
        folder = asked.out / "learners"
        folder.mkdir(exist_ok=True)
        content = measure.joined(content, measure.measure(task, plan, folder, learners=asked.learner, **how))
    if asked.device:
        folder = asked.out / "devices"
        folder.mkdir(exist_ok=True)
        rules = list(dict.fromkeys([*plan.learners, *asked.learner]))
        found = measure.measure(
            task, plan, folder, learners=rules, devices=asked.device, known_rates={**known, **content["rates"]}, **how
        )
        content = measure.joined(content, found)
    measure.kept(_named(asked.out, task, asked.quick, "json"), content)
    return content


def _show(found: cards.Found, folder: Path, quick: bool, entries: Sequence[str]) -> None:
    """Tables on the screen and in a file, figures beside them."""
    task = found.content["task"]
    devices = [d for d in found.devices if d in (protocol.REFERENCE, protocol.PULSED, *protocol.PRESETS, *entries)]
    tables = cards.page(found, devices)
    print(tables)
    _named(folder, task, quick, "md").write_text(tables, encoding="utf-8")
    drawn = {
        "losses": figures.losses(found), "lines": figures.lines(found, entries),
        "devices": figures.on_devices(found, devices),
    }  # fmt: skip
    for name, figure in drawn.items():
        path = _named(folder, f"{task}-{name}", quick, "png")
        figure.savefig(path, dpi=130)
        print(path)


def _named(folder: Path, stem: str, quick: bool, suffix: str) -> Path:
    return folder / f"{stem}{'-quick' if quick else ''}.{suffix}"


if __name__ == "__main__":
    main()
