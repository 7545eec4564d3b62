"""`noisysim.sweep`, `grid`, `by`, `tune`: what is asked for, what is kept, what is shown, and what is refused."""

import json

import numpy as np
import pytest

import noisysim
from noisysim.studies import asking, grids, journal, table, toml
from noisysim.studies.cells import Cells, flat, nested, split_shared
from noisysim.studies.grids import Plan

xarray = pytest.importorskip("xarray")
pytest.importorskip("distributed")
SMALL = {"task": "digits", "layers": [16], "epochs": 3, "learning_rate": 1e-2}
NO_TIME = ["elapsed"]

# --- what is asked for ----------------------------------------------------------------------------------------------


def test_lists_are_axes_in_the_order_of_the_arguments():
    plan = Plan({
        "learner": ["danp", "danp:samples=4"], "device": noisysim.grid("crossbar", adc_bits=[4, 6], line_noise=0.02),
        "layers": [[32], [64, 64]], "seed": range(3), "epochs": 2,
    })  # fmt: skip
    assert plan.axes == {
        "learner": ["danp", "danp:samples=4"], "adc_bits": [4, 6], "layers": ["32", "64-64"], "seed": [0, 1, 2],
    }  # fmt: skip
    assert plan.shape == (2, 2, 2, 3)
    points = list(plan.points())
    assert len(points) == plan.size == 24
    assert plan.at(points[-1]) == {
        "learner": "danp:samples=4", "device": {"name": "crossbar", "adc_bits": 6, "line_noise": 0.02},
        "layers": [64, 64], "seed": 2, "epochs": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        {"learner": ["danp", "bp"], "learning_rate": noisysim.by("learner", danp=1e-3, bp=1e-2), "seed": range(2)},
        {"device": noisysim.grid(["crossbar", "pcm"], adc_bits=[4, 8]), "layers": [[8], [16, 16]]},
        {"device": noisysim.devices.get("crossbar", adc_bits=4), "learner": noisysim.learners.get("danp", samples=3)},
        {"task": noisysim.grid("student-teacher", n_in=[20, 30]), "optimizer": ["adam", "sgd:momentum=0.9"]},
        {"layers": [noisysim.conv(4, 3), noisysim.pool(2)], "seed": np.arange(2)},
        {"task": {"name": "digits", "standardise": "unit"}, "bias": True, "learning_rate": [1e-05, 2, float("1e6")]},
        {
            "learner": ["danp:samples=2", "bp"],
            "learning_rate": noisysim.by("learner", {"danp:samples=2": 1, "bp": 0.5}),
        },
    ],
)
def test_what_is_asked_for_survives_a_study_file(arguments, tmp_path):
    plan = Plan(arguments)
    (tmp_path / "study.toml").write_text(toml.study_file(plan.described()))
    again = Plan(asking.read(tmp_path / "study.toml"))
    assert list(again.axes.items()) == list(plan.axes.items())
    assert again.described() == plan.described()
    one, other = Cells(plan), Cells(again)
    assert {cell.key for cell in one.cells} == {cell.key for cell in other.cells}


def test_an_axis_whose_name_is_taken_has_its_argument_before_it():
    plan = Plan(
        {"learner": noisysim.grid("danp", samples=[1, 2]), "device": noisysim.grid("crossbar", adc_bits=[4, 8])}
    )
    assert list(plan.axes) == ["samples", "adc_bits"]
    plan = Plan({"seed": [0, 1], "learner": noisysim.grid("danp", samples=[1, 2]), "layers": [[8], [9]]})
    assert list(plan.axes) == ["seed", "samples", "layers"]
    both = {"optimizer": noisysim.grid("sgd", momentum=[0, 0.9])}
    assert list(Plan(both).axes) == ["momentum"]
    taken = {"optimizer": noisysim.grid("sgd", momentum=[0, 0.9]), "learner": noisysim.grid("danp", sigma=[0.0, 0.1])}
    assert list(Plan({**taken, "device": noisysim.grid("gaussian", sigma=[0.0, 0.1])}).axes) == [
        "momentum", "sigma", "device_sigma",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"seed": []}, "seed is an empty list"),
        ({"seed": [1, 1]}, "seed has a value twice"),
        ({"lerner": "danp"}, "no field 'lerner'; did you mean 'learner'"),
        ({"device": noisysim.grid("crossbar", adcbits=[4, 8])}, "no field 'adcbits'; did you mean 'adc_bits'"),
        ({"device": noisysim.grid("crossbar", adc_bits=[1, 8])}, "adc_bits must be"),
        ({"learner": ["danp", "dfx"]}, "unknown learner 'dfx'"),
        ({"learner": ["danp", "bp"], "learning_rate": noisysim.by("learner", danp=1)}, "no value for bp"),
        ({"learner": ["danp"], "learning_rate": noisysim.by("learner", danp=1, bp=2)}, "has a value for 'bp'"),
        ({"learning_rate": noisysim.by("learner", danp=1)}, "'learner', which is no axis"),
        ({"chips": [1, 2]}, "chips must be the same"),
        ({"device": ["crossbar", {"name": "crossbar", "adc_bits": 8}]}, "same settings"),
        ({"epochs": noisysim.grid(3, adc_bits=[1])}, "epochs has no fields"),
        ({"out": "x.h5", "seed": [0]}, None),
    ],
)
def test_mistakes_are_one_error_before_any_work(arguments, said, tmp_path, monkeypatch):
    from noisysim.studies import engine

    monkeypatch.chdir(tmp_path)
    started = []
    monkeypatch.setattr(engine, "_execute", lambda *_: started.append(1))
    if said is None:
        noisysim.sweep(**SMALL, **arguments)
        assert started
        return
    with pytest.raises((ValueError, TypeError), match=said):
        noisysim.sweep(**{**SMALL, **arguments})
    assert not started


def test_a_grid_without_fields_is_refused():
    with pytest.raises(ValueError, match="needs fields"):
        noisysim.grid("crossbar")


def test_runs_are_told_apart_by_their_settings_and_data():
    def keys(**arguments):
        return [cell.key for cell in Cells(Plan({**SMALL, **arguments})).cells]

    assert keys(seed=[0, 1]) == keys(seed=[0]) + keys(seed=[1])
    assert keys(device="crossbar") == keys(device={"name": "crossbar", "adc_bits": 8})  # a default said aloud
    assert keys(device="crossbar") != keys(device="crossbar:adc_bits=6")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 3, 40)
    assert keys(task=(x, y, x, y)) != keys(task=(x + 1, y, x, y))
    teacher = keys(task="student-teacher", seed=[0, 1])
    assert len(set(teacher)) == 2


def test_settings_come_apart_and_together():
    settings = [{"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"b": 2, "c": [1]}, "d": 2}]
    shared, own = split_shared(settings)
    assert (shared, own) == ({"a.c": [1], "d": 2}, [{"a.b": 1}, {"a.b": 2}])
    assert [nested({**shared, **one}) for one in own] == settings
    assert nested(flat(settings[0])) == settings[0]


# --- a study on this machine ----------------------------------------------------------------------------------------

ASKED = {
    **SMALL, "learner": ["danp", "bp"], "device": noisysim.grid("crossbar", adc_bits=[4, 8]), "seed": [0, 1],
    "learning_rate": noisysim.by("learner", danp=1e-2, bp=3e-3),
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that two processes of this machine did."""
    return noisysim.sweep(**ASKED, out=tmp_path_factory.mktemp("study") / "study.h5", workers=2)


def test_every_run_is_to_the_bit_what_it_is_alone(study):
    data = study.data
    assert data.test_accuracy.dims == ("learner", "adc_bits", "seed")
    for learner, rate in (("danp", 1e-2), ("bp", 3e-3)):
        for bits in (4, 8):
            for seed in (0, 1):
                alone = noisysim.run(
                    **{**SMALL, "learning_rate": rate}, learner=learner, device=f"crossbar:adc_bits={bits}", seed=seed
                )
                here = data.sel(learner=learner, adc_bits=bits, seed=seed)
                assert str(here.status.values) == "finished"
                for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "passed_share"):
                    np.testing.assert_array_equal(here[f"{name}_by_epoch"], alone.history[name])
                    np.testing.assert_array_equal(here[name], alone.history[name][-1])
                assert {name: int(here[name]) for name in alone.cost} == alone.cost
                assert study.config(learner=learner, adc_bits=bits, seed=seed) == alone.config


def test_a_study_is_read_back_whole_by_us_and_by_others(study):
    again = noisysim.load(study.path)
    assert isinstance(again, noisysim.Study)
    assert again.data.identical(study.data)
    assert (again.axes, again.fixed, again.counts) == (study.axes, study.fixed, study.counts)
    assert again.arguments == study.arguments
    pytest.importorskip("h5netcdf")
    with xarray.open_dataset(study.path, engine="h5netcdf") as found:
        assert set(found.data_vars) == set(study.data.data_vars)
        for name in found.data_vars:
            assert found[name].dims == study.data[name].dims
            kind = study.data[name].dtype
            np.testing.assert_array_equal(found[name].values.astype(kind), study.data[name].values)
        for name in study.axes:
            assert found[name].values.tolist() == study.axes[name]


def test_the_same_call_does_nothing_again_and_a_larger_one_what_is_missing(study, tmp_path, monkeypatch):
    from noisysim.studies import engine

    path = tmp_path / "study.h5"
    path.write_bytes(study.path.read_bytes())
    done = []

    def pretend(todo, asked, keeper, *_):
        for cell in todo:
            done.append(cell.plain["seed"])
            keeper.put({
                "key": cell.key, "status": "finished", "error": "", "warnings": "", "environment": {"cpu": "x"},
                "values": {"test_accuracy": 0.5, "elapsed": 1.0},
            })  # fmt: skip

    monkeypatch.setattr(engine, "_execute", pretend)
    assert noisysim.sweep(**ASKED, out=path).data.identical(study.data)
    assert not done
    larger = noisysim.sweep(**{**ASKED, "seed": [1, 0, 5]}, out=path)
    assert done == [5] * 4
    for name in ("test_accuracy", "train_loss_by_epoch", "elapsed", "passes"):
        np.testing.assert_array_equal(larger.data[name].sel(seed=[0, 1]), study.data[name])
    with pytest.raises(FileExistsError, match="4 runs that this sweep does not ask for"):
        noisysim.sweep(**ASKED, out=path)
    assert noisysim.load(path).counts["finished"] == 12
    assert noisysim.sweep(**ASKED, out=path, overwrite=True).counts["finished"] == 8
    assert len(done) == 4 + 8


def test_a_run_file_or_any_other_is_not_written_over(tmp_path):
    run = tmp_path / "run.h5"
    noisysim.run(**SMALL, learner="bp", out=run)
    for path in (run, tmp_path / "other.h5"):
        path.touch()
        with pytest.raises(ValueError, match="is not a"):
            noisysim.sweep(**ASKED, out=path)


def test_runs_that_fail_or_diverge_are_labelled_and_the_others_go_on(tmp_path):
    """A device that refuses to work on the worker, and a rate at which the loss leaves all bounds."""
    source = tmp_path / "moody.py"
    source.write_text(
        "import os\nfrom typing import NamedTuple\n\n\nclass Moody(NamedTuple):\n    gain: float = 1.0\n\n\n"
        "def readout(i, energy, z, u, d):\n    return i * d.gain\n\n\n"
        "def check(d):\n    if d.gain == 0.5 and 'DASK_LOGGING__DISTRIBUTED' in os.environ:\n"
        "        raise ValueError('it will not')\n"
    )
    asked = {
        **SMALL, "learner": "bp", "optimizer": "sgd", "learning_rate": [1e-2, 1e6],
        "device": noisysim.grid(str(source), gain=[0.5, 1.0]),
    }  # fmt: skip
    found = noisysim.sweep(**asked, out=tmp_path / "study.h5", workers=1)
    assert found.data.status.transpose("learning_rate", "gain").values.tolist() == [
        ["failed", "finished"], ["failed", "diverged"],
    ]  # fmt: skip
    assert found.counts == {"finished": 1, "diverged": 1, "failed": 2, "missing": 0}
    errors = found.data.error.sel(learning_rate=1e-2)
    assert "it will not" in str(errors.sel(gain=0.5).values)
    assert str(errors.sel(gain=1.0).values) == ""
    assert "diverged in epoch 1" in str(found.data.error.sel(learning_rate=1e6, gain=1.0).values)
    assert np.isnan(found.data.test_accuracy.sel(learning_rate=1e6, gain=1.0))
    assert "gain=0.5" in str(found)
    assert "it will not" in str(found)
    assert sorted(status for _, status, _ in found.problems()) == ["diverged", "failed", "failed"]
    assert noisysim.sweep(**asked, out=tmp_path / "study.h5", workers=1).data.identical(found.data)  # failing is done


def test_data_given_as_arrays_reach_the_workers():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((60, 6)).astype(np.float32), rng.integers(0, 3, 60)
    asked = {"task": (x, y, x, y), "layers": [16], "epochs": 2, "batch_size": 20, "learner": "bp"}
    found = noisysim.sweep(**asked, seed=[0, 1], workers=1)
    for seed in (0, 1):
        alone = noisysim.run(**asked, seed=seed)
        assert found.data.test_loss.sel(seed=seed) == alone.history["test_loss"][-1]
    assert found.arguments["task"] == "arrays"


# --- what a crash leaves --------------------------------------------------------------------------------------------


def record(key, accuracy):
    """What a worker says of a run."""
    return {
        "key": key, "status": "finished", "error": "", "warnings": "", "environment": {"cpu": "a"},
        "values": {"test_accuracy": accuracy, "test_accuracy_by_epoch": [accuracy / 2, accuracy], "passes": 7},
    }  # fmt: skip


def a_table(seeds):
    return table.Table(
        {"seed": seeds}, {"seed": seeds}, [f"k{s}" for s in seeds], {"a": 1}, [{"seed": s} for s in seeds]
    )


def test_the_journal_holds_what_the_file_does_not_have_yet(tmp_path):
    path = tmp_path / "study.h5"
    found = a_table([0, 1, 2])
    table.write(path, found)
    kept = journal.Journal(path)
    kept.append(record("k1", 0.5))
    kept.append(record("k2", 1 / 3))
    assert noisysim.load(path).data.test_accuracy.values.tolist()[1:] == [0.5, 1 / 3]
    assert noisysim.load(path).counts == {"finished": 2, "diverged": 0, "failed": 0, "missing": 1}
    kept.close()
    with journal.beside(path).open("ab") as file:
        file.write(json.dumps(record("k0", 0.1)).encode()[:40])  # the machine died while it wrote this line
    assert noisysim.load(path).counts["finished"] == 2
    again = journal.Journal(path)
    again.append(record("k0", 0.25))
    again.close()
    assert noisysim.load(path).data.test_accuracy.values.tolist() == [0.25, 0.5, 1 / 3]
    last = journal.Journal(path)
    last.clear()
    last.close()
    assert not journal.beside(path).exists()


@pytest.mark.pythons
def test_runs_of_different_length_share_a_table(tmp_path):
    found = a_table([0, 1])
    found.put(record("k0", 0.5))
    longer = record("k1", 0.75)
    longer["values"].update(test_accuracy_by_epoch=[0.1, 0.2, 0.75], angle=[[80.0, 70.0]], look_update=[0.0])
    found.put(longer)
    table.write(tmp_path / "s.h5", found)
    data = noisysim.load(tmp_path / "s.h5").data
    assert data.test_accuracy_by_epoch.dims == ("seed", "epoch")
    np.testing.assert_array_equal(data.test_accuracy_by_epoch, [[0.25, 0.5, np.nan], [0.1, 0.2, 0.75]])
    assert data.angle.dims == ("seed", "look", "layer")
    np.testing.assert_array_equal(data.angle, [[[np.nan, np.nan]], [[80.0, 70.0]]])


# --- what is shown --------------------------------------------------------------------------------------------------


def test_a_summary_tells_axes_counts_and_the_best(study):
    said = str(study)
    assert "adc_bits  4, 8" in said
    assert "8: 8 finished" in said
    means = 100 * study.data.test_accuracy.mean("seed")
    assert f"test accuracy {float(means.max()):.1f} %" in said


def test_a_summary_and_the_page_say_how_many_runs_warned_and_of_what():
    from noisysim.reporting import study_page
    from noisysim.runs import health

    said = {
        0: f"{health.NOTHING}: training accuracy never left chance (10.1 %)",
        1: f"{health.NOTHING}: training accuracy never left chance (9.7 %)\n{health.UNSTABLE}: the training loss rose",
        2: "only 3 % of the activity differences got through the ADC",
        3: "",
    }
    found = a_table(list(said))
    for seed, text in said.items():
        found.put({**record(f"k{seed}", 0.1), "warnings": text})
    found.put({**record("k3", 0.1), "status": "failed", "warnings": "Traceback ..."})
    study = noisysim.Study(found, None)
    assert study.noticed == {"warned": 3, "learned nothing": 2, "unstable": 1}
    assert "4: 3 finished, 1 failed\n  WARNING  3 runs warned: 2 learned nothing, 1 unstable" in str(study)
    assert study.warnings()[0] == (said[0], 2)
    facts = {fact.name: fact for fact in study_page._outcome(study, study.data, "")}
    assert (facts["Warned"].value, facts["Warned"].more) == ("3", "2 learned nothing, 1 unstable")
    assert "(2 runs, numbers of one)" in study_page._warnings(study)[0]


def test_a_figure_shows_means_over_seeds(study, tmp_path):
    drawn = study.plot("test_accuracy", x="adc_bits", hue="learner", path=tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000
    lines = {line.get_label(): line for line in drawn.axes[0].lines}
    means = study.data.test_accuracy.mean("seed")
    for learner in ("danp", "bp"):
        np.testing.assert_allclose(lines[learner].get_xdata(), [4, 8])
        np.testing.assert_allclose(lines[learner].get_ydata(), 100 * means.sel(learner=learner))
    panels = study.plot("train_loss", x="epoch", hue="learner", col="adc_bits").axes
    assert [panel.get_title(loc="left") for panel in panels] == [
        f"ADC resolution =\N{NO-BREAK SPACE}{bits}\N{NO-BREAK SPACE}bits" for bits in (4, 8)
    ]
    chosen = study.plot("train_loss", x="learner", adc_bits=8)
    np.testing.assert_allclose(
        chosen.axes[0].lines[0].get_ydata(), study.data.train_loss.sel(adc_bits=8).mean("seed").values
    )
    assert len(study.plot().axes[0].lines) == 2  # what nobody asked for: an axis of numbers, the rest as colours


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"name": "test_acuracy"}, "did you mean 'test_accuracy'"),
        ({"x": "adc_bit"}, "did you mean 'adc_bits'"),
        ({"x": "adc_bits", "hue": "adc_bits"}, "must be different"),
        ({"adc_bits": 7}, "axis adc_bits has no 7: it has 4, 8"),
        ({"path": "figure.xyz"}, "a picture file ends in"),
    ],
)
def test_a_figure_that_cannot_be_drawn_says_why(study, how, said):
    with pytest.raises(ValueError, match=said):
        study.plot(**how)


def test_the_command_line_does_the_same(study, tmp_path, monkeypatch, capsys):
    from noisysim import cli

    def call(*words):
        monkeypatch.setattr("sys.argv", ["noisysim", *words])
        try:
            cli.main()
        except SystemExit as ended:
            return ended.code
        return 0

    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text(study.toml())
    (tmp_path / "own.h5").write_bytes(study.path.read_bytes())
    assert call("sweep", "own.toml") == 0  # all of it is there
    assert "8: 8 finished" in capsys.readouterr().out
    assert call("show", "own.h5", "--config") == 0
    assert 'device = {name = "crossbar", adc_bits = [4, 8]}' in capsys.readouterr().out
    assert call("plot", "own.h5", "--x", "adc_bits", "--hue", "learner") == 0
    assert call("plot", "own.h5", "--what", "passes", "--x", "learner", "--at", "adc_bits=8") == 0
    assert (tmp_path / "own.png").exists()
    assert (tmp_path / "own-passes.png").exists()
    assert call("plot", "own.h5", "--x", "bits") == 2
    assert "unknown axis" in capsys.readouterr().err
    (tmp_path / "bad.toml").write_text('lerner = "danp"\n')
    assert call("sweep", "bad.toml") == 2
    assert "no field 'lerner'" in capsys.readouterr().err


# --- rates ----------------------------------------------------------------------------------------------------------


def losses(*columns, accuracies=None):
    """Training losses by epoch, one rate after another, as a study would have found them, of values or of classes."""
    rates = [0.1 * 2**k for k in range(len(columns))]
    found = table.Table(
        {"learning_rate": rates}, {}, [f"k{k}" for k in range(len(rates))], {"a": 1}, [{"r": r} for r in rates]
    )
    for k, column in enumerate(columns):
        values = {"train_loss_by_epoch": column or [], "train_loss": column[-1] if column else np.nan}
        values["chance_loss"] = CHANCE
        values["chance_accuracy"] = np.nan if accuracies is None else 0.13
        values["train_accuracy"] = np.nan if accuracies is None or not column else accuracies[k]
        status = "finished" if column else "diverged"
        found.put({"key": f"k{k}", "status": status, "error": "", "warnings": "", "environment": {}, "values": values})
    return noisysim.Study(found, None)


CHANCE = 2.3


@pytest.mark.parametrize(
    ("columns", "stable", "lowest"),
    [
        (([2.0, 1.8], [1.5, 1.0], [1.0, 0.5], None), 0.4, 0.4),
        (([2.0, 1.8], [1.5, 1.0], [1.4, 0.6], [1.5, 0.9]), 0.8, 0.4),
        (([2.0, 1.8], [1.5, 0.5], [2.3, 2.302]), 0.2, 0.2),  # flat, at chance: a network that is dead
        (([2.35, 2.34], [2.31, 2.302]), np.nan, np.nan),  # better than before, and yet at chance
        (([2.0, 0.6], [1.5, 0.5], [1.0, 1.4], [0.5, 0.4]), 0.2, 0.8),  # an unstable one between
        (([2.0, 1.0], [9.0, 8.0], None, None), 0.1, 0.1),  # falls, from far above where learning began
        (([2.4, 2.6], [1.5, 1.0]), 0.2, 0.2),  # random feedback at a low rate
        (([2.29, 2.28], [2.29, 2.27]), 0.2, 0.2),  # little, but more than a constant answer can
        ((None, None), np.nan, np.nan),
    ],
)
def test_a_rate_has_learned_and_is_the_largest_of_an_unbroken_row_or_the_best(columns, stable, lowest):
    from noisysim.studies.tuning import Tuned

    np.testing.assert_allclose(Tuned(losses(*columns), "stable").rate(), stable)
    np.testing.assert_allclose(Tuned(losses(*columns), "loss").rate(), lowest)


@pytest.mark.parametrize(
    ("columns", "accuracies", "stable", "lowest"),
    [
        (([2.2, 1.5], [1.5, 0.9], [2.3, 2.302]), (0.5, 0.8, 0.23), 0.2, 0.2),  # a network that died at a high rate
        (([9.3, 3.8], [7.8, 2.9], [8.0, 2.6], [11, 2.302]), (0.6, 0.66, 0.67, 0.1), 0.4, 0.4),  # above chance, and good
        (([2.3, 1.9], [2.0, 30.0], None), (0.6, 0.7, 0), 0.1, 0.1),  # blows up, though it is right as often
        (([2.3, 2.28], [2.3, 2.29]), (0.12, 0.11), np.nan, np.nan),  # luck
    ],
)
def test_a_rate_for_classes_must_be_right_more_often_than_luck_is(columns, accuracies, stable, lowest):
    from noisysim.studies.tuning import Tuned

    study = losses(*columns, accuracies=accuracies)
    np.testing.assert_allclose(Tuned(study, "stable").rate(), stable)
    np.testing.assert_allclose(Tuned(study, "loss").rate(), lowest)


def test_luck_stays_below_the_accuracy_of_chance():
    from noisysim.tasks.chance import chance_accuracy

    labels = np.repeat([0, 1, 2, 2], 500)
    x = np.random.default_rng(0).standard_normal((2000, 3))
    made = noisysim.tasks.get((x, labels, x, labels))
    most = chance_accuracy(made)
    assert most == pytest.approx(0.5 + 5 * 0.5 / np.sqrt(2000))
    guesses = np.random.default_rng(1).choice(3, (2000, 2000), p=[0.2, 0.2, 0.6])
    assert (guesses == labels).mean(axis=1).max() < most
    assert np.isnan(chance_accuracy(noisysim.tasks.get((x, x, x, x))))


def test_a_rate_must_have_learned_with_every_seed():
    from noisysim.studies.tuning import Tuned

    axes = {"learning_rate": [0.1, 0.2, 0.4], "seed": [0, 1]}
    found = table.Table(axes, {}, [f"k{k}" for k in range(6)], {"a": 1}, [{"r": k} for k in range(6)])
    for k, loss in enumerate([1.0, 1.1, 0.5, 0.4, 0.3, 2.3]):
        values = {"train_loss_by_epoch": [2.3, loss], "train_loss": loss, "chance_loss": CHANCE}
        values.update(chance_accuracy=np.nan, train_accuracy=np.nan)
        found.put({**record(f"k{k}", 0.0), "values": values})
    tuned = Tuned(noisysim.Study(found, None), "loss")
    assert tuned.rate() == 0.2
    assert tuned.learned.values.tolist() == [[False, False], [True, True], [True, False]]


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ((np.arange(8.0).reshape(4, 2), [0, 0, 1, 1]), np.log(2)),
        ((np.arange(8.0).reshape(4, 2), [0, 1, 1, 1]), -0.25 * np.log(0.25) - 0.75 * np.log(0.75)),
        ((np.arange(8.0).reshape(4, 2), np.array([[1.0, 5.0], [3.0, 5.5], [1.0, 6.0], [3.0, 6.5]])), 0.5 + 0.15625),
    ],
)
def test_chance_is_the_loss_of_the_best_constant_answer(task, loss):
    from noisysim.tasks.chance import chance_loss

    units = {} if len(np.shape(task[1])) == 1 else {"standardise_targets": False}
    made = noisysim.tasks.get((*task, *task), **units)
    assert chance_loss(made) == pytest.approx(loss)
    targets = made.batch("train", slice(None)).targets.astype(float)
    shift = targets.mean(axis=0)
    constant = np.log(shift) if made.classification else shift
    batch = made.batch("train", slice(None))
    answers = np.tile(constant, (4, 1)).astype(np.float32)
    assert batch.loss(answers, batch.targets).mean() == pytest.approx(loss, rel=1e-5)


def test_chance_of_one_hot_targets_and_of_standardised_values():
    from noisysim.tasks.chance import chance_loss

    assert chance_loss(noisysim.tasks.get("digits")) == pytest.approx(np.log(10), rel=1e-3)
    assert chance_loss(noisysim.tasks.get("digits:loss=mse")) == pytest.approx(0.45, rel=1e-3)
    x = np.random.default_rng(0).standard_normal((5000, 3))
    made = noisysim.tasks.get((x, 1e3 * x + 7, x, 1e3 * x + 7), standardise_targets=True)
    assert chance_loss(made) == pytest.approx(1.5, rel=1e-5)


def test_tuned_rates_go_into_a_sweep(tmp_path):
    tuned = noisysim.tune(
        learner=["danp", "bp"], rates=[1e-3, 1e-2, 1e6], layers=[16], epochs=3, workers=1, out=tmp_path / "rates.h5"
    )
    assert tuned.rate(learner="bp") == tuned.rate(learner="danp") == 1e-2
    assert tuned.by("learner").values == {"danp": 1e-2, "bp": 1e-2}
    assert noisysim.load(tmp_path / "rates.h5").axes["seed" if "seed" in tuned.study.axes else "learner"]
    assert "learner=danp" in str(tuned)
    with pytest.raises(ValueError, match="rates to try"):
        noisysim.tune(learning_rate=1e-3)


# --- rules of one's own, seeds side by side, tests after a wait ----------------------------------------------------

RULE = '''
from dataclasses import dataclass

from noisysim.learners import DANP


@dataclass(frozen=True)
class Mine(DANP):
    """DANP by another name."""

    name = "mine"
'''


def test_rules_of_ones_own_reach_workers_that_cannot_import_them(tmp_path, monkeypatch):
    """A file's, and one of a module that only this process can find: both are DANP, and learn as it does."""
    (tmp_path / "my_rule.py").write_text(RULE)
    (tmp_path / "only_here.py").write_text(RULE)
    monkeypatch.syspath_prepend(tmp_path)
    import only_here

    asked = {"task": "digits", "layers": [16], "epochs": 2, "seed": [0, 1], "workers": 1}
    found = noisysim.sweep(learner=["danp", str(tmp_path / "my_rule.py"), only_here.Mine(samples=1)], **asked)
    losses = found.data.test_loss.transpose("learner", "seed").values
    np.testing.assert_array_equal(losses[1], losses[0])
    np.testing.assert_array_equal(losses[2], losses[0])
    with pytest.raises(ValueError, match="put yours into a file"):
        noisysim.sweep(learner=only_here.Mine(), retention=[0], **asked)


def test_a_learner_file_is_a_learner_as_a_name_is_one(tmp_path):
    path = tmp_path / "my_rule.py"
    path.write_text(RULE)
    asked = {"task": "digits", "layers": [16], "epochs": 2}
    result = noisysim.run(learner=f"{path}:samples=2", out=tmp_path / "run.h5", **asked)
    alike = noisysim.run(learner="danp:samples=2", **asked)
    np.testing.assert_array_equal(result.steps["train_loss"], alike.steps["train_loss"])
    assert result.config["learner"]["source"] == RULE
    assert "source" not in str(result)
    assert noisysim.resume(tmp_path / "run.h5").status == "finished"
    again = noisysim.run(**{**noisysim.runs.config.rerunnable(result.config), "epochs": 2})
    np.testing.assert_array_equal(again.steps["train_loss"], result.steps["train_loss"])
    path.write_text(RULE + "\n# edited\n")
    with pytest.raises(ValueError, match="not the one recorded"):
        noisysim.run(**noisysim.runs.config.rerunnable(result.config))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "defines no noisysim.learners.Learner"),
        (RULE + RULE.replace("Mine", "Yours"), "defines the learners Mine and Yours"),
        (None, "no learner file"),
    ],
)
def test_a_file_that_is_no_learner_says_why(tmp_path, text, said):
    path = tmp_path / "bad.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        noisysim.run(learner=str(path))


def test_seeds_go_side_by_side_where_that_leaves_no_worker_idle():
    from noisysim.studies import engine

    asked = Cells(Plan({**SMALL, "learner": ["danp", "bp"], "seed": range(20)}))
    sizes = [len(group) for group in engine._groups(asked.cells, asked, slots=1)]
    assert sizes == [16, 4, 16, 4]
    sizes = [len(group) for group in engine._groups(asked.cells, asked, slots=8)]
    assert sizes == [5] * 8
    for group in engine._groups(asked.cells, asked, slots=8):
        assert len({json.dumps({**cell.plain, "seed": 0}) for cell in group}) == 1
    teacher = Cells(Plan({"task": "student-teacher", "seed": range(4)}))  # each seed draws data of its own
    assert [len(group) for group in engine._groups(teacher.cells, teacher, slots=1)] == [1] * 4
    watched = Cells(Plan({**SMALL, "diagnostics": ["angle"], "seed": range(4)}))
    assert [len(group) for group in engine._groups(watched.cells, watched, slots=1)] == [1] * 4


def test_chips_are_tested_again_after_a_wait(tmp_path):
    asked = {"task": "digits", "layers": [16], "epochs": 2, "device": "crossbar:drift_nu=0.1"}
    found = noisysim.sweep(**asked, seed=[0, 1], retention=[0, 1e6], out=tmp_path / "study.h5", workers=1)
    assert found.data.test_accuracy_after.dims == ("seed", "seconds")
    assert found.data.seconds.values.tolist() == [0, 1e6]
    alone = noisysim.retention(noisysim.run(**asked, seed=1), [0, 1e6])
    np.testing.assert_array_equal(found.data.test_loss_after.sel(seed=1), alone["test_loss"])
    assert alone["test_loss"][1] > alone["test_loss"][0]
    assert noisysim.load(tmp_path / "study.h5").data.identical(found.data)
    with pytest.raises(FileExistsError):  # runs that were not tested again are others
        noisysim.sweep(**asked, seed=[0, 1], out=tmp_path / "study.h5")


def test_long_runs_go_on_from_their_own_files(tmp_path):
    asked = {"task": "digits", "layers": [16], "epochs": 3, "seed": [0, 1], "workers": 1, "keep": tmp_path / "runs"}
    found = noisysim.sweep(**asked)
    kept = sorted((tmp_path / "runs").iterdir())
    assert len(kept) == 2
    result = noisysim.load(kept[0])
    seed = result.config["seed"]
    np.testing.assert_array_equal(result.history["test_loss"], found.data.test_loss_by_epoch.sel(seed=seed))
    again = noisysim.sweep(**asked)  # no study file: the runs' own are all there is
    assert float(again.data.elapsed.sel(seed=seed)) == float(found.data.elapsed.sel(seed=seed))


STEERED = {
    "task": "digits", "layers": [16], "epochs": 4, "learning_rate": 0.02, "clip": 1.0, "validation": 0.2,
    "seed": [0, 1], "device": "crossbar:controller=copy",
}  # fmt: skip


def test_what_steers_runs_may_be_an_axis():
    study = noisysim.sweep(
        **STEERED, schedule=noisysim.grid("cosine", final=[0.0, 0.5]), weight_decay=[0.0, 0.1], progress=False
    )
    assert study.data.validation_loss.dims == ("seed", "final", "weight_decay")
    assert study.data.validation_accuracy_by_epoch.dims == ("seed", "final", "weight_decay", "epoch")
    alone = noisysim.run(
        **{**STEERED, "seed": 1}, schedule="cosine:final=0.5", weight_decay=0.1, progress=False
    )  # fmt: skip
    found = study.data.sel(final=0.5, weight_decay=0.1, seed=1)
    for name in ("validation_loss", "test_loss", "train_accuracy"):
        assert np.array_equal(found[f"{name}_by_epoch"], alone.history[name])
    assert study.config(final=0.5, weight_decay=0.1, seed=1) == json.loads(json.dumps(alone.config))


def test_a_run_that_a_callback_stopped_has_finished():
    stop = "early-stopping:monitor=train_loss,patience=1,min_delta=100"
    study = noisysim.sweep(**STEERED, callbacks=[stop], progress=False)
    assert study.counts["finished"] == 2
    assert np.isfinite(study.data.test_loss_by_epoch).sum("epoch").values.tolist() == [2, 2]
    assert np.array_equal(study.data.test_loss, study.data.test_loss_by_epoch.sel(epoch=2))


def own(event):
    """A callback that no worker finds."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"callbacks": ["csv-log:path=log.csv"]},
            "callback 'csv-log' writes a file, and the runs of a study would share",
        ),
        ({"callbacks": [own]}, "callback 'own' is a function or object of your own, which the workers"),
        ({"schedule": lambda epoch: 1.0}, "is a function, which the workers of a study cannot find"),
        ({"validation": (np.zeros((2, 64)), np.zeros(2, int))}, "are validated on a share of the training data"),
        ({"schedule": "plateau"}, "watches validation_loss, which this run does not record"),
        ({"weight_decay": [0.1, -1], "device": "crossbar:controller=copy"}, "run.weight_decay must be a number"),
    ],
)
def test_what_a_study_cannot_steer_by_is_one_error_before_work(given, said, monkeypatch):
    monkeypatch.setattr("noisysim.studies.engine._execute", None)
    with pytest.raises(ValueError, match=said):
        noisysim.sweep(layers=[5], epochs=1, **given)


def test_rates_are_chosen_by_validation_data():
    given = {"layers": [16], "epochs": 3, "rates": [1e-3, 4e-3, 1.0], "learner": "bp", "progress": False}
    tuned = noisysim.tune(**given, validation=0.2, choose="validation_loss")
    losses = tuned.study.data.validation_loss.where(tuned.learned).squeeze()
    assert tuned.rate() == float(losses.learning_rate[int(losses.argmin("learning_rate"))])
    with pytest.raises(ValueError, match=r"needs validation data: give a share, validation=0\.1"):
        noisysim.tune(**given, choose="validation_loss")


def test_lists_are_told_apart_by_their_labels():
    assert [grids.label_of(one) for one in ([512, 512], [-1, 2], [1, -2], [], ["arrays"])] == [
        "512-512", "-1,2", "1,-2", "none", "arrays",
    ]  # fmt: skip


def test_layers_that_are_frozen_may_be_listed_beside_words():
    several = [[[1], [-1, 1]], [[1], "arrays"], ["arrays", [2]], [[], "digital"]]
    assert all(grids.is_several("frozen", one) for one in several)
    assert not any(grids.is_several("frozen", one) for one in ([1, 2], ["arrays"], ["arrays", "1"], "arrays", []))
