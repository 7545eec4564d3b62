"""The learned gain and offset of a normalisation, as a layer of weights."""

from __future__ import annotations

from typing import ClassVar

from noisysim.networks.layer_kinds import Conv


class Gain(Conv):
    """A gain and an offset of each channel, digital and learned: what follows a normalisation with ``learned=True``.

    A digital `depthwise(1)` with a bias, whatever the network has: learners see it as any other layer. They begin as 1
    and 0 by every law of initial weights, and are neither decorrelated, nor decayed, nor normalised.
    """

    name: ClassVar[str] = "gain"

    @classmethod
    def of(cls, channels: int) -> Gain:
        """That of so many channels."""
        return cls(channels, 1, groups=channels, digital=True)

    def __repr__(self) -> str:
        """``gain(16)``."""
        return f"{self.name}({self.channels})"
