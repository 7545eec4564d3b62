"""How something public is deprecated: it still works, and warns with the name to use instead.

`import noisysim` imports this module: what is seldom used is imported in functions.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "noisysim.activations": "noisysim.networks.activations",
    "noisysim.blocks": "noisysim.compute.periphery",
    "noisysim.fields": "noisysim.common.fields",
    "noisysim.observation": "noisysim.compute.observation",
    "noisysim.parts": "noisysim.devices.field_groups",
    "noisysim.running": "noisysim.runs.api",
    "noisysim.scalars": "noisysim.devices.physics",
    "noisysim.scalars.convert": "noisysim.devices.physics.converters",
    "noisysim.scalars.hooks": "noisysim.devices.physics.ideal",
    "noisysim.scalars.noise": "noisysim.compute.noise",
    "noisysim.style": "noisysim.reporting.style",
    "noisysim.wires": "noisysim.devices.physics.wires",
}
"""Modules that users' files may import by names from before version 0.1, and where they are now."""


def deprecated(what: str, instead: str, since: str, *, stacklevel: int = 2) -> None:
    """Warn that something public will go.

    Parameters
    ----------
    what : str
        What is used, such as ``"noisysim.fields"``.
    instead : str
        What to use.
    since : str
        The version that deprecated it. What is deprecated stays for a minor version at least.
    stacklevel : int
        Frames up to the user's code, as for `warnings.warn`.

    Warns
    -----
    FutureWarning
        Shown by default, also where the user's code is imported.
    """
    import warnings

    warnings.warn(f"{what} is deprecated since noisysim {since}: use {instead}", FutureWarning, stacklevel + 1)


class Aliases:
    """Modules that can be imported under further names: each is one module object, whatever the name.

    A finder and loader for `sys.meta_path`; it stands before those that look through folders.

    Parameters
    ----------
    public : mapping
        Further names that stay, such as ``noisysim.plot``, and the modules they stand for.
    moved : mapping
        Names of an earlier version: their use is deprecated.
    since : str
        The version that moved them.
    """

    def __init__(self, public: Mapping[str, str], moved: Mapping[str, str], since: str):
        self._public, self._moved, self._since = public, moved, since

    def _stands_for(self, name: str) -> str | None:
        """The module that a name stands for, itself or as a part of one that does."""
        package, _, rest = name.rpartition(".")
        module = self._public.get(name) or self._moved.get(name)
        if module or not package:
            return module
        package = self._stands_for(package) or ""
        return f"{package}.{rest}" if package and _exists(f"{package}.{rest}") else None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a name that stands for another module."""
        if fullname.startswith("noisysim.") and self._stands_for(fullname):
            return ModuleSpec(fullname, self)  # type: ignore[arg-type]  # no heir of the ABC, whose import takes long
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that the name stands for."""
        name = self._stands_for(spec.name)
        assert name is not None
        if spec.name in self._moved:
            deprecated(spec.name, name, self._since)  # whose frames importlib's do not count among
        module = importlib.import_module(name)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to execute; the import system has put the spec of the alias where the module's own was."""
        spec = module.__spec__
        if spec is not None and spec.loader == self:  # type: ignore[comparison-overlap]  # no heir of the ABC
            module.__spec__ = spec.loader_state


def _exists(name: str) -> bool:
    """Whether there is a module of this name."""
    import importlib.util

    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what it would be part of is no package
        return False
