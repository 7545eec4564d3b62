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
_NUMBERED = "number all names by their layers, '{0}.weight', '{0}.running_mean', ..."
"""What tells in any case what a normalisation belongs to."""


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
    epsilon : float or None
        What its normalisation adds to variances, where that is known.
    image : tuple of int
        (channels, height, width) of what it takes pixel by pixel, but gets channel by channel; else empty.
    """

    name: str
    arrays: dict[str, Array] = field(default_factory=dict)
    keras: bool = False
    norm: Group | None = None
    epsilon: float | None = None
    image: tuple[int, ...] = ()

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

    Names that differ in their numbers alone are ordered by these, among themselves. Of several kinds, ``conv1`` and
    ``fc1``, the order is that in which they were given or, where a file keeps none, the only one whose shapes fit the
    network.

    Parameters
    ----------
    groups : sequence of Group
    in_order : bool
        Whether they were given in a meaningful order.
    fits : callable
        Whether the shapes of layers of weights are those of the network, in its order.
    """
    kinds = _kinds(groups)
    if len(kinds) == 1:
        return kinds[0]
    if in_order:
        of_family = {kind[0].family: iter(kind) for kind in kinds}
        return [next(of_family[group.family]) for group in groups]
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


def _kinds(groups: Sequence[Group]) -> list[list[Group]]:
    """Groups whose names differ in numbers alone, ordered by these; the kinds as their first ones were given."""
    families: dict[str, list[Group]] = {}
    for group in groups:
        families.setdefault(group.family, []).append(group)
    return [sorted(family, key=lambda group: _natural(group.name)) for family in families.values()]


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

    Raises
    ------
    ValueError
        If that leaves several choices or none, or if the network normalises other layers.
    """
    products = [group for group in groups if group.is_product]
    norms = [group for group in groups if not group.is_product]
    followed = dict(_followed(groups, in_order))
    if len(followed) != len(norms) or any(products[k].units != norm.units for k, norm in followed.items()):
        followed = _places(products, norms, in_order, (normed, hidden))
    _check_network(products, followed, normed)
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


def _check_network(products: Sequence[Group], followed: Mapping[int, Group], normed: Sequence[int]) -> None:
    """Refuse normalisations that stand behind other layers than those that the network normalises."""
    told = {layer for layer, group in enumerate(products) if group.normalises}
    foreign, lacking = sorted(followed.keys() - set(normed)), sorted(set(normed) - followed.keys() - told)
    if foreign and lacking:
        layer = foreign[0]
        raise ValueError(
            f"{shown(followed[layer].name)} stands behind layer {layer + 1}'s weights ({shown(products[layer].name)}), "
            f"where the network has no batch_norm(), but has one behind layer {lacking[0] + 1}: change the network, or "
            f"{_NUMBERED.format(lacking[0])}"
        )


def _places(
    products: Sequence[Group], norms: Sequence[Group], in_order: bool, usual: Iterable[Sequence[int]]
) -> dict[int, Group]:
    """The layers that normalisations follow, by their numbers of units."""
    kinds = _kinds(norms)
    orders = [list(norms)]
    if not in_order:  # of too many kinds no order is taken
        several = itertools.permutations(kinds) if len(kinds) <= _MOST_FAMILIES else ()
        orders = [list(itertools.chain.from_iterable(order)) for order in several]

    def fitting(choices: Iterable[Sequence[int]]) -> list[dict[int, Group]]:
        return [
            dict(zip(places, order, strict=True))
            for places, order in itertools.islice(((p, o) for p in choices for o in orders), _MOST_PLACES)
            if all(k < len(products) and products[k].units == one.units for k, one in zip(places, order, strict=True))
        ]

    stages: list[Iterable[Sequence[int]]] = [[places] for places in usual if len(places) == len(norms)]
    for layers in (len(products) - 1, len(products)):  # the last layer is hardly ever normalised
        stages.append(itertools.combinations(range(layers), len(norms)))
    found = next(filter(None, map(fitting, stages)), [])
    if len(found) != 1:
        names = listed(norm.name for norm in norms)
        raise ValueError(f"which layers {names} normalise does not follow: {_NUMBERED.format(0)}")
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
