"""Chips that start from given weights: as other software computes with them, whatever they are called and kept in."""

import io
import pickle

import numpy as np
import pytest

from noisysim import Chip, Drive, batch_norm, conv, dense, devices, pool
from noisysim.chip.chip import restore, snapshot
from noisysim.chip.given_weights import Given, read, recorded
from noisysim.common import named_arrays
from noisysim.networks.weight_matching import grouped, ordered, placed

import cell_device as cells

BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
LAYERS = [6, 5, 3]
IMAGES = [(2, 7, 6), conv(3, 3, padding=1), pool(2), conv(4, 2), 5, 4]
NORMED = [(2, 7, 6), conv(3, 3, padding=1), batch_norm(), pool(2), conv(4, 2), batch_norm(), 5, 4]
SHAPES = [(3, 2, 3, 3), (4, 3, 2, 2), (5, 2 * 2 * 4), (4, 5)]
KINDS = {name: name for name in devices.names() if name != "measured"}
KINDS.update({name: devices.get(cells.__file__, **kind) for name, kind in cells.KINDS.items()})


def normal(*shape, seed=0, spread=0.3):
    return np.random.default_rng(seed).normal(0, spread, shape).astype(np.float32)


def given(seed=0):
    return [normal(5, 6, seed=seed), normal(3, 5, seed=seed + 1)]


# --- as other software computes it ----------------------------------------------------------------------------------


def leaky_relu(a):
    return np.where(a > 0, a, 0.01 * a)


def convolved(x, kernel, bias, padding=0):
    """A convolution as its definition has it: images (n, channels, height, width), kernel (out, in, height, width)."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = kernel.shape[2]
    out = np.zeros((len(x), len(kernel), x.shape[2] - size + 1, x.shape[3] - size + 1))
    for n, o, i, j in np.ndindex(*out.shape):
        out[n, o, i, j] = bias[o]
        for c, y, z in np.ndindex(*kernel.shape[1:]):
            out[n, o, i, j] += kernel[o, c, y, z] * x[n, c, i + y, j + z]
    return out


def pooled(x):
    out = np.zeros((*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2))
    for i, j in np.ndindex(*out.shape[2:]):
        out[:, :, i, j] = x[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(2, 3))
    return out


def network(x, weights, biases, norms=(None, None)):
    """`IMAGES`; with `norms`, functions of an image, `NORMED`."""
    norms = [norm or (lambda a: a) for norm in norms]
    h = pooled(leaky_relu(norms[0](convolved(x.reshape(-1, 2, 7, 6), weights[0], biases[0], 1))))
    h = leaky_relu(norms[1](convolved(h, weights[1], biases[1])))
    h = leaky_relu(h.reshape(len(x), -1) @ weights[2].T + biases[2])
    return h @ weights[3].T + biases[3]


def elsewhere(seed=3):
    """Weights and biases of `IMAGES`, as PyTorch has them."""
    weights = [normal(*shape, seed=seed + k) for k, shape in enumerate(SHAPES)]
    return weights, [normal(shape[0], seed=seed + 10 + k) for k, shape in enumerate(SHAPES)]


NAMES = ("conv1", "conv2", "fc1", "fc2")
X = normal(4, 84, seed=40, spread=1.0)


def named(names, weights, biases, roles=("weight", "bias"), joint="."):
    """Weights and biases under the names of their layers, one layer after another."""
    arrays = zip(names, zip(weights, biases, strict=True), strict=True)
    return {f"{name}{joint}{role}": a for name, pair in arrays for role, a in zip(roles, pair, strict=True)}


def in_torch(weights, biases):
    """The names of a module with attributes."""
    return named(NAMES, weights, biases)


def in_keras(weights, biases):
    """The names and the axes of Keras: (height, width, in, out), and images pixel by pixel."""
    found = {}
    for name, w, b in zip(NAMES, weights, biases, strict=True):
        if name == "fc1":
            w = w.reshape(5, 4, 2, 2).transpose(0, 2, 3, 1).reshape(5, -1)
        found[f"{name}/kernel:0"] = w.transpose(2, 3, 1, 0) if w.ndim == 4 else w.T
        found[f"{name}/bias:0"] = b
    return found


FORMS = {
    "pairs": lambda w, b: list(zip(w, b, strict=True)),
    "each followed by its bias": lambda w, b: [a for pair in zip(w, b, strict=True) for a in pair],
    "a generator": lambda w, b: (pair for pair in zip(w, b, strict=True)),
    "names of PyTorch": in_torch,
    "names of Keras": in_keras,
    "numbers": lambda w, b: named(range(4), w, b),
    "numbers in no order": lambda w, b: dict(reversed(named(range(4), w, b).items())),
    "numbers with gaps": lambda w, b: named(["net.0", "net.3", "net.11", "net.100"], w, b),
    "letters and numbers": lambda w, b: {name[::-1]: a for name, a in named("1234", w, b, "Wb", "").items()},
    "no array": lambda w, b: [(one.tolist(), other.tolist()) for one, other in zip(w, b, strict=True)],
    "of the image's shape": lambda w, b: list(zip([*w[:2], w[2].reshape(5, 4, 2, 2), w[3]], b, strict=True)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_chip_does_what_the_network_elsewhere_did(form):
    weights, biases = elsewhere()
    chip = Chip(IMAGES, "ideal", bias=True, init=form(weights, biases))
    np.testing.assert_allclose(chip.forward(X).output, network(X, weights, biases), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_dense_first_layer_from_keras_sees_images_pixel_by_pixel(colours):
    """By the name alone; as an array, or by other names, it is channel by channel, as the task's batches are."""
    kernel, last, images = normal(4 * 2 * colours, 5), normal(5, 3), normal(6, 4, 2, colours, spread=1.0)
    expected = leaky_relu(images.reshape(6, -1) @ kernel) @ last
    x = images.transpose(0, 3, 1, 2).reshape(6, -1)
    chip = Chip([(colours, 4, 2), 5, 3], "ideal", init={"dense/kernel": kernel, "dense_1/kernel": last})
    np.testing.assert_allclose(chip.forward(x).output, expected, rtol=1e-5, atol=1e-5)
    notes = chip.init.get("notes", [])
    assert len(notes) == (colours > 1)
    assert all("'dense', by Keras's name 'kernel', was taken to see images pixel by pixel" in note for note in notes)
    others = (
        [kernel.T, last.T],
        {"dense.weight": kernel.T, "dense_1/kernel": last},
        {"0.weight": kernel.T, "1.weight": last.T},
    )
    for init in others:
        chip = Chip([(colours, 4, 2), 5, 3], "ideal", init=init)
        np.testing.assert_allclose(chip.forward(x).output, leaky_relu(x @ kernel) @ last, rtol=1e-5, atol=1e-5)
        assert "notes" not in chip.init


def test_without_biases():
    weights, biases = elsewhere()
    chip = Chip(IMAGES, "ideal", init=weights)
    np.testing.assert_allclose(
        chip.forward(X).output, network(X, weights, [0 * b for b in biases]), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("ending", named_arrays.FORMATS)
def test_a_file_gives_what_its_arrays_give(ending, tmp_path):
    weights, biases = elsewhere()
    path = tmp_path / f"weights{ending}"
    named_arrays.write(path, in_torch(weights, biases))
    chip = Chip(IMAGES, "ideal", bias=True, init=path)
    np.testing.assert_array_equal(
        chip.forward(X).output,
        Chip(IMAGES, bias=True, device="ideal", init=in_torch(weights, biases)).forward(X).output,
    )
    assert chip.init["from"] == "file"
    assert chip.init["path"] == str(path)


def test_arrays_saved_one_after_another(tmp_path):
    weights, biases = elsewhere()
    np.savez(tmp_path / "w.npz", *FORMS["each followed by its bias"](weights, biases))
    chip = Chip(IMAGES, "ideal", bias=True, init=tmp_path / "w.npz")
    np.testing.assert_allclose(chip.forward(X).output, network(X, weights, biases), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layers", [LAYERS, IMAGES], ids=["dense", "images"])
def test_arrays_as_a_chip_has_them_stay_as_they_are(layers, bias):
    """What `program` takes and the oracle gives: a convolution's as a matrix, biases the last column."""
    first = Chip(layers, "ideal", bias=bias, seed=5)
    if bias:
        first.program([np.full(shape, 0.1, np.float32) for shape in first.network.shapes])
    arrays = first.oracle(None).weights
    for there, here in zip(arrays, Chip(layers, "ideal", bias=bias, init=arrays).oracle(None).weights, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.parametrize("kind", ["float64", "float16", "int8", "list", "strided", "bool"])
def test_arrays_of_any_numbers(kind):
    values = np.round(given()[0] * 4) != 0 if kind == "bool" else np.round(given()[0] * 4)
    asked = {"list": values.tolist(), "strided": np.repeat(values, 2, axis=1)[:, ::2]}.get(kind)
    asked = values.astype(kind) if asked is None else asked
    chip = Chip(LAYERS, "ideal", init=[asked, given()[1]])
    np.testing.assert_array_equal(chip.oracle(None).weights[0], np.asarray(values, np.float32))


@pytest.mark.gpu
def test_arrays_on_a_gpu_are_taken_on_both_backends():
    from noisysim.compute import backends

    put = backends.get("cuda").put
    for backend in ("cpu", "cuda"):
        chip = Chip(LAYERS, "ideal", backend=backend, init=[put(w) for w in given()])
        for asked, weights in zip(given(), chip.weights().values(), strict=True):
            np.testing.assert_array_equal(weights, asked)


# --- on the device --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_every_device_writes_given_weights_as_it_writes_drawn_ones(device, backend):
    """The same chip to the bit, from what a law draws for its seed and from these weights as arrays."""
    drawn = [np.array(w) for w in Chip(LAYERS, "ideal", seed=4).oracle(None).weights]
    by_law = snapshot(Chip(LAYERS, device, seed=4, backend=backend))
    by_array = snapshot(Chip(LAYERS, device, seed=4, backend=backend, init=drawn))
    for name, array in by_law.items():
        np.testing.assert_array_equal(by_array[name], array, name)
    assert by_law["weights"].any()


def test_several_chips_are_asked_for_the_same():
    chip = Chip(LAYERS, "gaussian", chips=3, init=given(), oracle=True)
    for layer, asked in enumerate(given()):
        np.testing.assert_array_equal(chip.oracle(None).weights[layer], np.tile(asked, (3, 1)))
    each = Chip(LAYERS, "crossbar", chips=3, seed=(1, 2, 3), init=given(), oracle=True)
    rows = each.oracle(None).weights[0].reshape(3, 5, 6)
    assert np.abs(rows - given()[0]).max() < 0.3
    alone = Chip(LAYERS, "crossbar", seed=2, init=given(), oracle=True).oracle(None).weights[0]
    np.testing.assert_array_equal(rows[1], alone)


def test_what_they_cost_is_counted_apart():
    drawn, asked = Chip(LAYERS, "crossbar", seed=1).cost, Chip(LAYERS, "crossbar", seed=1, init=given()).cost
    assert asked == drawn
    assert asked.cells_written_at_start == 2 * 45
    assert asked.cells_programmed == 0


def test_weights_beyond_the_range_are_clipped_and_counted():
    """A full span of 8 / sqrt(n_in), 3.27 and 3.58 here."""
    first, second = given()
    first[0, :3], second[:, 0] = [4, -4, 3.2], 100
    chip = Chip(LAYERS, "crossbar:program_noise=0,levels=0", init=[first, second], oracle=True)
    assert chip.clipped == pytest.approx([2 / 30, 3 / 15])
    held = chip.oracle(None).weights
    np.testing.assert_allclose(held[0][0, :2], [8 / 6**0.5, -8 / 6**0.5], rtol=0.05)
    assert Chip(LAYERS, "ideal", init=[first, second]).clipped == [0, 0]
    assert Chip(LAYERS, "crossbar").clipped == [0, 0]


def test_the_share_that_was_clipped_is_in_a_snapshot():
    first, second = given()
    first[0, :3] = 100
    chip, other = Chip(LAYERS, "crossbar", init=[first, second]), Chip(LAYERS, "crossbar", init="zero")
    restore(other, snapshot(chip))
    assert other.clipped == chip.clipped == [0.1, 0]
    before = {name: array for name, array in snapshot(chip).items() if name != "clipped"}
    restore(other, before)  # of an earlier version
    assert other.clipped == [0, 0]


# --- from other chips -----------------------------------------------------------------------------------------------


def learnt(layers, device="ideal", **settings):
    """A chip whose inputs are decorrelated, and whose weights and statistics have moved."""
    chip = Chip(layers, device, seed=3, oracle=True, **settings)
    x = normal(64, chip.sizes[0], seed=8, spread=1.0) @ normal(chip.sizes[0], chip.sizes[0], seed=9)
    observation = chip.passes(x, [Drive()], training=True)[0]
    if settings.get("decorrelate"):
        for _ in range(20):
            chip.decorrelate(chip.forward(x).inputs, 1e-3)
    chip.track(observation.activities)
    chip.program([normal(*shape, seed=11, spread=0.1) for shape in chip.network.shapes])
    return chip, x


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("decorrelate", [False, "inputs", "updates"])
@pytest.mark.parametrize("layers", [LAYERS, IMAGES, NORMED], ids=["dense", "images", "normed"])
def test_a_chip_made_of_another_does_what_that_one_does(layers, decorrelate, bias):
    chip, x = learnt(layers, decorrelate=decorrelate, bias=bias)
    other = Chip(layers, "ideal", bias=bias, init=chip)
    np.testing.assert_allclose(other.forward(x).output, chip.forward(x).output, rtol=1e-4, atol=1e-4)
    assert other.init == {"from": "chip", "sha256": other.init["sha256"]}


def test_what_is_taken_from_a_chip_is_what_its_cells_hold_now():
    chip, _ = learnt(LAYERS, "pcm")
    chip.wait(1e6)
    before = chip.weights()
    other = Chip(LAYERS, "ideal", init=chip)
    for name, weights in other.weights().items():
        np.testing.assert_array_equal(weights, before[name])
    assert chip.clock >= 1e6


THERE = [(2, 6, 6), conv(3, 3, padding=1, activation="tanh"), pool(2), 5, 5, 4]
DIFFERENT = {
    "activation": (
        [(2, 6, 6), conv(3, 3, padding=1, activation="relu"), pool(2), dense(5, "relu"), dense(5, "relu"), 4],
        ["activation of layer 1 is tanh in X, relu here", "activation of layers 2, 3 is leaky_relu in X, relu here"],
    ),
    "geometry": (
        [(2, 6, 6), conv(3, 3, stride=2, padding=1, activation="tanh"), 5, 5, 4],
        ["stride of layer 1 is 1 in X, 2 here", "pooling of layer 1 is of 2 with stride 2 in X, none here"],
    ),
    "normalisation": (
        [(2, 6, 6), conv(3, 3, padding=1, activation="tanh"), pool(2), 5, batch_norm(), 5, 4],
        ["batch normalisation of layer 2 is none in X, with epsilon 1e-05 here"],
    ),
    "nothing": (THERE, []),
}


@pytest.mark.parametrize(("layers", "said"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_the_network_of_another_chip_differs_in_is_said(layers, said):
    chip = Chip(THERE, "ideal")
    expected = [f"initial weights: {text.replace('X', 'the network they are from')}" for text in said]
    given = read(chip, Chip(layers, "ideal").architecture)
    for init in (chip, given):
        assert Chip(layers, "ideal", init=init).init.get("notes", []) == expected
    assert "notes" not in Chip(layers, "ideal", init=chip.weights()).init  # of arrays that is not known


@pytest.mark.parametrize("form", ["chip", "arrays"])
def test_a_normalised_network_without_biases_is_folded_with_biases_of_zero(form):
    """Exactly, with the epsilon that it had."""
    chip, x = learnt([6, 5, batch_norm(epsilon=0.5 if form == "chip" else 1e-5), 3])
    folded = Chip(LAYERS, "ideal", bias=True, init=chip if form == "chip" else chip.weights())
    np.testing.assert_allclose(folded.forward(x).output, chip.forward(x).output, rtol=1e-4, atol=1e-4)
    assert np.abs(folded.weights()["0.bias"]).min() > 0
    assert not folded.weights()["1.bias"].any()
    assert "notes" not in folded.init
    if form == "arrays":  # one that was forgotten is not zero
        with pytest.raises(ValueError, match=r"layer 2's weights .'1'. come without a bias, the network has one"):
            Chip(LAYERS, "ideal", bias=True, init={**chip.weights(), "0.bias": np.ones(5)})


def test_a_chip_without_biases_starts_one_with_them():
    chip, x = learnt(LAYERS)
    other = Chip(LAYERS, "ideal", bias=True, init=chip)
    np.testing.assert_allclose(other.forward(x).output, chip.forward(x).output, rtol=1e-5, atol=1e-5)


# --- batch normalisation --------------------------------------------------------------------------------------------


def statistics(units, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.5, units), rng.uniform(0.3, 3.0, units)


ORDER = ("conv1", "bn1", "conv2", "bn2", "fc1", "fc2")
ENDINGS = {
    False: (".running_mean", ".running_var", ".weight", ".bias"),
    True: ("/moving_mean:0", "/moving_variance:0", "/gamma:0", "/beta:0"),
}


def normed_arrays(affine=False, order=ORDER, keras=False):
    """Named arrays of `NORMED`, and the functions that its normalisations are."""
    weights, biases = elsewhere()
    parts, functions = (in_keras if keras else in_torch)(weights, biases), []
    for name, units, seed in (("bn1", 3, 50), ("bn2", 4, 60)):
        (mean, variance), (offset, gain) = statistics(units, seed), statistics(units, seed + 1)
        if not affine:
            offset, gain = np.zeros(units), np.ones(units)
        values = mean, variance, gain, offset
        parts.update({f"{name}{ending}": a for ending, a in zip(ENDINGS[keras], values, strict=True)})
        parts.update({} if keras else {f"{name}.num_batches_tracked": np.array(7)})
        m, v, g, o = (a[:, None, None] for a in values)
        epsilon = 1e-3 if keras else 1e-5
        functions.append(lambda a, m=m, v=v, g=g, o=o, e=epsilon: (a - m) / np.sqrt(v + e) * g + o)
    ordered = {key: a for name in order for key, a in parts.items() if key.startswith(name)}
    return ordered, functions, weights, biases


@pytest.mark.parametrize("bias", [False, True])
def test_running_statistics_are_those_given(bias):
    """A bias that the chip lacks is in the mean."""
    named, functions, weights, biases = normed_arrays()
    if not bias:
        named = {name: array for name, array in named.items() if not name.startswith("fc") or "weight" in name}
    chip = Chip(NORMED, "ideal", bias=bias, init=named)
    last = [*biases[:2], *biases[2:]] if bias else [*biases[:2], np.zeros(5), np.zeros(4)]
    np.testing.assert_allclose(chip.forward(X).output, network(X, weights, last, functions), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "order", [("conv1", "conv2", "bn1", "bn2", "fc1", "fc2"), ("bn1", "bn2", "fc1", "fc2", "conv1", "conv2")]
)
def test_a_file_without_an_order_is_told_by_names_and_shapes(order, tmp_path):
    named, functions, weights, biases = normed_arrays(order=order)
    named_arrays.write(tmp_path / "w.safetensors", named)
    chip = Chip(NORMED, "ideal", bias=True, init=tmp_path / "w.safetensors")
    np.testing.assert_allclose(chip.forward(X).output, network(X, weights, biases, functions), rtol=1e-4, atol=1e-4)
    folded = Chip(IMAGES, "ideal", bias=True, init=tmp_path / "w.safetensors")
    np.testing.assert_allclose(folded.forward(X).output, chip.forward(X).output, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("keras", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_a_normalisation_is_folded_into_weights_and_biases_where_the_chip_has_none(bias, keras):
    named, functions, weights, biases = normed_arrays(affine=True, keras=keras)
    if not bias:  # convolutions before a normalisation have none as a rule
        named = {name: array for name, array in named.items() if not (name.startswith("conv") and "bias" in name)}
        biases = [0 * biases[0], 0 * biases[1], *biases[2:]]
    chip = Chip(IMAGES, "ideal", bias=True, init=named)
    np.testing.assert_allclose(chip.forward(X).output, network(X, weights, biases, functions), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_given_statistics_stay_in_the_first_calibration_and_then_follow_at_their_rate(rate):
    layers = [4, 6, batch_norm(rate=rate), 2]
    mean, variance = statistics(6, 1)
    named = {"0.weight": normal(6, 4), "0.running_mean": mean, "0.running_var": variance, "1.weight": normal(2, 6)}
    chip = Chip(layers, "crossbar:adc_range=0", init=named, oracle=True)
    x = normal(200, 4, spread=1.0)
    chip.calibrate(x)
    held = chip.weights()
    np.testing.assert_allclose(held["0.running_mean"], mean)
    np.testing.assert_allclose(held["0.running_var"], variance)
    observed = chip.forward(x).activities
    chip.track(observed)
    moved = chip.weights()
    expected = (1 - rate) * mean + rate * observed[0].mean(axis=0, dtype=float)
    np.testing.assert_allclose(moved["0.running_mean"], expected, rtol=1e-6, atol=1e-9)
    between = (1 - rate) * variance + rate * (
        observed[0].var(axis=0) + (1 - rate) * (observed[0].mean(axis=0) - mean) ** 2
    )
    np.testing.assert_allclose(moved["0.running_var"], between, rtol=2e-3)
    chip.calibrate(x)  # asked for again, it measures
    assert np.abs(chip.weights()["0.running_mean"] - observed[0].mean(axis=0)).max() < 0.1


def test_statistics_that_are_not_given_are_calibrated():
    named = {"0.weight": normal(6, 4), "1.weight": normal(2, 6)}
    chip = Chip([4, 6, batch_norm(), 2], "ideal", init=named)
    x = normal(200, 4, spread=1.0)
    chip.calibrate(x)
    np.testing.assert_allclose(chip.weights()["0.running_mean"], (x @ named["0.weight"].T).mean(axis=0), atol=1e-5)


@pytest.mark.gpu
def test_given_statistics_on_a_gpu_are_those_on_the_cpu():
    named, *_ = normed_arrays()
    outputs = [
        Chip(NORMED, "ideal", bias=True, init=named, backend=b, chips=2).forward(np.tile(X, (2, 1))).output
        for b in ("cpu", "cuda")
    ]
    np.testing.assert_allclose(np.asarray(outputs[1]), outputs[0], rtol=1e-5, atol=1e-5)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "in_order", "expected"),
    [
        (["fc2", "fc10", "fc1"], False, ["fc1", "fc2", "fc10"]),
        (["fc2", "fc10", "fc1"], True, ["fc1", "fc2", "fc10"]),
        (["encoder", "head", "body"], True, ["encoder", "head", "body"]),
        (["classifier.1", "features.0", "features.10", "features.3"], False, None),
        (["net.10", "net.2", "head"], True, ["net.2", "net.10", "head"]),
        (["stem", "b.3", "mid", "b.1", "b.2"], True, ["stem", "b.1", "mid", "b.2", "b.3"]),
    ],
)
def test_layers_are_taken_in_the_order_of_their_names(names, in_order, expected):
    groups = grouped({f"{name}.weight": np.zeros((2, k + 2)) for k, name in enumerate(names)})
    features = ["features.0", "features.3", "features.10", "classifier.1"]
    found = ordered(groups, in_order, lambda order: [g.name for g in order] == features)
    assert [group.name for group in found] == (expected or features)


PRODUCTS = {"conv1": 3, "conv2": 4, "fc1": 4, "fc2": 2}
PLACES = {
    "behind their layers": (["conv1", "n1", "conv2", "fc1", "n2", "fc2"], (3, 4), True, (), [0, 2]),
    "a file tells no order": (["conv1", "conv2", "fc1", "n1", "n2", "fc2"], (3, 4), False, (0, 1), [0, 1]),
    "as many as hidden layers": (["n1", "n2", "n3", "conv1", "conv2", "fc1", "fc2"], (3, 4, 4), True, (), [0, 1, 2]),
    "by their units": (["conv1", "conv2", "fc1", "fc2", "n1", "n2"], (3, 2), False, (), [0, 3]),
    "as the network's": (["n1", "conv1", "conv2", "fc1", "fc2"], (4,), True, (2,), [2]),
    "several fit": (["n1", "conv1", "conv2", "fc1", "fc2"], (4,), True, (), None),
    "none fits": (["n1", "conv1", "conv2", "fc1", "fc2"], (7,), True, (0,), None),
    "all behind all layers": (["conv1", "conv2", "fc1", "fc2", "n1"], (3,), True, (), [0]),
    "a file tells no order, several fit": (["conv1", "conv2", "fc1", "n1", "fc2"], (4,), False, (), None),
}


@pytest.mark.parametrize(("order", "units", "in_order", "normed", "expected"), PLACES.values(), ids=PLACES)
def test_normalisations_belong_to_layers(order, units, in_order, normed, expected):
    arrays = {f"{name}.weight": np.zeros((n, 2)) for name, n in PRODUCTS.items()}
    arrays |= {f"n{k + 1}.running_mean": np.zeros(n) for k, n in enumerate(units)}
    parts = {name: key for key in arrays for name in order if key.startswith(f"{name}.")}
    groups = grouped({parts[name]: arrays[parts[name]] for name in order})
    if expected is None:
        with pytest.raises(ValueError, match="which layers n1 normalise does not follow"):
            placed(groups, in_order, range(3), normed)
        return
    products = placed(groups, in_order, range(3), normed)
    assert [k for k, group in enumerate(products) if group.norm] == expected
    assert [group.norm.name for group in products if group.norm] == [f"n{k + 1}" for k in range(len(units))]


def test_kinds_of_normalisations_have_no_order_in_a_file():
    """Those that only one order fits are placed; of those that fit in several orders none is taken."""
    moments = {"last": np.zeros(3), "first": np.zeros(4)}
    arrays = {"a.weight": np.zeros((4, 2)), "b.weight": np.zeros((3, 4)), "c.weight": np.zeros((2, 3))}
    for units, fits in ((3, True), (4, False)):
        moments["last"], arrays["b.weight"] = np.zeros(units), np.zeros((units, 4))
        groups = grouped({**arrays, **{f"{name}.running_mean": values for name, values in moments.items()}})
        for normed in ((), (0, 1)):
            if not fits:
                with pytest.raises(ValueError, match="which layers last, first normalise does not follow: number all"):
                    placed(groups, False, range(2), normed)
                continue
            assert [g.norm and g.norm.name for g in placed(groups, False, range(2), normed)] == ["first", "last", None]


CONTRADICTIONS = {
    "behind another layer": (
        ("fc1", "fc2", "bn1", "fc3"),
        (0,),
        "'bn1' stands behind layer 2's weights .'fc2'.*layer 1:",
    ),
    "behind it": (("fc1", "bn1", "fc2", "fc3"), (0,), None),
    "the network has none": (("fc1", "fc2", "bn1", "fc3"), (), None),
    "the network has more": (("fc1", "fc2", "bn1", "fc3"), (0, 1), None),
    "the network has fewer": (("fc1", "bn1", "fc2", "bn2", "fc3"), (0,), None),
    "as many elsewhere": (
        ("fc1", "bn1", "fc2", "bn2", "fc3", "fc4"),
        (1, 2),
        "'bn1' stands behind layer 1's .* layer 3:",
    ),
    "none behind any": (("bn1", "fc1", "fc2", "fc3"), (1,), None),
}


@pytest.mark.parametrize(("order", "normed", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_an_order_that_contradicts_the_network_is_refused(order, normed, said):
    groups = grouped(
        {f"{n}.{'running_mean' if n[0] == 'b' else 'weight'}": np.zeros((4, 4)[n[0] == "b" :]) for n in order}
    )
    if said:
        with pytest.raises(ValueError, match=said):
            placed(groups, True, range(len(order) - 1), normed)
    else:
        placed(groups, True, range(len(order) - 1), normed)


def test_a_normalisation_that_a_file_places_nowhere_is_refused(tmp_path):
    arrays = {"hidden1.weight": normal(5, 6), "hidden2.weight": normal(5, 5), "norm1.running_mean": np.zeros(5)}
    arrays |= {"norm1.running_var": np.ones(5), "out.weight": normal(3, 5)}
    named_arrays.write(tmp_path / "w.safetensors", arrays)
    with pytest.raises(ValueError, match="init: which layers norm1 normalise does not follow: number all names by"):
        Chip([6, 5, 5, 3], "ideal", bias=True, init=tmp_path / "w.safetensors")


# --- bad input ------------------------------------------------------------------------------------------------------

W, V = given()
B, C = np.zeros(5, np.float32), np.zeros(3, np.float32)
HELD = {"0.weight": W, "1.weight": V}
AFFINE = {"bn.weight": 2 * np.ones(5), "bn.bias": B, "bn.running_mean": B, "bn.running_var": B}
UNPLACED = {**{f"n{k}.running_mean": B for k in range(2)}, **{f"w{k}.weight": W for k in range(4)}}
KERAS, MIXED = [normal(3, 3, 2, 3), normal(2, 48)], [normal(2, 1, 3, 3), normal(2, 18), normal(2, 8)]
OBJECTS = np.empty(2, object)
OBJECTS[:] = [W, V]
BAD = {
    "too few": (
        {"init": [W]},
        ValueError,
        r"init: there are 1 layers of weights \(\(5, 6\)\), the network has 2 \(\(5, 6\), \(3, 5\)\)$",
    ),
    "too many": ({"init": [W, V, V]}, ValueError, "there are 3 layers of weights .*the network has 2"),
    "none": ({"init": []}, ValueError, r"there are 0 layers of weights \(none\)"),
    "empty mapping": ({"init": {}}, ValueError, r"there are 0 layers of weights \(none\)"),
    "shape": ({"init": [W, V[:2]]}, ValueError, r"^init: layer 2's weights must be \(3, 5\), not \(2, 5\)$"),
    "shape by name": (
        {"init": {"fc1.weight": W, "fc2.weight": V[:2]}},
        ValueError,
        r"layer 2's weights \('fc2'\) must be \(3, 5\), not \(2, 5\)$",
    ),
    "empty": ({"init": [W, V[:0]]}, ValueError, r"layer 2's weights must be \(3, 5\), not \(0, 5\)"),
    "transposed": (
        {"init": [W, V.T]},
        ValueError,
        r"must be \(3, 5\), not \(5, 3\): it is transposed, give its transpose",
    ),
    "keras's": (
        {"layers": [(2, 6, 6), conv(3, 3), 2], "init": KERAS},
        ValueError,
        r"must be \(3, 2, 3, 3\) or \(3, 18\), not \(3, 3, 2, 3\): it is in Keras's order",
    ),
    "kernel and matrix": (
        {"layers": [(1, 6, 6), conv(2, 3), conv(2, 3), 2], "init": MIXED},
        ValueError,
        r"layer 2's weights must be a kernel \(2, 2, 3, 3\), as others are",
    ),
    "nan": (
        {"init": [np.full_like(W, np.nan), V]},
        ValueError,
        "layer 1's weights hold NaN, infinite or too large values",
    ),
    "too large": (
        {"init": [W, V.astype(float) * 1e300]},
        ValueError,
        "layer 2's weights hold NaN, infinite or too large",
    ),
    "complex": ({"init": [W, V * 1j]}, TypeError, "init: item 2 of the list must hold real numbers, not complex"),
    "text": ({"init": [W, "V"]}, TypeError, "init: item 2 of the list must hold real numbers, not <U1"),
    "objects": ({"init": [OBJECTS, V]}, TypeError, "init: item 1 of the list must hold real numbers, not objects"),
    "ragged": ({"init": [[[1, 2], [3]], V]}, ValueError, "init: item 1 of the list is no array"),
    "a hole": ({"init": [np.ma.masked_greater(W, 0), V]}, ValueError, "item 1 of the list is a masked array"),
    "named text": (
        {"init": {"0.weight": "W", "1.weight": V}},
        TypeError,
        r"init: array '0.weight' must hold real numbers",
    ),
    "bias to none": (
        {"init": [(W, B), (V, C)]},
        ValueError,
        "layer 1's weights come with a bias, the network has none: set bias=True",
    ),
    "column to none": (
        {"init": [np.c_[W, B], V]},
        ValueError,
        r"must be \(5, 6\), not \(5, 7\): one more column would be the bias",
    ),
    "no bias": (
        {"bias": True, "init": [W, V]},
        ValueError,
        r"layer 1's weights come without a bias, the network has one",
    ),
    "one bias": ({"bias": True, "init": [(W, B), (V, None)]}, ValueError, r"layer 2's weights come without a bias"),
    "bias's shape": (
        {"bias": True, "init": [(W, C), (V, C)]},
        ValueError,
        r"layer 1's bias must be \(5,\), not \(3,\)",
    ),
    "bias twice": (
        {"bias": True, "init": [(np.c_[W, B], B), (V, C)]},
        ValueError,
        r"not \(5, 7\): it has one more column and a bias",
    ),
    "lone bias": ({"init": {**HELD, "2.bias": B}}, ValueError, r"'2' has bias, but no matrix of weights"),
    "name": (
        {"init": {**HELD, "0.wieght": W}},
        ValueError,
        r"'0.wieght' is no array of a layer.*did you mean 'weight'",
    ),
    "foreign name": ({"init": {**HELD, "optimizer": W}}, ValueError, r"init: 'optimizer' is no array of a layer"),
    "two of a name": ({"init": {**HELD, "0/weight": W}}, ValueError, r"'0/weight' is there twice"),
    "missing name": ({"init": {"0.weight": W}}, ValueError, "there are 1 layers of weights"),
    "law": ({"init": "hee"}, ValueError, r"unknown init 'hee'; did you mean 'he'\?.*nor does it end as a file"),
    "number": ({"init": 3}, TypeError, r"init must be a law \(he, .*not 3"),
    "bytes": ({"init": b"he"}, TypeError, r"init must be a law .*not b'he'"),
    "no file": ({"init": "there/is/none.npz"}, FileNotFoundError, "init: no file 'there/is/none.npz'"),
    "a pickle": (
        {"init": "model.pt"},
        ValueError,
        r"init: 'model.pt' is not read: save named arrays as .npz or .safetensors",
    ),
    "record": (
        {"init": {"from": "arrays", "sha256": "0" * 64}},
        ValueError,
        "init: the run began with weights of arrays that its file does not hold",
    ),
    "no hash": ({"init": {"from": "file", "path": "x.npz"}}, ValueError, "init names weights without their SHA-256"),
    "no source": ({"init": {"from": "afar", "sha256": "0" * 64}}, ValueError, "init.from must be 'file'"),
    "notes": (
        {"init": {"from": "file", "path": "w.npz", "sha256": "0" * 64, "notes": "none"}},
        ValueError,
        "init.notes must be a list of sentences, not 'none'",
    ),
    "no grant": ({"init": Chip(LAYERS, "crossbar")}, PermissionError, "oracle=True"),
    "several chips": ({"init": Chip(LAYERS, "ideal", chips=2)}, ValueError, "init: the source has 2 chips"),
    "another's": (
        {"init": Given({}, (V,))},
        ValueError,
        r"init: the weights are of layers \[\(3, 5\)\], the network has",
    ),
    "gain": (
        {"layers": [6, 5, batch_norm(), 3], "init": {"0.weight": W, **AFFINE, "1.weight": V}},
        ValueError,
        "'bn', which has a learned gain and offset: write batch_norm.learned=True.; or leave it out",
    ),
    "no place for it": (
        {"init": {**HELD, "0.running_mean": B, "0.running_var": B}},
        ValueError,
        r"layer 1's weights \('0'\) are followed by '0': put batch_norm\(\) behind this layer, or set bias=True",
    ),
    "one moment": (
        {"layers": [6, 5, batch_norm(), 3], "init": {**HELD, "0.running_mean": B}},
        ValueError,
        "which has no running variance",
    ),
    "moments' shape": (
        {"layers": [6, 5, batch_norm(), 3], "init": {**HELD, "0.running_mean": C, "0.running_var": B}},
        ValueError,
        r"the running mean of '0' must be \(5,\), not \(3,\)",
    ),
    "negative variance": (
        {"layers": [6, 5, batch_norm(), 3], "init": {**HELD, "0.running_mean": B, "0.running_var": B - 1}},
        ValueError,
        "variances not below 0",
    ),
    "affine alone": (
        {"bias": True, "init": {"a.weight": W, "n.weight": B, "n.bias": B, "b.weight": V, "b.bias": C}},
        ValueError,
        "which has no running mean and variance",
    ),
    "norms nowhere": (
        {"layers": [6, 5, 5, 5, 3], "bias": True, "init": UNPLACED},
        ValueError,
        "which layers n0, n1 normalise does not follow",
    ),
}


@pytest.mark.parametrize(("settings", "kind", "said"), BAD.values(), ids=BAD)
def test_bad_weights_are_one_clear_error(settings, kind, said):
    with pytest.raises(kind, match=said) as caught:
        Chip(**{"layers": LAYERS, "device": "ideal", **settings})
    assert type(caught.value) is kind
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def written(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def archive(**arrays):
    image = io.BytesIO()
    np.savez(image, **arrays)
    return image.getvalue()


FILES = {
    "w.npz": (pickle.dumps({"0.weight": W}), "is not a readable .npz file"),
    "objects.npz": (archive(**{"0.weight": OBJECTS}), "is not a readable .npz file"),
    "short.npz": (archive(**HELD)[:100], "is not a readable .npz file"),
    "empty.npz": (b"", "is not a readable .npz file"),
    "w.safetensors": (b"\x00" * 7, "is not a readable .safetensors file"),
    "w.h5": (b"nothing", "is not a whole noisysim result file"),
    "other.npz": (archive(x_train=W, y_train=V), "'x_train' is no array of a layer"),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_something_else(name, tmp_path):
    content, said = FILES[name]
    with pytest.raises(ValueError, match=said) as caught:
        Chip(LAYERS, "ideal", init=written(tmp_path, name, content))
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_of_several_orders_that_fit_is_refused(tmp_path):
    named_arrays.write(tmp_path / "w.safetensors", {"encoder.weight": np.eye(4), "decoder.weight": -np.eye(4)})
    with pytest.raises(ValueError, match="does not tell the order of encoder, decoder, and several fit: number"):
        Chip([4, 4, 4], "ideal", init=tmp_path / "w.safetensors")


def test_weights_are_read_again_by_their_record(tmp_path):
    path = tmp_path / "w.npz"
    named_arrays.write(path, HELD)
    record = Chip(LAYERS, "ideal", init=path).init
    assert record.keys() == {"from", "path", "sha256"}
    again = Chip(LAYERS, "ideal", init=record)
    assert again.init == record
    np.testing.assert_array_equal(again.oracle(None).weights[0], W)
    named_arrays.write(path, {**HELD, "0.weight": -W})
    with pytest.raises(ValueError, match=r"init: .*w.npz' is not the one recorded"):
        Chip(LAYERS, "ideal", init=record)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="init: no file"):
        Chip(LAYERS, "ideal", init=record)


def test_a_record_alone_makes_a_chip_to_be_restored():
    record = Chip(LAYERS, "crossbar", init=given()).init
    chip, other = Chip(LAYERS, "crossbar", init=given()), Chip(LAYERS, "crossbar", init=recorded(record))
    restore(other, snapshot(chip))
    assert other.init == record
    for name, array in snapshot(chip).items():
        np.testing.assert_array_equal(snapshot(other)[name], array, name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chip_that_is_kept_needs_its_file_no_more(backend, tmp_path):
    path = tmp_path / "w.npz"
    named_arrays.write(path, HELD)
    chip = Chip(LAYERS, "crossbar", seed=2, backend=backend, init=path)
    path.unlink()
    x = normal(4, 6)
    chip.calibrate(x)
    chip.save(tmp_path / "chip.h5")
    kept = [chip.copy(), pickle.loads(pickle.dumps(chip)), Chip.load(tmp_path / "chip.h5")]
    colder = chip.with_device(read_noise=0.0)
    expected = np.asarray(chip.forward(x).output)
    for other in kept:
        assert other.init == chip.init
        np.testing.assert_array_equal(np.asarray(other.forward(x).output), expected)
    np.testing.assert_allclose(np.asarray(colder.forward(x).output), expected, atol=0.2)


def test_hashes_tell_weights_and_statistics_apart():
    named = {**HELD, "0.running_mean": B, "0.running_var": B + 1}
    layers = [6, 5, batch_norm(), 3]
    inits = [HELD, named, {**named, "0.running_var": B + 2}, {**HELD, "0.weight": -W}]
    hashes = [Chip(layers, "ideal", init=init).init["sha256"] for init in inits]
    assert len(set(hashes)) == 4
    assert Chip(layers, "ideal", init={"a.weight": W, "b.weight": V}).init["sha256"] == hashes[0]
