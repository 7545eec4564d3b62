"""The backend "cuda": CuPy's arrays, compiled kernels, cuBLAS."""

from noisysim.common import array_types
from noisysim.compute import protocols
from noisysim.compute.cuda import images as images
from noisysim.compute.cuda import operations as operations
from noisysim.compute.cuda import ops as ops
from noisysim.compute.cuda.arrays import put as put
from noisysim.compute.cuda.arrays import take as take
from noisysim.compute.cuda.arrays import tf32 as tf32
from noisysim.compute.cuda.arrays import xp as xp
from noisysim.compute.cuda.cells import Cells as Cells
from noisysim.compute.cuda.passes import Passes as Passes

NAME = "cuda"
HOST_MEMORY = False
BATCHED_PRODUCTS = True


def series(passes: protocols.Passes, cells: protocols.Cells) -> None:
    """None are made here: kernels are launched one by one."""


array_types.register(xp.ndarray, NAME, xp)
