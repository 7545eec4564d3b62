"""What the arrays of a device cannot be: fields and hooks that contradict each other."""

from __future__ import annotations

import noisysim.devices as devices
from noisysim.chip import ageing
from noisysim.devices import controllers
from noisysim.devices.contract import Device
from noisysim.devices.resolved import DeviceNumbers
from noisysim.networks.tiling import Network

CELL_HOOKS = frozenset({"program", "pulse", "appear", "drift", "cell_std", "jump", "read_cell"})
"""Hooks that are about cells: a device without any has weights that are exactly what was asked for."""


def check(net: Network, device: Device, numbers: DeviceNumbers, own: frozenset[str]) -> None:
    """Refuse a device whose fields and hooks contradict each other."""
    name = devices.name_of(device)
    if own & CELL_HOOKS:
        _check_controller(name, device, numbers, own)
    if net.slices > 1 and not own & CELL_HOOKS:
        raise ValueError(f"device {name!r} has slices={net.slices}, but no hook about cells to write them by")
    if net.slices > 1 and not numbers.paired:
        raise ValueError(f"device {name!r} has slices={net.slices}, which need cells_per_weight=2")
    if net.slices > 1 and net.slices * net.slice_bits > 20:
        raise ValueError(
            f"device {name!r}: slices x slice_bits may be 20 bits at most, not {net.slices * net.slice_bits}"
        )
    if numbers.wire_resistance and "read_cell" in own:
        raise ValueError(
            f"device {name!r} has wire_resistance, which acts on whole arrays, and reads every cell by itself "
            "(read_cell): set one of the two off"
        )
    if numbers.wire_resistance and numbers.nodal:
        from noisysim.devices.physics.wires import LARGEST  # SciPy's solvers take a while to import

        largest = max(
            (d - c) * (b - a) for i in range(net.depth) for a, b in net.row_tiles(i) for c, d in net.column_tiles(i)
        )
        if largest > LARGEST:
            raise ValueError(
                f"device {name!r} has nodal=1: arrays of {largest} cells take too long to solve (at most "
                f"{LARGEST}); make tile_rows smaller, or set nodal=0"
            )


def _check_controller(name: str, device: Device, numbers: DeviceNumbers, own: frozenset[str]) -> None:
    """Refuse a controller that cannot write cells of the device's kind."""
    pulsed = "pulse" in own
    controllers.check(name, numbers, pulsed)
    controller = controllers.controller_of(numbers, pulsed)
    where = f"device {name!r} has controller={controller!r}"
    if "appear" in own and not pulsed and controller != "copy":
        raise ValueError(
            f"{where}, which goes by what cells hold, and they show something else (hook appear): use "
            "controller='copy', or switch appear off"
        )
    if controller not in controllers.TO_A_GOAL and not pulsed and ageing.acts_at_once(device):
        raise ValueError(
            f"{where}, which moves cells from where they are, and time acts on them at once, such as another "
            "temperature: what a cell was written as is not known then; use controller='copy' or 'read_modify_write'"
        )
    if controller in controllers.TRANSFERS and "read_cell" in own:
        raise ValueError(
            f"{where}, which reads columns of a second array at once, and the device reads every cell by itself (hook "
            "read_cell): use another controller"
        )
