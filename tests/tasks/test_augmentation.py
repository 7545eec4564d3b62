"""Images that are shifted and mirrored at random, anew each epoch."""

import pickle

import numpy as np
import pytest
from scipy.stats import chi2

import noisysim
from noisysim.compute import backends
from noisysim.tasks.feed import Feed

PLACES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
RNG = np.random.default_rng(3)
COLOURS = RNG.integers(1, 256, (40, 3, 6, 5)).astype(np.uint8)
LABELS = np.arange(40) % 2


def colours(x=COLOURS, **settings):
    """A task of colour images, with a fixed split."""
    return noisysim.tasks.get((x, LABELS[: len(x)], x[:8], LABELS[:8]), **settings)


def moved(image, down, right, turned):
    """An image, (channels, rows, columns), moved by slices of a larger one."""
    channels, rows, columns = image.shape
    larger = np.zeros((channels, 3 * rows, 3 * columns), image.dtype)
    larger[:, rows : 2 * rows, columns : 2 * columns] = image
    out = larger[:, rows - down : 2 * rows - down, columns - right : 2 * columns - right]
    return larger[:, rows - down : 2 * rows - down, columns + right : 2 * columns + right][..., ::-1] if turned else out


def standardised(task, images):
    """Images as a pass gets them."""
    return (images.reshape(len(images), -1).astype(np.float32) - task.affine[0]) * task.affine[1]


def defined(images, kind):
    """What standardises images as `images` are, in float64, whatever they are kept as."""
    flat = np.asarray(images, np.float64).reshape(len(images), -1)
    axis = {"global": None, "feature": 0}.get(kind)
    mean, deviation = (0.0, 1.0) if kind == "none" else (flat.mean(axis), flat.std(axis))
    return lambda given: (np.asarray(given, np.float64).reshape(len(given), -1) - mean) / deviation


def found_in(task, images, batch, most, standardise=None):
    """How each image of a batch was moved: (down, right, mirrored)."""
    standardise = standardise or (lambda given: standardised(task, given))
    choices = [(d, r, m) for d in range(-most, most + 1) for r in range(-most, most + 1) for m in (False, True)]
    moves = []
    for image, values in zip(images, batch.inputs, strict=True):
        candidates = standardise(np.stack([moved(image, *choice) for choice in choices]))
        errors = (abs(candidates - values) / (1 + abs(candidates))).max(axis=1)
        assert errors.min() < 1e-5, "an image that is none of the moved ones"
        moves.append(choices[int(errors.argmin())])
    return np.array(moves, int)


@pytest.mark.parametrize("standardise", ["global", "feature", "none"])
@pytest.mark.parametrize("kind", ["bytes", "numbers", "far"])
def test_an_augmented_image_is_the_image_moved(kind, standardise):
    """By the definition in float64; far from 0 fractions are lost unless something is taken off; black is far."""
    x = COLOURS if kind == "bytes" else COLOURS / 7.0 + (1e7 if kind == "far" else 0)
    task, plain = colours(x, shift=2, mirror=True, standardise=standardise), colours(x, standardise=standardise)
    batch = task.batch("train", slice(None), epoch=1)
    np.testing.assert_allclose(task.affine[1], plain.affine[1], rtol=1e-6)
    np.testing.assert_array_equal(batch.targets, plain.batch("train", slice(None)).targets)
    kept = np.asarray(x, np.float32) if standardise == "none" else x  # nothing is taken off there
    moves = found_in(task, kept, batch, 2, defined(x, standardise))
    assert len({tuple(move) for move in moves}) > 15


def test_only_what_is_trained_on_is_augmented():
    task, plain = colours(shift=3, mirror=True), colours()
    for split in ("test", "validation"):
        np.testing.assert_array_equal(task.batch(split, slice(None)).inputs, plain.batch(split, slice(None)).inputs)
    assert (task.batch("train", slice(None)).inputs != plain.batch("train", slice(None)).inputs).mean() > 0.5


def test_shifts_are_uniform_and_every_other_image_is_mirrored():
    task = noisysim.tasks.get((COLOURS, LABELS, COLOURS, LABELS), shift=1, mirror=True)
    moves = np.concatenate([found_in(task, COLOURS, task.batch("train", slice(None), epoch=e), 1) for e in range(25)])
    counts = np.zeros((3, 3, 2))
    np.add.at(counts, (moves[:, 0] + 1, moves[:, 1] + 1, moves[:, 2]), 1)
    expected = len(moves) / counts.size
    # 18 equally likely moves of 1,000 images; significance 1e-4
    assert chi2.sf(((counts - expected) ** 2 / expected).sum(), counts.size - 1) > 1e-4


@pytest.mark.parametrize("settings", [{"shift": 2}, {"mirror": True}])
def test_each_can_be_asked_for_alone(settings):
    task = colours(**settings)
    moves = found_in(task, COLOURS, task.batch("train", slice(None)), settings.get("shift", 0))
    assert moves[:, :2].any() == ("shift" in settings)
    assert moves[:, 2].any() == ("mirror" in settings)


def test_it_is_a_pure_function_of_seed_epoch_and_row():
    task = noisysim.tasks.get("digits:shift=2,mirror=True", seed=4)
    whole = task.batch("train", slice(None), epoch=2).inputs
    for rows in (np.array([7, 1000, 3]), np.array([3, 7, -437])):
        np.testing.assert_array_equal(task.batch("train", rows, epoch=2).inputs, whole[rows])
    again = noisysim.tasks.get("digits:shift=2,mirror=True", seed=4)
    np.testing.assert_array_equal(again.batch("train", slice(None), epoch=2).inputs, whole)
    copy = pickle.loads(pickle.dumps(task))
    np.testing.assert_array_equal(copy.batch("train", slice(0, 9), epoch=2).inputs, whole[:9])
    other = noisysim.tasks.get("digits:shift=2,mirror=True", seed=5)
    for one in (task.batch("train", slice(None), epoch=3), other.batch("train", slice(None), epoch=2)):
        assert (one.inputs != whole).any(axis=1).mean() > 0.9
    assert task.crc32 != other.crc32, "a resumed run finds the same"
    assert task.describe()["settings"]["shift"] == 2


@pytest.mark.parametrize("name", ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet"])
def test_all_image_sets_take_it(name):
    declared = noisysim.tasks.settings(name)
    assert declared._field_defaults["shift"] == 0
    assert declared._field_defaults["mirror"] is False


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"shift": -1}, r"shift must be"), ({"shift": 1.5}, r"shift must be a whole number"),
        ({"shift": 256}, r"shift must be"), ({"mirror": "yes"}, r"mirror must be True or False"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for_is_said(settings, said):
    with pytest.raises((TypeError, ValueError), match=said):
        colours(**settings)


def test_inputs_that_are_no_images_are_refused():
    with pytest.raises(ValueError, match=r"shift and mirror are for images, but a sample is \(90,\)"):
        colours(COLOURS.reshape(40, -1), shift=1)


@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("name", PLACES)
def test_every_backend_is_given_the_same(name, chips):
    task = colours(shift=2, mirror=True)
    fed = Feed(task, name, chips)
    for split, rows in [("train", np.arange(9)), ("train", np.array([3, 39, 3])), ("test", slice(0, 4))]:
        found, expected = fed.batch(split, rows, epoch=2), task.batch(split, rows, epoch=2)
        inputs = backends.get(name).take(found.inputs)
        np.testing.assert_array_equal(inputs, np.tile(expected.inputs, (chips, 1)))


def test_a_resumed_run_goes_on_with_the_images_it_would_have_had(tmp_path):
    how = {"layers": [12], "device": "crossbar", "batch_size": 100, "progress": False, "seed": 3}
    whole = noisysim.run("digits:shift=1,mirror=True", epochs=3, **how)
    noisysim.run("digits:shift=1,mirror=True", epochs=1, out=tmp_path / "a.h5", **how)
    resumed = noisysim.resume(tmp_path / "a.h5", epochs=3, progress=False)
    np.testing.assert_array_equal(resumed.history["train_loss"], whole.history["train_loss"])
    plain = noisysim.run("digits", epochs=3, **how)
    assert (plain.history["train_loss"] != whole.history["train_loss"]).all()
