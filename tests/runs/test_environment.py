"""`noisysim.runs.environment`: what tells one installation from another."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import noisysim
from noisysim import papers
from noisysim.devices import models
from noisysim.runs import environment

HASH = "import sys; from noisysim.runs import environment; print(environment.source_hash())"


def hash_of(site):
    """The hash that a process finds whose noisysim is the one in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", HASH], cwd=site, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def installed(tmp_path):
    """A copy of the package as a wheel lays it out, its mapped packages inside."""
    skipped = shutil.ignore_patterns("__pycache__", "results", "data", "models", "papers")
    for package, place in ((noisysim, "noisysim"), (models, "noisysim/devices/models"), (papers, "noisysim/papers")):
        shutil.copytree(Path(package.__file__).parent, tmp_path / place, ignore=skipped, dirs_exist_ok=True)
    return tmp_path


def test_the_hash_is_that_of_the_source_wherever_it_lies(installed):
    assert len(environment.source_hash()) == 64
    assert hash_of(installed) == environment.source_hash()


def test_every_package_that_lies_elsewhere_is_part_of_it():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    places = dict(line.split(" = ") for line in setup["options"]["package_dir"].split("\n") if line)
    assert {f"noisysim.{name}" for name in environment.MAPPED} == set(places) - {"noisysim"}


@pytest.mark.parametrize("name", ["chip/chip.py", "learners/node.py", "devices/models/crossbar.py", "papers/cifar.py"])
def test_any_other_source_has_another_hash(installed, name):
    source = installed / "noisysim" / name
    source.write_text(source.read_text() + "\n# edited\n")
    assert hash_of(installed) != environment.source_hash()


def test_a_renamed_file_has_another_hash(installed):
    (installed / "noisysim" / "runs" / "health.py").rename(installed / "noisysim" / "runs" / "healths.py")
    assert hash_of(installed) != environment.source_hash()
