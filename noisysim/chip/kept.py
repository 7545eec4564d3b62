"""Chips that are kept: copied, pickled, saved to a file and loaded again, and put under other conditions."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import noisysim.devices as devices
from noisysim.chip import checkpoint, conditions, given_weights, origin, storage
from noisysim.chip.origin import ActivationSpec, Origin
from noisysim.chip.state import State
from noisysim.common.fields import check, check_switch
from noisysim.common.limits import SEED
from noisysim.common.texts import one_line
from noisysim.common.types import Array
from noisysim.compute import backends
from noisysim.devices.contract import Device, DeviceSpec

C = TypeVar("C", bound="Kept")


class Kept:
    """The part of a `noisysim.Chip` by which it outlives its maker."""

    device: Device
    _hidden: State
    _origin: Origin

    def copy(self: C, *, fork: int | None = None) -> C:
        """The same chip once more: the same cells, and the same noise from here on, to the bit.

        ``copy.copy``, ``copy.deepcopy`` and ``pickle`` do the same.

        Parameters
        ----------
        fork : int, optional
            Seed of other noise: of reads, of writes and of dropout. Copies with the same number are alike; cells and
            their fabrication stay what they are.
        """
        return made_again(type(self), self._origin, self._arrays(), fork)

    def save(
        self, path: str | os.PathLike[str], *, overwrite: bool = False, beside: Mapping[str, str] | None = None
    ) -> None:
        """Write the chip to an HDF5 file, from which `load` makes it again, in one step.

        Parameters
        ----------
        path : path
            Its name ends in ``.h5`` or ``.hdf5``.
        overwrite : bool
            Replace an existing file.
        beside : mapping, optional
            Texts by name that the file is to hold as well.

        Raises
        ------
        ValueError, FileExistsError, OSError
            If the name ends otherwise, or there is a file, or it cannot be written.
        """
        check_switch("overwrite", overwrite)
        storage.write(path, self._origin.plain(), self._arrays(), overwrite, beside or {})

    @classmethod
    def load(
        cls: type[C],
        path: str | os.PathLike[str],
        *,
        device: DeviceSpec | None = None,
        activation: ActivationSpec | None = None,
        backend: str | None = None,
        oracle: bool | None = None,
        fork: int | None = None,
    ) -> C:
        """The chip that a file holds: the same cells and, on the same backend, the same noise from there on.

        Parameters
        ----------
        path : path
            What `save` wrote.
        device : path or device
            Where the chip's device file is now, if it was moved; or the device, if it was made in a script or a
            notebook. It must be the same to the byte; its numbers are the chip's.
        activation : path or activation
            Likewise the network's activation function. Files that layers name have to be where they were.
        backend : {"cpu", "cuda", "cuda:tf32", "auto"}
            Where to simulate it. Default: where it was.
        oracle : bool
            Grant oracle access. Default: as the chip had it.
        fork : int
            Seed of other noise (`copy`).

        Raises
        ------
        FileNotFoundError, ValueError
            If there is no such file, or it holds no whole chip, or a part of it is not the recorded one.
        """
        record, arrays = storage.read(path)
        known = tuple(inspect.signature(cls).parameters)
        place = None if backend is None else backends.resolve(backend)
        found = origin.recorded(record, known, device, activation)
        changed = found.changed(backend=place, oracle=check_switch("oracle", oracle, None))
        return made_again(cls, changed, arrays, fork, f"{path} holds no whole chip: ")

    def with_device(self: C, **fields: Any) -> C:
        """The same cells under other conditions: other noise of reads, converters, times or temperature.

        What the device's hooks make of a cell with age, and the variances of its reads, is computed anew as if the
        conditions had held since the cells were written. Converters that calibrate themselves keep their ranges, unless
        a field of a converter changes: then they calibrate themselves in the next pass. Noise goes on where it is.

        Parameters
        ----------
        **fields
            Fields of the device, such as ``read_noise=0.05``.

        Raises
        ------
        ValueError
            For a field that says what the cells are or how they were written, such as their range, faults, or spreads
            of fabrication, with those that may change; and for what `noisysim.devices.get` refuses.

        Examples
        --------
        >>> import noisysim
        >>> chip = noisysim.Chip([64, 10], "crossbar", seed=1)
        >>> chip.with_device(read_noise=0.05).device.read_noise
        0.05
        >>> chip.with_device(g_max=30)
        Traceback (most recent call last):
        ValueError: crossbar.g_max says what the cells are or how they were written, which no other ...
        """
        conditions.check(self.device, fields)
        device = devices.get(self.device, **fields)
        differ = [name for name, value in device._asdict().items() if value != getattr(self.device, name)]
        conditions.check(self.device, differ)  # a device may fill in some of its fields by others
        if not differ:
            return self.copy()
        chip = blank(type(self), self._origin.on(device))
        conditions.carry_over(self._hidden, chip._hidden, differ)
        return chip

    def __copy__(self: C) -> C:
        return self.copy()

    def __deepcopy__(self: C, memo: Mapping[int, Any]) -> C:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (type(self), self._origin, self._arrays())

    def _arrays(self) -> dict[str, Array]:
        """The whole state, of each chip what it has done as well."""
        return {**checkpoint.save(self._hidden), "done_by_chip": self._hidden.meter.counts}


def blank(cls: Callable[..., C], found: Origin) -> C:
    """A chip of this origin with the cells as they are first written."""
    arguments = {**found.arguments, "init": given_weights.recorded(found.arguments["init"])}
    chip = cls(**arguments, device=found.device, activation=found.activation)
    chip._origin = found
    if found.forks:
        chip._hidden.fork(found.seed, found.forks)
    return chip


def made_again(
    cls: Callable[..., C], found: Origin, arrays: Mapping[str, Array], fork: int | None = None, refusal: str = ""
) -> C:
    """A chip of this origin and state, perhaps with other noise; what does not fit is an error that begins so."""
    if fork is not None:
        found = found.forked(check("", "fork", fork, SEED))
    chip = blank(cls, found)
    try:
        checkpoint.load(chip._hidden, arrays)
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{refusal}{one_line(error)}") from None
    if "done_by_chip" in arrays:
        chip._hidden.meter.set_counts(chip._hidden.meter.cost, arrays["done_by_chip"])
    return chip
