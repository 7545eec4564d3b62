"""Settings of a user's own data: of arrays and HDF5 files, and of tables."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from noisysim.common.fields import Field
from noisysim.tasks.augmentation import Mirror, Shift
from noisysim.tasks.delimited import HEADERS, SEPARATORS
from noisysim.tasks.settings import Standardise
from noisysim.tasks.targets import KINDS
from noisysim.tasks.values import IMAGE_AXES

MISSING_TEXTS = ("auto", "empty")

OwnStandardiseTargets = Annotated[
    bool | None,
    Field(doc="target values to mean 0 and std 1, each output of its own; None: wherever targets are values"),
]
OwnLoss = Annotated[str, Field(choices=("auto", "cce", "mse"), doc="auto: cce for labels, mse for values")]
Kind = Annotated[str, Field(choices=KINDS, doc="whether targets are labels or values; auto: by what they hold")]
Missing = Annotated[
    str,
    Field(
        choices=MISSING_TEXTS,
        doc="which texts are missing values; auto: nothing, NA, nan, null, ?; empty: nothing",
    ),
]


class OwnSettings(NamedTuple):
    """Settings of a user's own data."""

    standardise: Standardise = "global"
    standardise_targets: OwnStandardiseTargets = None
    loss: OwnLoss = "auto"
    kind: Kind = "auto"
    axes: Annotated[
        str, Field(choices=IMAGE_AXES, doc="axes of images: channels before or after height and width; auto: by size")
    ] = "auto"
    missing: Missing = "auto"
    shift: Shift = 0
    mirror: Mirror = False


class TableSettings(NamedTuple):
    """Settings of a table."""

    standardise: Standardise = "feature"
    standardise_targets: OwnStandardiseTargets = None
    loss: OwnLoss = "auto"
    kind: Kind = "auto"
    target: Annotated[
        str, Field(text=True, doc="column of the targets, or several y1+y2; default: the last column")
    ] = ""
    drop: Annotated[str, Field(text=True, doc="columns to leave out, id+name")] = ""
    encode: Annotated[bool, Field(doc="make one-hot columns of inputs that are text")] = False
    test: Annotated[str, Field(file=True, doc="a second table, to test on; default: a fifth of the rows")] = ""
    separator: Annotated[str, Field(choices=("auto", *SEPARATORS), doc="what is between fields of a text file")] = (
        "auto"
    )
    header: Annotated[str, Field(choices=HEADERS, doc="whether the first line of a text file names the columns")] = (
        "auto"
    )
    missing: Missing = "auto"
