"""Where given initial weights may come from: lists and mappings of arrays, files, chips and results of runs.

A source is opened before a run makes anything; `noisysim.chip.given_weights` finds what is for which layer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from noisysim.chip.weight_laws import INITS
from noisysim.common import named_arrays, openers
from noisysim.common.arguments import argument
from noisysim.common.fields import PATH, nearest, shown
from noisysim.common.types import Array
from noisysim.common.user_files import compare_hash, moved_device
from noisysim.networks.architecture import Architecture
from noisysim.networks.differences import Traits, traits
from noisysim.networks.importing import models
from noisysim.networks.importing.imported import Imported

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".npy")
"""Endings of files that people have, and that are not read."""
FROM = "from"
"""The key by which a record is told from named arrays."""
NOTES = "notes"
"""The key of what was taken for granted, and of what the network that weights are from differs in."""
SETTINGS = "settings"
"""The key of how a model was read, where that is not as usual."""


@runtime_checkable
class HasWeights(Protocol):
    """A chip: it shows its weights by name, if it was granted to."""

    @property
    def architecture(self) -> Architecture: ...

    @property
    def chips(self) -> int: ...

    def weights(self) -> dict[str, Array]: ...


@runtime_checkable
class HasChip(Protocol):
    """The result of a run: it gives the trained chip as it stands."""

    path: Path | None

    def chip(self, *, oracle: bool, backend: str) -> HasWeights: ...


@dataclass(frozen=True, eq=False)
class Source:
    """Weights that were given, not yet compared with a network.

    Attributes
    ----------
    record : dict
        Where they are from (`noisysim.chip.given_weights.Given`); of what is no file without the hash.
    arrays : iterable or mapping
        As they were given, or read.
    in_order : bool
        Whether the order of named arrays is that of the layers.
    sha256 : str or None
        What the hash of the weights has to be.
    traits : tuple of Traits
        Of the layers of the network they are from, where that is known: a chip's.
    network : tuple
        That network, where it is known: its list of layers, its activation function, and whether it has biases.
    notes : tuple of str
        What else there is to know of that network.
    learned : dict
        What it was trained on, where that is known: a run's record of its task.
    """

    record: dict[str, Any]
    arrays: Iterable[Any]
    in_order: bool = True
    sha256: str | None = None
    traits: tuple[Traits, ...] = ()
    network: tuple[list[Any], Any, bool] | None = None
    notes: tuple[str, ...] = ()
    learned: Mapping[str, Any] = field(default_factory=dict)


def opened(init: object) -> Source:
    """A source, its file read if it is one.

    Raises
    ------
    TypeError, ValueError, OSError
        If it can be no initial weights, or its file is not there, or holds something else.
    """
    if isinstance(init, (str, os.PathLike)):
        return _of_file(init)
    if isinstance(init, Mapping):
        return _recorded(init) if isinstance(init.get(FROM), str) else Source({FROM: "arrays"}, init)
    if isinstance(init, Imported):
        return _of_model(init)
    if isinstance(init, HasChip):
        place = {} if init.path is None else {"path": os.fspath(init.path)}
        return replace(_of_chip({FROM: "result", **place}, _chip(init, "result")), learned=_learned(init))
    if isinstance(init, HasWeights):
        return _of_chip({FROM: "chip"}, init)
    if isinstance(init, bytes) or not isinstance(init, Iterable):
        raise TypeError(
            f"init must be a law ({', '.join(INITS)}), a list of arrays (n_out, n_in), named arrays, a file of them, a "
            f"model, a Result or a Chip, not {shown(init)}"
        )
    return Source({FROM: "arrays"}, init)


def _recorded(record: Mapping[str, Any]) -> Source:
    """What a record names, read again."""
    check_record(record)
    if "path" not in record:
        what = "arrays" if record[FROM] == "arrays" else f"a {record[FROM]}"
        raise ValueError(
            f"init: the run began with weights of {what} that its file does not hold: give them again, "
            f"{argument('init=...')}"
        )
    settings = record.get(SETTINGS, {})
    source = _of_model(models.load(record["path"], **settings)) if settings else _of_file(record["path"])
    if record[FROM] == "file":
        compare_hash(f"init: {shown(record['path'], PATH)}", source.record["sha256"], record["sha256"])
        return source
    kept = {name: value for name, value in record.items() if name != NOTES}
    return replace(source, record=kept, sha256=record["sha256"])


def _of_file(path: str | os.PathLike[str]) -> Source:
    """The arrays of a file."""
    model = models.split(path)
    place = Path(path if model is None else model[0])
    ending = place.suffix.lower()
    if ending in PICKLES:
        raise ValueError(
            f"init: {shown(str(place), PATH)} is not read: save named arrays as {' or '.join(named_arrays.FORMATS)} "
            "(safetensors.torch.save_file, numpy.savez)"
        )
    known = (*named_arrays.FORMATS, *openers.endings(), models.ENDING)
    if ending not in known:
        raise ValueError(
            f"unknown init {shown(str(path))}{nearest(str(path), INITS)}, nor does it end as a file of weights: "
            f"{', '.join(known)}"
        )
    if not place.is_file():
        raise FileNotFoundError(f"init: no file {shown(str(place), PATH)} (the working directory is {os.getcwd()!r})")
    if model is not None:
        return _of_model(models.load(model[0], **model[1]))
    record = {FROM: "file", "path": os.fspath(path)}
    if ending in named_arrays.FORMATS:
        source = Source(record, named_arrays.read(place), ending != ".safetensors")
    else:
        name = repr(os.fspath(path))
        with moved_device(f"give init=noisysim.Chip.load({_literal(name)}, {{}}, oracle=True)"):
            holder = openers.opened(place)
        chip = _chip(holder, f"noisysim.load({name})") if isinstance(holder, HasChip) else holder
        assert isinstance(chip, HasWeights)
        source = replace(_of_chip(record, chip), learned=_learned(holder))
    return replace(source, record={**record, "sha256": hashlib.sha256(place.read_bytes()).hexdigest()})


def _of_model(model: Imported) -> Source:
    """The weights of a model from elsewhere, and what its network is."""
    place = {} if model.path is None else {"path": os.fspath(model.path)}
    settings = {SETTINGS: dict(model.settings)} if model.settings and place else {}
    record = {FROM: "model" if place else "arrays", **place, **settings}
    return replace(_of_chip(record, model), notes=model.notes)


def _chip(result: HasChip, name: str) -> HasWeights:
    """The chip of a result that messages call so, with oracle access."""
    with moved_device(f"give init={_literal(name)}.chip({{}}, oracle=True)"):
        return result.chip(oracle=True, backend="cpu")


def _learned(holder: object) -> Mapping[str, Any]:
    """A run's record of its task."""
    found: Mapping[str, Any] = getattr(holder, "config", {}).get("task", {})
    return found


def _literal(text: str) -> str:
    """A text as it has to stand in one that is formatted."""
    return text.replace("{", "{{").replace("}", "}}")


def _of_chip(record: dict[str, Any], chip: HasWeights) -> Source:
    """The weights of one chip, and what its network is."""
    if chip.chips > 1:
        raise ValueError(
            f"init: the source has {chip.chips} chips, each with weights of its own: give those of one, such as "
            "{name: array[0] for name, array in chip.weights().items()}"
        )
    listed = getattr(chip, "layers", None)
    network = None if listed is None else (list(listed), getattr(chip, "activation", "linear"), chip.architecture.bias)
    return Source(record, chip.weights(), traits=traits(chip.architecture), network=network)


def check_record(record: Mapping[str, Any]) -> None:
    """Refuse what is no record of given weights."""
    if record.get(FROM) not in ("file", "arrays", "result", "chip", "model"):
        raise ValueError(
            f"init.from must be 'file', 'arrays', 'result', 'chip' or 'model', not {shown(record.get(FROM))}"
        )
    digest = record.get("sha256")
    if not isinstance(digest, str) or len(digest) != 64 or not isinstance(record.get("path", ""), str):
        raise ValueError("init names weights without their SHA-256")
    settings = record.get(SETTINGS, {})
    known = {"output", "input_shape", "fold_batch_norm", "learned_norms"}
    if not isinstance(settings, dict) or not settings.keys() <= known:
        raise ValueError(f"init.{SETTINGS} must be settings of noisysim.networks.load, not {shown(settings)}")
    notes = record.get(NOTES, [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError(f"init.{NOTES} must be a list of sentences, not {shown(notes)}")


def title(record: Mapping[str, Any]) -> str:
    """Where given weights are from, in a few words."""
    kind, path = record[FROM], record.get("path")
    place = f"{'' if kind == 'file' else f'{kind} '}{path}" if path else f"given {kind}" if kind == "arrays" else kind
    return f"{place} [{record['sha256'][:12]}]"


def are_several(values: Sequence[object]) -> bool:
    """Whether a list is one of initial weights for several networks, and not of the layers of one."""
    return all(map(_is_list_of_layers, values)) or any(map(_is_source, values))


def _is_source(value: object) -> bool:
    """Whether a value is weights by itself, and not an array or a pair of them, which is a part of a list."""
    return isinstance(value, (str, os.PathLike, Mapping, HasWeights, HasChip))


def _is_list_of_layers(value: object) -> bool:
    """Whether a value is a list of arrays, or of pairs, one for each layer; no pair, and no array given as a list."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    first, *others = (getattr(item, "ndim", None) for item in value)
    if first is None:
        return all(map(_is_pair, value))
    return first > 1 and None not in others and not _is_pair(value)


def _is_pair(value: object) -> bool:
    """Whether a value is a layer's weights with its bias."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return False
    weights, bias = (getattr(item, "ndim", 0) for item in value)
    return weights > 1 and bias < 2
