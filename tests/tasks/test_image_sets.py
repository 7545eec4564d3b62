"""Tiny ImageNet and autoencoding: small archives in the official format, and what a task of images of its own holds."""

import contextlib
import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import noisysim
from noisysim import tasks
from noisysim.common.fields import declared
from noisysim.tasks import autoencoding, decoded, sources
from noisysim.tasks.image_sets import tiny_imagenet
from noisysim.tasks.noise import input_noise

REAL = os.environ.get("NOISYSIM_DATA")
WNIDS = ["n02124075", "n04067472", "n01443537"]  # out of order, as the official list is


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """No network, and an empty cache folder."""
    pooch = pytest.importorskip("pooch")

    def offline(url, **_):
        raise ConnectionError(f"no way to {url}")

    monkeypatch.setattr(pooch, "retrieve", offline)
    monkeypatch.setattr(sources, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("NOISYSIM_DATA", raising=False)
    return tmp_path / "cache" / "tiny-imagenet" / "decoded.h5"


def real(name):
    """The folder of real data, or a skip that says what is missing."""
    if not REAL or not Path(REAL, name).exists():
        pytest.skip(f"NOISYSIM_DATA names no folder with {name}/")
    return REAL


# --- Tiny ImageNet: files in the official format -------------------------------------------------------------------


def jpeg(shade, mode="RGB", size=(64, 64)):
    """A picture of one colour (which JPEG keeps to a level or two), brighter to the right."""
    ramp = np.linspace(0, 60, size[0])[None, :, None] + np.array(shade)
    picture = Image.fromarray(np.broadcast_to(ramp, (size[1], size[0], 3)).astype(np.uint8)).convert(mode)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    return stream.getvalue()


def shade(kind, number):
    return (20 + 50 * kind, 10 * number % 190, 150 - 40 * kind)


def official(n_train=12, n_test=6):
    """The files of a small set, name to content."""
    files = {"wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS).encode(), "words.txt": b"n02124075\tcat\n"}
    for kind, wnid in enumerate(WNIDS):
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b"name\t0\t0\t63\t63\n"
        for k in range(n_train):
            files[f"train/{wnid}/images/{wnid}_{k}.JPEG"] = jpeg(shade(kind, k), "L" if k == 3 else "RGB")
    lines = []
    for k in range(n_test):
        files[f"val/images/val_{k}.JPEG"] = jpeg(shade(k * 2 % 3, k + 1))
        lines.append(f"val_{k}.JPEG\t{WNIDS[k * 2 % 3]}\t0\t32\t44\t62\n")
    files["val/val_annotations.txt"] = "".join(lines).encode()
    files["test/images/test_0.JPEG"] = jpeg((1, 2, 3))
    return files


def write_zip(path, files, prefix="tiny-imagenet-200/", method=zipfile.ZIP_DEFLATED):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(prefix, b"")  # the official archive lists its folders
        for name in sorted(files):
            archive.writestr(prefix + name, files[name])
    return path


def write_folder(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write(tmp_path, files, form):
    if form == "zip":
        return write_zip(tmp_path / "tiny-imagenet" / "tiny-imagenet-200.zip", files)
    return write_folder(tmp_path / "tiny-imagenet" / "tiny-imagenet-200", files)


def get(tmp_path, **settings):
    return tasks.get("tiny-imagenet", data=tmp_path, **settings)


def decoded_as(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).transpose(2, 0, 1).reshape(-1)


def check_tiny(task, files):
    names = [f"train/{wnid}/images/{wnid}_{k}.JPEG" for wnid in WNIDS for k in range(12)]
    assert np.array_equal(task.train.inputs, [decoded_as(files[name]) for name in names])
    assert task.train.targets.tolist() == [0] * 12 + [1] * 12 + [2] * 12
    assert np.array_equal(task.test.inputs, [decoded_as(files[f"val/images/val_{k}.JPEG"]) for k in range(6)])
    assert task.test.targets.tolist() == [0, 2, 1, 0, 2, 1]
    for split in (task.train, task.test):
        assert (split.inputs.dtype, split.targets.dtype) == (np.uint8, np.int64)
        assert split.inputs.flags.carray
    assert (task.n_in, task.n_out, task.input_shape, task.loss) == (12288, 3, (3, 64, 64), "cce")


@pytest.mark.parametrize(
    ("form", "folder"),
    [("zip", folder) for folder in ("tiny-imagenet", "tiny-imagenet-200", ".")]
    + [("folder", folder) for folder in ("tiny-imagenet/tiny-imagenet-200", "tiny-imagenet-200", "tiny-imagenet", ".")],
)
def test_tiny_imagenet_is_found(tmp_path, form, folder):
    files = official()
    data = tmp_path / "data"
    if form == "zip":
        write_zip(data / folder / "tiny-imagenet-200.zip", files)
    else:
        write_folder(data / folder, files)
    before = sorted(data.rglob("*"))
    check_tiny(get(data), files)
    assert sorted(data.rglob("*")) == before, "nothing is unpacked or written beside the data"


def test_the_colours_are_where_they_belong(tmp_path):
    write(tmp_path, official(), "zip")
    task = get(tmp_path)
    red, green, blue = task.train.inputs[2 * 12 + 5].reshape(3, 64, 64).astype(int)
    for plane, level in zip((red, green, blue), shade(2, 5), strict=True):
        assert abs(plane[:, 0] - level).max() <= 6
        assert abs(plane[:, -1] - level - 60).max() <= 6
    grey = task.train.inputs[3].reshape(3, -1)
    assert np.array_equal(grey[0], grey[1])
    assert np.array_equal(grey[0], grey[2])


def test_what_is_said_of_the_set(tmp_path):
    write(tmp_path, official(), "zip")
    said = get(tmp_path).describe()["notes"]
    assert said[0] == "tested on the validation split: the published test split has no labels"
    assert said[1:] == [
        "not the published 100,000 + 10,000 images: 36 + 6 found",
        "not the published 200 classes: 3 found",
    ]


def test_archive_and_folder_hold_the_same(tmp_path):
    files = official()
    write(tmp_path / "a", files, "zip")
    write(tmp_path / "b", files, "folder")
    described = get(tmp_path / "a").describe()
    assert get(tmp_path / "b").describe() == described


def test_other_files_are_no_images(tmp_path):
    files = official()
    more = {"train/.DS_Store": b"x", "train/n02124075/images/._n02124075_0.JPEG": b"x", "val/images/Thumbs.db": b"x"}
    write(tmp_path / "a", {**files, **more}, "zip")
    check_tiny(get(tmp_path / "a"), files)
    write(tmp_path / "b", {**files, **more}, "folder")
    check_tiny(get(tmp_path / "b"), files)


def test_names_in_an_archive_are_no_paths(tmp_path):
    files = official()
    trace = tmp_path / "trace.JPEG"
    picture = jpeg((200, 0, 0))
    path = write_zip(tmp_path / "data" / "tiny-imagenet-200.zip", files)
    with zipfile.ZipFile(path, "a") as archive:
        for name in (
            str(trace),
            "../trace.JPEG",
            "tiny-imagenet-200/../trace.JPEG",
            "tiny-imagenet-200/train/n02124075/images/../../trace.JPEG",
            "tiny-imagenet-200/train/../images/trace.JPEG",
        ):
            archive.writestr(name, picture)
    with pytest.raises(ValueError, match=r"wnids\.txt does not list \.\., the class of"):
        get(tmp_path / "data")
    assert not trace.exists()


def test_annotations_lead_nowhere_else(tmp_path):
    files = official()
    write(tmp_path, {**files, "val/val_annotations.txt": b"../../secret.JPEG\tn02124075\n"}, "folder")
    (tmp_path / "tiny-imagenet" / "tiny-imagenet-200" / "secret.JPEG").write_bytes(jpeg((0, 0, 0)))
    with pytest.raises(ValueError, match=r"holds no val/images/\.\./\.\./secret.JPEG"):
        get(tmp_path)


IMAGE, TEST_IMAGE = "train/n04067472/images/n04067472_7.JPEG", "val/images/val_4.JPEG"
LISTED = b"n02124075\nn04067472\nn01443537\n"
DAMAGES = {
    "no image": ({IMAGE: b"not a picture"}, f"{IMAGE}: not a JPEG image"),
    "empty": ({TEST_IMAGE: b""}, f"{TEST_IMAGE}: not a JPEG image"),
    "cut short": ({IMAGE: jpeg((90, 90, 90))[:400]}, f"{IMAGE}: not a readable JPEG image"),
    "wrong size": ({TEST_IMAGE: jpeg((1, 1, 1), size=(64, 63))}, f"{TEST_IMAGE}: 64 x 63 pixels, not 64 x 64"),
    "another format": ({IMAGE: b"\x89PNG\r\n\x1a\n" + bytes(40)}, f"{IMAGE}: not a JPEG image"),
    "too large": ({IMAGE: jpeg((1, 1, 1)) + bytes(1 << 20)}, f"{IMAGE} is larger than 1,048,576 bytes"),
    "unlisted class": ({"wnids.txt": b"n02124075\nn01443537\n"}, "wnids.txt does not list n04067472"),
    "class without images": ({"wnids.txt": LISTED + b"n00000001\n"}, "no image in train/n00000001/images"),
    "class twice": ({"wnids.txt": LISTED + b"n01443537\n"}, "two classes or more, each once"),
    "one class": ({"wnids.txt": b"n02124075\n"}, "two classes or more, each once"),
    "no class": ({"wnids.txt": b"\n"}, "two classes or more, each once"),
    "no text": ({"wnids.txt": b"\xff\xfe\x00"}, "wnids.txt is no text"),
    "no annotation": ({"val/val_annotations.txt": b"\n"}, "val_annotations.txt names no image"),
    "annotation cut": ({"val/val_annotations.txt": b"val_1.JPEG\n"}, "gives val_1.JPEG the class '', which wnids.txt"),
    "unknown class": ({"val/val_annotations.txt": b"val_1.JPEG\tn7\n"}, "gives val_1.JPEG the class 'n7', which wnids"),
    "two labels": ({"val/val_annotations.txt": b"val_1.JPEG\tn02124075\n" * 2}, "gives val_1.JPEG two classes"),
    "no such image": ({"val/val_annotations.txt": b"val_9.JPEG\tn02124075\n"}, "holds no val/images/val_9.JPEG, which"),
}


@pytest.mark.parametrize("form", ["zip", "folder"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(tmp_path, cache, form, damage):
    changed, message = DAMAGES[damage]
    path = write(tmp_path, {**official(), **changed}, form)
    with pytest.raises(ValueError, match=message.replace(".", r"\.")) as caught:
        get(tmp_path)
    assert str(path) in str(caught.value)
    assert "0x" not in str(caught.value).replace(str(tmp_path), ""), "no address in memory"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not cache.exists()


@pytest.mark.parametrize("gone", ["wnids.txt", "val/val_annotations.txt"])
def test_an_archive_that_lacks_a_list(tmp_path, gone):
    files = official()
    del files[gone]
    write(tmp_path, files, "zip")
    with pytest.raises(ValueError, match=f"tiny-imagenet-200.zip: holds no {gone}"):
        get(tmp_path)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_truncated_zip(tmp_path, share):
    path = write(tmp_path, official(), "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"tiny-imagenet-200\.zip: damaged archive"):
        get(tmp_path)


def test_flipped_bytes_of_a_zip(tmp_path):
    path = write_zip(tmp_path / "tiny-imagenet-200.zip", official(), method=zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"tiny-imagenet-200\.zip: .* cannot be read \(Bad CRC-32"):
        get(tmp_path)


def test_an_archive_of_something_else(tmp_path):
    write_zip(tmp_path / "tiny-imagenet-200.zip", official(), prefix="other/")
    with pytest.raises(ValueError, match=r"holds no wnids\.txt"):
        get(tmp_path)


# --- the cache of decoded images -----------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """How many images were decoded."""
    names, pixels = [], tiny_imagenet.pixels
    monkeypatch.setattr(tiny_imagenet, "pixels", lambda content, where: names.append(where) or pixels(content, where))
    return names


@pytest.mark.parametrize("form", ["zip", "folder"])
def test_the_second_start_decodes_nothing(tmp_path, cache, counted, form):
    files = official()
    write(tmp_path, files, form)
    first = get(tmp_path)
    assert len(counted) == 42
    assert os.listdir(cache.parent) == [cache.name], "no draft is left"
    again = get(tmp_path, standardise="feature")
    assert len(counted) == 42
    check_tiny(again, files)
    assert get(tmp_path).describe() == first.describe()
    assert not np.shares_memory(first.train.inputs, again.train.inputs)
    again.train.inputs[:] = 0
    assert get(tmp_path).describe() == first.describe(), "a task's arrays are its own"


def test_a_second_start_from_the_archive_does_not_even_open_it(tmp_path, monkeypatch):
    write(tmp_path, official(), "zip")
    first = get(tmp_path)
    monkeypatch.setattr(tiny_imagenet.zipfile, "ZipFile", None)
    assert get(tmp_path).describe() == first.describe()


def later(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1000))


def change_image(files):
    return {**files, IMAGE: jpeg((250, 250, 0))}


@pytest.mark.parametrize("how", ["content", "time", "name"])
def test_another_archive_is_decoded_again(tmp_path, cache, counted, how):
    files = official()
    path = write(tmp_path, files, "zip")
    status = path.stat()
    get(tmp_path)
    if how == "content":
        files = change_image(files)
        write(tmp_path, files, "zip")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # its size tells
        assert path.stat().st_size != status.st_size
    elif how == "time":
        later(path)
    else:
        shutil.rmtree(path.parent)
        write(tmp_path, files, "folder")
    check_tiny(get(tmp_path), files)
    assert len(counted) == 84
    check_tiny(get(tmp_path), files)
    assert len(counted) == 84, "the cache follows"


@pytest.mark.parametrize("how", ["content", "time", "more", "less"])
def test_a_folder_that_changed_is_decoded_again(tmp_path, cache, counted, how):
    files = official()
    root = write(tmp_path, files, "folder")
    get(tmp_path)
    if how == "content":
        (root / IMAGE).write_bytes(jpeg((250, 250, 0)))
    elif how == "time":
        later(root / TEST_IMAGE)
    elif how == "more":
        (root / IMAGE.replace("_7", "_12")).write_bytes(jpeg((250, 250, 0)))
    else:
        (root / IMAGE).unlink()
    counted.clear()
    task = get(tmp_path)
    assert len(counted) == {"more": 43, "less": 41}.get(how, 42)
    if how == "content":
        check_tiny(task, change_image(files))


def test_another_jpeg_library_decodes_again(tmp_path, counted, monkeypatch):
    from PIL import features

    write(tmp_path, official(), "zip")
    get(tmp_path)
    monkeypatch.setattr(features, "version", lambda name: "0.0")
    get(tmp_path)
    assert len(counted) == 84


def flip_pixel(path):
    with h5py.File(path, "r+") as file:
        file["x_train"][5, 700] ^= 1


def drop_dataset(path):
    with h5py.File(path, "r+") as file:
        del file["y_test"]


def drop_attribute(path):
    with h5py.File(path, "r+") as file:
        del file.attrs["source"]


CACHE_DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5000]),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "empty": lambda path: path.write_bytes(b""),
    "other": lambda path: path.write_bytes(b"something else" * 100),
    "pixel": flip_pixel,
    "dataset": drop_dataset,
    "attribute": drop_attribute,
}


@pytest.mark.parametrize("damage", CACHE_DAMAGES)
def test_a_damaged_cache_is_written_anew(tmp_path, cache, counted, damage):
    files = official()
    write(tmp_path, files, "zip")
    get(tmp_path)
    CACHE_DAMAGES[damage](cache)
    check_tiny(get(tmp_path), files)
    assert len(counted) == 84
    check_tiny(get(tmp_path), files)
    assert len(counted) == 84


def test_without_a_cache_folder_it_goes_on(tmp_path, counted, monkeypatch):
    files = official()
    write(tmp_path, files, "zip")
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setattr(sources, "cache_folder", lambda: blocked)
    for _ in range(2):
        check_tiny(get(tmp_path), files)
    assert len(counted) == 84


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("unable to flush"), KeyboardInterrupt()]
)
def test_a_write_that_fails_leaves_nothing(tmp_path, cache, monkeypatch, error):
    files = official()
    write(tmp_path, files, "zip")

    def fail(splits):
        raise error

    monkeypatch.setattr(decoded, "_crc", fail)
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path)
    else:
        check_tiny(get(tmp_path), files)
    assert os.listdir(cache.parent) == []


def test_a_cache_that_is_read_only(tmp_path, cache, counted):
    if os.geteuid() == 0:
        pytest.skip("root writes to every folder")
    write(tmp_path, official(), "zip")
    cache.parent.mkdir(parents=True)
    cache.parent.chmod(0o500)
    check_tiny(get(tmp_path), official())


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("block", [1, 5, 1000])
def test_threads_and_blocks_change_nothing(tmp_path, monkeypatch, threads, block):
    files = official()
    write(tmp_path, files, "zip")
    monkeypatch.setattr(tiny_imagenet, "THREADS", threads)
    monkeypatch.setattr(tiny_imagenet, "BLOCK", block)
    check_tiny(get(tmp_path), files)


def test_the_first_of_several_damages_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_imagenet, "BLOCK", 1)
    other = IMAGE.replace("_7", "_9")
    write(tmp_path, {**official(), IMAGE: b"x", other: b"x"}, "zip")
    for _ in range(5):
        with pytest.raises(ValueError, match=r"n04067472_7\.JPEG: not a JPEG"):
            get(tmp_path)


def test_a_download_is_checked_and_read(tmp_path, monkeypatch):
    import pooch

    files, asked = official(), []
    server = write_zip(tmp_path / "server.zip", files)

    def retrieve(url, *, known_hash, fname, path, downloader):
        asked.append((url, known_hash))
        path.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(server, path / fname))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for _ in range(2):
        check_tiny(tasks.get("tiny-imagenet"), files)
    assert asked == [("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "md5:90528d7ca1a48142e341f4ef8d21d0de")]


# --- autoencoding --------------------------------------------------------------------------------------------------


def auto(of="digits", **settings):
    return tasks.get("autoencoding", of=of, **settings)


def test_targets_are_the_inputs():
    task, digits = auto(), tasks.get("digits")
    assert (task.name, task.loss, task.classification) == ("autoencoding", "mse", False)
    assert (task.n_in, task.n_out, task.n_train, task.n_test) == (64, 64, 1437, 360)
    assert task.input_shape == (8, 8)
    for split, theirs in (("train", digits.train), ("test", digits.test)):
        batch = task.batch(split, slice(None))
        np.testing.assert_array_equal(batch.inputs, theirs.inputs / np.float32(16))
        np.testing.assert_array_equal(batch.targets, batch.inputs)
        assert not np.shares_memory(batch.targets, batch.inputs)
        assert np.array_equal(getattr(task.labels, split), theirs.targets)
    loss = batch.loss(np.zeros_like(batch.targets), batch.targets)
    np.testing.assert_allclose(loss, (batch.targets.astype(float) ** 2).sum(axis=1) / 2)
    assert digits.labels is None


def test_targets_are_no_second_copy():
    task = auto()
    for split in (task.train, task.test):
        assert split.targets is split.inputs
        assert split.inputs.dtype == np.uint8
    again = pickle.loads(pickle.dumps(task))
    assert again.train.targets is again.train.inputs
    assert again.describe() == task.describe()


@pytest.mark.parametrize("how", ["unit", "global", "feature", "none"])
def test_inputs_and_targets_are_standardised_alike(how):
    task = auto(standardise=how)
    batch, plain = task.batch("train", slice(0, 50)), tasks.get("digits", standardise=how).batch("train", slice(0, 50))
    np.testing.assert_array_equal(batch.inputs, plain.inputs)
    np.testing.assert_array_equal(batch.targets, plain.inputs)
    said = task.describe()
    assert said["standardise"] == {**tasks.get("digits", standardise=how).describe()["standardise"],
                                   "targets": "as the inputs"}  # fmt: skip
    assert said["settings"] == {"of": "digits", "standardise": how, "noise": 0.0, "loss": "mse"}


def test_forms_and_defaults():
    described = auto(noise=0.5, seed=3).describe()
    for spec in ("autoencoding:of=digits,noise=0.5", {"name": "autoencoding", "of": "digits", "noise": 0.5}):
        assert tasks.get(spec, seed=3).describe() == described
    made_again = {"name": described["name"], **described["settings"]}
    assert tasks.get(made_again, seed=3).describe() == described
    assert tasks.settings("autoencoding")().of == "mnist"
    assert "narrow layer" in tasks.about("autoencoding")
    task = auto()
    assert task.defaults["batch_size"] == 32
    assert task.defaults["epochs"] == 10
    assert [layer.partition(",")[0] for layer in task.defaults["layers"]] == ["dense(200", "dense(2", "dense(200"]


def test_every_task_of_images_can_be_autoencoded():
    images = {n for n in tasks.names() if "unit" in declared(tasks.settings(n))["standardise"].choices}
    assert images == {*autoencoding.IMAGE_TASKS, "autoencoding"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"of": "sarcos"}, r"autoencoding\.of must be one of .*'tiny-imagenet', not 'sarcos'"),
        ({"of": "mnits"}, "did you mean 'mnist'"),
        ({"of": "autoencoding"}, r"autoencoding\.of must be one of"),
        ({"noise": -0.1}, r"autoencoding\.noise must be a number >= 0"),
        ({"noise": float("inf")}, r"autoencoding\.noise"),
        ({"loss": "cce"}, r"autoencoding\.loss must be one of 'mse'"),
        ({"labels": "fine"}, "has no field 'labels'"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        tasks.get("autoencoding", **settings)


def test_of_data_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"task 'cifar100': no cifar-100-python\.tar\.gz"):
        auto("cifar100", data=tmp_path)


def test_autoencoding_of_tiny_imagenet(tmp_path):
    files = official()
    write(tmp_path, files, "zip")
    task = auto("tiny-imagenet", data=tmp_path)
    assert (task.n_in, task.n_out, task.input_shape) == (12288, 12288, (3, 64, 64))
    assert task.labels.test.tolist() == [0, 2, 1, 0, 2, 1]
    assert task.notes[0].startswith("tested on the validation split")
    batch = task.batch("test", slice(0, 2))
    np.testing.assert_allclose(batch.targets[1] * 255, decoded_as(files["val/images/val_1.JPEG"]), rtol=1e-6)


def test_gathering_is_compiled_once_for_it():
    from noisysim.compute.cpu.loops import gather

    task = auto()
    out = task.batch("train", slice(0, 3))
    before = len(getattr(gather.with_values, "signatures", ()))
    for rows in (slice(3, 6), slice(6, 0, -2), np.arange(12)[::4], [1, 2, 3]):
        task.batch("test", rows, out=out)
    assert len(getattr(gather.with_values, "signatures", ())) == before


# --- noise of the inputs -------------------------------------------------------------------------------------------


def noise_of(task, rows, **where):
    """What was added to the inputs of the training split."""
    batch = task.batch("train", rows, **where)
    return batch.inputs - batch.targets


def test_noise_is_on_the_inputs_to_train_on_alone():
    task, clean = auto(noise=0.3), auto()
    for rows in (slice(0, 40), np.array([-1, 5])):
        np.testing.assert_array_equal(task.batch("train", rows).targets, clean.batch("train", rows).inputs)
        np.testing.assert_array_equal(task.batch("test", rows).inputs, clean.batch("test", rows).inputs)
    assert abs(noise_of(task, slice(0, 40))).min() > 0
    np.testing.assert_array_equal(noise_of(clean, slice(0, 40)), 0)


def test_noise_is_normal():
    # 3 x 1437 x 64 draws: each check at 4.5 standard errors
    drawn = np.concatenate([noise_of(auto(noise=0.3), slice(None), epoch=e) for e in range(3)]).astype(float)
    n, z = drawn.size, drawn / 0.3
    assert abs(z.mean()) < 4.5 / np.sqrt(n)
    assert abs(z.var() - 1) < 4.5 * np.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 4.5 * np.sqrt(96 / n)
    assert abs((z[:1437] * z[1437 : 2 * 1437]).mean()) < 4.5 / np.sqrt(n / 3), "epochs are independent"
    assert abs((z[:-1] * z[1:]).mean()) < 4.5 / np.sqrt(n), "samples are independent"
    assert abs((z[:, :-1] * z[:, 1:]).mean()) < 4.5 / np.sqrt(n), "pixels are independent"


def test_noise_is_a_pure_function_of_seed_epoch_and_sample():
    task = auto(noise=0.3, seed=4)
    whole = noise_of(task, slice(None), epoch=2)
    out = task.batch("train", slice(0, 3))
    for rows in (np.array([7, 1000, 3]), np.array([3, 7, -437])):
        np.testing.assert_array_equal(noise_of(task, rows, epoch=2, out=out), whole[rows])
    np.testing.assert_array_equal(noise_of(auto(noise=0.3, seed=4), slice(None), epoch=2), whole)
    np.testing.assert_array_equal(noise_of(pickle.loads(pickle.dumps(task)), slice(0, 9), epoch=2), whole[:9])
    for other in (noise_of(task, slice(None)), noise_of(auto(noise=0.3, seed=5), slice(None), epoch=2)):
        assert (other != whole).mean() > 0.99
    twice = noise_of(auto(noise=0.6, seed=4), slice(None), epoch=2)
    np.testing.assert_allclose(twice, 2 * whole, atol=1e-6)


def test_batches_of_an_epoch_carry_its_noise():
    task = auto(noise=0.3)
    for epoch in (0, 3):
        got = np.concatenate([batch.inputs for batch in task.batches(100, seed=1, epoch=epoch)])
        np.testing.assert_array_equal(got, task.batch("train", task.order(epoch, 1), epoch=epoch).inputs)
    with pytest.raises((TypeError, ValueError), match="epoch must be a whole number >= 0"):
        task.batch("train", slice(0, 2), epoch=-1)


def test_noise_is_told_of():
    noisy = auto(noise=0.3, seed=2).describe()
    assert noisy["notes"] == ["noise of the inputs drawn with seed 2"]
    assert noisy["settings"]["noise"] == 0.3
    assert noisy["crc32"] != auto(noise=0.3, seed=1).describe()["crc32"], "a resumed run finds the same noise"
    assert auto(seed=2).describe() == auto(seed=1).describe()
    assert input_noise(0.0, 3) is None


# --- runs ----------------------------------------------------------------------------------------------------------


def options(**more):
    return {
        "layers": [8],
        "epochs": 2,
        "batch_size": 100,
        "device": "ideal",
        "learner": "bp",
        "progress": False,
        **more,
    }


def test_a_run_learns_to_pass_images_on():
    result = noisysim.run("autoencoding:of=digits", **options(epochs=4, learning_rate=1e-2))
    losses = result.history["test_loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert np.isnan(result.history["test_accuracy"]).all()


def test_a_run_is_taken_up_with_the_same_noise(tmp_path):
    path = tmp_path / "run.h5"
    whole = noisysim.run("autoencoding:of=digits,noise=0.3", seed=6, **options(), out=tmp_path / "whole.h5")
    end_epoch = noisysim.runs.training.Training._end_epoch

    def stop(training):
        end_epoch(training)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(noisysim.runs.training.Training, "_end_epoch", stop)
        noisysim.run("autoencoding:of=digits,noise=0.3", seed=6, **options(), out=path, checkpoint_seconds=0)
    resumed = noisysim.resume(path, progress=False)
    np.testing.assert_array_equal(resumed.history["test_loss"], whole.history["test_loss"])
    np.testing.assert_array_equal(resumed.steps["train_loss"], whole.steps["train_loss"])


# --- real data -----------------------------------------------------------------------------------------------------


def test_real_tiny_imagenet():
    task = tasks.get("tiny-imagenet", data=real("tiny-imagenet"))
    assert (task.n_train, task.n_test, task.n_out) == (100_000, 10_000, 200)
    assert task.notes == (tiny_imagenet.NOTE,)
    assert (np.bincount(task.train.targets) == 500).all()
    assert (np.bincount(task.test.targets) == 50).all()


def test_real_cifar100():
    for labels, n in (("fine", 100), ("coarse", 20)):
        task = tasks.get("cifar100", data=real("cifar100"), labels=labels)
        assert (task.n_train, task.n_test, task.notes) == (50_000, 10_000, ())
        assert (np.bincount(task.train.targets) == 50_000 // n).all()
        assert (np.bincount(task.test.targets) == 10_000 // n).all()


@pytest.mark.parametrize(("of", "n_in"), [("mnist", 784), ("fashion-mnist", 784), ("cifar10", 3072)])
def test_real_autoencoding(of, n_in):
    task = auto(of, data=real(of))
    batch = task.batch("train", slice(0, 1000))
    assert (task.n_in, task.n_out, task.n_train) == (n_in, n_in, len(task.labels.train))
    assert (batch.inputs.min(), batch.inputs.max()) == (0, 1)
    np.testing.assert_array_equal(batch.inputs, batch.targets)
    assert (np.bincount(task.labels.test) > 800).all()
    noisy = noise_of(auto(of, data=real(of), noise=0.3), slice(0, 1000))
    np.testing.assert_allclose(noisy.std(), 0.3, rtol=0.01)
