"""An operation of the periphery, forwards and back: `build.load` puts in its functions."""

from numba import cuda

from noisysim.compute.cuda.kernels.target import kernel
from noisysim.compute.rules.operations import add as work
from noisysim.compute.rules.operations import add_pull as work_first
from noisysim.compute.rules.operations import add_pull as work_second
from noisysim.compute.rules.operations import add_push as work_along


@kernel
def forward(parts, a, b, out, g):
    """The operation's values, a thread a part."""
    for k in range(cuda.grid(1), out.shape[0] * parts, cuda.gridsize(1)):
        work(k // parts, k % parts, a, b, out, g)


@kernel
def push(parts, a, b, da, db, out, g):
    """Changes of the operation's values along those of its sources, a thread a part."""
    for k in range(cuda.grid(1), out.shape[0] * parts, cuda.gridsize(1)):
        work_along(k // parts, k % parts, a, b, da, db, out, g)


@kernel
def pull_first(parts, a, b, s, out, g):
    """The signal at the first source, a thread a part."""
    for k in range(cuda.grid(1), out.shape[0] * parts, cuda.gridsize(1)):
        work_first(k // parts, k % parts, a, b, s, out, g)


@kernel
def pull_second(parts, a, b, s, out, g):
    """The signal at the second source, a thread a part."""
    for k in range(cuda.grid(1), out.shape[0] * parts, cuda.gridsize(1)):
        work_second(k // parts, k % parts, a, b, s, out, g)
