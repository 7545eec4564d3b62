"""A user's own tables: CSV and Parquet files and data frames, of which columns are inputs and targets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from noisysim.common.fields import PATH, listed, shown, unknown
from noisysim.tasks import own
from noisysim.tasks.base import Task
from noisysim.tasks.delimited import ADVICE, Delimited
from noisysim.tasks.frames import Frame, Source, check_whole, columns_of, is_frame
from noisysim.tasks.labels import MOST_CLASSES
from noisysim.tasks.own_settings import TableSettings
from noisysim.tasks.settings import read_settings

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
"""How names of files end that are tables."""


def from_file(path: str, settings: Mapping[str, Any], seed: int) -> Task:
    """A task of a CSV or Parquet file, or of two; a fifth of the rows of one becomes the test split.

    Parameters
    ----------
    path : str
        UTF-8 text with a column a field (``.csv``, ``.tsv``, also ``.gz``), or ``.parquet``, which needs pyarrow.
    settings : mapping
        See `TableSettings`; target and drop may be lists of names.
    seed : int
        Draws the split.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        Naming columns that are not there, hold text, or have values missing.
    """
    checked = read_settings(path, TableSettings, _as_texts(settings))
    source = _opened(path, checked.separator, checked.header)
    checked = checked._replace(**source.settled)
    test = _opened(checked.test, checked.separator, checked.header) if checked.test else None
    return _made(path, source, test, checked, seed)


def from_frame(frame: object, test: object, settings: Mapping[str, Any], seed: int) -> Task:
    """A task of a data frame (pandas, polars) or a pyarrow table, or of two (`test` is the second, or ``None``)."""
    for name, value in {"frame": frame, "test": test}.items():
        if not (is_frame(value) or (name == "test" and value is None)):
            raise TypeError(f"task.{name} must be a data frame, not {shown(value)}")
    checked = read_settings("frame", TableSettings, _as_texts(settings))
    _check_delimited(checked.separator, checked.header, "a frame")
    return _made("arrays", Frame("frame", frame), None if test is None else Frame("test", test), checked, seed)


def _as_texts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the names of columns as one text: a list is joined, a position is written out."""
    texts = dict(settings)
    for name in ("target", "drop"):
        value = texts.get(name)
        if isinstance(value, (list, tuple)) and all(isinstance(one, (str, int)) for one in value):
            texts[name] = "+".join(map(str, value))
        elif isinstance(value, int) and not isinstance(value, bool):
            texts[name] = str(value)
    return texts


def _opened(path: str, separator: str, header: str) -> Source:
    if not path.lower().endswith(SUFFIXES):
        raise ValueError(f"a table must be {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, not {shown(path, PATH)}")
    if not path.lower().endswith(".parquet"):
        return Delimited(path, separator, header)
    _check_delimited(separator, header, path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no task file {shown(path, PATH)}")
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError(f"{path}: Parquet is read by pyarrow, which is not installed: pip install pyarrow") from None
    try:
        return Frame(path, parquet.read_table(path))
    except (OSError, ValueError) as error:  # those of pyarrow are such
        raise ValueError(f"{path}: not a readable Parquet file ({str(error).partition(chr(10))[0][:120]})") from None


def _check_delimited(separator: str, header: str, what: str) -> None:
    if (separator, header) != ("auto", "auto"):
        raise ValueError(f"separator and header are for text files, not for {what}")


def _made(name: str, source: Source, test: Source | None, settings: TableSettings, seed: int) -> Task:
    """The task of one table, or of two."""
    notes: list[str] = []
    dropped = _chosen(source, "drop", settings.drop)
    remaining = [column for column in source.names if column not in dropped]
    targets = _chosen(source, "target", settings.target) or remaining[-1:]
    if not settings.target and targets:
        notes.append(f"target: the last column, {targets[0]!r} (target= names another)")
    if both := [column for column in targets if column in dropped]:
        raise ValueError(f"{source.title}: column {both[0]!r} cannot be a target and left out")
    inputs = [column for column in remaining if column not in targets]
    if not inputs:
        raise ValueError(f"{source.title}: no column is left for inputs: it has {listed(source.names) or 'none'}")
    sources = [source] if test is None else [source, test]
    words = settings.missing == "auto"
    tables = [_read(source, inputs, targets, settings.encode, words=words)]
    if test is not None:  # what is text in the one is in the other, too
        texts = [column for column, values in tables[0].items() if values.dtype.kind == "O"]
        tables.append(_read(test, inputs, targets, settings.encode, texts, words))
        notes += [f"{test.title}: {note}" for note in test.notes]
    notes[:0] = source.notes  # those of what was read among them
    matrices, columns = _inputs(sources, tables, inputs, notes)
    keys = (("x", "y"),) if test is None else (own.NAMES[:2], own.NAMES[2:])
    arrays, titles = {}, {}
    for (x, y), table, matrix, one in zip(keys, tables, matrices, sources, strict=True):
        arrays[x], arrays[y] = matrix, _targets(table, targets)
        of_file = "" if test is None else f" of {one.title}"
        titles[x], titles[y] = f"the table of inputs{of_file}", f"target {'+'.join(targets)!r}{of_file}"
    settings = settings._replace(target="+".join(targets), drop="+".join(dropped))
    return own.made(name, arrays, settings, seed, notes=notes, titles=titles, columns=columns, outputs=targets)


def _chosen(source: Source, setting: str, text: str) -> list[str]:
    """Columns that a setting names: one, several with + between, by name or by position; names may contain + too."""
    known, columns, parts = source.names, [], text.split("+") if text else []
    while parts:
        joined = ["+".join(parts[:n]) for n in range(len(parts), 0, -1)]
        name = next((one for one in joined if one in known), parts[0])
        parts = parts[name.count("+") + 1 :]
        if name not in known:
            position = int(name) if name.lstrip("-").isdecimal() else len(known)
            if not -len(known) <= position < len(known):
                raise ValueError(f"{source.title}: {setting}: {unknown('column', name, known)}")
            name = known[position]
        if name in columns:
            raise ValueError(f"{source.title}: {setting} names column {name!r} twice")
        columns.append(name)
    return columns


def _read(
    source: Source,
    inputs: Sequence[str],
    targets: Sequence[str],
    encode: bool,
    texts: Sequence[str] = (),
    words: bool = False,
) -> dict[str, np.ndarray]:
    """The columns of a table, none with a value missing, and text only where it may be.

    Whether `words` such as NA are missing values matters where texts are new: others are compared with what is known.
    """
    wanted = [*inputs, *targets]
    if lacking := [column for column in wanted if column not in source.names]:
        raise ValueError(f"{source.title} has no {columns_of(lacking)}: it has {listed(source.names) or 'none'}")
    try:
        columns = source.read(wanted, targets, encode, texts)
    except TypeError as error:
        raise ValueError(f"{source.title}: {error}") from None
    text = [column for column in inputs if columns[column].dtype.kind == "O"]
    if text and not encode:
        raise ValueError(f"{source.title}: text where numbers are wanted, in {columns_of(text)}; {ADVICE}")
    check_whole(source, columns, words)
    return columns


def _inputs(
    sources: Sequence[Source], tables: Sequence[Mapping[str, np.ndarray]], names: Sequence[str], notes: list[str]
) -> tuple[list[np.ndarray], list[str]]:
    """The inputs of each table, (rows, columns), those that are text one-hot, by the texts of the first; and names."""
    parts: list[list[np.ndarray]] = [[] for _ in tables]
    columns, encoded = [], []
    for name in names:
        text = [table[name].dtype.kind == "O" for table in tables]
        if not any(text):
            columns.append(name)
            for part, table in zip(parts, tables, strict=True):
                part.append(table[name][:, None])
            continue
        if not all(text):
            raise ValueError(f"column {name!r} holds text in one of {sources[0].title} and {sources[1].title} alone")
        known = np.unique(tables[0][name])
        if len(known) > MOST_CLASSES:
            raise ValueError(
                f"{sources[0].title}: column {name!r} holds {len(known):,} different texts: at most {MOST_CLASSES} are "
                "made one-hot columns; drop= leaves it out"
            )
        for part, table, source in zip(parts, tables, sources, strict=True):
            part.append(_one_hot(source, name, table[name], known))
        columns += (hot := [f"{name}={text}" for text in known])
        _check_apart(sources[0], name, hot)
        encoded.append(f"{name!r} ({len(known)} columns)")
    if encoded:
        notes.append(f"text made one-hot columns: {listed(encoded)}")
    return [np.concatenate(part, axis=1) for part in parts], columns


def _check_apart(source: Source, name: str, hot: Sequence[str]) -> None:
    """Refuse names of one-hot columns that are, or read like, those of another column."""
    for column in hot:
        if other := next((n for n in source.names if n != name and f"{column}=".startswith(f"{n}=")), None):
            raise ValueError(
                f"{source.title}: encode would make an input {shown(column)} of column {name!r}, which could be "
                f"of column {other!r} as well: rename one of these columns"
            )


def _one_hot(source: Source, name: str, text: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A column of text as one of 0 and 1 for each text that is known, uint8 (rows, len(known))."""
    if (strange := ~np.isin(text, known)).any():
        row = int(strange.argmax())
        where = f"{source.place} {source.line(row)}"
        raise ValueError(
            f"{source.title}: column {name!r} holds {shown(text[row])} ({where}), which was not trained on"
        )
    hot: np.ndarray = (text[:, None] == known).astype(np.uint8)
    return hot


def read_inputs(given: object, columns: Sequence[str]) -> np.ndarray:
    """Inputs of another table for a task of one, (rows, len(columns)).

    Parameters
    ----------
    given : path or frame
        Further columns in it are passed over.
    columns : sequence of str
        `Task.columns`, as a result file records them (``config["task"]["columns"]``).

    Raises
    ------
    FileNotFoundError, ValueError
        Naming columns that are not there, hold text, or have values missing, and texts that were not trained on.
    """
    return _matrix(_source(given), columns)


def read_further(given: object, columns: Sequence[str], target: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of another table for a task of one: see `read_inputs`.

    `target` is as the task's settings say; without, it is the last column that is no input.
    """
    source = _source(given)
    names = _chosen(source, "target", target) or [name for name in source.names if name not in columns][-1:]
    if not names:
        raise ValueError(f"{source.title} has no column for targets: it has {listed(source.names)}")
    return _matrix(source, columns), _targets(_read(source, [], names, encode=False), names)


def read_samples(path: str, columns: Sequence[str]) -> np.ndarray:
    """Inputs of a table by a task's names for them; all its columns in order where task or table have no names."""
    source = _source(path)
    unnamed = source.settled.get("header") == "no" and not set(columns) & set(source.names)
    if columns and not unnamed:
        return _matrix(source, columns)
    return np.column_stack(list(_read(source, source.names, [], encode=False).values()))


def _source(given: object) -> Source:
    """A frame or a table's file, to be read."""
    return Frame("frame", given) if is_frame(given) else _opened(os.fspath(given), "auto", "auto")  # type: ignore[call-overload]


def _matrix(source: Source, columns: Sequence[str]) -> np.ndarray:
    """The inputs of a table by the names that a task has for them."""
    texts: dict[str, list[str]] = {}
    for column in columns:
        if column not in source.names and (name := next((n for n in source.names if column.startswith(f"{n}=")), "")):
            texts.setdefault(name, []).append(column.removeprefix(f"{name}="))
    numbers = [column for column in columns if not any(f"{n}={t}" == column for n in texts for t in texts[n])]
    table = _read(source, numbers, list(texts), encode=False, texts=list(texts))
    parts = {name: table[name][:, None] for name in numbers}
    for name, known in texts.items():
        hot = _one_hot(source, name, table[name], np.array(known, dtype=object))
        parts |= {f"{name}={text}": hot[:, k : k + 1] for k, text in enumerate(known)}
    matrix: np.ndarray = np.concatenate([parts[column] for column in columns], axis=1)
    return matrix


def _targets(table: Mapping[str, np.ndarray], names: Sequence[str]) -> np.ndarray:
    """The targets, (rows,) of one column, (rows, columns) of several."""
    if len(names) == 1:
        return table[names[0]]
    return np.column_stack([table[name] for name in names])
