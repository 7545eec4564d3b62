"""Result files of earlier releases: what docs/contributing/policy.md promises of them.

files/version-3.h5 and files/version-3-stopped.h5 are of one run with the source of 29 November 2026, whole and stopped
on its way: student-teacher:n_in=6,n_train=40,n_test=10,n_out=3, layers [5], crossbar:adc_bits=6, danp:samples=2, three
epochs, the diagnostic angle. They are never written anew; a new version gets files of its own.
"""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import noisysim
from noisysim.runs import storage

FILES = Path(__file__).parent / "files"
VERSIONS = [3]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_an_earlier_version_is_read(version):
    path = FILES / f"version-{version}.h5"
    with h5py.File(path) as file:
        assert file.attrs["version"] == version
        losses = file["history/epoch/test_loss"][()]
    result = noisysim.load(path)
    assert result.status == "finished"
    assert result.config["device"]["adc_bits"] == 6
    assert result.history["test_loss"].tolist() == losses.tolist()
    assert len(result.steps["train_loss"]) == 12
    assert result.cost["updates"] == 12
    assert "danp" in result.summary()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_of_an_earlier_version_is_resumed(version, tmp_path):
    whole = noisysim.load(FILES / f"version-{version}.h5")
    path = shutil.copy(FILES / f"version-{version}-stopped.h5", tmp_path / "run.h5")
    stopped = noisysim.load(path)
    assert stopped.status == "stopped"
    done = len(stopped.steps["train_loss"])
    assert 0 < done < 12
    result = noisysim.resume(path, allow_other_source=True, progress=False)
    assert result.status == "finished"
    assert result.steps["train_loss"][:done].tolist() == whole.steps["train_loss"][:done].tolist()
    # other source and other processors have other last bits, which a step of a converter can turn into a small change
    np.testing.assert_allclose(result.steps["train_loss"], whole.steps["train_loss"], rtol=0.02)
    np.testing.assert_allclose(result.history["test_loss"], whole.history["test_loss"], rtol=0.02)


def test_the_version_that_is_written_has_files_here():
    assert storage.VERSION in VERSIONS
    assert {path.name for path in FILES.iterdir()} >= {f"version-{v}.h5" for v in VERSIONS}
