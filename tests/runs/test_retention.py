"""What time leaves of a trained chip, from Python and from the command line."""

import numpy as np
import pytest

import noisysim
from noisysim import cli

YEAR = 3e7


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("retention") / "run.h5"
    device = "crossbar:drift_nu=0.1,drift_start=1"
    return noisysim.run(device=device, layers=[32], epochs=3, seed=2, out=path, progress=False)


def test_a_drifting_chip_forgets_and_one_that_does_not_keeps_what_it_learned(run):
    kept = noisysim.retention(run, [0, 3600, YEAR])
    assert kept["seconds"].tolist() == [0, 3600, YEAR]
    assert kept["test_loss"][0] < kept["test_loss"][1] < kept["test_loss"][2]  # outputs shrink by (t / t0)^-0.1 a layer
    steady = noisysim.run(device="crossbar", layers=[32], epochs=3, seed=2, progress=False)
    tested = noisysim.retention(steady, [0, YEAR])
    assert abs(np.diff(tested["test_loss"])[0]) < 0.05 * tested["test_loss"][0]  # another read's noise, nothing else


def test_times_are_since_the_end_of_the_run_however_often_one_looks(run):
    once, often = noisysim.retention(run, [YEAR]), noisysim.retention(run, [0, 10, 1000, YEAR])
    assert once["test_loss"][0] == pytest.approx(often["test_loss"][-1], rel=0.05)  # other passes, other read noise
    np.testing.assert_array_equal(noisysim.retention(run, [YEAR])["test_loss"], once["test_loss"])


def test_a_result_file_does_as_well_and_stays_as_it_is(run):
    before = run.path.read_bytes()
    held = noisysim.retention(run, [0, 60.0])
    np.testing.assert_array_equal(noisysim.retention(run.path, [0, 60.0])["test_loss"], held["test_loss"])
    assert run.path.read_bytes() == before


@pytest.mark.parametrize(
    ("seconds", "error", "words"),
    [
        ([], ValueError, "one or more times, rising"),
        ([60, 0], ValueError, "rising"),
        ([-1], ValueError, "seconds must be a number"),
        ("60", TypeError, "a list of times"),
        (["soon"], TypeError, "must be a number"),
    ],
)
def test_times_that_are_none(run, seconds, error, words):
    with pytest.raises(error, match=words):
        noisysim.retention(run, seconds)


def test_the_command_line_prints_a_row_a_time(run, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["noisysim", "retention", str(run.path), "--seconds", "0", "86400"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3
    assert "seconds" in rows[0]
    assert rows[2].split()[0] == "86400"


def test_the_command_line_prints_of_several_chips_mean_and_standard_deviation(tmp_path, capsys, monkeypatch):
    for task, path in (("digits", tmp_path / "classes.h5"), ("student-teacher", tmp_path / "values.h5")):
        several = noisysim.run(task, device="crossbar", layers=[8], epochs=1, chips=2, out=path, progress=False)
        tested = noisysim.retention(several, [0, 60])
        monkeypatch.setattr("sys.argv", ["noisysim", "retention", str(path), "--seconds", "0", "60"])
        with pytest.raises(SystemExit) as left:
            cli.main()
        assert not left.value.code
        head, *rows = capsys.readouterr().out.splitlines()
        assert len({len(row) for row in rows}) == 1
        assert head.split() == ["seconds", "test", "loss", "test", "accuracy"]
        for row, loss, accuracy in zip(rows, tested["test_loss"], tested["test_accuracy"], strict=True):
            assert f"{loss.mean():.4g} +- {loss.std(ddof=1):.4g}" in row
            shares = f"{100 * accuracy.mean():.1f} +- {100 * accuracy.std(ddof=1):.1f} %"
            assert (shares in row) == (task == "digits")


def test_a_chip_is_no_run(run, tmp_path):
    run.chip().save(tmp_path / "chip.h5")
    for read in (lambda path: noisysim.retention(path, [0]), noisysim.resume, noisysim.load):
        with pytest.raises(ValueError, match=r"chip\.h5 .*is a chip: noisysim\.Chip\.load reads it"):
            read(tmp_path / "chip.h5")
