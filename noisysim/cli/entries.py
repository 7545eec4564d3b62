"""What lists say of a part: what it is, and its settings, with values where a spec or a preset sets some."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from noisysim import devices
from noisysim.common.fields import Field, check_settings
from noisysim.common.registry import Registry


class Setting(NamedTuple):
    """A setting of a part.

    Attributes
    ----------
    name : str
    value, default : object
        The same where nothing sets it.
    field : Field
    """

    name: str
    value: Any
    default: Any
    field: Field

    @property
    def allowed(self) -> str:
        """The values that it may have, in words."""
        return "True or False" if isinstance(self.default, bool) else self.field.range

    def plain(self) -> dict[str, Any]:
        """For JSON; a bound that there is not is null."""
        low, high = (bound if math.isfinite(bound) else None for bound in (self.field.low, self.field.high))
        return {
            "name": self.name, "value": self.value, "default": self.default, "unit": self.field.unit, "low": low,
            "high": high, "choices": self.field.choices, "allowed": self.allowed, "meaning": self.field.doc,
        }  # fmt: skip


class Entry(NamedTuple):
    """A part in a list.

    Attributes
    ----------
    name : str
        As it was asked for.
    summary, text : str
        One line on it, and all that is said of it.
    settings : list of Setting
    is_set : bool
        Whether the spec, or a preset, sets some.
    preset : Preset or None
    """

    name: str
    summary: str
    text: str
    settings: list[Setting]
    is_set: bool
    preset: devices.presets.Preset | None

    @property
    def changed(self) -> list[Setting]:
        """The settings that are not at their defaults."""
        return [one for one in self.settings if one.value != one.default]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        described = {
            "name": self.name, "summary": self.summary, "text": self.text,
            "fields": [one.plain() for one in self.settings],
        }  # fmt: skip
        if self.preset is None:
            return described
        model, source, figure, note = self.preset.model, self.preset.source, self.preset.figure, self.preset.note
        return {**described, "device": model, "source": source, "figure": figure, "note": note}


def entry(registry: Registry[Any, Any], spec: str) -> Entry:
    """A part by its name or file, with settings, which are checked.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If there is none, or a setting is wrong.
    """
    name, given = registry.parse(spec, {})
    preset = devices.presets.find(spec.partition(":")[0]) if registry is devices.REGISTRY else None
    definition, defaults, fields = registry.definition(name), registry.defaults(name), registry.fields(name)
    values: Mapping[str, Any] = check_settings(f"{registry.kind} {name!r}", given, fields, defaults)
    documented = registry.documentation(name) if isinstance(definition, type) else registry.about(name)
    text = documented.partition("\n\nParameters\n")[0]  # a table has these
    settings = [Setting(one, values.get(one, defaults[one]), defaults[one], field) for one, field in fields.items()]
    return Entry(spec, registry.about(name) if preset is None else preset.about, text, settings, bool(given), preset)


def overview(registry: Registry[Any, Any], name: str) -> Entry:
    """An entry of a list of all: of a third party's part that cannot be loaded, why, and no settings."""
    try:
        return entry(registry, name)
    except Exception:  # the others are listed all the same
        return Entry(name, registry.about(name), "", [], False, None)
