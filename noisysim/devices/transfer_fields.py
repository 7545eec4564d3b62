"""Fields of write controllers that have a second array of cells (`noisysim.devices.controllers`)."""

from typing import Annotated

from noisysim.common.fields import Field
from noisysim.devices.field_groups import FieldGroup, device_fields


@device_fields
class Transfers(FieldGroup):
    """How changes get from a second array, A, into that of the weights, C: tiki_taka, tiki_taka_v2, chopped, agad."""

    transfer_every: Annotated[int, Field("updates", 1, 1e6, "between two transfers", whole=True)] = 1
    transfer_columns: Annotated[
        int, Field("columns", 1, 1e6, "of each layer's A, read in a transfer; all in turn", whole=True)
    ] = 8
    transfer_rate: Annotated[
        float, Field("of A, an update", 0, 1e3, "by which C follows A, on average over the turns of its columns")
    ] = 0.002
    transfer_gain: Annotated[
        float,
        Field(
            "of the changes asked for", 0, 1e3, "that C gets, on average and in every layer (agad, chopped)",
            off=0,
        ),
    ] = 0.0  # fmt: skip
    fast_pulses: Annotated[
        float,
        Field(
            "pulses", 1e-6, 1e6, "of A's cells that a layer's largest change is scaled to, in the running mean; reads "
            "are scaled back", off=0,
        ),
    ] = 0.0  # fmt: skip
    slow_pulses: Annotated[
        float,
        Field(
            "pulses", 1e-6, 1e6, "of C's cells that a layer's largest change gives, in that mean, at most; C gets less "
            "of what is asked for where it is more", off=0,
        ),
    ] = 0.0  # fmt: skip
    transfer_gamma: Annotated[
        float, Field("", 0, 10, "what A counts for in the weights, C + gamma A; above 0 it learns what C is off by")
    ] = 0.0
    chop_rate: Annotated[
        float,
        Field("of a column's reads", 0, 0.5, "after which its sign turns: by chance (chopped), or regularly (agad)"),
    ] = 0.1
    zero_shift_pulses: Annotated[
        int,
        Field(
            "pairs of pulses", 1, 1e6,
            "up and down, that bring A to its symmetric point before anything is learned; its reference is set there",
            off=0, whole=True,
        ),
    ] = 0  # fmt: skip
