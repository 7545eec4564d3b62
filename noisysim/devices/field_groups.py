"""Fields that devices share, in groups: what the chip, the periphery or the write controller reads by name.

A device inherits the groups it has, and may give their fields other defaults::

    @device_fields
    class MyChip(Converters, Array):
        g_max: Annotated[float, Field("µS", 1e-6, 1e6, "highest conductance of a cell")] = 25.0
        adc_bits = 6

A field that the device declares itself takes the place of the one of the same name in a group.
"""

from typing import Annotated

from noisysim.common.fields import Field, Spread
from noisysim.devices.controllers import CHOICES
from noisysim.devices.field_classes import FieldGroup as FieldGroup
from noisysim.devices.field_classes import check_span as check_span
from noisysim.devices.field_classes import device_fields as device_fields
from noisysim.devices.field_classes import with_parts as with_parts


def _switch(doc: str, condition: bool = False) -> Field:
    """A number that switches something on."""
    return Field("0 or 1", 0, 1, doc, whole=True, condition=condition)


@device_fields
class Converters(FieldGroup):
    """Data converters at both ends of the lines, and the lines' own noise."""

    dac_bits: Annotated[
        int, Field("bits", 2, 24, "resolution of the input converters", off=0, whole=True, condition=True)
    ] = 8
    dac_range: Annotated[
        float, Field("input units", 0, doc="full scale of the DAC; 0 scales each vector to its own", condition=True)
    ] = 0.0
    dac_gain: Annotated[
        float,
        Field(
            "relative", -0.5, 0.5, "gain error of a DAC", spread=Spread("dac_gain_spread", "absolute", "row"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    dac_gain_spread: Annotated[float, Field("relative", 0, 0.5, "std of the DACs' gain errors")] = 0.0
    dac_offset: Annotated[
        float,
        Field(
            "of full scale", -0.5, 0.5, "offset of a DAC", spread=Spread("dac_offset_spread", "absolute", "row"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    dac_offset_spread: Annotated[float, Field("of full scale", 0, 0.5, "std of the DACs' offsets")] = 0.0
    dac_curve: Annotated[
        float,
        Field(
            "", 0, 1e3, "compression n of a DAC, v / (1 + n |v|)", spread=Spread("dac_curve_spread", of="row"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    dac_curve_spread: Annotated[float, Field("relative", 0, 10, "std of the DACs' compressions")] = 0.0
    adc_bits: Annotated[
        int, Field("bits", 2, 24, "resolution of the output converters", off=0, whole=True, condition=True)
    ] = 8
    adc_range: Annotated[
        float,
        Field(
            "pre-activation units", 0, doc="full scale of the ADC; 0 calibrates each tile and follows it",
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    adc_gain: Annotated[
        float,
        Field(
            "relative", -0.5, 0.5, "gain error of an ADC", spread=Spread("adc_gain_spread", "absolute", "column"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    adc_gain_spread: Annotated[float, Field("relative", 0, 0.5, "std of the ADCs' gain errors")] = 0.0
    adc_offset: Annotated[
        float,
        Field(
            "of full scale", -0.5, 0.5, "offset of an ADC", spread=Spread("adc_offset_spread", "absolute", "column"),
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    adc_offset_spread: Annotated[float, Field("of full scale", 0, 0.5, "std of the ADCs' offsets")] = 0.0
    adc_curve: Annotated[
        float,
        Field(
            "", 0, 1e3, "compression n of an ADC, y / (1 + n |y|), y of full scale",
            spread=Spread("adc_curve_spread", of="column"), condition=True,
        ),
    ] = 0.0  # fmt: skip
    adc_curve_spread: Annotated[float, Field("relative", 0, 10, "std of the ADCs' compressions")] = 0.0
    line_noise: Annotated[
        float, Field("share of the ADC's full scale", 0, 1, "std of the noise on a line", noise="read")
    ] = 0.01
    perturbation_bits: Annotated[
        int,
        Field(
            "bits", 2, 24, "resolution of the DACs that add perturbations at lines", off=0, whole=True, condition=True
        ),
    ] = 0  # fmt: skip
    perturbation_range: Annotated[
        float,
        Field(
            "pre-activation units", 0, doc="full scale of these; 0 scales each vector of perturbations to its own",
            condition=True,
        ),
    ] = 0.0  # fmt: skip
    perturbation_gain_error: Annotated[
        float, Field("relative", 0, 0.5, "std of their gain errors, from line to line; fixed for a chip")
    ] = 0.0
    perturbation_noise: Annotated[
        float, Field("share of their full scale", 0, 1, "std of the noise that they add", condition=True)
    ] = 0.0


@device_fields
class Array(FieldGroup):
    """How weights are stored in cells, and cells placed in arrays; the wires between them."""

    weight_range: Annotated[
        float, Field("1 / sqrt(inputs)", 1e-3, 1e3, "weight that the full span stands for, times sqrt(inputs)")
    ] = 8.0
    weight_bound: Annotated[
        float, Field("weight", 0, 1e6, "weight that the full span stands for; 0: as weight_range says")
    ] = 0.0
    cells_per_weight: Annotated[
        float, Field("cells", 1, 2, "2: g+ - g-, a differential pair; 1: g - (g_min + g_max) / 2", whole=True)
    ] = 2
    slices: Annotated[float, Field("slices", 1, 8, "arrays that share a weight, each read by itself", whole=True)] = 1
    slice_bits: Annotated[
        float,
        Field(
            "bits", 1, 8, "bits of a weight's magnitude in one of several slices; 0: each holds all of it, their mean "
            "counts", off=0, whole=True,
        ),
    ] = 4  # fmt: skip
    tile_rows: Annotated[int, Field("cells", 1, 1e6, "most inputs of one array; 0 is any", off=0, whole=True)] = 0
    tile_columns: Annotated[int, Field("cells", 1, 1e6, "most outputs of one array; 0 is any", off=0, whole=True)] = 0
    wire_resistance: Annotated[float, Field("Ohm", 0, 1e6, "of a wire between two neighbouring cells")] = 0.0
    nodal: Annotated[float, _switch("1 solves every node of an array with wires exactly; for small arrays")] = 0


@device_fields
class Faults(FieldGroup):
    """Cells and lines that do not work, drawn at fabrication; and cells that wear out."""

    stuck_low: Annotated[float, Field("share of the cells", 0, 1, "cells stuck at g_min")] = 0.0
    stuck_high: Annotated[float, Field("share of the cells", 0, 1, "cells stuck at g_max")] = 0.0
    stuck_random: Annotated[float, Field("share of the cells", 0, 1, "cells stuck anywhere between the two")] = 0.0
    dead_rows: Annotated[float, Field("share of the rows", 0, 1, "input lines that are cut")] = 0.0
    dead_columns: Annotated[float, Field("share of the columns", 0, 1, "output lines that are cut")] = 0.0
    max_cycles: Annotated[
        float, Field("writes", 1, 1e15, "updates that write a cell before it is stuck, on average; 0: endless", off=0)
    ] = 0.0
    max_cycles_spread: Annotated[float, Field("relative", 0, 3, "of the cells' endurance, of its logarithm")] = 0.0


@device_fields
class Clock(FieldGroup):
    """What takes time, and whether the periphery compensates for drift."""

    read_time: Annotated[float, Field("s", 0, 1, "duration of one array's product", condition=True)] = 1e-7
    write_time: Annotated[
        float, Field("s", 0, 1, "duration of a write of a cell, of one pulse or of one slot of a train", condition=True)
    ] = 0.0
    verify_time: Annotated[
        float,
        Field(
            "s", 0, 1, "duration of a read of a cell by its write controller, to verify or modify it", condition=True
        ),
    ] = 0.0
    write_parallel: Annotated[
        int, Field("cells", 1, 1e9, "that a chip writes, or its controllers read, at once", whole=True, condition=True)
    ] = 1
    compensation: Annotated[
        float, _switch("1 scales each array's output by the loss to drift that a calibration read measures", True)
    ] = 0


@device_fields
class Controller(FieldGroup):
    """How a write controller makes writes of a change of the weights, and what it keeps of them."""

    controller: Annotated[
        str,
        Field(
            choices=CHOICES,
            doc="how changes of weights are written; auto: increment for pulses in open loop, copy for all others",
        ),
    ] = "auto"
    target_bits: Annotated[
        int, Field("bits", 2, 20, "of each target that copy keeps; 0: float32", off=0, whole=True)
    ] = 0
    write_step: Annotated[
        float,
        Field(
            "share of g_max - g_min", 1e-6, 1,
            "least change that a controller without a copy writes, pulses apart; 0: one level, or 1 / 255", off=0,
        ),
    ] = 0.0  # fmt: skip


@device_fields
class Pulses(FieldGroup):
    """Pulses that a write controller gives."""

    pulse_step: Annotated[
        float,
        Field(
            "share of g_max - g_min", 1e-9, 1,
            "change a pulse makes, as the controller assumes it; 0: each weight changes by just what is asked", off=0,
        ),
    ] = 1e-3  # fmt: skip
    pulse_limit: Annotated[int, Field("pulses", 1, 65535, "most pulses a cell gets in one update", whole=True)] = 31
    verify_pulses: Annotated[
        float,
        Field(
            "pulses", 1, 65535, "most pulses of a closed-loop write to a stored target; 0: open loop", off=0, whole=True
        ),
    ] = 0
    verify_tolerance: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "miss at which a closed-loop write stops")
    ] = 0.01
    refresh_at: Annotated[
        float, Field("share of g_max - g_min", 0.01, 1, "of a pair written open loop: where both cells are set anew")
    ] = 0.9
    update: Annotated[
        str,
        Field(
            choices=("net", "pulse_trains"),
            doc="open loop: the net change of a weight as pulses; or trains on rows and columns, sample by sample",
        ),
    ] = "net"  # fmt: skip
    pulse_slots: Annotated[int, Field("slots", 1, 310, "of a pulse train, at most", whole=True)] = 31
    update_management: Annotated[int, _switch("1 balances the trains of rows and columns by their largest values")] = 1
    update_bl_management: Annotated[
        int, _switch("1 balances trains, and makes them no longer than the strongest cell needs")
    ] = 1


@device_fields
class ReadNoise(FieldGroup):
    """Noise of a cell at each read."""

    read_noise: Annotated[
        float, Field("share of the cell's conductance", 0, 1, "std of a cell's conductance, each read", noise="read")
    ] = 0.0


@device_fields
class Steps(FieldGroup):
    """How cells answer to pulses, and how they differ in it; positions count half spans from the middle conductance."""

    pulse_gain: Annotated[
        float, Field("of pulse_step", 0, 10, "a cell's own step", spread=Spread("pulse_gain_spread"))
    ] = 1.0
    pulse_gain_spread: Annotated[float, Field("relative", 0, 2, "std of the cells' steps")] = 0.0
    asymmetry: Annotated[
        float,
        Field(
            "of pulse_step", -1, 1, "what a step up has more, a step down less",
            spread=Spread("asymmetry_spread", "absolute"),
        ),
    ] = 0.0  # fmt: skip
    asymmetry_spread: Annotated[float, Field("of pulse_step", 0, 1, "std of the cells' asymmetries")] = 0.0
    upper: Annotated[
        float,
        Field(
            "half spans", 0.01, 2, "a cell's highest position", spread=Spread("bounds_spread", also="upper_spread")
        ),
    ] = 1.0  # fmt: skip
    lower: Annotated[
        float,
        Field(
            "half spans", 0.01, 2, "a cell's lowest position, downwards",
            spread=Spread("bounds_spread", also="lower_spread"),
        ),
    ] = 1.0  # fmt: skip
    bounds_spread: Annotated[float, Field("relative", 0, 1, "std of the cells' bounds")] = 0.0
    upper_spread: Annotated[float, Field("relative", 0, 1, "more of it, of the upper bound alone")] = 0.0
    lower_spread: Annotated[float, Field("relative", 0, 1, "more of it, of the lower bound alone")] = 0.0
    write_noise: Annotated[
        float, Field("of the step", 0, 100, "std of a pulse's change, from pulse to pulse", noise="write")
    ] = 0.0
    write_noise_floor: Annotated[
        float, Field("of pulse_gain", 0, 100, "the same, whatever the step has become, up as down", noise="write")
    ] = 0.0
    apparent_noise: Annotated[
        float,
        Field(
            "of pulse_step", 0, 1000, "std of what a cell shows about its state, new at each update", noise="write",
            hook="appear",
        ),
    ] = 0.0  # fmt: skip


@device_fields
class StepScale(FieldGroup):
    """Steps that differ by factors from cell to cell."""

    pulse_scale: Annotated[
        float, Field("of pulse_gain", 0, 1000, "a cell's own step", spread=Spread("pulse_scale_spread", "lognormal"))
    ] = 1.0
    pulse_scale_spread: Annotated[float, Field("relative", 0, 3, "of the cells' steps, of their logarithm")] = 0.0


@device_fields
class LinearSteps(FieldGroup):
    """How steps shrink from cell to cell, and where the reference of a cell stands."""

    gamma_up_own: Annotated[
        float, Field("", -1, 1, "what a cell adds to gamma_up", spread=Spread("gamma_up_spread", "absolute"))
    ] = 0.0
    gamma_down_own: Annotated[
        float, Field("", -1, 1, "what a cell adds to gamma_down", spread=Spread("gamma_down_spread", "absolute"))
    ] = 0.0
    gamma_up_spread: Annotated[float, Field("", 0, 1, "std of it; without effect where both gammas are 0")] = 0.0
    gamma_down_spread: Annotated[float, Field("", 0, 1, "the same of gamma_down")] = 0.0
    gamma_of_bound: Annotated[float, _switch("1: gamma is of the cell's own bound; 0: of one half span")] = 1
    reference: Annotated[
        float,
        Field(
            "half spans", -2, 2, "position of a cell that stands for the weight 0",
            spread=Spread("reference_spread", "absolute"),
        ),
    ] = 0.0  # fmt: skip
    reference_spread: Annotated[float, Field("half spans", 0, 1, "std of it: references are set with errors")] = 0.0
    zero_shift: Annotated[float, _switch("1: counted from the position at which a step up and one down cancel")] = 0
