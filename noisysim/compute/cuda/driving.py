"""What arrays are driven with on a GPU: what the periphery made of lines, its patches, decorrelation and DAC."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from noisysim.common.types import Floats
from noisysim.compute.cuda import images
from noisysim.compute.cuda.kernels.target import launch_rows
from noisysim.compute.cuda.periphery import Job, Periphery
from noisysim.compute.cuda.workspace import Workspace
from noisysim.compute.layout import KERNEL, N_IN, ROTATION_AT, ROWS_AT, TILES
from noisysim.compute.protocols import Standing
from noisysim.networks.architecture import INPUT
from noisysim.networks.tiling import Network


class Driving:
    """Drives the layers of some chips, by what `noisysim.compute.cuda.passes.Passes` has."""

    def __init__(
        self, net: Network, loops: ModuleType, numbers: tuple[np.float32, ...], chips: int, space: Workspace,
        periphery: Periphery,
    ):  # fmt: skip
        self._net, self._loops, self._numbers, self._chips = net, loops, numbers, chips
        self._space, self._periphery = space, periphery
        self._table, self._geometry = net.layout()[0].tolist(), net.geometry()

    def flat(self, layer: int, array: Floats) -> Floats:
        """What drives a layer, (rows, n_in): one row per sample and position."""
        return array.reshape(-1, self._table[layer][N_IN])

    def passes(self, layer: int, x: Floats, job: Job) -> list[Floats]:
        """What drives a layer in each pass, (rows, n_in).

        Written to the observations; kept here where they have no room for it. Of a pass that has not parted from the
        first it is the same.
        """
        observed, driven = job.call.observed, [self.flat(layer, job.call.observed[0].inputs[layer])]
        self._drive(layer, 0, x, job, driven[0])
        for p in range(1, len(observed)):
            same = layer == 0 or layer <= job.call.fork[p]
            if layer == 0 or (same and not observed.whole):
                driven.append(driven[0])
                continue
            if observed.whole:
                driven.append(self.flat(layer, observed[p].inputs[layer]))
            else:
                driven.append(self._space.room(f"driven {p}", *driven[0].shape))
            if same:
                driven[p][...] = driven[0]
            else:
                self._drive(layer, p, x, job, driven[p])
        return driven

    def _drive(self, layer: int, p: int, x: Floats, job: Job, driven: Floats) -> None:
        """What drives a layer in one pass: hidden outputs, their patches, decorrelated, converted."""
        g, n, standing = self._geometry[layer], self._net.fan_in[layer], job.standing
        plain = driven if driven.shape[1] == n else self._space.room("inputs", len(driven), n)  # without the bias line
        turned, patched = standing.rotations.size > 0, g[KERNEL] > 0
        source = self._space.room("sources", len(driven), n) if turned else plain
        node = self._net.source(layer)
        self._periphery.compute_due(layer, p, x, job, but=node)
        if node == INPUT and not patched:
            source = x
        elif self._periphery.holds(node, layer):
            values = self._periphery.value(node, p, x, job)
            source = source if patched else values.reshape(source.shape)
        else:
            values = self._space.room("image", len(x), self._net.node_size(node)) if patched else source
            self._periphery.compute(node, p, x, job, values.reshape(len(x), -1))
        if patched:
            images.unfold(values, g, source)
        if turned:
            self.turn(layer, source, plain, standing)
            source = plain
        self.convert(layer, p, source, standing, driven)

    def turn(self, layer: int, source: Floats, out: Floats, standing: Standing) -> None:
        """What a layer is driven with, decorrelated where inputs are."""
        if standing.rotations.size == 0:
            out[...] = source
            return
        n = self._net.fan_in[layer]
        rotations = self._space.part(standing.rotations, self._table[layer][ROTATION_AT], (n, n))
        self._space.multiply(source, rotations, out)

    def convert(self, layer: int, p: int, source: Floats, standing: Standing, driven: Floats) -> None:
        """What the DAC makes of a layer's inputs in a pass, the bias line, and squares for noise of cells."""
        squared = self.makes_squares(layer, standing)
        if source is driven and not (self._loops.HAS_DAC or squared):
            return
        full_scale = standing.dac_range if self._loops.HAS_DAC else np.float32(1.0)
        own = standing.rows_own if self._loops.OWN_ROWS else self._space.nothing
        squares = self._space.room(f"squares {p}", *driven.shape) if squared else self._space.nothing
        launch_rows(
            self._loops.drive, *driven.shape, source, full_scale, own, self._chips * self._table[layer][ROWS_AT],
            self._chips, driven, squared, squares, self._numbers,
        )  # fmt: skip

    def makes_squares(self, layer: int, standing: Standing) -> bool:
        """Whether squares of what drives a layer are made with it: where its only tile takes these as they are."""
        loops, whole = self._loops, self._table[layer][TILES] == 1
        varied = loops.HAS_CELL_STD and standing.variances.size > 0
        return whole and varied and not (loops.HAS_CURRENT or loops.HAS_READ_CELL)
