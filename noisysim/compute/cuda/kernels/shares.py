"""A learning rule's share of loss changes: `build.load` puts in the rule's function."""

from numba import cuda

from noisysim.compute.compiled_estimate import by_size as share
from noisysim.compute.cuda.kernels.target import kernel


@kernel
def share_all(changes, sizes, units, each, out):
    """out = share(change, size, units), flat; `each` numbers have the same units."""
    for k in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[k] = share(changes[k], sizes[k], units[k // each])
