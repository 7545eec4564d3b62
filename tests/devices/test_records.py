"""Devices in files of earlier versions: what they did is what they do, whatever a default is by now."""

import json

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices
from noisysim.devices import records
from noisysim.runs import config

THEN = "crossbar:controller=auto"  # whose cells were written to targets
GIVEN = {"device": THEN, "layers": [4], "learner": "dnp", "learning_rate": 0.01, "seed": 3, "progress": False}


@pytest.mark.parametrize("name", devices.names())
def test_a_record_names_every_field_so_that_no_default_reaches_it(name):
    described = devices.describe(devices.get(name))
    assert set(described) >= {"name", *devices.defaults(devices.kind(name))}


def test_a_field_that_is_new_is_what_devices_did_before_it():
    described = devices.describe(devices.get(THEN))
    before = {name: value for name, value in described.items() if name != "controller"}
    assert devices.get(before).controller == "increment"  # as of any mapping that says nothing of it
    assert records.completed(before) == described
    assert records.completed({**described, "controller": "accumulate"})["controller"] == "accumulate"
    assert records.completed({"name": "ideal"}) == {"name": "ideal"}


def aged(path, text, *keys):
    """Take the controller, of which its version knew nothing, out of a file's JSON text."""
    with h5py.File(path, "r+") as file:
        record = json.loads(file[text][()])
        within = record
        for key in keys[:-1]:
            within = within[key]
        assert within.pop(keys[-1]) == "auto"
        del file[text]
        file[text] = json.dumps(record)


def test_a_run_goes_on_as_its_version_would_have(tmp_path):
    path = tmp_path / "run.h5"
    whole, _ = noisysim.run(**GIVEN, epochs=2), noisysim.run(**GIVEN, epochs=1, out=path)
    aged(path, "config", "device", "controller")
    assert noisysim.load(path).config["device"]["controller"] == "auto"
    assert "targets" in noisysim.load(path).chip().offers
    assert config.resolve(**config.read(path, config.SETTINGS)).device.controller == "auto"
    longer = noisysim.resume(path, epochs=2, progress=False)
    assert longer.history["test_loss"].tolist() == whole.history["test_loss"].tolist()
    assert longer.cost == whole.cost


def test_a_chip_is_written_as_its_version_wrote_it(tmp_path):
    chip, path = Chip([6, 3], THEN, seed=2), tmp_path / "chip.h5"
    chip.save(path)
    aged(path, "chip", "device", "controller")
    loaded, change = Chip.load(path), [np.full((3, 6), 0.03, np.float32)]
    for one in (chip, loaded):
        one.program(change)
    np.testing.assert_array_equal(loaded.forward(np.ones((1, 6))).output, chip.forward(np.ones((1, 6))).output)


def test_a_study_says_how_its_runs_were_written(tmp_path):
    pytest.importorskip("xarray")
    path = tmp_path / "study.h5"
    noisysim.sweep(**{**GIVEN, "seed": [1, 2]}, epochs=1, workers=1, out=path)
    aged(path, "study/shared", "device.controller")
    assert noisysim.load(path).config(seed=2)["device"]["controller"] == "auto"
