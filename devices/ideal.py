"""Exact hardware: what goes in is multiplied by the weights, nothing else. It grants oracle access."""

from typing import NamedTuple


class Ideal(NamedTuple):
    """No noise, no quantisation, exact writes: the reference every other device is compared with."""
