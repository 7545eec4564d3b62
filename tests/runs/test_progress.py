"""What is shown of progress on a terminal, in a notebook and in a script, and how often."""

import io
import sys
import types

import pytest

import noisysim
from noisysim.compute.jit import ahead
from noisysim.runs import displays, execute
from noisysim.runs.progress import Progress, Tally
from noisysim.runs.training import Training

RUN = {"layers": [4], "device": "ideal", "learner": "bp", "epochs": 2}


class Clock:
    """Stands in for the module `time`."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(displays, "time", made)
    return made


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Frontend:
    """A made-up IPython: what it was asked to display, and how each display was updated."""

    def __init__(self, monkeypatch):
        self.displays = []
        for name in ("IPython", "IPython.display"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace(kernel=object())
        sys.modules["IPython.display"].display = self.display

    def display(self, content, *, raw, display_id):
        assert raw is display_id is True
        shown = [content]
        self.displays.append(shown)
        return types.SimpleNamespace(update=lambda content, raw: shown.append(content))


def pass_time(clock, progress, seconds):
    """A run of one update a second for so long; the times at which something was due."""
    due = []
    for second in range(seconds):
        if progress.due:
            due.append(second)
            progress.show(second, 1, 2, 0.5, 0.25, 3 * second)
        clock.now += 1
    return due


# --- in a script ----------------------------------------------------------------------------------------------------


def test_a_script_gets_a_line_after_ten_seconds_and_then_ever_more_rarely(clock, capsys):
    progress = Progress(1000, None)
    assert pass_time(clock, progress, 200) == [0, 10, 30, 70, 150]  # the first only begins to measure
    progress.stop()
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 4)
    assert err.splitlines()[1].startswith("noisysim: epoch 1/2, 3 %, about 16 min left, loss 0.5, accuracy 25.0 %")


def test_lines_are_never_further_apart_than_ten_minutes(clock):
    due = pass_time(clock, Progress(10**6, None), 4000)
    assert due[-3:] == [2430, 3030, 3630]


def test_who_asks_for_progress_gets_a_line_every_ten_seconds(clock, capsys):
    assert pass_time(clock, Progress(1000, True), 45) == [0, 10, 20, 30, 40]
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_progress_can_be_switched_off(clock, capsys):
    progress = Progress(1000, False)
    assert pass_time(clock, progress, 100) == []
    progress.show(1, 1, 2, 0.5, 0.25, 3)
    progress.stop()
    assert capsys.readouterr().err == ""


def test_the_time_left_is_that_at_the_rate_of_this_call(clock, capsys):
    """Of a resumed run the updates before do not count, nor the time before the first update, which compiles."""
    progress = Progress(100, True)
    clock.now += 60
    progress.show(50, 6, 10, 0.5, float("nan"), 0)
    clock.now += 20
    progress.show(60, 7, 10, 0.5, float("nan"), 100)
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("noisysim: epoch 7/10, 60 %, about 1.3 min left, loss 0.5, ")
    assert "accuracy" not in said


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_a_log_that_cannot_be_written_ends_no_run(monkeypatch, error):
    class Full(io.StringIO):
        def write(self, text):
            raise error("no space left")

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(displays, "FIRST", 0.0)
    assert noisysim.run(**RUN).status == "finished"


def test_a_run_of_a_script_says_where_it_is(monkeypatch, capsys):
    monkeypatch.setattr(displays, "FIRST", 0.0)
    noisysim.run(**RUN, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("noisysim: epoch 1/2, ")
    assert lines[-1].startswith("noisysim: epoch 2/2, 100 %, loss ")
    noisysim.run(**RUN, progress=False)
    assert capsys.readouterr().err == ""


def test_a_process_without_stderr_is_told_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert displays.display(True, 10) is None


def test_a_study_says_where_it_is_though_no_run_ends(clock, capsys):
    tally = Tally(12, 2, None)
    for _ in range(31):
        clock.now += 1
        tally.look()
    tally.add(finished=True)
    clock.now += 40
    tally.add(finished=False)
    tally.interrupted()
    tally.stop()
    first, second, third = capsys.readouterr().err.splitlines()
    assert first == second == "noisysim: 2 of 12 runs, 17 %"
    assert third.startswith("noisysim: 4 of 12 runs, 33 %, about 4.7 min left, 1 failed or diverged")


def test_a_sweep_says_so_while_its_first_run_is_under_way(monkeypatch, capsys):
    pytest.importorskip("distributed", exc_type=ImportError)
    monkeypatch.setattr(displays, "FIRST", 0.01)
    monkeypatch.setattr(displays, "LONGEST", 0.01)
    noisysim.sweep(**RUN, seed=[0], workers=1)
    assert capsys.readouterr().err.splitlines()[0] == "noisysim: 0 of 1 runs, 0 %"
    noisysim.sweep(**RUN, seed=[0], workers=1, progress=False)
    assert capsys.readouterr().err == ""


# --- elsewhere ------------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "200")
    noisysim.run(**RUN)
    said = sys.stderr.getvalue()
    assert "epoch 2/2" in said
    assert "100 %" in said
    assert "passes/s" in said


def test_who_waits_at_a_terminal_hears_why(monkeypatch, capsys):
    displays.remark(None, "compiling")  # not at one
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    displays.remark(False, "compiling")
    assert sys.stderr.getvalue() == ""
    displays.remark(None, "compiling")
    assert sys.stderr.getvalue() == "noisysim: compiling\n"


def test_a_run_that_has_to_compile_says_so(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(Training, "begin", lambda training: ahead._jobs.told())
    monkeypatch.setattr(execute, "execute", lambda *arguments: None)
    noisysim.run(**RUN)
    assert sys.stderr.getvalue() == f"noisysim: {execute.COMPILING}\n"
    assert ahead._jobs.told is None


def test_a_notebook_gets_one_output_which_is_drawn_anew(clock, monkeypatch, capsys):
    frontend = Frontend(monkeypatch)
    progress = Progress(10, None)
    for update in range(10):
        progress.show(update + 1, 1, 2, 0.5, 0.25, 3)
        clock.now += 0.1
    progress.stop()
    (contents,) = frontend.displays
    assert len(contents) == 3  # at first, after half a second, at the end
    assert all(content.keys() == {"text/plain", "text/html"} for content in contents)
    assert contents[1]["text/plain"].startswith("epoch 1/2, 60 %, about 0.4 s left, loss 0.5, accuracy 25.0 %")
    assert contents[-1]["text/plain"].startswith("epoch 1/2, 100 %, loss 0.5, accuracy 25.0 %")
    assert '<progress value="1.000" max="1"' in contents[-1]["text/html"]
    assert capsys.readouterr() == ("", "")


def test_a_plain_ipython_prompt_is_no_notebook(monkeypatch):
    Frontend(monkeypatch)
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace()
    assert isinstance(displays.display(None, 10), displays.Lines)
    sys.modules["IPython"].get_ipython = lambda: None
    assert isinstance(displays.display(None, 10), displays.Lines)
