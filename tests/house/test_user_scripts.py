"""What type checkers say of a user's script: nothing of a right one, and a line of each mistake."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import type_checks

ROOT = Path(__file__).parents[2]
RIGHT = """
import numpy as np
import noisysim
from noisysim import Chip, conv, pool

result = noisysim.run(
    "digits", layers=[conv(4, 3), pool(2), 32], device="crossbar", learner="danp:samples=2", epochs=3, seed=1
)
accuracy: float = float(result.history["test_accuracy"][-1])
print(result.summary(), result.cost["passes"])

chip = Chip([64, 32, 10], noisysim.devices.get("pcm"), seed=1)
device = noisysim.devices.Crossbar(adc_bits=8, read_noise=0.02)
bits: int = device.adc_bits
learner = noisysim.learners.get("danp", samples=2)
state = learner.init(chip.sizes, seed=1, offers=chip.offers)
x, y = np.zeros((5, 64), np.float32), np.eye(10, dtype=np.float32)[:5]
batch = noisysim.Batch(x, y, noisysim.losses.get("cce"))
observations = chip.passes(batch, learner.drives(state, 5))
gradients, state = learner.update(state, observations)
study = noisysim.sweep(task="digits", device=["ideal", "crossbar"], seed=[0, 1])
print(study.summary(), noisysim.tasks.names(), noisysim.optimizers.get("sgd:momentum=0.9"))
resumed = noisysim.resume("run.h5", threads=1)
noisysim.report(resumed, "run.html")
"""
WRONG = {
    "an argument of run": "noisysim.run(epoch=3)",
    "the type of an argument of run": 'noisysim.run(epochs="three")',
    "a module": "noisysim.learner",
    "a function": "noisysim.devices.got",
    "a field of a device": "noisysim.devices.Crossbar(adc_bit=8)",
    "the type of a field of a device": 'noisysim.devices.Crossbar(adc_bits="8")',
    "an attribute of a device": "noisysim.devices.Crossbar().adc_bit",
    "a method of a result": "noisysim.run().sumary()",
    "a method of a chip": 'noisysim.Chip([4, 2], "ideal").pass_all()',
    "an argument of a layer": "noisysim.conv(4, kernal=3)",
    "an argument of resume": 'noisysim.resume("run.h5", thread=1)',
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """A folder with a right script and one for each mistake, and the names of these."""
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "right.py").write_text(RIGHT)
    names = {}
    for number, (name, line) in enumerate(WRONG.items()):
        names[name] = f"wrong{number}.py"
        (folder / names[name]).write_text(f"import noisysim\n\n{line}\n")
    return folder, names


@pytest.fixture(scope="module")
def mypy(scripts):
    """What mypy says, by file."""
    folder, _ = scripts
    said = type_checks.mypy(*sorted(folder.glob("*.py")))
    return {name: [message for _, kind, message in lines if kind == "error"] for name, lines in said.items()}


@pytest.fixture(scope="module")
def pyright(scripts):
    """What Pyright says, by file."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    program = shutil.which("basedpyright", path=path) or shutil.which("pyright", path=path)
    if program is None:
        pytest.skip("Pyright is not installed: pip install basedpyright")
    folder, _ = scripts
    settings = {"extraPaths": [str(ROOT)], "pythonVersion": "3.10", "reportMissingImports": "none"}
    (folder / "pyrightconfig.json").write_text(json.dumps({**settings, "typeCheckingMode": "standard"}))
    done = subprocess.run(
        [program, "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)], capture_output=True, text=True
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    return by_file((Path(one["file"]).name, one["message"]) for one in found if one["severity"] == "error")


def by_file(errors):
    found = {}
    for name, message in errors:
        found.setdefault(name, []).append(message)
    return found


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_right_script_has_no_error(checker, request):
    assert request.getfixturevalue(checker).get("right.py", []) == []


@pytest.mark.parametrize("mistake", WRONG)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_mistake_is_an_error(checker, mistake, scripts, request):
    _, names = scripts
    assert request.getfixturevalue(checker).get(names[mistake])
