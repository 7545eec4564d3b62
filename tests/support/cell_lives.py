"""Chips with cells beside what the definition says of them: fabrication, own values, drift."""

import numpy as np

from noisysim import Chip, devices
from noisysim.compute import seeding

import cell_device
import naive

SIZES = (45, 50, 30)  # with biases 3 and 2 blocks of cells, 3 tiles each
CELL_FIELDS = ("miss", "gain", "nu", "amplitude")  # with a value of each cell's own, in the order of the class
LIMITS = {"miss": (-1, 0.03), "gain": (0, 3), "nu": (0, 0.2), "amplitude": (-1, 1)}
LAWS = {"miss": "absolute", "gain": "lognormal", "nu": "normal", "amplitude": "normal"}


def device(kind, **settings):
    return devices.get(cell_device.__file__, **{**cell_device.KINDS, **cell_device.CONTROLLED}[kind] | settings)


class Life:
    """A chip, and what the definition says of its fabrication."""

    def __init__(self, kind, sizes=SIZES, seed=3, bias=True, **settings):
        self.device = d = device(kind, **settings)
        self.chip = Chip(sizes, d, seed=seed, bias=bias, oracle=True)
        self.arrays = arrays = self.chip._hidden.arrays  # behind the boundary
        self.write_key, self.key = arrays.write_keys[0], arrays.fabrication.keys[0]
        self.weights_key = seeding.key(seed, "chip/weights")
        self.shapes, self.n_in = self.chip.network.shapes, sizes[:-1]
        self.rng = np.random.default_rng(seed)
        self.sides = 1 if d.cells_per_weight == 1 else 2 * d.slices
        self.stuck = [
            np.array([naive.faults(s, layer, k, d, self.key) for k in range(self.sides)])
            for layer, s in enumerate(self.shapes)
        ]
        self.middle = [naive.reference(s, layer, d, self.key) for layer, s in enumerate(self.shapes)]
        self.own = [self.own_of(layer, s) for layer, s in enumerate(self.shapes)]
        self.fresh = [c.copy() for c in self.cells()]
        self.since = [np.zeros(c.shape) for c in self.fresh]

    def own_of(self, layer, shape):
        d, own = self.device, {}
        for f, name in enumerate(CELL_FIELDS):
            z = np.array([naive.own_draws(shape, "cell", f, layer, k, self.key) for k in range(self.sides)])
            own[name] = naive.own_values(getattr(d, name), getattr(d, f"{name}_spread"), LAWS[name], *LIMITS[name], z)
        return own

    def cells(self, at=None):
        """Conductances now, or at a time, (sides, n_out, n_in) a layer, float64."""
        found = []
        for c in self.chip.cells() if at is None else self.arrays.seen_at(at):
            both = np.stack([c.plus, c.minus], axis=1).reshape(-1, *c.plus.shape[1:])
            found.append(both[: self.sides].astype(float))
        return found

    def targets(self):
        held = self.arrays.targets if self.arrays.knows_targets else np.zeros(self.arrays.cell_count)
        parts = np.split(held.astype(float), np.cumsum([a * b for a, b in self.shapes])[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def aged(self):
        """What time has left of the cells by now."""
        found = []
        for layer, (fresh, since) in enumerate(zip(self.fresh, self.since, strict=True)):
            now = [
                naive.cell_drift(g, self.chip.clock - t, naive.with_own(self.device, self.own[layer], k))
                for k, (g, t) in enumerate(zip(fresh, since, strict=True))
            ]
            found.append(naive.held(np.array(now), self.stuck[layer]))
        return found

    def change(self, size, share=0.7):
        """Changes of a share of the weights, `size` in shares of the span; smaller in the first half of each layer."""
        found = []
        for n_in, shape in zip(self.n_in, self.shapes, strict=True):
            c = size * naive.bound(n_in, self.device) * self.rng.standard_normal(shape)
            c[self.rng.random(shape) > share] = 0
            c[: shape[0] // 2] *= 0.1
            found.append(c.astype(np.float32))
        return found


def expected_lines(life):
    """Own values of DACs and of ADCs, gain, offset and curve: (3, all input lines), (3, all tiles' output lines)."""
    d, tiles = life.device, [naive.tiles(n, life.device.tile_rows) for _, n in life.shapes]
    rows, columns = ([], [], []), ([], [], [])
    for f, name in enumerate(("gain", "offset", "curve")):
        for layer, (n_out, n_in) in enumerate(life.shapes):
            sizes = [getattr(d, f"{c}_{name}_spread") for c in ("dac", "adc")]
            rows[f].append(sizes[0] * naive.own_draws((1, n_in), "row", f, layer, 0, life.key)[0])
            for k in range(d.slices * len(tiles[layer])):
                columns[f].append(sizes[1] * naive.own_draws((1, n_out), "column", f, layer, k, life.key)[0])
    return (np.array([np.concatenate(v) for v in part]) for part in (rows, columns))
