"""A user's tables: CSV and Parquet files, data frames; and labels of every kind, from there and from arrays."""

import gzip
import json
import re

import numpy as np
import pytest

import noisysim
from noisysim import tasks
from noisysim.tasks import tables
from noisysim.tasks.delimited import SEPARATORS, Delimited
from noisysim.tasks.further import further_split

KINDS = np.array(["setosa", "versicolor", "virginica"])
N = 60
RNG = np.random.default_rng(3)
KIND = np.arange(N) % 3
NUMBERS = np.round(RNG.normal(size=(N, 3)) + KIND[:, None], 3)
CITY = np.where(np.arange(N) % 2, "Kyiv", "Lviv")
COLUMNS = {"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "c": NUMBERS[:, 2], "city": CITY, "species": KINDS[KIND]}


def lines(columns=COLUMNS, separator=",", header=True):
    rows = zip(*columns.values(), strict=True)
    return [separator.join(columns)] * header + [separator.join(map(str, row)) for row in rows]


def write(path, columns=COLUMNS, separator=",", header=True):
    path.write_text("\n".join(lines(columns, separator, header)) + "\n")
    return path


def without(*names):
    return {name: column for name, column in COLUMNS.items() if name not in names}


EXPECTED = tasks.get((NUMBERS, KINDS[KIND]), standardise="feature")


def same_data(task):
    """Whether a task has the inputs a, b and c, and the classes of species."""
    assert task.classes == tuple(KINDS)
    assert (task.n_in, task.n_out, task.classification) == (3, 3, True)
    assert task.columns == ("a", "b", "c")
    return task.crc32 == EXPECTED.crc32 and np.array_equal(task.affine, EXPECTED.affine)


# --- text files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("header", [True, False])
def test_separators_and_headers_are_found(tmp_path, separator, header):
    path = write(tmp_path / "own.csv", without("city"), separator, header)
    task = tasks.get(path)
    names = ("a", "b", "c") if header else ("0", "1", "2")
    assert task.columns == names
    assert task.crc32 == EXPECTED.crc32
    settings = task.describe()["settings"]
    assert settings["target"] == ("species" if header else "3")
    assert settings["header"] == ("yes" if header else "no")
    assert any("the first line was read as data" in note for note in task.notes) != header
    assert any("target: the last column" in note for note in task.notes)
    assert tasks.get(path, **settings).describe()["settings"] == settings
    assert tasks.get(path, **settings).crc32 == task.crc32


@pytest.mark.parametrize("suffix", [".csv", ".CSV", ".tsv", ".csv.gz"])
def test_a_path_with_settings(tmp_path, suffix):
    path = tmp_path / f"own{suffix}"
    write(path)
    if suffix.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    for spec in (
        f"{path}:target=species,drop=city",
        {"name": str(path), "target": "species", "drop": ["city"]},
        {"name": f"{path}:drop=city", "target": -1},
    ):
        task = tasks.get(spec)
        assert same_data(task)
        assert task.name == str(path)
        assert task.settings["drop"] == "city"
    assert same_data(tasks.get(path, target="species", drop="city"))
    assert json.loads(json.dumps(task.describe())) == task.describe()


def test_several_targets(tmp_path):
    path = write(tmp_path / "own.csv", without("city", "species"))
    both = tasks.get(f"{path}:target=a+c")
    assert (both.n_in, both.n_out, both.classification, both.loss) == (1, 2, False, "mse")
    given = tasks.get((NUMBERS[:, 1:2], NUMBERS[:, [0, 2]]), standardise="feature")
    assert both.crc32 == given.crc32
    assert tasks.get(path, target=["a", "c"]).describe() == both.describe()
    assert tasks.get(path, target=["c", "a"]).settings["target"] == "c+a"
    path = write(tmp_path / "plus.csv", {"a+b": NUMBERS[:, 0], "a": NUMBERS[:, 1], "c": NUMBERS[:, 2], "d": CITY})
    assert tasks.get(path, target=["a+b", "a"], drop="d").columns == ("c",)
    assert tasks.get(f"{path}:target=a+b,drop=d").columns == ("a", "c")
    hot = {**without("city", "species"), **{kind: (KINDS[KIND] == kind).astype(int) for kind in KINDS[::-1]}}
    task = tasks.get(write(tmp_path / "hot.csv", hot), target=list(KINDS[::-1]))
    assert task.classes == tuple(KINDS[::-1])
    assert np.array_equal(np.bincount(task.train.targets), np.bincount(2 - EXPECTED.train.targets))


def test_quotes_indices_blank_lines_and_switches(tmp_path):
    path = tmp_path / "own.csv"
    rows = [f'{k},"{a}",  {b} ,{k % 4 < 2},"{CITY[k]}, Ukraine"' for k, (a, b, _) in enumerate(NUMBERS)]
    path.write_text("\ufeff" + "\r\n".join([',"a, first",b,on,city', "", *rows, "", ""]))
    task = tasks.get(path)
    assert task.columns == ("a, first", "b", "on")
    assert task.classes == ("Kyiv, Ukraine", "Lviv, Ukraine")
    assert set(task.train.inputs[:, 2]) == {0, 1}
    assert "the first column, which has no name, was taken for an index and left out" in task.notes
    assert np.array_equal(np.sort(np.concatenate([task.train.inputs, task.test.inputs])[:, 0]),
                          np.sort(NUMBERS[:, 0].astype(np.float32)))  # fmt: skip
    assert tasks.get(path, target="on", drop="city").classes == (False, True)


def test_numbers_keep_their_digits(tmp_path):
    """A column of seconds since 1970 is centred before it is rounded, as that of an array is."""
    seconds = 1_700_000_000 + np.arange(N) * 0.25
    path = write(tmp_path / "own.csv", {"t": seconds, "a": NUMBERS[:, 0], "species": KINDS[KIND]})
    given = tasks.get((np.column_stack([seconds, NUMBERS[:, 0]]), KINDS[KIND]), standardise="feature")
    assert tasks.get(path).crc32 == given.crc32


def test_text_found_late_is_found(tmp_path, monkeypatch):
    from noisysim.tasks import delimited

    monkeypatch.setattr(delimited, "_CHUNK", 7)
    late = ["1"] * 50 + ["one"] * 10
    path = write(tmp_path / "own.csv", {"a": NUMBERS[:, 0], "late": late, "species": KINDS[KIND]})
    with pytest.raises(
        ValueError, match=r"own.csv: text where numbers are wanted, in 'late' \(line 52: 'one'\); drop="
    ):
        tasks.get(path)
    assert tasks.get(path, encode=True).columns == ("a", "late=1", "late=one")


def test_text_becomes_one_hot_columns_if_it_is_asked_for(tmp_path):
    path = write(tmp_path / "own.csv")
    task = tasks.get(f"{path}:encode=True")
    assert task.columns == ("a", "b", "c", "city=Kyiv", "city=Lviv")
    assert np.array_equal(task.train.inputs[:, 3:].sum(axis=1), np.ones(task.n_train))
    assert "text made one-hot columns: 'city' (2 columns)" in task.notes
    read = tables.read_inputs(path, task.columns)
    assert np.array_equal(read[:, :3], NUMBERS)
    assert np.array_equal(read[:, 3], CITY == "Kyiv")
    again = further_split(task, PlainFrame(COLUMNS), COLUMNS["species"])
    assert np.array_equal(again.inputs, read.astype(np.float32))
    other = write(tmp_path / "other.csv", {**COLUMNS, "city": np.where(KIND == 1, "Lviv", "Odesa")})
    for use in (lambda: tasks.get(f"{path}:encode=True,test={other}"), lambda: tables.read_inputs(other, task.columns)):
        with pytest.raises(
            ValueError, match=r"other.csv: column 'city' holds 'Odesa' \(line 2\), which was not trained"
        ):
            use()


def test_what_looks_like_a_number_is_text_where_the_first_table_has_text(tmp_path):
    codes, kinds = np.array(["01", "02", "A1"])[KIND], np.array(["1", "2", "x"])[KIND]
    plain = KIND < 2
    first = write(tmp_path / "first.csv", {"code": codes, "a": NUMBERS[:, 0], "y": kinds})
    second = write(tmp_path / "second.csv", {"code": codes[plain], "a": NUMBERS[plain, 0], "y": kinds[plain]})
    task = tasks.get(f"{first}:encode=True,test={second}")
    assert task.classes == ("1", "2", "x")
    assert task.columns == ("code=01", "code=02", "code=A1", "a")
    assert np.array_equal(task.test.inputs, task.train.inputs[plain])
    assert np.array_equal(task.test.targets, task.train.targets[plain])
    x, y = tables.read_further(second, task.columns, "y")
    again = further_split(task, x, y)
    assert np.array_equal(again.inputs, task.test.inputs)
    assert np.array_equal(again.targets, task.test.targets)


def test_a_second_file_is_the_test_split(tmp_path):
    train = write(tmp_path / "train.csv", {name: column[:40] for name, column in COLUMNS.items()})
    backwards = {name: column[40:] for name, column in reversed(COLUMNS.items())}
    test = write(tmp_path / "test.csv", {**backwards, "further": CITY[40:]}, ";")
    with pytest.raises(ValueError, match=r"test.csv has no columns 'a', 'b', 'c', 'species': it has species;"):
        tasks.get(f"{train}:target=species,drop=city,test={test},separator=comma")
    test = write(test, {**backwards, "further": CITY[40:]})
    task = tasks.get(f"{train}:target=species,drop=city,test={test}")
    given = (NUMBERS[:40], KINDS[KIND[:40]], NUMBERS[40:], KINDS[KIND[40:]])
    assert task.crc32 == tasks.get(given).crc32
    assert not any("split" in note for note in task.notes)
    assert task.settings["test"] == str(test)


SHORT = "a,b,y\n1,2,no\n3,4,yes\n5,6,no\n7,8,yes\n"
BAD_FILES = {
    "": "is empty",
    "a,b,y\n": "holds no rows",
    "a,b,y\n1,2,3\n1,2\n": "line 3 has 2 fields, the first line has 3",
    "# of plot 3\na,b,y\n1,2,3\n": "line 2 has 1 fields, the first line has 4; take out comments, as the first line",
    "a\n1\n2\n": "the first line has one column only; separator= names what is between columns",
    "a,a,y\n1,2,3\n3,4,5\n": "the header has 'a' twice",
    "a,,y\n1,2,3\n3,4,5\n": "the header has no name for column 2",
    "a,b,y\n1,,no\n,,yes\n5,NA,no\n": r"values are missing: 'a' 1 \(first in line 3\), 'b' 3 \(first",
    "a,b,y\n1,?,no\n2,3,\n5,6,no\n": r"values are missing: 'b' 1 \(first in line 2\), 'y' 1 \(first in line 3\)",
    "a;b;y\n1,5;2;no\n2,5;3;yes\n": r"text where numbers are wanted, in 'a' \(line 2: '1,5'\); write decimal points",
    "a,b,y\n1_000,2,no\n3,4,yes\n": r"text where numbers are wanted, in 'a' \(line 2: '1_000'\)",
    "a,b,y\n1,inf,no\n3,4e300,yes\n5,6,no\n7e39,8,yes\n": (
        r"values are infinite, or too large for float32: 'a' 1 \(first in line 5\), 'b' 2 \(first in line 2\)"
    ),
    "a,b,y\n1,2,0.5\n3,4,1e60\n5,6,2.5\n": r"too large for float32: 'y' 1 \(first in line 3\)",
    "a,b,y\n" + "".join(f"{k},{k},{7 * k}\n" for k in range(9)): "target 'y': 9 different whole numbers in 9 sam",
    "a,b,y\n" + "".join(f"{k},{k},id{k}\n" for k in range(9)): "target 'y': 9 different texts in 9 samples are",
    "a,b,y\n1,2,no\n3,4,no\n5,6,no\n": "labels must be of two classes or more, but all are 'no'",
    "a,b,y\n1,2,no\n" + "3,4,yes\n5,6,no\n" * 3 + "1,2,rare\n": "the label 'rare' is too rare to be in both splits",
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.items())
def test_bad_files_get_one_clear_error(tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_text(content)
    seed = 0 if "rare" not in message else next(k for k in range(99) if 7 in tasks.split_rows(8, 1, k)[1])
    with pytest.raises(ValueError, match=f"own.csv:? .*{message}") as raised:
        tasks.get(path, seed=seed)
    assert "\n" not in str(raised.value)


BAD_SETTINGS = {
    "target=spcies": "own.csv: target: unknown column 'spcies'; did you mean 'species'",
    "target=9": "own.csv: target: unknown column '9'",
    "drop=ciy": "own.csv: drop: unknown column 'ciy'; did you mean 'city'",
    "target=a,drop=a+city": "own.csv: column 'a' cannot be a target and left out",
    "target=a+a": "own.csv: target names column 'a' twice",
    "drop=a+b+c+city": "own.csv: no column is left for inputs",
    "target=species": r"own.csv: text where numbers are wanted, in 'city' \(line 2: 'Lviv'\); drop= leaves columns out",
    "target=species,drop=city,kind=regression": "target 'species': text cannot be fitted as values",
    "taget=a": "has no field 'taget'; did you mean 'target'",
    "target=1.5": "own.csv.target must be a text, not 1.5",
    "encode=1": "own.csv.encode must be True or False, not 1",
    "separator=x": "own.csv.separator must be one of 'auto', 'semicolon'",
    "separator=bar": r"own.csv: no column is left for inputs: it has a,b,c,city,species",
    "header=maybe": "own.csv.header must be one of 'auto', 'yes', 'no'",
    "test=own.txt": r"a table must be .csv, .* or .parquet, not 'own.txt'",
    "test=nowhere.csv": "no task file 'nowhere.csv'",
    "target=a,drop=species+city,standardise_targets=3": "standardise_targets must be True or False, not 3",
    "target=species,drop=city,standardise_targets=True": "standardise_targets is for target values",
}


@pytest.mark.parametrize(("settings", "message"), BAD_SETTINGS.items())
def test_bad_settings_get_one_clear_error(tmp_path, settings, message):
    path = write(tmp_path / "own.csv")
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        tasks.get(f"{path}:{settings}")


def test_other_bad_files(tmp_path):
    path = tmp_path / "own.csv"
    for content, message in ((b"a,b,y\n1,\xe9,3\n", "own.csv is no text in UTF-8"), (b"a,b\x00,y\n", "own.csv")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            tasks.get(path)
    packed = tmp_path / "own.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b,y\n" * 99)[:-9])
    with pytest.raises(ValueError, match=r"own.csv.gz is no whole .gz file"):
        tasks.get(packed)
    whole = gzip.compress("\n".join(lines()).encode())
    for at in range(10, len(whole), 30):  # one reason or another, by where it is
        packed.write_bytes(whole[:at] + bytes(10) + whole[at + 10 :])
        with pytest.raises(ValueError, match=r"own.csv.gz"):
            tasks.get(packed, target="species", drop="city")
    packed.write_bytes(b"a,b,y\n1,2,3\n")
    with pytest.raises(ValueError, match=r"own.csv.gz is no whole .gz file"):
        tasks.get(packed)
    with pytest.raises(FileNotFoundError, match=r"no task file .*nowhere.csv"):
        tasks.get(tmp_path / "nowhere.csv")
    wide = write(tmp_path / "wide.csv", {"id": [f"id {k}" for k in range(150)], "y": np.arange(150) % 2})
    with pytest.raises(ValueError, match=r"column 'id' holds 150 different texts: at most 100 are made one-hot"):
        tasks.get(f"{wide}:encode=True")


# --- quotes -----------------------------------------------------------------------------------------------------------


def quoted(path, at, columns=COLUMNS, separator=","):
    """A table with a quote before the last field of some data rows, or at the start of the header."""
    rows = lines(columns, separator)
    for k in at:
        head, field = rows[k].rsplit(separator, 1)
        rows[k] = f'{head}{separator}"{field}' if k else f'"{rows[k]}'
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("at", [0, 1, 21, 40, 60])
def test_a_quote_that_never_closes_is_refused(tmp_path, separator, at):
    path = quoted(tmp_path / "own.csv", [at], without("city"), separator)
    for settings in ({}, {"separator": tables_separator(separator), "header": "yes"}):
        with pytest.raises(ValueError, match=rf"own.csv: line {at + 1} has a quote that is never closed") as raised:
            tasks.get(path, **settings)
        assert len(str(raised.value)) < len(str(path)) + 100


def tables_separator(text):
    return next(name for name, one in SEPARATORS.items() if one == text)


def test_a_quote_that_never_closes_is_refused_however_long_the_file(tmp_path):
    path = quoted(tmp_path / "own.csv", [21], {name: np.tile(column, 200) for name, column in COLUMNS.items()})
    with pytest.raises(ValueError, match=r"own.csv cannot be read as a table: line 22: field larger than field limit"):
        tasks.get(path, target="species", drop="city")


def test_two_stray_quotes_do_not_make_a_text_of_the_rows_between(tmp_path):
    path = quoted(tmp_path / "own.csv", [21, 40], without("city"))
    with pytest.raises(ValueError, match=r"column 'species' holds text of several lines \(lines 22 to 41\): take out"):
        tasks.get(path)
    path = quoted(tmp_path / "own.csv", [21, 40], {**without("species", "city"), "species": KINDS[KIND], "city": CITY})
    with pytest.raises(ValueError, match=r"column 'city' holds text of several lines \(lines 22 to 41\): take out"):
        tasks.get(path, target="species", encode=True)
    numbers = quoted(tmp_path / "numbers.csv", [21, 40], {"species": COLUMNS["species"], "a": NUMBERS[:, 0]})
    with pytest.raises(ValueError, match=r"column 'a' holds text of several lines \(lines 22 to 41\): take out"):
        tasks.get(numbers, target="species")
    task = tasks.get(path, target="species", drop="city")  # where it may be a remark of several lines
    assert task.n_train + task.n_test == N - 19
    assert "1 rows have line ends between quotes, the first in lines 22 to 41" in task.notes
    second = tasks.get(write(tmp_path / "first.csv"), target="species", drop="city", test=str(path))
    assert any(note.startswith(f"{path}: 1 rows have line ends") for note in second.notes)


def test_a_quote_within_a_text_is_noted(tmp_path):
    labels = np.where(np.arange(N) < 20, 'setosa"', COLUMNS["species"])
    path = write(tmp_path / "own.csv", {**COLUMNS, "species": labels})
    notes = tasks.get(path, target="species", drop="city").notes
    assert any(
        note.startswith("column 'species' has quotes in its text, first in line 2: 'setosa\"'") for note in notes
    )
    plain = tasks.get(write(path, without("city"))).notes
    assert not any("quotes" in note for note in plain)


# --- missing values in text -------------------------------------------------------------------------------------------

WORDS = ["NA", "n/a", "?", "None", "nan", "NULL", "<NA>", " "]


@pytest.mark.parametrize("word", WORDS)
def test_missing_values_in_text_are_not_data(tmp_path, word):
    labels, cities = COLUMNS["species"].astype(object), CITY.astype(object)
    labels[[3, 9]], cities[5] = word, word
    holed = {**COLUMNS, "species": labels, "city": cities}
    for given, place in ((write(tmp_path / "own.csv", holed), "line {}"), (PlainFrame(holed), "row {}")):
        first = [place.format(row + 2 * place.startswith("line")) for row in (3, 5)]
        with pytest.raises(ValueError, match=rf"values are missing: 'species' 2 \(first in {first[0]}"):
            tasks.get(given, target="species", drop="city")
        with pytest.raises(ValueError, match=rf"values are missing: 'city' 1 \(first in {first[1]}"):
            tasks.get(given, target="a", drop="species", encode=True)
    with pytest.raises(ValueError, match=r"arrays: y has 2 missing labels \(first in row 3"):
        tasks.get((NUMBERS, labels))
    with pytest.raises(ValueError, match=r"arrays: y_train has 2 missing labels \(first in row 3"):
        tasks.get((NUMBERS, labels.astype(str), NUMBERS, COLUMNS["species"]))
    listed = COLUMNS["species"].tolist()
    for hole in (float("nan"), None, ""):  # of which NumPy makes text
        with pytest.raises(ValueError, match=r"arrays: y has 1 missing labels \(first in row 3\)$"):
            tasks.get((NUMBERS, [*listed[:3], hole, *listed[4:]]), missing="empty")


def test_texts_that_look_like_missing_values_may_be_meant(tmp_path):
    labels, cities = COLUMNS["species"].astype(object), CITY.astype(object)
    labels[KIND == 0], cities[KIND == 1] = "None", "NA"
    columns = {**COLUMNS, "species": labels, "city": cities}
    path = write(tmp_path / "own.csv", columns)
    with pytest.raises(
        ValueError, match=r"some 'NA'\), 'species' 20 .*, some 'None'\).*missing='empty': 'NA' is a text"
    ):
        tasks.get(path, encode=True)
    task = tasks.get(f"{path}:encode=True,missing=empty")
    assert task.classes == ("None", "versicolor", "virginica")
    assert task.columns[-3:] == ("city=Kyiv", "city=Lviv", "city=NA")
    assert task.settings["missing"] == "empty"
    for given in (path, PlainFrame(columns)):
        x, y = tables.read_further(given, task.columns, "species")
        again = further_split(task, x, y)
        assert np.array_equal(np.sort(again.targets), np.sort([*task.train.targets, *task.test.targets]))
        assert again.inputs[:, -1].sum() == 20
    assert tasks.get((NUMBERS, labels), missing="empty").classes == task.classes
    assert tasks.get(PlainFrame(columns), encode=True, missing="empty").columns == task.columns
    other = tasks.get(write(tmp_path / "other.csv"), target="species", encode=True)
    with pytest.raises(ValueError, match=r"column 'city' holds 'NA' \(line 3\), which was not trained on"):
        tables.read_inputs(path, other.columns)
    with pytest.raises(ValueError, match=r"y holds the label 'None': those that were trained on are"):
        further_split(
            other, *tables.read_further(write(path, {**COLUMNS, "species": labels}), other.columns, "species")
        )
    cities[3] = ""
    with pytest.raises(ValueError, match=r"values are missing: 'city' 1 \(first in line 5\); fill them[^(]*$"):
        tasks.get(write(path, {**columns, "city": cities}), encode=True, missing="empty")


@pytest.mark.parametrize("other", ["city=Kyiv", "city=Lviv", "city=Kyiv=x"])
def test_one_hot_columns_are_told_from_others(tmp_path, other):
    """A name must lead to its column when other data are read by it."""
    cities = np.where(np.arange(N) % 2, "Kyiv=x", "Lviv") if other.endswith("x") else CITY
    path = write(tmp_path / "own.csv", {**COLUMNS, "city": cities, "a": NUMBERS[:, 0], other: NUMBERS[:, 1]})
    with pytest.raises(ValueError, match=rf"an input '{other}' of column 'city', which could be of column '{other}'"):
        tasks.get(path, target="species", encode=True)
    assert other in tasks.get(path, target="species", drop="city").columns


# --- Parquet ----------------------------------------------------------------------------------------------------------


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    from pyarrow import parquet

    path = tmp_path / "own.parquet"
    parquet.write_table(pyarrow.table({**COLUMNS, "__index_level_0__": np.arange(N)}), path)
    assert same_data(tasks.get(f"{path}:target=species,drop=city"))
    with pytest.raises(ValueError, match=r"separator and header are for text files, not for .*own.parquet"):
        tasks.get(path, separator="tab")
    holed = {"a": pyarrow.array([None, 1, 2, None] * 5), "y": [0, 1] * 10}
    parquet.write_table(pyarrow.table(holed), path)
    with pytest.raises(ValueError, match=r"own.parquet: values are missing: 'a' 10 \(first in row 0\)"):
        tasks.get(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"own.parquet: not a readable Parquet file"):
        tasks.get(path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "own.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r"own.parquet: Parquet is read by pyarrow, .*: pip install"):
        tasks.get(tmp_path / "own.parquet")


# --- frames -----------------------------------------------------------------------------------------------------------


def pandas_frame(columns):
    return pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas").DataFrame(columns)


def polars_frame(columns):
    return pytest.importorskip("polars", reason="polars is not installed: pip install polars").DataFrame(columns)


def arrow_table(columns):
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow").table(columns)


class PlainFrame:
    """What all frames have, with nothing to install."""

    def __init__(self, columns):
        self._columns = {name: np.asarray(column, object) for name, column in columns.items()}
        self.columns = list(columns)
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def __getitem__(self, name):
        return self._columns[name]


FRAMES = [pandas_frame, polars_frame, arrow_table, PlainFrame]


@pytest.mark.parametrize("frame", FRAMES)
def test_frames(frame):
    whole = frame(COLUMNS)
    assert same_data(tasks.get({"frame": whole, "target": "species", "drop": "city"}))
    assert same_data(tasks.get(whole, target="species", drop=["city"]))
    task = tasks.get(frame(without("city")))
    assert same_data(task)
    assert task.name == "arrays"
    first, second = ({name: column[part] for name, column in COLUMNS.items()} for part in (slice(40), slice(40, None)))
    task = tasks.get({"frame": frame(first), "test": frame(second), "target": "species", "drop": "city"})
    assert (task.n_train, task.n_test) == (40, 20)


@pytest.mark.parametrize("frame", FRAMES)
def test_frames_as_x_and_y(frame):
    x, y = frame(without("city", "species")), frame({"species": KINDS[KIND]})
    assert same_data(tasks.get((x, y)))
    assert same_data(tasks.get((x, KINDS[KIND])))
    backwards = frame(dict(reversed(without("city", "species").items())))
    four = tasks.get((x, y, backwards, y))
    assert np.array_equal(four.train.inputs, four.test.inputs), "columns are found by their names"
    with pytest.raises(ValueError, match=r"arrays: x_test has no column 'b': it has a"):
        tasks.get((x, y, frame({"a": NUMBERS[:, 0]}), y))
    with pytest.raises(
        ValueError, match=r"arrays: x: text where numbers are wanted, in columns 'city', 'species': make"
    ):
        tasks.get((frame(COLUMNS), y))
    holed = NUMBERS[:, 0].copy()
    holed[[4, 9]] = np.nan
    with pytest.raises(ValueError, match=r"arrays: x: values are missing: 'a' 2 \(first in row 4\)"):
        tasks.get((frame({"a": holed, "b": NUMBERS[:, 1]}), y))
    with pytest.raises(ValueError, match=r"frame: values are missing: 'a' 2 \(first in row 4\)"):
        tasks.get(frame({"b": NUMBERS[:, 1], "a": holed}))


@pytest.mark.parametrize("module", ["pandas", "polars"])
def test_series(module):
    library = pytest.importorskip(module, reason=f"{module} is not installed: pip install {module}")
    assert tasks.get((NUMBERS, library.Series(list(KINDS[KIND])))).crc32 == tasks.get((NUMBERS, KINDS[KIND])).crc32
    labels = library.Series([None, *KIND[1:].tolist()])
    with pytest.raises(ValueError, match=r"arrays: y has 1 missing values \(first in row 0\)"):
        tasks.get((NUMBERS, labels))


def test_types_of_pandas_columns():
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    frame = pandas.DataFrame({
        "whole": pandas.array(np.arange(N), dtype="Int64"), "switch": pandas.array(KIND == 1, dtype="boolean"),
        "kind": pandas.Categorical(KINDS[KIND]), 7: NUMBERS[:, 0],
    })  # fmt: skip
    task = tasks.get(frame, target="kind")
    assert (task.columns, task.classes) == (("whole", "switch", "7"), tuple(KINDS))
    frame["when"] = pandas.date_range("2026-01-01", periods=N)
    with pytest.raises(ValueError, match=r"frame: column 'when' holds datetime64.*: make numbers of them"):
        tasks.get(frame, target="kind")
    frame["when"] = [{}] * N
    with pytest.raises(ValueError, match=r"frame: column 'when' holds objects, in row 0 {}"):
        tasks.get(frame, target="kind")
    twice = pandas.DataFrame(np.ones((3, 2)), columns=["a", "a"])
    with pytest.raises(ValueError, match="frame has two columns 'a'"):
        tasks.get(twice)
    with pytest.raises(TypeError, match=r"task\.test must be a data frame, not 'x\.csv'"):
        tasks.get({"frame": frame, "test": "x.csv"})
    with pytest.raises(ValueError, match="separator and header are for text files, not for a frame"):
        tasks.get({"frame": frame, "header": "yes"})


# --- labels -----------------------------------------------------------------------------------------------------------

LABELS = {
    "text": (KINDS[KIND], tuple(KINDS)),
    "list": (KINDS[KIND].tolist(), tuple(KINDS)),
    "objects": (KINDS[KIND].astype(object), tuple(KINDS)),
    "bytes": (KINDS[KIND].astype("S"), tuple(KINDS)),
    "numbers-as-text": (np.array(["10", "9", "2"])[KIND], ("10", "2", "9")),
    "switches": (KIND == 1, (False, True)),
    "whole": (np.array([9, 3, 7])[KIND], (3, 7, 9)),
    "signs": (np.array([-1, 1], np.int8)[KIND % 2], (-1, 1)),
    "from-zero": (KIND, ()),
    "column": (KINDS[KIND][:, None], tuple(KINDS)),
}


@pytest.mark.parametrize(("y", "classes"), LABELS.values(), ids=LABELS)
def test_labels_are_kept(y, classes):
    task = tasks.get((NUMBERS, y, NUMBERS, y))
    assert task.classes == classes
    assert task.describe().get("classes", []) == list(classes)
    known = classes or (0, 1, 2)
    back = [known[k] for k in task.train.targets]
    flat = np.ravel(y)
    assert back == [one.decode() if isinstance(one, bytes) else one for one in flat.tolist()]
    assert list(known) == sorted(known)
    again = further_split(task, NUMBERS, y)
    assert np.array_equal(again.targets, task.test.targets)
    assert np.array_equal(again.inputs, task.test.inputs)
    hot = np.eye(task.n_out)[task.train.targets]
    assert np.array_equal(further_split(task, NUMBERS, hot).targets, task.train.targets)


def test_other_labels_are_other_data():
    one, other = (tasks.get((NUMBERS, names[KIND])) for names in (KINDS, np.array(["a", "b", "c"])))
    assert np.array_equal(one.train.targets, other.train.targets)
    assert one.crc32 != other.crc32


@pytest.mark.parametrize(
    ("y", "further", "message"),
    [
        (KINDS[KIND], ["setosa", "rose"] * 30, "y holds the label 'rose': those that were trained on are 'setosa', 'v"),
        (KINDS[KIND], KIND, "y holds the label '0': those that were trained on are 'setosa'"),
        (KIND, KINDS[KIND], "y holds the label 'setosa': those that were trained on are 0, 1, 2"),
        (KIND, KIND + 1, "y holds the label 3"),
        (KIND, NUMBERS[:, 0], r"y must hold labels, \(samples,\), or one-hot rows of 3 classes"),
        (KIND, KIND[:-1], "x has 60 samples, y has 59"),
    ],
)
def test_further_data_must_have_the_same_labels(y, further, message):
    task = tasks.get((NUMBERS, y))
    with pytest.raises(ValueError, match=message):
        further_split(task, NUMBERS, further)


# --- runs -------------------------------------------------------------------------------------------------------------

RUN = {"layers": [5], "device": "ideal", "learner": "bp", "batch_size": 8, "epochs": 2, "progress": False}


def bits(path):
    result = noisysim.load(path)
    columns = result.content["arrays"]
    return {f"{group}/{name}": array.tobytes() for group, part in columns.items() for name, array in part.items()}


@pytest.mark.parametrize("backend", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_run_of_a_table_is_recorded_and_resumed(tmp_path, monkeypatch, backend):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.csv")
    spec = "own.csv:target=species,drop=city"
    whole = noisysim.run(spec, **RUN, backend=backend, out="whole.h5")
    assert whole.config["task"]["classes"] == list(KINDS)
    assert any("3 classes, 'setosa'" in note for note in whole.config["task"]["notes"])
    arrays = noisysim.run((NUMBERS, KINDS[KIND]), **RUN, backend=backend)
    assert whole.history["test_loss"].tolist() != arrays.history["test_loss"].tolist(), "standardised otherwise"
    arrays = noisysim.run({"name": spec}, **RUN, backend=backend)
    assert whole.history["test_loss"].tolist() == arrays.history["test_loss"].tolist()
    stopped = noisysim.run(spec, **RUN, backend=backend, out="cut.h5", until=1e-9)
    assert stopped.status == "stopped"
    (tmp_path / "own.csv").rename(tmp_path / "moved.csv")
    with pytest.raises(FileNotFoundError, match=r"no task file 'own.csv'"):
        noisysim.resume("cut.h5")
    write(tmp_path / "other.csv", {**COLUMNS, "a": NUMBERS[:, 0] + 1})
    with pytest.raises(ValueError, match=r"cut.h5 was learning other data than these \(CRC-32"):
        noisysim.resume("cut.h5", task="other.csv")
    resumed = noisysim.resume("cut.h5", task="moved.csv")
    assert resumed.status == "finished"
    assert bits("cut.h5") == bits("whole.h5")
    assert resumed.config["task"] == {**whole.config["task"], "name": "moved.csv"}
    assert resumed.warnings == whole.warnings


def test_a_run_of_a_frame_is_resumed_from_the_frame(tmp_path):
    frame = PlainFrame(without("city"))
    whole = noisysim.run(frame, **RUN, out=tmp_path / "whole.h5")
    noisysim.run(frame, **RUN, out=tmp_path / "cut.h5", until=1e-9)
    with pytest.raises(ValueError, match="learned arrays that its file does not hold"):
        noisysim.resume(tmp_path / "cut.h5")
    with pytest.raises(ValueError, match=r"cut.h5 learned a data frame, with target 'species': give the frame"):
        noisysim.resume(tmp_path / "cut.h5", task=(NUMBERS, KINDS[KIND]))
    resumed = noisysim.resume(tmp_path / "cut.h5", task=frame)
    assert bits(tmp_path / "cut.h5") == bits(tmp_path / "whole.h5")
    assert resumed.config == whole.config


def test_a_run_is_not_resumed_from_data_in_another_form(tmp_path, monkeypatch):
    """Which has other settings: what differs is said, and no setting that the user did not write."""
    monkeypatch.chdir(tmp_path)
    path, frame = str(write(tmp_path / "own.csv", without("city"))), PlainFrame(without("city"))
    x, y = NUMBERS, KINDS[KIND]
    forms = {"frame": frame, "mapping": {"frame": frame, "target": "species"}, "arrays": (x, y), "file": path}
    refused = {
        "frame": {"arrays": "learned a data frame, with", "file": "learned a data frame, with target 'species'"},
        "arrays": dict.fromkeys(("frame", "mapping", "file"), r"learned arrays: give them as task=\(x, y"),
        "file": dict.fromkeys(("frame", "mapping", "arrays"), "learned the table .*own.csv': give its file"),
    }
    for learned, others in refused.items():
        noisysim.run(forms[learned], **{**RUN, "epochs": 1}, out="run.h5", overwrite=True)
        for other, message in others.items():
            with pytest.raises(ValueError, match=f"run.h5 {message}"):
                noisysim.resume("run.h5", task=forms[other], epochs=2)
        assert noisysim.resume("run.h5", task=forms[learned], epochs=2).status == "finished"
    noisysim.run((x, y), **RUN, out="run.h5", overwrite=True)
    with pytest.raises(ValueError, match=r"other task settings than these: standardise 'global', now 'feature'$"):
        noisysim.resume("run.h5", task=tasks.get((x, y), standardise="feature"), epochs=4)


def test_a_frame_is_tested_on_by_a_run_of_frames_as_x_and_y():
    frame = PlainFrame(without("city"))
    result = noisysim.run((PlainFrame(without("city", "species")), KINDS[KIND]), **RUN)
    assert result.test(frame).accuracy == result.test((NUMBERS, KINDS[KIND])).accuracy
    with pytest.raises(ValueError, match="frame has no column for targets: it has a, b, c"):
        result.test(PlainFrame(without("city", "species")))


def test_labels_to_validate_on_are_those_of_the_task():
    x, y = NUMBERS, KINDS[KIND]
    by_name = noisysim.run((x, y), **RUN, validation=(x[:20], y[:20]))
    by_number = noisysim.run((x, KIND), **RUN, validation=(x[:20], KIND[:20]))
    for name, column in by_number.history.items():
        assert np.array_equal(by_name.history[name], column, equal_nan=True), name
    with pytest.raises(ValueError, match=r"run\.validation: y holds the label 'rose'"):
        noisysim.run((x, y), **RUN, validation=(x[:2], ["setosa", "rose"]))


@pytest.mark.parametrize("axes", ["nchw", "nhwc"])
def test_further_images_are_read_as_those_of_the_task(axes):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3), np.uint8)
    task = tasks.get((images, np.arange(20) % 2, images, np.arange(20) % 2), axes=axes)
    assert np.array_equal(further_split(task, images, np.arange(20) % 2).inputs, task.train.inputs)


def test_values_are_learned_in_standardised_units(tmp_path):
    """A target in thousands starts at a loss of about a half, and says so."""
    y = 5000 + 800 * NUMBERS[:, 0]
    path = write(tmp_path / "own.csv", {"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "y": y})
    result = noisysim.run(str(path), **{**RUN, "epochs": 60})
    assert result.history["test_loss"][0] < 5
    assert result.history["test_loss"][-1] < 0.1
    task = result.config["task"]
    assert any("target values are standardised, and the loss is of these" in note for note in task["notes"])
    assert task["settings"]["standardise_targets"] is True
    assert task["standardise"]["target_mean"] == pytest.approx([y[tasks_rows()].mean()])
    assert not any("targets" in warning for warning in result.warnings)


def tasks_rows():
    return tasks.split_rows(N, N // 5, seed=0)[0]


def test_the_command_line_takes_tables(tmp_path, monkeypatch, capsys):
    import sys

    from noisysim import cli

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path / "own.csv")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["noisysim", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    options = ("--layers", "5", "--device", "ideal", "--learner", "bp", "--batch-size", "8", "--epochs", "2")
    code, out, _ = call("run", "--task", "own.csv:target=species,drop=city", *options, "--out", "run.h5")
    assert code == 0
    assert "own.csv (48 training and 12 test samples)" in out
    assert "3 classes, 'setosa', 'versicolor', 'virginica'" in out
    same = noisysim.run("own.csv:target=species,drop=city", **RUN)
    assert np.array_equal(noisysim.load("run.h5").history["test_loss"], same.history["test_loss"])
    code, _, err = call("run", "--task", "own.csv:target=spcies", *options)
    assert code
    assert "unknown column 'spcies'; did you mean 'species'" in str(code) + err
    code, out, _ = call("run", "--config", "run.h5")
    assert code == 0
    assert re.search(r"loss .*accuracy", out)
    page = noisysim.report("run.h5", "run.html").read_text()
    assert re.search(
        r"--task &#39;own.csv:\S*target=species,drop=city|--task own.csv:\S*target=species,drop=city", page
    )
    assert "CRC-32 of the arrays" in page


def test_the_trained_chip_answers_in_the_words_of_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.csv")
    run = {**RUN, "epochs": 60, "learning_rate": 0.02}
    noisysim.run("own.csv:target=species,encode=True", **run, out="run.h5")
    result = noisysim.load("run.h5")
    answers = result.predict("own.csv")
    assert answers.tolist() == result.predict(PlainFrame(COLUMNS)).tolist()
    right = answers == COLUMNS["species"]
    assert right.mean() > 0.6
    scores = result.test("own.csv:target=species")
    assert scores.classes == tuple(KINDS)
    assert scores.accuracy == pytest.approx(right.mean())
    assert scores.confusion.sum(axis=1).tolist() == [20, 20, 20]
    by_hand = [[int(((COLUMNS["species"] == a) & (answers == b)).sum()) for b in KINDS] for a in KINDS]
    assert scores.confusion.tolist() == by_hand


def test_values_are_answered_in_their_units(tmp_path):
    y = 5000 + 800 * NUMBERS[:, 0]
    path = write(tmp_path / "own.csv", {"a": NUMBERS[:, 0], "b": NUMBERS[:, 1], "y": y})
    result = noisysim.run(str(path), **{**RUN, "epochs": 60, "learning_rate": 0.02})
    answers = result.predict(path)[:, 0]
    r2 = 1 - np.square(y - answers).sum() / np.square(y - y.mean()).sum()
    assert r2 > 0.9
    assert result.test(f"{path}:target=y").r2 == pytest.approx(r2, abs=1e-4)


def test_studies_learn_tables(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "own.csv")
    run = {**RUN, "layers": [[5]]}
    del run["progress"]
    for task, name in (
        ("own.csv:target=species,drop=city", "own.csv"),
        ({"frame": PlainFrame(COLUMNS), "target": "species", "drop": "city"}, "arrays"),
    ):
        study = noisysim.sweep(task, **run, seed=[0, 1], workers=1)
        assert name in str(study)
        alone = noisysim.run(task, **RUN, seed=1)
        assert float(study.data["test_loss"].sel(seed=1).values.ravel()[-1]) == alone.history["test_loss"][-1]


def test_targets_of_a_study_of_a_frame_are_fitted_together():
    """A list in a table of settings is an axis, except beside a frame."""
    pytest.importorskip("distributed")
    run = {name: value for name, value in RUN.items() if name != "progress"}
    frame = {"frame": PlainFrame(without("city", "species")), "target": ["a", "c"]}
    study = noisysim.sweep(frame, **{**run, "layers": [[5]]}, seed=[0], workers=1)
    assert "target" not in study.axes
    alone = noisysim.run(frame, **RUN)
    assert float(study.data["test_loss"].values.ravel()[-1]) == alone.history["test_loss"][-1]


def test_delimited_files_are_named_by_line(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text('a,b\n1,"x\ny"\n\n2,z\n')
    source = Delimited(str(path))
    assert source.read(["a"], ["a"], False)["a"].tolist() == [1, 2]
    assert [source.line(0), source.line(1)] == [3, 5]
    assert source.notes == ["1 rows have line ends between quotes, the first in lines 2 to 3"]
