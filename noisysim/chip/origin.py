"""What a chip was made from: the arguments that, with its state, are all there is to know of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import noisysim.devices as devices
from noisysim.chip import weight_sources
from noisysim.common import identity
from noisysim.common.fields import as_list, check_names, shown
from noisysim.common.recorded_files import check_hash, strings_of_layer
from noisysim.compute.seeding import Seeds
from noisysim.devices.contract import Device, DeviceSpec
from noisysim.networks import activations
from noisysim.networks import layers as kinds
from noisysim.networks.activations import Activation
from noisysim.networks.architecture import Architecture

ActivationSpec: TypeAlias = "str | os.PathLike[str] | Activation"
"""What `noisysim.networks.activations.get` takes."""
PARTS = ("device", "activation")
"""Arguments of a chip that are no plain values."""


@dataclass(frozen=True)
class Origin:
    """Arguments of `noisysim.Chip`, and what the chip's noise was forked by.

    Attributes
    ----------
    arguments : dict
        Those that are plain values, by name; layers as numbers and texts.
    device : Device
    activation : Activation
    foreign : list of dict
        Records of the network's activation functions that are not the package's own.
    forks : tuple of int
        Numbers that the chip's noise was forked by, one after another.
    """

    arguments: dict[str, Any]
    device: Device
    activation: Activation
    foreign: list[dict[str, Any]]
    forks: tuple[int, ...] = ()

    @property
    def seed(self) -> Seeds:
        """Of fabrication and noise."""
        seed = self.arguments["seed"]
        return tuple(seed) if isinstance(seed, list) else int(seed) if isinstance(seed, int) else seed

    def changed(self, **arguments: Any) -> Origin:
        """The same with other plain arguments; ``None`` leaves one as it is."""
        given = {name: value for name, value in arguments.items() if value is not None}
        return replace(self, arguments={**self.arguments, **given})

    def on(self, device: Device) -> Origin:
        """The same on another device."""
        return replace(self, device=device)

    def forked(self, number: int) -> Origin:
        """The same with the noise forked once more."""
        return replace(self, forks=(*self.forks, number))

    def plain(self) -> dict[str, Any]:
        """All of it as JSON-able values, which `recorded` reads again."""
        seed = self.seed
        return {
            **self.arguments,
            "seed": seed if isinstance(seed, int) else list(seed),
            "device": devices.describe(self.device),
            "activation": activations.REGISTRY.text(self.activation),
            "activations": self.foreign,
            "forks": list(self.forks),
        }


def made(arguments: Mapping[str, Any], device: Device, net: Architecture) -> Origin:
    """The origin of a chip with this network that was just made from these arguments, as they were given."""
    first, *rest = as_list(arguments["layers"])
    first = as_list(first)
    layers = [list(first) if isinstance(first, tuple) else first, *kinds.plain([kinds.layer(one) for one in rest])]
    others = {name: value for name, value in arguments.items() if name not in (*PARTS, "self")}
    activation = activations.get(arguments["activation"])
    return Origin({**others, "layers": layers}, device, activation, activations.foreign((activation, *net.kinds)))


def check(record: Mapping[str, Any]) -> None:
    """Refuse a record that names a Python file without its hash, or is none."""
    for name in ("layers", "device", "activation", "activations", "forks", "seed", "backend", "chips", "init"):
        if name not in record:
            raise ValueError(f"it does not say its {name!r}")
    if isinstance(record["init"], dict):
        weight_sources.check_record(record["init"])
    own = {one["name"]: one for one in record["activations"]}
    check_hash("device", record["device"]["name"], record["device"])
    texts = [text for layer in record["layers"] if isinstance(layer, str) for text in strings_of_layer(layer)]
    for text in (record["activation"], *texts):
        check_hash("activation", text, own.get(text, {}))


def recorded(
    record: Mapping[str, Any], known: tuple[str, ...], device: DeviceSpec | None, activation: ActivationSpec | None
) -> Origin:
    """The origin that a record tells of, its parts found by their names, or given again.

    Parameters
    ----------
    record : mapping
        What `Origin.plain` gives.
    known : tuple of str
        Arguments of a chip: others are refused.
    device : device, optional
        Where the recorded device file is now, or the device, if it was made in a script: it must be the recorded one.
    activation : activation, optional
        Likewise the network's activation function.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For a part that is not found, or not the recorded one.
    """
    own = {one["name"]: one for one in record["activations"]}
    chosen = record["activation"]
    for name, one in own.items():
        if name != chosen or activation is None:
            activations.get(one)
    found = devices.get(record["device"]) if device is None else devices.get_recorded(record["device"], device)
    kind = activations.get(own.get(chosen, chosen)) if activation is None else _same(own, chosen, activation)
    arguments = {name: value for name, value in record.items() if name not in (*PARTS, "activations", "forks")}
    check_names("chip", arguments, known)
    return Origin(arguments, found, kind, list(own.values()), tuple(record["forks"]))


def _same(own: Mapping[str, Mapping[str, Any]], name: str, given: ActivationSpec) -> Activation:
    """An activation function that was given again, refused if it is not the recorded one."""
    record = own.get(name, {"name": name})
    place = os.fspath(given) if isinstance(given, os.PathLike) else given
    if isinstance(place, str) and place.endswith(".py") and "sha256" in record:
        return activations.get({"name": place, "sha256": record["sha256"]})  # another file is not executed
    activation = activations.get(place)
    asked, code = identity.differences(record, activations.REGISTRY.describe(activation))
    if asked or code:
        raise ValueError(
            f"the chip's activation is {shown(name)}, another one than given: {', '.join([*asked, *code])}"
        )
    return activation
