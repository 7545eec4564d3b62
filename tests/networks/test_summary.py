"""What a network is made of: parts, what they see, and how many arrays, weights and products they have."""

import pytest

import noisysim
from noisysim import average_pool, batch_norm, concat, conv, dense, depthwise, dropout, multiply, pool, residual
from noisysim.networks.building import architecture
from noisysim.networks.layers import NAMED, summary
from noisysim.networks.summary import in_words

LAYERS = [
    (2, 8, 8), conv(4, 3, padding="same"), batch_norm(), pool(2), residual([conv(4, 3, padding="same")]),
    concat([conv(3, 1)], []), depthwise(3, activation="linear"), multiply([], [average_pool(), dense(7, "sigmoid")]),
    dense(6, "tanh"), dropout(0.25), 5,
]  # fmt: skip


def test_parts_say_what_they_are_see_and_give():
    rows = {part.name: (part.text, part.sources, part.shape) for part in summary(architecture(LAYERS, "relu"))}
    assert rows == {
        "input": ("", (), (8, 8, 2)),
        "layer 1": ("conv(4, 3, padding='same'), batch_norm, relu, pool(2)", (0,), (4, 4, 4)),
        "layer 2": ("conv(4, 3, padding='same')", (1,), (4, 4, 4)),
        "add 1": ("add", (2, 1), (4, 4, 4)),
        "relu 1": ("relu", (8,), (4, 4, 4)),
        "layer 3": ("conv(3, 1), relu", (9,), (4, 4, 3)),
        "concat 1": ("concat", (3, 9), (4, 4, 7)),
        "layer 4": ("conv(7, 3, groups=7)", (10,), (2, 2, 7)),
        "average_pool 1": ("average_pool(2 x 2, stride 2 x 2)", (4,), (1, 1, 7)),
        "layer 5": ("dense(7), sigmoid", (11,), (1, 1, 7)),
        "multiply 1": ("multiply", (4, 5), (2, 2, 7)),
        "layer 6": ("dense(6), tanh, dropout(0.25)", (12,), (1, 1, 6)),
        "layer 7": ("dense(5)", (6,), (1, 1, 5)),
    }


def test_every_part_comes_behind_what_it_sees():
    for name, named in NAMED.items():
        parts = summary(architecture([named.input_shape, *named, named.n_out]))
        order = [part.node for part in parts]
        assert all(order.index(source) < k for k, part in enumerate(parts) for source in part.sources), name
        assert len({part.name for part in parts}) == len(parts)
        assert parts[-1].shape == (1, 1, named.n_out)


def test_weights_and_products_are_those_that_are_used():
    parts = {part.name: part for part in summary(architecture(LAYERS, bias=True))}
    assert parts["layer 2"][5:] == (1, 4 * 37, 4 * 37, 16 * 4 * 37)
    assert parts["layer 4"][5:] == (1, 7 * 64, 7 * 10, 4 * 7 * 10)  # of the array's 63 inputs a channel sees 9
    assert parts["leaky_relu 1"][5:] == (0, 0, 0, 0)


def test_digital_layers_are_on_no_array():
    layers = [(2, 8, 8), conv(4, 3, digital=True), conv(4, 3), batch_norm(learned=True), 5]
    parts = summary(noisysim.Chip(layers, "crossbar:tile_rows=16").network)
    rows = {part.name: (part.text, *part[5:]) for part in parts}
    assert rows["layer 1"] == ("conv(4, 3, digital=True), leaky_relu", 0, 0, 4 * 18, 36 * 4 * 18)
    assert rows["layer 2"] == ("conv(4, 3), batch_norm", 3, 4 * 36, 4 * 36, 16 * 4 * 36)
    assert rows["layer 3"] == ("gain(4), leaky_relu", 0, 0, 8, 16 * 8)
    assert in_words(parts) == "464 weights on 7 arrays, 80 in digital memory"


def test_arrays_are_the_tiles_of_the_device():
    device = noisysim.devices.get("crossbar", tile_rows=16, tile_columns=3)
    chip = noisysim.Chip(LAYERS, device)
    parts = {part.name: part.arrays for part in summary(chip.network)}
    assert parts["layer 1"] == 2 * 2  # 18 inputs, 4 outputs
    assert parts["layer 4"] == 4 * 3
    assert parts["add 1"] == 0
    slices = noisysim.devices.get("crossbar", slices=2, controller="copy")
    sliced = summary(noisysim.Chip([4, 3], slices).network)[1]
    assert (sliced.arrays, sliced.cells, sliced.weights) == (2, 24, 12)


def test_recurrent_layers_have_two_arrays():
    parts = {part.name: part for part in summary(architecture([(1, 6, 4), noisysim.recurrent(5, "lstm"), 3]))}
    assert [name for name, part in parts.items() if part.weights] == ["layer 1", "layer 2", "layer 3"]
    assert parts["layer 1"].shape == (6, 1, 20)
    assert parts["layer 2"].shape == (6, 1, 5)
    assert parts["layer 2"].weights == 20 * 5


@pytest.mark.parametrize("end", [[5], [conv(5, 1), noisysim.layers.output()]])
def test_a_network_ends_in_its_output(end):
    parts = summary(architecture([(1, 4, 4), conv(3, 3), *end]))
    assert parts[-1].shape[2] == 5
