"""Groups of channels in updates by factors: which cells of an array hold weights (`noisysim.compute.grouping`)."""

from noisysim.compute.jit.compiling import bare


@bare()
def together(unit, column, groups):
    """Whether a unit sees a column.

    Parameters
    ----------
    unit, column : int
    groups : tuple of int
        Columns that are split between groups, channel by channel of each pixel: those behind them, a bias, are of all.
        0 where a layer has no groups. Then the image's channels, channels of a group, and units of a group.
    """
    return column >= groups[0] or column % groups[1] // groups[2] == unit // groups[3]


@bare()
def keep_together(values, first, n_in, groups):
    """Set to zero what is asked of cells that hold no weight; `values` are those of cells from the `first` on."""
    for k in range(values.size):
        if not together((first + k) // n_in, (first + k) % n_in, groups):
            values[k] = 0
