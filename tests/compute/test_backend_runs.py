"""Whole runs on a GPU against the same runs on the CPU, through the public functions: devices, learners, settings.

On a GPU, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.

Stated before looking. Where no converter rounds and no cell has levels, all that a run computes is continuous: losses
agree to `TIGHT`, a thousand times float32's rounding, which a few hundred operations and the division by a small
perturbation or a small second moment may enlarge. Where an ADC rounds, a line on the edge of two codes may get either,
and what is learned from it may end on another level of a cell: a step of eight bits is a hundredth of the full scale,
so losses agree to `LOOSE`; but edges are rare, so half of all losses agree to `TIGHT`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, Drive, batch_norm, conv, dense, devices, dropout, learners, pool
from noisysim.chip import clock, diagnostics
from noisysim.compute import backends, losses, seeding
from noisysim.devices import DeviceError
from noisysim.runs import chunks, storage

pytestmark = pytest.mark.gpu

TIGHT, LOOSE = 1e-4, 0.1
EXACT = "crossbar:controller=copy,adc_bits=0,dac_bits=0,levels=0"  # noise, but nothing that rounds
STEPS_SHARE = 0.01  # of outputs that may be an ADC's step apart

rng = np.random.default_rng(0)
X, IMAGES = (rng.standard_normal(shape).astype(np.float32) for shape in ((24, 6), (24, 1, 5, 5)))
LABELS, VALUES = np.arange(24) % 3, rng.standard_normal((24, 2)).astype(np.float32)


def data(x=X, y=LABELS):
    """Two updates of 8 samples, and 8 to test."""
    return x[:16], y[:16], x[16:], y[16:]


def run(backend, **given):
    """A run of two updates."""
    settings = {"task": data(), "layers": [5], "learner": "danp", "learning_rate": 0.02, "seed": 3, **given}
    return noisysim.run(**settings, batch_size=8, epochs=1, backend=backend, progress=False)


def found(result):
    """Losses of updates and of the test."""
    return np.concatenate([result.steps["train_loss"], result.history["test_loss"]])


def agree(**given):
    """Both backends learn the same where nothing rounds."""
    cpu, cuda = (found(run(backend, **given)) for backend in ("cpu", "cuda"))
    assert len(cpu) == 3
    np.testing.assert_allclose(cuda, cpu, rtol=TIGHT, atol=TIGHT)
    return cpu


def agree_but_for_steps(**given):
    """Both backends learn the same, but for a converter's rare rounding to the other side."""
    cpu, cuda = (found(run(backend, **given)) for backend in ("cpu", "cuda"))
    apart = np.abs(cuda - cpu) / np.maximum(np.abs(cpu), 1)
    assert apart.max() <= LOOSE
    assert np.median(apart) <= TIGHT
    return cpu


def host(array):
    """An array where NumPy finds it."""
    return np.array(backends.backend_of(array).take(array))


# --- devices and learners -------------------------------------------------------------------------------------------


# what a rule computes does not depend on the device; what one asks of converters is compared below
@pytest.mark.covering(1)
@pytest.mark.parametrize("device", ["ideal", EXACT])
@pytest.mark.parametrize("learner", learners.names())
def test_every_learner_learns_the_same(learner, device):
    agree(learner=learner, device=device)


@pytest.mark.parametrize("learner", ["bp", "danp", "dcanp", "fdfa", "fg-a", "fg-w", "reinforce"])
def test_learners_learn_the_same_between_converters(learner):
    """One for each way of asking: without drives, on lines, on outputs, beside weights, with covariances, feedback."""
    agree_but_for_steps(learner=learner, device="crossbar")


@pytest.mark.parametrize("device", devices.names())
def test_every_device_is_the_same(device):
    agree_but_for_steps(device=device, learning_rate=0.1)  # so that pulses are given


def test_other_noise_gives_losses_far_beyond_the_bounds():
    one, other, still = (
        found(run("cuda", device=EXACT, **more)) for more in ({}, {"seed": 4}, {"learning_rate": 1e-9})
    )
    assert np.abs(one - other).min() > 100 * TIGHT
    assert np.abs(one - still)[1:].min() > 10 * TIGHT  # what the first update did is seen from the second on


# --- settings -------------------------------------------------------------------------------------------------------

SETTINGS = {
    "sgd": {"optimizer": "sgd"},
    "momentum": {"optimizer": "sgd:momentum=0.9"},
    "adam": {"optimizer": "adam:beta1=0.5"},
    "decorrelated": {"learner": "danp:decorrelation=0.1,samples=2"},
    "not decorrelated": {"learner": "danp:decorrelation=0"},
    "normalised": {"learner": "np:normalise=True,loss=batch"},
    "covariance": {"learner": "canp:samples=2,decorrelation=0.05"},
    "biases": {"bias": True, "learner": "danp:decorrelation=0.1"},
    "digital": {"inject": "digital", "learner": "danp:sigma=0.1"},
    "he-uniform": {"init": "he-uniform"},
    "uniform": {"init": "uniform"},
    "glorot": {"init": "glorot"},
    "zero": {"init": "zero"},
    "scaled": {"weight_scaling": "column", "bias": True},
    "compensated": {"decorrelate": "compensated", "learner": "danp:decorrelation=0.1", "bias": True},
    "turned updates": {"decorrelate": "updates", "learner": "danp:decorrelation=0.1", "bias": True},
    "oracle": {"oracle": True},
}  # fmt: skip


@pytest.mark.parametrize("given", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_does_the_same(given):
    agree(device=EXACT, **given)


def test_every_activation_is_the_same():
    kinds = ["sigmoid", "relu", "linear", "tanh"]  # in the order of networks.py; all else is leaky_relu
    agree(device="ideal", learner="bp", bias=True, layers=[dense(4, kind) for kind in kinds])


TASKS = {
    "labels, mse": lambda: noisysim.tasks.get(data(), loss="mse"),
    "values": lambda: data(X, VALUES),
    "values, standardised": lambda: noisysim.tasks.get(
        data(X, VALUES), standardise="feature", standardise_targets=True
    ),
    "teacher": lambda: "student-teacher:n_in=6,n_train=16,n_test=8,n_out=2,noise=0.1",
}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_kind_of_task_is_the_same(task):
    agree(task=task(), device=EXACT)


CONVOLUTIONAL = {
    "as it is": (agree, {"device": EXACT}),
    "with biases": (agree, {"device": f"{EXACT},program_noise=0", "bias": True, "optimizer": "sgd"}),
    "between converters": (agree_but_for_steps, {"device": "crossbar"}),
}


@pytest.mark.covering(1)  # rules and devices meet above, in dense layers
@pytest.mark.parametrize("way", CONVOLUTIONAL.values(), ids=CONVOLUTIONAL)
@pytest.mark.parametrize("learner", ["bp", "danp", "fa"])
def test_a_convolutional_network_learns_the_same(learner, way):
    """With biases by SGD and writes without noise: a bias before a batch norm has no gradient but rounding.

    Adam would make a step of it; a cell is written if its target changes at all, which would draw noise.
    """
    compare, settings = way
    layers = [conv(3, 2), batch_norm(), pool(2), dropout(0.25), 4]
    compare(task=data(IMAGES), layers=layers, learner=learner, **settings)


def test_updates_in_chunks_are_the_same(monkeypatch):
    whole = agree(device="ideal", learner="np")
    monkeypatch.setattr(chunks, "MOST_VALUES", 1)
    np.testing.assert_allclose(agree(device="ideal", learner="np"), whole, rtol=TIGHT)


# --- several chips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learner", "device"),
    [("danp:sigma=0.1", EXACT), ("fa", EXACT), ("bp", "ideal")],
)
def test_each_chip_on_the_gpu_is_what_it_is_alone(learner, device, monkeypatch):
    """To rounding: products of a stack may be summed in another order."""
    given, keys = {"learner": learner, "device": device}, seeding.keys
    several = run("cuda", chips=2, **given)
    assert several.steps["train_loss"].shape == (2, 2)
    for m in (0, 1):
        monkeypatch.setattr(seeding, "keys", lambda seed, purpose, chips, m=m: keys(seed, purpose, 2)[m : m + 1])
        alone = run("cuda", **given)
        monkeypatch.setattr(seeding, "keys", keys)
        np.testing.assert_allclose(found(several)[:, m], found(alone), rtol=TIGHT, atol=TIGHT)
    if device != "ideal":
        assert np.abs(np.diff(found(several), axis=1)).min() > 10 * TIGHT


# --- files ----------------------------------------------------------------------------------------------------------

RESUMED = {
    "danp": {"device": "crossbar", "learner": "danp", "optimizer": "adam"},
    "fdfa": {"device": EXACT, "learner": "fdfa", "optimizer": "sgd:momentum=0.9", "chips": 2},
    "pulses": {"device": "pulsed", "learner": "lg-fg-a"},
}


def interrupted(folder, monkeypatch, **given):
    """A run's file, and copies of it as it was at every checkpoint."""
    copies, write = [], storage.write

    def keep(path, content):
        write(path, content)
        copies.append(Path(shutil.copy(path, folder / f"copy{len(copies)}.h5")))

    settings = {"task": "student-teacher:n_in=6,n_train=24,n_test=9,n_out=3", "layers": [5], "batch_size": 8, **given}
    with monkeypatch.context() as patched:
        patched.setattr(storage, "write", keep)
        noisysim.run(
            **settings, epochs=2, backend="cuda", out=folder / "whole.h5", checkpoint_seconds=0, progress=False
        )
    return folder / "whole.h5", copies


def held(path):
    """All that a file says of a run, but for times."""
    content = storage.read(path)
    arrays = {(group, name): value for group, part in content["arrays"].items() for name, value in part.items()}
    return arrays, [content[name] for name in ("status", "cost", "warnings", "config")]


@pytest.mark.covering(1)  # what a checkpoint holds does not depend on when it is written
@pytest.mark.parametrize("number", [0, 3, -3])
@pytest.mark.parametrize("given", RESUMED.values(), ids=RESUMED)
def test_a_run_resumed_on_the_gpu_is_the_undisturbed_one_to_the_bit(given, number, tmp_path, monkeypatch):
    whole, copies = interrupted(tmp_path, monkeypatch, **given)
    wanted, said = held(whole)
    noisysim.resume(copies[number], progress=False)
    arrays, told = held(copies[number])
    assert told == said
    assert arrays.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(arrays[name], value, err_msg=str(name))


WITHOUT = """
import sys
sys.modules["cupy"] = None
import noisysim
whole, copy, figure = sys.argv[1:]
result = noisysim.load(whole)
result.plot(figure)
print(result.summary())
for go_on in (noisysim.resume, lambda path: noisysim.retention(path, [1.0])):
    try:
        go_on(copy)
    except RuntimeError as error:
        print(error)
"""


def test_a_file_from_the_gpu_is_read_where_there_is_none(tmp_path, monkeypatch):
    whole, copies = interrupted(tmp_path, monkeypatch)
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    words = [str(whole), str(copies[2]), str(tmp_path / "curves.png")]
    before = copies[2].read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, env=environment, check=True
    )
    assert "student-teacher" in done.stdout
    assert done.stdout.count("backend 'cuda': CuPy is not installed") == 2
    assert (tmp_path / "curves.png").stat().st_size > 5000
    assert copies[2].read_bytes() == before


# --- a user's own -----------------------------------------------------------------------------------------------------

MINE = '''
from typing import Annotated, NamedTuple
import math
import numpy as np
from noisysim.common.fields import Field

FLOOR = 0.02
CURVE = np.array([-3.0, 0.0, 3.0], np.float32)


class Mine(NamedTuple):
    """Noise that grows with the current, bursts, and an ADC that was measured."""

    amplitude: Annotated[float, Field("", 0, 1, noise="read")] = 0.05
    duty: float = 0.3
    curve: Annotated[str, Field("text file", doc="output at equal steps of the input", file=True)] = ""


def tables(d):
    return {"CURVE": np.loadtxt(d.curve)} if d.curve else {}


def burst(u, d):
    if u < d.duty:
        return FLOOR * 4
    elif u > 1 - d.duty / 2:
        return -2 * math.sqrt(FLOOR)
    return 0.0


def readout(i, energy, z, u, d):
    std = d.amplitude * np.sqrt(np.abs(i) + FLOOR)
    return i + np.tanh(std * z) + (1.0 if i > 0 else 0.5) * burst(u, d)


def adc(i, d):
    at = min(max((i / 3 + 1.0) / 2.0, 0.0), 1.0) * (CURVE.size - 1)
    k = min(int(at), CURVE.size - 2)
    return CURVE[k] + (at - k) * (CURVE[k + 1] - CURVE[k])
'''


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def test_a_users_device_file_runs_unchanged(mine, tmp_path):
    (tmp_path / "curve.txt").write_text("-2.5\n-1.2\n0.1\n1.4\n2.0\n")
    plain = found(run("cuda", device=str(mine)))
    measured = agree(device=f"{mine}:curve={tmp_path / 'curve.txt'}")
    assert np.abs(plain - measured).min() > 10 * TIGHT


MISTAKES = {
    "no hook": ("def readout(", "def read_out(", "read_out is no hook"),
    "not a number": ("np.abs(i) + FLOOR", "i - FLOOR", "readout returned nan"),
    "arguments": ("def adc(i, d)", "def adc(i)", "adc"),
    "name": ("FLOOR * 4", "FLOR * 4", "FLOR"),
    "syntax": ("return 0.0", "return 0.0 +", "mine.py"),
}


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_device_file_with_a_mistake_is_the_same_error(old, new, said, mine):
    mine.write_text(MINE.replace(old, new))
    messages = []
    for backend in ("cpu", "cuda"):
        with pytest.raises(DeviceError, match=said) as caught:
            run(backend, device=str(mine))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


# --- what looks at a run ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", ["danp:decorrelation=0.1", "fa"])
def test_diagnostics_find_the_same(learner):
    """Angles in degrees, the others of order 1; a bias is a difference of squares, which costs digits."""
    names = [f"{name}:samples=4" if hasattr(diagnostics.get(name), "samples") else name for name in diagnostics.names()]
    one_pass = ("difference_whiteness", "passed_share") if learner == "fa" else ()
    given = {"learner": learner, "device": EXACT, "diagnostics": names, "every": 1, "layers": [5, 4], "bias": True}
    cpu, cuda = (run(backend, **given).diagnostics for backend in ("cpu", "cuda"))
    assert set(cpu) == {"update", *diagnostics.names()}
    for name, value in cpu.items():
        np.testing.assert_allclose(cuda[name], value, rtol=1e-3, atol=1e-3, err_msg=name)
        assert np.isfinite(value).any() or name in one_pass, name


def test_diagnostics_leave_no_trace_on_the_gpu():
    given = {"device": "crossbar", "learner": "danp"}
    plain, watched = run("cuda", **given), run("cuda", diagnostics=["bias:samples=2", "passed_share"], every=1, **given)
    np.testing.assert_array_equal(found(plain), found(watched))
    assert plain.cost == watched.cost


def test_retention_is_the_same():
    device = f"{EXACT},drift_nu=0.1,drift_nu_spread=0.3,drift_start=1,compensation=1"
    cpu, cuda = (noisysim.retention(run(b, device=device), [0, 100, 1e7], task=data()) for b in ("cpu", "cuda"))
    for name in ("test_loss", "test_accuracy"):
        np.testing.assert_allclose(cuda[name], cpu[name], rtol=TIGHT)
    assert len(set(cpu["test_loss"])) == 3


# --- a chip by hand ---------------------------------------------------------------------------------------------------


def batch(rows=8, n_out=3):
    """With arrays of the host's."""
    targets = np.eye(n_out, dtype=np.float32)[np.arange(rows) % n_out]
    return Batch(np.resize(X, (rows, 6)), targets, losses.get("cce"))


AGEING = f"{EXACT},drift_nu=0.05,drift_nu_spread=0.3,drift_start=1,compensation=1,tile_rows=4,stuck_low=0.1"
LIVES = {
    "ageing": AGEING,
    "phase-change memory": "pcm:adc_bits=0,dac_bits=0,compensation=1",
    "pulses": "rpu:adc_bits=0,dac_bits=0",
    "cell by cell": f"{EXACT},telegraph=0.3,telegraph_spread=0.2,tau_capture=1e-6,tau_emission=1e-6",
    "wires": f"{EXACT},wire_resistance=20",
}


def live(backend, device):
    """What a chip shows to who gives it the host's arrays only."""
    chip = Chip([6, 5, 3], device, "leaky_relu", True, 2, backend, bias=True, oracle=True)
    draws = np.random.default_rng(5)
    given, shapes, seen = batch(), chip.network.shapes, []

    def f32(*shape):
        return draws.standard_normal(shape).astype(np.float32)

    chip.calibrate(given.inputs)
    drives = [
        Drive(output_error=True), Drive([0.1 * f32(8, 5), 0.1 * f32(8, 3)]), Drive(outputs=[0.1 * f32(8, 5), None]),
        Drive(weights=[0.1 * f32(*shapes[0]), None]),
    ]  # fmt: skip
    for _ in range(2):
        observed = chip.passes(given, drives)
        for o in observed:
            seen += [*o.inputs, *o.activities, o.loss]
        seen.append(observed[0].output_error)
        chip.decorrelate(observed[0].inputs, 0.01)
        chip.program([0.1 * f32(*shape) for shape in shapes])
        chip.wait(50.0)
        oracle = chip.oracle(given)
        seen += [*oracle.weights, *oracle.gradient(observed[0]), *(oracle.tangent(observed[0], d) for d in drives)]
        seen += oracle.signals(observed[0], f32(8, 3))
        with chip.aside():
            seen.append(chip.forward(given).loss)
    if "targets" in chip.offers:
        chip.normalise()
    cells = chip.cells()
    seen += [part for layer in cells for part in layer]
    assert all(type(part) is np.ndarray for layer in cells for part in layer)
    seen.append(chip.forward(given.inputs).output)
    return [host(a) for a in seen], chip.cost.as_dict(), chip.clock


@pytest.mark.parametrize("device", LIVES.values(), ids=LIVES)
def test_a_chip_given_arrays_of_the_host_lives_the_same(device):
    """Conductances are of the order of tens of µS, the rest of order 1."""
    (cpu, spent, clock), (cuda, cost, time) = (live(backend, device) for backend in ("cpu", "cuda"))
    assert (cost, time) == (spent, clock)
    assert len(cpu) == len(cuda)
    for k, (one, other) in enumerate(zip(cpu, cuda, strict=True)):
        assert other.dtype == one.dtype
        np.testing.assert_allclose(other, one, rtol=TIGHT, atol=TIGHT * max(1, np.abs(one).max()), err_msg=str(k))


def test_passes_aside_leave_no_trace_on_the_gpu():
    seen = []
    for aside in (True, False):
        chip = Chip([6, 5, 3], "crossbar", seed=2, backend="cuda")
        chip.forward(batch())
        if aside:
            with chip.aside():
                apart = host(chip.forward(batch()).output)
        seen.append(host(chip.forward(batch()).output))
    np.testing.assert_array_equal(*seen)
    assert np.any(apart != seen[0])


def test_noise_is_the_same_function_of_seed_and_sample():
    given = batch(150, 8)
    for device in ("gaussian:sigma=0.3", f"{EXACT},line_noise=0.05,adc_range=5,read_noise=0.1"):
        chips = [Chip([6, 5, 8], device, seed=7, backend=backend) for backend in ("cpu", "cuda")]
        passes = [[host(a) for _ in range(2) for a in chip.forward(given).activities] for chip in chips]
        for one, other in zip(*passes, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())
        assert np.abs(passes[0][0] - passes[0][2]).mean() > 0.01  # there is noise


def test_an_adc_is_a_step_apart_on_few_outputs():
    given = batch(400, 8)
    chips = [Chip([6, 8], "crossbar:levels=0", seed=7, backend=backend) for backend in ("cpu", "cuda")]
    cpu, cuda = (host(chip.forward(given).output) for chip in chips)
    steps = [chip.converter_steps[0] for chip in chips]
    assert steps[1] == pytest.approx(steps[0], rel=1e-5)
    apart = np.abs(cuda - cpu) / steps[0]
    assert apart.size == 3200
    assert apart.max() <= 1.01
    assert (apart > 0.01).mean() <= STEPS_SHARE


def test_bad_arguments_are_the_same_errors():
    x, shapes = batch().inputs, [(5, 6), (3, 5)]
    bad = [
        lambda c: c.forward(x[:, :4]),
        lambda c: c.forward(x[0]),
        lambda c: c.forward("abc"),
        lambda c: c.forward(Batch(x, np.zeros((8, 2), np.float32), losses.get("cce"))),
        lambda c: c.program([np.zeros((3, 3), np.float32)] * 2),
        lambda c: c.program(0.1),
        lambda c: c.forward(x, Drive([np.zeros((8, 4), np.float32), None])),
        lambda c: c.forward(x, Drive([0.1, None])),
        lambda c: c.forward(x, Drive(weights=[np.zeros(shapes[1], np.float32), None])),
        lambda c: c.decorrelate([], 0.1),
        lambda c: c.wait(-1),
        lambda c: c.oracle(batch()),
    ]
    chips = [Chip([6, 5, 3], "crossbar", backend=backend) for backend in ("cpu", "cuda")]
    for k, act in enumerate(bad):
        said = []
        for chip in chips:
            with pytest.raises((ValueError, TypeError, PermissionError)) as caught:
                act(chip)
            said.append((caught.type, str(caught.value)))
        assert said[0] == said[1], k


def test_cells_age_alike_within_a_call():
    """Two chips, blocks of samples that see cells of another age."""
    x, seen = np.random.default_rng(0).standard_normal((1200, 4)).astype(np.float32), []
    for backend in ("cpu", "cuda"):
        chip = Chip([4, 3], "pcm:dac_bits=0,adc_bits=0,line_noise=0", seed=(1, 2), backend=backend, chips=2)
        chip.calibrate(x[:8])
        chip.program([np.full((6, 4), 0.05, np.float32)])
        assert len(clock.course(chip._hidden, 0, 600, 1)) == 2
        seen.append((host(chip.forward(x).output).copy(), chip.clock))
    np.testing.assert_allclose(seen[0][0], seen[1][0], rtol=0, atol=TIGHT * np.abs(seen[0][0]).max())
    assert seen[0][1] == seen[1][1]
