"""Bad input gives one clear error, before any work: of the right kind, naming what was wrong and what would do."""

import contextlib
import json
import math
import os
import warnings
from fractions import Fraction

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, Drive, devices, learners, tasks
from noisysim.chip.chip import restore, snapshot
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.compute import layered, losses
from noisysim.learners import optimizers
from noisysim.networks.layers import batch_norm, dense
from noisysim.runs import config, training
from noisysim.runs.api import ARGUMENTS
from noisysim.studies import engine
from noisysim.studies.grids import Plan
from noisysim.tasks.own_settings import OwnSettings, TableSettings

NAN, INF = math.nan, math.inf
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)).astype(np.float32), np.arange(40) % 3


def one_error(kind, said, function, *args, **given):
    """Call it: exactly this kind of error, of one line that matches, with no other error shown above it."""
    with pytest.raises(kind, match=said) as caught:
        function(*args, **given)
    error = caught.value
    assert type(error) is kind
    assert len(str(error).splitlines()) == 1
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    return error


# --- noisysim.run ---------------------------------------------------------------------------------------------------

WHOLE = "must be a whole number from 1 to"
RUN = {
    # numbers
    "rate-text": ({"learning_rate": "fast"}, TypeError, r"run\.learning_rate must be a number from 0 .*'fast' \(str\)"),
    "rate-bool": ({"learning_rate": True}, TypeError, r"run\.learning_rate must be a number.*not True \(bool\)"),
    "rate-nan": ({"learning_rate": NAN}, ValueError, r"run\.learning_rate must be a number.*not nan"),
    "rate-inf": ({"learning_rate": INF}, ValueError, r"run\.learning_rate must be a number.*not inf"),
    "rate-negative": ({"learning_rate": -0.1}, ValueError, r"run\.learning_rate must be a number from 0 .*not -0\.1"),
    "rate-list": ({"learning_rate": [0.1]}, TypeError, r"run\.learning_rate.*not \[0\.1\] \(list\)"),
    "rate-array": ({"learning_rate": np.ones(1)}, TypeError, r"run\.learning_rate.*array\(\[1\.\]\) \(ndarray\)"),
    "rate-complex": ({"learning_rate": 1j}, TypeError, r"run\.learning_rate.*not 1j \(complex\)"),
    "decay-zero": ({"learning_rate_decay": 0}, ValueError, r"run\.learning_rate_decay.*from 1e-09 to 1.*not 0"),
    "decay-growth": ({"learning_rate_decay": 1.1}, ValueError, r"run\.learning_rate_decay.*to 1.*not 1\.1"),
    "decay-nan": ({"learning_rate_decay": NAN}, ValueError, r"run\.learning_rate_decay.*not nan"),
    "batch-zero": ({"batch_size": 0}, ValueError, rf"run\.batch_size {WHOLE}.*not 0"),
    "batch-negative": ({"batch_size": -4}, ValueError, rf"run\.batch_size {WHOLE}.*not -4"),
    "batch-half": ({"batch_size": 2.5}, ValueError, rf"run\.batch_size {WHOLE}.*not 2\.5"),
    "batch-bool": ({"batch_size": True}, TypeError, rf"run\.batch_size {WHOLE}.*not True \(bool\)"),
    "batch-text": ({"batch_size": "4"}, TypeError, rf"run\.batch_size {WHOLE}.*not '4' \(str\)"),
    "epochs-zero": ({"epochs": 0}, ValueError, rf"run\.epochs {WHOLE}.*not 0"),
    "epochs-inf": ({"epochs": INF}, ValueError, rf"run\.epochs {WHOLE}.*not inf"),
    "epochs-half": ({"epochs": 0.5}, ValueError, rf"run\.epochs {WHOLE}.*not 0\.5"),
    "epochs-nan": ({"epochs": NAN}, ValueError, rf"run\.epochs {WHOLE}.*not nan"),
    "seed-negative": ({"seed": -1}, ValueError, r"run\.seed must be a whole number from 0 .*not -1"),
    "seed-half": ({"seed": 1.5}, ValueError, r"run\.seed must be a whole number.*not 1\.5"),
    "seed-none": ({"seed": None}, TypeError, r"run\.seed must be a whole number.*not None"),
    "seed-bool": ({"seed": False}, TypeError, r"run\.seed must be a whole number.*not False"),
    "seed-large": ({"seed": 2**64}, ValueError, r"run\.seed must be a whole number.*not 18446744073709551616"),
    "threads-zero": ({"threads": 0}, ValueError, rf"run\.threads {WHOLE} 4096.*not 0"),
    "threads-half": ({"threads": 1.5}, ValueError, rf"run\.threads {WHOLE} 4096.*not 1\.5"),
    "threads-bool": ({"threads": True}, TypeError, rf"run\.threads {WHOLE} 4096.*not True"),
    "seconds-negative": ({"checkpoint_seconds": -1}, ValueError, r"run\.checkpoint_seconds must be a number >= 0.*-1"),
    "seconds-nan": ({"checkpoint_seconds": NAN}, ValueError, r"run\.checkpoint_seconds must be.*not nan"),
    "seconds-none": ({"checkpoint_seconds": None}, TypeError, r"run\.checkpoint_seconds must be.*not None"),
    # switches
    "bias-one": ({"bias": 1}, TypeError, r"run\.bias must be True or False, not 1"),
    "bias-none": ({"bias": None}, TypeError, r"run\.bias must be True or False, not None"),
    "oracle-text": ({"oracle": "yes"}, TypeError, r"run\.oracle must be True or False, not 'yes'"),
    "overwrite-text": ({"overwrite": "no"}, TypeError, r"run\.overwrite must be True or False, not 'no'"),
    "overwrite-none": ({"overwrite": None}, TypeError, r"run\.overwrite must be True or False, not None"),
    "progress-zero": ({"progress": 0}, TypeError, r"run\.progress must be True or False, not 0"),
    # words
    "activation": ({"activation": "leaky-relu"}, ValueError, r"unknown activation .*did you mean 'leaky_relu'\?"),
    "activation-list": ({"activation": ["relu"]}, TypeError, r"activation must be a name \(elu, .*\['relu'\]"),
    "activation-none": ({"activation": None}, TypeError, r"activation must be a name .*not None"),
    "inject": ({"inject": "lines"}, ValueError, r"unknown inject 'lines'; did you mean 'line'\? \(known: line,"),
    "backend": ({"backend": "gpu"}, ValueError, r"unknown backend 'gpu'; did you mean 'cpu'\?"),
    "backend-array": ({"backend": np.array(["cpu"] * 2)}, ValueError, r"unknown backend array\(.*known: auto, cpu"),
    # layers
    "layers-number": ({"layers": 64}, TypeError, r"layers must be a list of hidden layers.*not 64"),
    "layers-text": ({"layers": "64"}, ValueError, r"unknown network '64'"),
    "layers-mapping": ({"layers": {64: 1}}, TypeError, r"layers must be a list of hidden layers"),
    "layers-zero": ({"layers": [5, 0]}, ValueError, rf"dense\.units {WHOLE}.*not 0"),
    "layers-negative": ({"layers": [-5]}, ValueError, rf"dense\.units {WHOLE}.*not -5"),
    "layers-half": ({"layers": [2.5]}, ValueError, rf"dense\.units {WHOLE}.*not 2\.5"),
    "layers-bool": ({"layers": [True]}, TypeError, r"a layer must be a number of units.*not True"),
    "layers-nan": ({"layers": [NAN]}, ValueError, rf"dense\.units {WHOLE}.*not nan"),
    "layers-none": ({"layers": [None]}, TypeError, r"a layer must be a number of units.*not None"),
    "layers-nested": ({"layers": [[5]]}, TypeError, r"a layer must be a number of units.*not \[5\]"),
    # devices
    "device": ({"device": "crosbar"}, ValueError, r"unknown device 'crosbar'; did you mean 'crossbar'\? \(known: "),
    "device-case": ({"device": "Crossbar"}, ValueError, r"unknown device 'Crossbar'; did you mean 'crossbar'\?"),
    "device-empty": ({"device": ""}, ValueError, r"unknown device '' \(known: crossbar"),
    "device-none": ({"device": None}, TypeError, r"device must be a name \(crossbar, .*\) or a device, not None"),
    "device-number": ({"device": 8}, TypeError, r"device must be a name .* not 8"),
    "device-class": ({"device": devices.Crossbar}, TypeError, r"device must be a name .* not <class"),
    "device-tuple": ({"device": (1, 2)}, TypeError, r"device must be a name .* not \(1, 2\)"),
    "device-field": ({"device": "crossbar:adc_bit=6"}, ValueError, r"no field 'adc_bit'; did you mean 'adc_bits'\?"),
    "device-mapping": ({"device": {"name": "gaussian", "sgma": 1}}, ValueError, r"no field 'sgma'; did .* 'sigma'"),
    "device-no-value": ({"device": "crossbar:adc_bits"}, ValueError, r"cannot read 'adc_bits' in .*name:field=value"),
    "device-low": ({"device": "crossbar:adc_bits=1"}, ValueError, r"crossbar\.adc_bits must be 0 \(off\) or .*not 1$"),
    "device-high": ({"device": "crossbar:adc_bits=99"}, ValueError, r"crossbar\.adc_bits must .*to 24.*not 99"),
    "device-half": ({"device": "crossbar:adc_bits=6.5"}, ValueError, r"crossbar\.adc_bits must .*not 6\.5"),
    "device-nan": ({"device": devices.Gaussian(NAN)}, ValueError, r"gaussian\.sigma must be a number >= 0.*not nan"),
    "device-inf": ({"device": devices.Gaussian(INF)}, ValueError, r"gaussian\.sigma must be .*not inf"),
    "device-negative": ({"device": "gaussian:sigma=-1"}, ValueError, r"gaussian\.sigma must .*>= 0.*not -1"),
    "device-text": ({"device": "gaussian:sigma=low"}, TypeError, r"gaussian\.sigma must .*not 'low' \(str\)"),
    "device-bool": ({"device": "gaussian:sigma=True"}, TypeError, r"gaussian\.sigma must .*not True \(bool\)"),
    "device-together": ({"device": "crossbar:g_min=30"}, ValueError, r"g_min \(30 µS\) must be below .*g_max \(25"),
    # learners
    "learner": ({"learner": "backprop"}, ValueError, r"unknown learner 'backprop'.*known: anp, bp"),
    "learner-typo": ({"learner": "dan"}, ValueError, r"unknown learner 'dan'; did you mean 'danp'\?"),
    "learner-none": ({"learner": None}, TypeError, r"learner must be a name \(anp, bp, .*\) or a learner, not None"),
    "learner-class": ({"learner": learners.DANP}, TypeError, r"learner must be a name .*not <class"),
    "learner-field": ({"learner": "danp:sample=2"}, ValueError, r"'danp' has no field 'sample'; did .* 'samples'"),
    "learner-foreign": ({"learner": "bp:samples=2"}, ValueError, r"'bp' has no field 'samples' \(known: decorrelation"),
    "samples-zero": ({"learner": "danp:samples=0"}, ValueError, rf"'danp'\.samples {WHOLE} 10000.*not 0"),
    "samples-half": ({"learner": learners.NP(samples=1.5)}, ValueError, rf"'np'\.samples {WHOLE}.*not 1\.5"),
    "sigma-negative": ({"learner": "np:sigma=-1"}, ValueError, r"'np'\.sigma must be a number >= 0.*not -1"),
    "sigma-nan": ({"learner": learners.NP(sigma=NAN)}, ValueError, r"'np'\.sigma must be .*not nan"),
    "baseline": ({"learner": "danp:baseline=nosy"}, ValueError, r"'danp'\.baseline must be one of .* mean 'noisy'"),
    "loss": ({"learner": "danp:loss=all"}, ValueError, r"'danp'\.loss must be one of 'sample', 'batch', not 'all'"),
    "decorrelation": ({"learner": "danp:decorrelation=2"}, ValueError, r"'danp'\.decorrelation .*from 0 to 1.*not 2"),
    "clean": (
        {"learner": "danp:baseline=clean"}, ValueError,
        r"'danp' needs clean, perturbation; the chip offers output_error, perturbation: .*baseline='noisy'",
    ),
    "no-oracle": ({"learner": "bp", "oracle": False}, ValueError, r"run\.oracle=False, but learner 'bp' needs or"),
    "no-oracle-ideal": (
        {"learner": "dbp", "oracle": False, "device": "ideal"}, ValueError, r"run\.oracle=False, but learner 'dbp'",
    ),
    "learner-near": ({"learner": "fgw"}, ValueError, r"unknown learner 'fgw'; did you mean 'fg-w'\?"),
    "derivative": ({"learner": "fg-a:derivative=pass"}, ValueError, r"'fg-a'\.derivative must .* mean 'passes'"),
    "error": ({"learner": "dfa:error=analog"}, ValueError, r"'dfa'\.error must be .*'digital', 'scalar', not 'ana"),
    "error-foreign": ({"learner": "fg-w:error=scalar"}, ValueError, r"'fg-w' has no field 'error'"),
    "fit": ({"learner": "learned-fa:fit=ridge"}, ValueError, r"'learned-fa'\.fit must be one of 'gradient', 'least_sq"),
    "ridge-zero": (
        {"learner": "learned-fa:ridge=0"}, ValueError, r"'learned-fa'\.ridge must be a number >= 1e-06, not 0",
    ),
    "ridge-nan": ({"learner": learners.LearnedFA(ridge=NAN)}, ValueError, r"'learned-fa'\.ridge must be .*not nan"),
    "warmup-half": ({"learner": "learned-dfa:warmup=1.5"}, ValueError, r"'learned-dfa'\.warmup must be .*not 1\.5"),
    "feedback-rate": ({"learner": "fdfa:feedback_rate=2"}, ValueError, r"'fdfa'\.feedback_rate must .*0 to 1.*not 2"),
    "feedback-optimizer": (
        {"learner": "dkp:feedback_optimizer=rms"}, ValueError, r"'dkp'\.feedback_optimizer must be .*'adam', 'sgd'",
    ),
    "feedback-init": ({"learner": "fa:feedback_init=he"}, ValueError, r"'fa'\.feedback_init must be .*, not 'he'"),
    "readout-rate": ({"learner": "lg-fg-a:readout_rate=-1"}, ValueError, r"'lg-fg-a'\.readout_rate must .*not -1"),
    "shrinkage": ({"learner": "canp:shrinkage=1.5"}, ValueError, r"'canp'\.shrinkage must be .*0 to 1, not 1\.5"),
    "window-zero": ({"learner": "dcanp:window=0"}, ValueError, rf"'dcanp'\.window {WHOLE}.*not 0"),
    "switch-one": ({"learner": "danp:normalise=1"}, TypeError, r"'danp'\.normalise must be True or False, not 1"),
    "hidden-noise": ({"learner": "reinforce:hidden_noise=yes"}, TypeError, r"hidden_noise must be True .*, not 'yes'"),
    "no-oracle-reinforce": (
        {"learner": "reinforce", "oracle": False}, ValueError, r"run\.oracle=False, but learner 'reinforce' needs",
    ),
    "no-oracle-exact": (
        {"learner": "fg-a:derivative=exact", "oracle": False, "device": "ideal"}, ValueError,
        r"run\.oracle=False, but learner 'fg-a' needs oracle access",
    ),
    "init": ({"init": "xavier"}, ValueError, r"unknown init 'xavier' \(known: he, he-uniform, uniform, glorot, zero\)"),
    "weight-scaling": (
        {"weight_scaling": "row"}, ValueError, r"unknown weight_scaling 'row' \(known: fixed, array, column\)",
    ),
    "weight-scaling-switch": ({"weight_scaling": True}, ValueError, "unknown weight_scaling True"),
    "decorrelate": ({"decorrelate": "update"}, ValueError, r"unknown decorrelate 'update'; did you mean 'updates'\?"),
    "decorrelate-switch": ({"decorrelate": True}, ValueError, r"unknown decorrelate True \(known: inputs, updates, c"),
    "decorrelate-alone": (
        {"decorrelate": "updates", "learner": "anp"}, ValueError,
        r"run\.decorrelate='updates', but learner 'anp' does not decorrelate: .*learner='anp:decorrelation=0\.001'",
    ),
    "init-zero": (
        {"init": "zero", "activation": "relu", "layers": [4]}, ValueError,
        r"run\.init='zero' with activation 'relu' never starts: .*'leaky_relu'",
    ),
    "init-zero-held": (
        {"init": "zero", "activation": "relu6", "layers": [4]}, ValueError, r"with activation 'relu6' never starts",
    ),
    # optimizers
    "optimizer": ({"optimizer": "adma"}, ValueError, r"unknown optimizer 'adma'; did you mean 'adam'\?"),
    "optimizer-none": ({"optimizer": None}, TypeError, r"optimizer must be a name \(adam, sgd\).*not None"),
    "optimizer-field": ({"optimizer": "adam:beta3=0"}, ValueError, r"'adam' has no field 'beta3'; did .* 'beta2'"),
    "momentum": ({"optimizer": "sgd:momentum=1"}, ValueError, r"'sgd'\.momentum must be .*not 1"),
    "momentum-nan": ({"optimizer": optimizers.SGD(NAN)}, ValueError, r"'sgd'\.momentum must be .*not nan"),
    # tasks and data
    "task": ({"task": "digts"}, ValueError, r"unknown task 'digts'; did you mean 'digits'\?"),
    "task-none": ({"task": None}, TypeError, r"a task is a name, .*not NoneType"),
    "task-field": ({"task": "digits:standardize=none"}, ValueError, r"'digits' has no field 'standardize'; did.*ise'"),
    "task-value": ({"task": "digits:loss=mae"}, ValueError, r"digits\.loss must be one of 'cce', 'mse', not 'mae'"),
    "task-zero": ({"task": "student-teacher:n_in=0"}, ValueError, r"student-teacher\.n_in must .*not 0"),
    "task-file": ({"task": "nothing.h5"}, FileNotFoundError, r"no task file 'nothing\.h5'"),
    "task-array": ({"task": X}, TypeError, r"a task is a name, .*not ndarray"),
    "task-empty": ({"task": ()}, ValueError, r"arrays must be \(x_train, y_train, x_test, y_test\) or \(x, y\), not 0"),
    "task-three": ({"task": (X, Y, X)}, ValueError, r"arrays must be .*, not 3 of them"),
    "arrays-empty": ({"task": (X[:0], Y[:0])}, ValueError, r"x is empty: its shape is \(0, 6\)"),
    "arrays-flat": ({"task": (X[:, 0], Y)}, ValueError, r"x must be \(samples, inputs\), not \(40,\)"),
    "arrays-lengths": ({"task": (X, Y[:9])}, ValueError, r"x has 40 samples, y has 9"),
    "arrays-widths": ({"task": (X, Y, X[:, :5], Y)}, ValueError, r"x_train is \(6,\), one of x_test \(5,\)"),
    "arrays-nan": ({"task": (np.where(X > 2, NAN, X), Y)}, ValueError, r"x holds NaN, infinite.*first in row \d+"),
    "arrays-text": ({"task": (X, ["a"] * 40)}, ValueError, r"two classes or more, but all are 'a'"),
    "labels-unique": ({"task": (X, np.arange(40) * 2)}, ValueError, r"y: 40 different whole numbers in 40 samples"),
    "labels-missing": ({"task": (X, ["a", None] * 20)}, ValueError, r"y has 20 missing labels \(first in row 1\)"),
    "table": ({"task": "no/such.csv"}, FileNotFoundError, r"no task file 'no/such.csv'"),
    "labels-one": ({"task": (X, 0 * Y)}, ValueError, r"two classes or more"),
    "one-sample": ({"task": (X[:1], Y[:1])}, ValueError, r"there is 1 sample: at least 2 are needed"),
    "data": ({"data": "/no/such"}, FileNotFoundError, r"run\.data: there is no folder '/no/such'"),
    "data-type": ({"data": 3}, TypeError, r"run\.data must be a folder's path, not 3"),
    # the output
    "out-type": ({"out": 3}, TypeError, r"out must be a path, not 3"),
    "out-bytes": ({"out": b"run.h5"}, TypeError, r"out must be a path, not b'run\.h5'"),
    "out-folder": ({"out": "folder"}, ValueError, r"cannot write 'folder': it is not a file"),
    "out-empty": ({"out": ""}, ValueError, r"cannot write '\.': it is not a file"),
    "out-nowhere": ({"out": "none/run.h5"}, FileNotFoundError, r"cannot write 'none/run\.h5': there is no folder "),
    "out-in-file": ({"out": "old.h5/run.h5"}, FileNotFoundError, r"there is no folder .*old\.h5"),
    "out-exists": ({"out": "old.h5"}, FileExistsError, r"old\.h5 exists: give another path, or say overwrite"),
    "out-device": ({"out": "/dev/null", "overwrite": True}, ValueError, r"cannot write '/dev/null': it is not a file"),
    "out-long": ({"out": "n" * 250}, OSError, r"cannot write 'nnn.*: File name too long"),
    # what there is not
    "argument": ({"layer": [5]}, TypeError, r"unexpected keyword argument 'layer'"),
}  # fmt: skip
RUN |= {
    "huge": ({"learning_rate": 10**400}, ValueError, r"run\.learning_rate"),
    "twice": ({"device": "gaussian:sigma=1,sigma=2"}, ValueError, "sets sigma twice"),
    "empty-mapping": ({"device": {"adc_bits": 6}}, TypeError, "adc_bits"),
    "article": ({"optimizer": 3}, TypeError, "or an optimizer"),
}


@pytest.fixture
def idle(tmp_path, monkeypatch):
    """A folder with a file and a folder in it, and a run that may not begin."""

    def begin(self):
        raise AssertionError("work was begun")

    monkeypatch.setattr(training.Training, "begin", begin)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.h5").write_bytes(b"an older result")
    return tmp_path


def refused(folder, given, kind, said):
    given = {"task": (X, Y), "layers": [5], "epochs": 1, "progress": False, **given}
    one_error(kind, said, noisysim.run, given.pop("task"), **given)
    assert sorted(os.listdir(folder)) == ["folder", "old.h5"]
    assert (folder / "old.h5").read_bytes() == b"an older result"


@pytest.mark.parametrize(("given", "kind", "said"), RUN.values(), ids=RUN)
def test_run_refuses(given, kind, said, idle):
    refused(idle, given, kind, said)


def test_nothing_is_refused_without_a_reason(idle):
    """The same run without the bad argument gets as far as its work."""
    with pytest.raises(AssertionError, match="work was begun"):
        refused(idle, {}, ValueError, ".")


def test_cheap_checks_come_before_the_data_are_loaded(idle, monkeypatch):
    """No one waits for a download to learn that `epochs` was misspelt as zero."""

    def load(*_, **__):
        raise AssertionError("data were loaded")

    monkeypatch.setattr(tasks, "get", load)
    for name, (given, kind, said) in RUN.items():
        if set(given) != {"task"} and name != "clean" and not name.startswith("init-zero"):
            one_error(kind, said, noisysim.run, **given)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(idle):
    (idle / "folder").chmod(0o555)
    refused(idle, {"out": "folder/run.h5"}, PermissionError, r"cannot write 'folder/run\.h5': Permission denied")


def test_a_disk_that_cannot_be_written(idle, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("os.open", refuse)
    refused(idle, {"out": "run.h5"}, OSError, r"cannot write 'run\.h5': Read-only file system")


def test_cce_is_for_labels():
    one_error(
        ValueError, "the loss 'cce' needs labels, but the targets are values: take 'mse'",
        tasks.get, (X, X[:, :2]), loss="cce",
    )  # fmt: skip
    one_error(ValueError, r"student-teacher\.loss must be .*'mse', not 'cce'", tasks.get, "student-teacher:loss=cce")


GET = {
    "device": (devices.get, "crossbar", "adc_bit", "device 'crossbar' has no field 'adc_bit'; did you mean 'adc_bits'"),
    "learner": (learners.get, "danp", "sampels", "learner 'danp' has no field 'sampels'; did you mean 'samples'"),
    "optimizer": (optimizers.get, "sgd", "moment", "optimizer 'sgd' has no field 'moment'; did you mean 'momentum'"),
    "task": (tasks.get, "digits", "standard", "task 'digits' has no field 'standard'; did you mean 'standardise'"),
}


@pytest.mark.parametrize(("get", "name", "field", "said"), GET.values(), ids=GET)
def test_get_refuses_an_unknown_field(get, name, field, said):
    one_error(ValueError, said, get, name, **{field: 1})
    one_error(ValueError, said, get, f"{name}:{field}=1")
    one_error(ValueError, said, get, {"name": name, field: 1})


def test_unknown_attributes():
    one_error(AttributeError, "module 'noisysim' has no attribute 'rum'", lambda: noisysim.rum)
    one_error(AttributeError, "module 'noisysim.devices' has no attribute 'Fo'", lambda: devices.Fo)


# --- Chip -----------------------------------------------------------------------------------------------------------

NET = [6, 5, 3]
SIZES, UNITS = "layers must be at least inputs and outputs", rf"dense\.units {WHOLE}"
CHIP = {
    "empty": ({"layers": []}, ValueError, SIZES),
    "one": ({"layers": [6]}, ValueError, SIZES),
    "zero": ({"layers": [6, 0, 3]}, ValueError, rf"{UNITS}.*not 0"),
    "negative": ({"layers": [6, -1]}, ValueError, UNITS),
    "half": ({"layers": [6, 2.5]}, ValueError, rf"{UNITS}.*2\.5"),
    "nan": ({"layers": [6, NAN]}, ValueError, UNITS),
    "text": ({"layers": "63"}, TypeError, "layers must be a list"),
    "nested": ({"layers": [[6, 3]]}, ValueError, SIZES),
    "device": ({"device": "crosbar"}, ValueError, "unknown device 'crosbar'; did you mean 'crossbar'"),
    "device-value": ({"device": "crossbar:levels=1"}, ValueError, r"crossbar\.levels must .*not 1"),
    "activation": ({"activation": "tahn"}, ValueError, "unknown activation 'tahn'; did you mean 'tanh'"),
    "backend": ({"backend": "gpu"}, ValueError, "unknown backend 'gpu'; did you mean 'cpu'"),
    "inject": ({"inject": "lin"}, ValueError, "unknown inject 'lin'; did you mean 'line'"),
    "init": ({"init": "He"}, ValueError, "unknown init 'He'; did you mean 'he'"),
    "weight-scaling": (
        {"weight_scaling": "colum"},
        ValueError,
        "unknown weight_scaling 'colum'; did you mean 'column'",
    ),
    "weight-scaling-none": ({"weight_scaling": None}, ValueError, "unknown weight_scaling None"),
    "decorrelate-form": ({"decorrelate": "update"}, ValueError, "unknown decorrelate 'update'; did you mean 'updates'"),
    "argument": ({"sed": 1}, TypeError, "unexpected keyword argument 'sed'"),
}
CHIP |= {
    "bool-size": ({"layers": [6, True]}, TypeError, "a layer must be"),
    "none": ({"layers": None}, TypeError, "layers must be"),
    "number": ({"layers": 6}, TypeError, "layers must be"),
    "seed-negative": ({"seed": -1}, ValueError, "seed must be a whole number"),
    "seed-half": ({"seed": 1.5}, ValueError, "seed must be a whole number"),
    "seed-nan": ({"seed": NAN}, ValueError, "seed must be a whole number"),
    "seed-text": ({"seed": "a"}, TypeError, "seed must be a whole number"),
    "activation-list": ({"activation": ["tanh"]}, TypeError, "activation must be a name"),
    "bias": ({"bias": "no"}, TypeError, "bias must be True or False"),
    "decorrelate": ({"decorrelate": 1}, TypeError, "decorrelate must be True or False"),
    "oracle": ({"oracle": "no"}, TypeError, "oracle must be True or False"),
}


@pytest.mark.parametrize(("given", "kind", "said"), CHIP.values(), ids=CHIP)
def test_chip_refuses(given, kind, said):
    one_error(kind, said, Chip, **{"layers": NET, **given})


@pytest.fixture
def chip():
    return Chip(NET, "crossbar")


CALM = X[:4]
HIDDEN, OUT = np.zeros((4, 5), np.float32), np.zeros((4, 3), np.float32)
BATCH = Batch(CALM, np.eye(3, dtype=np.float32)[[0, 1, 2, 0]], losses.get("cce"))
SHAPE = r"inputs must have the shape \(batch, 6\), not"
PASSES = {
    "x-flat": (lambda c: c.forward(CALM[0]), ValueError, rf"{SHAPE} \(6,\)"),
    "x-narrow": (lambda c: c.forward(CALM[:, :5]), ValueError, rf"{SHAPE} \(4, 5\)"),
    "x-empty": (lambda c: c.forward(CALM[:0]), ValueError, rf"{SHAPE} \(0, 6\)"),
    "x-deep": (lambda c: c.forward(CALM[..., None]), ValueError, rf"{SHAPE} \(4, 6, 1\)"),
    "x-none": (lambda c: c.forward(None), TypeError, "inputs must hold real numbers, not objects, in row 0 None"),
    "x-number": (lambda c: c.forward(3), ValueError, SHAPE),
    "calibrate": (lambda c: c.calibrate(CALM[:, :3]), ValueError, rf"{SHAPE} \(4, 3\)"),
    "drive-few": (lambda c: c.forward(CALM, Drive([HIDDEN])), ValueError, r"each of 2 layers, not 1"),
    "drive-many": (lambda c: c.forward(CALM, Drive([HIDDEN, OUT, OUT])), ValueError, r"each of 2 layers, not 3"),
    "drive-swapped": (
        lambda c: c.forward(CALM, Drive([OUT, HIDDEN])), ValueError,
        r"perturbation of layer 0 must have the shape \(4, 5\), not \(4, 3\)",
    ),
    "drive-rows": (
        lambda c: c.forward(CALM, Drive([None, OUT[:3]])), ValueError,
        r"perturbation of layer 1 must have the shape \(4, 3\), not \(3, 3\)",
    ),
    "drive-text": (lambda c: c.forward(CALM, Drive(["a", None])), TypeError, "layer 0 must be an array, not str"),
    "updates-few": (lambda c: c.program([np.zeros((5, 6))]), ValueError, r"updates must have the shapes \[\(5, 6\), "),
    "updates-turned": (
        lambda c: c.program([np.zeros((6, 5)), np.zeros((5, 3))]), ValueError,
        r"shapes \[\(5, 6\), \(3, 5\)\], not \[\(6, 5\), \(5, 3\)\]",
    ),
    "updates-text": (lambda c: c.program("ab"), TypeError, r"updates must be a list of arrays, one per layer, not .ab"),
    "not-decorrelating": (
        lambda c: c.decorrelate([CALM, HIDDEN], 0.1), ValueError, r"does not decorrelate: .*decorrelate=True",
    ),
    "oracle": (
        lambda c: c.oracle(BATCH), PermissionError, r"device 'crossbar' grants no oracle access: .*oracle=True",
    ),
}  # fmt: skip
SQUARE = [np.zeros((5, 6)), np.zeros((3, 5))]
PASSES |= {
    "outputs-few": (
        lambda c: c.forward(CALM, Drive(outputs=[HIDDEN])), ValueError, r"output perturbation or None .*2 layers, not 1"
    ),
    "outputs-last": (
        lambda c: c.forward(CALM, Drive(outputs=[HIDDEN, OUT])), ValueError,
        r"the last layer's output feeds no layer: perturb its pre-activations",
    ),
    "outputs-rows": (
        lambda c: c.forward(CALM, Drive(outputs=[HIDDEN[:3], None])), ValueError,
        r"the output perturbation of layer 0 must have the shape \(4, 5\), not \(3, 5\)",
    ),
    "outputs-width": (
        lambda c: c.forward(CALM, Drive(outputs=[OUT, None])), ValueError,
        r"the output perturbation of layer 0 must have the shape \(4, 5\), not \(4, 3\)",
    ),
    "outputs-lists": (
        lambda c: c.forward(CALM, Drive(outputs=[HIDDEN.tolist(), None])), TypeError,
        "the output perturbation of layer 0 must be an array, not list",
    ),
    "weights-many": (
        lambda c: c.forward(CALM, Drive(weights=[*SQUARE, None])), ValueError,
        r"a weight perturbation or None .*2 layers, not 3",
    ),
    "weights-turned": (
        lambda c: c.forward(CALM, Drive(weights=[SQUARE[0].T, None])), ValueError,
        r"the weight perturbation of layer 0 must have the shape \(5, 6\), not \(6, 5\)",
    ),
    "weights-batch": (
        lambda c: c.forward(CALM, Drive(weights=[None, np.zeros((4, 3, 5))])), ValueError,
        r"the weight perturbation of layer 1 must have the shape \(3, 5\), not \(4, 3, 5\)",
    ),
    "weights-text": (
        lambda c: c.forward(CALM, Drive(weights=["a", None])), TypeError,
        "the weight perturbation of layer 0 must be an array, not str",
    ),
    "weights-and-lines": (
        lambda c: c.forward(CALM, Drive([HIDDEN, None], weights=SQUARE)), ValueError,
        "a layer takes a perturbation of its lines or of its weights, not both",
    ),
    "error-without-targets": (
        lambda c: c.forward(CALM, Drive(output_error=True)), ValueError,
        "asks for the output error: give a task's batch, whose loss has a derivative",
    ),
    "error-of-one-drive": (
        lambda c: c.passes(CALM, [Drive(), Drive(output_error=True)]), ValueError, "asks for the output error",
    ),
    "error-without-derivative": (
        lambda c: c.forward(BATCH._replace(loss=lambda y, t: (y - t)[:, 0]), Drive(output_error=True)), ValueError,
        "asks for the output error: give a task's batch, whose loss has a derivative",
    ),
}  # fmt: skip
PASSES |= {
    "x-text": (lambda c: c.forward([["a"] * 6]), TypeError, "inputs must hold real numbers, not <U1"),
    "x-complex": (lambda c: c.forward(CALM.astype(object) * 1j), TypeError, "inputs must hold real numbers"),
    "drive-list": (lambda c: c.forward(CALM, [HIDDEN, OUT]), TypeError, "a drive must be a Drive"),
    "drive-array": (lambda c: c.forward(CALM, Drive(np.zeros((2, 4, 5)))), ValueError, "perturbation"),
    "drive-lists": (lambda c: c.forward(CALM, Drive([HIDDEN.tolist(), None])), TypeError, "perturbation of layer 0"),
    "passes-none": (lambda c: c.passes(CALM, None), TypeError, "drives must be"),
    "passes-one": (lambda c: c.passes(CALM, Drive()), TypeError, "drives must be"),
    "first-sample": (lambda c: c.passes(CALM, [Drive()], first_sample=-1), ValueError, "first_sample"),
    "updates-none": (lambda c: c.program(None), TypeError, "updates must"),
    "targets-rows": (lambda c: c.forward(BATCH._replace(targets=BATCH.targets[:3])), ValueError, "targets have shape"),
    "targets-width": (lambda c: c.forward(BATCH._replace(targets=OUT[:, :2])), ValueError, "targets have shape"),
}


def unchanged(chip, call, kind, said):
    """The error comes before the pass or the write: nothing is counted, no noise is drawn, no weight moves."""
    chip.forward(CALM)
    before = chip.cost.as_dict(), chip._hidden.next_pass, chip._hidden.arrays.weights.tobytes()
    one_error(kind, said, call, chip)
    return before == (chip.cost.as_dict(), chip._hidden.next_pass, chip._hidden.arrays.weights.tobytes())


@pytest.mark.parametrize(("call", "kind", "said"), PASSES.values(), ids=PASSES)
def test_a_chip_refuses_what_does_not_fit(call, kind, said, chip):
    assert unchanged(chip, call, kind, said)


# --- learners -------------------------------------------------------------------------------------------------------


WANTED = [
    ("anp", 2), ("danp:samples=3", 4), ("np:samples=2", 3), ("inp", 3), ("fg-w:samples=2", 3), ("fg-a", 2),
    ("lg-fg-a", 2), ("fa:error=scalar", 2), ("fdfa:error=scalar", 3), ("learned-fa:samples=3", 4), ("canp", 2),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wanted"), WANTED)
@pytest.mark.parametrize("given", [1, 5])
def test_a_learner_wants_the_observations_of_its_drives(name, wanted, given, chip):
    learner = learners.get(name)
    state = learner.init(NET, offers=chip.offers, floor=0.1)
    one_error(
        ValueError, f"asked for {wanted} passes and was given {given} observations",
        learner.update, state, [chip.forward(BATCH)] * given,
    )  # fmt: skip
    assert state.step == 0


@pytest.mark.parametrize("losses", [True, False])
def test_a_learner_says_what_an_observation_lacks(losses, chip):
    learner = learners.get("danp")
    observations = [] if losses else [chip.forward(CALM)] * 2
    one_error(ValueError, "observations|loss", learner.update, learner.init(NET, offers=chip.offers), observations)


@pytest.mark.parametrize("name", ["fg-a", "lg-fg-a:error=scalar", "dfa", "fdfa", "learned-dfa", "fa:baseline=noisy"])
def test_a_learner_says_that_it_lacks_the_output_error(name, chip):
    learner = learners.get(name)
    state = learner.init(NET, offers=chip.offers, floor=0.1)
    count = len(learner.drives(state, 4))
    one_error(
        ValueError, rf"'{learner.name}' needs an output error: Drive\(\.\.\., output_error=True\) asks for it",
        learner.update, state, [chip.forward(BATCH)] * count,
    )  # fmt: skip
    one_error(
        ValueError, rf"'{learner.name}' needs .*output_error.*; the chip offers perturbation: use a device",
        learner.init, NET, offers=frozenset({"perturbation"}),
    )  # fmt: skip
    assert state.step == 0


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("fg-w:derivative=exact", r"use derivative='passes', which any chip offers, or grant oracle=True"),
        ("fg-a:derivative=exact", r"use derivative='passes', which any chip offers, or grant oracle=True"),
        ("fdfa:derivative=exact", r"use derivative='passes', which any chip offers, or grant oracle=True"),
        ("reinforce", r"use device='ideal', or grant it by name with oracle=True"),
    ],
)
def test_exact_weights_have_to_be_granted(name, advice, chip):
    learner = learners.get(name)
    one_error(ValueError, rf"'{learner.name}' needs .*oracle.*; the chip offers .*: {advice}", learner.init, NET,
              offers=chip.offers)  # fmt: skip
    granted = Chip(NET, "crossbar", oracle=True)
    state = learner.init(NET, offers=granted.offers, floor=0.1)
    observations = granted.passes(BATCH, learner.drives(state, 4))
    one_error(ValueError, rf"'{learner.name}' needs oracle access: update\(\.\.\., oracle=chip\.oracle\(batch\)\)",
              learner.update, state, observations)  # fmt: skip
    assert state.step == 0
    learner.update(state, observations, oracle=granted.oracle(BATCH))


def test_backpropagation_by_hand_needs_the_oracle(chip):
    learner = learners.get("bp")
    said = r"'bp' needs oracle, output_error; the chip offers output_error, perturbation: .*oracle=True"
    one_error(ValueError, said, learner.init, NET, offers=chip.offers)
    state = learner.init(NET)
    one_error(ValueError, r"'bp' needs oracle access: update\(\.\.\., oracle=chip\.oracle\(batch\)\)",
              learner.update, state, [chip.forward(BATCH)])  # fmt: skip
    granted = Chip(NET, "crossbar", oracle=True)
    learner.update(state, [granted.forward(BATCH)], oracle=granted.oracle(BATCH))


def test_a_clean_baseline_needs_clean_passes(chip):
    learner = learners.get("danp:baseline=clean")
    said = "'danp' needs clean, perturbation; the chip offers output_error, perturbation: its passes are noisy"
    one_error(ValueError, said, learner.init, NET, offers=chip.offers)
    learner.init(NET, offers=Chip(NET, "ideal").offers)


# --- configurations and result files --------------------------------------------------------------------------------

TOML = {
    "truncated": (b'task = "digits"\n[device]\nname = "cross', ValueError, r"run\.toml is not valid TOML: "),
    "no-toml": (b"\x00\x01\x02", ValueError, r"run\.toml is not valid TOML"),
    "no-utf8": (b'task = "\xff"', ValueError, r"run\.toml is not valid TOML"),
    "twice": (b"epochs = 1\nepochs = 2", ValueError, r"run\.toml is not valid TOML"),
    "key": (b"epoch = 3", ValueError, r"run\.toml has no field 'epoch'; did you mean 'epochs'\?"),
    "table": (b'[devices]\nname = "ideal"', ValueError, r"run\.toml has no field 'devices'; did you mean 'device'\?"),
}


@pytest.mark.parametrize(("text", "kind", "said"), TOML.values(), ids=TOML)
def test_a_toml_file_is_refused(text, kind, said, tmp_path):
    (tmp_path / "run.toml").write_bytes(text)
    one_error(kind, said, config.read, tmp_path / "run.toml", ARGUMENTS)


def test_a_toml_value_is_refused_like_an_argument(idle):
    (idle / "folder" / "run.toml").write_text('task = "digits"\n[device]\nname = "crossbar"\nadc_bits = "six"\n')
    given = config.read(idle / "folder" / "run.toml", ARGUMENTS)
    one_error(TypeError, r"crossbar\.adc_bits must be .*not 'six' \(str\)", noisysim.run, **given)


def test_there_is_no_such_configuration(tmp_path):
    one_error(FileNotFoundError, "no configuration file .*none.toml", config.read, tmp_path / "none.toml", ARGUMENTS)
    one_error(FileNotFoundError, "no configuration file", config.read, tmp_path, ARGUMENTS)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The bytes of a result file of a run of arrays."""
    path = tmp_path_factory.mktemp("written") / "run.h5"
    noisysim.run((X, Y), layers=[5], epochs=1, out=path, progress=False)
    return path.read_bytes()


@pytest.fixture
def result(written, tmp_path):
    path = tmp_path / "run.h5"
    path.write_bytes(written)
    return path


def readers(path):
    return [lambda: noisysim.load(path), lambda: noisysim.resume(path), lambda: config.read(path, ARGUMENTS)]


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.999])
def test_a_truncated_result_file_is_refused(result, written, share):
    result.write_bytes(written[: int(share * len(written))])
    for read in readers(result):
        one_error(ValueError, r"run\.h5 is not a whole noisysim result file \(", read)


def replace(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


WHOLE_FILE = r"run\.h5 is not a whole noisysim result file \("
DAMAGE = {
    "other-hdf5": (lambda file: file.attrs.pop("format"), r"run\.h5 is not a whole .* \(no attribute 'format'\)"),
    "other-format": (lambda file: file.attrs.modify("format", "sweep"), r"\(its format is not 'noisysim run'\)"),
    "newer": (lambda file: file.attrs.modify("version", 4), r"has layout version 4; this noisysim reads 3"),
    "no-status": (lambda file: file.attrs.pop("status"), WHOLE_FILE),
    "no-config": (lambda file: file.pop("config"), WHOLE_FILE),
    "half-json": (replace("cost", '{"passes": '), WHOLE_FILE),
    "no-json": (replace("cost", 3.0), WHOLE_FILE),
    "no-history": (lambda file: file.pop("history"), WHOLE_FILE),
    "no-column": (lambda file: file.pop("history/epoch/test_loss"), rf"{WHOLE_FILE}no history/epoch/test_loss\)"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_result_file_is_refused(damage, said, result):
    with h5py.File(result, "r+") as file:
        damage(file)
    for read in readers(result):
        one_error(ValueError, said, read)


def test_what_is_no_result_file_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text(json.dumps({"a": 1}))
    for read in readers(tmp_path / "text.h5"):
        one_error(ValueError, r"text\.h5 is not a whole noisysim result file", read)
    for read in readers(tmp_path / "none.h5")[:2]:
        one_error(FileNotFoundError, "no result file", read)
    for read in readers(tmp_path)[:2]:
        one_error(ValueError, "is not a file", read)


def test_a_configuration_that_learned_arrays_cannot_run_without_them(result):
    said = r"this run learned arrays that its file does not hold: give them again as task=\(x, y, \.\.\.\)"
    one_error(ValueError, said, config.read, result, ARGUMENTS)


PICTURES = {
    "format": ("curve.xyz", ValueError, r"a picture file ends in one of .*png.*not .*curve\.xyz"),
    "no-suffix": ("curve", ValueError, r"a picture file ends in one of"),
    "folder": ("none/curve.png", FileNotFoundError, r"cannot write .*curve\.png': there is no folder"),
    "is-folder": ("folder.png", ValueError, r"cannot write .*folder\.png': it is not a file"),
}


@pytest.mark.parametrize(("name", "kind", "said"), PICTURES.values(), ids=PICTURES)
def test_a_picture_that_cannot_be_written_is_refused(name, kind, said, result, tmp_path):
    (tmp_path / "folder.png").mkdir()
    one_error(kind, said, noisysim.load(result).plot, tmp_path / name)


def test_a_result_is_not_saved_where_it_cannot_be(result, tmp_path):
    loaded = noisysim.load(result)
    one_error(FileExistsError, "exists", loaded.save, result)
    one_error(FileNotFoundError, "there is no folder", loaded.save, tmp_path / "none" / "a.h5")
    one_error(ValueError, "it is not a file", loaded.save, tmp_path, overwrite=True)


@pytest.mark.parametrize("given", [{"perturbations": None}, {"outputs": None}, {"weights": 3}])
def test_a_drives_parts_are_lists(given):
    one_error(TypeError, "a drive's perturbations, outputs and weights are lists", Drive, **given)


# --- every argument x every kind of bad value -----------------------------------------------------------------------

MASKED = np.ma.masked_equal(np.array(X[:4]), X[0, 0])


class Calls(np.ndarray):
    """A subclass whose methods must not be called inside a chip."""

    def __getattribute__(self, name):
        if name in ("shape", "reshape", "astype", "size", "flags", "copy"):
            raise AssertionError("called back")
        return super().__getattribute__(name)


BAD = {
    "none": None,
    "text": "a",
    "long": "n" * 100_000,
    "bytes": b"ab",
    "nan": NAN,
    "inf": INF,
    "negative": -1,
    "half": 0.5,
    "zero": 0,
    "large": 10**400,
    "larger": 10**5000,
    "fraction": Fraction(10**400),
    "complex": 1j,
    "true": True,
    "numpy-true": np.True_,
    "object": object(),
    "class": np.ndarray,
    "list": [],
    "nones": [None, None],
    "texts": ["a", "b"],
    "mapping": {},
    "array-empty": np.zeros((0, 6), np.float32),
    "array-flat": np.zeros(6, np.float32),
    "array-scalar": np.array(1.0),
    "array-wide": np.zeros((4, 7), np.float32),
    "array-deep": np.zeros((4, 6, 1, 1), np.float32),
    "array-nan": np.full((4, 6), NAN, np.float32),
    "array-inf": np.full((4, 6), -INF),
    "array-large": np.full((4, 6), 1e300),
    "array-complex": np.ones((4, 6), complex),
    "array-object": np.full((4, 6), None),
    "array-text": np.full((4, 6), "a"),
    "array-time": np.zeros((4, 6), "datetime64[s]"),
    "array-fields": np.zeros((4, 6), "f4,f4"),
    "array-masked": MASKED,
    "arrays-masked": [MASKED, MASKED],
    "arrays-nan": [np.full((5, 6), NAN), np.zeros((3, 5))],
    "arrays-complex": [np.zeros((5, 6), complex), np.zeros((3, 5))],
    "lines-nan": [np.zeros((4, 5)), np.full((4, 3), NAN)],
    "lines-complex": [np.zeros((4, 5), complex), np.zeros((4, 3))],
    "driven-inf": [np.full((4, 6), INF), np.zeros((4, 5))],
}  # fmt: skip
UPDATES = [np.zeros((5, 6), np.float32), np.zeros((3, 5), np.float32)]
LINES = [HIDDEN, OUT]
ASKED_OF_A_CHIP = {
    "forward.x": lambda c, v: c.forward(v),
    "forward.drive": lambda c, v: c.forward(CALM, v),
    "passes.drives": lambda c, v: c.passes(CALM, v),
    "passes.out": lambda c, v: c.passes(CALM, [Drive()], out=v),
    "passes.first_sample": lambda c, v: c.passes(CALM, [Drive()], first_sample=v),
    "passes.training": lambda c, v: c.passes(CALM, [Drive()], training=v),
    "passes.inputs_of": lambda c, v: c.passes(CALM, [Drive()], inputs_of=v),
    "batch.inputs": lambda c, v: c.forward(BATCH._replace(inputs=v)),
    "batch.targets": lambda c, v: c.forward(BATCH._replace(targets=v)),
    "drive.perturbations": lambda c, v: c.forward(CALM, Drive(v)),
    "drive.perturbation": lambda c, v: c.forward(CALM, Drive([v, None])),
    "drive.outputs": lambda c, v: c.forward(CALM, Drive(outputs=v)),
    "drive.output": lambda c, v: c.forward(CALM, Drive(outputs=[v, None])),
    "drive.weights": lambda c, v: c.forward(CALM, Drive(weights=v)),
    "drive.weight": lambda c, v: c.forward(CALM, Drive(weights=[v, None])),
    "drive.output_error": lambda c, v: c.forward(BATCH, Drive(output_error=v)),
    "calibrate.x": lambda c, v: c.calibrate(v),
    "program.updates": lambda c, v: c.program(v),
    "program.update": lambda c, v: c.program([v, UPDATES[1]]),
    "wait.seconds": lambda c, v: c.wait(v),
    "decorrelate.inputs": lambda c, v: c.decorrelate(v, 0.1),
    "decorrelate.input": lambda c, v: c.decorrelate([CALM, v], 0.1),
    "decorrelate.rate": lambda c, v: c.decorrelate([CALM, HIDDEN], v),
    "track.activities": lambda c, v: c.track(v),
    "track.activity": lambda c, v: c.track([HIDDEN, v]),
    "oracle.batch": lambda c, v: c.oracle(v),
}  # fmt: skip


def refused_or_not(call, *others):
    """The one clear error of a call, or ``None`` if it was accepted."""
    error = None
    try:
        call()
    except (TypeError, ValueError, PermissionError, *others) as raised:
        error = raised
    if error is not None:
        text = str(error)
        assert text.isprintable(), text[:400]
        assert 0 < len(text) <= 300, text[:400]
        assert error.__cause__ is None
        assert error.__context__ is None or error.__suppress_context__
    return error


def state_of(chip):
    return {name: value.tobytes() for name, value in snapshot(chip).items()}


@pytest.fixture(scope="module")
def normed():
    """A chip on which every method does something: it decorrelates, normalises, drifts, and follows its peaks."""
    layers = [6, dense(5), batch_norm(), 3]
    return Chip(layers, "pcm:adc_range=0", decorrelate=True, oracle=True)


@pytest.mark.parametrize("asked", ASKED_OF_A_CHIP)
def test_a_chip_refuses_or_takes_every_kind_of_value(asked, normed):
    """One clear error that leaves no trace, or what was asked for: nothing non-finite is ever kept."""
    normed.forward(CALM)
    kept = snapshot(normed)
    taken = []
    for name, value in BAD.items():
        before = state_of(normed)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            error = refused_or_not(lambda value=value: ASKED_OF_A_CHIP[asked](normed, value))
        if error is None:
            taken.append(name)
            for part, array in snapshot(normed).items():
                assert part == "times" or np.isfinite(array).all(), (name, part)
            restore(normed, kept)
        else:
            assert state_of(normed) == before, name
    assert set(taken) == ACCEPTED.get(asked, set())


NOTHING = {"list", "nones", "mapping", "array-empty"}
ACCEPTED = {
    "forward.drive": {"none"},
    "passes.out": {"none"},
    "passes.first_sample": {"zero"},
    "passes.training": {"true", "numpy-true"},
    "drive.perturbations": NOTHING,
    "drive.outputs": NOTHING,
    "drive.weights": NOTHING,
    "drive.perturbation": {"none"},
    "drive.output": {"none"},
    "drive.weight": {"none"},
    "drive.output_error": {"true", "numpy-true"},
    "wait.seconds": {"half", "zero"},
    "oracle.batch": {"none"},
    "decorrelate.rate": {"half", "zero"},
}


def test_subclasses_and_lists_are_made_plain_at_the_door(chip):
    """Nothing of a learner's own classes is called while a chip computes: drives hold NumPy's arrays from the start."""
    pieces = [np.ones((4, 5), np.float32).view(Calls), np.ones((4, 3)).view(Calls)]

    class Parts(list):
        def __iter__(self):
            calls.append("iterated")
            return super().__iter__()

    calls = []
    drive = Drive(Parts(pieces))
    made = len(calls)
    plain = Drive([np.ones((4, 5), np.float32), np.ones((4, 3), np.float32)])
    assert all(type(piece) is np.ndarray for piece in drive.perturbations)
    first = chip.passes(CALM, [drive, plain])[0]
    assert len(calls) == made
    again = Chip(NET, "crossbar").passes(CALM.view(Calls), (plain, drive))[0]
    assert np.array_equal(first.output, again.output)
    chip.program([np.zeros((5, 6)).view(Calls), np.zeros((3, 5)).view(Calls)])
    chip.program([np.zeros((5, 6)).tolist(), np.zeros((3, 5)).tolist()])

    class Own(Drive):
        pass

    one_error(TypeError, "a drive must be a Drive", chip.forward, CALM, Own())


@pytest.mark.parametrize("device", ["ideal", "gaussian", "crossbar", "pulsed", "rpu"])
def test_an_update_that_is_no_number_changes_no_cell(device):
    chip = Chip(NET, device)
    before = state_of(chip)
    for value in (NAN, INF, -INF, 1e300):
        for layer in range(2):
            updates = [np.zeros((5, 6)), np.zeros((3, 5))]
            updates[layer][-1, -1] = value
            one_error(NonFiniteError, "updates hold NaN, infinite or too large values", chip.program, updates)
            with np.errstate(over="ignore"):
                flat = layered.layered(updates)
            one_error(NonFiniteError, "updates hold NaN", chip.program, flat)
    assert state_of(chip) == before


def test_noise_does_not_repeat_within_a_call(chip):
    chip.forward(CALM)
    said = r"first_sample=4294967294: noise would repeat after 4294967296 samples"
    assert unchanged(chip, lambda c: c.passes(CALM, [Drive()], first_sample=2**32 - 2), ValueError, said)
    said = "first_sample must be a whole number from 0 to .*, not 4294967296"
    assert unchanged(chip, lambda c: c.passes(CALM, [Drive()], first_sample=2**32), ValueError, said)
    assert unchanged(chip, lambda c: c.passes(CALM, [Drive()], first_sample=512.5), ValueError, "first_sample must be")


OF_A_CHIP = {
    "layers": set(),
    "device": set(),
    "activation": set(),
    "decorrelate": {"true", "numpy-true"},
    "seed": {"zero", "array-scalar"},
    "backend": set(),
    "bias": {"true", "numpy-true"},
    "inject": set(),
    "oracle": {"true", "numpy-true"},
    "init": {"none"},
    "chips": set(),
}


@pytest.mark.parametrize("argument", OF_A_CHIP)
def test_a_chip_is_made_of_every_kind_of_value_or_refused(argument):
    given = {"layers": NET, "device": "ideal"}
    names = {n for n, v in BAD.items() if refused_or_not(lambda v=v: Chip(**{**given, argument: v})) is None}
    assert names == OF_A_CHIP[argument]


OPTIONAL = {
    "layers", "learning_rate", "learning_rate_decay", "batch_size", "epochs", "oracle", "data", "threads", "out",
    "progress", "until", "schedule", "validation", "decorrelate", "loss", "init", "frozen",
}  # fmt: skip
OF_A_RUN = {
    "layers": {"list", "array-empty"},
    "learning_rate": {"half", "zero"},
    "learning_rate_decay": {"half"},
    "checkpoint_seconds": {"half", "zero"},
    "diagnostics": {"list"},
    "callbacks": {"list"},
    "frozen": {"list", "negative"},  # -1 is the last
    "validation": {"half"},
    "weight_decay": {"half", "zero"},
    "clip": {"half", "zero"},
    "calibration": {"zero"},
    "seed": {"zero"},
    "out": {"text"},
    "until": {"half"},
    **{name: {"true", "numpy-true"} for name in ("bias", "oracle", "overwrite", "progress")},
}


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_a_run_takes_every_kind_of_value_or_refuses_it(argument, idle):
    given = {"task": (X, Y), "layers": [5], "device": "crossbar:controller=copy", "epochs": 1, "progress": False}

    def begun(value):
        with contextlib.suppress(AssertionError):
            noisysim.run(**{**given, argument: value})

    names = {n for n, v in BAD.items() if refused_or_not(lambda v=v: begun(v), OSError) is None}
    assert names == OF_A_RUN.get(argument, set()) | ({"none"} if argument in OPTIONAL else set())
    assert sorted(os.listdir(idle)) == ["folder", "old.h5"]


OF_A_TASK = {"data": {"none", "text", "long"}, "seed": {"zero"}, "standardise_targets": {"none"}, "shift": {"zero"}}


@pytest.mark.parametrize("which", ["spec", "x", "y", "seed", "data", *OwnSettings._fields])
def test_a_task_takes_every_kind_of_value_or_refuses_it(which):
    def made(value):
        x, y = {"x": (value, Y[:4]), "y": (X, value)}.get(which, (X, Y))
        spec = value if which == "spec" else (x, y)
        task = tasks.get(spec, **({} if which in ("spec", "x", "y") else {which: value}))
        for batch in task.batches(4):
            assert np.isfinite(batch.inputs).all()
            assert np.isfinite(batch.targets).all()

    names = {n for n, v in BAD.items() if refused_or_not(lambda v=v: made(v), OSError) is None}
    assert names == OF_A_TASK.get(which, set())


OF_A_TABLE = {
    "test": {"none"},
    "standardise_targets": {"none", "true", "numpy-true"},
    "target": {"zero", "negative", "list"},  # a position, or nothing
    "drop": {"zero", "negative", "list"},
    "encode": {"true", "numpy-true"},
}


@pytest.mark.parametrize("which", ["frame", *TableSettings._fields])
def test_a_table_takes_every_kind_of_value_or_refuses_it(which):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("pqrstu"))

    def made(value):
        target = {} if which == "drop" else {"target": "u"}
        assert tasks.get({"frame": frame, **target, which: value}).n_in

    names = {n for n, v in BAD.items() if refused_or_not(lambda v=v: made(v), OSError) is None}
    assert names == OF_A_TABLE.get(which, set())


FLAGS = {"true", "numpy-true"}
OF_A_STUDY = {
    "retention": {"list", "array-empty", "array-flat"},
    "overwrite": FLAGS,
    "retry": FLAGS,
    "progress": {*FLAGS, "none"},
    "workers": {"none"},
    "threads": {"none"},
    "seed": {"zero"},
    "epochs": {"none", "array-scalar"},
}


@pytest.mark.parametrize("argument", OF_A_STUDY)
def test_a_study_takes_every_kind_of_value_or_refuses_it_before_work(argument, monkeypatch):
    pytest.importorskip("distributed")
    pytest.importorskip("xarray")

    def do(*_):
        raise AssertionError("work was begun")

    monkeypatch.setattr(engine, "_execute", do)

    def begun(value):
        with contextlib.suppress(AssertionError):
            noisysim.sweep((X, Y), **{"layers": [5], "epochs": 1, "seed": range(2), argument: value})

    names = {n for n, v in BAD.items() if refused_or_not(lambda v=v: begun(v), OSError) is None}
    assert names == OF_A_STUDY[argument]


AXES = {
    "empty-field": ({"device": noisysim.grid("crossbar", adc_bits=[])}, "adc_bits is an empty list"),
    "empty-array": ({"device": noisysim.grid("crossbar", adc_bits=np.zeros(0))}, "adc_bits is an empty list"),
    "empty-range": ({"seed": range(0)}, "seed is an empty list: give it one or more values"),
    "endless": ({"seed": range(10**30)}, "seed has more than 1,000,000 values"),
    "many": ({"seed": range(10**4), "epochs": range(1, 1000)}, "1,000,000 runs at most, not 9,990,000"),
}


@pytest.mark.parametrize(("given", "said"), AXES.values(), ids=AXES)
def test_an_axis_has_values(given, said):
    one_error(ValueError, said, Plan, given)


def test_numpys_numbers_keep_their_digits_everywhere(tmp_path):
    """2^53 + 1 is no float: as one, it would be another seed."""
    seed = 2**53 + 1
    for kind in (np.int64, np.uint64, np.array):
        assert Plan({"seed": [kind(seed), 3]}).axes["seed"] == [seed, 3] or kind is np.array
        resolved = noisysim.run((X, Y), layers=np.array([4]), epochs=1, seed=np.int64(seed), bias=np.False_)
        assert resolved.config["seed"] == seed
        assert resolved.config["layers"] == [4]
        outputs = [Chip([6, 3], "gaussian", seed=s).forward(CALM).output for s in (seed, kind(seed), seed - 1)]
        assert np.array_equal(outputs[0], outputs[1])
        assert not np.array_equal(outputs[0], outputs[2])
    assert Plan({"seed": np.array([seed, 3])}).axes["seed"] == [seed, 3]
    assert config.check("", "seed", np.uint64(2**63 - 1), config.declared(config.Config)["seed"]) == 2**63 - 1
    (tmp_path / "run.toml").write_text(f"seed = {seed}\n")
    assert config.read(tmp_path / "run.toml", ARGUMENTS)["seed"] == seed


def test_a_row_of_subnormal_inputs_counts_as_zeros():
    """The inverse of its largest value is infinite; so is a code of an ADC whose range such rows have set."""
    for device in ("crossbar", "crossbar:line_noise=0,read_noise=0,adc_bits=0", "crossbar:iv_curve=1"):
        chip = Chip([3, 2], device)
        for value in (1e-44, 1e-39, 1.2e-38, 1e-36, 1e-31, 1e-29):
            rows = np.array([[value, 0, 0], [1, -1, value]], np.float32)
            output = Chip([3, 2], device).forward(rows).output
            assert np.isfinite(output).all()
            assert np.abs(output[0]).max() < 0.02
        chip.forward(np.full((4, 3), 1e-39, np.float32))
        assert np.isfinite(chip.forward(np.ones((4, 3), np.float32)).output).all()


@pytest.mark.parametrize("way", ["update", "factors"])
def test_a_run_whose_update_is_no_number_has_diverged(way, monkeypatch):
    """Alone it ends; of several chips, and of several seeds, the others go on as if nothing had been."""

    def spoil(self, state, observations, **options):
        found, state = plain(self, state, observations, **options)
        if state.step == 5:
            spoiled = found[0] if way == "update" else found.terms[0].factors
            spoiled.reshape(state.chips, -1)[state.chips - 1, 3] = NAN
        return found, state

    options = {"layers": [5], "epochs": 2, "batch_size": 8, "learner": "danp:sigma=0.1", "progress": False}
    options |= {"clip": 1e9} if way == "update" else {}  # what clips takes arrays
    whole = noisysim.run((X, Y), chips=2, **options)
    plain = getattr(learners.DANP, way)
    monkeypatch.setattr(learners.DANP, way, spoil)
    alone = noisysim.run((X, Y), **options)
    assert alone.status == "diverged"
    assert alone.warnings[0] == "update 5 asked for NaN or infinite values, and was not made"
    both = noisysim.run((X, Y), chips=2, **options)
    assert both.status == "finished"
    assert "of 2 chips these diverged: 1" in both.warnings[0]
    assert np.array_equal(both.history["train_loss"][:, 0], whole.history["train_loss"][:, 0])


@pytest.mark.parametrize("read", [noisysim.load, noisysim.resume, Chip.load, noisysim.Study.load])
@pytest.mark.parametrize("given", [None, 3, ["run.h5"]])
def test_what_is_no_path_is_refused_in_one_line(read, given):
    one_error(TypeError, r"^a (study|(result |chip )?file) must be given by its path, not ", read, given)


def test_a_result_is_not_the_path_of_its_file(tmp_path):
    result = noisysim.run((X, Y), layers=[4], epochs=1, device="ideal", out=tmp_path / "run.h5", progress=False)
    said = r"must be given by its path, not a Result: give that of this one, '.*run.h5'"
    one_error(TypeError, said, noisysim.resume, result, epochs=2)
