"""Files are written whole, by one writer in the package."""

import ast
from pathlib import Path

import pytest

import noisysim
from noisysim.common import locking, writing

ROOT = Path(noisysim.__file__).parent
WRITERS = {
    "cli/commands.py": "the null device, in place of an output that nobody reads",
    "common/writing.py": "the writer itself",
    "common/locking.py": "lock files, which are empty but for who holds them",
    "compute/jit/cache.py": "writes relative to a folder that it opened and checked, so that no link leads elsewhere",
    "studies/journal.py": "appends records, each with its length and hash",
}
"""Modules that open files for writing themselves, and why."""


def written_by(source):
    """Lines of a module that write a file without `writing.drafted`, `replace` or `hold`."""
    tree = ast.parse(source)
    drafts = {
        item.optional_vars.id
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and "drafted" in ast.unparse(item.context_expr)
    }
    memory = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "BytesIO" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (place := target_of(node)) not in (None, *drafts, *memory):
            yield node.lineno, place


def target_of(call):
    """What a call writes to, as text; None if it writes nothing."""
    name, words = ast.unparse(call.func), [ast.unparse(one) for one in call.args]
    modes = [*words[1:2], *(ast.unparse(k.value) for k in call.keywords if k.arg == "mode")]
    if name in ("open", "io.open", "gzip.open", "h5py.File") and any(set(mode) & set("wax+") for mode in modes):
        return words[0]
    if name.endswith((".write_text", ".write_bytes", ".touch")):
        return name.rpartition(".")[0]
    if name in ("os.replace", "os.rename", "np.save", "np.savez", "np.savetxt", "shutil.move", "json.dump"):
        return words[0]
    if name == "os.open" and any(flag in " ".join(words) for flag in ("O_WRONLY", "O_RDWR", "O_APPEND")):
        return words[0]
    return None


@pytest.mark.parametrize(
    ("source", "places"),
    [
        ("open(path, 'w')", ["path"]),
        ("open(path, 'rb')\nopen(path)", []),
        ("path.write_text('x')", ["path"]),
        ("os.replace(a, b)", ["a"]),
        ("h5py.File(path, 'w')", ["path"]),
        ("with drafted(path) as draft:\n    draft.write_bytes(b'x')", []),
        ("image = io.BytesIO()\nh5py.File(image, 'w')", []),
        ("os.open(path, os.O_RDWR)", ["path"]),
    ],
)
def test_the_search_finds_writers(source, places):
    assert [place for _, place in written_by(source)] == places


def test_every_file_of_the_package_is_written_by_the_writer():
    writers = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(("papers/", "devices/models/")) and (lines := list(written_by(path.read_text()))):
            writers[name] = lines
    assert writers.keys() == WRITERS.keys(), {name: writers[name] for name in writers.keys() - WRITERS.keys()}


def test_a_draft_takes_the_place_of_a_file_in_one_step(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")
    with writing.drafted(path) as draft:
        draft.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["data.bin"]


def test_a_draft_that_fails_leaves_the_file_and_nothing_else(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")

    def fail():
        with writing.drafted(path) as draft:
            draft.write_bytes(b"n")
            raise RuntimeError("half")

    with pytest.raises(RuntimeError, match="half"):
        fail()
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["data.bin"]


def test_without_flock_a_warning_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "fcntl", None)
    with pytest.warns(RuntimeWarning, match="is on a system without locks"):
        writing.replace(tmp_path / "run.h5", b"content")
    assert [one.name for one in tmp_path.iterdir()] == ["run.h5"]
