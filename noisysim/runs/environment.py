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

from noisysim.compute import gpu


def version() -> str:
    """The installed version of noisysim."""
    try:
        return metadata.version("noisysim")
    except metadata.PackageNotFoundError:
        return "unknown"


MAPPED = ("devices.models", "papers")
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
            place = Path(*package.split("."))
            files.update({(place / path.relative_to(folder)).as_posix(): path for path in folder.rglob("*.py")})
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


@functools.cache
def blas() -> str:
    """The BLAS libraries that are loaded, each with the kind of processor it computes for."""
    from noisysim.compute.execution import blas_libraries

    libraries = {
        f"{one['internal_api']} {one.get('version')} ({one.get('architecture', 'unknown')})" for one in blas_libraries()
    }
    return ", ".join(sorted(libraries))


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
        "blas": blas(),
        "source": source_hash(),
        "system": f"{platform.system()} {platform.release()}",
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


COMPARED = ("python", "numpy", "numba", "llvmlite", "scipy", "cpu", "blas", "gpu", "cupy", "numba-cuda")
"""What may change last bits, in addition to the source of noisysim."""


def other_source(began: dict[str, Any]) -> str:
    """How the source of noisysim differs from where a run began; "" if it is the same, or was not recorded."""
    here = {"noisysim": version(), "source": source_hash()}
    if began.get("source") in (None, here["source"]):
        return ""
    before, now = (f"{one.get('noisysim')} (source {one['source'][:12]})" for one in (began, here))
    return f"noisysim {before} -> {now}"


def moved(began: dict[str, Any]) -> list[str]:
    """Notes for a run that is resumed elsewhere: other versions or processors compute other last bits."""
    here = describe(began["backend"])
    notes = []
    if began.get("source") is None:
        notes.append(
            f"begun by noisysim {began.get('noisysim')}, which recorded no hash of its source: resumed by "
            f"{here['noisysim']}, the bits may be others from here on"
        )
    if source := other_source(began):
        notes.append(f"resumed with other source, whose bits may differ: {source}")
    if other := [f"{k} {began.get(k)} -> {here.get(k)}" for k in COMPARED if k in began and began[k] != here.get(k)]:
        notes.append(f"resumed on another host, whose last bits may differ: {', '.join(other)}")
    return notes
