"""Initial weights that are given, checked and laid out for a network.

Whatever the source (`noisysim.chip.weight_sources`), it becomes a `Given`: one array per layer as it is asked of the
chip, and running statistics.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from noisysim.chip import layer_weights, weight_sources
from noisysim.chip.weight_laws import INITS, USUAL
from noisysim.chip.weight_sources import HasChip, HasWeights, Source
from noisysim.common.array_types import is_array
from noisysim.common.fields import shown
from noisysim.common.plain_arrays import plain
from noisysim.common.types import Array, Doubles, Floats
from noisysim.common.user_files import compare_hash
from noisysim.compute import backends
from noisysim.networks import weight_matching
from noisysim.networks.architecture import Architecture
from noisysim.networks.differences import differences, traits
from noisysim.networks.importing import models
from noisysim.networks.weight_matching import Group


@dataclass(frozen=True, eq=False)
class Given:
    """Initial weights that were given, for one network.

    Attributes
    ----------
    record : dict
        Where they are from, as JSON-able values: ``from`` ("file", "arrays", "result", "chip" or "model"), ``path``
        where there is one, and ``sha256``, of a file's bytes or of the arrays (`digest`); ``notes``, if there are any:
        what was taken for granted, and what the network that they are from differs in.
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
    def digest(self) -> str:
        """SHA-256 of weights and statistics, hexadecimal."""
        hashed = hashlib.sha256()
        arrays: list[Array] = [*self.weights, *(moments for moments in self.statistics if moments is not None)]
        for array in arrays:
            hashed.update(f"{array.dtype} {array.shape}".encode())
            hashed.update(np.ascontiguousarray(array).data)
        return hashed.hexdigest()

    def with_notes(self, notes: Sequence[str]) -> Given:
        """The same weights, of which more is to be known."""
        if not notes:
            return self
        known = self.record.get(weight_sources.NOTES, [])
        return replace(self, record={**self.record, weight_sources.NOTES: [*known, *notes]})


Initial: TypeAlias = str | os.PathLike[str] | Mapping[str, Any] | Iterable[Any] | HasWeights | HasChip | Given
"""What `Chip` and `noisysim.run` take for initial weights."""


def of_model(layers: Any, bias: bool, init: Any) -> tuple[Any, bool, Any]:
    """Layers, bias and initial weights of what a chip is made of; a model from elsewhere decides what is left open."""
    model = models.opened(layers)
    if model is None:
        return layers, bias, USUAL if init is None else init
    return list(model.layers), bias or model.bias, model if init is None else init


def opened(init: object) -> str | Source | Given:
    """Initial weights as far as they are known without a network: the name of a law, or a source, read if it is a file.

    Raises
    ------
    TypeError, ValueError, OSError
        If they can be no initial weights, or the file is not there, or holds something else.
    """
    if isinstance(init, (Given, Source)) or (isinstance(init, str) and init in INITS):
        return init
    return weight_sources.opened(init)


def read(init: object, net: Architecture, samples: Sequence[int] = ()) -> str | Given:
    """The name of a law, or weights that fit a network.

    Parameters
    ----------
    init : Initial
        Or what `opened` made of it.
    net : Architecture
    samples : sequence of int
        The shape of a sample of the task, as `Architecture.input_shape` has it, if a network of dense layers does not
        show it.

    Raises
    ------
    ValueError, TypeError, OSError
        Naming the layer, what it needs and what was given; never the numbers.
    """
    source = opened(init)
    if isinstance(source, str):
        return source
    if isinstance(source, Given):
        _check_layers(source, net)
        return source
    groups = _groups(source, net, tuple(samples or net.input_shape))
    weights, statistics = layer_weights.of_groups(groups, net, bool(source.traits))
    given = Given(source.record, tuple(weights), tuple(statistics))
    if source.sha256 is not None:
        compare_hash(f"init: {weight_sources.title(source.record)}", given.digest, source.sha256)
    there = source.traits if len(source.traits) == net.depth else traits(net)
    notes = [*source.notes, *layer_weights.assumed(groups), *differences(there, traits(net))]
    record = {**source.record, "sha256": source.record.get("sha256") or given.digest}
    return replace(given, record={**record, **({weight_sources.NOTES: notes} if notes else {})})


def recorded(init: str | Mapping[str, Any]) -> str | Given:
    """Recorded initial weights that are not needed again, since a state follows: a law, or weights without numbers."""
    return init if isinstance(init, str) else Given(dict(init))


def _check_layers(given: Given, net: Architecture) -> None:
    """Refuse weights that were read for another network."""
    shapes = [array.shape for array in given.weights]
    if shapes and shapes != net.shapes:
        raise ValueError(f"init: the weights are of layers {shown(shapes)}, the network has {shown(net.shapes)}")


def _groups(source: Source, net: Architecture, samples: tuple[int, ...]) -> list[Group]:
    """The arrays of a source, layer by layer."""
    try:
        arrays = source.arrays
        if isinstance(arrays, Mapping) and not all(str(name).startswith("arr_") for name in arrays):
            named = {name: host(f"array {shown(name)}", array) for name, array in arrays.items()}
            groups = weight_matching.grouped(named)
            in_network = layer_weights.fits(net)
            groups = weight_matching.ordered(groups, source.in_order, in_network)
            layers = layer_weights.told(net, sum(group.is_product for group in groups))
            normed = [k for k, layer in enumerate(layers) if net.norms[layer]]
            groups = weight_matching.placed(groups, source.in_order, range(len(layers) - 1), normed)
        else:
            listing = arrays.values() if isinstance(arrays, Mapping) else [arrays] if is_array(arrays) else arrays
            groups = weight_matching.of_list([_item(k, item) for k, item in enumerate(listing)])
        for group, there in zip(groups, source.traits, strict=False):
            group.epsilon = there.epsilon
        groups = layer_weights.with_gains(groups, net)
        layer_weights.check_count(groups, net)
        if groups[0].keras and not net.blocks[0].is_conv and len(samples) == 3 and samples[0] > 1:
            groups[0].image = samples
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
