"""The trained chip of a run: taken out, asked, aged and tested, from memory and from its file."""

import re
import shutil
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices
from noisysim.runs import storage
from noisysim.runs.scores import scores
from noisysim.tasks import remembered

BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
OLD = Path(__file__).parent / "files" / "version-3.h5"
RNG = np.random.default_rng(3)
X = RNG.normal(size=(240, 6))
WORDS = np.array(["ant", "bee", "cat"])[np.argmax(X[:, :3], axis=1)]
VALUES = 1000 + 50 * X[:, :2] + RNG.normal(size=(240, 2))
SMALL = {"layers": [12], "batch_size": 24, "progress": False, "seed": 2, "learning_rate": 0.01}


def table(path, columns, header=True):
    """A CSV file of columns by name."""
    lines = [",".join(columns)] * header
    lines += [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """A run that learned words from arrays, and its file."""
    path = tmp_path_factory.mktemp("animals") / "run.h5"
    return noisysim.run((X, WORDS), **SMALL, learner="bp", device="crossbar", epochs=20, out=path)


@pytest.fixture(scope="module")
def distances(tmp_path_factory):
    """A run that learned values."""
    path = tmp_path_factory.mktemp("distances") / "run.h5"
    return noisysim.run((X, VALUES), **SMALL, learner="bp", device="crossbar", epochs=40, out=path)


# --- the chip ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["crossbar", "pcm", "rpu"])
@pytest.mark.parametrize("learner", ["danp", "np"])
def test_the_chip_of_a_run_goes_on_where_the_run_left_it(device, learner, tmp_path):
    """A test of the run after no time at all is what the same pass of its chip gives."""
    task = "student-teacher:n_in=6,n_train=40,n_test=10"
    result = noisysim.run(task, layers=[5], epochs=1, device=device, learner=learner, bias=True, progress=False,
                          out=tmp_path / "run.h5")  # fmt: skip
    expected = noisysim.retention(result, [0])["test_loss"][0]
    for one in (result, noisysim.load(tmp_path / "run.h5")):
        assert one.test().loss == pytest.approx(expected, rel=1e-12)
        assert one.chip().cost.as_dict().items() <= result.cost.items()  # which has what stands beside the chip too
        assert one.test().loss == one.test().loss  # each call asks the chip of the run's end


def test_a_chip_is_given_without_the_data_and_shows_weights_if_it_is_asked_to(animals, tmp_path):
    result = noisysim.load(animals.path)
    chip = result.chip(oracle=True)
    assert {name: array.shape for name, array in chip.weights().items()} == {"0.weight": (12, 6), "1.weight": (3, 12)}
    with pytest.raises(PermissionError, match="oracle=True"):
        result.chip().weights()
    chip.save(tmp_path / "chip.h5")
    loaded = Chip.load(tmp_path / "chip.h5", oracle=False)
    np.testing.assert_array_equal(loaded.predict(X.astype(np.float32)), chip.predict(X.astype(np.float32)))
    with pytest.raises(PermissionError, match="oracle=True"):
        loaded.weights()


def test_a_chip_ages_and_is_tested_and_put_under_other_conditions():
    result = noisysim.run("digits", layers=[16], epochs=6, device="pcm", learner="bp", seed=1, progress=False)
    chip, now = result.chip(), result.test().accuracy
    chip.wait(3e7)
    aged = result.test(chip=chip, n_reads=4)
    assert now > 0.8
    assert aged.accuracy < now
    noisy = result.chip().with_device(line_noise=0.5)
    assert result.test(chip=noisy).accuracy < now - 0.1
    passes = noisy.cost.passes
    result.test(chip=noisy, n_reads=3)
    assert noisy.cost.passes == passes + 3  # of a chip that is given, passes count


def test_a_device_of_a_users_own_is_found_by_its_hash_or_given(tmp_path):
    text = (
        "from typing import NamedTuple\n\n\nclass Own(NamedTuple):\n    amplitude: float = 0.05\n\n\n"
        "def readout(i, energy, z, u, d):\n    return i + d.amplitude * z\n"
    )
    place = tmp_path / "own.py"
    place.write_text(text)
    result = noisysim.run((X, WORDS), **SMALL, learner="np", device=f"{place}:amplitude=0.1", epochs=1)
    expected = result.predict(X)
    moved = place.rename(tmp_path / "moved.py")
    with pytest.raises(FileNotFoundError, match=r"own\.py.*moved, give chip=result\.chip\(device='new/place\.py'\)$"):
        result.predict(X)
    with pytest.raises(FileNotFoundError, match=r"own\.py.*moved, say where it is now: device='new/place\.py'$"):
        result.chip()
    with pytest.raises(
        FileNotFoundError, match=r"moved, give init=result\.chip\(device='new/place\.py', oracle=True\)$"
    ):
        Chip([6, 12, 3], "ideal", init=result)
    chip = result.chip(device=moved)
    assert devices.describe(chip.device)["amplitude"] == 0.1
    np.testing.assert_array_equal(result.predict(X, chip=chip), expected)


def test_decorrelated_and_normalised_networks_are_given_back_whole():
    images = RNG.normal(size=(60, 1, 6, 6)).astype(np.float32)
    result = noisysim.run((images, WORDS[:60]), layers=["conv(3, 3)", "batch_norm()", "pool(2)", 5], learner="danp",
                          epochs=2, batch_size=20, progress=False, bias=True)  # fmt: skip
    expected = noisysim.retention(result, [0], task=(images, WORDS[:60]))["test_accuracy"][0]
    assert result.test((images, WORDS[:60])).samples == 60
    rows = noisysim.tasks.get((images, WORDS[:60])).test
    assert result.test((rows.inputs, np.array(["ant", "bee", "cat"])[rows.targets])).accuracy == expected


# --- predictions ------------------------------------------------------------------------------------------------------


def test_labels_are_the_users_own(animals):
    named = animals.predict(X, n_reads=4)
    assert named.dtype.kind == "U"
    assert set(named) == {"ant", "bee", "cat"}
    assert (named == WORDS).mean() > 0.9
    shares = animals.predict(X, n_reads=4, proba=True)
    assert shares.shape == (240, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(np.array(["ant", "bee", "cat"])[shares.argmax(axis=1)], named)
    np.testing.assert_array_equal(noisysim.load(animals.path).predict(X, n_reads=4), named)


@pytest.mark.parametrize("far", [0.0, 1e7])
def test_values_are_in_their_own_units(far):
    result = noisysim.run((X + far, VALUES + far), **SMALL, learner="bp", device="ideal", epochs=60)
    predicted = result.predict(X + far)
    assert predicted.shape == VALUES.shape
    assert predicted.dtype == np.float64
    assert np.abs(predicted - (VALUES + far)).mean() < 15  # of values 1000 +- 50
    scored = result.test((X + far, VALUES + far))
    r2 = 1 - ((predicted - far - VALUES) ** 2).sum(axis=0) / ((VALUES - VALUES.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(scored.r2_by_output, r2, rtol=1e-3)
    assert scored.r2 == pytest.approx(r2.mean(), abs=0.01)  # standardised, the two vary alike
    assert scored.r2 > 0.9
    assert np.isnan(scored.accuracy)


@pytest.mark.parametrize("backend", BACKENDS)
def test_several_chips_have_an_axis_of_their_own(backend):
    result = noisysim.run((X, WORDS), **SMALL, learner="np", device="crossbar", epochs=2, chips=2, backend=backend)
    named, scored = result.predict(X), result.test((X, WORDS))
    assert named.shape == (2, 240)
    assert (named[0] != named[1]).any()
    assert scored.loss.shape == scored.accuracy.shape == (2,)
    assert scored.confusion.shape == (2, 3, 3)
    np.testing.assert_allclose(scored.accuracy, (named == WORDS).mean(axis=1))
    assert result.chip().chips == 2
    assert "+-" in repr(scored)


@pytest.mark.gpu
def test_a_chip_of_a_gpu_is_given_on_the_cpu():
    result = noisysim.run((X, WORDS), **SMALL, learner="bp", device="ideal", epochs=5, backend="cuda")
    on_gpu, on_cpu = result.chip(oracle=True), result.chip(oracle=True, backend="cpu")
    assert (on_gpu.backend, on_cpu.backend) == ("cuda", "cpu")
    for name, array in on_gpu.weights().items():
        np.testing.assert_array_equal(array, on_cpu.weights()[name])
    np.testing.assert_allclose(on_gpu.predict(X), on_cpu.predict(X), atol=1e-4)
    assert (result.predict(X) == result.predict(X, chip=on_cpu)).mean() > 0.99


def test_files_hold_samples(animals, tmp_path):
    expected = animals.predict(X)
    np.save(tmp_path / "x.npy", X)
    np.savez(tmp_path / "x.npz", x=X, y=WORDS)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x_test"], file["other"] = X, [1.0]
    table(tmp_path / "x.csv", {f"c{k}": X[:, k] for k in range(6)})
    table(tmp_path / "bare.csv", {f"c{k}": X[:, k] for k in range(6)}, header=False)
    for name in ("x.npy", "x.npz", "x.h5", "x.csv", "bare.csv"):
        np.testing.assert_array_equal(animals.predict(tmp_path / name), expected)


def test_a_table_is_asked_and_tested_by_the_names_of_its_columns(tmp_path):
    columns = {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "kind": WORDS}
    learned = table(tmp_path / "learned.csv", columns)
    result = noisysim.run(f"{learned}:target=kind", **SMALL, learner="bp", device="crossbar", epochs=20)
    turned = {name: columns[name][::-1] for name in ("kind", "c", "a", "b")}
    other = table(tmp_path / "other.csv", turned)
    expected = result.predict(np.stack([columns[name] for name in "abc"], axis=1)[::-1])
    np.testing.assert_array_equal(result.predict(other), expected)
    scored = result.test(other)
    assert scored.samples == 240
    assert scored.accuracy == pytest.approx((expected == WORDS[::-1]).mean())
    own = result.test()
    assert own.samples == 48
    learned.unlink()
    np.testing.assert_array_equal(result.predict(other), expected)  # without the data
    with pytest.raises(FileNotFoundError, match=r"learned\.csv"):
        result.test()


def test_another_task_is_tested_by_what_the_run_learned_to_standardise_by(animals):
    shifted = noisysim.tasks.get((X + 10, WORDS, X[:50] + 10, WORDS[:50]))  # standardised by itself it is the same
    assert animals.test(shifted).accuracy < animals.test((X[:50], WORDS[:50])).accuracy
    pair = noisysim.tasks.get((X, WORDS, X[:50], WORDS[:50]))
    assert animals.test(pair).accuracy == animals.test((X[:50], WORDS[:50])).accuracy
    assert animals.test((X, WORDS, X[:50], WORDS[:50])).samples == 50


GREY, COLOUR = RNG.normal(size=(60, 5, 5)), RNG.normal(size=(60, 3, 5, 5))


@pytest.mark.parametrize("shape", [(5, 5), (1, 5, 5)])
def test_the_one_channel_of_grey_images_may_be_there_or_not(shape):
    learned = GREY.reshape(60, *shape)
    result = noisysim.run((learned, WORDS[:60], learned, WORDS[:60]), **SMALL, learner="np", epochs=1)
    expected = result.predict(GREY.reshape(60, 25))
    for given in ((5, 5), (1, 5, 5), (5, 5, 1)):
        np.testing.assert_array_equal(result.predict(GREY.reshape(60, *given)), expected)
    for wrong in ((5, 1, 4), (2, 5, 5), (5, 5, 2), (5, 4)):
        size = int(np.prod(wrong))
        said = re.escape(f"a sample of x is {wrong}, one of task 'arrays' is {shape}")
        with pytest.raises(ValueError, match=said):
            result.predict(np.zeros((6, size)).reshape(6, *wrong))


@pytest.mark.parametrize("last", [False, True])
def test_messages_name_the_shapes_of_images_as_they_were_given(last):
    learned = np.moveaxis(COLOUR, 1, 3) if last else COLOUR
    task = noisysim.tasks.get((learned, WORDS[:60], learned, WORDS[:60]), axes="nhwc" if last else "nchw")
    result = noisysim.run(task, **SMALL, learner="np", epochs=1)
    assert result.predict(learned).shape == (60,)
    for wrong in ((5, 5, 4), (4, 5, 5)):
        with pytest.raises(ValueError, match=re.escape(f"x is {wrong}, one of task 'arrays' is (3, 5, 5)")):
            result.predict(np.zeros((6, *wrong)))


UNITS = {
    "fractions": (lambda x: x / 255, "vary 0.00.* times as much as the data that the run learned"),
    "one-fraction": (lambda x: x[:1] / 255, "vary 0.00.* times as much"),
    "far": (lambda x: x * 255, "lie .* times as far from the mean of the data that the run learned as those did"),
    "shifted": (lambda x: x + 1e5, "lie .* times as far from the mean"),
}


@pytest.mark.parametrize("how", ["global", "feature", "unit"])
@pytest.mark.parametrize(("change", "said"), UNITS.values(), ids=UNITS)
def test_inputs_in_other_units_are_warned_about(how, change, said):
    task = noisysim.tasks.get("digits", standardise=how)
    result = noisysim.run(task, layers=[8], epochs=1, progress=False)
    x = task.test.inputs.astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for like in (x, x[:1], x[7:20], np.zeros_like(x[:1])):
            result.predict(like)
        result.test()
        if how == "feature" and len(change(x)) == 1:  # of which nothing can be said
            result.predict(change(x))
            return
    with pytest.warns(RuntimeWarning, match=f"the inputs {said}.*: give them in the units of those data") as caught:
        result.predict(change(x))
    assert caught[0].filename == __file__


def test_inputs_that_were_not_standardised_are_of_any_size():
    result = noisysim.run("digits:standardise=none", layers=[8], epochs=1, progress=False)
    x = noisysim.tasks.get("digits").test.inputs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result.predict(1e6 * x)


def test_a_batch_is_standardised_already(animals):
    batch = noisysim.tasks.get((X, WORDS)).batch("test", slice(0, 9))
    np.testing.assert_array_equal(animals.chip().predict(batch), animals.chip().predict(batch.inputs))
    calibrated = [Chip([6, 3], "crossbar", seed=1) for _ in range(2)]
    calibrated[0].calibrate(batch)
    calibrated[1].calibrate(batch.inputs)
    assert calibrated[0].converter_steps == calibrated[1].converter_steps
    with pytest.raises(TypeError, match=r"x is a task's batch, which is standardised already: give result\.chip\(\)"):
        animals.predict(batch)


def absolute(output, targets):
    return np.abs(output.astype(float) - targets).sum(axis=1)


def squared(output, targets):
    return np.square(output.astype(float) - targets).sum(axis=1)


def test_a_loss_that_is_given_again_is_the_runs(distances, animals, tmp_path):
    path = tmp_path / "own.h5"
    noisysim.run((X, VALUES), **SMALL, learner="np", epochs=1, loss=absolute, out=path)
    own = noisysim.load(path)
    assert own.test((X, VALUES), loss=absolute).samples == 240
    for loss in (squared, "mse"):
        with pytest.raises(ValueError, match="the run's loss is 'absolute', another one than given: "):
            own.test((X, VALUES), loss=loss)
    assert distances.test((X, VALUES), loss="mse").loss == distances.test((X, VALUES)).loss
    with pytest.raises(ValueError, match="the run's loss is 'mse', another one than given: 'cce'"):
        distances.test((X, VALUES), loss="cce")
    with pytest.raises(ValueError, match="the run's loss is 'cce', another one than given: "):
        animals.test((X, WORDS), loss=absolute)


# --- older files, and mistakes ----------------------------------------------------------------------------------------


def test_a_file_that_did_not_keep_the_standardisation_finds_it_in_the_data(animals, tmp_path):
    old = noisysim.load(OLD)
    x = noisysim.tasks.get("student-teacher:n_in=6,n_train=40,n_test=10,n_out=3", seed=old.config["seed"]).test.inputs
    assert old.predict(x).shape == (10, 3)
    assert old.test().loss == pytest.approx(noisysim.retention(old, [0], allow_other_source=True)["test_loss"][0])
    path = shutil.copy(animals.path, tmp_path / "run.h5")
    with h5py.File(path, "r+") as file:
        del file["state/task"]
    stripped = noisysim.load(path)
    with pytest.raises(ValueError, match=r"did not keep how its task standardises: give the run's data again, task="):
        stripped.predict(X)
    np.testing.assert_array_equal(stripped.predict(X, task=(X, WORDS)), animals.predict(X))
    with pytest.raises(ValueError, match="was learning other data"):
        stripped.predict(X, task=(X + 1, WORDS))


WRONG = {
    "columns": (lambda r: r.predict(X[:, :5]), ValueError, r"a sample of x is \(5,\), one of task 'arrays' is \(6,\)"),
    "one-sample": (lambda r: r.predict(X[0]), ValueError, r"not \(6,\); one sample alone is x\[None\]$"),
    "nan": (lambda r: r.predict(np.where(X > 2, np.nan, X)), ValueError, "x holds NaN"),
    "text": (lambda r: r.predict([["a"] * 6]), TypeError, "x must hold real numbers"),
    "no-file": (lambda r: r.predict("none.csv"), FileNotFoundError, r"no file 'none\.csv'"),
    "no-samples": (lambda r: r.predict("picture.png"), ValueError, r"samples must be in a file \.csv.*not 'picture"),
    "reads": (lambda r: r.predict(X, n_reads=0), ValueError, "n_reads must be a whole number from 1"),
    "proba": (lambda r: r.predict(X, proba=1), TypeError, "proba must be True or False"),
    "no-chip": (lambda r: r.predict(X, chip="pcm"), TypeError, r"chip must be a noisysim.Chip, such as result.chip"),
    "other-chip": (lambda r: r.test((X, WORDS), chip=Chip([5, 3])), ValueError, "the chip has 5 inputs and 3 outputs"),
    "label": (lambda r: r.test((X, np.where(WORDS == "cat", "dog", WORDS))), ValueError, "y holds the label 'dog'"),
    "lengths": (lambda r: r.test((X, WORDS[:9])), ValueError, "x has 240 samples, y has 9"),
    "three": (lambda r: r.test((X, WORDS, X)), ValueError, r"test needs arrays \(x, y\).*not 3 of them"),
    "values": (lambda r: r.test((X, VALUES)), ValueError, "y must hold labels"),
    "regression": (
        lambda r: r.test("student-teacher:n_in=6,n_train=40,n_test=10"), ValueError,
        "learned a classification, and task 'student-teacher' is a regression",
    ),
    "task": (lambda r: r.test("digit"), ValueError, "unknown task 'digit'; did you mean 'digits'"),
    "no-data": (lambda r: r.test(), ValueError, "arrays that its file does not hold: give samples"),
    "oracle": (lambda r: r.chip(oracle="yes"), TypeError, "oracle must be True or False"),
    "backend": (lambda r: r.chip(backend="gpu"), ValueError, "unknown backend 'gpu'"),
    "device": (lambda r: r.chip(device="pcm"), ValueError, "has no field"),
}  # fmt: skip


def test_the_split_that_a_run_of_arrays_kept_is_made_again_by_its_seed(animals):
    """As the message of a test without data says."""
    with pytest.raises(ValueError, match="its test split is that of") as refused:
        animals.test()
    said = re.search(r"noisysim\.tasks\.get\(\(x, y\), seed=\d+\)", str(refused.value))[0]
    task = eval(said, {"noisysim": noisysim, "x": X, "y": WORDS})
    assert task.crc32 == animals.config["task"]["crc32"]
    scores = animals.test(task)
    assert scores.confusion.sum() == task.n_test
    np.testing.assert_array_equal(scores.confusion.sum(axis=1), np.bincount(task.test.targets))


@pytest.mark.parametrize(("call", "kind", "said"), WRONG.values(), ids=WRONG)
def test_mistakes_are_one_clear_error(animals, call, kind, said):
    with pytest.raises(kind, match=said) as caught:
        call(animals)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


def test_probabilities_are_of_cross_entropy_alone(distances):
    with pytest.raises(ValueError, match="proba=True needs a classification with the loss 'cce'"):
        distances.predict(X, proba=True)


def test_runs_side_by_side_hold_no_chip():
    from noisysim.runs.side_by_side import run_side_by_side

    first, _ = run_side_by_side([0, 1], task=(X, WORDS, X, WORDS), layers=[12], learner="np", epochs=1, progress=False)
    with pytest.raises(ValueError, match="holds no state of its chip: runs side by side do not keep it"):
        first.predict(X)


# --- scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_their_definition():
    task = noisysim.tasks.get((X, WORDS))
    outputs = RNG.normal(size=(2, 50, 3)).astype(np.float32)
    truth = RNG.integers(0, 3, 50)
    scored = scores(task, outputs, np.eye(3, dtype=np.float32)[truth])
    for k, of_chip in enumerate(outputs):
        named = of_chip.argmax(axis=1)
        counts = np.zeros((3, 3), int)
        for a, b in zip(truth, named, strict=True):
            counts[a, b] += 1
        np.testing.assert_array_equal(scored.confusion[k], counts)
        assert scored.accuracy[k] == pytest.approx(np.mean(named == truth))
        logs = of_chip - np.log(np.exp(of_chip.astype(float)).sum(axis=1, keepdims=True))
        assert scored.loss[k] == pytest.approx(-logs[np.arange(50), truth].mean(), rel=1e-5)
    assert scored.classes == ("ant", "bee", "cat")
    lines = repr(scored).splitlines()
    assert lines[2].split() == ["true", "ant", "bee", "cat", "right"]
    assert [line.split()[0] for line in lines[3:]] == ["ant", "bee", "cat"]


def test_outputs_that_never_vary_have_no_r2():
    values = VALUES.copy()
    values[:, 1] = 7.0
    task = noisysim.tasks.get((X, values))
    targets = task.batch("train", slice(None)).targets
    scored = scores(task, targets[None], targets)
    assert scored.r2_by_output[0] == 1
    assert np.isnan(scored.r2_by_output[1])
    assert scored.r2 == 1
    missed = scores(task, targets[None] + 1, targets)  # of each sample 1 is missed in both
    assert missed.r2 == pytest.approx(1 - 2 * len(targets) / ((targets - targets.mean(axis=0)) ** 2).sum())


def test_many_classes_are_summed_up():
    labels = np.arange(200) % 40
    task = noisysim.tasks.get((RNG.normal(size=(200, 4)), labels))
    targets = np.eye(40, dtype=np.float32)[labels]
    text = repr(scores(task, np.roll(targets, 1, axis=1)[None], targets))
    assert "40 classes; commonest confusions:" in text
    assert text.count("named") == 5


def test_what_is_kept_of_a_task_stands_for_it():
    task = noisysim.tasks.get((X + 1e7, VALUES))
    kept = remembered.recalled(task.describe(), remembered.arrays(task))
    assert (kept.n_in, kept.n_out, kept.loss, kept.classification) == (6, 2, "mse", False)
    origin = 0.0 if task.origins[1] is None else task.origins[1]
    standardised = task.batch("test", slice(None)).targets
    np.testing.assert_allclose(remembered.in_units(kept, standardised), task.test.targets + origin, rtol=1e-6)
    stored = {**remembered.arrays(task), "affine": np.zeros((2, 5))}
    with pytest.raises(ValueError, match=r"no affine of the shape \(2, 6\)"):
        remembered.recalled(task.describe(), stored)
    assert "state/task" in storage.schema._STATE
