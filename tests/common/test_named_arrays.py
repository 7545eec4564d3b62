"""Files of named arrays: what is written is read, and nothing else is."""

import json
import pickle

import numpy as np
import pytest

from noisysim.common import named_arrays

ARRAYS = {
    "0.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "0.bias": np.array([0.5, -1.0]),
    "count": np.array(7, np.int64),
    "empty": np.zeros((0, 3), np.float16),
    "bytes": np.arange(5, dtype=np.uint8),
    "big-endian": np.arange(3, dtype=">f4"),
    "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("ending", [*named_arrays.FORMATS, ".SafeTensors"])
def test_what_is_written_is_read(tmp_path, ending):
    path = tmp_path / f"weights{ending}"
    named_arrays.write(path, ARRAYS)
    read = named_arrays.read(path)
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].shape == array.shape
        assert read[name].dtype == array.dtype.newbyteorder("=")
        assert read[name].flags.writeable
        np.testing.assert_array_equal(read[name], array)
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [path.name]


def test_safetensors_files_are_those_of_the_library(tmp_path):
    library = pytest.importorskip("safetensors.numpy", reason="pip install safetensors")
    arrays = {name: np.ascontiguousarray(a.astype(a.dtype.newbyteorder("="))) for name, a in ARRAYS.items()}
    named_arrays.write(tmp_path / "ours.safetensors", arrays)
    (tmp_path / "theirs.safetensors").write_bytes(library.save(arrays, {"made by": "the library"}))
    for read in (library.load_file(tmp_path / "ours.safetensors"), named_arrays.read(tmp_path / "theirs.safetensors")):
        assert set(read) == set(arrays)
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype
            np.testing.assert_array_equal(read[name], array)


def safetensors(header, data=b"", length=None):
    table = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(table) if length is None else length).to_bytes(8, "little") + table + data


def test_bfloat16_becomes_float32(tmp_path):
    halves = (np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16).astype("<u2")
    entry = {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}
    (tmp_path / "a.safetensors").write_bytes(safetensors({"__metadata__": {}, "w": entry}, halves.tobytes()))
    read = named_arrays.read(tmp_path / "a.safetensors")["w"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, [1.5, -2.0])


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DAMAGED = {
    "short": (b"abc", "too short for its table"),
    "long-table": (safetensors(b"{}", length=1000), "too short for its table"),
    "no-json": (safetensors(b"{]"), "is not a readable .safetensors file"),
    "not-utf8": (safetensors(b"\xff\xfe\xff"), "is not a readable .safetensors file"),
    "no-table": (safetensors([1]), "its table of contents is no table"),
    "no-type": (safetensors({"w": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)), "dtype"),
    "unknown-type": (safetensors({"w": F32 | {"dtype": "F8_E4M3"}}, bytes(8)), "'w' has the type 'F8_E4M3'"),
    "no-data": (safetensors({"w": F32}, bytes(7)), r"'w' declares the shape \[2\]"),
    "other-size": (safetensors({"w": F32 | {"shape": [3]}}, bytes(12)), r"'w' declares the shape \[3\]"),
    "negative": (safetensors({"w": F32 | {"shape": [-2]}}, bytes(8)), r"'w' has the shape \[-2\]"),
    "backwards": (safetensors({"w": F32 | {"data_offsets": [-8, 0]}}, bytes(8)), "at bytes"),
    "one-offset": (safetensors({"w": F32 | {"data_offsets": [0]}}, bytes(8)), "is not a readable"),
    "entry": (safetensors({"w": 3}, bytes(8)), "is not a readable"),
}


@pytest.mark.parametrize(("content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_safetensors_file_that_does_not_hold_what_it_declares_is_refused(tmp_path, content, said):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        named_arrays.read(tmp_path / "w.safetensors")
    assert len(str(caught.value).splitlines()) == 1


class Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_objects_in_npz_files_are_refused_and_not_executed(tmp_path):
    objects = np.empty(1, object)
    objects[0] = Harmful()
    np.savez(tmp_path / "w.npz", w=objects)
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Harmful()))
    (tmp_path / "zip.npz").write_bytes(b"PK\x03\x04 and no more")
    for name in ("w.npz", "pickle.npz", "zip.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a readable .npz file"):
            named_arrays.read(tmp_path / name)


def test_names_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"ends in .npz or .safetensors, not .*weights.pt"):
        named_arrays.read(tmp_path / "weights.pt")
    with pytest.raises(TypeError, match="is given by its path, not by 3"):
        named_arrays.write(3, {})
    with pytest.raises(FileNotFoundError, match=r"no file .*none.npz"):
        named_arrays.read(tmp_path / "none.npz")
