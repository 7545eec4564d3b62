"""The numbers of a device that the chip, its periphery and its write controller read, resolved once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from noisysim.devices.contract import Device


@dataclass(frozen=True)
class DeviceNumbers:
    """What a device states, and for what it does not state the value that has no effect.

    Fields are named as in `noisysim.devices.field_groups`, which says more on each.

    Attributes
    ----------
    dac_bits, adc_bits : int
        Resolution of the converters, bits. Default: 0, ideal.
    dac_range : float
        Full scale of the DAC, input units. Default: 0, each vector has its own.
    adc_range : float
        Full scale of the ADC, pre-activation units. Default: 0, none, or calibrated (`calibrates`).
    calibrates : bool
        Whether the ADC's range is stated as 0: then it is calibrated for each tile, and follows what is read.
    weight_range : float
        Weight of the full span times sqrt(inputs). Default: 8.
    weight_bound : float
        Weight of the full span. Default: 0, as `weight_range` says.
    paired : bool
        Whether a weight is a pair of cells (``cells_per_weight``). Default: True.
    slices, slice_bits : int
        Arrays that share a weight's bits, and bits of one. Default: 1 and 4.
    tile_rows, tile_columns : int
        Most inputs and outputs of one array. Default: 0, any.
    wire_resistance : float
        Of a wire between two neighbouring cells, Ohm. Default: 0.
    nodal : bool
        Whether arrays with wires are solved node by node. Default: False.
    stuck_low, stuck_high, stuck_random, dead_rows, dead_columns : float
        Shares of the cells and of the lines that do not work. Default: 0.
    max_cycles, max_cycles_spread : float
        Updates that write a cell before it is stuck, on average, and how cells differ in it. Default: 0, endless.
    read_time : float
        Duration of one array's product, s. Default: 0.
    write_time, verify_time : float
        Duration of a write, a pulse or a slot, and of a controller's read of a cell, s. Default: 0.
    write_parallel : int
        Cells that are written or read by controllers at once. Default: 1.
    compensated : bool
        Whether the periphery makes up for drift (``compensation``). Default: False.
    drift_start : float
        When drift starts, s after the write. Default, and for 0: 1.
    g_min, g_max : float
        Lowest and highest conductance of a cell, µS. Default: 0 and 1.
    pulse_step : float
        Change of a pulse, share of g_max - g_min; 0: pulses of any size. Default: 0.001.
    pulse_limit : int
        Most pulses of a cell in one update. Default: 31.
    in_array : bool
        Whether pulse trains on rows and columns update cells (``update="pulse_trains"``). Default: False.
    pulse_slots : int
        Most slots of a pulse train. Default: 31.
    update_management, update_bl_management : bool
        Whether trains on rows and columns are equally dense, and no longer than they have to be. Default: True.
    verify_pulses : int
        Most pulses of a closed-loop write. Default: 0, open loop.
    verify_tolerance : float
        Miss at which a closed-loop write stops, share of g_max - g_min. Default: 0.01.
    refresh_at : float
        Where both cells of a pair are written anew, share of g_max - g_min. Default: 0.9.
    controller : str
        How changes of weights are written (`noisysim.devices.controllers`). Default: "auto".
    target_bits : int
        Bits of a target that a controller keeps. Default: 0, float32.
    write_step : float
        Least change that a controller without targets asks of a cell that takes no pulses, share of g_max - g_min.
        Default: 0, as `least_change` says.
    transfer_every, transfer_columns : int
        Updates between two transfers of a controller with a second array, and columns read in one. Default: 1 and 8.
    transfer_rate : float
        By which share of the second array the weights move in an update, on average. Default: 0.002.
    transfer_gain : float
        Of the changes asked for what the weights get on average; 0: by `transfer_rate`. Default: 0.
    fast_pulses : float
        Pulses that a layer's largest change gives a cell of the second array, in the running mean; 0: as asked for.
        Default: 0.
    slow_pulses : float
        The same of the weights' cells, at most; 0: as many as asked for. Default: 0.
    transfer_gamma : float
        What the second array counts for in the weights. Default: 0.
    chop_rate : float
        Of the reads of a column those after which its sign turns. Default: 0.1.
    zero_shift_pulses : int
        Pairs of pulses that bring the second array to its symmetric point. Default: 0.
    level_count : float
        Conductances that a cell can be written to (``levels``). Default: 0, any.
    line_deviation : float
        Noise of a line's read, share of the ADC's full scale (``line_noise``). Default: 0.
    perturbation_bits : int
        Resolution of the DACs that add perturbations at lines. Default: 0, ideal.
    perturbation_range : float
        Their full scale, pre-activation units. Default: 0, each vector has its own.
    perturbation_gain_error : float
        Spread of their gains from line to line. Default: 0.
    perturbation_noise : float
        Their noise, share of full scale. Default: 0.
    """

    dac_bits: int = 0
    dac_range: float = 0.0
    adc_bits: int = 0
    adc_range: float = 0.0
    calibrates: bool = False
    weight_range: float = 8.0
    weight_bound: float = 0.0
    paired: bool = True
    slices: int = 1
    slice_bits: int = 4
    tile_rows: int = 0
    tile_columns: int = 0
    wire_resistance: float = 0.0
    nodal: bool = False
    stuck_low: float = 0.0
    stuck_high: float = 0.0
    stuck_random: float = 0.0
    dead_rows: float = 0.0
    dead_columns: float = 0.0
    max_cycles: float = 0.0
    max_cycles_spread: float = 0.0
    read_time: float = 0.0
    write_time: float = 0.0
    verify_time: float = 0.0
    write_parallel: int = 1
    compensated: bool = False
    drift_start: float = 1.0
    g_min: float = 0.0
    g_max: float = 1.0
    pulse_step: float = 1e-3
    pulse_limit: int = 31
    in_array: bool = False
    pulse_slots: int = 31
    update_management: bool = True
    update_bl_management: bool = True
    verify_pulses: int = 0
    verify_tolerance: float = 0.01
    refresh_at: float = 0.9
    controller: str = "auto"
    target_bits: int = 0
    write_step: float = 0.0
    transfer_every: int = 1
    transfer_columns: int = 8
    transfer_rate: float = 0.002
    transfer_gain: float = 0.0
    fast_pulses: float = 0.0
    slow_pulses: float = 0.0
    transfer_gamma: float = 0.0
    chop_rate: float = 0.1
    zero_shift_pulses: int = 0
    level_count: float = 0.0
    line_deviation: float = 0.0
    perturbation_bits: int = 0
    perturbation_range: float = 0.0
    perturbation_gain_error: float = 0.0
    perturbation_noise: float = 0.0

    @property
    def span(self) -> float:
        """How far the highest conductance of a cell lies above the lowest, µS."""
        return self.g_max - self.g_min

    @property
    def verified(self) -> bool:
        """Whether pulses are given in a closed loop."""
        return self.verify_pulses > 0

    @property
    def writes_take_time(self) -> bool:
        """Whether the chip's clock moves while cells are written."""
        return self.write_time > 0 or self.verify_time > 0

    @property
    def perturbs_exactly(self) -> bool:
        """Whether perturbations of lines are what a drive asks for."""
        errors = self.perturbation_gain_error, self.perturbation_noise
        return not any((self.perturbation_bits, self.perturbation_range, *errors))

    @property
    def stuck(self) -> tuple[float, float, float]:
        """Shares of the cells stuck at the lowest conductance, at the highest, and anywhere between."""
        return self.stuck_low, self.stuck_high, self.stuck_random

    @property
    def faulty(self) -> bool:
        """Whether some cells or lines do not work, or will not one day."""
        return any((*self.stuck, self.dead_rows, self.dead_columns, self.max_cycles))

    @property
    def least_change(self) -> float:
        """`write_step`; if it is not set, what levels or a verified write tell apart; share of g_max - g_min."""
        if self.write_step or self.verified:
            return self.write_step or 2 * self.verify_tolerance
        return 1 / (self.level_count - 1 if self.level_count > 1 else 255)

    @property
    def read_quantum(self) -> float:
        """Step of the ADC that a controller reads a cell by, share of g_max - g_min; 0 without a resolution."""
        return 1 / (2**self.adc_bits - 1) if self.adc_bits else 0.0

    def full_span_weight(self, inputs: int) -> float:
        """The weight that the full span stands for, in an array of this many inputs."""
        return self.weight_bound or self.weight_range / math.sqrt(inputs)


def resolve(device: Device) -> DeviceNumbers:
    """The numbers of a device, from those of its fields that the chip knows by name."""
    stated, usual = device._asdict(), asdict(DeviceNumbers())
    numbers: dict[str, Any] = {name: type(value)(stated[name]) for name, value in usual.items() if name in stated}
    return DeviceNumbers(
        **{
            **numbers,
            "calibrates": stated.get("adc_range") == 0,
            "paired": stated.get("cells_per_weight", 2) != 1,
            "compensated": stated.get("compensation", 0) == 1,
            "in_array": stated.get("update", "net") == "pulse_trains",
            "drift_start": numbers.get("drift_start") or 1.0,
            "level_count": float(stated.get("levels", 0.0)),
            "line_deviation": float(stated.get("line_noise", 0.0)),
        }
    )
