"""Passes on a GPU, or in Numba's simulator, against a plain float64 account of what they must compute.

Each step is compared by itself, from what the backend made of the step before: what drives a layer from the activities
below, and activities from what drives them. Random arrays stand for a chip, stacked as a backend gets them.

Stated before looking: values may differ by `TIGHT` of the largest one; where a converter rounds, by a step besides, on
at most `FEW` of them.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from noisysim import devices
from noisysim.chip.fabrication import own_fields
from noisysim.compute import layout
from noisysim.compute.behaviour import Behaviour, ReadFlags
from noisysim.compute.cpu.loops import draws
from noisysim.compute.gpu import missing
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Call, ReadCells, Standing
from noisysim.devices import files as device_files
from noisysim.devices.resolved import resolve
from noisysim.networks.layers import batch_norm, conv, dense, dropout, pool
from noisysim.networks.tiling import network

import bell
import naive

if not missing():
    from noisysim.compute.cuda import cell_reads, put, stacks, take, xp
    from noisysim.compute.cuda import passes as gpu

pytestmark = pytest.mark.gpu

HERE = Path(__file__).parents[1] / "support"

TIGHT, FEW = 2e-5, 0.02
IMAGES = [(2, 6, 5), conv(3, 3, padding=1, activation="tanh"), batch_norm(), pool(2, 1), dropout(0.3), conv(4, 2), 5, 3]
FALLING = [
    (2, 6, 5), conv(3, 3, padding=1, activation=bell.__file__), batch_norm(), pool(2, 1), dropout(0.3),
    conv(4, 2, activation=bell.__file__), pool(2, 1), 3,
]  # fmt: skip
DENSE = [7, dense(9, "tanh"), dropout(0.4), dense(6, "relu"), batch_norm(), 5]


def bench(**settings):
    return devices.get(str(HERE / "cell_device.py"), **settings)


CELLS = {"cell_noise": 0.05, "jitter": 0.04, "bend": 0.2, "line_noise": 0.02, "tile_rows": 3, "adc_range": 4.0}
JUMPS = {
    **CELLS, "amplitude": -0.3, "amplitude_spread": 0.6, "tau_up": 0.3, "tau_down": 0.1, "read_time": 0.02,
    "compensation": 1, "dac_gain_spread": 0.05, "adc_gain_spread": 0.06, "adc_offset_spread": 0.02,
}  # fmt: skip
COMPENSATED = {"controller": "copy", "compensation": 1, "drift_nu": 0.05, "tile_rows": 4, "adc_range": 3.0}
DEVICES = {
    "ideal": lambda: devices.get("ideal"),
    "crossbar": lambda: devices.get("crossbar", adc_range=3.0),
    "tiles": lambda: devices.get("crossbar", tile_rows=4, tile_columns=3, adc_range=3.0, adc_bits=5, dac_bits=4),
    "noiseless": lambda: devices.get("crossbar", read_noise=0.0, line_noise=0.0, tile_rows=4, adc_range=3.0),
    "fixed scale": lambda: devices.get("crossbar", dac_range=1.5, iv_curve=2.0, adc_range=3.0),
    "own lines": lambda: devices.get(
        "crossbar", iv_curve=1.5, dac_gain_spread=0.05, dac_offset_spread=0.02, adc_gain_spread=0.05,
        adc_curve_spread=0.1, tile_rows=4, adc_range=3.0,
    ),
    "compensated": lambda: devices.get("crossbar", **COMPENSATED),
    "scaled": lambda: devices.get("crossbar", **COMPENSATED),
    "slices": lambda: bench(slices=2, slice_bits=3, tile_rows=4, read_noise=0.03, line_noise=0.01, adc_range=3.0),
    "cells": lambda: bench(**CELLS),
    "cells without pairs": lambda: bench(**CELLS, cells_per_weight=1),
    "jumps": lambda: bench(**JUMPS),
    "slices that jump": lambda: bench(**{**JUMPS, "slices": 2, "slice_bits": 2, "tile_rows": 0}),
}  # fmt: skip


class Stack:
    """Chips with random contents: lists of a chip's own, by layer or tile, and what the backend gets of them."""

    def __init__(self, device, layers=(7, 6, 5), chips=1, batch=4, bias=False, decorrelate=False, seed=0, scaled=False):
        self.device, self.chips, self.batch = device, chips, batch
        self.net = net = network(layers, "leaky_relu", bias, resolve(device))
        self.rng = rng = np.random.default_rng(seed)
        self.own, self.hooks, self.spreads = devices.own_hooks(device), devices.hooks(device), own_fields(device)
        self.noisy, self.table, self.tiles = devices.is_noisy(device), *net.layout()
        self.paired = resolve(device).paired
        self.compensated, self.scaled = resolve(device).compensated, scaled
        self.layer_of = [layer for layer in range(net.depth) for _ in range(net.tiles(layer))]
        self.x = rng.standard_normal((chips * batch, net.sizes[0])).astype(np.float32)
        shapes = [
            (net.units[at], stop - start) for at, (start, stop, *_) in zip(self.layer_of, self.tiles, strict=True)
        ]
        self.weights = [self.normal(chips, *shape) / np.sqrt(shape[1]) for shape in shapes]
        self.variances = [1e-3 * rng.random((chips, *s), np.float32) for s in shapes if "cell_std" in self.own]
        square = [(n, n) for n in net.fan_in]
        self.rotations = [np.eye(*s) + 0.1 * self.normal(chips, *s) for s in square if decorrelate]
        ones = np.ones((chips, len(shapes)), np.float32)
        self.ranges = (
            rng.uniform(0.4, 1.2, ones.shape) * (resolve(device).adc_range if "adc_range" in device._fields else 1.0)
        ).astype(np.float32)
        self.gains = rng.uniform(0.8, 1.3, ones.shape).astype(np.float32) if self.compensated else ones
        self.scales = [rng.uniform(0.2, 1.5, (chips, s[0])).astype(np.float32) for s in shapes if scaled]
        self.rows = [0.1 * self.normal(len(self.spreads["row"]), chips, n) for n in net.columns]
        self.lines = [0.1 * self.normal(len(self.spreads["column"]), chips, s[0]) for s in shapes]
        normed = [n for n, norm in zip(net.units, net.norms, strict=True) if norm]
        self.norms = [np.stack([self.normal(chips, n), rng.uniform(0.5, 2, (chips, n))]) for n in normed]
        sides = 2 * net.slices
        self.now = [rng.uniform(-1, 20, (sides, chips, *s)) for s in net.shapes]  # below 0: of a line that is cut
        self.cell_own = [0.3 * self.normal(len(self.spreads["cell"]), sides, chips, *s) for s in net.shapes]
        self.states = [rng.integers(0, 2, (sides, chips, *s)) for s in net.shapes]
        self.units = (0.02 / np.sqrt(np.array(net.fan_in))[:, None] * np.ones(net.slices)).astype(np.float32)
        self.keys = rng.integers(0, 2**32, (chips, 2), np.uint32)
        self.numbers = {name: np.float64(value) for name, value in device_files.scalars(device).items()}
        self.standing = self.placed()
        behaviour = Behaviour(self.hooks, self.own, device_files.scalars(device), self.spreads)
        flags = ReadFlags(self.noisy, self.compensated, scaled, "cell_std" in self.own, self.paired)
        self.passes = gpu.Passes(net, behaviour, flags, chips)

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def placed(self):
        """What a backend gets: what belongs to a layer or a tile of all chips lies together."""

        def flat(parts, lead=0, dtype=np.float32):
            parts = [np.asarray(part, dtype).reshape(*part.shape[:lead], -1) for part in parts]
            return put(np.concatenate(parts, axis=lead) if parts else np.zeros((1,) * lead + (0,), dtype))

        cells = None
        if "read_cell" in self.own:
            seconds = np.float32(7.5), np.float32(0.3)
            states = flat(self.states, 1, np.uint8) if "jump" in self.own else ()
            own = flat(self.cell_own, 2) if self.spreads["cell"] else ()
            cells = ReadCells(flat(self.now, 1), own, states, self.units, *seconds)
            self.now = [np.asarray(g, np.float32) for g in self.now]
        norms = flat(self.norms, 1) if self.norms else put(np.zeros((2, 0), np.float32))
        self.norms = [np.asarray(norm, np.float32) for norm in self.norms]
        self.rotations = [np.asarray(r, np.float32) for r in self.rotations]
        return Standing(
            norms, flat(self.weights), flat(self.variances), flat(self.rotations), put(self.ranges), put(self.gains),
            put(np.zeros_like(self.ranges)), np.float32(resolve(self.device).dac_range),
            flat(self.rows, 1) if self.spreads["row"] else (), flat(self.lines, 1) if self.spreads["column"] else (),
            cells, put(self.keys), flat(self.scales), (),
        )  # fmt: skip

    def forward(self, parts=(), count=1, whole=True, fork=None, drops=False, settle=None, **settings):
        """One call; the settings and what was observed, as NumPy has it."""
        net, rows = self.net, self.chips * self.batch
        self.observed = Observed(net, rows, count, drops, whole, xp)
        for mask in self.observed.layer_masks:
            if mask is not None:
                mask[...] = put(self.rng.choice(np.float32([0, 1.5]), mask.shape))
        fork = np.zeros(count, np.int64) if fork is None else np.array(fork)
        given = [(p, kind, layer, put(array)) for p, kind, layer, array in parts]
        plain = {"first_sample": 0, "first_pass": 3, "digital": False, "convert": True, "training": False}
        plain |= {"course": [(0, self.batch, 0.0)], "stands": 0.0, "age": None}
        self.call = Call(self.observed, given, fork, **{**plain, **settings}, settle=settle)
        self.added = {(p, kind, layer): array for p, kind, layer, array in parts}
        self.passes.forward(put(self.x), self.standing, self.call)
        return [
            SimpleNamespace(inputs=list(map(take, o.inputs)), activities=list(map(take, o.activities)))
            for o in self.observed
        ]

    # -- what must come out --------------------------------------------------------------------------------------

    def d(self, m, tile=None, **own):
        """The device's numbers as a hook sees them."""
        ranged = (
            {} if tile is None or "adc_range" not in self.numbers else {"adc_range": np.float64(self.ranges[m, tile])}
        )
        return SimpleNamespace(**{**self.numbers, **ranged, **{k: np.float64(v) for k, v in own.items()}})

    def rows_of(self, array, m):
        """A chip's samples, float64."""
        return array[m * self.batch : (m + 1) * self.batch].astype(float)

    def hidden(self, seen, p, layer, m):
        """What a layer gives to the next, (batch, positions after pooling, units)."""
        g, block, units = self.net.geometry()[layer], self.net.blocks[layer], self.net.units[layer]
        a = self.rows_of(seen[p].activities[layer], m).reshape(self.batch, -1, units)
        if block.norm:
            at = self.chips * g[layout.NORM_AT] + m * units
            shift, scale = take(self.standing.norms)[:, at : at + units].astype(float)
            a = (a - shift) * scale
        y = naive.activate(block.activation.name, a)
        if block.pool:
            size, step, y = block.pool.size, block.pool.stride or block.pool.size, y.reshape(-1, *block.grid, units)
            at = [(i * step, j * step) for i in range(block.pooled[0]) for j in range(block.pooled[1])]
            y = np.stack([y[:, i : i + size, j : j + size].max(axis=(1, 2)) for i, j in at], axis=1)
        masks, extra = self.observed.layer_masks, self.added.get((p, layout.ON_OUTPUT, layer))
        if len(masks) and masks[layer] is not None:
            y = y * self.rows_of(take(masks[layer]), m).reshape(y.shape)
        return y if extra is None else y + self.rows_of(extra, m).reshape(y.shape)

    def driven(self, seen, p, layer, m):
        """What drives a layer, (rows, n_in), and the most that a DAC's rounding can move each."""
        block = self.net.blocks[layer]
        if layer > 0:
            y = self.hidden(seen, p, layer - 1, m)
        elif block.is_conv:
            channels, height, width = self.net.input_shape
            y = self.rows_of(self.x, m).reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        else:
            y = self.rows_of(self.x, m)
        if block.is_conv:
            margin, size, step = block.product.margins[0], block.product.kernels[0], block.product.strides[0]
            y = np.pad(y.reshape(self.batch, *block.source), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
            at = [(i * step, j * step) for i in range(block.grid[0]) for j in range(block.grid[1])]
            y = np.stack([y[:, i : i + size, j : j + size].reshape(self.batch, -1) for i, j in at], axis=1)
        y = y.reshape(-1, self.net.fan_in[layer])
        if self.rotations:
            y = y @ self.rotations[layer][m].astype(float).T
        step = np.zeros_like(y)
        if "dac" in self.own:
            scale, dac = self.scale(y), self.hooks["dac"]
            each = [self.d(m, **dict(zip(self.spreads["row"], own, strict=True))) for own in self.rows[layer][:, m].T]
            if scale.all():
                y = np.array(
                    [
                        [float(dac(v / s, d)) * s for v, d in zip(r, each, strict=False)]
                        for r, s in zip(y, scale, strict=True)
                    ]
                )
            step = step + scale[:, None] / max(2 ** (self.numbers["dac_bits"] - 1) - 1, 1)
        if self.net.bias:
            y, step = (np.hstack([a, np.full((len(y), 1), float(one))]) for a, one in ((y, 1), (step, 0)))
        return y, step

    def scale(self, rows):
        """Each row's full scale."""
        fixed = float(self.standing.dac_range)
        return np.full(len(rows), fixed) if fixed > 0 else np.abs(rows).max(axis=1)

    def draw(self, kind, n, m, sample, layer, k, p, base=0):
        padded = 4 * -(-n // 4)
        out, bits = np.zeros(padded, np.float32), np.zeros(padded, np.uint32)
        fill = (
            draws.fill_normals_from if kind in (layout.NORMAL_STREAM, layout.CELL_STREAM) else draws.fill_uniforms_from
        )
        fill(out, bits, n, base, sample, self.call.first_pass + p, draws.stream_word(kind, layer, k), *self.keys[m])
        return out[:n].astype(float)

    def bent(self, x, m, tile):
        """What drives a tile's cells."""
        start, stop = self.tiles[tile][:2]
        if "current" not in self.own:
            return x[:, start:stop]
        scale, d, curve = self.scale(x)[:, None], self.d(m, tile), self.hooks["current"]
        return np.vectorize(lambda v: float(curve(v, d)))(x[:, start:stop] / scale) * scale

    def by_cell(self, x, m, tile, p, rows):
        """Line currents of some rows, every cell read by itself; states move on."""
        layer, (start, stop) = self.layer_of[tile], self.tiles[tile][:2]
        k, n, n_out, positions = tile - self.table[layer, layout.FIRST_TILE], stop - start, *self.of(layer)
        s, q, d, cells = k // len(self.net.row_tiles(layer)), -(-n // 4), self.d(m, tile), self.standing.cells
        out = np.zeros((len(rows), n_out))
        for at, r in enumerate(rows):
            sample = self.call.first_sample * positions + r
            first = p == 0 and sample == 0
            seconds = float(cells.waited) if first else float(cells.interval) / positions
            for i in range(n_out):
                for side in range(2):
                    where, counted = (2 * s + side, m, i), (n, m, sample, layer, k, p, (2 * i + side) * q)
                    g = self.now[layer][where][start:stop].astype(float)
                    state, own = self.states[layer][where][start:stop], self.cell_own[layer][(slice(None), *where)]
                    if side == 1 and not self.paired:
                        out[at, i] -= x[r] @ np.maximum(g, 0)
                        continue
                    each = [
                        self.d(m, tile, **dict(zip(self.spreads["cell"], v, strict=True))) for v in own[:, start:stop].T
                    ]
                    if "jump" in self.own:
                        u = self.draw(layout.STATE_STREAM, *counted)
                        state[:] = [self.hooks["jump"](*a[:2], seconds, a[2]) for a in zip(state, u, each, strict=True)]
                    z, u = self.draw(layout.CELL_STREAM, *counted), self.draw(layout.CELL_UNIFORM_STREAM, *counted)
                    read = [self.hooks["read_cell"](*a) for a in zip(g, state, z, u, each or [d] * n, strict=True)]
                    out[at, i] += (1 - 2 * side) * x[r] @ np.where(g >= 0, read, 0)
        return out * self.units[layer, s]

    def of(self, layer):
        """Lines of its arrays, and positions."""
        return self.net.units[layer], self.net.positions[layer]

    def analog(self, driven, m, tile, block):
        """What a tile's lines carry in each pass, and the variance of their cells, (batch, lines)."""
        layer = self.layer_of[tile]
        bent, lines = [self.bent(x, m, tile) for x in driven], self.net.lines[layer]
        if "read_cell" in self.own:
            products, positions = [np.zeros((len(x), self.net.units[layer])) for x in bent], self.net.positions[layer]
            for first in range(0, self.batch, block):
                rows = range(first * positions, min(first + block, self.batch) * positions)
                for p, x in enumerate(bent):
                    products[p][rows] = self.by_cell(x, m, tile, p, rows)
        else:
            products = [x @ self.weights[tile][m].astype(float).T for x in bent]
        energies = [
            x**2 @ self.variances[tile][m].astype(float).T if self.variances else 0 * p
            for x, p in zip(bent, products, strict=True)
        ]
        return [p.reshape(-1, lines) for p in products], [e.reshape(-1, lines) for e in energies]

    def read(self, line, energy, m, tile, p, convert):
        """What the periphery reads, before it makes up for drift."""
        layer, n = self.layer_of[tile], line.shape[1]
        k, d = tile - self.table[layer, layout.FIRST_TILE], self.d(m, tile)
        own = [dict(zip(self.spreads["column"], values, strict=True)) for values in self.lines[tile][:, m].T]
        each = [self.d(m, tile, **fields) for fields in own]
        out = np.zeros_like(line)
        for r in range(len(line)):
            sample = self.call.first_sample + r
            z, u = (
                self.noisy * self.draw(kind, n, m, sample, layer, k, p)
                for kind in (layout.NORMAL_STREAM, layout.UNIFORM_STREAM)
            )
            value = [self.hooks["readout"](*a, d) for a in zip(line[r], energy[r], z, u, strict=True)]
            if "adc" in self.own and convert:
                value = [self.hooks["adc"](v, each[j % len(each)]) for j, v in enumerate(value)]
            out[r] = value
        return out

    def factor(self, m, tile):
        """What the periphery multiplies each line of a tile by."""
        scales = np.tile(self.scales[tile][m], self.net.positions[self.layer_of[tile]]) if self.scaled else 1.0
        return self.gains[m, tile] * scales

    def step(self, m, tile):
        """Of a tile's ADC; 0 where it does not round."""
        bits = self.numbers.get("adc_bits", 0)
        return (
            self.ranges[m, tile] / (2 ** (bits - 1) - 1)
            if bits and "quantise" in self.hooks["adc"].__code__.co_names
            else 0.0
        )

    def check(self, seen, block=512):
        """Compare a call with what must come out of it."""
        peaks = np.zeros_like(self.ranges, float)
        for layer in range(self.net.depth):
            for m in range(self.chips):
                driven = []
                for p, one in enumerate(seen):
                    expected, step = self.driven(seen, p, layer, m)
                    driven.append(self.rows_of(one.inputs[layer], m).reshape(expected.shape))
                    agree(driven[p], expected, step)
                self.check_lines(seen, layer, m, driven, block, peaks)
        agree(
            take(self.standing.peaks),
            peaks,
            np.array([[self.step(m, t) for t in range(len(self.tiles))] for m in range(self.chips)]),
        )
        if "jump" in self.own:
            expected = np.concatenate([s.reshape(len(s), -1) for s in self.states], axis=1)
            assert np.array_equal(take(self.standing.cells.states), expected)

    def check_lines(self, seen, layer, m, driven, block, peaks):
        """Activities of one layer of a chip, in every pass."""
        first, count = self.table[layer, layout.FIRST_TILE], self.table[layer, layout.TILES]
        sums = [np.zeros((self.batch, self.net.lines[layer])) for _ in seen]
        perturbations = [self.perturbation(p, layer, m, x) for p, x in enumerate(driven)]
        for tile in range(first, first + count):
            products, energies = self.analog(driven, m, tile, block)
            for p in range(len(seen)):
                line = products[p]
                if tile == first and not self.call.digital:
                    line = line + perturbations[p] / self.factor(m, tile)
                value = self.read(line, energies[p], m, tile, p, self.call.convert)
                peaks[m, tile] = max(peaks[m, tile], np.abs(value).max())
                sums[p] += value * self.factor(m, tile)
        step = sum(self.step(m, tile) * self.factor(m, tile) for tile in range(first, first + count))
        for p, one in enumerate(seen):
            expected = sums[p] + (perturbations[p] if self.call.digital else 0)
            agree(
                self.rows_of(one.activities[layer], m).reshape(expected.shape),
                expected,
                step if self.call.convert else 0.0,
            )

    def perturbation(self, p, layer, m, driven):
        """What a drive adds to a chip's lines."""
        given, weights = (self.added.get((p, kind, layer)) for kind in (layout.ON_LINE, layout.ON_WEIGHTS))
        shape = (self.batch, self.net.lines[layer])
        if weights is not None:
            n_out = self.net.units[layer]
            return (driven @ weights[m * n_out : (m + 1) * n_out].astype(float).T).reshape(shape)
        return np.zeros(shape) if given is None else self.rows_of(given, m).reshape(shape)

    def drives(self):
        """Parts of three passes: none; lines of every layer; outputs of the first hidden layer, weights of the last."""
        rows, last = self.chips * self.batch, self.net.depth - 1
        lines = [(1, layout.ON_LINE, n, 0.3 * self.normal(*self.net.line_shape(n, rows))) for n in range(last + 1)]
        n_out, n_in = self.net.shapes[last]
        outputs = (2, layout.ON_OUTPUT, 0, 0.3 * self.normal(*self.net.output_shape(0, rows)))
        return [*lines, outputs, (2, layout.ON_WEIGHTS, last, 0.1 * self.normal(self.chips * n_out, n_in))]


def agree(found, expected, step):
    """Equal to `TIGHT`; to a converter's step besides on a `FEW`."""
    assert np.isfinite(found).all()
    apart, near = np.abs(found - expected), TIGHT * np.abs(expected).max()
    assert np.all(apart <= near + 1.01 * step)
    assert np.mean(apart > near) <= FEW


@pytest.mark.parametrize("chips", [1, 3])
@pytest.mark.parametrize("name", [n for n in DEVICES if "jump" not in n])
def test_a_pass(name, chips):
    stack = Stack(DEVICES[name](), chips=chips, bias=chips == 3, scaled=name == "scaled")
    for convert in (False, True):
        stack.standing.peaks[...] = 0
        stack.check(stack.forward(convert=convert))


@pytest.mark.parametrize("digital", [False, True])
@pytest.mark.parametrize("name", ["ideal", "tiles", "compensated", "scaled", "own lines", "slices", "cells"])
def test_drives(name, digital):
    stack = Stack(DEVICES[name](), chips=2, bias=True, scaled=name == "scaled")
    stack.check(stack.forward(stack.drives(), 3, digital=digital, first_sample=5))


@pytest.mark.parametrize(("layers", "chips"), [(IMAGES, 1), (IMAGES, 2), (FALLING, 1), (FALLING, 2), (DENSE, 2)])
@pytest.mark.parametrize("name", ["ideal", "tiles", "scaled"])
def test_what_lies_between_layers(name, layers, chips):
    """Convolution, pooling, batch norm, dropout, decorrelation."""
    stack = Stack(DEVICES[name](), layers, chips, batch=2, bias=True, decorrelate=True, scaled=name == "scaled")
    stack.check(stack.forward(stack.drives(), 3, drops=True, convert=False))


def test_batch_norm_settles_before_it_is_used():
    stack, settled = Stack(DEVICES["crossbar"](), DENSE, chips=2), []
    normed = [layer for layer, norm in enumerate(stack.net.norms) if norm]

    def means(lines):
        return lines.reshape(2, stack.batch, -1).mean(axis=1).ravel()

    def settle(layer):
        stack.standing.norms[0, :] = put(means(take(stack.observed[0].activities[layer])))
        settled.append(layer)

    seen = stack.forward(stack.drives(), 3, training=True, settle=settle)
    assert settled == normed
    assert np.array_equal(take(stack.standing.norms)[0], means(seen[0].activities[normed[0]]))
    stack.check(seen)


@pytest.mark.parametrize("layers", [(7, 6, 5, 4), IMAGES])
def test_noise_free_passes_part_where_they_are_driven(layers):
    """Below its fork a pass is the first's; in it they share what drives it."""
    stack = Stack(DEVICES["noiseless"](), layers, batch=2, bias=True)
    last, rows = stack.net.depth - 1, stack.chips * stack.batch
    line = (1, layout.ON_LINE, last, stack.normal(*stack.net.line_shape(last, rows)))
    parts = [line, (2, layout.ON_OUTPUT, 0, stack.normal(*stack.net.output_shape(0, rows)))]
    parts.append((3, layout.ON_WEIGHTS, 1, 0.1 * stack.normal(*stack.net.shapes[1])))
    seen = stack.forward(parts, 5, fork=[last + 1, last, 0, 1, last + 1])
    stack.check(seen)
    for layer in range(last):
        assert np.array_equal(seen[1].activities[layer], seen[0].activities[layer])
    assert np.array_equal(seen[4].activities[last], seen[0].activities[last])
    assert not np.array_equal(seen[2].activities[1], seen[0].activities[1])


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("name", "fork"), [("noiseless", [3, 2, 0, 0]), ("crossbar", None)])
def test_passes_that_do_not_fit_together_go_in_pieces(name, fork, whole, monkeypatch):
    parts, found = None, []
    for most in (stacks.STACKED, 2 * 4 * 8, 1):  # values: all passes, two of a layer of 8 columns, each alone
        monkeypatch.setattr(stacks, "STACKED", most)
        stack = Stack(DEVICES[name](), (7, 6, 5, 4), bias=True, decorrelate=True)
        parts = parts or [(1, layout.ON_LINE, 2, stack.normal(4, 4)), (2, layout.ON_OUTPUT, 0, stack.normal(4, 6))]
        found.append(stack.forward(parts, 4, whole, fork, convert=False))
        if whole:
            stack.check(found[-1])
    for seen in found[1:]:
        for one, other in zip(found[0], seen, strict=True):
            assert len(one.inputs) == len(other.inputs)
            for a, b in zip([*one.inputs, *one.activities], [*other.inputs, *other.activities], strict=True):
                agree(a, b, 0.0)


def test_passes_that_follow_each_other_go_in_one_run():
    assert stacks.runs([(0, 0), (1, 0), (2, 0)]) == [(0, 3, 0, 0)]
    assert stacks.runs([(0, 0), (1, 1), (3, 2), (4, 3)]) == [(0, 2, 0, 1), (3, 2, 2, 1)]
    assert stacks.runs([(0, 0), (1, 1), (2, 0), (3, 0)]) == [(0, 2, 0, 1), (2, 2, 0, 0)]
    assert stacks.runs([(0, 0), (1, 1), (2, 2)], lambda p: p == 1) == [(0, 1, 0, 0), (1, 1, 1, 0), (2, 1, 2, 0)]
    assert stacks.Run(2, 3, 1, 1).split(lambda p: p == 4) == [(2, 2, 1, 1), (4, 1, 3, 0)]


@pytest.mark.parametrize(("name", "fork"), [("noiseless", [3, 2, 0]), ("crossbar", None), ("cells", None)])
def test_inputs_of_the_first_pass_alone(name, fork):
    parts = None
    for whole in (True, False):
        stack = Stack(DEVICES[name](), (7, 6, 5, 4), bias=True, decorrelate=True)
        parts = parts or [(1, layout.ON_LINE, 2, stack.normal(4, 4)), (2, layout.ON_OUTPUT, 0, stack.normal(4, 6))]
        seen = stack.forward(parts, 3, whole, fork)
        if whole:
            expected = seen
    assert [len(one.inputs) for one in seen] == [3, 0, 0]
    for one, other in zip(seen, expected, strict=True):
        assert all(map(np.array_equal, one.activities, other.activities))
    assert not np.array_equal(seen[1].activities[2], seen[0].activities[2])


@pytest.mark.parametrize("chips", [1, 2])
@pytest.mark.parametrize("name", ["jumps", "slices that jump"])
def test_cells_with_states(name, chips):
    stack = Stack(DEVICES[name](), (5, 4, 3), chips, bias=True)
    stack.check(stack.forward(stack.drives(), 3, convert=False))


@pytest.mark.parametrize("first", [0, 4])
def test_cells_change_from_block_to_block(first, monkeypatch):
    """As on the CPU: a block of samples goes through all passes before the next; and however many rows are read at
    once."""
    monkeypatch.setattr("noisysim.networks.tiling.BLOCK_ROWS", 2)
    monkeypatch.setattr("noisysim.networks.tiling.BLOCK_VALUES", 2 * 9 * 4)
    layers, found = [(1, 4, 4), conv(2, 2), 3], []
    for most in (cell_reads.SEEN, 5 * 2 * 2 * 4):  # bytes: all rows, and five of the first layer's
        monkeypatch.setattr(cell_reads, "SEEN", most)
        stack = Stack(bench(**{**JUMPS, "tile_rows": 0}), layers, batch=5)
        found.append(stack.forward(count=2, first_sample=first))
        stack.check(found[-1], block=2)
    for one, other in zip(*found, strict=True):
        assert all(map(np.array_equal, one.activities, other.activities))


def test_a_value_that_is_no_number_is_seen_in_peaks():
    stack = Stack(DEVICES["tiles"](), chips=2)
    stack.x[1, 2] = np.nan  # of the first chip
    stack.forward()
    peaks = take(stack.standing.peaks)
    first = stack.tiles[: stack.net.tiles(0)]
    assert np.array_equal(np.isnan(peaks[0][: len(first)]), [start <= 2 < stop for start, stop, *_ in first])
    assert not np.isnan(peaks[1]).any()


def test_too_many_samples_are_refused(monkeypatch):
    stack = Stack(DEVICES["ideal"](), batch=8)
    monkeypatch.setattr(gpu, "MOST", 8 * 7 + 1)
    stack.forward()
    monkeypatch.setattr(gpu, "MOST", 8 * 7)
    with pytest.raises(ValueError, match="8 samples are too many"):
        stack.forward()


def test_peaks_are_raised_only():
    stack = Stack(DEVICES["crossbar"](), chips=2)
    stack.standing.peaks[1, 0] = 1e3
    seen = stack.forward()
    assert float(take(stack.standing.peaks)[1, 0]) == 1e3
    assert float(take(stack.standing.peaks)[0, 0]) == np.abs(seen[0].activities[0][: stack.batch]).max()


@pytest.mark.parametrize("name", ["tiles", "own lines", "compensated", "slices", "jumps"])
def test_lines_of_tiles(name):
    stack = Stack(DEVICES[name](), chips=2, bias=True)
    inputs = [np.sign(stack.normal(2 * stack.batch, n)) for n in stack.net.columns]
    stack.call, stack.added = SimpleNamespace(first_sample=0, first_pass=9), {}
    before = {n: take(getattr(stack.standing, n)) for n in ("gains", "peaks", "ranges")}
    found = list(map(take, stack.passes.tile_lines([put(array) for array in inputs], stack.standing, 9)))
    for m in range(2):
        for tile, layer in enumerate(stack.layer_of):
            (line,), (energy,) = stack.analog([stack.rows_of(inputs[layer], m)], m, tile, stack.batch)
            value = stack.read(line, energy, m, tile, 0, False)
            assert np.abs(found[tile].reshape(2, *value.shape)[m] - value).max() <= TIGHT * np.abs(value).max()
    assert all(np.array_equal(take(getattr(stack.standing, n)), array) for n, array in before.items())


def test_converters_follow_peaks():
    ranges = np.full((2, 3), 2, np.float32)
    peaks = np.array([[2, 1.5, 0.5], [0, np.nan, 3]], np.float32)
    stack, given = Stack(DEVICES["ideal"](), chips=2), (put(ranges), put(peaks))
    stack.passes.follow(*given)
    factors = np.array([[1.25, 1, 0.99], [1, 1, 1.25]], np.float32)
    assert np.array_equal(take(given[0]), ranges * factors)
    assert not take(given[1]).any()
