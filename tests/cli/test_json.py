"""``--json``: one JSON value on standard output, with all that a script may want."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import devices, learners, tasks
from noisysim.cli.json_output import plain
from noisysim.networks import layers

from command_line import command_line as command_line
from command_line import program

TASK = "student-teacher:n_in=6,n_train=40,n_test=10"
STUDY = """
task = "student-teacher:n_in=6,n_train=40,n_test=10"
layers = [5]
epochs = 2
batch_size = 8
seed = [0, 1]
learner = ["np", "bp"]
device = "ideal"
"""


def read(text):
    """JSON as the standard has it: without NaN and infinity."""

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp("json") / "run.h5"
    return noisysim.run(TASK, layers=[5], batch_size=8, epochs=2, out=path, device="crossbar:adc_bits=6", seed=5,
                        diagnostics=["angle"], every=3, progress=False)  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("json")
    (place / "study.toml").write_text(STUDY)
    ran = program("sweep", "study.toml", "--json", "--workers", 1, "--no-progress", cwd=place)
    assert (ran.returncode, ran.stderr) == (0, "")
    return place / "study.h5", ran.stdout


def assert_same(said, values):
    """What JSON says is what the arrays hold, with null for what is non-finite."""
    assert set(said) == set(values)
    for name, array in values.items():
        heard = np.array(said[name], float)  # None becomes NaN
        np.testing.assert_array_equal(heard, np.where(np.isfinite(array), array, np.nan))


def test_a_run_is_told_in_full(call, result):
    code, out, err = call("show", result.path, "--json")
    assert (code, err) == (0, "")
    said = read(out)
    assert (said["kind"], said["path"], said["status"]) == ("run", str(result.path), "finished")
    assert said["config"] == json.loads(json.dumps(result.config))
    assert said["cost"] == result.cost
    assert said["warnings"] == result.warnings
    assert said["notes"] == result.config["task"]["notes"]
    assert said["environment"] == result.environment
    assert said["elapsed"] == result.elapsed
    assert said["clock"] == result.clock
    assert_same(said["history"], result.history)
    assert_same(said["steps"], result.steps)
    assert_same(said["diagnostics"], result.diagnostics)
    assert None in said["history"]["test_accuracy"]  # a regression has none: NaN in the file
    assert set(said) >= {name for name in vars(result) if name not in ("content",)}


def test_a_study_is_told_in_full_by_sweep_and_by_show(call, study):
    path, swept = study
    code, out, err = call("show", path, "--json")
    assert (code, err) == (0, "")
    said, found = read(out), noisysim.load(path)
    assert {**read(swept), "path": ""} == {**said, "path": ""}
    assert said["axes"] == {"seed": [0, 1], "learner": ["np", "bp"]}
    assert said["counts"] == found.counts
    assert [run["labels"] for run in said["runs"]] == [
        {"seed": seed, "learner": learner} for seed in (0, 1) for learner in ("np", "bp")
    ]
    for run in said["runs"]:
        assert (run["status"], run["error"]) == ("finished", "")
        assert run["config"] == json.loads(json.dumps(found.config(**run["labels"])))
        one = found.data.sel(run["labels"])
        for name in ("test_loss", "passes", "elapsed"):
            assert run["values"][name] == float(one[name])
        assert run["values"]["test_loss_by_epoch"] == one["test_loss_by_epoch"].values.tolist()
        assert run["values"]["test_accuracy"] is None
    assert {run["config"]["learner"]["name"] for run in said["runs"]} == {"np", "bp"}


def test_run_and_resume_print_what_show_prints(call, tmp_path):
    words = ("--layers", 5, "--batch-size", 8, "--device", "ideal", "--seed", 5, "--no-progress")
    out, picture = tmp_path / "run.h5", tmp_path / "run.png"
    code, said, err = call("run", TASK, *words, "--epochs", 1, "--out", out, "--plot", picture, "--json")
    assert (code, err) == (0, "")
    shown = read(call("show", out, "--json")[1])
    assert read(said) == {**shown, "plot": str(picture)}
    assert picture.stat().st_size > 0
    longer = read(call("resume", out, "--epochs", 2, "--no-progress", "--json")[1])
    assert longer == {**read(call("show", out, "--json")[1]), "plot": None}
    assert len(longer["history"]["test_loss"]) == len(shown["history"]["test_loss"]) + 1


def test_tests_of_a_trained_chip_are_told_in_full(call, result):
    said = read(call("retention", result.path, "--seconds", 0, 60, "--json")[1])
    assert said.pop("kind") == "retention"
    assert said["seconds"] == [0, 60]
    assert np.shape(said["test_loss"]) == (2,)
    scores = read(call("test", result.path, "--json")[1])
    found = result.test()
    assert scores.pop("kind") == "scores"
    assert_same({k: scores[k] for k in ("loss", "r2", "r2_by_output", "accuracy")}, {
        k: np.asarray(getattr(found, k)) for k in ("loss", "r2", "r2_by_output", "accuracy")
    })  # fmt: skip
    assert (scores["samples"], scores["classes"], scores["confusion"]) == (10, [], [])


def test_a_deployment_is_told_in_full(call, result, tmp_path):
    words = ("--device", "pcm", "--task", TASK, "--seconds", 0, 60, "--chips", 2, "--out", tmp_path / "deployed.h5")
    said = read(call("deploy", result.path, *words, "--json")[1])
    assert {"kind", "device", "exact_loss", "test_accuracy", "plot", "page"} <= set(said)
    assert np.shape(said["test_loss"]) == (2, 2)
    assert [layer["shape"] for layer in said["layers"]] == [[5, 6], [10, 5]]
    assert said["cost"]["cells_programmed"] > 0


def test_a_search_tells_the_rate_of_each_setting(call, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    words = ("--start", 1e-3, "--factor", 10, "--count", 2, "--workers", 1, "--no-progress")
    said = read(call("tune", tmp_path / "study.toml", *words, "--json")[1])
    assert (said["kind"], said["choose"]) == ("search", "stable")
    assert [one["labels"] for one in said["rates"]] == [{"learner": "np"}, {"learner": "bp"}]
    assert all(one["rate"] in (None, 1e-3, 1e-2) for one in said["rates"])


LISTS = {"devices": devices.REGISTRY, "learners": learners.REGISTRY, "tasks": tasks.REGISTRY}


@pytest.mark.parametrize("command", LISTS)
def test_a_list_has_name_summary_and_fields_of_each(call, command):
    code, out, err = call(command, "--json")
    assert (code, err) == (0, "")
    registry, said = LISTS[command], read(out)
    assert [one["name"] for one in said] == registry.known()
    for one in said:
        assert one["summary"] == registry.about(one["name"])
        known, defaults = registry.fields(one["name"]), registry.defaults(one["name"])
        assert [field["name"] for field in one["fields"]] == list(known)
        for field in one["fields"]:
            spec = known[field["name"]]
            assert field["default"] == plain(defaults[field["name"]])
            assert (field["unit"], field["meaning"]) == (spec.unit, spec.doc)
            assert field["low"] == (spec.low if math.isfinite(spec.low) else None)


def test_a_preset_and_settings_have_values_beside_the_defaults(call):
    ecram, chip = read(call("devices", "ecram", "crossbar:adc_bits=5", "--json")[1])
    fields = {field["name"]: field for field in ecram["fields"]}
    assert (ecram["device"], fields["write_noise"]["value"], fields["write_noise"]["default"]) == ("pulsed", 0.3, 0.0)
    assert "Tang et al." in ecram["source"]
    assert "device" not in chip
    changed = {field["name"]: field["value"] for field in chip["fields"] if field["value"] != field["default"]}
    assert changed == {"adc_bits": 5}


def test_a_part_that_cannot_be_loaded_hides_no_other(call, monkeypatch):
    definition = type(learners.REGISTRY).definition

    def broken(registry, name, *rest):
        if name == "np":
            raise ImportError("no such package")
        return definition(registry, name, *rest)

    monkeypatch.setattr(type(learners.REGISTRY), "definition", broken)
    said = {one["name"]: one for one in read(call("learners", "--json")[1])}
    assert (said["np"]["summary"], said["np"]["fields"]) == ("ImportError: no such package", [])
    assert said["anp"]["fields"]


def test_networks_are_listed_and_shown(call):
    said = {one["name"]: one for one in read(call("networks", "--json")[1])}
    assert list(said) == layers.names()
    assert said["resnet-8"]["input_shape"] == [3, 32, 32]
    assert layers.plain(layers.hidden(said["resnet-8"]["layers"])) == said["resnet-8"]["layers"]
    shown = read(call("networks", "show", "resnet-8", "--json")[1])
    assert sum(part["weights"] for part in shown["parts"]) == 77360
    assert (shown["products"], shown["plot"]) == (12501632, None)
    assert next(part for part in shown["parts"] if part["name"] == "add 2")["sources"] == ["layer 5", "layer 6"]


def test_a_network_is_drawn_beside_json(call, tmp_path):
    words = ("8", "--input", "4", "--outputs", "2", "--plot", tmp_path / "net.svg")
    assert read(call("networks", "show", *words, "--json")[1])["plot"] == str(tmp_path / "net.svg")
    assert "<svg" in (tmp_path / "net.svg").read_text()


def test_an_error_leaves_standard_output_empty(call):
    for words in (("show", "none.h5"), ("devices", "crosbar"), ("learners", "x"), ("tasks", "x")):
        code, out, err = call(*words, "--json")
        assert (code, out, len(err.splitlines())) == (2, "", 1)


def test_what_json_does_not_have_becomes_what_it_has():
    given = {"a": np.array([1.0, np.nan, -np.inf]), "b": (np.int64(3), np.float32(np.inf)), "c": Path("x/y"), 4: {5},
             "d": np.bool_(True), "e": None, "f": [["µ", 1.5]]}  # fmt: skip
    assert plain(given) == {"a": [1.0, None, None], "b": [3, None], "c": "x/y", "4": "{5}", "d": True, "e": None,
                            "f": [["µ", 1.5]]}  # fmt: skip
