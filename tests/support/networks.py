"""Small convolutional networks, in the project's words and in those of naive.py."""

from types import SimpleNamespace

import numpy as np

from noisysim import batch_norm, conv, dense, dropout, pool

import bell
import naive

OWN = {"bell": bell.__file__}
"""Activation functions that are not the project's, and their files."""


class Net:
    """A network as the project takes it, `layers`, and as the definition does, `blocks`.

    Attributes
    ----------
    units, fan_in : list of int
        Output channels, and inputs of one product without a bias, of each layer.
    lines, outputs : list of tuple of int
        Shapes of one sample's lines and outputs.
    normed : sequence of int
        Layers with batch norm.
    epsilons : list
        What it adds to variances, a layer; None where there is none.
    drops : sequence of float
        Dropout's rates.
    activation : str
        Of layers that have none of their own.
    """

    def __init__(self, layers, units, blocks, normed=(), drops=(), activation="leaky_relu"):
        self.layers, self.units, self.blocks, self.normed = layers, units, blocks, normed
        self.activation = OWN.get(activation, activation)
        self.drops = drops or [0] * len(units)
        self.epsilons = [1e-5 if layer in normed else None for layer in range(len(units))]
        self.fan_in, self.lines, self.outputs = [], [], []
        self.inputs = int(np.prod(layers[0]))
        y = naive.channel_last(blocks[0], np.zeros((1, self.inputs)))
        for block, n in zip(blocks, units, strict=True):
            parts = naive.unfold(block, y)
            a = np.zeros((*parts.shape[:-1], n))
            y = naive.block(block, a)
            self.fan_in.append(parts.shape[-1])
            self.lines.append(a.shape[1:])
            self.outputs.append(y.shape[1:])

    def shapes(self, bias):
        """Of the weights."""
        return [(n, k + bias) for n, k in zip(self.units, self.fan_in, strict=True)]

    def columns(self, bias):
        """Shapes of what one sample drives each layer with."""
        return [(*shape[:-1], k + bias) for shape, k in zip(self.lines, self.fan_in, strict=True)]

    def seen(self, norms=(), masks=(), of_batch=False):
        """The definition's layers, with an observation's batch norm and dropout."""
        found = []
        for layer, block in enumerate(self.blocks):
            norm, mask = (part[layer] if len(part) else None for part in (norms, masks))
            own = {"norm": None if norm is None else tuple(np.asarray(norm, float)), "mask": mask}
            found.append(SimpleNamespace(**{**vars(block), **own, "of_batch": of_batch and norm is not None}))
        return found

    def masks(self, batch, number, key, first=0):
        """What dropout multiplies outputs with in a call whose first pass has this number."""
        return [
            naive.dropout_mask((batch, *shape), rate, layer, number, key, first) if rate else None
            for layer, (shape, rate) in enumerate(zip(self.outputs, self.drops, strict=True))
        ]

    def random_state(self, rng, batch):
        """Norms and masks as an observation holds them; empty where the network has none."""
        norms, masks = [], []
        for layer, n in enumerate(self.units):
            scale = np.array([0.3 * rng.standard_normal(n), rng.uniform(0.5, 1.5, n)], np.float32)
            norms.append(scale if layer in self.normed else None)
            kept = rng.random((batch, *self.outputs[layer])) >= self.drops[layer]
            masks.append((kept / (1 - self.drops[layer])).astype(np.float32) if self.drops[layer] else None)
        return norms if self.normed else [], masks if any(self.drops) else []


def deep(activation="leaky_relu", other="leaky_relu"):
    """Two convolutions, one padded and pooled, and two dense layers; batch norm and dropout after either kind.

    On a chip, activation functions as other tests have them spare the compiler loops of this network's own.
    """
    own = OWN.get(other, other)
    return Net(
        [(2, 7, 6), conv(4, 3, padding=1), batch_norm(), pool(2), dropout(0.25), conv(3, 2, activation=own),
         dense(5), batch_norm(), dropout(0.5), 3],
        [4, 3, 5, 3],
        [naive.conv((7, 6, 2), 3, padding=1, activation=activation, pool=(2, 2)),
         naive.conv((3, 3, 4), 2, activation=other), naive.dense(activation), naive.dense()],
        normed=(0, 2), drops=(0.25, 0, 0.5, 0), activation=activation,
    )  # fmt: skip


def strided(activation="leaky_relu"):
    """One convolution with a stride, over an image it does not fill; windows overlap; the output right behind it."""
    return Net(
        [(1, 8, 7), conv(3, 3, stride=2), pool(2, 1), dropout(0.3), 4], [3, 4],
        [naive.conv((8, 7, 1), 3, stride=2, activation=activation, pool=(2, 1)), naive.dense()], drops=(0.3, 0),
        activation=activation,
    )  # fmt: skip


def bare():
    """Nothing but products, and activations of their own."""
    return Net(
        [(2, 5, 4), conv(3, 3, stride=2, padding="same", activation="sigmoid"), conv(4, 2, activation="relu"),
         dense(5, "linear"), dense(4, "tanh"), 3],
        [3, 4, 5, 4, 3],
        [naive.conv((5, 4, 2), 3, stride=2, padding=1, activation="sigmoid"),
         naive.conv((3, 2, 3), 2, activation="relu"), naive.dense("linear"), naive.dense("tanh"), naive.dense()],
    )  # fmt: skip


def smooth(pooled=True, activation="tanh"):
    """Without dropout, and without kinks but pooling's."""
    return Net(
        [(1, 5, 5), conv(3, 2), batch_norm(), *([pool(2)] if pooled else []), dense(4), 3], [3, 4, 3],
        [naive.conv((5, 5, 1), 2, activation=activation, pool=(2, 2) if pooled else None), naive.dense(activation),
         naive.dense()],
        normed=(0,), activation=activation,
    )  # fmt: skip
