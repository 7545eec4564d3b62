"""The union of studies: what is added, what must agree, and that a sweep resumes it."""

import numpy as np
import pytest

import noisysim
from noisysim.studies import engine

from study_pages import finished, study_of

xarray = pytest.importorskip("xarray")
SMALL = {"task": "digits", "layers": [16], "epochs": 3}


def accuracy(plain):
    return (
        0.5
        + 0.01 * plain["seed"]
        + 0.1 * (plain["learner"]["name"] == "bp")
        + 0.02 * plain["device"].get("adc_bits", 0)
    )


def study(more=0.0, fails=(), **arguments):
    """A study whose runs found what their settings say; runs of these seeds failed."""

    def found(index, plain):
        if plain["seed"] in fails:
            return {"status": "failed", "error": "no memory", "values": {}}
        return finished(accuracy(plain) + more, warnings="")

    return study_of({**SMALL, **arguments}, found)


def test_more_seeds_are_what_one_sweep_would_have_made():
    device = noisysim.grid("crossbar", adc_bits=[4, 8])
    both = study(learner=["danp", "bp"], device=device, seed=[0, 1]) | study(
        learner=["danp", "bp"], device=device, seed=[2]
    )
    whole = study(learner=["danp", "bp"], device=device, seed=[0, 1, 2])
    assert both.data.identical(whole.data)
    assert (both.axes, both.arguments, both.fixed) == (whole.axes, whole.arguments, whole.fixed)
    assert both.content.keys == whole.content.keys
    assert both.config(learner="bp", adc_bits=8, seed=2) == whole.config(learner="bp", adc_bits=8, seed=2)
    assert both.path is None


def test_values_of_any_axis_are_joined_and_numbers_rise():
    rates = {"danp": 3e-3, "bp": 1e-2}
    one = study(learner=["danp"], learning_rate=noisysim.by("learner", danp=3e-3), seed=[2, 0],
                device=noisysim.grid("crossbar", adc_bits=[8, 4]))  # fmt: skip
    other = study(learner=["bp"], learning_rate=noisysim.by("learner", bp=1e-2), seed=[0, 2],
                  device=noisysim.grid("crossbar", adc_bits=[4, 8]))  # fmt: skip
    both = one | other
    assert both.axes == {"learner": ["danp", "bp"], "seed": [0, 2], "adc_bits": [4, 8]}
    assert both.counts["finished"] == 8
    for learner, rate in rates.items():
        for seed in (0, 2):
            for bits in (4, 8):
                config = both.config(learner=learner, seed=seed, adc_bits=bits)
                assert (config["learning_rate"], config["seed"]) == (rate, seed)
                found = float(both.data.test_accuracy.sel(learner=learner, seed=seed, adc_bits=bits))
                assert found == pytest.approx(accuracy(config))


def test_the_order_of_axes_may_differ():
    one = study(learner=["danp", "bp"], seed=[0, 1])
    other = study(seed=[1, 2], learner=["bp", "danp"])
    both = one | other
    assert both.data.test_accuracy.dims == ("learner", "seed")
    assert both.data.identical(study(learner=["danp", "bp"], seed=[0, 1, 2]).data)


def test_runs_that_neither_asked_for_are_missing_and_a_sweep_does_them(tmp_path, monkeypatch):
    both = study(learner=["danp"], seed=[0, 1, 2]) | study(learner=["bp"], seed=[0])
    assert both.counts == {"finished": 4, "diverged": 0, "failed": 0, "missing": 2}
    assert both.data.status.sel(learner="bp").values.tolist() == ["finished", "missing", "missing"]
    assert both.config(learner="bp", seed=2)["learner"]["name"] == "bp"
    both.save(tmp_path / "both.h5")
    assert both.path == tmp_path / "both.h5"
    assert noisysim.load(tmp_path / "both.h5").data.identical(both.data)
    done = []

    def pretend(todo, asked, keeper, *_):
        for cell in todo:
            done.append((cell.plain["learner"]["name"], cell.plain["seed"]))
            keeper.put({"key": cell.key, "error": "", "environment": {"cpu": "a <b>"}, **finished(0.9, warnings="")})

    monkeypatch.setattr(engine, "_execute", pretend)
    whole = noisysim.sweep(**both.arguments, out=tmp_path / "both.h5")
    assert done == [("bp", 1), ("bp", 2)]
    assert whole.counts["finished"] == 6
    with pytest.raises(FileExistsError):
        both.save(tmp_path / "both.h5")
    both.save(tmp_path / "both.h5", overwrite=True)
    assert noisysim.load(tmp_path / "both.h5").counts["missing"] == 2


def test_a_run_that_finished_in_either_has_finished():
    one, other = study(seed=[0, 1], fails=[0]), study(seed=[0, 1], fails=[1])
    assert (one | other).counts["finished"] == (other | one).counts["finished"] == 2
    assert study(seed=[0], fails=[0]).join(study(seed=[0], fails=[0])).counts["failed"] == 1
    unasked = study_of({**SMALL, "seed": [0, 1]}, lambda index, plain: None if index else finished(0.7, warnings=""))
    assert (unasked | study(seed=[1])).counts["finished"] == 2


def test_results_that_differ_are_an_error_unless_one_is_chosen():
    one, other = study(seed=[0, 1]), study(seed=[1, 2], more=0.1)
    other.content.columns["elapsed"] += 5  # which differs every time
    with pytest.raises(
        ValueError, match=r"did the run at seed=1, with the same settings, and found another test_accuracy: on other"
    ):
        one | other
    for keep, value in (("first", one.data), ("last", other.data)):
        both = one.join(other, keep=keep)
        assert float(both.data.test_accuracy.sel(seed=1)) == float(value.test_accuracy.sel(seed=1))
        assert float(both.data.test_accuracy.sel(seed=2)) == float(other.data.test_accuracy.sel(seed=2))
    with pytest.raises(ValueError, match="unknown choice of results 'frist'"):
        one.join(other, keep="frist")


def test_a_longer_record_of_the_same_run_is_the_same():
    one, other = study(seed=[0]), study(seed=[0, 1])
    other.content.columns["test_accuracy_by_epoch"] = np.pad(
        other.content.columns["test_accuracy_by_epoch"], ((0, 0), (0, 1)), constant_values=np.nan
    )
    assert (one | other).counts["finished"] == 2


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ({"epochs": 5}, {"epochs": 3}, r"epochs is 5 in one and 3 in the other\. What differs must be an axis"),
        ({"device": "crossbar:adc_bits=6"}, {}, r"device\.adc_bits is 6 in one and 8 in the other"),
        ({"learner": ["danp"]}, {}, "learner is an axis of one study alone: sweep the other again"),
        ({"learning_rate": noisysim.by("seed", {0: 1, 1: 2})}, {}, "learning_rate is .* in one and 'the default'"),
        (
            {"learning_rate": noisysim.by("seed", {0: 1, 1: 2})}, {"learning_rate": noisysim.by("seed", {1: 3, 2: 2})},
            "learning_rate is By.* in one and By",
        ),
        (
            {"device": noisysim.grid("crossbar", adc_bits=[4], read_noise=0.1)},
            {"device": noisysim.grid("crossbar", adc_bits=[8], read_noise=0.2)}, "read_noise is 0.1 in one and 0.2",
        ),
        (
            {"device": noisysim.grid("crossbar", adc_bits=[4], read_noise=0.1)},
            {"device": noisysim.grid("crossbar", adc_bits=[8])}, "device is Grid.* in one and Grid",
        ),
        ({"task": "digits:standardise=unit"}, {}, r"task\.settings\.standardise is 'unit' in one and 'global'"),
    ],
)  # fmt: skip
def test_what_contradicts_is_one_error_that_names_it(one, other, said):
    with pytest.raises(ValueError, match=said):
        study(**one, seed=[0, 1]) | study(**other, seed=[1, 2])


def test_a_default_said_aloud_is_no_contradiction():
    both = study(device="crossbar", seed=[0]) | study(device="crossbar:adc_bits=8", seed=[1])
    assert both.counts["finished"] == 2


def test_waits_must_be_the_same():
    one, other = study(seed=[0]), study(seed=[1])
    one.content.arguments["retention"] = [60.0]
    with pytest.raises(ValueError, match=r"retention is \[60\.0\] in one and \[\] in the other"):
        one | other


def test_a_run_of_other_settings_in_each_is_named():
    """A label may stand for other settings: the file of a device that was edited between the two."""
    one, other = study(seed=[0, 1]), study(seed=[1, 2])
    other.content.keys[0] = "another"
    other.content.varied[0]["device.wire_resistance"] = 2.0
    with pytest.raises(
        ValueError, match=r"the run at seed=1 has other settings in each study: device\.wire_resistance is"
    ):
        one | other


def test_data_that_are_the_seeds_own_are_no_contradiction():
    teacher = {"task": "student-teacher", "layers": [5], "epochs": 1}
    made = [study_of({**teacher, "seed": [seed]}, lambda index, plain: finished(0.5)) for seed in (0, 1)]
    assert (made[0] | made[1]).counts["finished"] == 2


def test_arrays_are_joined_as_long_as_no_run_is_lacking():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 3, 40)

    def made(x, learner, seeds):
        return study_of({"task": (x, y, x, y), "layers": [5], "learner": learner, "seed": seeds},
                        lambda index, plain: finished(0.5))  # fmt: skip

    assert (made(x, ["danp"], [0, 1]) | made(x, ["bp"], [0, 1])).counts["finished"] == 4
    with pytest.raises(ValueError, match="their arrays are not at hand"):
        made(x, ["danp"], [0]) | made(x, ["bp"], [1])
    with pytest.raises(ValueError, match=r"task\.standardise\.mean is"):
        made(x, ["danp"], [0]) | made(x + 1, ["bp"], [0])


def test_a_study_is_joined_with_studies_alone():
    with pytest.raises(TypeError, match="unsupported operand"):
        study(seed=[0]) | 5
