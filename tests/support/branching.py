"""Networks that branch, as lists of layers: input, hidden layers, outputs."""

from noisysim import average_pool, batch_norm, concat, conv, dense, depthwise, multiply, pool, residual
from noisysim.networks import layers as kinds
from noisysim.networks.layers import layer

IMAGE = (2, 6, 5)
NETS = {
    "residual, dense": [6, 5, residual([7, 5]), residual([dense(5, "tanh")], activation="linear"), 3],
    "residual": [
        IMAGE, conv(4, 3, padding="same"), residual([conv(3, 3, padding="same"), conv(4, 3, padding="same")]),
        residual([conv(5, 3, 2, "same")], [conv(5, 1, 2)], "tanh"), average_pool(), 3,
    ],
    "residual, normalised": [
        IMAGE, conv(3, 3), batch_norm(), residual([conv(3, 3, padding=1), batch_norm(), conv(3, 1), batch_norm()]),
        residual([conv(4, 1), batch_norm(), pool(2)], [conv(4, 2, 2)]), 3,
    ],
    "concat": [
        (2, 6, 6), concat([conv(3, 1)], [conv(2, 3, padding="same"), pool(3, 1, 1)], []), conv(4, (3, 1), (2, 1)), 3,
    ],
    "gate": [(3, 5, 5), conv(4, 3), multiply([], [average_pool(), 3, dense(4, "sigmoid")]), 3],
    "products": [6, multiply([5], [dense(5, "sigmoid")], [dense(5, "tanh")]), 3],
    "nested": [
        (2, 5, 4), concat([residual([conv(2, 3, padding=1), residual([conv(2, 1)])])], [conv(3, (1, 3), 1, (0, 1))]),
        residual([concat([conv(2, 1)], [residual([conv(2, 3, padding=1)], [conv(2, 1)])], [conv(1, 1)])]),
        conv(3, 3), 4,
    ],
    "wired": [
        5, "a = 6", "b = dense(6, 'tanh')(input)", "c = add()(a, b)", "e = dense(4)(c)",
        "d = dense(8, 'linear')(b)", "m = matmul(1, 3, 2, 4)(a, d)", "n = take([2, 5, 7])", "concat()(e, n, c)", 3,
    ],
    "wired in branches": [
        5, concat(["a = 6", "b = 6"], ["c = 4"]), residual(["add()(a, b)", "d = 10"]), 3,
    ],
    "windows": [
        (2, 7, 8), conv(3, (2, 3), (1, 2), (1, 0, 2, 1), dilation=(2, 1)), average_pool((3, 2), (2, 1), (1, 0)),
        average_pool(2, 1, 1, count_padding=True), pool((2, 3), 1, (1, 0, 0, 2)), 3,
    ],
    "norms": [
        (2, 5, 5), conv(6, 3), kinds.layer_norm(), conv(6, 1), kinds.group_norm(2), kinds.rms_norm(),
        kinds.activate("tanh"), 5, kinds.softmax(), 3,
    ],
    "constants": [
        (1, 4, 4), conv(3, 3), kinds.affine([0.5, 2.0, 1.5], [0.1, -0.2, 0.3]), kinds.clip(-0.5, 1.2), kinds.leak(0.3),
        kinds.take([3, -1, 11, 3, 0, 7], (1, 2, 3)), kinds.affine(2.0, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), 4,
    ],
    "groups": [(4, 5, 5), conv(4, 3, groups=2), depthwise(3, activation="tanh", multiplier=2), 3],
    "learned norms": [
        IMAGE, conv(4, 3), batch_norm(learned=True), pool(2),
        residual([conv(4, 3, padding=1), batch_norm(learned=True)], [kinds.group_norm(2, learned=True)]),
        kinds.layer_norm(learned=True), 5, batch_norm(learned=True), kinds.rms_norm(learned=True), 3,
    ],
    "digital": [
        IMAGE, conv(3, 3, digital=True), depthwise(3, padding=1, digital=True), conv(4, 1), dense(5, digital=True),
        kinds.layer_norm(learned=True), 4, dense(3, "linear", digital=True), kinds.output(),
    ],
    "of the input": [(2, 6, 6), average_pool(2), conv(3, 2), residual([conv(3, 1)]), 3],
    "ends in a sum": [6, 5, residual([4, 5]), kinds.output()],
    "ends in softmax": [IMAGE, conv(4, 3), average_pool(), kinds.softmax(), kinds.output()],
}  # fmt: skip
NETS = {name: [layers[0], *map(layer, layers[1:])] for name, layers in NETS.items()}
"""Each layer in the form that the definition reads (`naive_layers`)."""
