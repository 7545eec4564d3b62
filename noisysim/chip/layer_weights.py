"""What is asked of a chip's arrays, from the weights, biases and normalisations of a network trained elsewhere.

Where a convolution's weights are a kernel (out, in, height, width), a dense layer behind it takes the image channel by
channel, as PyTorch flattens it; where they are (n_out, n_in), as `Chip.program` takes changes, all columns are in the
order of the chip's lines. Kernels and matrices by Keras's names are (..., in, out), and images there pixel by pixel.

A normalisation whose layer is normalised here gives its running statistics. Elsewhere it is folded into the weights
and the bias before it, W' = W g / s and b' = (b - m) g / s + o with s = sqrt(v + epsilon), which is exact as long as it
normalises by running statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from noisysim.common.arguments import argument
from noisysim.common.fields import listed, shown
from noisysim.common.types import Doubles, Floats
from noisysim.networks import named_weights
from noisysim.networks.architecture import Architecture
from noisysim.networks.weight_matching import Group

EPSILONS = {False: 1e-5, True: 1e-3}
"""What a folded normalisation adds to variances: PyTorch's default, and Keras's by whose names it is told."""
_COLOURS = (
    "initial weights: {!r}, by Keras's name 'kernel', was taken to see images pixel by pixel, (height, width, "
    "channels); if it learned from the task's own batches, which are channel by channel, give its transpose as "
    "'{}.weight'"
)


def fits(net: Architecture) -> Callable[[Sequence[Group]], bool]:
    """A check of whether layers of weights have the shapes of a network's, in its order."""

    def check(groups: Sequence[Group]) -> bool:
        layers = told(net, len(groups))
        return len(groups) == len(layers) and all(
            group.arrays["weight"].shape in _wanted(net, layer, group)
            for layer, group in zip(layers, groups, strict=True)
        )

    return check


def told(net: Architecture, count: int) -> list[int]:
    """The layers of a network that so many groups of arrays are: all; or all but learned gains, which have names of
    normalisations elsewhere."""
    others = [layer for layer, block in enumerate(net.blocks) if not block.is_gain]
    return others if count == len(others) else list(range(net.depth))


def with_gains(groups: Sequence[Group], net: Architecture) -> list[Group]:
    """Groups with one more for each gain of the network, where none of its own is there: that of its normalisation.

    A gain whose normalisation has none begins, as in a network that is drawn, at 1.
    """
    layers = told(net, len(groups))
    if len(groups) != len(layers) or len(layers) == net.depth:
        return list(groups)
    each, listed = iter(groups), list[Group]()
    for layer, block in enumerate(net.blocks):
        if not block.is_gain:
            listed.append(next(each))
            continue
        norm = listed[-1].norm if net.source(layer) == layer and net.norms[layer - 1] else None
        gain, offset = np.ones(block.units), np.zeros(block.units)
        if norm is not None:
            gain, offset = _affine(_where(layer - 1, listed[-1]), norm, block.units)
            moments = {role: array for role, array in norm.arrays.items() if role in ("mean", "variance")}
            listed[-1].norm = replace(norm, arrays=moments)
        listed.append(Group("" if norm is None else norm.name, {"weight": gain.reshape(-1, 1, 1, 1), "bias": offset}))
    return listed


def check_count(groups: Sequence[Group], net: Architecture) -> None:
    """Refuse another number of layers than the network's."""
    if len(groups) != net.depth:
        shapes = listed(group.arrays["weight"].shape for group in groups) or "none"
        raise ValueError(
            f"there are {len(groups)} layers of weights ({shapes}), the network has {net.depth} ({listed(net.shapes)}"
            f"{', the last column the bias' * net.bias})"
        )


def assumed(groups: Sequence[Group]) -> list[str]:
    """Sentences about what no name or shape tells."""
    return [_COLOURS.format(group.name, group.name) for group in groups if group.image]


def of_groups(
    groups: Sequence[Group], net: Architecture, whole: bool = False
) -> tuple[list[Floats], list[Doubles | None]]:
    """Weights (n_out, n_in) float32 of each layer, with a bias one more column, and its running statistics or ``None``.

    Parameters
    ----------
    groups : sequence of Group
        As many as the network has layers.
    net : Architecture
    whole : bool
        Whether it is known that they are all of a network's: then biases that are missing are 0.

    Raises
    ------
    ValueError
        Naming the layer, the shape it needs and the one that was given.
    """
    convolutions = [
        group.arrays["weight"].ndim > 2
        for group, block in zip(groups, net.blocks, strict=True)
        if block.is_conv and not block.is_gain
    ]
    by_pixel = bool(convolutions) and not any(convolutions)
    parts = [_parts(net, layer, group, by_pixel) for layer, group in enumerate(groups)]
    folded = any(group.norm and not norm for group, norm in zip(groups, net.norms, strict=True))
    own = [bias for (_, bias), block in zip(parts, net.blocks, strict=True) if not block.is_gain]
    may_lack = (whole or folded) and all(bias is None for bias in own)  # a network without biases
    weights: list[Floats] = []
    statistics: list[Doubles | None] = []
    for layer, (group, (matrix, bias)) in enumerate(zip(groups, parts, strict=True)):
        where = _where(layer, group)
        if group.norm is not None and net.norms[layer] is None:
            if not net.bias:
                raise ValueError(
                    f"{where} are followed by {shown(group.norm.name)}: put batch_norm() behind this layer, or set "
                    f"{argument('bias=True')}, and it is folded into weights and biases"
                )
            matrix, bias = _folded(where, group, group.norm, matrix, bias)
            statistics.append(None)
        else:
            statistics.append(_statistics(where, group, net, layer, bias))
        if net.norms[layer] is not None and not net.bias:
            bias = None  # it is in the mean, or the normalisation takes it out
        normalised = group.norm is not None or net.norms[layer] is not None
        weights.append(_joined(where, net.biases[layer], matrix, bias, may_lack or normalised))
    return weights, statistics


def _where(layer: int, group: Group) -> str:
    """What messages call a layer's weights."""
    return f"init: layer {layer + 1}'s weights" + (f" ({shown(group.name)})" if group.name else "")


def _wanted(net: Architecture, layer: int, group: Group) -> list[tuple[int, ...]]:
    """The shapes that a layer's weights may have."""
    n_out, n_in = net.units[layer], net.fan_in[layer]
    with_bias = [(n_out, n_in + 1)] if net.biases[layer] and "bias" not in group.arrays else []
    if not net.blocks[layer].is_conv:
        image = named_weights.by_channel(net, layer)
        return [(n_in, n_out)] if group.keras else [(n_out, n_in), *with_bias, *[image] * (image[2:] != (1, 1))]
    kernel = named_weights.weight_shape(net, layer)
    return [(*kernel[2:], *kernel[1::-1])] if group.keras else [kernel, (n_out, n_in), *with_bias]


def _parts(net: Architecture, layer: int, group: Group, by_pixel: bool) -> tuple[Doubles, Doubles | None]:
    """Weights in the order of the chip's lines, (n_out, n_in) float64, and the bias, if there is one."""
    where, wanted, array = _where(layer, group), _wanted(net, layer, group), group.arrays["weight"]
    if array.shape not in wanted:
        raise ValueError(f"{where} must be {_words(wanted)}, not {array.shape}{_hint(array.shape, wanted, group)}")
    n_out, n_in, bias = net.units[layer], net.fan_in[layer], group.arrays.get("bias")
    if bias is not None:
        bias = bias.astype(np.float64)
        if bias.size != n_out or bias.ndim > 2:
            raise ValueError(f"{where.replace('weights', 'bias')} must be ({n_out},), not {bias.shape}")
        bias = bias.reshape(n_out)
    values = array.astype(np.float64)
    if group.keras and values.ndim == 2:
        if group.image:
            values = values.reshape(-1, group.image[0], n_out).swapaxes(0, 1).reshape(n_in, n_out)
        return values.T, bias
    if group.keras:
        values = values.transpose(3, 2, 0, 1)
    if values.ndim == 2 and values.shape[1] > n_in:
        values, bias = values[:, :n_in], values[:, n_in]
    if values.ndim > 2 or not (by_pixel or net.blocks[layer].is_conv):
        values = named_weights.by_pixel(net, layer, values)
    elif net.blocks[layer].is_conv and not (by_pixel or net.blocks[layer].is_gain):
        raise ValueError(f"{where} must be a kernel {named_weights.weight_shape(net, layer)}, as others are")
    return values, bias


def _words(shapes: Sequence[tuple[int, ...]]) -> str:
    return " or ".join(map(str, shapes))


def _hint(shape: tuple[int, ...], wanted: Sequence[tuple[int, ...]], group: Group) -> str:
    """What may be wrong with a shape."""
    if len(shape) == 2 and shape[::-1] in wanted:
        return ": it is transposed, give its transpose (.T)"
    if any((*one[2:], *one[1::-1]) == shape for one in wanted if len(one) == 4):
        return ": it is in Keras's order, give array.transpose(3, 2, 0, 1), or call it 'kernel'"
    if len(shape) == 2 and any(shape == (n_out, n_in + 1) for n_out, n_in in [one for one in wanted if len(one) == 2]):
        if "bias" in group.arrays:
            return ": it has one more column and a bias as well"
        return f": one more column would be the bias, the network has none ({argument('bias=True')})"
    return ""


def _joined(where: str, biased: bool, matrix: Doubles, bias: Doubles | None, may_lack: bool) -> Floats:
    """The array of a layer in float32, the bias its last column."""
    if bias is not None and not biased:
        raise ValueError(f"{where} come with a bias, the network has none: set {argument('bias=True')}")
    if bias is None and biased and not may_lack:
        raise ValueError(
            f"{where} come without a bias, the network has one ({argument('bias=True')}): give (W, b), or a last column"
        )
    joined = np.zeros((len(matrix), matrix.shape[1] + biased), np.float32)
    with np.errstate(over="ignore"):
        joined[:, : matrix.shape[1]] = matrix
        if bias is not None:
            joined[:, -1] = bias
    if not np.isfinite(joined).all():
        raise ValueError(f"{where} hold NaN, infinite or too large values")
    return joined


# --- normalisation --------------------------------------------------------------------------------------------------


def _moments(where: str, norm: Group, units: int) -> Doubles | None:
    """Running mean and variance, (2, units); ``None`` if neither is given."""
    if not norm.normalises:
        return None
    name = shown(norm.name)
    moments = np.empty((2, units))
    for row, role in enumerate(("mean", "variance")):
        array = norm.arrays.get(role)
        if array is None:
            raise ValueError(f"{where} are normalised by {name}, which has no running {role}")
        if array.shape != (units,):
            raise ValueError(f"{where}: the running {role} of {name} must be ({units},), not {array.shape}")
        moments[row] = array
    if not np.isfinite(moments).all() or (moments[1] < 0).any():
        raise ValueError(f"{where}: running statistics of {name} must be finite, and variances not below 0")
    return moments


def _affine(where: str, group: Group, units: int) -> tuple[Doubles, Doubles]:
    """Gain and offset of a normalisation, (units,) each."""
    parts = []
    for role, usual in (("weight", 1.0), ("bias", 0.0)):
        array = group.arrays.get(role, np.full(units, usual)) if not group.is_product else np.full(units, usual)
        if array.shape != (units,):
            raise ValueError(f"{where}: the {role} of {shown(group.name)} must be ({units},), not {array.shape}")
        parts.append(array.astype(np.float64))
    return parts[0], parts[1]


def _statistics(where: str, group: Group, net: Architecture, layer: int, bias: Doubles | None) -> Doubles | None:
    """The running statistics that a normalised layer starts with; a bias that it lacks here is in the mean."""
    if group.norm is None or net.norms[layer] is None:
        return None
    gain, offset = _affine(where, group.norm, net.units[layer])
    if (gain != 1).any() or (offset != 0).any():
        raise ValueError(
            f"{where} are followed by {shown(group.norm.name)}, which has a learned gain and offset: write "
            f"batch_norm(learned=True); or leave it out of the network's layers and set {argument('bias=True')}, and "
            "it is folded into the weights"
        )
    moments = _moments(where, group.norm, net.units[layer])
    if moments is not None and bias is not None and not net.bias:
        moments[0] -= bias
    return moments


def _folded(where: str, group: Group, norm: Group, matrix: Doubles, bias: Doubles | None) -> tuple[Doubles, Doubles]:
    """Weights and bias that do what they did with the normalisation behind them."""
    gain, offset = _affine(where, norm, len(matrix))
    moments = _moments(where, norm, len(matrix))
    if moments is None:
        raise ValueError(f"{where} are followed by {shown(norm.name)}, which has no running mean and variance")
    epsilon = EPSILONS[norm.keras] if group.epsilon is None else group.epsilon
    scale = gain / np.sqrt(moments[1] + epsilon)
    return matrix * scale[:, None], ((0.0 if bias is None else bias) - moments[0]) * scale + offset
