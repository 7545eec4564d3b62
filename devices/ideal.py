"""Exact hardware: what goes in is multiplied by the weights, nothing else. It grants oracle access."""

from typing import NamedTuple

from noisysim.devices.field_classes import html_form


class Ideal(NamedTuple):
    """No noise, no quantisation, exact writes: the reference every other device is compared with."""

    def _repr_html_(self) -> str:
        return html_form(self)
