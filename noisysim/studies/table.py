"""The results of a study's runs, as arrays over its axes, and the file they are kept in.

Layout of the file (version 1), HDF5 that NetCDF-4 readers take as well::

    /                      attributes format = "noisysim study", version
    /AXIS                  an axis's values (float64, int64 or text), a dimension scale; also epoch, chip, look, layer
    /status, /error        text, over the axes: finished, diverged, failed or missing; and why
    /warnings              text, over the axes: what each run noticed about itself, a line each
    /environment           int64, over the axes: which of /study/environments
    /elapsed               float64 (s)
    /test_accuracy, ...    float64, over the axes: after the last epoch; NaN where the run did not finish
    /test_accuracy_by_epoch, ...   over the axes and epoch
    /test_accuracy_after, ...      over the axes and seconds: tested again that long after the run
    /passes, ...           float64, over the axes: cost of learning
    /angle, ...            what diagnostics found, over the axes, look and layer; /look_update, the updates done before
    /study/arguments       JSON text: arguments of the study (`noisysim.studies.grids.Plan`)
    /study/shared          JSON text: the settings that all runs have in common, by dotted names
    /study/own             JSON text, one per run: its other settings
    /study/keys            text, one per run: a hash of its settings
    /study/environments    JSON text: versions and processors of the hosts

It is written whole under another name and renamed. Runs that finished since are in the journal beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noisysim.common import hdf5
from noisysim.common.deprecation import deprecated
from noisysim.devices import records
from noisysim.studies import cells

if TYPE_CHECKING:
    from h5py import Dataset, File

FORMAT, VERSION = "noisysim study", 1
MISSING = "missing"
STATUSES = ("finished", "diverged", "failed", MISSING)
TEXTS = ("status", "error", "warnings")
BY_EPOCH, AFTER = "_by_epoch", "_after"


class Table:
    """Arrays over the runs of a study.

    Parameters
    ----------
    axes : mapping
        Labels by name of the axis.
    arguments : dict
        What was asked for, in plain values.
    keys : sequence of str
        Of each run, the last axis running fastest.
    shared, varied : dict, list of dict
        Settings that all runs have in common, and the others of each (`noisysim.studies.cells.split_shared`).
    seconds : sequence of float
        After which the chips are tested again.

    Attributes
    ----------
    columns : dict of numpy.ndarray
        float64, (runs, ...), by name.
    texts : dict of numpy.ndarray
        Text, (runs,), by name.
    environments : list of dict
    environment : numpy.ndarray
        Which of them each run was in; -1 where it has not been done.
    """

    def __init__(
        self,
        axes: Mapping[str, Sequence[Any]],
        arguments: dict[str, Any],
        keys: Sequence[str],
        shared: dict[str, Any],
        varied: Sequence[dict[str, Any]],
        seconds: Sequence[float] = (),
    ):
        self.axes = {name: list(labels) for name, labels in axes.items()}
        self.arguments, self.keys, self.shared, self.varied = arguments, list(keys), shared, list(varied)
        self.at = {key: index for index, key in enumerate(self.keys)}
        self.columns: dict[str, np.ndarray] = {}
        self.texts = {name: np.full(len(self.keys), "", object) for name in TEXTS}
        self.texts["status"][:] = MISSING
        self.environments: list[dict[str, Any]] = []
        self.environment = np.full(len(self.keys), -1)
        self.seconds = list(seconds)

    @property
    def own(self) -> list[dict[str, Any]]:
        """`varied`, by its deprecated name."""
        deprecated("Table.own", "Table.varied", "0.1")
        return self.varied

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(len(labels) for labels in self.axes.values())

    @property
    def missing(self) -> np.ndarray:
        """Numbers of the runs that have not been done."""
        return np.flatnonzero(self.texts["status"] == MISSING)

    def plain(self, index: int) -> dict[str, Any]:
        """The settings of a run."""
        plain = cells.nested({**self.shared, **self.varied[index]})
        return {**plain, "device": records.completed(plain["device"])}

    def put(self, record: Mapping[str, Any]) -> None:
        """Add the record of a run; a run that was done twice has the same record both times.

        Parameters
        ----------
        record : mapping
            Of `noisysim.studies.worker`.
        """
        index = self.at[record["key"]]
        for name in TEXTS:
            self.texts[name][index] = record[name]
        if record["environment"] not in self.environments:
            self.environments.append(record["environment"])
        self.environment[index] = self.environments.index(record["environment"])
        for name, value in record["values"].items():
            self._put(name, index, np.asarray(value, np.float64))

    def put_all(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add those records whose runs are asked for."""
        for record in records:
            if record["key"] in self.at:
                self.put(record)

    def _put(self, name: str, index: int, value: np.ndarray) -> None:
        """One value, scalar or array; a column grows to hold the largest."""
        column = self.columns.get(name)
        if column is None:
            column = self.columns[name] = np.full((len(self.keys), *value.shape), np.nan)
        if column.ndim != value.ndim + 1:
            raise ValueError(f"{name} has {value.ndim} dimensions here and {column.ndim - 1} in other runs")
        grown = tuple(np.maximum(column.shape[1:], value.shape))
        if grown != column.shape[1:]:
            column, before = np.full((len(self.keys), *grown), np.nan), column
            column[tuple(map(slice, before.shape))] = before
            self.columns[name] = column
        if value.ndim == 0:
            column[index] = value
            return
        column[index] = np.nan
        column[index][tuple(map(slice, value.shape))] = value

    def record(self, index: int) -> dict[str, Any]:
        """What `put` takes of a run that has been done."""
        return {
            "key": self.keys[index],
            **{name: column[index] for name, column in self.texts.items()},
            "values": {name: column[index] for name, column in self.columns.items()},
            "environment": self.environments[self.environment[index]],
        }

    def merge(self, earlier: Table) -> None:
        """Copy the runs of an earlier study that this one asks for as well."""
        for index, key in enumerate(earlier.keys):
            if key in self.at and earlier.texts["status"][index] != MISSING:
                self.put(earlier.record(index))

    def forget(self, index: int) -> None:
        """Mark a run as missing."""
        for name in TEXTS:
            self.texts[name][index] = MISSING if name == "status" else ""
        self.environment[index] = -1
        for column in self.columns.values():
            column[index] = np.nan

    def dims(self, name: str) -> tuple[str, ...]:
        """Names of a column's dimensions."""
        count = self.columns[name].ndim - 1 if name in self.columns else 0
        if name.endswith(BY_EPOCH):
            further = ("epoch", "chip")
        elif name.endswith(AFTER):
            further = ("seconds", "chip")
        elif name.startswith(("test_", "train_", "validation_", "passed_share", "activity_rms")):
            further = ("chip", "")
        else:
            further = ("look", "layer")
        return (*self.axes, *further[:count])

    def per_run(self) -> list[str]:
        """Names of what was measured once a run, or once a chip or a wait of it."""
        return [n for n in self.columns if not n.endswith(BY_EPOCH) and not {"look", "layer"} & set(self.dims(n))]

    def scales(self) -> dict[str, np.ndarray]:
        """Values along every dimension."""
        lengths: dict[str, int] = {}
        for name, column in self.columns.items():
            for dim, n in zip(self.dims(name)[len(self.axes) :], column.shape[1:], strict=True):
                lengths[dim] = max(n, lengths.get(dim, 0))
        along_axes = {}
        for name, labels in self.axes.items():
            numbers = all(isinstance(label, (int, float)) for label in labels)
            along_axes[name] = np.array(labels) if numbers else np.array(labels, object)
        counted = {dim: np.arange(1, n + 1) for dim, n in lengths.items()}
        return {**along_axes, **counted, **({"seconds": np.array(self.seconds)} if "seconds" in counted else {})}

    def arrays(self) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
        """Every column and text over the axes: dimensions and values by name."""
        axes, scales = tuple(self.axes), self.scales()
        arrays = {name: (axes, column.reshape(self.shape)) for name, column in self.texts.items()}
        arrays["environment"] = axes, self.environment.reshape(self.shape)
        for name, column in self.columns.items():
            dims = self.dims(name)
            padded = np.full((len(self.keys), *(len(scales[dim]) for dim in dims[len(axes) :])), np.nan)
            padded[tuple(map(slice, column.shape))] = column
            arrays[name] = dims, padded.reshape(*self.shape, *padded.shape[1:])
        return arrays


def write(path: Path, table: Table) -> None:
    """Write a study's file in one step."""
    with hdf5.replaced(path) as file:
        file.attrs.update(format=FORMAT, version=VERSION)
        for name, values in table.scales().items():
            scale = _dataset(file, name, values)
            scale.make_scale(name)
        for name, (dims, values) in table.arrays().items():
            dataset = _dataset(file, name, values)
            for number, dim in enumerate(dims):
                dataset.dims[number].attach_scale(file[dim])
        for name in ("arguments", "shared", "environments"):
            file[f"study/{name}"] = json.dumps(getattr(table, name))
        _dataset(file, "study/own", np.array([json.dumps(settings) for settings in table.varied], object))
        _dataset(file, "study/keys", np.array(table.keys, object))


def _dataset(file: File, name: str, values: np.ndarray) -> Any:
    """A dataset of numbers or texts; large ones are compressed."""
    import h5py

    kind = h5py.string_dtype() if values.dtype == object else values.dtype
    packed = {"compression": "gzip"} if values.ndim and values.size > 1000 else {}
    return file.create_dataset(name, data=values, dtype=kind, **packed)


def read(path: Path) -> Table:
    """The inverse of `write`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is not a complete study: in one line, with the part that is wrong.
    """
    with hdf5.opened(path, "study") as file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        if file.attrs["version"] != VERSION:
            raise ValueError(f"it has layout version {file.attrs['version']}; this noisysim reads {VERSION}")
        texts = {name: _text(json.loads(file[f"study/{name}"][()]), kind, name) for name, kind in _DESCRIBED.items()}
        varied = [_text(json.loads(text), dict, "own") for text in file["study/own"].asstr()[()]]
        names = [scale.name.strip("/") for scale in (file["status"].dims[k][0] for k in range(file["status"].ndim))]
        axes = {name: _listed(file[name]) for name in names}
        keys = list(file["study/keys"].asstr()[()])
        table = Table(axes, texts["arguments"], keys, texts["shared"], varied)
        table.environments = [_text(described, dict, "environments") for described in texts["environments"]]
        table.environment = file["environment"][()].ravel()
        table.seconds = _listed(file["seconds"]) if "seconds" in file else []
        for name in TEXTS:
            table.texts[name] = np.array(file[name].asstr()[()], object).ravel()
        for name, item in file.items():
            if _is_dataset(item) and not item.is_scale and name not in (*TEXTS, "environment"):
                table.columns[name] = item[()].reshape(len(keys), *item.shape[len(axes) :]).astype(np.float64)
        _check(table)
    return table


_DESCRIBED = {"arguments": dict, "shared": dict, "environments": list}


def _text(value: Any, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"study/{name} is no {'table' if kind is dict else 'list'}")
    return value


def _is_dataset(item: object) -> bool:
    import h5py

    return isinstance(item, h5py.Dataset)


def _check(table: Table) -> None:
    """Refuse a table whose parts do not fit each other."""
    runs = math.prod(table.shape)
    lengths = {len(table.keys), len(table.at), len(table.varied), table.environment.size} | {
        column.size for column in table.texts.values()
    }
    if lengths != {runs}:
        raise ValueError(f"its axes have {runs} runs, its parts {sorted(lengths)}")
    if strange := set(table.texts["status"]) - {*STATUSES}:
        raise ValueError(f"a status is {min(strange)!r}, not one of {', '.join(STATUSES)}")
    which = table.environment[table.texts["status"] != MISSING]
    if which.size and not 0 <= which.min() <= which.max() < len(table.environments):
        raise ValueError("a run was in an environment that is not told")


def _listed(scale: Dataset) -> list[Any]:
    """The labels of an axis."""
    return list(scale.asstr()[()] if scale.dtype.kind == "O" else scale[()].tolist())
