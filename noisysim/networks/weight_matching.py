"""Named arrays of a network that was trained elsewhere, found for each layer of weights here.

A name is that of a layer and what the array is to it: ``"fc1.weight"``, ``"conv1/kernel:0"``, ``"0.bias"``. Layers of
weights are taken in order, normalisations likewise, each belonging to the layer it follows.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from noisysim.common.fields import listed, nearest, shown
from noisysim.common.types import Array

_ROLES = {
    "weight": "weight", "w": "weight", "kernel": "kernel", "bias": "bias", "b": "bias", "gamma": "weight",
    "scale": "weight", "beta": "bias", "running_mean": "mean", "moving_mean": "mean", "running_var": "variance",
    "moving_variance": "variance", "num_batches_tracked": "",
}  # fmt: skip
"""What an array is, by the end of its name; "" of what is not needed."""
ENDINGS = ("weight", "bias", "kernel", "running_mean", "running_var", "moving_mean", "moving_variance", "gamma", "beta")
"""The ends of names that messages tell."""
_MOST_FAMILIES = 6
"""Kinds of names that are tried in every order."""
_MOST_PLACES = 100_000
"""Choices of normalised layers that are tried."""


@dataclass
class Group:
    """The arrays of one layer, or of one normalisation.

    Attributes
    ----------
    name : str
        What their names have in common; "" of arrays in a list.
    arrays : dict
        By role: ``weight``, ``bias``, ``mean`` and ``variance``.
    keras : bool
        Whether names, and so the order of axes, are those of Keras: (inputs, outputs).
    norm : Group or None
        The normalisation that follows.
    """

    name: str
    arrays: dict[str, Array] = field(default_factory=dict)
    keras: bool = False
    norm: Group | None = None

    @property
    def is_product(self) -> bool:
        """Whether it has a matrix or a kernel."""
        return "weight" in self.arrays and self.arrays["weight"].ndim > 1

    @property
    def family(self) -> str:
        """Its name, whatever the numbers in it."""
        return re.sub(r"\d+", "#", self.name)

    @property
    def units(self) -> int:
        """The outputs of a layer, or the units that are normalised."""
        shape = next(iter(self.arrays.values())).shape if not self.is_product else self.arrays["weight"].shape
        return int(shape[-1 if self.keras else 0]) if shape else 0

    @property
    def normalises(self) -> bool:
        """Whether it has running statistics."""
        return "mean" in self.arrays or "variance" in self.arrays


def grouped(arrays: Mapping[str, Array]) -> list[Group]:
    """Named arrays, those of a layer together, in the order of their first ones."""
    groups: dict[str, Group] = {}
    for name, array in arrays.items():
        above, role = _split(str(name))
        if role == "":
            continue
        group = groups.setdefault(above, Group(above))
        group.keras |= role == "kernel" or name.removesuffix(":0").endswith(("moving_mean", "moving_variance"))
        role = "weight" if role == "kernel" else role
        if role in group.arrays:
            raise ValueError(f"{shown(name)} is there twice")
        group.arrays[role] = array
    for group in groups.values():
        if not group.is_product and not group.normalises and group.arrays.keys() != {"weight", "bias"}:
            raise ValueError(
                f"{shown(group.name)} has {listed(group.arrays)}, but no matrix of weights: it has nothing to stand at"
            )
    return list(groups.values())


def _split(name: str) -> tuple[str, str]:
    """The name of a layer and the role of one of its arrays."""
    above, _, last = re.sub(r":\d+$", "", name).replace("/", ".").rpartition(".")
    if not above and (numbered := re.fullmatch(r"(weight|bias|kernel|[wWbB])_?(\d+)", last)):
        return numbered[2], _ROLES[numbered[1].lower()]  # W1, b1
    if last.lower() not in _ROLES:
        raise ValueError(
            f"{shown(name)} is no array of a layer: its name ends in none of those{nearest(last, ENDINGS)}"
        )
    return above, _ROLES[last.lower()]


def ordered(groups: Sequence[Group], in_order: bool, fits: Callable[[Sequence[Group]], bool]) -> list[Group]:
    """Groups in the order of their layers.

    Names that differ in their numbers alone are ordered by these. Of several kinds, ``conv1`` and ``fc1``, the order is
    that in which they were given or, where a file keeps none, the only one whose shapes fit the network.

    Parameters
    ----------
    groups : sequence of Group
    in_order : bool
        Whether they were given in a meaningful order.
    fits : callable
        Whether the shapes of layers of weights are those of the network, in its order.
    """
    families: dict[str, list[Group]] = {}
    for group in groups:
        families.setdefault(group.family, []).append(group)
    kinds = [sorted(family, key=lambda group: _natural(group.name)) for family in families.values()]
    if len(kinds) == 1:
        return kinds[0]
    if in_order:
        return list(groups)
    found = {}
    for order in itertools.permutations(kinds) if len(kinds) <= _MOST_FAMILIES else [kinds]:
        listing = list(itertools.chain.from_iterable(order))
        products = tuple(group.name for group in listing if group.is_product)
        if products not in found and fits([group for group in listing if group.is_product]):
            found[products] = listing
    if len(found) > 1:
        raise ValueError(
            f"the file does not tell the order of {listed(group.name for group in groups if group.is_product)}, and "
            "several fit: number the names in the order of the layers, '0.weight', '1.weight', ..."
        )
    return next(iter(found.values()), list(groups))


def _natural(name: str) -> list[tuple[int, str]]:
    """A key by which 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def placed(groups: Sequence[Group], in_order: bool, hidden: Sequence[int], normed: Sequence[int]) -> list[Group]:
    """The layers of weights, each with the normalisation that follows it.

    Where the order does not tell, the normalised layers of the network are taken, or all hidden ones, if there are as
    many, or else the only layers with as many units each.

    Parameters
    ----------
    groups : sequence of Group
        In order.
    in_order : bool
        Whether that order was given; if not, only names that differ in their numbers alone tell what follows what.
    hidden, normed : sequence of int
        Layers of the network that are hidden, and those that are normalised.
    """
    products = [group for group in groups if group.is_product]
    norms = [group for group in groups if not group.is_product]
    followed = dict(_followed(groups, in_order))
    if len(followed) != len(norms):
        followed = dict(zip(_places(products, norms, (normed, hidden)), norms, strict=True))
    for layer, group in enumerate(products):
        group.norm = group if group.normalises else followed.get(layer)
    return products


def _followed(groups: Sequence[Group], in_order: bool) -> Iterator[tuple[int, Group]]:
    """Normalisations that stand directly behind a layer, with its number."""
    layer = -1
    for above, group in itertools.pairwise([None, *groups]):
        assert group is not None
        if group.is_product:
            layer += 1
        elif above is not None and above.is_product and (in_order or above.family == group.family):
            yield layer, group


def _places(products: Sequence[Group], norms: Sequence[Group], usual: Iterable[Sequence[int]]) -> Sequence[int]:
    """The layers that normalisations follow, by their numbers of units."""

    def fit(places: Sequence[int]) -> bool:
        return all(k < len(products) and products[k].units == norm.units for k, norm in zip(places, norms, strict=True))

    for places in usual:
        if len(places) == len(norms) and fit(places):
            return places
    for layers in (len(products) - 1, len(products)):  # the last layer is hardly ever normalised
        every = itertools.islice(itertools.combinations(range(layers), len(norms)), _MOST_PLACES)
        found = [places for places in every if fit(places)]
        if found:
            break
    if len(found) != 1:
        names = listed(norm.name for norm in norms)
        raise ValueError(f"which layers {names} normalise does not follow: call them '0.running_mean', ...")
    return found[0]


def of_list(arrays: Sequence[Array | tuple[Array, Array]]) -> list[Group]:
    """The layers of a list of weights, (weights, bias) pairs, or weights each followed by its bias."""
    groups: list[Group] = []
    for item in arrays:
        if isinstance(item, tuple):
            groups.append(Group("", {"weight": item[0], "bias": item[1]}))
        elif item.ndim == 1 and groups and "bias" not in groups[-1].arrays:
            groups[-1].arrays["bias"] = item
        else:
            groups.append(Group("", {"weight": item}))
    return groups
