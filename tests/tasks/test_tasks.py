"""Tasks: what the loaders accept and refuse, and what a batch holds. Files are tiny, in their official formats."""

import contextlib
import copy
import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from noisysim import tasks
from noisysim.common.fields import declared
from noisysim.compute import losses
from noisysim.compute.observation import Batch
from noisysim.tasks import sarcos, sources, standard
from noisysim.tasks.base import Split, make
from noisysim.tasks.image_sets import cifar, idx, tiny_imagenet
from noisysim.tasks.images import ImageSettings
from noisysim.tasks.rows import permutation

REAL = os.environ.get("NOISYSIM_DATA")


@pytest.fixture(autouse=True)
def isolated(tmp_path_factory, monkeypatch):
    """No network, no cache and no system folder of this machine."""
    pooch = pytest.importorskip("pooch")

    def offline(url, **_):
        raise ConnectionError(f"no way to {url}\nsecond line")

    monkeypatch.setattr(pooch, "retrieve", offline)
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path_factory.getbasetemp() / "no-cache")
    monkeypatch.setattr(idx, "FASHION_MNIST", idx.FASHION_MNIST._replace(system=()))
    monkeypatch.delenv("NOISYSIM_DATA", raising=False)


def real(name):
    """The folder of real data, or a skip that says what is missing."""
    if not REAL or not Path(REAL, name).exists():
        pytest.skip(f"NOISYSIM_DATA names no folder with {name}/")
    return REAL


# --- files in the official formats ---------------------------------------------------------------------------------


def idx_bytes(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def image_set(n_train=30, n_test=20, side=28):
    rng = np.random.default_rng(1)
    return [
        array
        for n in (n_train, n_test)
        for array in (rng.integers(0, 256, (n, side, side), np.uint8), (np.arange(n) * 7 % 10).astype(np.uint8))
    ]


def write_idx(folder, arrays, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(idx.IDX_FILES, arrays, strict=True):
        if packed:
            (folder / name).write_bytes(gzip.compress(idx_bytes(array)))
        else:
            (folder / name.removesuffix(".gz")).write_bytes(idx_bytes(array))


def cifar_arrays(n=4):
    rng = np.random.default_rng(2)
    return {
        name: (rng.integers(0, 256, (n, 3072), np.uint8), [int(label) for label in rng.integers(0, 10, n)])
        for name in cifar.CIFAR10.names
    }


def cifar_bytes(images, labels):
    return pickle.dumps({b"data": images, b"labels": labels, b"batch_label": b"part"}, protocol=4)


def python2_pickle(images, labels):
    """The batch as Python 2 and an old NumPy wrote it (protocol 2, byte strings)."""

    def string(text):
        return b"U" + bytes([len(text)]) + text

    def integer(n):
        return b"J" + struct.pack("<i", n)

    data = images.tobytes()
    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|") + b"NNN"
    dtype += integer(-1) + integer(-1) + b"K\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R"
    array += b"(K\x01" + integer(images.shape[0]) + integer(images.shape[1]) + b"\x86" + dtype + b"\x89"
    array += b"T" + struct.pack("<i", len(data)) + data + b"tb"
    labels = b"](" + b"".join(integer(label) for label in labels) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + labels + b"u."


def write_cifar(folder, batches, pack=cifar_bytes):
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in batches.items():
        (folder / name).write_bytes(pack(images, labels))


def write_tar(path, batches, order=None, pack=cifar_bytes, folder="cifar-10-batches-py"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name in ("readme.html", *(order or batches)):
            content = pack(*batches[name]) if name in batches else b"<html>"
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def cifar100_bytes(images, labels):
    fine, coarse = labels
    content = {b"data": images, b"fine_labels": fine, b"coarse_labels": coarse, b"filenames": [b"name"] * len(images)}
    return pickle.dumps(content, protocol=2)


def cifar100_arrays(n_train=7, n_test=4):
    rng = np.random.default_rng(5)
    return {
        name: (rng.integers(0, 256, (n, 3072), np.uint8), (rng.integers(0, 100, n).tolist(), [19, *range(n - 1)]))
        for name, n in (("train", n_train), ("test", n_test))
    }


def read_cifar10(stream):
    return cifar.read_batch(stream, "file", cifar.CIFAR10_CLASSES, "CIFAR-10")


def sarcos_table(n, seed=3):
    return np.random.default_rng(seed).normal(2.0, 3.0, (n, 28))


def write_mat(path, table, name=None):
    scipy_io = pytest.importorskip("scipy.io")
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(path, {name or path.stem: table})


def arrays(kind="labels", n=40, n_in=5):
    rng = np.random.default_rng(4)
    x = rng.normal(1.0, 2.0, (n, n_in)).astype(np.float32)
    y = np.arange(n) % 3 if kind == "labels" else rng.normal(5.0, 4.0, (n, 2)).astype(np.float32)
    return x, y


# --- names, settings, spec forms -----------------------------------------------------------------------------------


def test_names():
    images = ["digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet"]
    assert tasks.names() == sorted([*images, "adding", "autoencoding", "copy-memory", "sarcos", "student-teacher"])


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_every_loss_may_be_that_of_a_classification(loss):
    assert tasks.get("digits", loss=loss).loss_function is losses.LOSSES[loss]


@pytest.mark.parametrize("name", tasks.names())
def test_settings_are_declared_with_defaults(name):
    declaration = tasks.settings(name)
    assert set(declared(declaration)) == set(declaration._field_defaults) >= {"standardise", "loss"}


@pytest.mark.parametrize(
    ("spec", "settings", "message"),
    [
        ("digit", {}, r"unknown task 'digit'; did you mean 'digits'\?"),
        ("fashon-mnist", {}, "did you mean 'fashion-mnist'"),
        ("digits", {"standardize": "global"}, "no field 'standardize'; did you mean 'standardise'"),
        ("digits:standardise=globl", {}, "digits.standardise must be one of .*did you mean 'global'"),
        ("digits", {"standardise_targets": True}, "has no field 'standardise_targets'"),
        ("sarcos", {"loss": "cce"}, "sarcos.loss must be one of 'mse'"),
        ("student-teacher:n_in=0", {}, "student-teacher.n_in must be a whole number >= 1"),
        ("student-teacher", {"n_out": 2.5}, "student-teacher.n_out"),
        ("student-teacher", {"noise": -1}, "student-teacher.noise must be a number >= 0"),
        ("student-teacher", {"noise": float("nan")}, "student-teacher.noise"),
        ("digits:standardise", {}, "write it as name:field=value"),
        ({"standardise": "none"}, {}, "needs a 'name'"),
        ((1, 2, 3), {}, "not 3 of them"),
        (Path("data.npz"), {}, r"must be .py, .h5, .hdf5, .csv, .*\.parquet, not 'data.npz'"),
    ],
)
def test_bad_specs(spec, settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.get(spec, **settings)


def test_a_switch_is_true_or_false():
    with pytest.raises(TypeError, match=r"student-teacher\.standardise_targets must be True or False, not 1"):
        tasks.get("student-teacher", standardise_targets=1)


@pytest.mark.parametrize("spec", [None, 3, b"digits"])
def test_spec_of_wrong_type(spec):
    with pytest.raises(TypeError, match="a task is a name"):
        tasks.get(spec)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "0"])
def test_bad_seed(seed):
    with pytest.raises((TypeError, ValueError), match="seed must be a whole number >= 0"):
        tasks.get("digits", seed=seed)


def test_spec_forms_agree():
    forms = [
        tasks.get("student-teacher:n_in=7,noise=0.5,n_train=20", seed=3),
        tasks.get("student-teacher", n_in=7, noise=0.5, n_train=20, seed=3),
        tasks.get({"name": "student-teacher", "n_in": 7, "noise": 0.5, "n_train": 20}, seed=3),
        tasks.get({"name": "student-teacher:n_in=9", "noise": 0.5, "n_train": 20, "seed": 3}, n_in=7),
    ]
    assert all(form.describe() == forms[0].describe() for form in forms)


def test_task_is_returned_as_it_is():
    task = tasks.get("digits")
    assert tasks.get(task, seed=5) is task
    with pytest.raises(ValueError, match="already made"):
        tasks.get(task, loss="mse")


def test_description_makes_the_task_again():
    task = tasks.get("student-teacher", n_in=4, n_train=9, standardise="feature", seed=2)
    said = task.describe()
    assert tasks.get({"name": said["name"], **said["settings"]}, seed=2).describe() == said


# --- digits --------------------------------------------------------------------------------------------------------


def test_digits_are_the_published_ones():
    packed = Path(tasks.__file__).parent / "data" / "digits.csv.gz"
    digest = hashlib.sha256(gzip.decompress(packed.read_bytes())).hexdigest()
    assert digest in (packed.parent / "LICENSE-digits.txt").read_text()
    assert packed.read_bytes()[3:8] == bytes(5), "no name and no time in the gzip header"


def test_digits():
    task = tasks.get("digits")
    assert (task.n_train, task.n_test, task.n_in, task.n_out) == (1437, 360, 64, 10)
    assert (task.loss, task.classification, task.input_shape) == ("cce", True, (8, 8))
    assert task.train.inputs.dtype == np.uint8
    assert task.train.inputs.max() == 16
    counts = np.bincount(task.train.targets) + np.bincount(task.test.targets)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert {"layers", "batch_size", "epochs"} <= set(task.defaults)


def test_digits_split_is_fixed():
    assert tasks.get("digits", seed=1).describe() == tasks.get("digits", seed=2).describe()
    rows = permutation(1797, 0, 0x73706C69)
    assert rows[:5].tolist() == [277, 869, 895, 1708, 1735]
    assert tasks.get("digits").describe()["crc32"] == "d812517b"


# --- standardisation -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("how", ["global", "feature", "none"])
def test_standardisation_is_exact(dtype, how):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (900, 6), np.uint8).astype(dtype)
    x[:, 2] = 77
    task = tasks.get((x[:700], np.arange(700) % 2, x[700:], np.arange(200) % 2), standardise=how)
    mean, std = {
        "global": (x[:700].mean(dtype=np.float64), x[:700].std(dtype=np.float64)),
        "feature": (x[:700].mean(0, np.float64), x[:700].std(0, np.float64)),
        "none": (0.0, 1.0),
    }[how]
    np.testing.assert_allclose(task.affine[0], np.broadcast_to(mean, 6), rtol=1e-6)
    scale = np.divide(1.0, std, where=np.asarray(std) > 0, out=np.zeros(np.shape(std)))
    np.testing.assert_allclose(task.affine[1], np.broadcast_to(scale, 6), rtol=1e-6)
    for split, raw in (("train", x[:700]), ("test", x[700:])):
        got = task.batch(split, slice(None)).inputs
        expected = (raw.astype(np.float32) - task.affine[0]) * task.affine[1]
        assert got.dtype == np.float32
        assert np.array_equal(got, expected)
    if how == "feature":
        assert not got[:, 2].any()


@pytest.mark.parametrize("n", [1, 2, 1000, standard._ROWS + 1, 2 * standard._ROWS])
def test_moments_of_bytes_are_rounded_once(n):
    values = np.random.default_rng(n).integers(0, 256, (n, 3), np.uint8)
    values[:, 1], values[:, 2] = 255, values[:, 2] // 255 * 255
    mean, variance = standard.moments(values)
    for column, got, spread in zip(values.T.astype(int), mean, variance, strict=True):
        exact = [Fraction(int((column**power).sum()), n) for power in (1, 2)]
        assert got == float(exact[0])
        assert spread == float(exact[1] - exact[0] ** 2)
    assert (mean[1], variance[1]) == (255, 0)


@pytest.mark.parametrize(("name", "white"), [("digits", 16), ("mnist", 255)])
def test_white_becomes_one(tmp_path, name, white):
    written = image_set()
    written[0][0, 0, :3] = 0, 255, 51
    write_idx(tmp_path / "mnist", written)
    task = tasks.get(name, data=tmp_path, standardise="unit")
    inputs = task.batch("train", slice(None)).inputs
    assert (inputs.min(), inputs.max()) == (0, 1)
    np.testing.assert_allclose(inputs * white, task.train.inputs, rtol=1e-6)
    assert task.describe()["standardise"] == {"inputs": "unit", "white": white}


def test_unit_is_for_images():
    with pytest.raises(ValueError, match=r"student-teacher\.standardise must be one of .*not 'unit'"):
        tasks.get("student-teacher", standardise="unit")


@pytest.mark.parametrize("offset", [0.0, 1e4, 123.456])
def test_moments(offset):
    values = np.random.default_rng(1).normal(offset, 1.0, (5000, 300)).astype(np.float32)
    values[:, 7] = 0.1
    mean, variance = standard.moments(values)
    np.testing.assert_allclose(mean, values.mean(0, np.float64), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(variance, values.var(0, np.float64), rtol=1e-9, atol=1e-30)
    assert variance[7] == 0
    assert mean[7] == np.float32(0.1)


def test_constant_inputs_and_targets_are_refused():
    with pytest.raises(ValueError, match="all training inputs are the same"):
        tasks.get((np.full((8, 3), 0.1), np.arange(8) % 2))
    x, y = arrays("values")
    y[:, 1] = 3
    shifted = tasks.get((x, y, x, y)).batch("train", slice(None)).targets  # what never varies is only shifted
    np.testing.assert_allclose(shifted.std(0), [1, 0], rtol=1e-6)
    assert not shifted[:, 1].any()
    with pytest.raises(ValueError, match="no target value ever varies"):
        tasks.get((x, y[:, 1]))


def test_standardised_targets():
    x, y = arrays("values")
    task = tasks.get((x, y, x, y), standardise_targets=True)
    targets = task.batch("train", slice(None)).targets
    np.testing.assert_allclose(targets.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(targets.std(0), 1, rtol=1e-6)
    said = task.describe()["standardise"]
    np.testing.assert_allclose(targets * said["target_std"] + said["target_mean"], y, rtol=1e-5)
    usual = tasks.get((x, y, x, y))
    assert (usual.crc32, usual.settings) == (task.crc32, task.settings)
    assert any("target values are standardised" in note for note in usual.notes)
    as_they_are = tasks.get((x, y, x, y), standardise_targets=False)
    assert np.array_equal(as_they_are.batch("test", slice(None)).targets, y)
    assert as_they_are.notes == ()


# --- batches -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return tasks.get("digits")


@pytest.mark.parametrize("loss", ["cce", "mse"])
def test_batch_of_labels(loss):
    task = tasks.get("digits", loss=loss)
    rows = np.array([5, 0, 1436, 5, -1])
    batch = task.batch("train", rows)
    assert isinstance(batch, Batch)
    assert batch.targets.dtype == np.float32
    assert np.array_equal(batch.targets, np.eye(10, dtype=np.float32)[task.train.targets[rows]])
    assert np.array_equal(batch.inputs[1:2], task.batch("train", slice(0, 1)).inputs)
    assert np.array_equal(batch.inputs[2], batch.inputs[4])
    at_zero = batch.loss(np.zeros((5, 10), np.float32), batch.targets)
    np.testing.assert_allclose(at_zero, np.log(10) if loss == "cce" else 0.5)
    assert at_zero.shape == (5,)
    assert at_zero.dtype == np.float64


@pytest.mark.parametrize("name", ["digits", "student-teacher"])
def test_batch_overwrites_out(name):
    task = tasks.get(name)
    out = task.batch("train", slice(0, 7))
    first = copy.deepcopy(out[:2])
    again = task.batch("test", np.arange(20, 27), out=out)
    assert again.inputs is out.inputs
    assert again.targets is out.targets
    fresh = task.batch("test", slice(20, 27))
    assert np.array_equal(again.inputs, fresh.inputs)
    assert np.array_equal(again.targets, fresh.targets)
    assert not np.array_equal(first[0], again.inputs)
    assert not np.shares_memory(fresh.inputs, again.inputs)


@pytest.mark.parametrize(
    "rows",
    [np.arange(0, 40, 4), np.arange(40)[::4], list(range(0, 40, 4)), np.arange(0, 40, 4, np.uint8), slice(0, 40, 4)],
)
def test_rows_of_every_kind(digits, rows):
    expected = digits.batch("train", np.array([0, 4, 8, 12, 16, 20, 24, 28, 32, 36]))
    frozen = np.arange(0, 40, 4)
    frozen.flags.writeable = False
    for batch in (digits.batch("train", rows), digits.batch("train", frozen)):
        assert np.array_equal(batch.inputs, expected.inputs)
        assert np.array_equal(batch.targets, expected.targets)


def test_rows_and_out_that_do_not_fit(digits):
    for outside in (1437, -1438, 2**40):
        with pytest.raises(IndexError, match=f"row {outside} is outside the train split of 1437 samples"):
            digits.batch("train", np.array([0, outside]))
    for rows in (np.array([0.0, 1.0]), np.array([True, False]), 3, np.zeros((2, 2), int), "train"):
        with pytest.raises(TypeError, match="rows must be"):
            digits.batch("train", rows)
    for rows in ([], slice(5, 5), slice(2000, 2010)):
        with pytest.raises(ValueError, match="at least one row of the train split"):
            digits.batch("train", rows)
    with pytest.raises(ValueError, match="unknown split 'tests'; did you mean 'test'"):
        digits.batch("tests", slice(0, 1))
    out = digits.batch("train", slice(0, 3))
    frozen = out.inputs.copy()
    frozen.flags.writeable = False
    for bad in (
        digits.batch("train", slice(0, 2)),
        out._replace(inputs=out.inputs.astype(np.float64)),
        out._replace(targets=np.zeros((3, 9), np.float32)),
        out._replace(inputs=np.asfortranarray(out.inputs)),
        out._replace(inputs=frozen),
    ):
        with pytest.raises(ValueError, match="out must hold writable float32 arrays"):
            digits.batch("train", slice(0, 3), out=bad)


def test_order_is_a_pure_permutation(digits):
    orders = {(seed, epoch): digits.order(epoch, seed) for seed in range(3) for epoch in range(3)}
    digits.order(9, 9)
    np.random.default_rng(0).random(10)
    for (seed, epoch), order in orders.items():
        assert order.dtype == np.int64
        assert np.array_equal(np.sort(order), np.arange(1437))
        assert np.array_equal(order, digits.order(epoch, seed))
    assert len({order.tobytes() for order in orders.values()}) == 9
    assert permutation(8, 0, 0).tolist() == [0, 3, 7, 5, 1, 2, 6, 4], "fixed for ever: results depend on it"


def test_order_refuses_bad_numbers(digits):
    for seed, epoch in ((-1, 0), (0, -1), (0.5, 0), (0, None)):
        with pytest.raises((TypeError, ValueError), match="must be a whole number >= 0"):
            digits.order(epoch, seed)


def test_order_is_uniform():
    places = np.array([permutation(5, seed) for seed in range(4000)])
    counts = np.array([np.bincount(column, minlength=5) for column in places.T])
    assert abs(counts - 800).max() < 6 * np.sqrt(800)


@pytest.mark.parametrize("size", [1437, 100, 5000])
def test_batches_cover_the_split_once(digits, size):
    batches = list(digits.batches(size, seed=4, epoch=2))
    assert [len(batch.inputs) for batch in batches] == [size] * (1437 // size) + [1437 % size] * (1437 % size > 0)
    expected = digits.batch("train", digits.order(2, 4))
    assert np.array_equal(np.concatenate([batch.inputs for batch in batches]), expected.inputs)
    assert np.array_equal(np.concatenate([batch.targets for batch in batches]), expected.targets)


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_bad_batch_size_is_refused_at_once(digits, size):
    with pytest.raises((TypeError, ValueError), match="batch_size must be a whole number >= 1"):
        digits.batches(size)


def test_task_survives_pickling(digits):
    again = pickle.loads(pickle.dumps(digits))
    assert again.describe() == digits.describe()
    assert np.array_equal(again.batch("test", slice(0, 9)).inputs, digits.batch("test", slice(0, 9)).inputs)
    out = pickle.loads(pickle.dumps(digits.batch("test", slice(0, 9))))
    again.batch("test", slice(0, 9), out=out)


def test_task_is_frozen(digits):
    with pytest.raises(AttributeError):
        digits.loss = "mse"


def test_a_batch_leaves_the_data_alone(digits):
    before = digits.crc32
    batch = digits.batch("train", slice(None))
    batch.inputs[:] = 0
    batch.targets[:] = 0
    assert dataclasses.replace(digits).crc32 == before


# --- IDX files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("folder", ["fashion-mnist", "."])
@pytest.mark.parametrize("by", ["option", "environment", "cache", "system"])
def test_idx_is_found(tmp_path, monkeypatch, packed, folder, by):
    written = image_set()
    if by == "system":
        write_idx(tmp_path, written, packed)
        monkeypatch.setattr(idx, "FASHION_MNIST", idx.FASHION_MNIST._replace(system=(str(tmp_path),)))
    else:
        write_idx(tmp_path / folder, written, packed)
    if by == "environment":
        monkeypatch.setenv("NOISYSIM_DATA", str(tmp_path))
    if by == "cache":
        monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path)
    task = tasks.get("fashion-mnist", data=tmp_path if by == "option" else None)
    assert np.array_equal(task.train.inputs, written[0].reshape(30, 784))
    assert task.train.inputs.dtype == np.uint8
    assert np.array_equal(task.test.targets, written[3])
    assert (task.n_in, task.n_out, task.loss, task.input_shape) == (784, 10, "cce", (28, 28))
    assert task.notes == ("not the published 60,000 + 10,000 images: 30 + 20 found",)


def test_option_comes_before_environment(tmp_path, monkeypatch):
    write_idx(tmp_path / "a" / "mnist", image_set(30))
    write_idx(tmp_path / "b" / "mnist", image_set(40))
    monkeypatch.setenv("NOISYSIM_DATA", str(tmp_path / "b"))
    assert tasks.get("mnist").n_train == 40
    assert tasks.get("mnist", data=tmp_path / "a").n_train == 30


def test_files_of_two_folders_are_not_mixed(tmp_path):
    write_idx(tmp_path / "mnist", image_set(30))
    (tmp_path / "mnist" / idx.IDX_FILES[2]).unlink()
    write_idx(tmp_path, image_set(40))
    assert tasks.get("mnist", data=tmp_path).n_train == 40


@pytest.mark.parametrize(("task", "other"), [("mnist", "fashion-mnist"), ("fashion-mnist", "mnist")])
def test_the_other_set_is_recognised(tmp_path, task, other):
    written = image_set()
    written[1][:10] = idx.FIRST_LABELS[other]
    write_idx(tmp_path, written)
    with pytest.raises(ValueError, match=f"these are the labels of {other}, not of {task}"):
        tasks.get(task, data=tmp_path)


def cut_gzip(path):
    path.write_bytes(path.read_bytes()[:-20])


def cut_content(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-3]))


def cut_header(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:5]))


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[-6] ^= 255  # the checksum
    path.write_bytes(bytes(content))


def lengthen(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"\0"))


def wrong_magic(path):
    path.write_bytes(gzip.compress(b"\0\0\x09" + gzip.decompress(path.read_bytes())[3:]))


def not_gzip(path):
    path.write_bytes(b"\x1f\x8bnothing of the kind")


def empty(path):
    path.write_bytes(b"")


def boundless(path):
    content = gzip.decompress(path.read_bytes())
    dims = content[3]
    path.write_bytes(gzip.compress(content[:4] + b"\xff\xff\xff\x00" * dims + content[4 + 4 * dims :]))


def plain_and_short(path):
    path.write_bytes(gzip.decompress(path.read_bytes())[:-1])


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(
    "damage",
    [cut_gzip, cut_content, cut_header, flip_byte, lengthen, wrong_magic, not_gzip, empty, boundless, plain_and_short],
)
def test_damaged_idx_is_named(tmp_path, position, damage):
    write_idx(tmp_path / "mnist", image_set())
    path = tmp_path / "mnist" / idx.IDX_FILES[position]
    damage(path)
    with pytest.raises(ValueError, match=path.name) as caught:
        tasks.get("mnist", data=tmp_path)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.__setitem__(1, a[1][:-1]), "29 labels for 30 images"),
        (lambda a: a[3].__setitem__(4, 10), "labels from 0 to 10, but the classes are 0 to 9"),
        (lambda a: a.__setitem__(2, a[2][:, :-1]), r"images of \(27, 28\)"),
        (lambda a: a.__setitem__(slice(0, 2), [a[0][:0], a[1][:0]]), "holds no sample"),
        (lambda a: a.__setitem__(0, a[1]), "not an IDX file of 3-dimensional"),
    ],
)
def test_idx_files_that_do_not_belong_together(tmp_path, change, message):
    written = image_set()
    change(written)
    write_idx(tmp_path / "mnist", written)
    with pytest.raises(ValueError, match=message):
        tasks.get("mnist", data=tmp_path)


# --- downloads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("mnist", idx.IDX_FILES),
        ("cifar10", cifar.CIFAR10.source.files),
        ("cifar100", cifar.CIFAR100.source.files),
        ("tiny-imagenet", tiny_imagenet.TINY_IMAGENET.files),
    ],
)
def test_no_network_is_one_clear_error(tmp_path, monkeypatch, name, files):
    monkeypatch.setenv("NOISYSIM_DATA", str(tmp_path / "elsewhere"))
    (tmp_path / "here").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        tasks.get(name, data=tmp_path / "here")
    message = str(caught.value)
    for part in (
        *files,
        str(tmp_path / "here" / name),
        str(tmp_path / "elsewhere" / name),
        "no-cache",
        "no way to http",
    ):
        assert part in message
    assert "NOISYSIM_DATA" in message
    assert "second line" not in message
    assert caught.value.__suppress_context__


def test_data_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the data folder .*nowhere.* is not there"):
        tasks.get("mnist", data=tmp_path / "nowhere")


def test_download_goes_to_the_cache_and_is_checked(tmp_path, monkeypatch):
    import pooch

    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    write_idx(tmp_path / "server", image_set())
    asked = []

    def retrieve(url, *, known_hash, fname, path, downloader):
        asked.append((url, known_hash, downloader.kwargs["timeout"]))
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes((tmp_path / "server" / fname).read_bytes())
        return str(path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    first = tasks.get("mnist").describe()
    assert [url.rpartition("/")[2] for url, _, _ in asked] == list(idx.IDX_FILES)
    assert [known for _, known, _ in asked] == [f"md5:{md5}" for md5 in idx.MNIST.files.values()]
    assert all(0 < timeout <= 30 for _, _, timeout in asked)
    assert tasks.get("mnist").describe() == first
    assert len(asked) == 4, "found in the cache the second time"


def test_download_of_something_else_is_refused(tmp_path, monkeypatch):
    import pooch

    def mismatch(url, **_):
        raise ValueError("MD5 hash of downloaded file does not match the known hash")

    monkeypatch.setattr(pooch, "retrieve", mismatch)
    with pytest.raises(FileNotFoundError, match="MD5 hash of downloaded file does not match"):
        tasks.get("mnist")


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


def check_cifar(task, batches):
    train = [batches[f"data_batch_{k}"] for k in range(1, 6)]
    assert np.array_equal(task.train.inputs, np.concatenate([images for images, _ in train]))
    assert task.train.targets.tolist() == [label for _, labels in train for label in labels]
    assert np.array_equal(task.test.inputs, batches["test_batch"][0])
    assert (task.n_in, task.n_out, task.input_shape) == (3072, 10, (3, 32, 32))
    assert task.train.inputs.dtype == np.uint8
    assert task.train.targets.dtype == np.int64
    assert task.batch("test", slice(0, 2)).inputs.shape == (2, 3072)


@pytest.mark.parametrize(
    "pack", [cifar_bytes, python2_pickle, lambda *b: pickle.dumps(dict(zip(("data", "labels"), b, strict=True)), 2)]
)
@pytest.mark.parametrize("folder", ["cifar10/cifar-10-batches-py", "cifar-10-batches-py", "cifar10", "."])
def test_cifar_pickles(tmp_path, pack, folder):
    batches = cifar_arrays()
    write_cifar(tmp_path / folder, batches, pack)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_cifar(tasks.get("cifar10", data=tmp_path), batches)


def test_cifar_in_fortran_order(tmp_path):
    batches = cifar_arrays()
    write_cifar(tmp_path, batches, lambda images, labels: cifar_bytes(np.asfortranarray(images), labels))
    task = tasks.get("cifar10", data=tmp_path)
    check_cifar(task, batches)
    assert task.test.inputs.flags.carray


@pytest.mark.parametrize("folder", ["cifar10", "."])
def test_cifar_archive(tmp_path, folder):
    batches = cifar_arrays()
    write_tar(tmp_path / folder / "cifar-10-python.tar.gz", batches, order=sorted(batches, reverse=True))
    check_cifar(tasks.get("cifar10", data=tmp_path), batches)
    assert os.listdir(tmp_path / folder) == ["cifar-10-python.tar.gz"], "nothing is unpacked"


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_unpickler_runs_nothing(tmp_path, protocol):
    trace = tmp_path / "trace"
    calls = [
        Evil(os.system, f"touch {trace}"),
        Evil(eval, f"open({str(trace)!r}, 'w')"),
        Evil(exec, f"open({str(trace)!r}, 'w')"),
        Evil(open, str(trace), "w"),
        Evil(getattr, "text", "upper"),
        Evil(subprocess.Popen, ["touch", str(trace)]),
        Evil(np.load, str(trace)),
        Evil(Path, str(trace)),
    ]
    for call in calls:
        for content in (call, {b"data": call, b"labels": [1]}, [np.zeros(3, np.uint8), call]):
            with pytest.raises(ValueError, match=r"asks for .*, which no data file needs"):
                read_cifar10(io.BytesIO(pickle.dumps(content, protocol)))
    assert not trace.exists()


@pytest.mark.parametrize(
    "content", [b"cos\nsystem\n(S'true'\ntR.", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."]
)
def test_unpickler_refuses_handwritten_calls(content):
    with pytest.raises(ValueError, match=r"asks for os.system"):
        read_cifar10(io.BytesIO(content))


@pytest.mark.parametrize("dotted", ["ndarray.tofile", "dtype.__class__", "f2py", "_core.multiarray.fromfile"])
def test_unpickler_knows_whole_names_only(dotted):
    content = b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(dotted)]) + dotted.encode() + b"\x93."
    with pytest.raises(ValueError, match="asks for numpy"):
        read_cifar10(io.BytesIO(content))


def _short(text):
    return b"\x8c" + bytes([len(text)]) + text


def _asked(module, name):
    return _short(module) + _short(name) + b"\x93"  # STACK_GLOBAL


ASKED_ARRAY = _asked(b"numpy", b"ndarray")
ASKED_DTYPE = _asked(b"numpy", b"dtype")
RECONSTRUCTED = _asked(b"numpy._core.multiarray", b"_reconstruct") + ASKED_ARRAY + b"K\x00\x85C\x01b\x87R"


PLAIN = b"(K\x03" + _short(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def _dtype(spec, state=PLAIN):
    return ASKED_DTYPE + _short(spec) + b"\x89\x88\x87R" + state


def _array(shape, dtype, data, tail=b"tb"):
    return RECONSTRUCTED + b"(K\x01" + shape + dtype + b"\x89" + data + tail


def _int(n):
    return b"J" + struct.pack("<i", n)


def _batch(data, labels=b"](K\x01K\x02e"):
    return b"\x80\x04}(" + _short(b"data") + data + _short(b"labels") + labels + b"u."


ROWS = _int(2) + _int(3072) + b"\x86"
PIXELS = b"B" + struct.pack("<I", 6144) + bytes(6144)
BYTES = _dtype(b"u1")
STRUCTURE = b"(K\x03" + _short(b"|") + b"N(t}J\x08\x00\x00\x00K\x01K\x00tb"
FIELDS = b"(K\x03" + _short(b"|") + b"N(" + _short(b"a") + b"t}NNNtb"
NESTED = b")" + b"2\x86" * 60  # DUP, TUPLE2: a tuple of 2^60 leaves
MEMOED = b")\x94" + b"".join(b"h" + bytes([k]) + b"\x86\x94" for k in range(60))  # the same by the memo
HOSTILE = {
    "pointers": _batch(_array(ROWS, _dtype(b"O8"), PIXELS)),
    "pointers-by-state": _batch(_array(ROWS, _dtype(b"V8", STRUCTURE), PIXELS)),
    "fields": _batch(_array(ROWS, _dtype(b"u1", FIELDS), PIXELS)),
    "too-few-bytes": _batch(_array(_int(2**30) + _int(3072) + b"\x86", BYTES, PIXELS)),
    "no-bytes": _batch(_array(ROWS, BYTES, b"N")),
    "list-for-bytes": _batch(_array(ROWS, BYTES, b"](" + b"K\x01" * 4 + b"e")),
    "negative": _batch(_array(_int(-1) + _int(-6144) + b"\x86", BYTES, PIXELS)),
    "endless-shape": _batch(_array(b"K\x00" + b"\x8a\xff" + b"\x7f" * 255 + b"\x86", BYTES, b"C\x00")),
    "no-shape": _batch(_array(b"K\x02", BYTES, PIXELS)),
    "dtype-for-array": _batch(BYTES),
    "array-made-of-dtype": _batch(ASKED_ARRAY + ROWS + BYTES + b"\x86R"),
    "array-class": _batch(ASKED_ARRAY),
    "state-of-a-class": _batch(ASKED_ARRAY + b"(K\x01" + ROWS + BYTES + b"\x89" + PIXELS + b"tb"),
    "state-of-a-dict": _batch(b"}}b"),
    "new-object": _batch(ASKED_ARRAY + b"(" + ROWS + b"t\x81"),
    "old-object": _batch(b"(" + ASKED_ARRAY + ROWS + b"o"),
    "instance": _batch(b"(inumpy\nndarray\n"),
    "persistent": _batch(b"Pname\n"),
    "extension": _batch(b"\x82\x01"),
    "out-of-band": _batch(b"\x97"),
    "memo-far": _batch(b"Nr\xff\xff\xff\x7f"),
    "memo-missing": _batch(b"j\xff\xff\xff\x7f"),
    "huge-string": b"\x80\x04}" + b"\x8e" + struct.pack("<Q", 2**62),
    "huge-bytearray": b"\x80\x05}" + b"\x96" + struct.pack("<Q", 2**40),
    "huge-frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"}.",
    "huge-number": _batch(b"\x8b" + struct.pack("<I", 2**31 - 1)),
    "key-of-tuples": b"\x80\x04}" + MEMOED + b"K\x01s.",
    "labels-of-lists": _batch(_array(ROWS, BYTES, PIXELS), b"](" + MEMOED + b"e"),
    "nested-tuples": _batch(_array(ROWS, BYTES, PIXELS), NESTED),
    "mark-missing": b"\x80\x04t.",
    "stack-empty": b"\x80\x04\x85.",
    "stop-at-once": b"\x80\x04.",
    "no-stop": b"\x80\x04}",
    "escapes": _batch(_asked(b"\x1b[2Jos", b"system\n\nx")),
    "long-name": b"\x80\x04X" + struct.pack("<I", 10**6) + b"n" * 10**6 + _short(b"x") + b"\x93.",
    "encode-otherwise": _batch(_asked(b"_codecs", b"encode") + _short(b"x") + _short(b"rot13") + b"\x86R"),
}


def test_the_handwritten_batch_is_read():
    split = read_cifar10(io.BytesIO(_batch(_array(ROWS, BYTES, PIXELS))))
    assert split.inputs.shape == (2, 3072)
    assert split.targets.tolist() == [1, 2]


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_pickle_is_one_clear_error(content):
    """Pointers, false sizes, bombs: no crash, no memory, one printable line."""
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(ValueError, match=r"CIFAR-10 batch|not a list of whole numbers") as caught:
        read_cifar10(io.BytesIO(content))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    assert peak < 64 << 20


def test_no_pickle_of_random_bytes_is_read():
    rng = np.random.default_rng(0)
    whole = _batch(_array(ROWS, BYTES, PIXELS))
    head = len(whole) - 6144 - 40
    for _ in range(400):
        content = bytearray(whole)
        for at in rng.integers(0, head, 3):
            content[at] = rng.integers(256)
        with contextlib.suppress(ValueError):  # and no other error
            assert read_cifar10(io.BytesIO(bytes(content))).inputs.shape == (2, 3072)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("labels", [list, np.array])
def test_arrays_of_every_protocol_are_read(protocol, labels):
    images = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    for laid in (images, np.asfortranarray(images)):
        split = read_cifar10(io.BytesIO(pickle.dumps({"data": laid, "labels": labels([3, 9])}, protocol)))
        assert np.array_equal(split.inputs, images)
        assert split.targets.tolist() == [3, 9]
        assert split.inputs.flags.carray


def test_an_archive_that_unpacks_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "LIMIT", 1 << 16)
    write_tar(tmp_path / "cifar-10-python.tar.gz", cifar_arrays(n=30))
    with pytest.raises(ValueError, match=r"cifar-10-python.tar.gz: .*larger than 65,536 bytes"):
        tasks.get("cifar10", data=tmp_path)


def test_an_unpacked_archive(tmp_path):
    batches = cifar_arrays()
    write_tar(tmp_path / "packed.tar.gz", batches)
    (tmp_path / "cifar-10-python.tar").write_bytes(gzip.decompress((tmp_path / "packed.tar.gz").read_bytes()))
    check_cifar(tasks.get("cifar10", data=tmp_path), batches)


def repickled(**changes):
    def change(path):
        content = pickle.loads(path.read_bytes())
        for key, value in changes.items():
            content[key.encode()] = value
        path.write_bytes(pickle.dumps({key: value for key, value in content.items() if value is not None}))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_gzip, "not a readable CIFAR-10 batch"),
        (empty, "not a readable CIFAR-10 batch"),
        (lambda p: p.write_bytes(b"PNG"), "not a readable CIFAR-10 batch"),
        (lambda p: p.write_bytes(pickle.dumps([1, 2])), "a list, not a dict"),
        (repickled(data=None), "no 'data' and 'labels'"),
        (repickled(labels=None, fine_labels=[1, 2, 3, 4]), "no 'data' and 'labels'"),
        (repickled(data=np.zeros((4, 3071), np.uint8)), r"uint8 \(4, 3071\), not uint8 \(n, 3072\)"),
        (repickled(data=np.zeros((4, 3072))), "not uint8"),
        (repickled(data=np.zeros((4, 3072), object)), "not uint8|not a readable"),
        (repickled(labels=[1, 2, 3]), "3 labels for 4 images"),
        (repickled(labels=[1, 2, 3, 10]), "labels from 1 to 10"),
        (repickled(labels=[1, 2, 3, -1]), "labels from -1 to 3"),
        (repickled(labels=[1, 2, 3, 0.5]), "not a list of whole numbers"),
        (repickled(labels=[1, 2, 3, [4]]), "not a list of whole numbers"),
        (repickled(labels="0123"), "not a list of whole numbers"),
    ],
)
@pytest.mark.parametrize("name", ["data_batch_3", "test_batch"])
def test_damaged_cifar_is_named(tmp_path, damage, message, name):
    write_cifar(tmp_path, cifar_arrays())
    damage(tmp_path / name)
    with pytest.raises(ValueError, match=message) as caught:
        tasks.get("cifar10", data=tmp_path)
    assert name in str(caught.value)


def test_cifar_batches_of_unequal_size(tmp_path):
    batches = cifar_arrays()
    batches["data_batch_2"] = (batches["data_batch_2"][0][:3], batches["data_batch_2"][1][:3])
    write_cifar(tmp_path, batches)
    with pytest.raises(ValueError, match="data_batch_2 holds 3 images, the batch before it 4"):
        tasks.get("cifar10", data=tmp_path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_archive(tmp_path, share):
    path = tmp_path / "cifar-10-python.tar.gz"
    write_tar(path, cifar_arrays())
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"cifar-10-python.tar.gz"):
        tasks.get("cifar10", data=tmp_path)


@pytest.mark.parametrize("gone", ["data_batch_1", "data_batch_4", "test_batch"])
def test_archive_that_lacks_a_batch(tmp_path, gone):
    batches = cifar_arrays()
    del batches[gone]
    write_tar(tmp_path / "cifar-10-python.tar.gz", batches)
    with pytest.raises(ValueError, match="not every one of data_batch_1"):
        tasks.get("cifar10", data=tmp_path)


# --- CIFAR-100 -----------------------------------------------------------------------------------------------------


def check_cifar100(task, batches, labels):
    for split, (images, both) in ((task.train, batches["train"]), (task.test, batches["test"])):
        assert np.array_equal(split.inputs, images)
        assert split.inputs.dtype == np.uint8
        assert split.targets.tolist() == both[labels == "coarse"]
        assert split.targets.dtype == np.int64
    assert (task.n_in, task.n_out, task.input_shape) == (3072, 20 if labels == "coarse" else 100, (3, 32, 32))
    assert task.batch("test", slice(None)).targets.argmax(axis=1).tolist() == task.test.targets.tolist()
    assert task.notes == ("not the published 50,000 + 10,000 images: 7 + 4 found",)


@pytest.mark.parametrize("labels", ["fine", "coarse"])
@pytest.mark.parametrize("folder", ["cifar100/cifar-100-python", "cifar-100-python", "cifar100", "."])
def test_cifar100_pickles(tmp_path, folder, labels):
    batches = cifar100_arrays()
    write_cifar(tmp_path / folder, batches, cifar100_bytes)
    task = tasks.get("cifar100", data=tmp_path, labels=labels)
    check_cifar100(task, batches, labels)
    assert task.describe() == tasks.get(f"cifar100:labels={labels}", data=tmp_path).describe()
    assert task.describe()["settings"]["labels"] == labels


@pytest.mark.parametrize("order", [("train", "test"), ("test", "meta", "train")])
@pytest.mark.parametrize("folder", ["cifar100", "."])
def test_cifar100_archive(tmp_path, folder, order):
    batches = cifar100_arrays()
    path = tmp_path / folder / "cifar-100-python.tar.gz"
    write_tar(path, batches, order, cifar100_bytes, "cifar-100-python")
    check_cifar100(tasks.get("cifar100", data=tmp_path), batches, "fine")
    assert os.listdir(tmp_path / folder) == [path.name], "nothing is unpacked"


def test_labels_of_cifar100_tell_its_data_apart(tmp_path):
    write_cifar(tmp_path, cifar100_arrays(), cifar100_bytes)
    fine, coarse = (tasks.get("cifar100", data=tmp_path, labels=labels).describe() for labels in ("fine", "coarse"))
    assert fine["crc32"] != coarse["crc32"]
    with pytest.raises(ValueError, match=r"cifar100\.labels must be one of 'fine', 'coarse', not 'fin'"):
        tasks.get("cifar100", data=tmp_path, labels="fin")


@pytest.mark.parametrize("name", ["train", "test"])
@pytest.mark.parametrize(
    ("damage", "labels", "message"),
    [
        (cut_gzip, "fine", "not a readable CIFAR-100 batch"),
        (repickled(fine_labels=None), "fine", "not a CIFAR-100 batch: keys .* no 'data' and 'fine_labels'"),
        (repickled(coarse_labels=None, labels=[1]), "coarse", "no 'data' and 'coarse_labels'"),
        (repickled(fine_labels=[1, 2, 3]), "fine", "3 labels for [74] images"),
        (
            lambda p: repickled(fine_labels=[100] * (7 if p.name == "train" else 4))(p),
            "fine",
            "the classes are 0 to 99",
        ),
        (lambda p: repickled(coarse_labels=[20] * (7 if p.name == "train" else 4))(p), "coarse", "classes are 0 to 19"),
        (lambda p: repickled(coarse_labels=[-1] * (7 if p.name == "train" else 4))(p), "coarse", "classes are 0 to 19"),
        (repickled(fine_labels="0123"), "fine", "its fine_labels are not a list of whole numbers"),
        (lambda p: p.write_bytes(pickle.dumps(Evil(os.system, "true"))), "fine", "asks for posix.system"),
    ],
)
def test_damaged_cifar100_is_named(tmp_path, damage, labels, message, name):
    write_cifar(tmp_path, cifar100_arrays(), cifar100_bytes)
    damage(tmp_path / name)
    with pytest.raises(ValueError, match=message) as caught:
        tasks.get("cifar100", data=tmp_path, labels=labels)
    assert str(tmp_path / name) in str(caught.value)


def test_damaged_cifar100_archive_is_named(tmp_path):
    path, batches = tmp_path / "cifar-100-python.tar.gz", cifar100_arrays()
    write_tar(path, batches, ("train",), cifar100_bytes)
    with pytest.raises(ValueError, match="not every one of train, test is in it"):
        tasks.get("cifar100", data=tmp_path)
    write_tar(path, batches, None, cifar100_bytes)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=r"cifar-100-python.tar.gz"):
        tasks.get("cifar100", data=tmp_path)


def test_the_archives_of_the_two_sets_are_not_confused(tmp_path):
    write_tar(tmp_path / "cifar-100-python.tar.gz", cifar_arrays())
    with pytest.raises(ValueError, match="not every one of train, test"):
        tasks.get("cifar100", data=tmp_path)


# --- SARCOS --------------------------------------------------------------------------------------------------------


def test_sarcos_with_both_files(tmp_path):
    train, test = sarcos_table(50), sarcos_table(20, seed=8)
    test[:5] = train[10:15]
    write_mat(tmp_path / "sarcos" / sarcos.TRAIN, train)
    write_mat(tmp_path / "sarcos" / sarcos.TEST, test)
    task = tasks.get("sarcos", data=tmp_path)
    assert np.array_equal(task.train.inputs, train[:, :21].astype(np.float32))
    assert np.array_equal(task.test.targets, test[:, 21:].astype(np.float32))
    assert (task.n_in, task.n_out, task.loss, task.classification) == (21, 7, "mse", False)
    assert task.notes == ("5 of the 20 test inputs are training inputs too",)
    batch = task.batch("train", slice(None))
    np.testing.assert_allclose(batch.inputs.std(0), 1, rtol=1e-5)
    np.testing.assert_allclose(batch.targets.std(0), 1, rtol=1e-5)
    raw = tasks.get("sarcos", data=tmp_path, standardise_targets=False, standardise="none").batch("train", slice(None))
    assert np.array_equal(raw.targets, task.train.targets)
    assert np.array_equal(raw.inputs, task.train.inputs)


@pytest.mark.parametrize(("n", "sizes"), [(4449, (4000, 449)), (10, (8, 2))])
@pytest.mark.parametrize("name", [sarcos.TEST, sarcos.TRAIN])
def test_sarcos_with_one_file(tmp_path, n, sizes, name):
    table = sarcos_table(n)
    write_mat(tmp_path / name, table)
    task = tasks.get("sarcos", data=tmp_path, seed=1)
    assert (task.n_train, task.n_test) == sizes
    note = f"only the {n:,}-row file {name} found, split {sizes[0]:,}/{sizes[1]:,}"
    assert note in task.describe()["notes"][0]
    rows = np.concatenate([task.train.inputs, task.test.inputs])
    assert np.array_equal(np.sort(rows[:, 0]), np.sort(table[:, 0].astype(np.float32)))
    assert task.describe() == tasks.get("sarcos", data=tmp_path, seed=2).describe()


def with_nan(n=20):
    table = sarcos_table(n)
    table[3, 4] = np.nan
    return table


@pytest.mark.parametrize(
    ("table", "name", "message"),
    [
        (sarcos_table(20)[:, :27], None, r"float64 \(20, 27\), not numbers of shape \(n, 28\)"),
        (sarcos_table(20), "sarcos", "holds sarcos, no variable 'sarcos_inv'"),
        (with_nan(), None, "NaN or infinite"),
        (sarcos_table(20) * np.inf, None, "NaN or infinite"),
        (sarcos_table(20) * 1j, None, "not numbers"),
        (np.array(["text"] * 28), None, "not numbers"),
    ],
)
def test_bad_sarcos_is_named(tmp_path, table, name, message):
    write_mat(tmp_path / sarcos.TRAIN, table, name)
    write_mat(tmp_path / sarcos.TEST, sarcos_table(20))
    with pytest.raises(ValueError, match=message) as caught:
        tasks.get("sarcos", data=tmp_path)
    assert str(tmp_path / sarcos.TRAIN) in str(caught.value)


@pytest.mark.parametrize("keep", [0, 60, 200, 3000])
def test_truncated_sarcos_is_named(tmp_path, keep):
    path = tmp_path / sarcos.TEST
    write_mat(path, sarcos_table(40))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"sarcos_inv_test.mat"):
        tasks.get("sarcos", data=tmp_path)


def test_sarcos_is_not_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"get it from https://gaussianprocess.org/gpml/data/") as caught:
        tasks.get("sarcos", data=tmp_path)
    assert "NOISYSIM_DATA" in str(caught.value)
    assert sarcos.TRAIN in str(caught.value)


# --- student and teacher -------------------------------------------------------------------------------------------


def test_teacher_makes_the_targets():
    task = tasks.get("student-teacher", n_in=30, n_out=4, n_train=50, n_test=20, seed=7)
    weights = tasks.teacher_weights(30, 4, seed=7)
    for split in (task.train, task.test):
        np.testing.assert_allclose(split.targets, split.inputs @ weights.T, rtol=1e-4, atol=1e-5)
    assert (task.n_in, task.n_out, task.loss, task.classification) == (30, 4, "mse", False)
    assert np.array_equal(task.batch("train", slice(None)).inputs, task.train.inputs)
    assert task.defaults["layers"] == []


def test_teacher_has_the_published_scale():
    weights = tasks.teacher_weights(400, 200, seed=1).astype(np.float64)
    np.testing.assert_allclose(weights.var(), 2 / 600, rtol=0.03)
    task = tasks.get("student-teacher", n_in=100, n_out=10, noise=0.5, n_train=20_000, n_test=5_000)
    inputs = task.train.inputs.astype(np.float64)
    assert abs(inputs.mean()) < 0.005
    assert abs(inputs.std() - 1) < 0.005
    residual = task.train.targets - inputs @ tasks.teacher_weights(100, 10).T
    np.testing.assert_allclose(residual.std(), 0.5, rtol=0.01)
    clean = task.test.targets - task.test.inputs @ tasks.teacher_weights(100, 10).T
    assert abs(clean).max() < 1e-4, "test targets carry no noise"


def test_teacher_depends_on_the_seed_alone():
    first, again, other = (tasks.get("student-teacher", seed=seed) for seed in (1, 1, 2))
    assert first.describe() == again.describe()
    assert not np.array_equal(first.train.inputs, other.train.inputs)
    longer = tasks.get("student-teacher", seed=1, n_train=20_000, noise=0.1)
    assert np.array_equal(longer.test.inputs, first.test.inputs), "the test split is a stream of its own"


# --- a user's own data ---------------------------------------------------------------------------------------------


def test_own_labels():
    x, y = arrays()
    task = tasks.get((x[:30], y[:30], x[30:], y[30:]))
    assert (task.loss, task.classification, task.n_in, task.n_out) == ("cce", True, 5, 3)
    assert task.settings["loss"] == "cce"
    assert task.name == "arrays"
    assert np.shares_memory(task.train.inputs, x), "float32 arrays are not copied"
    assert tasks.get((x, y), loss="mse").loss == "mse"
    assert tasks.get((x, y.astype(bool))).n_out == 2


def test_own_values():
    x, y = arrays("values")
    assert tasks.get([x, y]).n_out == 2
    assert tasks.get((x, y)).loss == "mse"
    one = tasks.get((x.tolist(), y[:, 0].tolist(), x, y[:, 0]))
    assert one.n_out == 1
    assert one.batch("train", slice(0, 4)).targets.shape == (4, 1)


def test_own_images_are_flattened():
    x = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 2), np.uint8)
    x.flags.writeable = False
    task = tasks.get((x, np.arange(20) % 2, x, np.arange(20) % 2))
    assert task.n_in == 24
    assert task.input_shape == (3, 4, 2)
    assert task.train.inputs.dtype == np.uint8
    assert np.array_equal(task.train.inputs, x.reshape(20, 24))
    assert task.batch("train", slice(None)).inputs.shape == (20, 24)


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.int64, bool, ">f4", np.float16])
def test_own_number_types(dtype):
    x = (np.arange(60).reshape(20, 3) % 7).astype(dtype)
    task = tasks.get((x, np.arange(20) % 2), standardise="none")
    assert task.train.inputs.dtype == np.float32
    assert task.train.inputs.dtype.isnative
    assert set(np.unique(task.batch("train", slice(None)).inputs)) <= set(x.astype(float).ravel())


def test_splits_of_two_number_types():
    x, y = arrays()
    raw = np.arange(200, dtype=np.uint8).reshape(40, 5)
    task = tasks.get((raw, y, x, y), standardise="none")
    assert np.array_equal(task.batch("train", slice(None)).inputs, raw)
    assert np.array_equal(task.batch("test", slice(None)).inputs, x)


def test_own_split_is_by_seed_and_said():
    x, y = arrays(n=41)
    first, again, other = (tasks.get((x, y), seed=seed) for seed in (1, 1, 2))
    assert (first.n_train, first.n_test) == (33, 8)
    assert first.notes == ("x and y split 33/8 by the permutation of seed 1",)
    assert first.describe() == again.describe() != other.describe()
    both = np.concatenate([first.train.inputs, first.test.inputs])
    assert np.array_equal(np.sort(both[:, 0]), np.sort(x[:, 0]))
    label = dict(zip(x[:, 0].tolist(), y.tolist(), strict=True))
    assert [label[value] for value in first.test.inputs[:, 0].tolist()] == first.test.targets.tolist()


LABELS = np.arange(40) % 3
ONE_HOT = np.eye(3)[LABELS]
READ_AS_LABELS = {
    "floats": LABELS.astype(float),
    "float32-column": LABELS.astype(np.float32)[:, None],
    "list": LABELS.astype(float).tolist(),
    "column": LABELS[:, None],
    "one-hot": ONE_HOT,
    "one-hot-whole": ONE_HOT.astype(np.uint8),
    "one-hot-switches": ONE_HOT.astype(bool),
}


@pytest.mark.parametrize("y", READ_AS_LABELS.values(), ids=READ_AS_LABELS)
def test_labels_of_other_kinds_are_recognised_and_said(y):
    x = arrays()[0]
    task, usual = tasks.get((x, y)), tasks.get((x, LABELS))
    assert (task.classification, task.n_out, task.loss) == (True, 3, "cce")
    assert task.crc32 == usual.crc32, "the data are those of integer labels"
    assert not any("labels" in note for note in usual.notes)
    assert sum("read as labels (kind='regression' fits them as values)" in note for note in task.notes) == 1
    assert task.describe()["settings"]["kind"] == "classification"
    again = tasks.get((x, y), **task.describe()["settings"])
    assert again.describe() == task.describe()
    values = tasks.get((x, y), kind="regression")
    assert (values.classification, values.loss) == (False, "mse")
    assert np.array_equal(values.batch("train", slice(None)).targets.shape[1:], np.shape(y)[1:] or (1,))
    assert values.describe()["settings"]["kind"] == "regression"


STAYS_A_REGRESSION = {
    "halves": LABELS / 2,
    "negative": LABELS - 1.0,
    "gap": LABELS * 2.0,
    "from-one": LABELS + 1.0,
    "all-different": np.arange(40.0),
    "few-samples": np.arange(40.0) % 10,
    "two-ones": np.maximum(ONE_HOT, ONE_HOT[::-1]),
    "no-one": ONE_HOT * (np.arange(40) > 0)[:, None],
    "twos": 2 * ONE_HOT,
    "smoothed": 0.9 * ONE_HOT + 0.1 / 3,
}


@pytest.mark.parametrize("y", STAYS_A_REGRESSION.values(), ids=STAYS_A_REGRESSION)
def test_other_floats_stay_values(y):
    task = tasks.get((arrays()[0], y))
    assert not task.classification
    whole = y.ndim == 1 and (y == np.rint(y)).all()
    assert any("fitted as values" in note for note in task.notes) == whole
    if whole and len(np.unique(y)) < 40:
        asked = tasks.get((arrays()[0], y), kind="classification")
        assert asked.classes == (() if y.max() == len(np.unique(y)) - 1 else tuple(map(int, np.unique(y))))
    else:
        with pytest.raises(ValueError, match=r"labels?"):
            tasks.get((arrays()[0], y), kind="classification")


def test_kind_and_standardising_settle_what_floats_are():
    x = arrays()[0]
    assert tasks.get((x, np.arange(40.0) % 10), kind="classification").n_out == 10
    assert not tasks.get((x, LABELS.astype(float)), standardise_targets=True).classification
    assert tasks.get((x, LABELS), kind="regression").batch("train", slice(None)).targets.shape == (32, 1)
    both = tasks.get((x, LABELS, x, LABELS.astype(float)))
    assert both.classification
    assert "y_train and y_test: floats that are whole numbers" in both.notes[0]
    absent = np.eye(5)[LABELS]  # a class of which no sample is there
    assert tasks.get((x, absent)).n_out == 5
    with pytest.raises(ValueError, match=r"y_train holds labels, y_test 1 values per sample"):
        tasks.get((x, LABELS, x, LABELS / 2))
    with pytest.raises(ValueError, match=r"kind must be one of 'auto', 'classification', 'regression'"):
        tasks.get((x, LABELS), kind="labels")


def test_a_run_says_how_labels_were_read():
    import noisysim

    said = str(noisysim.run((arrays()[0], LABELS.astype(float)), layers=[4], epochs=1))
    assert "floats that are whole numbers, read as labels (kind='regression'" in said


LAYOUTS = [
    ((20, 6, 5, 3), "nhwc", (3, 6, 5), True),
    ((20, 6, 5, 1), "nhwc", (1, 6, 5), True),
    ((20, 3, 6, 5), "nchw", (3, 6, 5), False),
    ((20, 1, 6, 6), "nchw", (1, 6, 6), False),
    ((20, 2, 6, 5), "nchw", (2, 6, 5), False),
    ((20, 8, 6, 6), "nchw", (8, 6, 6), False),
    ((20, 3, 4, 4), "nchw", (3, 4, 4), True),
    ((20, 1, 1, 1), "nchw", (1, 1, 1), False),
    ((20, 2, 5, 4), "nchw", (2, 5, 4), True),
]


@pytest.mark.parametrize(("shape", "axes", "sample", "said"), LAYOUTS)
def test_channels_are_found(shape, axes, sample, said, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    y = np.arange(20) % 2
    task = tasks.get((x, y, x, y))
    assert task.input_shape == sample
    assert task.settings["axes"] == axes
    assert any(f"axes='{axes}'" in note for note in task.notes) == said
    first = np.moveaxis(x, -1, 1) if axes == "nhwc" else x
    assert np.array_equal(task.train.inputs, first.reshape(20, -1))
    for chosen, channels in (("nchw", shape[1:]), ("nhwc", (shape[3], *shape[1:3]))):
        settled = tasks.get((x, y, x, y), axes=chosen)
        assert (settled.input_shape, settled.notes) == (channels, ())
    file = tasks.get(write_hdf5(tmp_path / "own.h5", x_train=x / 2, y_train=y, x_test=x / 2, y_test=y))
    assert np.array_equal(file.train.inputs, first.reshape(20, -1) / np.float32(2))
    assert file.input_shape == sample


@pytest.mark.parametrize("image", [(6, 6, 16), (8, 6, 5), (4, 4, 3), (3, 3, 16), (3, 3, 3), (4, 9, 3)])
def test_images_that_may_be_either_are_asked_about(image):
    x, y = np.random.default_rng(0).integers(0, 256, (20, *image), np.uint8), np.arange(20) % 2
    with pytest.raises(ValueError, match=r"x, \(20, .*\), may be .*: say which, axes='nchw' or axes='nhwc'"):
        tasks.get((x, y))
    assert tasks.get((x, y), axes="nhwc").input_shape == (image[2], *image[:2])


def test_axes_are_for_images():
    with pytest.raises(ValueError, match=r"axes='nhwc' is for images with four axes, but x has the shape \(40, 5\)"):
        tasks.get(arrays(), axes="nhwc")


@pytest.mark.parametrize("how", ["feature", "global"])
@pytest.mark.parametrize("dtype", [np.float64, np.int64])
@pytest.mark.parametrize("form", ["arrays", "file"])
def test_an_offset_changes_nothing_that_is_standardised(how, dtype, form, tmp_path, monkeypatch):
    """x + 1.7e9 (seconds since 1970) is centred before it is rounded, block by block."""
    from noisysim.tasks import values

    monkeypatch.setattr(values, "BLOCK", 30)
    x = np.round(np.random.default_rng(0).normal(0, 4096, (40, 5))).astype(dtype)
    if how == "feature":
        x[:, 2] = 7  # one that never varies
    far = x + dtype(1_700_000_000)
    near, shifted = (
        tasks.get((one, LABELS, one[:9], LABELS[:9]) if form == "arrays" else write_hdf5(
            tmp_path / f"{name}.h5", x_train=one, y_train=LABELS, x_test=one[:9], y_test=LABELS[:9]
        ), standardise=how)
        for name, one in (("near", x), ("far", far))
    )  # fmt: skip
    for split in ("train", "test"):
        a, b = (task.batch(split, slice(None)).inputs for task in (near, shifted))
        np.testing.assert_allclose(a, b, atol=2e-6)
    assert "x_train is far from zero: centred before it was rounded to float32" in shifted.notes
    assert near.notes == ()
    if how == "global":
        mean = shifted.describe()["standardise"]["mean"]
        assert mean == pytest.approx(far.mean(dtype=float), rel=1e-12)
    assert shifted.crc32 != near.crc32


def test_targets_far_from_zero_are_centred_if_they_are_standardised():
    x, y = arrays("values")
    tasks_of = [tasks.get((x, y.astype(float) + shift), standardise_targets=True) for shift in (0, 1e9)]
    near, far = (task.batch("train", slice(None)).targets for task in tasks_of)
    np.testing.assert_allclose(near, far, atol=1e-6)
    means = [task.describe()["standardise"]["target_mean"] for task in tasks_of]
    assert np.subtract(*means[::-1]) == pytest.approx([1e9, 1e9], abs=1e-5)


MASKED = np.ma.masked_equal(np.arange(200.0).reshape(40, 5), 7.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((MASKED, LABELS), "x is a masked array with 1 values masked"),
        ((list(MASKED), LABELS), "x is a masked array with 1 values masked"),
        ((np.arange(200.0).reshape(40, 5), MASKED), "y is a masked array with 1 values masked"),
        ((MASKED.data, np.ma.masked_less(LABELS, 1)), "y is a masked array with 14 values masked"),
        ((np.where(np.eye(40, 5), None, 1.0), LABELS), "x must hold real numbers, not objects, in row 0 None"),
        ((MASKED.data.astype(object), LABELS), r"x must hold real numbers, not objects: .*astype\(float\)"),
        ((MASKED.data, [*map(float, LABELS[1:]), None]), "y must hold real numbers, not objects, in row 39 None"),
        ((MASKED.data, [*map(float, LABELS[1:]), np.nan]), "y holds NaN"),
    ],
)
def test_what_is_missing_is_refused_and_counted(given, said):
    with pytest.raises(ValueError, match=f"arrays: {said}"):
        tasks.get(given)


def test_a_mask_that_hides_nothing_is_no_matter():
    x = np.ma.masked_equal(MASKED.data, -1.0)
    assert tasks.get((x, LABELS)).crc32 == tasks.get((MASKED.data, LABELS)).crc32


def test_a_file_with_missing_values_or_false_sizes_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = write_hdf5(tmp_path / "own.h5", x=MASKED.data, y=LABELS)
    with h5py.File(path, "r+") as file:
        file["x"].attrs["_FillValue"] = np.float64(7.0)
    with pytest.raises(ValueError, match=r"own.h5: x has 1 missing values \(_FillValue\)"):
        tasks.get(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (10**9, 10**5), np.float64, chunks=(1000, 1000), compression="gzip")
        file["y"] = LABELS
    with pytest.raises(ValueError, match=r"own.h5: x claims \(1000000000, 100000\), far more than the 0 bytes stored"):
        tasks.get(path)


X, Y = arrays()
HOLED = X.copy()
HOLED[7, 2] = np.nan
ENDLESS = np.where(np.arange(40)[:, None] == 9, np.inf, X)
BOTH_WAYS = X.copy()
BOTH_WAYS[3, :2] = np.inf, -np.inf


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((HOLED, Y), r"x holds NaN, infinite or too large values \(first in row 7\)"),
        ((X, Y, ENDLESS, Y), r"x_test holds NaN, infinite or too large values \(first in row 9\)"),
        ((X, Y, BOTH_WAYS, Y), r"x_test holds NaN.* row 3"),
        ((X.astype(float) * 1e300, Y), "x holds NaN, infinite or too large"),
        ((X, HOLED), "y holds NaN"),
        ((X, Y, X, Y[:-1]), "x_test has 40 samples, y_test has 39"),
        ((X, Y, X[:, :4], Y), r"a sample of x_train is \(5,\), one of x_test \(4,\)"),
        ((X, Y, X, HOLED * 0), "y_test holds NaN"),
        ((X, Y, X, X), "y_train holds labels, y_test 5 values per sample"),
        ((X, X[:, :2], X, X), "y_train holds 2 values per sample, y_test 5 values per sample"),
        ((X[:0], Y[:0]), "x is empty"),
        ((X[:, :0], Y), "x is empty"),
        ((X, Y, X, []), "y_test is empty"),
        ((X[:1], Y[:1]), "at least 2"),
        ((X[:, 0], Y), r"x must be \(samples, inputs\), not \(40,\)"),
        ((X, np.stack([Y, Y], 1)), r"labels must be \(samples,\)"),
        ((X, X[:, :, None]), r"y must be \(samples,\) or \(samples, outputs\)"),
        ((X, np.arange(40) * 7), "y: 40 different whole numbers in 40 samples: kind='classification' takes"),
        ((X, [f"id {k}" for k in range(40)]), "y: 40 different texts in 40 samples are hardly labels"),
        ((X, Y * 0), "two classes or more, but all are 0"),
        ((X, ["a"] * 40), "two classes or more, but all are 'a'"),
        ((X, Y, X, Y.astype(str)), "y_train and y_test: one holds text, the other none"),
        ((X, ["a", ""] * 20), r"y has 20 missing labels \(first in row 1\)"),
        ((X, ["a", None] * 20), r"y has 20 missing labels \(first in row 1\)"),
        ((X, np.stack([Y, Y], 1).astype(str)), r"y holds text of shape \(40, 2\): labels must be \(samples,\)"),
        ((X, Y, X, np.full(40, 3)), "the label 3 is in the test split alone"),
        ((X, Y, X, np.arange(40) % 6), "the labels 3, 4, 5 are in the test split alone"),
        ((X, ["rare", *"ab" * 19, "b"]), "the label 'rare' is too rare to be in both splits"),
        ((X.astype(complex), Y), "x must hold real numbers, not complex"),
        ((X.astype(str), Y), "x must hold real numbers"),
        (([[1, 2], [3]], [0, 1]), "x is no array"),
        ((None, Y), "x must hold real numbers"),
    ],
)
def test_bad_arrays(given, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=f"arrays: .*{message}"):
            tasks.get(given)


def test_settings_that_do_not_fit_own_data():
    values = arrays("values")
    with pytest.raises(ValueError, match="the loss 'cce' needs labels"):
        tasks.get(values, loss="cce")
    with pytest.raises(ValueError, match="standardise_targets is for target values"):
        tasks.get((X, Y), standardise_targets=True)
    with pytest.raises(ValueError, match="task 'arrays' has no field 'n_in'"):
        tasks.get((X, Y), n_in=5)


def write_hdf5(path, **datasets):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
    return path


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".H5"])
def test_hdf5(tmp_path, suffix):
    path = write_hdf5(tmp_path / f"own{suffix}", x_train=X.astype(np.float64), y_train=Y, x_test=X, y_test=Y, extra=[1])
    for spec in (path, str(path), {"name": str(path)}):
        task = tasks.get(spec)
        assert task.name == str(path)
        assert task.n_out == 3
        assert np.array_equal(task.train.inputs, X)
        assert task.train.inputs.dtype == np.float32
    assert tasks.get(f"{path}:standardise=none,loss=mse").settings["standardise"] == "none"
    assert tasks.get(path, loss="mse").loss == "mse"


def test_hdf5_of_x_and_y(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
    task = tasks.get(write_hdf5(tmp_path / "own.h5", x=images, y=np.arange(20) % 2), seed=3)
    assert task.train.inputs.dtype == np.uint8
    assert task.input_shape == (4, 4)
    assert task.notes == ("x and y split 16/4 by the permutation of seed 3",)


def test_bad_hdf5_is_named(tmp_path):
    path = write_hdf5(tmp_path / "own.h5", x_train=X, y_train=Y, x_tets=X)
    with pytest.raises(ValueError, match=r"own.h5: no dataset x_test, y_test; it holds x_tets, x_train, y_train"):
        tasks.get(path)
    with pytest.raises(ValueError, match=r"own.h5: x holds NaN"):
        tasks.get(write_hdf5(path, x=HOLED, y=Y))
    with pytest.raises(ValueError, match=r"own.h5: labels must be of two classes or more, but all are 'a'"):
        tasks.get(write_hdf5(path, x=X, y=["a"] * 40))
    assert tasks.get(write_hdf5(path, x=X, y=["no", "yes"] * 20)).classes == ("no", "yes")
    with pytest.raises(ValueError, match=r"own.h5: no dataset y;"):
        tasks.get(write_hdf5(path, x=X))
    with pytest.raises(FileNotFoundError, match=r"no task file .*nowhere.h5"):
        tasks.get(tmp_path / "nowhere.h5")
    for keep in (0, 10, 300):
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match=r"own.h5: not a readable HDF5 file"):
            tasks.get(path)


# --- what a run relies on ------------------------------------------------------------------------------------------


def test_description_is_plain():
    import json

    x, y = arrays("values")
    for task in (tasks.get("digits"), tasks.get("student-teacher"), tasks.get((x, y), standardise_targets=True)):
        said = task.describe()
        assert json.loads(json.dumps(said)) == said
        assert {"name", "settings", "n_train", "n_test", "n_in", "n_out", "loss", "standardise", "notes"} <= set(said)


def test_description_tells_data_apart():
    x, y = arrays()
    changed = x.copy()
    changed[-1, -1] += 1
    assert tasks.get((x, y, x, y)).describe()["crc32"] != tasks.get((x, y, changed, y)).describe()["crc32"]


def test_gather_is_compiled_once():
    from noisysim.compute.cpu.loops import gather

    task = tasks.get("digits")
    out = task.batch("train", slice(0, 3))
    before = len(getattr(gather.with_labels, "signatures", ()))
    for rows in (slice(3, 6), slice(6, 0, -2), np.arange(12)[::4], np.arange(3, dtype=np.int32), [1, 2, 3]):
        task.batch("test", rows, out=out)
    assert len(getattr(gather.with_labels, "signatures", ())) == before


def test_memory_stays_near_the_data():
    import tracemalloc

    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (20_000, 784), np.uint8), np.arange(20_000) % 10)
    tasks.get("digits").batch("train", slice(0, 1))  # compiled before the count begins
    tracemalloc.start()
    task = make("images", [split, split], ImageSettings(), {}, n_out=10)
    out = task.batch("train", slice(0, 100))
    task.batch("train", slice(100, 200), out=out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.6 * split.inputs.nbytes, "no float copy of the data"


def test_import_leaves_the_heavy_packages_alone():
    heavy = ("scipy.io", "h5py", "pooch", "requests", "PIL")
    code = f"import sys, noisysim.tasks; print([m for m in {heavy} if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]"


# --- real data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mean", "std"), [("mnist", 0.1307, 0.3081), ("fashion-mnist", 0.2860, 0.3530)])
def test_real_images(name, mean, std):
    task = tasks.get(name, data=real(name))
    said = task.describe()
    assert (task.n_train, task.n_test, task.notes) == (60_000, 10_000, ())
    np.testing.assert_allclose(
        [said["standardise"]["mean"] / 255, said["standardise"]["std"] / 255], [mean, std], atol=1e-4
    )
    assert tuple(task.train.targets[:10]) == idx.FIRST_LABELS[name]
    assert np.bincount(task.test.targets).sum() == 10_000


def test_real_sets_are_not_confused():
    folder = Path(real("fashion-mnist"), "fashion-mnist")
    with pytest.raises(ValueError, match="these are the labels of fashion-mnist, not of mnist"):
        tasks.get("mnist", data=folder)


def test_real_cifar10():
    task = tasks.get("cifar10", data=real("cifar10"))
    assert (task.n_train, task.n_test, task.notes) == (50_000, 10_000, ())
    assert (np.bincount(task.train.targets) == 5000).all()
    assert (np.bincount(task.test.targets) == 1000).all()


def test_real_sarcos():
    task = tasks.get("sarcos", data=real("sarcos"))
    assert (task.n_train, task.n_test) in ((44_484, 4_449), (4_000, 449))
    raw = tasks.get("sarcos", data=real("sarcos"), standardise_targets=False)
    torques = raw.batch("train", slice(None)).targets
    assert 60 < abs(torques).max() < 300, "N m"


@pytest.mark.parametrize("task", ["digits", (np.eye(8), np.arange(8) % 2)], ids=["named", "arrays"])
def test_settings_of_a_task_that_is_made_are_refused(task):
    made = tasks.get(task)
    assert tasks.get(made) is made
    with pytest.raises(ValueError, match="is already made: give its settings where it is made"):
        tasks.get(made, standardise="none")
