"""`Study`: what a sweep found."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common import hdf5, html_table, writing
from noisysim.common.fields import check_choice, check_switch
from noisysim.runs import health
from noisysim.studies import cells, joining, journal, needs, table, toml
from noisysim.studies.exports import Exports
from noisysim.studies.grids import at_label
from noisysim.studies.keeping import Keeper
from noisysim.studies.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Study(Exports):
    """The runs of a study and what they found.

    Attributes
    ----------
    axes : dict of list
        Labels of each axis's values, by name, in the order of the arguments.
    arguments : dict
        What was asked for, in plain values.
    fixed : dict
        Settings that all runs share.
    path : Path or None
        The file.
    content : noisysim.studies.table.Table
        All of it, as the file has it.
    """

    def __init__(self, content: Table, path: Path | None):
        self.content = content
        self.path = path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Study:
        """The study that a file holds; of one in progress the runs that have finished.

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it is not a complete study.
        """
        path = hdf5.checked_path(path, "study")
        records, scraps = journal.read(path)  # first: what leaves the journal meanwhile is in the file by then
        content = table.read(path)
        content.put_all(records)
        if scraps:
            message = (
                f"{journal.describe_damage(path, scraps)}: its runs count as missing, and the sweep does them again"
            )
            warnings.warn(message, RuntimeWarning, stacklevel=2)
        return cls(content, path)

    @property
    def axes(self) -> dict[str, list[Any]]:
        return self.content.axes

    @property
    def arguments(self) -> dict[str, Any]:
        return self.content.arguments

    @property
    def fixed(self) -> dict[str, Any]:
        return cells.nested(self.content.shared)

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of runs that finished, diverged, failed, and are missing."""
        status = self.content.texts["status"]
        return {name: int((status == name).sum()) for name in table.STATUSES}

    @property
    def noticed(self) -> dict[str, int]:
        """Numbers of runs with warnings, and of those that learned nothing or were unstable."""
        texts = self._warned()
        lines = [text.splitlines() for text in texts]
        return {
            "warned": len(texts),
            **{
                name: sum(any(line.startswith(kind) for line in of_run) for of_run in lines)
                for name, kind in (("learned nothing", health.NOTHING), ("unstable", health.UNSTABLE))
            },
        }

    def warnings(self) -> list[tuple[str, int]]:
        """The warnings of runs and their counts, the most frequent first; differences in numbers alone do not count."""
        lines = [line for text in self._warned() for line in text.splitlines() if line.strip()]
        counts = Counter(re.sub(r"\d[\d.,]*", "#", line) for line in lines)
        first = {re.sub(r"\d[\d.,]*", "#", line): line for line in reversed(lines)}
        return [(first[kind], n) for kind, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]

    def _warned(self) -> list[str]:
        """The warnings of the runs that have any; of failed runs the texts are tracebacks, which do not count."""
        texts = self.content.texts
        finished = np.isin(texts["status"].astype(str), ("finished", "diverged"))
        return [str(text) for text in texts["warnings"][finished] if str(text).strip()]

    @property
    def environments(self) -> list[dict[str, Any]]:
        """Versions and processors of the hosts, one for each that differs."""
        return self.content.environments

    @property
    def data(self) -> Any:
        """All of it as an `xarray.Dataset` whose dimensions are the axes.

        ``status`` and ``error`` (text); ``test_accuracy``, ``test_loss``, ``train_accuracy``, ``train_loss`` after the
        last epoch (fractions and means per sample; NaN where a run did not finish), and with ``_by_epoch`` after each;
        the cost of learning (``passes``, ``mvms``, ...: `noisysim.chip.cost.Cost`); ``elapsed`` (s); what diagnostics
        found, over ``look`` and ``layer``. Several chips per run make a dimension ``chip``.
        """
        xarray = needs.xarray()
        return xarray.Dataset(
            {name: (dims, values) for name, (dims, values) in self.content.arrays().items()},
            coords=self.content.scales(),
        )

    def config(self, **select: Any) -> dict[str, Any]:
        """The resolved configuration of one run, as a result file has it.

        Parameters
        ----------
        **select
            A label of each axis with more than one value.
        """
        return self.content.plain(int(np.ravel_multi_index(self._index(select), self.content.shape)))

    def _index(self, select: dict[str, Any]) -> tuple[int, ...]:
        """The position on every axis that labels name."""
        position = {name: at_label(self.axes, name, label) for name, label in select.items()}
        if missing := [name for name, labels in self.axes.items() if name not in select and len(labels) > 1]:
            raise ValueError(f"choose one of each axis: {', '.join(missing)}")
        return tuple(position.get(name, 0) for name in self.axes)

    def plot(
        self,
        name: str = "test_accuracy",
        *,
        x: str | None = None,
        hue: str | None = None,
        col: str | None = None,
        ax: Axes | None = None,
        path: str | os.PathLike[str] | None = None,
        **select: Any,
    ) -> Figure:
        """What the runs found against an axis: means over seeds as lines, standard deviations as bands or bars.

        What you set in Matplotlib's ``rcParams`` holds: sizes of figure, font, lines and marks, fonts, resolution. A
        figure whose size (``figure.figsize``) you do not set has one that suits its panels.

        Parameters
        ----------
        name : str
            A variable of `data` that has one value per run, such as "test_accuracy", "test_loss", "passes", "elapsed";
            or of tests after a wait, "test_accuracy_after".
        x : str
            Axis along the bottom, or "epoch", or "seconds" of a wait. Default: that, else the first axis of numbers,
            else the first.
        hue, col : str
            Axis whose values have a colour each, and one whose values have a panel each. Default: axes that are neither
            drawn nor selected.
        ax : matplotlib.axes.Axes, optional
            Where to draw, with a legend inside. It must be one panel (no `col`). Default: a figure of its own.
        path : path, optional
            Where to write the figure; the suffix chooses the format.
        **select
            A label of an axis that is not drawn: ``adc_bits=8``. Seeds (and chips) that are not selected are averaged.

        Returns
        -------
        matplotlib.figure.Figure
            That of `ax`, if one is given.

        Raises
        ------
        ValueError
            For a name or a label that the study does not have, axes that would have to be chosen, or a path that cannot
            be written.

        Examples
        --------
        At the width of a column, for a paper::

            import matplotlib.pyplot as plt

            plt.rcParams.update({"figure.figsize": (3.25, 2.4), "font.size": 8})
            study.plot("test_accuracy", x="read_noise", hue="learner", path="figure.pdf")
        """
        from noisysim.studies import figure  # with Matplotlib, which a sweep does not need

        return figure.draw(self, name, x=x, hue=hue, col=col, ax=ax, path=path, select=select)

    def join(self, other: Study, keep: str | None = None) -> Study:
        """The union of two studies, also written ``a | b``: the values that either has along each axis.

        It is what one sweep over all these values would have made: more seeds, or other learners, devices or values,
        each an axis of both. What no axis tells apart must be the same in both. A run that failed in one and finished
        in the other has finished; runs that neither asked for are missing, and done by the sweep that resumes the file
        of the union (`save`, ``noisysim sweep FILE``).

        Parameters
        ----------
        other : Study
        keep : {"first", "last"}, optional
            Which results are taken where both did a run and found something else, as on other processors. Default:
            they must not differ (but for the time they took).

        Returns
        -------
        Study
            In memory.

        Raises
        ------
        ValueError
            If they contradict each other: in axes, in a setting that is no axis, in the settings of a run that both
            have, or in its results.

        Examples
        --------
        >>> import noisysim
        >>> asked = {"layers": [8], "epochs": 1, "learner": ["bp"]}
        >>> both = noisysim.sweep(**asked, seed=[0]) | noisysim.sweep(**asked, seed=[1])
        >>> both.axes["seed"], both.counts["finished"]
        ([0, 1], 2)
        """
        if keep is not None:
            check_choice("choice of results", keep, joining.KEEP)
        return Study(joining.union(self.content, other.content, keep), None)

    def __or__(self, other: object) -> Study:
        return self.join(other) if isinstance(other, Study) else NotImplemented

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the study into a file of its own, which `noisysim.load` reads and a sweep resumes.

        Raises
        ------
        FileExistsError, OSError
            If there is a file already, or it cannot be written.
        """
        writing.check(path, check_switch("save.overwrite", overwrite))
        with Keeper(self.content, Path(path), True, False):
            self.path = Path(path)

    def toml(self) -> str:
        """A study file that asks for the same study: ``noisysim sweep FILE``."""
        return toml.study_file(self.arguments)

    def problems(self) -> list[tuple[str, str, str]]:
        """The runs that failed or diverged: the labels of each, its status, and why."""
        problems, texts = [], self.content.texts
        for index in np.flatnonzero((texts["status"] == "failed") | (texts["status"] == "diverged")):
            at = np.unravel_index(index, self.content.shape)
            where = ", ".join(f"{n}={labels[k]}" for k, (n, labels) in zip(at, self.axes.items(), strict=True))
            problems.append((where, texts["status"][index], texts["error"][index]))
        return problems

    def rows(self) -> list[tuple[str, str]]:
        """What a summary says, as names and values."""
        fixed, done = self.fixed, self.content.columns.get("elapsed", np.zeros(0))
        rows = [(name, ", ".join(map(str, _few(labels)))) for name, labels in self.axes.items()]
        for name in ("task", "device", "learner"):
            if name not in self.axes and "name" in fixed.get(name, {}):
                rows.append((name, fixed[name]["name"]))
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        rows.append(("runs", f"{len(self.content.keys)}: {counts}"))
        if (noticed := self.noticed)["warned"]:
            worst = kinds(noticed)
            rows.append(("WARNING", f"{noticed['warned']} runs warned{': ' if worst else ''}{worst}"))
        if np.isfinite(done).any():
            rows.append(("time", f"{np.nansum(done):,.1f} s in all, {np.nanmedian(done):.2f} s per run (median)"))
        rows += [self._best()] if np.isfinite(self.content.columns.get("test_accuracy", np.nan)).any() else []
        rows += [(status, f"{where}: {why}") for where, status, why in self.problems()[:SHOWN]]
        if (more := len(self.problems()) - SHOWN) > 0:
            rows.append(("", f"and {more} more"))
        if self.counts[table.MISSING] and self.path is not None:
            rows.append(("resume", f"noisysim sweep {self.path}"))
        return rows

    def _best(self) -> tuple[str, str]:
        """Where the mean test accuracy over seeds is highest."""
        column = self.content.columns["test_accuracy"]
        per_run = column.reshape(len(column), -1).mean(axis=1).reshape(self.content.shape)
        names = list(self.axes)
        if "seed" in names:
            per_run = per_run.mean(axis=names.index("seed"))
            names.remove("seed")
        if not np.isfinite(per_run).any():
            return "best", "no setting whose runs all finished"
        at = np.unravel_index(np.nanargmax(per_run), per_run.shape)
        where = ", ".join(f"{name}={self.axes[name][k]}" for name, k in zip(names, at, strict=True))
        seeds = f" (mean of {len(self.axes['seed'])} seeds)" if len(self.axes.get("seed", [])) > 1 else ""
        return "best", f"test accuracy {100 * per_run[at]:.1f} %{' at ' + where if where else ''}{seeds}"

    def summary(self) -> str:
        """The study in a few lines."""
        rows = self.rows()
        width = max(9, *(len(name) for name, _ in rows))
        return "\n".join(f"{name:>{width}}  {value}" for name, value in rows)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """The summary, for a notebook."""
        return html_table.table(self.rows(), "Study")


def kinds(noticed: dict[str, int]) -> str:
    """The worst warnings in words (`Study.noticed`): "18 learned nothing, 6 unstable"."""
    return ", ".join(f"{count} {name}" for name, count in noticed.items() if count and name != "warned")


SHOWN = 5
"""Failed runs that a summary lists one by one."""


def _few(labels: list[Any]) -> list[Any]:
    """The labels of an axis, long ones cut."""
    return labels if len(labels) <= 12 else [*labels[:5], "...", *labels[-3:]]
