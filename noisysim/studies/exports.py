"""A study's results for other programs: a data frame, and a table for LaTeX."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common import writing
from noisysim.common.fields import check_choice, check_switch
from noisysim.common.latex import escaped
from noisysim.common.types import Doubles
from noisysim.reporting import pages, wording
from noisysim.studies import needs
from noisysim.studies.grids import at_label
from noisysim.studies.table import BY_EPOCH, TEXTS, Table

if TYPE_CHECKING:
    import pandas


class Exports:
    """What other programs take of a study (`noisysim.Study`).

    Attributes
    ----------
    content : noisysim.studies.table.Table
    """

    content: Table

    def to_dataframe(self, by_epoch: bool = False) -> pandas.DataFrame:
        """All runs as a table, for pandas: a row each, or of several chips a row for each of them.

        Columns are the axes, ``status``, ``error`` and ``warnings``, and what has one value per run. What has several
        (diagnostics, tests after a wait) is in `data` alone.

        Parameters
        ----------
        by_epoch : bool
            A row for each epoch of each run instead, with what was measured after it.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return _frame(self.content, check_switch("to_dataframe.by_epoch", by_epoch))

    def to_csv(self, path: str | os.PathLike[str], by_epoch: bool = False) -> None:
        """Write the table of `to_dataframe` as a CSV file, in one step.

        Raises
        ------
        ImportError, OSError
            If pandas is not installed, or the file cannot be written.
        """
        writing.check(path)
        writing.replace(path, self.to_dataframe(by_epoch).to_csv(index=False).encode())

    def to_latex(
        self,
        names: str | Sequence[str] = "test_accuracy",
        *,
        columns: str | None = None,
        caption: str = "",
        label: str = "",
        path: str | os.PathLike[str] | None = None,
        **select: Any,
    ) -> str:
        r"""A table for LaTeX, with the rules of booktabs: a row a setting, means ± standard deviations over seeds.

        Where not all runs of a setting finished, its cell says how many did, "71.2 ± 0.4 (2 of 3)". Names and labels
        are escaped.

        Parameters
        ----------
        names : str or list of str
            Variables of `data` with one value per run, a column each.
        columns : str
            An axis whose values have a column each, of one variable. Default: the variables are the columns.
        caption, label : str
            LaTeX: what is said of the table, and what it is referred to by. With either it floats (``table``).
        path : path, optional
            Where to write it as well.
        **select
            A label of an axis that has no part in the table: ``adc_bits=8``.

        Returns
        -------
        str
            It needs ``\usepackage{booktabs}``.

        Raises
        ------
        ValueError, OSError
            For a name or label that the study does not have, or a path that cannot be written.
        """
        if path is not None:
            writing.check(path)
        chosen = [names] if isinstance(names, str) else list(names)
        text = _latex(self.content, chosen, columns, caption, label, select)
        if path is not None:
            writing.replace(path, text.encode())
        return text


def _frame(table: Table, by_epoch: bool) -> Any:
    """`Exports.to_dataframe`."""
    pandas, axes = needs.pandas(), list(table.axes)
    scales, arrays = table.scales(), table.arrays()
    chosen = [n for n in table.columns if n.endswith(BY_EPOCH)] if by_epoch else table.per_run()
    names = [n for n in chosen if not {"look", "layer", "seconds"} & set(table.dims(n))]
    further = [dim for dim in ("epoch", "chip") if any(dim in table.dims(n) for n in names)]
    dims = [*axes, *further]
    shape = tuple(len(scales[dim]) for dim in dims)
    columns = {dim: scales[dim][at.ravel()] for dim, at in zip(dims, np.indices(shape), strict=True)}
    for name in [*([] if by_epoch else TEXTS), *names]:
        own, values = arrays[name]
        spaced = values.reshape([values.shape[own.index(dim)] if dim in own else 1 for dim in dims])
        columns[name.removesuffix(BY_EPOCH)] = np.broadcast_to(spaced, shape).ravel()
    made = pandas.DataFrame(columns)
    if not by_epoch:
        return made
    measured = [name.removesuffix(BY_EPOCH) for name in names]
    return made.dropna(how="all", subset=measured).reset_index(drop=True)  # epochs that a run did not come to


def _latex(
    table: Table, names: Sequence[str], columns: str | None, caption: str, label: str, select: Mapping[str, Any]
) -> str:
    """`Exports.to_latex`."""
    known = [name for name in table.per_run() if "seconds" not in table.dims(name)]
    for name in names:
        check_choice("variable of this study", name, known)
    chosen = {axis: at_label(table.axes, axis, one) for axis, one in select.items()}
    if columns is not None:
        check_choice("axis for columns", columns, [axis for axis in table.axes if axis != "seed"])
        if len(names) != 1 or columns in chosen:
            raise ValueError(f"with columns={columns!r} a table has one variable, and all values of {columns}")
    down = [a for a, labels in table.axes.items() if a not in ("seed", columns, *chosen) and len(labels) > 1]
    heads, above = [_called(table, axis).short for axis in down], []
    if columns is None:
        heads += [wording.measured(name).label for name in names]
        across: list[tuple[str, dict[str, int]]] = [(name, {}) for name in names]
    else:
        count, first = len(table.axes[columns]), len(down) + 1
        spanning = rf"\multicolumn{{{count}}}{{c}}{{{escaped(_called(table, columns).short)}}} \\"
        above = ["& " * len(down) + spanning, rf"\cmidrule(lr){{{first}-{first + count - 1}}}"]
        heads += map(_shown, table.axes[columns])
        across = [(names[0], {columns: k}) for k in range(count)]
    arrays = {name: table.arrays()[name][1] for name in names}
    seeds = 1 if "seed" in chosen else len(table.axes.get("seed", [0]))

    def cell(name: str, at: Mapping[str, int]) -> str:
        place = (at.get(axis, slice(None) if axis == "seed" else 0) for axis in table.axes)
        return _cell(name, arrays[name][tuple(place)].reshape(seeds, -1))

    rows = []
    for point in itertools.product(*(range(len(table.axes[axis])) for axis in down)):
        at = {**chosen, **dict(zip(down, point, strict=True))}
        labels = [_shown(table.axes[axis][k]) for axis, k in zip(down, point, strict=True)]
        rows.append([*labels, *(cell(name, {**at, **more}) for name, more in across)])
    note = f"% \\usepackage{{booktabs}}; {_over(table, seeds, names[0], columns is not None)}"
    body = [
        rf"\begin{{tabular}}{{{'l' * len(down)}{'r' * len(across)}}}", r"\toprule", *above, _row(heads), r"\midrule",
        *map(_row, rows), r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    if caption or label:
        said = [rf"\caption{{{caption}}}"] * bool(caption) + [rf"\label{{{label}}}"] * bool(label)
        body = [r"\begin{table}", r"\centering", *said, *body, r"\end{table}"]
    return "\n".join([note, *body, ""])


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _called(table: Table, axis: str) -> wording.Quantity:
    return wording.axis(axis, table.plain(0), table.varied[0])


def _shown(label: object) -> str:
    return f"{label:g}" if isinstance(label, float) else str(label)


def _cell(name: str, values: Doubles) -> str:
    """Mean and standard deviation of the runs that finished, (seeds, chips), and of how many if those are not all."""
    share, done = wording.is_share(name), np.isfinite(values).all(axis=1)
    text = pages.over(values[done].ravel(), ".1f" if share else ".4g", 100.0 if share else 1.0)
    return text if done.all() or not done.any() else f"{text} ({done.sum()} of {done.size})"


def _over(table: Table, seeds: int, name: str, pivoted: bool) -> str:
    """What the table is a mean over, and of which variable where its head does not say so."""
    chips = " and chips" if "chip" in table.dims(name) else ""
    of = f"{wording.measured(name).label}, " if pivoted else ""
    return f"{of}mean and standard deviation over {seeds} seed{'s' * (seeds != 1)}{chips}"
