"""`benchmarks.robustness`: the protocol and its cards, and learners on presets, in small."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import noisysim
from noisysim import devices

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))
from benchmarks.robustness import (  # noqa: E402
    asymmetric,
    cards,
    controllers,
    deployed,
    figures,
    measure,
    presets,
    protocol,
    sequential,
    tuned,
)

SMALL = {"digits": presets.Protocol({"layers": [16], "epochs": 3}, {"epochs": 1}, 2)}


def found(accuracy, loss=1.0, status="finished"):
    """A run as it is kept."""
    return {
        "status": status, "train_loss": [loss], "test_accuracy": [accuracy], "updates": 10, "passes": 21,
        "cells_programmed": 0, "pulses": 300, "cells": 100,
    }  # fmt: skip


def row(*runs):
    return presets.Row("digits", "rpu", "danp", "adam", 1e-3, list(runs))


GENERIC = {"pulsed_exponential", "pulsed_piecewise", "pulsed_power"}
"""Forms of cells whose defaults are examples: what is published are presets of them."""


def test_every_preset_is_measured():
    assert set(presets.PRESETS) == set(devices.BUILT_IN) - GENERIC


def runs_in(path):
    """How many runs a file keeps, beside the fields of their devices."""
    return sum("asked" in json.loads(line) for line in path.read_text().splitlines())


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
    assert runs_in(path) == len(rows) * (2 + 2)  # two rates tried, two seeds

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


def test_a_device_with_other_numbers_is_run_again_and_one_with_a_new_field_is_not(monkeypatch, tmp_path):
    count, path = [], tmp_path / "runs.jsonl"
    monkeypatch.setattr(presets.Runs, "_run", lambda self, **asked: count.append(asked) or found(0.9))
    for fields, times in (
        ({"noise": 1.0, "off": 0}, 1),
        ({"noise": 1.0, "off": 0}, 1),
        ({"noise": 1.0, "off": 0, "new": 3}, 1),
        ({"noise": 2.0, "off": 0, "new": 3}, 2),
        ({"noise": 1.0, "off": 4, "new": 3}, 3),
        ({"noise": 1.0, "new": 3}, 4),
        ({"noise": 2.0, "off": 0, "new": 3}, 4),
    ):
        monkeypatch.setattr(presets.devices, "describe", lambda device, fields=fields: fields)
        for _ in range(2):
            presets.Runs(path).get("rpu", learner="danp")
        assert len(count) == times, fields


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
    pages = {"presets.md": "presets.md", "sequential.md": "recurrence.md"}
    pages |= dict.fromkeys(["deployed.md", "deployed-learned.md", "tuned.md"], "deploying.md")
    for results, page in pages.items():
        measured = (ROOT / "benchmarks" / "robustness" / "results" / results).read_text(encoding="utf-8")
        assert measured in (ROOT / "docs" / page).read_text(encoding="utf-8")


# --- the protocol -----------------------------------------------------------------------------------------------------


def test_the_protocol_measures_every_rule_and_a_card_tells_what_it_bears(tmp_path):
    pytest.importorskip("distributed")
    plan = protocol.QUICK["digits"]
    content = measure.measure("digits", plan, tmp_path, workers=1)
    assert set(content["rates"]) == {"danp", "bp"}
    assert set(content["rates"].values()) <= set(plan.rates)
    found = cards.Found(content, plan.axes)
    assert len(content["results"]) == 2 * len(plan.devices())
    assert found.mean("bp", "crossbar") > 85
    assert found.mean("bp", "crossbar:line_noise=0.1") < found.mean("bp", "crossbar") - 5
    said = cards.page(found, ["crossbar", "ideal"])
    assert "| `bp` |" in said
    assert all(axis.title in said.lower() or axis.title in said for axis in plan.axes.values())
    for figure in (figures.losses(found), figures.lines(found), figures.on_devices(found, ["crossbar", "ideal"])):
        figure.savefig(tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 10_000
    (drift,) = [one["accuracy"] for one in content["drift"] if one["learner"] == "bp"]
    assert np.shape(drift) == (2, len(protocol.SECONDS))
    measure.kept(tmp_path / "kept.json", content)
    assert json.loads((tmp_path / "kept.json").read_text()) == json.loads(json.dumps(content))


def test_nothing_is_kept_of_the_weights_of_the_reference_chips():
    for name in (protocol.REFERENCE, protocol.PULSED, protocol.DRIFTING):
        assert "targets" not in noisysim.Chip([4, 3], name).offers
    assert {devices.get(spec).controller for spec in (protocol.REFERENCE, *protocol.KEEPING)} == {
        "increment", "copy", "read_modify_write", "accumulate",
    }  # fmt: skip


def test_axes_name_fields_at_their_defaults():
    for axis in protocol.AXES.values():
        usual = devices.defaults(devices.kind(axis.device))
        assert usual[axis.field] == axis.at
        for level, spec in axis.specs().items():
            assert getattr(devices.get(spec), axis.field) == level
        worse = [level for level in axis.levels if axis.worse * (level - axis.at) > 0]
        assert worse, "nothing on this axis is worse than the reference"
    assert set(protocol.PRESETS) | {protocol.REFERENCE, protocol.PULSED} == set(devices.BUILT_IN) - GENERIC
    for plan in protocol.TASKS.values():
        every = {*plan.learners, "shadow"}  # which `controllers` compares
        assert every == set(noisysim.learners.names()) or plan.learners == protocol.MAIN
        assert len(plan.seeds) == 5
        assert not set(plan.seeds) & set(protocol.TUNING_SEEDS)
    assert set(protocol.MAIN) < set(protocol.TASKS["digits"].learners) == set(protocol.EVERY)


def some(levels, way=(50.0, 90.0), axis="line_noise"):
    """Results of one rule along an axis, made up: accuracies by level."""
    axis = protocol.AXES[axis]._replace(levels=tuple(level for level in levels if level != protocol.AXES[axis].at))
    results = [
        {"learner": "x", "device": spec, "accuracy": levels[level], "lost": [], "way": list(way), "passes": 200}
        for level, spec in axis.specs().items()
    ]
    content = {"results": results, "target": 0.7, "rates": {"x": 0.1}, "task": "digits", "drift": []}
    return cards.Found(content, {axis.field: axis}), axis


@pytest.mark.parametrize(
    ("levels", "name", "said"),
    [
        ({0.0: [99], 0.01: [90, 92], 0.02: [89, 89], 0.06: [81, 81]}, "line_noise", "0.035"),  # 86: 3/8 from 89 to 81
        ({0.01: [90], 0.02: [89], 0.05: [88]}, "line_noise", "> 0.05"),
        ({0.01: [90], 0.02: [None], 0.05: [None]}, "line_noise", "0.02"),  # it diverges there
        ({8: [90], 6: [88], 4: [78], 10: [20]}, "adc_bits", "5.4"),  # 3 of 10 points from 6 to 4
        ({8: [90], 6: [90], 4: [90]}, "adc_bits", "< 4"),
        ({0.01: [15], 0.02: [5]}, "line_noise", "–"),  # it did not learn in the first place
    ],
)
def test_tolerance_is_where_five_points_are_lost(levels, name, said):
    found, axis = some(levels, axis=name)
    assert found.tolerance("x", axis) == said


def test_cost_is_told_in_passes_along_the_way():
    found, _ = some({0.01: [90], 0.05: [80]}, way=(50.0, 90.0))
    assert (
        found.cost("x") == "150"
    )  # 70 % is half way between the first epoch's 50 and the second's 90: 1.5 of 2 epochs
    found, _ = some({0.01: [90], 0.05: [80]}, way=(40.0, 60.0))
    assert found.cost("x") == "not reached"


def test_an_entry_stands_beside_the_built_in_ones(tmp_path):
    kept = {
        "rates": {"bp": 0.1},
        "results": [{"learner": "bp", "device": "ideal", "v": 1}],
        "drift": [{"learner": "bp"}],
    }
    entry = {
        "rates": {"my.py": 0.2},
        "results": [{"learner": "my.py", "device": "ideal"}],
        "drift": [{"learner": "my.py"}],
    }
    both = measure.joined(kept, entry)
    assert both["rates"] == {"bp": 0.1, "my.py": 0.2}
    assert [one["learner"] for one in both["results"]] == ["bp", "my.py"]
    assert [one["learner"] for one in measure.joined(both, entry)["drift"]] == ["bp", "my.py"]


def test_the_page_has_the_cards_that_were_measured():
    page = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
    for task in ("digits", "fashion-mnist"):
        kept = ROOT / "benchmarks" / "robustness" / "results" / f"{task}.json"
        found = cards.Found(json.loads(kept.read_text(encoding="utf-8")), protocol.TASKS[task].axes)
        assert found.content["version"] == protocol.VERSION
        assert cards.learner_cards(found) in page


def test_controllers_are_compared_axis_by_axis(monkeypatch, tmp_path):
    """In small: two axes, two levels, one seed; a diverged run counts as guessing."""
    monkeypatch.setattr(controllers, "SETTINGS", {**controllers.SETTINGS, "layers": [8], "epochs": 1})
    monkeypatch.setattr(controllers, "RULES", ("bp", "shadow"))
    axes = controllers.shortened(
        [axis for axis in controllers.AXES if axis.title in ("write noise", "write asymmetry")]
    )
    path = tmp_path / "runs.jsonl"
    rows = list(controllers.measure(presets.Runs(path), axes, 1))
    assert len(rows) == runs_in(path) == 2 * 2 * (4 + 3)
    assert {row.controller for row in rows} == {"copy", "read_modify_write", "increment", "accumulate"}
    text = controllers.tables(rows)
    for words in ("write noise", "`crossbar:program_noise=0.03` | increment |", "cells read", "| 2,368 |"):
        assert words in text
    controllers.figure(rows).savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000
    path.write_text(
        "".join(
            line
            for line in path.read_text().splitlines(True)
            if "increment" not in line or "program_noise=0.03" not in line
        )
    )
    kept = list(controllers.measure(presets.Runs(path), axes, 1, ["copy"]))  # of the others what is there
    assert kept == [
        row for row in rows if (row.controller, row.axis.title, row.level) != ("increment", "write noise", 0.03)
    ]
    lost = rows[0]._replace(runs=[{"status": "diverged", "test_accuracy": []}, found(0.9)])
    assert lost.accuracies.tolist() == [10.0, 90.0]


def test_controllers_with_two_arrays_are_compared_with_those_of_one(monkeypatch, tmp_path):
    """At the better of two rates; what was run is not run again."""
    monkeypatch.setattr(asymmetric, "RULES", ("bp",))
    monkeypatch.setattr(asymmetric, "DEVICES", {name: asymmetric.DEVICES[name] for name in ("ideal weights", "agad")})
    settings, path = {**asymmetric.QUICK, "layers": [16], "epochs": 2}, tmp_path / "runs.jsonl"
    rows = list(asymmetric.measure(presets.Runs(path), settings, 2))
    assert [(row.name, len(row.runs)) for row in rows] == [("ideal weights", 2), ("agad", 2)]
    assert runs_in(path) == 2 * (2 + 1)
    text = asymmetric.tables(rows)
    assert f"| agad | {rows[1].accuracies.mean():.1f} +-" in text

    def run(*args, **settings):
        raise AssertionError("a run that is there was run again")

    monkeypatch.setattr(noisysim, "run", run)
    assert asymmetric.tables(list(asymmetric.measure(presets.Runs(path), settings, 2))) == text
    assert asymmetric.Row("agad", "bp", 1.0, [{"status": "diverged"}]).accuracies[0] == 100 * presets.GUESSING


def test_sequential_runs_go_on_epoch_by_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(sequential, "RULES", ("bp", "np"))
    settings, asked = {**sequential.SETTINGS, **sequential.QUICK}, ("bp", "ideal")
    whole = sequential.learned(tmp_path / "whole.h5", *asked, 2, settings)
    parts = [sequential.learned(tmp_path / "parts.h5", *asked, epochs, settings) for epochs in (1, 2, 2)]
    assert [len(part["test_accuracy"]) for part in parts] == [1, 2, 2]
    assert parts[-1]["test_accuracy"] == whole["test_accuracy"]
    words = SimpleNamespace(quick=True, epochs=9, out=tmp_path / "runs", save=True)
    sequential.main(words, tmp_path)
    kept = (tmp_path / "sequential-quick.md").read_text()
    rows = [json.loads(line) for line in (tmp_path / "sequential-quick.jsonl").read_text().splitlines()]
    assert [(row["device"], row["rule"]) for row in rows] == [
        ("ideal", "bp"), ("ideal", "np"), ("crossbar", "bp"), ("crossbar", "np"),
    ]  # fmt: skip
    assert f"| {100 * rows[0]['test_accuracy'][0]:.1f} (1 epoch) |" in kept
    assert (tmp_path / "sequential-quick.png").stat().st_size > 10_000

    def run(*args, **settings):
        raise AssertionError("a run that is there was run again")

    monkeypatch.setattr(noisysim, "run", run)
    monkeypatch.setattr(noisysim, "resume", run)
    sequential.main(words, tmp_path)
    assert (tmp_path / "sequential-quick.md").read_text() == kept
    assert "not run" in sequential.table(rows[:1])
    assert "diverged" in sequential.table([{**rows[0], "status": "diverged"}])


def test_every_axis_of_the_controllers_begins_where_nothing_is_worse_than_usual():
    assert len(controllers.AXES) == 6
    for axis in controllers.AXES:
        assert list(axis.levels) == sorted(axis.levels)
        for level in axis.levels:
            for spec in axis.specs(level).values():
                devices.get(spec)


@pytest.mark.parametrize(("norm", "stem"), [("fixed", "deployed-quick"), ("learned", "deployed-quick-learned")])
def test_a_deployed_network_is_kept_step_by_step(norm, stem, tmp_path, monkeypatch):
    if norm == "learned":
        pytest.importorskip("onnx", reason="keeps the network as ONNX")
    ways = ["anp"] if norm == "fixed" else ["anp", "bp-frozen"]
    monkeypatch.setattr(deployed, "TUNINGS", {name: deployed.TUNINGS[name] for name in ways})
    words = SimpleNamespace(
        quick=True, norm=norm, only=["pcm_hermes", "crossbar"], out=tmp_path / "runs", save=True, show=False,
        train=False,
    )  # fmt: skip
    deployed.main(words, tmp_path)
    assert len(list(words.out.glob("deployed-quick-stage-*.h5"))) == 1 + (norm == "learned")
    kept = (tmp_path / f"{stem}.md").read_text()
    rows = [json.loads(line) for line in (tmp_path / f"{stem}.jsonl").read_text().splitlines()]
    assert [row["device"] for row in rows] == words.only
    for row in rows:
        assert np.shape(row["aged"]) == (len(deployed.WAITS), 1)
        assert row["exact"] > 0.8
        assert f"{100 * row['aged'][0][0]:.1f} |" in kept
        assert set(row["tuned"]) == set(row["calibrated"]) == set(ways)
        for way in ways:
            assert f"| {100 * row['tuned'][way]:.1f} ({100 * row['calibrated'][way]:.1f}) |" in kept
            run = noisysim.load(words.out / f"{stem}-{row['device']}-{way}.h5")
            assert ("frozen" in run.config) == way.endswith("frozen")
    assert (tmp_path / f"{stem}.png").stat().st_size > 10_000

    def again(*args, **settings):
        raise AssertionError("what is there was run again")

    for name in ("run", "resume", "deploy"):
        monkeypatch.setattr(noisysim, name, again)
    deployed.main(words, tmp_path)
    assert (tmp_path / f"{stem}.md").read_text() == kept
    assert "diverged" in deployed.table([{**rows[0], "status": dict.fromkeys(ways, "diverged")}], norm)
    (words.out / f"{stem}-crossbar-anp.h5").unlink()
    words.show = True
    deployed.main(words, tmp_path)
    assert (tmp_path / f"{stem}.md").read_text().count("not run") == 1


def test_a_network_is_tuned_with_its_arrays_left_alone_and_written_again(tmp_path, monkeypatch):
    for name, value in {"RULES": ("anp",), "RATES": (1e-3, 5e-3), "TRIAL": 200}.items():
        monkeypatch.setattr(tuned, name, value)
    words = SimpleNamespace(quick=True, only=["rram_wan"], seeds=2, out=tmp_path / "runs", save=True)
    tuned.main(words, tmp_path)
    kept, path = (tmp_path / "tuned-quick.md").read_text(), tmp_path / "tuned-quick.jsonl"
    assert runs_in(path) == 2 + 2 * (2 + 2)  # of the control two chips; two choices of layers: two rates, two chips
    for line in map(json.loads, path.read_text().splitlines()):
        if "asked" in line:
            written = "frozen" not in line["asked"] and line["asked"]["learning_rate"] > 0
            assert (line["found"]["cells_programmed"] > 0) == written
            assert line["asked"]["init"].startswith("network ")
    for words_of in ("| statistics | none |", "| `anp` | all |", "| `anp` | arrays frozen |", "on exact hardware has"):
        assert words_of in kept
    assert (tmp_path / "tuned-quick.png").stat().st_size > 10_000
    monkeypatch.setattr(noisysim, "run", None)  # what is there is not run again
    tuned.main(words, tmp_path)
    assert (tmp_path / "tuned-quick.md").read_text() == kept
