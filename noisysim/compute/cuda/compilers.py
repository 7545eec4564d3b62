"""What compiles kernels for a GPU, and where their templates are."""

from __future__ import annotations

from noisysim.compute.cuda.kernels import names, target
from noisysim.compute.jit import build, templates

_NAMES = templates.read("cuda/kernels/names")
COMPILERS = build.Compilers(
    "cuda/kernels", target.device, target.device, names.NAMES, (_NAMES.text, *_NAMES.support)
)  # fmt: skip
