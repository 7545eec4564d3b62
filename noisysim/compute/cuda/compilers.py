"""What compiles kernels for a GPU, and where their templates are."""

from __future__ import annotations

from noisysim.compute.cuda.kernels import names, target
from noisysim.compute.jit import build

COMPILERS = build.Compilers("cuda/kernels", target.device, target.device, names.NAMES, ("cuda/kernels/names",))
