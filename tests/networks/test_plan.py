"""Plans: what each array layer is driven with follows from values that are there, and no place is taken twice."""

import numpy as np
import pytest

import noisysim
from noisysim.networks.building import architecture
from noisysim.networks.layers import batch_norm, conv, dense, dropout, pool
from noisysim.networks.plan import INPUT, plan

import bell

IMAGE = (2, 6, 5)
NETS = {
    "dense": [7, 9, 6, 5],
    "one layer": [7, 5],
    "dense, all steps": [
        7, dense(9, "tanh"), batch_norm(), dropout(0.4), dense(6, "relu"), batch_norm(), dropout(0.1), 5,
    ],
    "images": [
        IMAGE,
        conv(3, 3, padding=1, activation="tanh"),
        batch_norm(),
        pool(2, 1),
        dropout(0.3),
        conv(4, 2),
        5,
        3,
    ],
    "images, behind what may fall": [
        IMAGE,
        conv(3, 3, padding=1, activation=bell.__file__),
        batch_norm(),
        pool(2, 1),
        dropout(0.3),
        conv(4, 2, activation=bell.__file__),
        pool(1),
        5,
        3,
    ],
    "windows last": [IMAGE, conv(4, 2, stride=2), pool(2), 3],
    "one line at the end": [IMAGE, conv(3, 3), conv(4, 2), 1],
}  # fmt: skip


def made(name):
    net = architecture(NETS[name], "leaky_relu", True)
    return net, plan(net)


NAMES = pytest.mark.parametrize("name", NETS)


@NAMES
def test_values_are_the_input_the_lines_and_what_steps_write(name):
    net, found = made(name)
    assert len(found.groups) == net.depth
    assert found.sizes[: 1 + net.depth] == (net.sizes[0], *net.lines)
    written = {step.target for group in found.groups for step in group.steps}
    assert written == set(range(1 + net.depth, len(found.sizes)))
    values = found.values()
    assert (values.dtype, values.shape) == (np.int64, (len(found.sizes), 3))
    assert values.tolist() == [list(pair) for pair in zip(found.sizes, found.places, found.kept, strict=True)]


@NAMES
def test_arrays_are_driven_with_as_many_values_as_they_have_inputs(name):
    net, found = made(name)
    assert [found.sizes[group.source] for group in found.groups] == [
        positions * inputs for positions, inputs in zip(net.positions, net.fan_in, strict=True)
    ]


@NAMES
def test_every_step_reads_what_is_there_and_changes_nothing_that_goes_out(name):
    """What went through arrays is observed: no step writes there, nor to the network's input."""
    net, found = made(name)
    for layer, group in enumerate(found.groups):
        there = {INPUT, *range(1, 1 + layer)}
        for step in group.steps:
            assert step.source in there
            assert step.target > net.depth
            there.add(step.target)
        assert group.source in there
        assert group.source != INPUT or layer == 0


def test_steps_come_in_the_order_of_the_periphery():
    _, found = made("images")
    assert [[step.name for step in group.steps] for group in found.groups] == [
        ["channels_last", "unfold"],
        ["pool", "normalise", "activate", "drop", "perturb", "unfold"],
        ["activate", "perturb"],
        ["activate", "perturb"],
    ]
    assert [[step.layer for step in group.steps] for group in found.groups] == [[0, 0], [0] * 5 + [1], [1, 1], [2, 2]]


def test_maxima_are_taken_behind_an_activation_function_that_may_fall():
    net, found = made("images, behind what may fall")
    assert [[step.name for step in group.steps] for group in found.groups[1:3]] == [
        ["normalise", "activate", "pool", "drop", "perturb", "unfold"],
        ["activate", "pool", "perturb"],
    ]
    sizes = [[found.sizes[step.target] for step in group.steps[:3]] for group in found.groups[1:3]]
    assert sizes == [[net.lines[0]] * 2 + [net.outputs[0]], [net.lines[1], net.outputs[1], net.outputs[1]]]


def computed(net, found, storage):
    """What drives each layer: every step gives numbers that depend on its name and on all that it reads."""
    drives = []
    for layer, group in enumerate(found.groups):
        for step in group.steps:
            source = storage.get(step.source)
            mixed = np.resize(np.cumsum(source) + len(step.name) + layer, found.sizes[step.target])
            storage.put(step.target, mixed)
        drives.append(storage.get(group.source).copy())
        storage.put(1 + layer, np.resize(drives[-1][::-1] + 1, net.lines[layer]))
    return drives


class Apart:
    """Each value in an array of its own."""

    def __init__(self, found):
        self.values = {INPUT: np.arange(found.sizes[INPUT], dtype=float)}

    def get(self, number):
        return self.values[number]

    def put(self, number, value):
        self.values[number] = value.copy()


class Together(Apart):
    """What steps write in one work array, at the places of the plan."""

    def __init__(self, found, depth, room):
        super().__init__(found)
        self.found, self.depth, self.work = found, depth, np.full(room, np.nan)

    def get(self, number):
        at, size = self.found.places[number], self.found.sizes[number]
        return self.work[at : at + size] if number > self.depth else super().get(number)

    def put(self, number, value):
        if number > self.depth:
            assert self.get(number).size == value.size
            self.get(number)[...] = value
        else:
            super().put(number, value)


@NAMES
def test_places_do_not_overlap_while_they_are_needed(name):
    net, found = made(name)
    together = computed(net, found, Together(found, net.depth, found.room(0, net.depth)))
    for one, other in zip(computed(net, found, Apart(found)), together, strict=True):
        np.testing.assert_array_equal(one, other)


@NAMES
def test_values_that_live_at_once_lie_apart(name):
    """From the step that writes one to the last that reads it; what arrays take lives to the end of its group."""
    _, found = made(name)
    for group in found.groups:
        lives = {}
        for k, step in enumerate(group.steps):
            lives.setdefault(step.target, [k, k])[1] = k
            if step.source in lives:
                lives[step.source][1] = k
        if group.source in lives:
            lives[group.source][1] = len(group.steps)
        for one, (first, last) in lives.items():
            for other, (begin, end) in lives.items():
                if one < other and first <= end and begin <= last:
                    spans = sorted((found.places[v], found.places[v] + found.sizes[v]) for v in (one, other))
                    assert spans[0][1] <= spans[1][0], (one, other)


@NAMES
def test_the_room_holds_what_some_layers_need_and_no_more(name):
    net, found = made(name)
    for first in range(net.depth):
        for last in range(first, net.depth + 1):
            steps = [step for group in found.groups[first:last] for step in group.steps]
            ends = [found.places[step.target] + found.sizes[step.target] for step in steps]
            assert found.room(first, last) == max(ends, default=0)


def test_dense_layers_write_their_hidden_outputs_once():
    """Activation, dropout and drives work in place: a network of dense layers needs room for its widest one alone."""
    net, found = made("dense, all steps")
    assert found.room(0, net.depth) == max(net.outputs[:-1])
    assert len(found.sizes) == 1 + net.depth + net.depth - 1


def test_operations_are_not_taken_for_steps_of_their_name():
    """Pooling and normalisation in a block, and as operations, in one network."""
    layers = [(2, 6, 6), "conv(4, 3)", "batch_norm()", "pool(2)", "layer_norm()", "pool(2, 1, 1)", "output()"]
    whole = noisysim.Chip(layers, "ideal", seed=1)
    block = noisysim.Chip([*layers[:4], "output()"], "ideal", seed=1)
    x = np.random.default_rng(0).normal(size=(3, 72))
    block.calibrate(x)
    whole.calibrate(x)
    values = block.predict(x).reshape(3, 2, 2, 4).astype(np.float64)
    centred = values - values.mean(axis=3, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(axis=3, keepdims=True) + 1e-5)
    padded = np.pad(normal, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    expected = np.lib.stride_tricks.sliding_window_view(padded, (2, 2), (1, 2)).max(axis=(4, 5))
    np.testing.assert_allclose(whole.predict(x), expected.reshape(3, -1), rtol=1e-4, atol=1e-5)
