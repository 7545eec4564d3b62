"""What two networks may differ in whose layers have weights of the same shapes, and so need not show in weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from noisysim.networks.architecture import Architecture
from noisysim.networks.block import Block
from noisysim.networks.layers import Conv

_NORM, _NONE = "batch normalisation", "none"


@dataclass(frozen=True)
class Traits:
    """What a layer of weights is and what follows it, beyond the shape of the weights.

    Attributes
    ----------
    words : mapping of str
        From what a message calls it to what it is.
    epsilon : float or None
        What its batch normalisation adds to variances.
    """

    words: Mapping[str, str]
    epsilon: float | None = None


def traits(net: Architecture) -> tuple[Traits, ...]:
    """Those of each layer of weights."""
    return tuple(
        Traits(_words(block, layer == net.depth - 1), None if block.norm is None else block.norm.epsilon)
        for layer, block in enumerate(net.blocks)
    )


def _words(block: Block, last: bool) -> dict[str, str]:
    pool, norm = block.pool, block.norm
    words = {} if last else {"activation": block.activation.name}
    if isinstance(block.product, Conv):
        words |= {"stride": f"{block.product.stride}", "padding": _sides(block.product.margins)}
        words |= {"dilation": f"{block.product.dilation}", "groups": f"{block.groups}"}
    words["pooling"] = _NONE if pool is None else f"of {pool.size} with stride {pool.stride or pool.size}"
    words[_NORM] = _NONE if norm is None else f"with epsilon {norm.epsilon:g}"
    return words


def _sides(margins: tuple[int, ...]) -> str:
    """Padding as one number where all sides have the same."""
    return f"{margins[0]}" if len(set(margins)) == 1 else f"{margins}"


def differences(there: Sequence[Traits], here: Sequence[Traits]) -> list[str]:
    """Sentences about what the network that weights are from and the one they are for differ in.

    Batch normalisation that is missing here is none of it: it is folded into the weights.
    """
    layers: dict[tuple[str, str, str], list[int]] = {}
    for layer, (other, own) in enumerate(zip(there, here, strict=True)):
        for what, now in own.words.items():
            before = other.words.get(what, now)
            if before != now and (what, now) != (_NORM, _NONE):
                layers.setdefault((what, before, now), []).append(layer + 1)
    return [
        f"initial weights: {what} of layer{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))} is {before} in the "
        f"network they are from, {now} here"
        for (what, before, now), numbers in layers.items()
    ]
