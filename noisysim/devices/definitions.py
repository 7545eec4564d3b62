"""What a device is: one NamedTuple class of a module, beside functions of which some are hooks.

A user's device is a file; a third party's an entry point of the group ``noisysim.devices``; or it is a class of any
module that Python has, a script or a notebook among them. Each gets the same checks, and its source is kept for the
record.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import types
from collections.abc import Mapping
from typing import Any, cast

from noisysim.common import user_files
from noisysim.common.fields import Field, check, check_names, declared
from noisysim.common.plain_functions import sources
from noisysim.common.texts import documentation
from noisysim.common.user_files import Origin, UserError, compare_hash, line_of_class
from noisysim.devices import behaviour
from noisysim.devices.contract import Device
from noisysim.devices.files import PARAMETERS, DeviceError, check_class, check_spelling, examine


class DeviceForm:
    """The form of devices (`noisysim.common.registry.Form`)."""

    error: type[UserError] = DeviceError
    noun, nouns = "NamedTuple class", "NamedTuple classes"
    example = "class MyChip(NamedTuple) with its numbers"

    def defined(self, module: types.ModuleType) -> dict[str, type[Device]]:
        """The NamedTuple classes that a module itself defines."""
        return {
            name: value for name, value in vars(module).items()
            if not name.startswith("_") and isinstance(value, type) and self.definition(value)
            and value.__module__ == module.__name__
        }  # fmt: skip

    def definition(self, value: object) -> type[Device] | None:
        """A NamedTuple class itself, or that of an instance."""
        cls = value if isinstance(value, type) else type(value)
        return cast("type[Device]", cls) if issubclass(cls, tuple) and hasattr(cls, "_fields") else None

    def lacking(self, value: object) -> str:
        """Of an object whose class stands beside hooks, what this class is not."""
        cls = type(value)
        beside = vars(sys.modules.get(cls.__module__, types))
        if not any(isinstance(beside.get(hook), types.FunctionType) for hook in PARAMETERS):
            return ""
        return f"write class {cls.__name__}(NamedTuple)"

    def module(self, definition: type[Device]) -> str:
        """Where a class is written."""
        return str(definition.__module__)

    def name(self, definition: type[Device]) -> str:
        """The name of the module of a class."""
        return self.module(definition).rpartition(".")[2]

    def about(self, definition: type[Device]) -> str:
        """A class's docstring."""
        return documentation(definition)

    def fields(self, definition: type[Device]) -> Mapping[str, Field]:
        """What its fields declare."""
        return declared(definition)

    def defaults(self, definition: type[Device]) -> Mapping[str, Any]:
        """What its fields are unless they are set."""
        return behaviour.defaults(definition)

    def make(
        self, definition: type[Device], origin: Origin | None, settings: Mapping[str, Any], part: Device | None
    ) -> Device:
        """A device with these settings, all of them checked, each alone and together."""
        specs, title = declared(definition), self.name(definition) if origin is None else origin.title
        settings = dict(settings)
        recorded = {name: settings.pop(f"{name}_sha256", None) for name, spec in specs.items() if spec.file}
        check_names(f"device {title!r}", settings, specs)
        device: Device = definition(**settings) if part is None else part._replace(**settings)
        checked = {name: check(title, name, getattr(device, name), spec) for name, spec in specs.items()}
        device = behaviour.completed(device._replace(**checked) if checked else device)
        for name, sha256 in behaviour.data_hashes(device, title).items():
            compare_hash(f"{title}.{name}: {getattr(device, name)!r}", sha256, recorded[name])
        behaviour.check_together(device, title, origin is not None)
        return device

    def values(self, part: Device) -> dict[str, Any]:
        """The fields of a device, and the hashes of the files that some of them name."""
        return {**part._asdict(), **{f"{name}_sha256": sha256 for name, sha256 in behaviour.data_hashes(part).items()}}

    def identity(self, part: Device) -> dict[str, Any]:
        """Nothing: a device has a source, whose hash tells it apart."""
        return {}

    def origin(self, definition: type[Device]) -> Origin | None:
        """The module of a class; of one of a script or a notebook its hooks as they are by now."""
        module = sys.modules.get(definition.__module__)
        if module is None:
            name = definition.__name__
            raise DeviceError(f"the module of device {name} is gone: put the device into a file of its own")
        if definition.__module__ != "__main__":
            return _origin_of_class(definition)
        hooks = [vars(module)[hook] for hook in PARAMETERS if isinstance(vars(module).get(hook), types.FunctionType)]
        defaults = definition._field_defaults  # type: ignore[attr-defined]
        text = "\n".join([f"{definition.__qualname__}{defaults}", *map(sources, hooks)])
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        return Origin(f"__main__.{definition.__qualname__}", definition.__name__, text, sha256)

    def part_type(self, definition: type[Device]) -> type:
        """The class."""
        return definition

    def examine(self, definition: type[Device], module: types.ModuleType | None, text: str, path: str) -> None:
        """Refuse a misspelt hook, fields without a usable default, and declarations that point nowhere."""
        if module is None:
            check_class(definition, lambda cls, field="": f"{cls.__module__}.{cls.__name__}")
        else:
            check_spelling(module, text, path)
            check_class(definition, functools.partial(line_of_class, text, path))
        examine(definition)


@functools.cache  # by class: a module that is loaded anew has another one
def _origin_of_class(cls: type[Device]) -> Origin:
    return user_files.origin_of("device", sys.modules[cls.__module__], DeviceError)
