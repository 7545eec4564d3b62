"""The cache of machine code: whose folder it is taken from, and what damaged files, full disks and kills do to it."""

import ast
import hashlib
import itertools
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import noisysim
from noisysim.compute.jit import cache
from noisysim.devices import models

ROOT = os.geteuid() == 0
OTHER = 65534  # "nobody": somebody else, unless the tests are his
root_alone = pytest.mark.skipif(not ROOT, reason="giving a folder to another user takes root")


class Starts:
    """`starts.start`, each in a process of its own."""

    def __init__(self, *before):
        self.process = subprocess.Popen(
            [*before, sys.executable, Path(__file__).parents[1] / "support" / "starts.py"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, **arguments):
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        with self.process.stdout:
            self.process.stdin.close()
            assert self.process.wait() == 0

    def __call__(self, folder=None, **arguments):
        if folder is not None:
            arguments["NOISYSIM_CACHE"] = str(folder)
        self.ask(**arguments)
        return self.answer()


@pytest.fixture(scope="module")
def start():
    starts = Starts()
    yield starts
    starts.end()


@pytest.fixture(scope="module")
def filled(start, tmp_path_factory):
    """A cache with one file, and what the start that filled it computed."""
    folder = tmp_path_factory.mktemp("filled")
    first = start(folder)
    assert (first["found"], first["compiled"]) == (0, 1)
    return folder, first


def copied(filled, tmp_path):
    """A cache of one's own: the folder, its file, and what each start computes."""
    shutil.copytree(filled[0], tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "kernels").iterdir()
    return tmp_path / "cache", file, filled[1]["out"]


def outcome(answer):
    return answer.get("out"), answer.get("found"), answer.get("compiled")


# --- damage ---------------------------------------------------------------------------------------------------------


def truncated(size):
    return lambda file: file.write_bytes(file.read_bytes()[:size])


def garbled(at):
    def damage(file):
        content = bytearray(file.read_bytes())
        content[int(at * (len(content) - 1))] ^= 0x10
        file.write_bytes(content)

    return damage


def with_checksum(content):
    return hashlib.sha256(content).digest() + content


def of_another_key(file):
    file.write_bytes(with_checksum(cache.dumps(("another signature", "code"))))


def replaced(make):
    def damage(file):
        file.unlink()
        make(file)

    return damage


DAMAGES = {
    **{f"truncated to {size}": truncated(size) for size in (0, 1, 31, 32, 33, 1000, -1)},
    **{f"garbled at {at}": garbled(at) for at in (0, 0.001, 0.01, 0.5, 0.9, 1)},
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "no pickle": lambda file: file.write_bytes(with_checksum(b"no pickle")),
    "of another key": of_another_key,
    "missing": Path.unlink,
    "a pipe": replaced(os.mkfifo),
    "a link to nowhere": replaced(lambda file: file.symlink_to("nowhere")),
    "a link to itself": replaced(lambda file: file.symlink_to(file)),
    "a link to the file": lambda file: file.symlink_to(file.rename(file.with_suffix(".moved"))),
    "others can write": lambda file: file.chmod(0o666),
    "unreadable": lambda file: file.chmod(0),
}


@pytest.mark.pythons
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_compiled_and_written_anew(name, start, filled, tmp_path):
    folder, file, out = copied(filled, tmp_path)
    assert outcome(start(folder)) == (out, 1, 0)
    DAMAGES[name](file)
    readable = ROOT and name == "unreadable"  # by root all is
    assert outcome(start(folder)) == ((out, 1, 0) if readable else (out, 0, 1))
    assert outcome(start(folder)) == (out, 1, 0)
    assert not list(folder.rglob("*" + cache.DRAFT))


@pytest.mark.pythons
def test_whole_files_that_numba_can_make_nothing_of_are_written_anew(start, filled, tmp_path):
    assert outcome(start(tmp_path, unfit=True)) == (filled[1]["out"], 0, 1)
    assert outcome(start(tmp_path)) == (filled[1]["out"], 0, 1)
    assert outcome(start(tmp_path)) == (filled[1]["out"], 1, 0)


def test_what_cannot_be_written_anew_is_compiled_each_time(start, filled, tmp_path):
    folder, file, out = copied(filled, tmp_path)
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    for _ in range(2):
        assert outcome(start(folder)) == (out, 0, 1)


@pytest.mark.parametrize("each", [3, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("how", ["ENOSPC", "die"])
def test_no_failure_of_the_system_breaks_this_start_or_a_later_one(how, each, start, filled, tmp_path):
    expected = filled[1]["out"]
    for at in itertools.count(step=each):
        folder = tmp_path / str(at)
        faulty = start(folder, at=at, how=how)
        assert "died" in faulty or outcome(faulty) == (expected, 0, 1), at
        assert start(folder)["out"] == expected, at
        assert outcome(start(folder)) == (expected, 1, 0), at
        if faulty.get("calls", at + 1) <= at:  # there were no more to fail
            break
    assert at > 15


@pytest.mark.pythons
@pytest.mark.parametrize("largest", [0, 10, 10_000])
def test_a_disk_that_is_full_keeps_nothing(largest, start, filled, tmp_path):
    assert outcome(start(tmp_path, largest=largest)) == (filled[1]["out"], 0, 1)
    assert not list((tmp_path / "kernels").iterdir())


def test_processes_that_fill_a_cache_at_once_are_all_served(start, filled, tmp_path):
    several = [Starts() for _ in range(2)]
    for one in several:
        one.ask(NOISYSIM_CACHE=str(tmp_path))
    assert [one.answer()["out"] for one in several] == [filled[1]["out"]] * 2
    assert outcome(start(tmp_path)) == (filled[1]["out"], 1, 0)
    for one in several:
        one.end()


def test_files_that_nobody_reads_are_removed_and_nothing_else_is(start, filled, tmp_path):
    folder, file, out = copied(filled, tmp_path)
    at = file.parent
    old, used = time.time() - cache.UNUSED - 60, time.time() - 5 * 86400
    names = {f"noisysim_old{cache.SUFFIX}", f"noisysim_old{cache.SUFFIX}.1{cache.DRAFT}"}
    for name in (*names, "notes.txt", f"mine{cache.SUFFIX}"):
        (at / name).write_text("")
        os.utime(at / name, (old, old))
    (at / f"noisysim_new{cache.SUFFIX}").write_text("")
    os.utime(file, (used, used))
    before = {p.name for p in at.iterdir()}
    assert outcome(start(folder)) == (out, 1, 0)  # finds all it needs: nothing is removed
    assert {p.name for p in at.iterdir()} == before
    assert time.time() - file.stat().st_mtime < 3600
    file.unlink()
    assert outcome(start(folder)) == (out, 0, 1)
    assert {p.name for p in at.iterdir()} == before - names


# --- whose folder ---------------------------------------------------------------------------------------------------


class Planted:
    """What makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def others_can_write(folder):
    folder.chmod(0o777)


def a_group_can_write(folder):
    folder.chmod(0o775)


def of_somebody_else(folder):
    os.chown(folder, OTHER, OTHER)


def a_link(folder):
    folder.symlink_to(folder.rename(folder.with_name("elsewhere")))


BAD = [others_can_write, a_group_can_write, a_link, pytest.param(of_somebody_else, marks=root_alone)]


@pytest.fixture
def planted(filled, tmp_path):
    """A cache with planted code in it, and the sign that it ran."""
    folder, file, out = copied(filled, tmp_path)
    ran = tmp_path / "ran"
    file.write_bytes(with_checksum(pickle.dumps(Planted(ran))))
    return folder, ran, out


@pytest.mark.pythons
def test_planted_code_would_run(start, planted):
    folder, ran, out = planted
    assert outcome(start(folder)) == (out, 0, 1)
    assert ran.exists()  # so that the tests below would notice


@pytest.mark.parametrize("spoil", BAD)
def test_a_named_folder_that_others_can_write_to_is_refused(spoil, start, planted):
    folder, ran, _ = planted
    spoil(folder / "kernels")
    answer = start(folder)
    assert not ran.exists()
    assert answer["error"].startswith(f"NOISYSIM_CACHE: no compiled kernels can be kept in '{folder}/kernels' (")
    assert answer["error"].endswith("); name a folder of your own that others cannot write to")


@pytest.mark.pythons
@pytest.mark.parametrize("spoil", BAD)
def test_a_folder_of_the_user_that_others_can_write_to_is_not_used(spoil, start, planted, tmp_path):
    folder, ran, out = planted
    (tmp_path / "noisysim").symlink_to(folder)
    spoil(folder / "kernels")
    (temporary := tmp_path / "tmp").mkdir()
    space = {"NOISYSIM_CACHE": "", "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(temporary)}
    assert outcome(start(**space)) == (out, 0, 1)
    assert not ran.exists()
    own = temporary / f"noisysim-{os.geteuid()}"
    assert stat.S_IMODE(own.stat().st_mode) & 0o022 == 0
    assert outcome(start(**space)) == (out, 1, 0)


@pytest.mark.parametrize("spoil", BAD)
def test_a_temporary_folder_that_others_can_write_to_is_not_used(spoil, start, planted, tmp_path):
    folder, ran, out = planted
    (tmp_path / "in the way").write_text("")
    (folder / "kernels").rename(own := tmp_path / f"noisysim-{os.geteuid()}")
    spoil(own)
    before = sorted(own.iterdir())
    space = {"NOISYSIM_CACHE": "", "XDG_CACHE_HOME": str(tmp_path / "in the way"), "TMPDIR": str(tmp_path)}
    for _ in range(2):
        assert outcome(start(**space)) == (out, 0, 1)
    assert not ran.exists()
    assert sorted(own.iterdir()) == before


@root_alone
def test_a_file_of_somebody_else_is_not_read(start, planted):
    folder, ran, out = planted
    (file,) = (folder / "kernels").iterdir()
    os.chown(file, OTHER, OTHER)
    assert outcome(start(folder)) == (out, 0, 1)
    assert not ran.exists()


def test_a_named_folder_must_be_one(start, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "NOISYSIM_CACHE: no compiled kernels can be kept in" in start(folder)["error"]


def test_a_named_folder_that_can_only_be_read_is_read(filled, tmp_path):
    folder, file, out = copied(filled, tmp_path)
    bound = Starts(*obeying())
    file.parent.chmod(0o555)
    assert outcome(bound(folder)) == (out, 1, 0)
    file.chmod(0)
    assert outcome(bound(folder)) == (out, 0, 1)
    assert list(file.parent.iterdir()) == [file]
    file.parent.chmod(0o755)
    bound.end()


# --- installations that cannot be written ---------------------------------------------------------------------------


def obeying():
    """What a command starts with so that permissions bind it."""
    if not ROOT:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("permissions do not bind root, and there is no setpriv")
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


RUN = """
import noisysim
result = noisysim.run(layers=[4], epochs=1, device="ideal", learner="bp")
print(noisysim.__file__, result.status, result.history["train_loss"][-1].hex())
"""


def test_a_run_without_a_home_and_from_an_installation_that_cannot_be_written(tmp_path):
    expected = noisysim.run(layers=[4], epochs=1, device="ideal", learner="bp").history["train_loss"][-1].hex()
    ignored = shutil.ignore_patterns("__pycache__", "models", "papers")
    site, home, temporary = tmp_path / "site", tmp_path / "home", tmp_path / "tmp"
    shutil.copytree(Path(noisysim.__file__).parent, site / "noisysim", ignore=ignored)
    shutil.copytree(Path(models.__file__).parent, site / "noisysim" / "devices" / "models", ignore=ignored)
    own = temporary / f"noisysim-{os.geteuid()}"
    shutil.copytree(cache.folder(), own)  # compiled: these tests are about where it lies
    own.chmod(0o700)
    home.mkdir()
    unwritable = [*site.rglob("*"), site, home]
    for path in unwritable:
        path.chmod(path.stat().st_mode & ~0o222)
    space = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NOISYSIM_CACHE", "NUMBA_CACHE"))}
    space |= {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(site), "MPLCONFIGDIR": str(temporary)}
    assert subprocess.run([*obeying(), "touch", home / "x"], capture_output=True).returncode != 0
    command = [*obeying(), sys.executable, "-c", RUN]
    done = subprocess.run(command, env=space, cwd=tmp_path, capture_output=True, text=True)
    for path in unwritable:
        path.chmod(path.stat().st_mode | 0o700)
    assert done.stdout.split() == [str(site / "noisysim" / "__init__.py"), "finished", expected], done.stderr
    assert not list(home.iterdir())
    assert not list(site.rglob("__pycache__"))


def test_nothing_is_cached_by_numba_itself():
    for root in (Path(noisysim.__file__).parent, Path(models.__file__).parent):
        for path in root.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                assert not (isinstance(node, ast.keyword) and node.arg == "cache"), f"{path}:{node.value.lineno}"
