"""Images and blocks on both backends: kernels against the CPU's loops, and stacks of chips against the chips alone.

The half about GPUs runs on one, or in Numba's simulator: NUMBA_ENABLE_CUDASIM=1 pytest -m gpu.
"""

import numpy as np
import pytest

from noisysim import conv, pool
from noisysim.compute import backends, periphery
from noisysim.compute.observation import Observation
from noisysim.networks.building import architecture

import networks

NETS = [networks.deep("leaky_relu", "tanh"), networks.strided("sigmoid"), networks.bare()]
IDS = ["deep", "strided", "bare"]

# --- images ---------------------------------------------------------------------------------------------------------

IMAGES = {
    "plain": [(1, 5, 4), conv(2, 1)],
    "padded": [(3, 5, 4), conv(2, 3, padding=1), pool(2)],  # the last row is in no window
    "strided": [(3, 6, 7), conv(4, 3, stride=2), pool(2, 1)],  # windows overlap; the last column is in no patch
    "gaps": [(1, 7, 8), conv(3, 2, stride=3, padding=1), pool(1, 2)],  # between patches, and between windows
    "wide": [(1, 3, 3), conv(2, 5, padding=3), pool(3, 2)],  # patches of margin alone
}


def geometry_of(name, seed=3, rows=3):
    """The layer's row of the table, its units, and draws of values of which many are equal."""
    net, rng = architecture([*IMAGES[name], 2]), np.random.default_rng(seed)
    g = net.geometry()[0]

    def draw(*shape):
        return rng.integers(-3, 4, shape).astype(np.float32) / 3

    return net, g, rows, draw


def both(function, given, shape):
    """What a function over images writes to an array of NaN, on the CPU and on the GPU."""
    there = backends.get("cuda")
    found, expected = (np.full(shape, np.nan, np.float32) for _ in range(2))
    found = there.put(found)
    function(there.images, [there.put(a) if np.ndim(a) > 1 else a for a in given], found)
    function(backends.get("cpu").images, given, expected)
    assert not np.isnan(expected).any()
    return there.take(found), expected


@pytest.mark.gpu
@pytest.mark.parametrize("name", IMAGES)
def test_patches_are_those_of_the_cpu(name):
    net, g, rows, draw = geometry_of(name)
    values, patches = net.sizes[0], (rows * net.positions[0], net.fan_in[0])
    images = draw(rows, values)
    cases = [
        (lambda loops, given, out: loops.channels_last(given[0], net.input_shape[0], out), images, images.shape),
        (lambda loops, given, out: loops.unfold(given[0], g, out), images, patches),
        (lambda loops, given, out: loops.fold(given[0], g, out), draw(*patches), images.shape),
    ]
    for function, given, shape in cases:
        found, expected = both(function, [given], shape)
        np.testing.assert_array_equal(found, expected)
        assert np.unique(expected).size > 2


@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in IMAGES if name != "plain"])
def test_windows_are_those_of_the_cpu(name):
    net, g, rows, draw = geometry_of(name)
    units, lines, given = net.units[0], (rows, net.lines[0]), (rows, net.outputs[0])
    values, change, signal = draw(*lines), draw(*lines), draw(*given)
    cases = [
        (lambda loops, given, out: loops.pool(given[0], units, g, out), [values], given),
        (lambda loops, given, out: loops.pick(given[0], given[1], units, g, out), [change, values], given),
        (lambda loops, given, out: loops.unpool(given[0], given[1], units, g, out), [signal, values], lines),
    ]
    for function, arrays, shape in cases:
        found, expected = both(function, arrays, shape)
        np.testing.assert_array_equal(found, expected)
        assert np.unique(expected).size > 2


@pytest.mark.gpu
def test_patches_leave_what_lies_beside_them():
    """Patches in wider rows, as with a constant input behind them."""
    net, g, rows, draw = geometry_of("strided")
    there, images, n = backends.get("cuda"), draw(rows, net.sizes[0]), net.fan_in[0]
    wide = there.put(np.full((rows * net.positions[0], n + 1), 7, np.float32))
    expected = np.empty((rows * net.positions[0], n), np.float32)
    there.images.unfold(there.put(images), g, wide)
    backends.get("cpu").images.unfold(images, g, expected)
    np.testing.assert_array_equal(there.take(wide)[:, :n], expected)
    assert (there.take(wide)[:, n] == 7).all()


# --- blocks ---------------------------------------------------------------------------------------------------------


def a_chip(net, batch, seed):
    """An observation; for each layer a signal from above, a change and a signal of its lines; and a list of images."""
    rng = np.random.default_rng(seed)

    def draws(shapes):
        return [rng.standard_normal((batch, *shape)).astype(np.float32) for shape in shapes]

    norms, masks = net.random_state(rng, batch)
    lines = [np.rint(3 * a) / 3 for a in draws(net.lines)]  # windows with equal values
    seen = Observation([], lines, lines[-1], norms=norms, norms_of_batch=bool(norms), masks=masks)
    return seen, draws(net.outputs), draws(net.lines), draws(net.lines), draws([(net.inputs,)])


def stacked(parts, axis=0):
    """Lists of arrays or of None, one a chip, as one list."""
    return [None if some[0] is None else np.concatenate(some, axis) for some in zip(*parts, strict=True)]


def stack(chips):
    """What `a_chip` gives, of several chips as one stack."""
    seen = [chip[0] for chip in chips]
    lines, norms, masks = (
        stacked([getattr(one, name) for one in seen], axis)
        for name, axis in (("activities", 0), ("norms", 1), ("masks", 0))
    )
    whole = Observation([], lines, lines[-1], norms=norms, norms_of_batch=seen[0].norms_of_batch, masks=masks)
    return whole, *(stacked([chip[k] for chip in chips]) for k in (1, 2, 3, 4))


def maps(arch, layer, lines, chips, place):
    """Two matrices of every chip, from a layer's lines to what it sees: each chip's differ by what its lines hold."""
    rng, n = np.random.default_rng(layer), arch.fan_in[layer]
    drawn = [rng.standard_normal(shape).astype(np.float32) for shape in ((arch.units[layer], n), (n, n))]
    own = place.take(lines).reshape(chips, -1)[:, 0]
    return [place.put(np.concatenate([matrix * factor for factor in own])) for matrix in drawn]


def all_blocks(net, given, chips=1, name="cpu"):
    """What every function of blocks makes of `a_chip`, by name and layer, as arrays of NumPy's."""
    arch, place = architecture(net.layers, net.activation), backends.get(name)
    seen, signals, changes, lines, images = given

    def put(arrays):
        return [None if a is None else place.put(np.array(a)) for a in arrays]

    activities = put(seen.activities)
    seen = Observation(
        [], activities, activities[-1], norms=put(seen.norms), norms_of_batch=seen.norms_of_batch, masks=put(seen.masks)
    )
    signals, changes, lines = put(signals), put(changes), put(lines)
    found = {("unfold", "images"): place.take(periphery.unfold(arch, 0, *put(images)))}
    for layer in range(arch.depth - 1):
        room = place.xp.empty(activities[layer].shape, np.float32)
        y = periphery.outputs(arch, layer, seen, chips)
        patches = periphery.unfold(arch, layer + 1, y)
        made = {
            "outputs": y,
            "pull_back": periphery.pull_back(arch, layer, signals[layer], seen, chips=chips),
            "pull_back to": periphery.pull_back(arch, layer, signals[layer], seen, room, chips),
            "push": periphery.push(arch, layer, changes[layer], seen, chips),
            "project": periphery.project(layer, lines[layer], seen, chips),
            "normalised": periphery.normalised(layer, seen, chips),
            "unfold": patches,
            "fold": periphery.fold(arch, layer + 1, patches),
            "carry": periphery.carry(
                arch, layer + 1, lines[layer + 1], maps(arch, layer + 1, lines[layer + 1], chips, place), chips
            ),
        }
        found.update({(name, layer): place.take(a) for name, a in made.items() if a is not None})
    return found


@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_a_stack_is_its_chips(net):
    chips, batch = [a_chip(net, 4, seed) for seed in (1, 2, 3)], 4
    whole, parts = all_blocks(net, stack(chips), 3), [all_blocks(net, chip) for chip in chips]
    for name, array in whole.items():
        for m, part in enumerate(parts):
            np.testing.assert_array_equal(array[m * batch : (m + 1) * batch], part[name], err_msg=str(name))
        assert (parts[0][name] != parts[1][name]).any()


@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_what_a_layer_carries_down_is_its_product_folded(net):
    arch, cpu = architecture(net.layers, net.activation), backends.get("cpu")
    lines = a_chip(net, 4, 1)[3]
    for layer in range(1, arch.depth):
        through = maps(arch, layer, lines[layer], 1, cpu)
        product = lines[layer].reshape(-1, arch.units[layer]) @ through[0] @ through[1]
        expected = periphery.fold(arch, layer, product.reshape(4, -1, arch.fan_in[layer]))
        carried = periphery.carry(arch, layer, lines[layer], through)
        np.testing.assert_allclose(carried, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_blocks_are_those_of_the_cpu(net, chips):
    given = stack([a_chip(net, 2, seed) for seed in range(chips)])
    found, expected = all_blocks(net, given, chips, "cuda"), all_blocks(net, given, chips)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6, err_msg=str(name))
