"""What other programs take of a study: data frames, CSV files and tables for LaTeX."""

import sys

import numpy as np
import pytest

from study_pages import AXES, accuracy_of, finished, small, study_of

pytest.importorskip("xarray")
pandas = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def study():
    return study_of(AXES, small)


def test_a_data_frame_has_a_row_a_run(study):
    frame = study.to_dataframe()
    assert len(frame) == 24
    assert list(frame.columns[:7]) == [*study.axes, "status", "error", "warnings"]
    assert frame.status.value_counts().to_dict() == {"finished": 21, "failed": 1, "diverged": 1, "missing": 1}
    for row in frame.itertuples():
        here = study.data.sel(learner=row.learner, adc_bits=row.adc_bits, read_noise=row.read_noise, seed=row.seed)
        np.testing.assert_equal(row.test_accuracy, float(here.test_accuracy))
        assert row.status == here.status
    assert frame.adc_bits.dtype.kind == "i"
    assert not [name for name in frame.columns if name.endswith("_by_epoch")]


def test_a_data_frame_of_epochs_has_a_row_for_each_that_a_run_came_to(study):
    frame = study.to_dataframe(by_epoch=True)
    assert list(frame.columns) == [*study.axes, "epoch", "test_accuracy"]
    assert len(frame) == 2 * 21
    first = frame[(frame.learner == "bp") & (frame.adc_bits == 8) & (frame.read_noise == 0) & (frame.seed == 1)]
    assert first.epoch.tolist() == [1, 2]
    np.testing.assert_allclose(first.test_accuracy, [0.38, 0.76])
    with pytest.raises(TypeError, match=r"to_dataframe\.by_epoch must be True or False"):
        study.to_dataframe("yes")


def test_chips_have_rows_of_their_own():
    values = {"test_accuracy": [0.5, 0.6, 0.7], "elapsed": 1.5, "test_accuracy_by_epoch": [[0.1, 0.2, 0.3]],
              "test_loss_after": [[1.0, 2.0, 3.0]], "angle": [[80.0]]}  # fmt: skip
    study = study_of({"chips": 3, "learner": ["danp", "np"], "layers": [16]},
                     lambda index, plain: {"status": "finished", "values": values})  # fmt: skip
    study.content.seconds = [60.0]
    frame = study.to_dataframe()
    assert frame[["learner", "chip", "test_accuracy", "elapsed"]].values.tolist() == [
        [rule, chip, found, 1.5] for rule in ("danp", "np") for chip, found in ((1, 0.5), (2, 0.6), (3, 0.7))
    ]
    assert not {"angle", "test_loss_after"} & {*frame.columns}
    assert study.to_dataframe(by_epoch=True).test_accuracy.tolist() == [0.1, 0.2, 0.3] * 2
    assert r"danp & 60.0 $\pm$ 10.0 \\" in study.to_latex()
    assert "over 1 seed and chips" in study.to_latex()


def test_a_csv_file_holds_the_same(study, tmp_path):
    study.to_csv(tmp_path / "study.csv")
    again = pandas.read_csv(tmp_path / "study.csv", keep_default_na=False, na_values={"test_accuracy": ""})
    assert list(again.columns) == list(study.to_dataframe().columns)
    np.testing.assert_array_equal(again.test_accuracy, study.to_dataframe().test_accuracy)
    assert again.error.tolist() == study.to_dataframe().error.tolist()
    study.to_csv(tmp_path / "epochs.csv", by_epoch=True)
    assert (tmp_path / "epochs.csv").read_text().startswith("learner,adc_bits,read_noise,seed,epoch,test_accuracy\n")
    with pytest.raises(FileNotFoundError):
        study.to_csv(tmp_path / "nowhere" / "study.csv")


def test_without_pandas_there_is_one_line_that_says_how_to_get_it(study, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    for call in (study.to_dataframe, lambda: study.to_csv(tmp_path / "study.csv")):
        with pytest.raises(
            ImportError, match=r"studies need pandas, which is not installed: pip install '\.\[sweep\]'"
        ):
            call()
    assert not (tmp_path / "study.csv").exists()


# --- LaTeX ----------------------------------------------------------------------------------------------------------


def test_a_table_for_latex_has_a_row_a_setting():
    study = study_of({**AXES, "device": {"name": "crossbar", "adc_bits": [4, 8]}}, lambda index, plain: finished(
        accuracy_of(plain), warnings=""))  # fmt: skip
    assert study.to_latex(["test_accuracy", "test_loss"]) == "\n".join([
        r"% \usepackage{booktabs}; mean and standard deviation over 2 seeds",
        r"\begin{tabular}{llrr}",
        r"\toprule",
        r"learner & ADC resolution (bits) & test accuracy (\%) & test loss \\",
        r"\midrule",
        r"danp & 4 & 52.0 $\pm$ 1.4 & 0.960 $\pm$ 0.028 \\",
        r"danp & 8 & 64.0 $\pm$ 1.4 & 0.720 $\pm$ 0.028 \\",
        r"bp & 4 & 62.0 $\pm$ 1.4 & 0.760 $\pm$ 0.028 \\",
        r"bp & 8 & 74.0 $\pm$ 1.4 & 0.520 $\pm$ 0.028 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
    ])  # fmt: skip


def test_values_of_an_axis_may_be_its_columns(study, tmp_path):
    text = study.to_latex(
        columns="adc_bits", read_noise=0.05, path=tmp_path / "table.tex", caption=r"$\sigma$", label="t"
    )
    assert (tmp_path / "table.tex").read_text() == text
    lines = text.splitlines()
    assert lines[:3] == [
        r"% \usepackage{booktabs}; test accuracy (%), mean and standard deviation over 2 seeds", r"\begin{table}",
        r"\centering",
    ]  # fmt: skip
    assert lines[3:-1] == [
        r"\caption{$\sigma$}", r"\label{t}", r"\begin{tabular}{lrrr}", r"\toprule",
        r"& \multicolumn{3}{c}{ADC resolution (bits)} \\", r"\cmidrule(lr){2-4}", r"learner & 4 & 6 & 8 \\",
        r"\midrule",
        r"danp & 47.0 (1 of 2) & 53.0 (1 of 2) & 60.0 $\pm$ 1.4 \\",
        r"bp & 58.0 $\pm$ 1.4 & 64.0 $\pm$ 1.4 & 70.0 $\pm$ 1.4 \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip


def test_one_seed_has_no_spread_and_no_run_a_dash(study):
    text = study.to_latex(adc_bits=4, learner="danp", seed=1)
    assert "over 1 seed\n" in text
    assert "0 & 54.0 \\\\\n0.05 & -- \\\\" in text
    bare = study_of({"layers": [16], "seed": [4]}, lambda index, plain: finished(0.5)).to_latex()
    assert "\\begin{tabular}{r}" in bare
    assert "50.0 \\\\" in bare


def test_labels_are_escaped():
    axes = {"task": "digits", "layers": [16], "learner": ["danp:samples=2", "bp"]}
    study = study_of(axes, lambda index, plain: finished(0.5))
    study.content.axes["learner"][1] = "my_rule.py & 5 % of $x$"
    assert r"my\_rule.py \& 5 \% of \$x\$ & 50.0 \\" in study.to_latex()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"names": "test_acuracy"}, "did you mean 'test_accuracy'"),
        ({"names": "test_accuracy_by_epoch"}, "unknown variable of this study"),
        ({"columns": "adc_bit"}, "did you mean 'adc_bits'"),
        ({"columns": "seed"}, "unknown axis for columns 'seed'"),
        ({"columns": "adc_bits", "names": ["test_accuracy", "test_loss"]}, "one variable, and all values of adc_bits"),
        ({"columns": "adc_bits", "adc_bits": 4}, "one variable, and all values of adc_bits"),
        ({"adc_bits": 5}, "axis adc_bits has no 5"),
    ],
)
def test_a_table_that_cannot_be_made_says_why(study, how, said):
    with pytest.raises(ValueError, match=said):
        study.to_latex(**how)
