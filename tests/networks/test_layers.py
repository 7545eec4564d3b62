"""Descriptions of networks: layers in their forms, what follows from them, and what does not fit."""

import math
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim.cli import commands
from noisysim.devices.resolved import resolve
from noisysim.networks import layers as kinds
from noisysim.networks.building import architecture
from noisysim.networks.layer_lists import KINDS
from noisysim.networks.layers import batch_norm, conv, dense, dropout, flatten, pool
from noisysim.networks.tiling import network

ALL = [
    conv(16, 3), conv(16, 3, stride=2), conv(4, 5, padding="same"), conv(4, 5, 1, 2, "relu"), dense(7),
    dense(7, activation="tanh"), pool(2), pool(3, 2), batch_norm(), batch_norm(rate=0.01), dropout(0.5), flatten(),
    conv(4, (1, 5), (2, 1), (0, 1, 2, 3), dilation=(1, 2)), noisysim.conv1d(4, 5, 2, "same", "relu", 3),
    pool((2, 3), 1, (1, 0)), noisysim.average_pool(), noisysim.average_pool(3, 2, 1, count_padding=True),
    noisysim.activate(), noisysim.activate("gelu"),
    noisysim.residual([conv(4, 3), batch_norm(), dense(5, "linear")]), noisysim.residual([5], [dense(5)], "linear"),
    noisysim.concat([5], [], [dropout(0.5)]), noisysim.multiply([], [noisysim.average_pool(), dense(4, "sigmoid")]),
    kinds.layer_norm(), kinds.rms_norm(1e-3), kinds.group_norm(4), kinds.softmax(), kinds.clip(-1.5, 2),
    kinds.leak(0.3), kinds.affine(), kinds.affine([0.5, 2], 1), kinds.take([3, -1, 0, 0], (2, 1, 2)), kinds.take([1]),
    conv(8, 3, groups=4), noisysim.depthwise(3, 2, "same", "relu6", multiplier=2), kinds.recurrent(8, "gru", "all"),
    kinds.attention(2, 8), kinds.positional(0.5), kinds.one_hot(9), kinds.embedding(50, 4),
    kinds.recurrent(8, digital=True), kinds.attention(2, digital=True), kinds.embedding(50, 4, digital=True),
    kinds.add(), kinds.divide(), kinds.matmul(1, 2, 3, 4), kinds.output(), kinds.Wired(conv(4, 3), "a"),
    kinds.Wired(kinds.add(), "", ("a", "input")), kinds.Wired(kinds.concat(), "b", ("a", "a")),
    noisysim.concat([noisysim.residual([5, noisysim.multiply([5], [5])])], [kinds.Wired(dense(5), "inner")]),
]  # fmt: skip


@pytest.mark.parametrize("one", ALL, ids=repr)
def test_a_layers_text_is_read_again(one):
    assert kinds.parse(repr(one)) == one
    assert kinds.layer(kinds.plain([one])[0]) == one


def test_every_kind_of_layer_has_a_text():
    assert {type(one).name for one in ALL} >= set(KINDS) - {"conv1d"}
    assert [name for name in KINDS if not hasattr(kinds, name)] == []


def test_layers_at_the_top_are_those_of_the_module():
    names = [name for name in noisysim.__all__ if hasattr(kinds, name)]
    assert {"conv", "residual", "concat", "average_pool"} < set(names) < set(KINDS)
    assert all(getattr(noisysim, name) is getattr(kinds, name) for name in names)
    assert set(names) < set(dir(noisysim))


def test_numbers_are_dense_layers_in_every_form():
    assert [kinds.layer(n) for n in (5, "5", np.int64(5), dense(5))] == [dense(5)] * 4
    assert kinds.plain([dense(5), conv(2, 3), dense(4, "relu")]) == [5, "conv(2, 3)", "dense(4, activation='relu')"]
    assert repr(conv(16, 3, stride=2)) == "conv(16, 3, stride=2)"
    assert repr(pool(2.0, 2.0)) == "pool(2, stride=2)"


def test_numbers_may_have_names():
    assert kinds.parse("a = 12") == kinds.Wired(dense(12), "a")


def test_a_list_may_name_a_network():
    assert kinds.hidden("dalm-3") == [dense(1024, "leaky_relu")] * 3
    assert kinds.hidden(["dalm-3"]) == kinds.hidden("dalm-3")  # as the command line gives it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conv(16, 3", "cannot read"), ("cnv(16, 3)", "did you mean 'conv'"), ("conv(16)", "kernel"),
        ("conv", "missing"),
        ("conv(16, 3, strides=2)", "did you mean 'stride'"), ("conv(0, 3)", "channels"), ("conv(2, 3.5)", "kernel"),
        ("conv(2, 4, padding='same')", "odd"), ("conv(2, 3, padding='valid')", "padding"), ("dropout(1.5)", "rate"),
        ("dense(4, activation='rely')", "did you mean 'relu'"), ("pool(0)", "size"),
        ("dense(__import__('os'))", "unknown layer '__import__'"), ("batch_norm(epsilon=0)", "epsilon"),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_read_says_why(text, message):
    with pytest.raises((ValueError, TypeError), match=message):
        kinds.parse(text)


@pytest.mark.parametrize("given", [5, True, "conv(2, 3)", b"x", {"conv": 3}, conv(2, 3), None])
def test_hidden_layers_must_be_a_list_or_a_name(given):
    with pytest.raises((TypeError, ValueError), match=r"layers must be a list"):
        kinds.hidden(given)


@pytest.mark.parametrize("given", [[True], [None], [[5]], [{"units": 3}]])
def test_a_layer_must_be_one(given):
    with pytest.raises(TypeError, match="a layer must be"):
        kinds.hidden(given)


def test_an_unknown_network_is_told_the_nearest():
    for given in ("dalm-convnets", ["dalm-convnets"]):
        with pytest.raises(ValueError, match="did you mean 'dalm-convnet'"):
            kinds.hidden(given)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([784, conv(2, 3), 10], "needs an image"),
        ([(1, 8, 8), 20, conv(2, 3), 10], "needs an image"),
        ([(1, 8, 8), conv(2, 3), flatten(), conv(2, 3), 10], "needs an image"),
        ([(1, 8, 8), conv(2, 9), 10], "does not fit an image of 8 x 8"),
        ([(1, 8, 8), conv(2, 7), pool(3), 10], "does not fit the 2 x 2 positions"),
        ([(1, 8, 8), 20, pool(2), 10], "follow a conv"),
        ([(1, 8, 8), conv(2, 3), pool(2), batch_norm(), 10], "directly behind"),
        ([(1, 8, 8), dropout(0.5), 10], "must follow"),
        ([(1, 8, 8), conv(2, 3), dropout(0.5), dropout(0.5), 10], "another dropout"),
        ([(1, 8, 8), 5, conv(2, 3)], "last layer must be a number"),
        ([(1, 8, 8), dense(5, "relu"), dense(3, "relu")], "last layer is linear"),
        ([(1, 8, 8, 8), 5, 3], "first of layers"),
        ([0, 5], "first of layers"),
        ([(3, "8", 8), 5], "first of layers"),
        ([5], "at least inputs and outputs"),
        ("dalm-3", "must be a list"),
        (5, "must be a list"),
    ],
)
def test_what_does_not_fit_says_so(layers, message):
    with pytest.raises((ValueError, TypeError), match=message):
        architecture(layers)


def test_what_follows_from_a_list_of_layers():
    net = architecture(
        [
            (3, 32, 32), conv(16, 3, stride=2), pool(3, 2), conv(8, 5, padding="same", activation="tanh"), 20,
            dropout(0.1), 4,
        ],
        activation="relu", bias=True,
    )  # fmt: skip
    assert (net.positions, net.units, net.fan_in) == ([225, 49, 1, 1], [16, 8, 20, 4], [27, 400, 392, 20])
    assert net.columns == [28, 401, 393, 21]
    assert net.shapes == [(16, 28), (8, 401), (20, 393), (4, 21)]
    assert net.outputs == [49 * 16, 49 * 8, 20, 4]
    assert net.sizes == (3072, 784, 392, 20, 4)
    assert net.activations == ["relu", "tanh", "relu", "linear"]
    assert net.perturbed == 225 * 16 + 49 * 8 + 20 + 4
    assert net.products == 225 * 16 * 28 + 49 * 8 * 401 + 20 * 393 + 4 * 21
    assert [net.line_shape(n, 5) for n in range(3)] == [(5, 225, 16), (5, 49, 8), (5, 20)]
    assert [net.output_shape(n, 5) for n in range(3)] == [(5, 49, 16), (5, 49, 8), (5, 20)]
    assert net.driven_shape(1, 5) == (5, 49, 401)
    assert not net.is_plain
    assert architecture([784, 20, 10]).is_plain


def test_a_flat_list_gives_what_it_always_gave():
    net = architecture([784, 256, 10])
    assert (net.sizes, net.shapes, net.positions) == ((784, 256, 10), [(256, 784), (10, 256)], [1, 1])
    assert architecture([(28, 28), 10]).input_shape == (1, 28, 28)
    assert architecture([(28, 28), 10]).sizes == (784, 10)


# weights by hand, without biases: of the papers' tables where they say, else from the layers
WEIGHTS = {
    "dalm-1": 30_720, "dalm-3": 3072 * 1024 + 2 * 1024**2 + 10_240,
    "dalm-convnet": 27 * 16 + 144 * 32 + 288 * 64 + 1600 * 1024 + 10_240,
    "dalm-tiny-imagenet": 75 * 32 + 288 * 64 + 1600 * 128 + 100 * 128 * 512 + 512**2 + 512 * 200,
    "bacho-cnn": 25 * 15 + 375 * 40 + 640 * 128 + 1280, "bacho-2-layers-1000": 794_000,
    "lansdell-autoencoder": 784 * 200 + 400 + 400 + 200 * 784,
}  # fmt: skip


def whole(name, bias=False):
    """A published network, with the input and outputs that it had there."""
    named = kinds.NAMED[name]
    return architecture([named.input_shape, *named, named.n_out], bias=bias)


def weights_of(net):
    """Weights that are there, without the cells beside the blocks of groups."""
    return sum(
        n_out * n_in // block.groups if not net.bias else n_out * ((n_in - 1) // block.groups + 1)
        for (n_out, n_in), block in zip(net.shapes, net.blocks, strict=True)
    )


@pytest.mark.parametrize("name", kinds.names())
def test_published_networks_fit_their_images(name):
    net = whole(name)
    assert net.n_out == kinds.NAMED[name].n_out
    assert kinds.NAMED[name].source
    assert kinds.hidden([*kinds.plain(kinds.hidden(name))]) == kinds.hidden(name)
    if name in WEIGHTS:
        assert net.cells == WEIGHTS[name]


# parameters and products as the sources count them. MLPerf Tiny: Keras's summaries of its reference models, with four
# numbers a channel of a normalisation. LeNet-5: 60,000, 44 of them of subsampling, without 900 of C3 and 850 of outputs
PUBLISHED = {
    "resnet-8": (78_666, 12.5e6),
    "ds-cnn": (24_908, 2.66e6),
    "mobilenet-v1-0.25": (221_794, 7.49e6),
    "mlperf-autoencoder": (269_992, 0.264e6),
    "lenet-5": (60_000 + 900 - 44 + 850, 0.416e6),
    "resnet-20": (0.27e6, 40.8e6),
    "vgg-8": (12.97e6, 0.616e9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_products_are_those_of_the_sources(name):
    parameters, products = PUBLISHED[name]
    net, bare = whole(name, bias=name != "resnet-20"), whole(name)
    found = weights_of(net) + sum(4 * block.units for block in net.blocks if block.norm and name != "resnet-20")
    assert found == pytest.approx(parameters, rel=0 if isinstance(parameters, int) else 5e-3)
    used = [p * a * b / k.groups for p, (a, b), k in zip(bare.positions, bare.shapes, bare.blocks, strict=True)]
    assert sum(used) == pytest.approx(products, rel=5e-3)


@pytest.mark.parametrize("name", ["resnet-8", "ds-cnn", "mobilenet-v1-0.25"])
def test_images_shrink_as_in_the_reference(name):
    """As Keras pads: an even number of rows is halved."""
    sides = {
        "resnet-8": [32, 32, 32, 16, 16, 16, 8, 8, 8, 1],
        "ds-cnn": [25] * 9 + [1],
        "mobilenet-v1-0.25": [48] * 3 + [24] * 4 + [12] * 4 + [6] * 12 + [3] * 4 + [1],
    }[name]
    assert [block.grid[0] for block in whole(name).blocks] == sides


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ([5, 5, 5, 4], "3 x 5, 4; relu"), ([], "none"), ([5, 4, 5, 4, 5], "2 x (5, 4), 5; relu"),
        ([3, 5, 4, 6, 5, 4, 6, 6], "3, 2 x (5, 4, 6), 6; relu"), ([5, 4], "5, 4; relu"),
    ],
)  # fmt: skip
def test_what_is_repeated_is_listed_once(layers, text):
    assert str(kinds.Named("source", "relu", layers, (8,))) == text


def test_blocks_of_samples_keep_their_patches_within_the_stated_bound():
    ideal = resolve(noisysim.devices.get("ideal"))
    for named in kinds.NAMED.values():
        net = network([named.input_shape, *named, named.n_out], "relu", False, ideal)
        stages = net.stages(False)
        assert len(stages) == 1 if net.is_plain else 2
        for (first, last), rows, room, *_ in stages:
            driven = [p * n for p, n in zip(net.positions[first:last], net.columns[first:last], strict=True)]
            assert room.driven == max(driven)
            if net.blocks[first].by_position:
                assert 1 <= rows <= 512
                assert 4 * rows * room.driven <= 2**20 or rows == 1
            else:
                assert rows == 512


def test_while_learning_samples_wait_for_each_other_at_a_normalised_layer():
    ideal = resolve(noisysim.devices.get("ideal"))
    net = network(
        [(1, 9, 9), conv(2, 3), batch_norm(), conv(2, 3), conv(2, 3), batch_norm(), 5, 3], "relu", False, ideal
    )
    assert [stage.layers for stage in net.stages(False)] == [(0, 3), (3, 5)]
    assert [stage.layers for stage in net.stages(True)] == [(0, 1), (1, 3), (3, 5)]


def test_initial_weights_of_a_convolution_have_the_spread_of_their_fan():
    """Glorot's fan out counts the positions that a weight reaches, kernel^2 channels."""
    chip = noisysim.Chip([(8, 12, 12), conv(64, 5), 10], "ideal", init="glorot")
    weights = chip.oracle(noisysim.Batch(np.zeros((1, 1152), np.float32), np.zeros((1, 10), np.float32), None)).weights[
        0
    ]
    expected = math.sqrt(2 / (8 * 25 + 64 * 25))
    assert abs(weights.std() / expected - 1) < 4 / math.sqrt(2 * weights.size)  # four standard errors


def test_a_run_takes_layers_in_every_form(tmp_path):
    given = [conv(4, 3), "pool(2)", 8]
    first = noisysim.run("digits", layers=given, device="ideal", epochs=1, progress=False, out=tmp_path / "a.h5")
    assert first.config["layers"] == ["conv(4, 3)", "pool(2)", 8]
    assert "conv(4, 3) - pool(2) - 8" in first.summary()
    second = noisysim.run("digits", layers=first.config["layers"], device="ideal", epochs=1, progress=False)
    np.testing.assert_array_equal(first.steps["train_loss"], second.steps["train_loss"])


def test_a_run_says_what_does_not_fit_before_any_work():
    with pytest.raises(ValueError, match="does not fit an image of 8 x 8"):
        noisysim.run("digits", layers=[conv(4, 9)], epochs=1, progress=False)
    with pytest.raises(ValueError, match="needs an image"):
        noisysim.run("student-teacher", layers=[conv(4, 3)], epochs=1, progress=False)
    with pytest.raises(ValueError, match="never starts"):
        noisysim.run("digits", layers=[conv(4, 3, activation="relu")], init="zero", epochs=1, progress=False)


def test_the_docs_and_the_command_line_list_the_networks_there_are(capsys):
    table = (Path(__file__).parents[2] / "docs/networks.md").read_text()
    commands.networks.list_networks()
    shown = capsys.readouterr().out
    for name, named in kinds.NAMED.items():
        assert f"| `{name}` | {named} | {named.source} |" in table
        assert name in shown


def test_arrays_of_any_shape_are_learned_and_images_by_convolutions():
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    given = {"device": "ideal", "epochs": 1, "batch_size": 8, "progress": False}
    flat = noisysim.run((rng.standard_normal((24, 2, 2, 3, 2)), labels), layers=[4], **given)
    assert flat.rows()[1] == ("network", "24-4-3, leaky_relu")
    images = noisysim.run((rng.standard_normal((24, 2, 5, 4)), labels), layers=[conv(3, 3), 4], **given)
    assert images.rows()[1] == ("network", "2x5x4 - conv(3, 3) - 4 - 3, leaky_relu")


def test_only_values_alike_are_divided():
    names = ["a = 6", "b = dense(6)(input)"]
    assert architecture([4, *names, "divide()(b, a)", 2]).operations[0].name == "divide"
    with pytest.raises(ValueError, match="6 units by 5 units"):
        architecture([4, "a = 6", "b = dense(5)(input)", "divide()(a, b)", 2])
    with pytest.raises(ValueError, match="two layers, not 3"):
        architecture([4, "a = 6", "divide()(a, a, a)", 2])
