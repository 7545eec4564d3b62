"""`benchmarks.robustness`: learners on presets, in small; how rates are chosen, runs kept, and failures told."""

import sys
from pathlib import Path

import pytest

import noisysim
from noisysim import devices

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))
from benchmarks.robustness import presets  # noqa: E402

SMALL = {"digits": presets.Protocol({"layers": [16], "epochs": 3}, {"epochs": 1}, 2)}


def found(accuracy, loss=1.0, status="finished"):
    """A run as it is kept."""
    return {
        "status": status, "train_loss": [loss], "test_accuracy": [accuracy], "updates": 10, "passes": 21,
        "cells_programmed": 0, "pulses": 300, "cells": 100,
    }  # fmt: skip


def row(*runs):
    return presets.Row("digits", "rpu", "danp", "adam", 1e-3, list(runs))


def test_every_preset_is_measured():
    assert set(presets.PRESETS) == set(devices.BUILT_IN)


def test_presets_learn_and_a_second_measurement_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(presets, "RATES", {"adam": (1e-3, 1e-2)})
    asked = {"presets": ["rram_milo", "rram_gong"], "learners": ["dnp", "bp"]}
    path = tmp_path / "runs.jsonl"
    rows = list(presets.measure(presets.Runs(path), SMALL, ["digits"], **asked))
    assert [(r.preset, r.learner, len(r.runs)) for r in rows] == [
        ("rram_milo", "dnp", 2), ("rram_milo", "bp", 2), ("rram_gong", "dnp", 2), ("rram_gong", "bp", 2),
    ]  # fmt: skip
    for r in rows:
        programs = r.preset == "rram_milo"
        assert presets.written_by(r.preset) == ("write-verify" if programs else "pulses")
        for run in r.runs:
            assert run["status"] == "finished"
            assert run["test_accuracy"][-1] > (0.8 if r.learner == "bp" else presets.LEARNS)
            assert (run["cells_programmed"] > 0, run["pulses"] > 0) == (programs, not programs)
    assert len(path.read_text().splitlines()) == len(rows) * (2 + 2)  # two rates tried, two seeds

    def run(*args, **settings):
        raise AssertionError("a run that is there was run again")

    monkeypatch.setattr(noisysim, "run", run)
    again = list(presets.measure(presets.Runs(path), SMALL, ["digits"], **asked))
    assert presets.tables(again) == presets.tables(rows)


def test_choice_goes_by_loss_and_not_by_accuracy():
    losses = {("adam", 1e-3): 0.5, ("adam", 1e-2): 0.4, ("sgd", 1e-2): 0.1}

    class Pretended(presets.Runs):
        def _run(self, device, task, optimizer, learning_rate, seed, **other):
            assert seed == presets.SHORT_SEED
            loss = losses.get((optimizer, learning_rate), 2.0)
            if task == "fashion-mnist":
                assert optimizer == "adam"
                loss = learning_rate
            return found(
                1 - loss / 4 if device == "rpu" else loss, loss, "diverged" if optimizer == "sgd" else "finished"
            )

    runs = Pretended()
    assert presets.choose(runs, presets.TASKS, "digits", "rpu", "danp") == ("adam", 1e-2)
    assert presets.choose(runs, presets.TASKS, "digits", "sonos", "bp") == ("adam", 1e-2)
    assert presets.choose(runs, presets.TASKS, "fashion-mnist", "rpu", "danp") == ("adam", 3e-4)


def test_a_preset_with_other_numbers_is_run_again(monkeypatch):
    runs, count = presets.Runs(), []
    monkeypatch.setattr(presets.Runs, "_run", lambda self, **asked: count.append(asked) or found(0.9))
    for crc in ("0", "0", "1"):
        monkeypatch.setattr(presets, "fields_crc", lambda preset, crc=crc: crc)
        runs.get("rpu", task="digits", seed=0)
    assert len(count) == 2


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([found(0.9)], "90.0"),
        ([found(0.9), found(0.92)], "91.0 +- 1.4"),
        ([found(0.12), found(0.12)], "12.0 +- 0.0, does not learn"),
        ([found(0.9), found(0.5, status="diverged")], "90.0, 1 of 2 diverged"),
        ([found(0.5, status="diverged")], "diverges"),
    ],
)
def test_failures_are_told(runs, said):
    assert presets.accuracy(row(*runs)) == said


def test_cost_is_of_a_run_and_of_a_cell():
    assert (presets.passes(row(found(0.9))), presets.writes(row(found(0.9)))) == ("21", "0.0003 (3)")


def test_the_page_has_the_tables_that_were_measured():
    measured = (ROOT / "benchmarks" / "robustness" / "results" / "presets.md").read_text(encoding="utf-8")
    assert measured in (ROOT / "docs" / "presets.md").read_text(encoding="utf-8")
