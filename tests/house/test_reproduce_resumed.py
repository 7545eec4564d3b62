"""`noisysim reproduce` continued: each measurement has a file of its own, and what is there is not measured again."""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import made_up
import numpy as np
import pytest

import noisysim
from noisysim import cli, papers
from noisysim.papers import kept, parts
from noisysim.runs import environment, storage

PROGRAM = Path(made_up.__file__)
FOLDER = Path("reproduced")


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """The command line with the made-up reproduction alone: exit code, standard output and standard error."""
    made_up.install(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    made_up.calls.clear()

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["noisysim", "reproduce", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        code = leaving.value.code or 0
        out, err = capsys.readouterr()
        return (1, out, err + code) if isinstance(code, str) else (code, out, err)

    return run


def table(folder=FOLDER, name="made-up"):
    """The rows of a table and what else it says, without what differs from call to call: times and dates."""
    content = json.loads((Path(folder) / f"{name}.json").read_text())
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in content.pop("rows")]
    content.pop("where")
    return {**content, "rows": rows}


def row(name):
    return next(one for one in table()["rows"] if one["name"] == name)


def files(name="made-up"):
    return sorted(path.name for path in (FOLDER / name).glob("*.h5"))


def test_killed_at_any_write_and_continued_it_ends_with_the_same_table_to_the_bit(call, tmp_path):
    assert call("made-up", "--seeds", 2)[0] == 0
    environ = {**os.environ, "PYTHONPATH": str(Path(noisysim.__file__).parents[1])}
    command = [sys.executable, PROGRAM, "reproduce", "made-up", "--seeds", "2", "--out", tmp_path / "killed"]
    codes = []
    while not codes or codes[-1] < 0:
        killed = subprocess.run(command, env={**environ, "KILLED_AFTER": str(4 + 5 * len(codes))}, capture_output=True)
        codes.append(killed.returncode)
        assert len(codes) < 9
    assert codes.count(-signal.SIGKILL) >= 2
    assert codes[-1] == 0, killed.stderr.decode()
    assert table(tmp_path / "killed") == table()


def test_what_is_there_is_not_measured_again(call, monkeypatch):
    call("made-up", "--seeds", 2)
    first, there = table(), files()
    assert len(there) == 2 * 2 + 2
    monkeypatch.setattr(noisysim, "run", None)
    monkeypatch.setattr(noisysim, "resume", None)
    code, out, _ = call("made-up", "--seeds", 2)
    assert (code, files(), made_up.calls) == (0, there, [0, 1])
    assert table() == first
    assert "6 measurements were there already, in reproduced/made-up" in out


def test_a_further_seed_is_all_that_is_measured(call):
    call("made-up", "--seeds", 1)
    assert call("made-up", "--seeds", 2)[0] == 0
    assert made_up.calls == [0, 1]
    assert len(files()) == 6


def test_other_settings_are_measured_and_nothing_is_lost(call, monkeypatch):
    call("made-up", "--seeds", 1)
    before = files()
    monkeypatch.setattr(made_up, "EPOCHS", 2)
    assert call("made-up", "--seeds", 1)[0] == 0
    assert len(row("NP, loss")["curve"]) == 2
    assert set(before) < set(files())
    assert len(files()) == len(before) + 2
    assert made_up.calls == [0]


def test_another_source_is_measured_again_unless_it_may_be_taken(call, monkeypatch):
    call("made-up", "--seeds", 1)
    before, first = files(), table()
    monkeypatch.setattr(environment, "source_hash", lambda: "0" * 64)
    taken = call("made-up", "--seeds", 1, "--allow-other-source")
    assert (taken[0], files(), made_up.calls) == (0, before, [0])
    assert table()["rows"] == first["rows"]
    assert table()["said"] == ["measurements of another source of noisysim than this are among these"]
    code, out, _ = call("made-up", "--seeds", 1)
    assert (code, made_up.calls) == (0, [0, 0])
    assert len(files()) == 2 * len(before)
    assert out.count("has measurements of another source of noisysim, which are not used; --allow-other-source") == 1
    assert table()["rows"] == first["rows"]


def test_a_run_that_another_source_began_is_resumed_if_it_may_be(call, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        call("made-up", "--seeds", 1, "--only", "NP")
    before = files()
    monkeypatch.setattr(environment, "source_hash", lambda: "0" * 64)
    assert call("made-up", "--seeds", 1, "--only", "NP", "--allow-other-source")[0] == 0
    assert files() == before
    assert len(row("NP, loss")["curve"]) == made_up.EPOCHS
    assert any("other source" in text for text in storage.read(FOLDER / "made-up" / before[0])["warnings"])


def stop_after(monkeypatch, epochs, number=0):
    """Let the time limit, or a signal, end runs after so many epochs of five updates."""
    from noisysim.runs import signals

    looks = []

    class Stop(signals.Stop):
        @property
        def reason(self):
            looks.append(0)
            if number and len(looks) == 5 * epochs + 1:
                os.kill(os.getpid(), number)
            return super().reason if number else "stopped" if len(looks) > 5 * epochs else ""

    monkeypatch.setattr(signals, "Stop", Stop)


def test_at_the_time_limit_rows_say_how_far_they_are_and_are_not_judged(call, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        code, out, _ = call("made-up", "--seeds", 3, "--until", "1h")
    assert code == 75
    content = table()
    assert (content["status"], content["missing"]) == ("stopped", ["BP", "spread"])
    assert [one["name"] for one in content["rows"]] == ["NP, loss"]
    assert content["rows"][0]["passed"] is None
    assert content["rows"][0]["progress"] == "0 of 3 seeds; the next has 2 of 6 epochs"
    assert content["rows"][0]["figure"] == f" ({content['rows'][0]['progress']})"
    assert len(content["rows"][0]["curve"]) == 2
    assert "so far" in out
    assert "not measured yet: BP; spread" in out
    summary = (FOLDER / "summary.md").read_text()
    assert "NP, loss (0 of 3 seeds; the next has 2 of 6 epochs)" in summary
    assert "Not measured yet: BP; spread." in summary
    assert call("made-up", "--seeds", 3)[0] == 0
    continued = table()
    assert call("made-up", "--seeds", 3, "--out", "undisturbed")[0] == 0
    assert table("undisturbed") == continued


def test_a_limit_that_is_over_measures_nothing(call):
    code, _, _ = call("made-up", "--until", "0.0001s")
    assert (code, table()["status"], made_up.calls) == (75, "stopped", [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_measurement_keeps_what_is_done(call, monkeypatch, number):
    def interrupted(seed, scale):
        os.kill(os.getpid(), number)
        time.sleep(60)

    spread = made_up.spread
    interrupted.__qualname__, interrupted.__module__ = spread.__qualname__, spread.__module__
    interrupted.__name__ = spread.__name__
    with monkeypatch.context() as patch:
        patch.setattr(made_up, "spread", interrupted)
        code, _, _ = call("made-up", "--seeds", 1)
    assert code == 128 + number
    assert (table()["status"], table()["missing"]) == ("interrupted", ["spread"])
    assert [one["name"] for one in table()["rows"]] == ["NP, loss", "BP, loss", "claim: BP below NP"]
    assert call("made-up", "--seeds", 1)[0] == 0
    assert made_up.calls == [0]
    assert table()["status"] == "finished"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_run_keeps_it_and_the_run_is_resumed(call, monkeypatch, number):
    with monkeypatch.context() as patch:
        stop_after(patch, 3, number)
        code, _, _ = call("made-up", "--seeds", 1)
    assert code == 128 + number
    assert (table()["status"], row("NP, loss")["progress"]) == ("interrupted", "3 of 6 epochs")
    with monkeypatch.context() as patch:
        patch.setattr(noisysim, "run", None)
        call("made-up", "--seeds", 1, "--only", "NP")
    assert call("made-up", "--seeds", 1)[0] == 0
    assert table()["status"] == "finished"


def test_rows_are_measured_alone_and_the_others_shown(call):
    assert call("made-up", "--seeds", 1, "--only", "spread")[0] == 0
    assert (table()["status"], table()["missing"]) == ("partial", ["NP", "BP"])
    assert call("made-up", "--seeds", 1, "--only", "n*")[0] == 0
    assert [one["name"] for one in table()["rows"]] == ["NP, loss", "spread"]
    assert call("made-up", "--seeds", 1)[0] == 0
    whole = table()
    assert (whole["status"], made_up.calls) == ("finished", [0])
    call("made-up", "--seeds", 1, "--out", "at-once")
    assert table("at-once") == whole


def test_show_measures_nothing(call):
    call("made-up", "--seeds", 1, "--only", "BP")
    code, out, _ = call("made-up", "--seeds", 2, "--show")
    assert (code, made_up.calls) == (0, [])
    assert row("BP, loss")["progress"] == "1 of 2 seeds"
    assert "1 of 2 seeds" in out
    assert len(files()) == 1


def test_show_leaves_a_table_whose_measurements_are_elsewhere(call):
    call("made-up", "--seeds", 1)
    whole, text = table(), (FOLDER / "made-up.json").read_text()
    shutil.rmtree(FOLDER / "made-up")
    code, out, _ = call("made-up", "--seeds", 1, "--show")
    assert (code, (FOLDER / "made-up.json").read_text()) == (0, text)
    assert all(one["name"] in out for one in whole["rows"])
    assert "spread" in (FOLDER / "summary.md").read_text()


def test_there_is_nothing_to_show_of_what_was_never_measured(call, tmp_path):
    code, out, err = call("made-up", "--show", "--out", tmp_path / "none")
    assert (code, out) == (2, "")
    assert "none has nothing of made-up: measure first" in err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("made-up --only DANP", "made-up has no row 'DANP'. Its rows: NP; BP; spread"),
        ("made-up --only NP nonsense", "no row 'nonsense'"),
        ("--all --only NP", ""),
        ("made-up made-up --only NP", "rows are of one reproduction: name one, not 2"),
        ("made-up --until never", "--until must be a time"),
        ("made-up --seeds 0", "--seeds must be a whole number"),
        ("made-up --backend abacus", "unknown backend 'abacus'"),
        ("made", "unknown reproduction 'made'; did you mean 'made-up'?"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_status_2(call, words, said):
    code, out, err = call(*words.split())
    if not said:
        assert code == 0  # there is but one
        return
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert said in err
    assert not FOLDER.exists()


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_value_is_the_same_from_the_function_and_from_its_file(tmp_path):
    store = kept.Kept(tmp_path / "there")
    arguments = {"seed": 3, "scale": 0.1}
    assert store.value(made_up.spread, arguments) is None
    fresh = store.measure(made_up.spread, arguments).value
    again = kept.Kept(tmp_path / "there").value(made_up.spread, arguments).value
    for value in (fresh, again):
        assert list(value) == ["sd", "numbers", "pair"]
        assert value["pair"] == [3, None]
        np.testing.assert_array_equal(value["numbers"], made_up.spread(**arguments)["numbers"])
    assert fresh["sd"] == again["sd"]


def unusual():
    return {1.5: [np.nan, -np.inf, 10**30], "text": np.float32(0.1), "flag": np.True_, "empty": np.zeros((0, 2))}


def test_any_number_is_kept(tmp_path):
    store = kept.Kept(tmp_path / "there")
    for value in (store.measure(unusual, {}).value, store.value(unusual, {}).value):
        assert np.isnan(value[1.5][0])
        assert value[1.5][1:] == [-np.inf, 10**30]
        assert (value["text"], value["flag"]) == (float(np.float32(0.1)), True)
        assert value["empty"].shape == (0, 2)


def test_arguments_tell_measurements_apart(tmp_path):
    store = kept.Kept(tmp_path / "there")
    task = noisysim.tasks.get("student-teacher:n_in=3,n_train=9,n_test=2", seed=0)
    other = noisysim.tasks.get("student-teacher:n_in=3,n_train=9,n_test=2", seed=1)
    given = [
        1,
        2,
        "1",
        [1],
        (1, 2),
        {"a": 1},
        task,
        other,
        noisysim.learners.get("np"),
        noisysim.learners.get("np:sigma=1"),
    ]
    places = [store._place_of(made_up.spread, {"seed": one}) for one in given]
    assert len(set(places)) == len(given)
    with pytest.raises(TypeError, match="type object"):
        store._place_of(made_up.spread, {"seed": object()})
    with pytest.raises(TypeError, match="function of a module"):
        store._place_of(lambda: 0, {})


def test_a_damaged_file_is_measured_again(call):
    call("made-up", "--seeds", 1)
    first = table()["rows"]
    for name in files():
        path = FOLDER / "made-up" / name
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    code, out, _ = call("made-up", "--seeds", 1)
    assert (code, table()["rows"]) == (0, first)
    assert out.count("measured again") == 3
    assert made_up.calls == [0, 0]


def test_a_run_of_another_process_is_shown_as_far_as_it_is(call):
    from noisysim.common import writing

    call("made-up", "--seeds", 1)
    path = next((FOLDER / "made-up").glob("np-*.h5"))
    content = storage.read(path)
    content["status"] = "running"
    content["arrays"]["history/epoch"] = {k: v[:4] for k, v in content["arrays"]["history/epoch"].items()}
    storage.write(path, content)
    with writing.hold(path):
        code, out, _ = call("made-up", "--seeds", 1)
    assert (code, table()["status"]) == (0, "partial")
    assert row("NP, loss")["progress"] == "4 of 6 epochs"
    assert "is being run by another process" in out


# --- all of them ----------------------------------------------------------------------------------------------------


def test_no_reproduction_runs_anything_by_itself():
    folder = Path(papers.__file__).parent
    for path in folder.glob("*.py"):
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
        assert path.name == "kept.py" or not calls & {"noisysim.run", "noisysim.resume", "noisysim.sweep"}, path


@pytest.mark.covering(1)  # the rows of both forms are named by the same lines, for other settings
@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", papers.names())
def test_every_reproduction_has_rows_that_can_be_measured_alone(name, quick):
    try:
        names = papers.rows(name, papers.Options(quick=quick))
    except FileNotFoundError as error:
        pytest.skip(str(error).partition("\n")[0])
    assert names
    assert len(set(names)) == len(names)
    assert all(parts.matches(one, [one]) for one in names)


@pytest.mark.parametrize(
    ("name", "count"),
    [("bacho2024-fig5", 4), ("bacho2024-table2", 36), ("dalm2025-fig7", 14), ("dalm2025-fig9", 17),
     ("hiratani2022-fig5", 10), ("lansdell2020-fig2", 7)],
)  # fmt: skip
def test_rows_are_named_without_data(name, count, monkeypatch):
    monkeypatch.setattr(noisysim.tasks, "get", None)
    assert len(papers.rows(name, papers.Options())) == count


def test_the_rows_of_figure_4_of_dalm_are_its_four_curves():
    try:
        names = papers.rows("dalm2025-fig4", papers.Options())
    except FileNotFoundError as error:
        pytest.skip(str(error).partition("\n")[0])
    assert names == [f"3 hidden layers, {rule}{way}" for rule in ("DNP", "DANP") for way in ("", ", noisy baseline")]


def test_curves_so_far_are_drawn_and_labelled_beside_what_is_published(tmp_path):
    cifar = papers.get("dalm2025-fig9").cifar
    report = papers.Report("some-figure", tmp_path)
    curves = parts.Measured(report)
    short = cifar.Curves(np.full((1, 12), 30.0), np.full((1, 12), 29.0))
    with report.part("DANP"):
        report._part.progress = "12 of 300 epochs"
        curves["dalm-3", "danp"] = short
    with report.part("DNP"):
        curves["dalm-3", "dnp"] = cifar.Curves(np.full((3, 300), 40.0), np.full((3, 300), 39.0))
    drawn = {}

    def keep(name, figure):
        drawn[name] = figure

    report.figure = keep
    cifar.draw(report, cifar.lines(curves, ["dalm-3"]))
    axes = drawn["accuracy"].axes[1]
    lines = {line.get_label(): line for line in axes.lines}
    assert {"DANP (12 of 300 epochs)", "DNP"} <= set(lines)
    assert len(lines["DANP (12 of 300 epochs)"].get_xdata()) == 12
    levels = [line.get_ydata()[0] for line in axes.lines if line.get_label().startswith("_")]
    assert sorted(levels) == [42.1, 44.4]
    with pytest.raises(parts.NotMeasuredError):
        curves["dalm-3", "danp"]
    assert set(curves.complete) == {("dalm-3", "dnp")}
