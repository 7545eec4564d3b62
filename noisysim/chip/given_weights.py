"""Initial weights that are given: arrays, files, other chips and results of runs, checked and laid out for a network.

Whatever the source, it becomes a `Given`: one array per layer as it is asked of the chip, and running statistics.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from noisysim.chip import layer_weights
from noisysim.chip.weight_laws import INITS
from noisysim.common import named_arrays, openers
from noisysim.common.array_types import is_array
from noisysim.common.fields import PATH, nearest, shown
from noisysim.common.plain_arrays import plain
from noisysim.common.types import Array, Doubles, Floats
from noisysim.common.user_files import compare_hash
from noisysim.compute import backends
from noisysim.networks import weight_matching
from noisysim.networks.architecture import Architecture
from noisysim.networks.weight_matching import Group

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib", ".npy")
"""Endings of files that people have, and that are not read."""
FROM = "from"
"""The key by which a record is told from named arrays."""


@runtime_checkable
class HasWeights(Protocol):
    """A chip: it shows its weights by name, if it was granted to."""

    chips: int

    def weights(self) -> dict[str, Array]: ...


@runtime_checkable
class HasChip(Protocol):
    """The result of a run: it gives the trained chip as it stands."""

    path: Path | None

    def chip(self, *, oracle: bool) -> HasWeights: ...


@dataclass(frozen=True, eq=False)
class Given:
    """Initial weights that were given, for one network.

    Attributes
    ----------
    record : dict
        Where they are from, as JSON-able values: ``from`` ("file", "arrays", "result" or "chip"), ``path`` where there
        is one, and ``sha256``, of a file's bytes or of the arrays (`digest`).
    weights : tuple of numpy.ndarray
        (n_out, n_in) float32 per layer, with a bias one more column, as `Chip.program` takes changes. Empty where
        nothing but the record is known: what a resumed run began with.
    statistics : tuple of (numpy.ndarray or None)
        Running mean and variance of each normalised layer, (2, n_out) float64; ``None`` where none are given.
    """

    record: dict[str, Any]
    weights: tuple[Floats, ...] = ()
    statistics: tuple[Doubles | None, ...] = ()

    @property
    def title(self) -> str:
        """What a table calls them."""
        return title(self.record)

    @property
    def digest(self) -> str:
        """SHA-256 of weights and statistics, hexadecimal."""
        hashed = hashlib.sha256()
        arrays: list[Array] = [*self.weights, *(moments for moments in self.statistics if moments is not None)]
        for array in arrays:
            hashed.update(f"{array.dtype} {array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).data)
        return hashed.hexdigest()


Initial: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Iterable[Any] | HasWeights | HasChip | Given
"""What `Chip` and `noisysim.run` take for initial weights."""


def is_source(value: object) -> bool:
    """Whether a value is weights by itself, and not an array or a pair of them, which is a part of a list."""
    return isinstance(value, (str, os.PathLike, Mapping, HasWeights, HasChip, Given))


def title(record: Mapping[str, Any]) -> str:
    """Where given weights are from, in a few words."""
    kind, path = record[FROM], record.get("path")
    place = f"{'' if kind == 'file' else f'{kind} '}{path}" if path else f"given {kind}" if kind == "arrays" else kind
    return f"{place} [{record['sha256'][:12]}]"


def read(init: object, net: Architecture) -> str | Given:
    """The name of a law, or weights that fit a network.

    Parameters
    ----------
    init : Initial
    net : Architecture

    Raises
    ------
    ValueError, TypeError, OSError
        Naming the layer, what it needs and what was given; never the numbers.
    """
    if isinstance(init, Given):
        _check_layers(init, net)
        return init
    if isinstance(init, str) and init in INITS:
        return init
    if isinstance(init, Mapping) and isinstance(init.get(FROM), str):
        return _again(init, net)
    record, source, in_order = _opened(init)
    groups = _groups(source, in_order, net)
    weights, statistics = layer_weights.of_groups(groups, net)
    given = Given(record, tuple(weights), tuple(statistics))
    if "sha256" not in record:
        record["sha256"] = given.digest
    return given


def recorded(record: Mapping[str, Any]) -> Given:
    """Weights of which only the record is needed: of a run that is resumed."""
    return Given(dict(record))


def check_record(record: Mapping[str, Any]) -> None:
    """Refuse what is no record of given weights."""
    if record.get(FROM) not in ("file", "arrays", "result", "chip"):
        raise ValueError(f"init.from must be 'file', 'arrays', 'result' or 'chip', not {shown(record.get(FROM))}")
    digest = record.get("sha256")
    if not isinstance(digest, str) or len(digest) != 64 or not isinstance(record.get("path", ""), str):
        raise ValueError("init names weights without their SHA-256")


def _check_layers(given: Given, net: Architecture) -> None:
    """Refuse weights that were read for another network."""
    shapes = [array.shape for array in given.weights]
    if shapes and shapes != net.shapes:
        raise ValueError(f"init: the weights are of layers {shown(shapes)}, the network has {shown(net.shapes)}")


def _again(record: Mapping[str, Any], net: Architecture) -> Given:
    """The weights that a record names, read again and compared with it."""
    check_record(record)
    if "path" not in record:
        raise ValueError(
            f"init: the run began with weights of {'arrays' if record[FROM] == 'arrays' else f'a {record[FROM]}'} that "
            "its file does not hold: give them again, init=..."
        )
    given = read(record["path"], net)
    assert isinstance(given, Given)
    present = given.record["sha256"] if record[FROM] == "file" else given.digest
    compare_hash(f"init: {shown(record['path'], PATH)}", present, record["sha256"])
    return Given(dict(record), given.weights, given.statistics)


def _opened(init: object) -> tuple[dict[str, Any], object, bool]:
    """The record of a source, its arrays in a list or by name, and whether their order means anything."""
    if isinstance(init, (str, os.PathLike)):
        return _of_file(init)
    if isinstance(init, Mapping):
        return {FROM: "arrays"}, init, True
    if isinstance(init, HasChip):
        place = {} if init.path is None else {"path": os.fspath(init.path)}
        return {FROM: "result", **place}, _named(init.chip(oracle=True)), True
    if isinstance(init, HasWeights):
        return {FROM: "chip"}, _named(init), True
    if isinstance(init, bytes) or not isinstance(init, Iterable):
        raise TypeError(
            f"init must be a law ({', '.join(INITS)}), a list of arrays (n_out, n_in), named arrays, a file of them, a "
            f"Result or a Chip, not {shown(init)}"
        )
    return {FROM: "arrays"}, init, True


def _of_file(path: str | os.PathLike[str]) -> tuple[dict[str, Any], object, bool]:
    """The same of a file."""
    place = Path(path)
    ending = place.suffix.lower()
    if ending in PICKLES:
        raise ValueError(
            f"init: {shown(str(place), PATH)} is not read: save named arrays as {' or '.join(named_arrays.FORMATS)} "
            "(safetensors.torch.save_file, numpy.savez)"
        )
    known = (*named_arrays.FORMATS, *openers.endings())
    if ending not in known:
        raise ValueError(
            f"unknown init {shown(str(path))}{nearest(str(path), INITS)}, nor does it end as a file of weights: "
            f"{', '.join(known)}"
        )
    if not place.is_file():
        raise FileNotFoundError(f"init: no file {shown(str(place), PATH)} (the working directory is {os.getcwd()!r})")
    source: object
    if ending in named_arrays.FORMATS:
        source = named_arrays.read(place)
    else:
        holder = openers.opened(place)
        holder = holder.chip(oracle=True) if isinstance(holder, HasChip) else holder
        assert isinstance(holder, HasWeights)
        source = _named(holder)
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    return {FROM: "file", "path": os.fspath(path), "sha256": digest}, source, ending != ".safetensors"


def _named(chip: HasWeights) -> dict[str, Array]:
    """The weights of one chip."""
    if chip.chips > 1:
        raise ValueError(f"init: the source has {chip.chips} chips, each with weights of its own: give those of one")
    return chip.weights()


def _groups(source: object, in_order: bool, net: Architecture) -> list[Group]:
    """The arrays of a source, layer by layer."""
    try:
        if isinstance(source, Mapping) and not all(str(name).startswith("arr_") for name in source):
            named = {name: host(f"array {shown(name)}", array) for name, array in source.items()}
            groups = weight_matching.grouped(named)
            in_network = layer_weights.fits(net)
            groups = weight_matching.ordered(groups, in_order, in_network)
            normed = [layer for layer, norm in enumerate(net.norms) if norm]
            groups = weight_matching.placed(groups, range(net.depth - 1), normed)
        else:
            assert isinstance(source, Iterable)
            single = is_array(source) or type(source) is np.ndarray  # of a network of one layer
            listing = source.values() if isinstance(source, Mapping) else [source] if single else source
            groups = weight_matching.of_list([_item(k, item) for k, item in enumerate(listing)])
        layer_weights.check_count(groups, net)
    except (TypeError, ValueError) as error:
        raise type(error)(f"init: {error}") from None
    return groups


def _item(number: int, item: object) -> Array | tuple[Array, Array]:
    """One item of a list: weights, or weights and bias."""
    where = f"item {number + 1} of the list"
    if isinstance(item, (tuple, list)) and len(item) == 2:
        weights, bias = item
        if bias is None:
            return host(f"{where}, its weights,", weights)
        if np.ndim(weights) > np.ndim(bias):  # else two rows of a matrix
            return host(f"{where}, its weights,", weights), host(f"{where}, its bias,", bias)
    return host(where, item)


def host(name: str, values: object) -> Array:
    """Real numbers as NumPy's own array, from wherever they are."""
    if is_array(values) and type(values) is not np.ndarray:
        backend = backends.backend_of(values)
        values = backend.take(backend.xp.asarray(values))
    return plain(name, values)
