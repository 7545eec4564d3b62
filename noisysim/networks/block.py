"""A block of a network: a layer of weights, and what the periphery does with its lines."""

from __future__ import annotations

import math
from dataclasses import dataclass

from noisysim.networks.activations import Activation
from noisysim.networks.gain import Gain
from noisysim.networks.layer_kinds import BatchNorm, Conv, Dense, Pool
from noisysim.networks.operations import Image
from noisysim.networks.recurrent_kinds import Recurrence


@dataclass(frozen=True)
class Block:
    """One layer of weights and what the periphery does with its lines.

    Attributes
    ----------
    product : Dense, Conv or Recurrence
    source : (int, int, int)
        Height, width and channels of what it sees; (1, 1, n) of n units.
    grid : (int, int)
        Rows and columns of positions at which the product is applied; (1, 1) of a dense layer. Of a recurrent
        layer's second array: reads.
    pooled : (int, int)
        The same after pooling; steps of a recurrent layer.
    activation : Activation
    pool : Pool or None
    norm : BatchNorm or None
    drop : float
        Share of the hidden outputs that is dropped while learning.
    """

    product: Dense | Conv | Recurrence
    source: Image
    grid: tuple[int, int]
    pooled: tuple[int, int]
    activation: Activation
    pool: Pool | None = None
    norm: BatchNorm | None = None
    drop: float = 0.0

    @property
    def is_conv(self) -> bool:
        """Whether it is applied at the positions of an image."""
        return isinstance(self.product, Conv)

    @property
    def recurrence(self) -> Recurrence | None:
        """What it is of a recurrent layer's second array."""
        return self.product if isinstance(self.product, Recurrence) else None

    @property
    def by_position(self) -> bool:
        """Whether it has lines at several positions of an image, or steps of a sequence."""
        return not isinstance(self.product, Dense)

    @property
    def units(self) -> int:
        """Output lines of its arrays."""
        if isinstance(self.product, Conv):
            return self.product.channels
        return self.product.lines if isinstance(self.product, Recurrence) else self.product.units

    @property
    def channels(self) -> int:
        """Values that it gives at each position."""
        return self.product.units if isinstance(self.product, Recurrence) else self.units

    @property
    def fan_in(self) -> int:
        """Inputs of one product, without a bias."""
        if isinstance(self.product, Conv):
            return math.prod(self.product.kernels) * self.source[2]
        if isinstance(self.product, Recurrence):
            return self.product.units
        return math.prod(self.source)

    @property
    def groups(self) -> int:
        """Groups of channels that see each other; with 1 all see all."""
        return self.product.groups if isinstance(self.product, Conv) else 1

    @property
    def digital(self) -> bool:
        """Whether its weights are in digital memory, and its product is exact."""
        return self.product.digital

    @property
    def is_gain(self) -> bool:
        """Whether it is the learned gain and offset of a normalisation."""
        return isinstance(self.product, Gain)

    @property
    def plain(self) -> bool:
        """Whether nothing but an activation function follows the product."""
        return self.pool is None and self.norm is None and self.drop == 0 and self.recurrence is None

    @property
    def pools_lines(self) -> bool:
        """Whether maxima are taken of lines, before these are normalised and go through the activation function.

        The order is normalisation, activation function, pooling. Where neither of the first two ever falls (scales of
        a normalisation are positive), the largest line gives the largest output: the same, with less work.
        """
        return self.pool is not None and self.activation.never_falls

    @property
    def pools_outputs(self) -> bool:
        """Whether maxima are taken behind the activation function, which may fall."""
        return self.pool is not None and not self.activation.never_falls
