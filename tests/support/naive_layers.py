"""The definition of networks: lists of layers in slow, plain NumPy float64, with no import of the project.

A layer is anything with the fields that a list of layers gives it: ``name`` says which kind it is. Values are images
(batch, height, width, channels); units are images of one pixel.
"""

from types import SimpleNamespace

import numpy as np

import naive

PRODUCTS = ("dense", "conv", "depthwise")


def evaluate(layers, weights, x, activation="relu", bias=False, norms=None, perturbations=None):
    """What a network gives, and the lines of its layers.

    Parameters
    ----------
    layers : list
        First the shape of the input, a number or (channels, height, width); then layers; the last is linear.
    weights : list of array
        (n_out, n_in) each, the bias as the last input, in the order of the list, branch after branch.
    x : array
        (batch, n_in), images channel by channel.
    activation : str
        Of layers that name none.
    bias : bool
    norms : list of (shift, scale) or None, optional
        Of each layer's lines. Default: their own statistics over samples and positions.
    perturbations : list of array, optional
        Added to the lines of each layer, (batch, ...).

    Returns
    -------
    output : array
        (batch, n_out)
    lines : list of array
        (batch, height, width, units)
    """
    net = _Net(weights, activation, bias, norms, perturbations)
    shape = layers[0]
    image = x if np.ndim(shape) == 0 else np.moveaxis(x.reshape(-1, *shape), 1, -1)
    value = image.reshape(len(x), 1, 1, -1) if image.ndim == 2 else image
    net.named["input"] = net.input = value
    net.raw = x.reshape(len(x), 1, 1, -1)
    last = layers[-1]
    ends = last.name == "dense"
    listed = [*layers[1:-1], with_linear(last)] if ends else layers[1:]
    return net.follow(listed, value).reshape(len(x), -1), net.lines


def with_linear(layer):
    """The same layer, linear if it says nothing else."""
    if layer.name == "wired":
        return SimpleNamespace(**{**fields(layer), "layer": with_linear(layer.layer)})
    if layer.activation is not None:
        return layer
    return SimpleNamespace(**{**fields(layer), "activation": "linear"})


def fields(layer):
    return {**vars(layer), "name": layer.name}


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def sides(padding, kernel, dilation=(1, 1)):
    """Top, left, bottom, right."""
    if padding == "same":
        high, wide = ((n - 1) * d // 2 for n, d in zip(kernel, dilation, strict=True))
        return high, wide, high, wide
    if isinstance(padding, tuple) and len(padding) == 4:
        return padding
    high, wide = pair(padding)
    return high, wide, high, wide


def padded(value, margins, fill):
    top, left, bottom, right = margins
    return np.pad(value, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)


def windows(value, size, stride, dilation=(1, 1)):
    """(batch, rows, columns, size, size_x, channels)."""
    rows, columns = ((n - (k - 1) * d - 1) // s + 1 for n, k, s, d in
                     zip(value.shape[1:3], size, stride, dilation, strict=True))  # fmt: skip
    found = np.empty((len(value), rows, columns, *size, value.shape[3]))
    for i in range(rows):
        for j in range(columns):
            for u in range(size[0]):
                for v in range(size[1]):
                    found[:, i, j, u, v] = value[:, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]]
    return found


def centred(value, axes, epsilon, subtract=True):
    value = value - value.mean(axis=axes, keepdims=True) if subtract else value
    return value / np.sqrt((value**2).mean(axis=axes, keepdims=True) + epsilon)


class _Net:
    """Weights that are used one after the other."""

    def __init__(self, weights, activation, bias, norms, perturbations):
        self.weights, self.activation, self.bias = weights, activation, bias
        self.norms, self.perturbations = norms, perturbations
        self.named, self.lines, self.input, self.raw = {}, [], None, None

    def follow(self, layers, value):
        """Layers one after the other."""
        k = 0
        while k < len(layers):
            layer = layers[k]
            norm = layers[k + 1] if k + 1 < len(layers) and layers[k + 1].name == "batch_norm" else None
            value = (
                self.product(layer, value, norm) if layer.name in PRODUCTS else getattr(self, layer.name)(layer, value)
            )
            k += 1 if norm is None else 2
        return value

    def product(self, layer, value, norm):
        """A layer of weights, its normalisation and activation function."""
        index = len(self.lines)
        w = self.weights[index]
        if layer.name == "dense":
            flat = self.raw if value is self.input else value
            seen = flat.reshape(len(value), 1, 1, -1)
        else:
            kernel, stride, dilation = pair(layer.kernel), pair(layer.stride), pair(layer.dilation)
            image = padded(value, sides(layer.padding, kernel, dilation), 0)
            found = windows(image, kernel, stride, dilation)
            seen = found.reshape(*found.shape[:3], -1)
            groups = value.shape[3] if layer.name == "depthwise" else layer.groups
            w = w * held(w.shape[0], value.shape[3], groups, kernel, w.shape[1])
        if self.bias:
            seen = np.concatenate([seen, np.ones((*seen.shape[:3], 1))], axis=3)
        lines = seen @ w.T
        if self.perturbations is not None:
            lines = lines + self.perturbations[index].reshape(lines.shape)
        self.lines.append(lines)
        if norm is not None:
            lines = self.learned(norm, self.normalised(lines, index, norm))
        return naive.activate(layer.activation or self.activation, lines)

    def normalised(self, lines, index, norm):
        if self.norms is not None:
            shift, scale = self.norms[index]
            return (lines - shift) * scale
        return centred(lines, (0, 1, 2), norm.epsilon)

    def learned(self, layer, value):
        """What a normalisation learned: a gain and an offset of each channel, a layer of weights of its own."""
        if not layer.learned:
            return value
        index = len(self.lines)
        w = self.weights[index]
        lines = value * np.diagonal(w[:, :-1]) + w[:, -1]
        if self.perturbations is not None:
            lines = lines + self.perturbations[index].reshape(lines.shape)
        self.lines.append(lines)
        return lines

    # --- branches ---

    def residual(self, layer, value):
        ends = []
        for branch in (layer.main, layer.shortcut):
            bare = [one.layer if one.name == "wired" else one for one in branch]
            products = [k for k, one in enumerate(bare) if one.name in PRODUCTS]
            last = products[-1] if products else -1
            ends.append(self.follow([with_linear(one) if k == last else one for k, one in enumerate(branch)], value))
        return naive.activate(layer.activation or self.activation, ends[0] + ends[1])

    def concat(self, layer, value):
        return np.concatenate([self.follow(branch, value) for branch in layer.branches], axis=3)

    def multiply(self, layer, value):
        ends = [self.follow(branch, value) for branch in layer.branches]
        total = ends[0]
        for end in ends[1:]:
            total = total * end
        return total

    def wired(self, wired, value):
        seen = [self.named[source] for source in wired.sources] or [value]
        if wired.layer.name == "add":
            value = sum(seen[1:], seen[0])
        elif wired.layer.name == "concat" and not wired.layer.branches:
            value = np.concatenate(seen, axis=3)
        elif wired.layer.name == "matmul":
            m = wired.layer
            a, b = seen[0].reshape(-1, m.sides, m.rows, m.inner), seen[1].reshape(-1, m.sides, m.inner, m.columns)
            value = a @ b
        else:
            value = self.follow([wired.layer], seen[0])
        if wired.label:
            self.named[wired.label] = value
        return value

    # --- one value to one value ---

    def flatten(self, layer, value):
        return value

    def output(self, layer, value):
        return value

    def dropout(self, layer, value):
        return value  # while learning alone

    def pool(self, layer, value):
        size, stride = pair(layer.size), pair(layer.stride or layer.size)
        return windows(padded(value, sides(layer.padding, size), -np.inf), size, stride).max(axis=(3, 4))

    def average_pool(self, layer, value):
        size = value.shape[1:3] if layer.size is None else pair(layer.size)
        stride, margins = pair(layer.stride or size), sides(layer.padding, size)
        if layer.count_padding:
            return windows(padded(value, margins, 0), size, stride).mean(axis=(3, 4))
        return np.nanmean(windows(padded(value, margins, np.nan), size, stride), axis=(3, 4))

    def activate(self, layer, value):
        return naive.activate(layer.activation or self.activation, value)

    def layer_norm(self, layer, value):
        return self.learned(layer, centred(value, 3, layer.epsilon))

    def rms_norm(self, layer, value):
        return self.learned(layer, centred(value, 3, layer.epsilon, subtract=False))

    def group_norm(self, layer, value):
        parts = np.split(value, layer.groups, axis=3)
        value = np.concatenate([centred(part, (1, 2, 3), layer.epsilon) for part in parts], axis=3)
        return self.learned(layer, value)

    def softmax(self, layer, value):
        e = np.exp(value - value.max(axis=3, keepdims=True))
        return e / e.sum(axis=3, keepdims=True)

    def clip(self, layer, value):
        return np.clip(value, layer.low, layer.high)

    def leak(self, layer, value):
        return np.where(value > 0, value, layer.slope * value)

    def affine(self, layer, value):
        gain, offset = np.array(layer.gain), np.array(layer.offset)
        if max(gain.size, offset.size) not in (1, value.shape[3]):  # of each value, pixel by pixel
            gain, offset = (one if one.size == 1 else one.reshape(value.shape[1:]) for one in (gain, offset))
        return value * gain + offset

    def take(self, layer, value):
        flat = value.reshape(len(value), -1)
        places = np.array(layer.places)
        return np.where(places < 0, 0, flat[:, places]).reshape(len(value), *layer.shape)


def held(n_out, channels, groups, kernel, n_in):
    """1 where a convolution with groups has a weight."""
    blocks = np.ones((n_out, n_in))
    for o in range(n_out):
        for k in range(kernel[0] * kernel[1] * channels):
            blocks[o, k] = o // (n_out // groups) == k % channels // (channels // groups)
    return blocks
