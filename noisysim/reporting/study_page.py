"""The page of a study."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common.types import Doubles
from noisysim.reporting import command, pages, settings, study_figures
from noisysim.reporting.command import Reproduction
from noisysim.reporting.pages import Fact, Table
from noisysim.studies.study import Study, kinds

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

ROWS = 200
"""Rows of the table of results at most; of a larger one the best and the worst half of them."""
TROUBLES = 100
"""Runs that failed or diverged that are listed one by one."""
WARNINGS = 10
"""Different warnings that are listed one by one."""
_COST = (
    "passes", "mvms", "adc_conversions", "cells_programmed", "pulses", "updates", "analog_macs", "digital_macs",
    "elapsed",
)  # fmt: skip


_MEASURES = ("test_accuracy", "test_loss", "validation_accuracy", "validation_loss", "train_loss")
"""Columns of the table of results, where there are any."""


def render(study: Study) -> str:
    """The page's text."""
    data, name = study.data, study.path.name if study.path else ""
    measure = study_figures.measure(data)
    pictures = study_figures.pictures(study, data, measure) if measure else []
    fixed = study.fixed
    return pages.render(
        "study.html",
        title=title(study),
        file=name,
        facts=_outcome(study, data, measure),
        axes=_axes(study),
        same=[Fact(n, fixed[n]["name"]) for n in ("task", "device", "learner") if "name" in fixed.get(n, {})],
        warnings=_warnings(study),
        troubles=_troubles(study),
        resume_command=f"noisysim sweep {shlex.quote(name)}" if name and study.counts["missing"] else "",
        pictures=pictures,
        results=results(study, data, measure),
        cost=_cost(data),
        run_settings=settings.run(fixed),
        groups=settings.groups(fixed),
        environments=_environments(study),
        again=reproduction(study, name or "study.h5"),
    )


def title(study: Study) -> str:
    """What was varied, and on what."""
    named = study.fixed.get("task", {}).get("name")
    axes = " × ".join(name for name, labels in study.axes.items() if len(labels) > 1)
    return f"Study of {axes or 'one run'}" + (f" on {Path(named).name}" if named else "")


def _outcome(study: Study, data: Dataset, measure: str) -> list[Fact]:
    counts = study.counts
    rest = ", ".join(f"{n} {name}" for name, n in counts.items() if n and name != "finished")
    facts = [Fact("Runs", f"{sum(counts.values()):,}"), Fact("Finished", f"{counts['finished']:,}", rest)]
    if (noticed := study.noticed)["warned"]:
        facts.append(Fact("Warned", f"{noticed['warned']:,}", kinds(noticed)))
    if measure:
        best = study_figures.best(study, data, measure)
        where = ", ".join(f"{axis} = {settings.shown(label)}" for axis, label in best.items())
        facts.insert(0, Fact(f"Best {measure.replace('_', ' ')}", _mean(data[measure].sel(best), measure), where))
    if "elapsed" in data and np.isfinite(data.elapsed.values).any():
        facts.append(Fact("Time", pages.duration(float(np.nansum(data.elapsed.values))), "all runs together"))
    return facts


def _mean(mean: DataArray, name: str) -> str:
    """Of several runs (and chips) mean and standard deviation, of one its value."""
    return (pages.accuracy if name.endswith("accuracy") else pages.loss)(mean.values.ravel())


def _axes(study: Study) -> Table:
    rows = [[name, f"{len(labels)}", ", ".join(map(settings.shown, labels))] for name, labels in study.axes.items()]
    return Table("What was varied", ["Axis", "Values", "Which"], rows, frozenset((1,)))


def _warnings(study: Study) -> list[str]:
    """The warnings of runs, the most frequent first."""
    counted = study.warnings()
    lines = [f"{line} ({n} runs, numbers of one)" if n > 1 else line for line, n in counted[:WARNINGS]]
    return lines + ([f"and {len(counted) - WARNINGS} more"] if len(counted) > WARNINGS else [])


def _troubles(study: Study) -> Table | None:
    """The runs that failed or diverged, and why."""
    problems = study.problems()
    if not problems:
        return None
    caption = f"{len(problems)} runs failed or diverged" + (
        f"; the first {TROUBLES}" if len(problems) > TROUBLES else ""
    )
    rows = [[where, status, why or pages.NONE] for where, status, why in problems[:TROUBLES]]
    return Table(caption, ["Run", "Status", "Message"], rows)


# --- tables ---------------------------------------------------------------------------------------------------------


def results(study: Study, data: Dataset, measure: str) -> Table:
    """Mean and standard deviation over seeds (and chips) of every setting; of many the best and the worst."""
    axes = [axis for axis, labels in study.axes.items() if axis != "seed" and len(labels) > 1]
    names = [n for n in _MEASURES if n in data and np.isfinite(data[n].values).any()]
    points = list(itertools.product(*(range(len(study.axes[axis])) for axis in axes)))
    caption = "Mean ± standard deviation over seeds" + (" and chips" if "chip" in data.dims else "")
    caption += " of the runs that finished"
    if len(points) > ROWS:
        caption += f"; of {len(points):,} settings the best {ROWS // 2} and the worst {ROWS // 2}"
        points = _extremes(data, measure, axes, points)
    rows = []
    for point in points:
        here = data.isel(dict(zip(axes, point, strict=True)))
        status = here.status.values.ravel()
        labels = [settings.shown(study.axes[axis][k]) for axis, k in zip(axes, point, strict=True)] or ["all runs"]
        values = [_mean(here[n], n) for n in names]
        seconds = pages.over(here.elapsed.mean().item(), ".3g") if "elapsed" in here else pages.NONE
        rows.append([*labels, f"{(status == 'finished').sum()} of {status.size}", *values, seconds])
    columns = [*(axes or ["Setting"]), "Finished", *map(pages.words, names), "Seconds"]
    return Table(caption, columns, rows, frozenset(range(len(axes) or 1, len(columns))))


def _extremes(data: Dataset, measure: str, axes: list[str], points: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The best and the worst points, from best to worst; points without any value come last."""
    if not measure:
        return points[:ROWS]
    score = study_figures.means(data, measure).transpose(*axes)
    worst = -np.inf if measure.endswith("accuracy") else np.inf
    values = np.where(np.isfinite(score.values), score.values, worst)
    ranked = sorted(points, key=lambda point: -values[point] if measure.endswith("accuracy") else values[point])
    return ranked[: ROWS // 2] + ranked[-(ROWS // 2) :]


def _cost(data: Dataset) -> Table | None:
    """What all runs together cost, and one of them."""
    rows = []
    for name in _COST:
        if name in data and np.isfinite(data[name].values).any():
            values = data[name].values[np.isfinite(data[name].values)]
            rows.append([pages.words(name), *map(pages.count, _summed(values))])
    columns = ["Count", "Total", "Least of a run", "Median", "Most"]
    return Table("Of the runs that were done", columns, rows, frozenset(range(1, 5))) if rows else None


def _summed(values: Doubles) -> list[float]:
    return [float(f(values)) for f in (np.sum, np.min, np.median, np.max)]


def _environments(study: Study) -> Table | None:
    """What the hosts differ in, a column each."""
    hosts = study.environments
    names = list(dict.fromkeys(name for host in hosts for name in host))
    rows = [[name.replace("_", " "), *(str(host.get(name, pages.NONE)) for host in hosts)] for name in names]
    columns = ["What", *(f"Host {k + 1}" for k in range(len(hosts)))]
    return Table("Versions and processors", columns, rows) if rows else None


# --- again ----------------------------------------------------------------------------------------------------------


def reproduction(study: Study, out: str) -> Reproduction:
    """The study file, and what else it needs."""
    notes = list(dict.fromkeys(note for config in _configs(study) for note in command.files(config)))
    asked = study.arguments.get("task", "digits")
    if "arrays" in (asked if isinstance(asked, list) else [asked]):
        python = "noisysim.sweep(task=..., ...)  # the same arrays; its other arguments stand in the file below"
        return Reproduction("", study.toml(), f"import noisysim\n\n{python}", notes)
    return Reproduction(f"noisysim sweep study.toml --out {shlex.quote(out)}", study.toml(), "", notes)


def _configs(study: Study) -> list[dict[str, Any]]:
    """The settings of every run."""
    points = itertools.product(*study.axes.values())
    return [study.config(**dict(zip(study.axes, point, strict=True))) for point in points]
