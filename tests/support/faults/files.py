"""Result files that are cut short, damaged, or say what a hostile author wants."""

import functools
import json
import os
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

import noisysim
from noisysim import cli
from noisysim.common import hdf5

from . import GIVEN, bits, check_line, same
from .processes import child, ended

COMMANDS = ("load", "show", "plot", "report", "resume")


def outcome(command, path):
    """What a command makes of a file, in a process of its own: "result" or "one line"; anything else is an error."""
    said = path.with_suffix(".said")
    pictures = {"plot": path.with_suffix(".png"), "report": path.with_suffix(".html")}

    def work():
        signal.alarm(30)
        sys.stdout = sys.stderr = open(said, "w", buffering=1)  # noqa: SIM115 (until the process ends)
        os.dup2(sys.stdout.fileno(), 2), os.dup2(sys.stdout.fileno(), 1)  # HDF5 writes there
        if command == "load":
            try:
                noisysim.load(path).summary()
                return 0
            except (ValueError, OSError) as error:
                print(error, file=sys.stderr, flush=True)
                return 2
        words = ["noisysim", command, str(path)]
        words += ["--out", str(pictures[command])] if command in pictures else []
        sys.argv = [*words, "--overwrite"] if command == "report" else words
        try:
            cli.main()
        except SystemExit as leaving:
            return leaving.code

    status = ended(child(work))
    text = said.read_text()
    assert status in (0, 2), f"{command} {path}: status {status}, {text}"
    for line in text.splitlines():
        check_line(line or " ")
    assert not status or text.count("\n") == 1, text
    return "one line" if status else "result"


def outcomes(path, commands=COMMANDS):
    """What all commands make of a file, counted."""
    content = path.read_bytes() if path.resolve().is_file() else None
    found = Counter(outcome(command, path) for command in commands)
    if content is not None:
        path.write_bytes(content)  # it may have been resumed
    return found


@functools.cache
def sample():
    """The bytes of a result file of a run that could be resumed, with all kinds of content, and of its HDF5 part."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sample.h5")
        noisysim.run(**GIVEN, diagnostics=["angle"], every=1, out=path, until=1e-9)
        content = path.read_bytes()
    return content, content[: -hdf5._SEAL_LENGTH]


def damage(content, chance):
    """The bytes of a file, some of them changed, or cut out, or put elsewhere."""
    kind, data = chance.choice(("flip", "flip", "zeros", "cut", "swap", "ones", "end")), bytearray(content)
    at, length = chance.randrange(len(data)), chance.choice((1, 4, 8, 64, 512))
    if kind == "flip":
        for _ in range(chance.choice((1, 1, 2, 8, 64))):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "zeros":
        data[at : at + length] = bytes(len(data[at : at + length]))
    elif kind == "ones":
        data[at : at + length] = b"\xff" * len(data[at : at + length])
    elif kind == "cut":
        del data[at : at + length]
    elif kind == "swap":
        other = chance.randrange(len(data))
        piece = data[other : other + length]
        data[at : at + len(piece)] = piece
    else:
        del data[at:]
    return bytes(data)


def damaged(path, chance, sealed):
    """A damaged file: it is refused, or what is read is what was written, unless it has no seal; outcomes, counted."""
    whole, plain = sample()
    content = damage(whole if sealed else plain, chance)
    path.write_bytes(content)
    if content == whole:
        return Counter(["not changed"])
    found = outcomes(path)
    if sealed and found["result"]:
        path.write_bytes(whole)
        before = bits(path)
        path.write_bytes(content)
        assert same(bits(path), before), "a damaged file was read as another one"
    return found


def hostile(path, chance):
    """A file that says what its author wants; outcomes, counted."""
    path.write_bytes(sample()[1])
    what = make_hostile(path, chance)
    try:
        return outcomes(path)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None


def lengths(content):
    """Lengths of every kind that a file cut short has: around each power of two, each kilobyte and both ends."""
    ends = {2**k + d for k in range(20) for d in (-1, 0, 1)} | set(range(0, 130)) | set(range(0, len(content), 1024))
    ends |= {len(content) - k for k in range(1, 130)}
    return sorted(n for n in ends if 0 <= n < len(content))


VALUES = (
    None, True, -1, 0, 1e400, 2**70, 0.5, "", "x", "a\x1b[31mb\u202ec", "$x^$", "<b>&", "x.py", "../x.py", "\ud800",
    [], {}, [[]], {"name": 3}, "9" * 5000,
)  # fmt: skip
"""What a hostile file may say in any place."""


def places(value, at=()):
    """The way to every value inside a value."""
    yield at
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for number in range(len(value)):
            yield from places(value[number], (*at, number))


def changed(value, at, new):
    """A value in which another one stands at a place; ``KeyError`` stands for nothing."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(at) == 1 and new is KeyError:
        del copy[at[0]]
    else:
        copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


def rewrite(path, name, text):
    """Put another text into a result file."""
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = text


def make_hostile(path, chance):
    """Change a text, an attribute or an array of a result file into something else of its kind; what was changed."""
    kind = chance.choice(("text", "text", "text", "array", "attribute", "structure"))
    if kind == "text":
        name = chance.choice(("config", "config", "config", "cost", "warnings", "environment"))
        with h5py.File(path, "r") as file:
            value = json.loads(file[name][()])
        at = chance.choice(list(places(value)))
        new = chance.choice((KeyError, *VALUES))
        rewrite(path, name, json.dumps(changed(value, at, None if new is KeyError and not at else new)))
        return f"{name}{list(at)} = {new!r}"[:200]
    with h5py.File(path, "r+") as file:
        if kind == "attribute":
            name, value = chance.choice(list(file.attrs)), chance.choice(ATTRIBUTES)
            file.attrs[name] = value
            return f"attribute {name} = {value!r}"
        arrays = []
        file.visititems(lambda name, item: arrays.append(name) if isinstance(item, h5py.Dataset) else None)
        name = chance.choice(arrays)
        if kind == "array":
            value = chance.choice(ARRAYS)
            del file[name]
            file[name] = value
            return f"{name} = {value!r}"
        number = chance.randrange(len(STRUCTURES))
        STRUCTURES[number](file, name)
        return f"structure {number} at {name}"


ATTRIBUTES = (
    0, -1.0, float("nan"), "x", b"\xff\xfe", [1, 2], np.array(["finished"], "S10"), h5py.Empty("f"), "\x1b[2J",
)  # fmt: skip
ARRAYS = (
    0.0, -1, np.nan, np.full(3, np.inf), np.zeros((2, 2, 2)), np.array([], float), np.array([-5, 10**12]), "text", 1j,
    np.array(["a", "b"], "S3"), np.zeros(2, [("a", "f4"), ("b", "i8")]), np.full(2, -1e308), np.zeros((0, 3), "f2"),
    np.array([2**62]), h5py.Empty("f8"),
)  # fmt: skip


def _external(file, name):
    del file[name]
    file.create_dataset(name, (3,), "f8", external=[("/etc/passwd", 0, 24)])


def _virtual(file, name):
    del file[name]
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    file.create_virtual_dataset(name, layout)


def _huge(file, name):
    del file[name]
    file.create_dataset(name, (10**15,), "f8", chunks=(10**4,))


def _linked(link):
    def put(file, name):
        del file[name]
        file[name] = link(name)

    return put


def _bomb(file, name):
    del file[name]
    file.create_dataset(name, (10**12,), "f8", chunks=(10**6,), compression="gzip")


STRUCTURES = (
    lambda file, name: file.pop(name),
    _external,
    _virtual,
    _huge,
    _bomb,
    _linked(lambda name: h5py.ExternalLink("other.h5", "/x")),
    _linked(lambda name: h5py.SoftLink("/config")),
    _linked(lambda name: h5py.SoftLink(f"/{name}")),
    lambda file, name: file.__setitem__("state/again", file["/"]),
    lambda file, name: file.__setitem__("state/twice", file[name]),
    lambda file, name: (file.pop(name), file.create_group(name)),
    lambda file, name: (file.pop(name), file.__setitem__(name, np.dtype("f8"))),
)
