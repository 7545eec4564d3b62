"""Figures that a notebook shows by themselves, whether or not ``%matplotlib inline`` is on."""

from __future__ import annotations

import io

import matplotlib.figure


class Figure(matplotlib.figure.Figure):
    """A figure that is no part of pyplot: nothing keeps it, and what shows it is the cell that it is the value of.

    Where pyplot's inline backend is on, that draws it in place of `_repr_png_`: it is shown once, in the format and
    with the settings of that backend.
    """

    def _repr_png_(self) -> bytes:
        """The picture, as a notebook asks for it."""
        picture = io.BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()
