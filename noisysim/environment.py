"""Where a run took place: what a reader needs to reproduce its bits."""

from __future__ import annotations

import datetime
import functools
import hashlib
import importlib.util
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from noisysim.backends import gpu


def version() -> str:
    """The installed version of noisysim."""
    try:
        return metadata.version("noisysim")
    except metadata.PackageNotFoundError:
        return "unknown"


MAPPED = ("devices", "papers")
"""Subpackages that a checkout keeps outside of the package's own folder (``package_dir`` of setup.cfg)."""


@functools.cache
def source_hash() -> str:
    """SHA-256 (hexadecimal) of the package's source: every Python file, by its place in the package.

    The same source has the same hash wherever and however it is installed. Two installations of one version whose
    source differs may compute other bits. It is computed once a process: what counts is what was loaded.
    """
    files: dict[str, Path] = {}
    for package in ("", *MAPPED):
        spec = importlib.util.find_spec(f"noisysim.{package}".rstrip("."))
        for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
            files.update({(package / path.relative_to(folder)).as_posix(): path for path in folder.rglob("*.py")})
    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def cpu() -> str:
    """The processor's name, as LLVM targets it and as the system calls it."""
    from llvmlite import binding

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            name = next(line.partition(":")[2].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name} ({binding.get_host_cpu_name()})"


def describe(backend: str) -> dict[str, Any]:
    """Versions, backend and host."""
    packages = {name: metadata.version(name) for name in ("numba", "llvmlite", "scipy", "h5py")}
    if backend != "cpu":
        packages.update(gpu.describe())
    return {
        "noisysim": version(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **packages,
        "backend": backend,
        "cpu": cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def moved(began: dict[str, Any]) -> list[str]:
    """What a run that goes on elsewhere should say: other versions or processors compute other last bits."""
    here = describe(began["backend"])
    other = [
        f"{k} {began.get(k)} -> {here.get(k)}"
        for k in ("noisysim", "numpy", "numba", "scipy", "cpu", "gpu", "cupy", "numba-cuda")
        if began.get(k) != here.get(k)
    ]
    return [f"resumed on another host, whose last bits may differ: {', '.join(other)}"] if other else []
