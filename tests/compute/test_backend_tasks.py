"""Batches where chips compute, for one chip and for several, against those of the task.

The half about GPUs runs on one, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

import numpy as np
import pytest

from noisysim.common.plain_arrays import NonFiniteError
from noisysim.compute import backends, seeding
from noisysim.tasks import feed
from noisysim.tasks.base import Split, Task
from noisysim.tasks.feed import Feed
from noisysim.tasks.noise import InputNoise

PLACES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
N_IN, N_OUT = 5, 3


def data_of(kind, n, rng):
    """A split: what the inputs are, and what the targets."""
    inputs, targets = kind
    x = rng.integers(0, 256, (n, N_IN)).astype(np.uint8) if inputs == "bytes" else rng.normal(1, 3, (n, N_IN))
    x = x if inputs == "bytes" else x.astype(np.float32)
    if targets == "labels":
        return Split(x, rng.integers(0, N_OUT, n))
    return Split(x, x if targets == "inputs" else rng.normal(2, 3, (n, N_OUT)).astype(np.float32))


def a_task(kind, noise=0.0):
    """A task of 11 and 4 samples."""
    rng = np.random.default_rng(5)
    train, test = (data_of(kind, n, rng) for n in (11, 4))
    n_out = N_IN if kind[1] == "inputs" else N_OUT
    affine, target_affine = (rng.uniform(0.1, 2, (2, n)).astype(np.float32) for n in (N_IN, n_out))
    return Task(
        name="made", train=train, test=test, loss="cce" if kind[1] == "labels" else "mse", n_out=n_out, settings={},
        affine=affine, target_affine=target_affine, defaults={},
        noise=InputNoise(noise, seeding.key(3, "task/inputs")) if noise else None,
    )  # fmt: skip


def a_feed(task, name, chips, monkeypatch, kept=True):
    """A feed; the GPU has room for its data, or it has not."""
    monkeypatch.setattr(feed, "free_bytes", lambda xp: 1e9 if kept else 0)
    return Feed(task, name, chips)


def given(batch, name):
    """Inputs and targets of a batch, which lie where they should."""
    place = backends.get(name)
    assert all(type(a) is place.xp.ndarray and a.dtype == np.float32 for a in batch[:2])
    return [place.take(a) for a in batch[:2]]


KINDS = [("bytes", "labels"), ("numbers", "labels"), ("bytes", "inputs"), ("numbers", "values")]
ROWS = [slice(0, 4), np.array([10, 0, 3, 3]), slice(8, None), [-1, 2]]  # the third is a short last batch


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "sent"])
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
@pytest.mark.parametrize("name", PLACES)
def test_batches_are_the_tasks(name, kind, chips, kept, monkeypatch):
    task = a_task(kind)
    one = a_feed(task, name, chips, monkeypatch, kept)
    for split, rows in [*(("train", rows) for rows in ROWS), ("test", slice(None)), ("test", [-4, 3])]:
        batch, expected = one.batch(split, rows), task.batch(split, rows)
        assert batch.loss is expected.loss
        for found, array in zip(given(batch, name), expected[:2], strict=True):
            np.testing.assert_array_equal(found, np.tile(array, (chips, 1)))


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "sent"])
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("name", PLACES)
def test_noise_is_the_tasks(name, chips, kept, monkeypatch):
    task, clean = a_task(("bytes", "inputs"), noise=0.5), a_task(("bytes", "inputs"))
    one = a_feed(task, name, chips, monkeypatch, kept)
    for epoch, rows in [(0, slice(0, 4)), (2, [7, -1, 0])]:
        inputs, targets = given(one.batch("train", rows, epoch), name)
        expected, without = task.batch("train", rows, epoch=epoch), clean.batch("train", rows)
        # of sums: what rounding one of them does to the noise depends on the input's size
        scale = np.abs(without.inputs).max()
        np.testing.assert_allclose(inputs, np.tile(expected.inputs, (chips, 1)), rtol=0, atol=1e-6 * scale)
        np.testing.assert_array_equal(targets, np.tile(expected.targets, (chips, 1)))
        assert np.abs(inputs[: len(expected.inputs)] - without.inputs).min() > 1e-3
    tested = given(one.batch("test", slice(0, 2), 2), name)
    np.testing.assert_array_equal(tested[0], np.tile(task.batch("test", slice(0, 2)).inputs, (chips, 1)))


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "sent"])
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("name", PLACES)
def test_arrays_are_used_again_or_not(name, chips, kept, monkeypatch):
    task = a_task(("bytes", "labels"))
    one = a_feed(task, name, chips, monkeypatch, kept)
    first = one.batch("train", slice(0, 3))
    own = one.batch("train", slice(4, 7), reuse=False)
    assert own.inputs is not first.inputs
    kept_inputs = given(own, name)[0].copy()
    again = one.batch("train", slice(8, 11))
    assert again.inputs is first.inputs
    assert again.targets is first.targets
    np.testing.assert_array_equal(given(first, name)[0][:3], task.batch("train", slice(8, 11)).inputs)
    np.testing.assert_array_equal(given(own, name)[0], kept_inputs)
    np.testing.assert_array_equal(kept_inputs[:3], task.batch("train", slice(4, 7)).inputs)


ORDER = np.random.default_rng(1).permutation(11)


@pytest.mark.covering(2)  # a batch is cut where its size meets a limit; chips repeat rows, whatever the cut
@pytest.mark.parametrize("most", [(0, 64), (17, 64), (1 << 16, 3), (1 << 16, 64)], ids=str)
@pytest.mark.parametrize("size", [1, 2, 4, 11, 30])
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("name", PLACES)
def test_batches_that_are_gathered_together_are_those_of_each_step(name, chips, size, most, monkeypatch):
    """From the start of an epoch and from later on, with the noise of the epoch, the same rows for all chips or not."""
    monkeypatch.setattr(feed, "AT_ONCE", most[0])
    monkeypatch.setattr(feed, "BATCHES", most[1])
    for kind, noise in ((("bytes", "labels"), 0.0), (("numbers", "values"), 0.5)):
        task = a_task(kind, noise)
        one, each = (a_feed(task, name, chips, monkeypatch) for _ in range(2))
        for rows in (ORDER, np.stack([np.roll(ORDER, k) for k in range(chips)])):
            for first in (0, 1, 2):
                step = first
                for several in one.batches("train", rows, size, first, epoch=2):
                    for batch in several.parts:
                        expected = each.batch("train", rows[..., step * size : (step + 1) * size], epoch=2)
                        assert batch.loss is expected.loss
                        for array, other in zip(given(batch, name), given(expected, name), strict=True):
                            np.testing.assert_array_equal(array, other)
                        step += 1
                    some = several.some(len(several.parts) - 1, 1)
                    np.testing.assert_array_equal(*(one_of.inputs for one_of in (some, several.parts[-1])))
                assert step == max(-(-11 // size), first)


def test_inputs_that_are_non_finite_once_standardised_are_refused_before_they_are_learned_from():
    task = a_task(("numbers", "labels"))
    task.train.inputs[ORDER[5], 2] = 3e38
    task.affine[1] = 10
    for size in (1, 4, 30):
        with pytest.raises(NonFiniteError, match="inputs hold NaN, infinite or too large values"):
            list(Feed(task).batches("train", ORDER, size))


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "sent"])
@pytest.mark.parametrize("name", PLACES)
def test_rows_are_checked(name, kept, monkeypatch):
    one = a_feed(a_task(("bytes", "labels"), noise=0.1), name, 2, monkeypatch, kept)
    for rows, row in (([0, 11], 11), ([3, 2, -12], -12)):
        with pytest.raises(IndexError, match=f"row {row} is outside the train split of 11 samples"):
            one.batch("train", rows)
    with pytest.raises(IndexError, match="row 4 is outside the test split of 4 samples"):
        one.batch("test", np.array([4]))
    with pytest.raises(ValueError, match="at least one row of the train split"):
        one.batch("train", slice(3, 3))
    with pytest.raises(TypeError, match="rows must be"):
        one.batch("train", [0.5])
    with pytest.raises(ValueError, match="tests"):
        one.batch("tests", [0])
    with pytest.raises(ValueError, match="epoch must be"):
        one.batch("train", [0], epoch=-1)


@pytest.mark.gpu
def test_data_go_to_the_gpu_once(monkeypatch):
    """Later batches send the numbers of rows alone; of a task whose targets are its inputs one copy is kept."""
    task, sent = a_task(("bytes", "inputs"), noise=0.1), []
    one, there = a_feed(task, "cuda", 3, monkeypatch), backends.get("cuda")
    one.batch("train", slice(0, 4))
    data = one._data["train"]
    assert data.inputs is data.targets
    assert data.inputs.dtype == np.uint8
    put = there.put
    monkeypatch.setattr(there, "put", lambda array: sent.append(array.nbytes) or put(array))
    one.batch("train", slice(4, 8))
    assert sent == [4 * 8]
