"""Parts that devices share: groups of fields that the chip, the periphery or the write controller reads by name.

A device takes those it has::

    @with_parts(Converters, Array, adc_bits=6)
    class MyChip(NamedTuple):
        g_max: Annotated[float, Field("uS", 1e-6, 1e6, "highest conductance of a cell")] = 25.0

A field that the device itself declares comes before the one of the same name in a part.
"""

from collections import namedtuple
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

from noisysim.common.fields import Field, Spread


def _switch(doc: str) -> Field:
    return Field("0 or 1", 0, 1, doc, whole=True)


class Converters(NamedTuple):
    """Data converters at both ends of the lines, and the lines' own noise."""

    dac_bits: Annotated[float, Field("bits", 2, 24, "resolution of the input converters", off=0, whole=True)] = 8
    dac_range: Annotated[
        float, Field("input units", 0, doc="full scale of the DAC; 0 scales each vector to its own")
    ] = 0.0
    dac_gain: Annotated[
        float, Field("relative", -0.5, 0.5, "gain error of a DAC", spread=Spread("dac_gain_spread", "absolute", "row"))
    ] = 0.0
    dac_gain_spread: Annotated[float, Field("relative", 0, 0.5, "std of the DACs' gain errors")] = 0.0
    dac_offset: Annotated[
        float,
        Field("of full scale", -0.5, 0.5, "offset of a DAC", spread=Spread("dac_offset_spread", "absolute", "row")),
    ] = 0.0
    dac_offset_spread: Annotated[float, Field("of full scale", 0, 0.5, "std of the DACs' offsets")] = 0.0
    dac_curve: Annotated[
        float, Field("", 0, 1e3, "compression n of a DAC, v / (1 + n |v|)", spread=Spread("dac_curve_spread", of="row"))
    ] = 0.0
    dac_curve_spread: Annotated[float, Field("relative", 0, 10, "std of the DACs' compressions")] = 0.0
    adc_bits: Annotated[float, Field("bits", 2, 24, "resolution of the output converters", off=0, whole=True)] = 8
    adc_range: Annotated[
        float, Field("pre-activation units", 0, doc="full scale of the ADC; 0 calibrates each tile and follows it")
    ] = 0.0
    adc_gain: Annotated[
        float,
        Field("relative", -0.5, 0.5, "gain error of an ADC", spread=Spread("adc_gain_spread", "absolute", "column")),
    ] = 0.0
    adc_gain_spread: Annotated[float, Field("relative", 0, 0.5, "std of the ADCs' gain errors")] = 0.0
    adc_offset: Annotated[
        float,
        Field("of full scale", -0.5, 0.5, "offset of an ADC", spread=Spread("adc_offset_spread", "absolute", "column")),
    ] = 0.0
    adc_offset_spread: Annotated[float, Field("of full scale", 0, 0.5, "std of the ADCs' offsets")] = 0.0
    adc_curve: Annotated[
        float,
        Field(
            "",
            0,
            1e3,
            "compression n of an ADC, y / (1 + n |y|), y of full scale",
            spread=Spread("adc_curve_spread", of="column"),
        ),
    ] = 0.0
    adc_curve_spread: Annotated[float, Field("relative", 0, 10, "std of the ADCs' compressions")] = 0.0
    line_noise: Annotated[
        float, Field("share of the ADC's full scale", 0, 1, "std of the noise on a line", noise="read")
    ] = 0.01


class Array(NamedTuple):
    """How weights lie on cells, cells in arrays, and what the wires between them cost."""

    weight_range: Annotated[
        float, Field("1 / sqrt(inputs)", 1e-3, 1e3, "weight that the full span stands for, times sqrt(inputs)")
    ] = 8.0
    weight_bound: Annotated[
        float, Field("weight", 0, 1e6, "weight that the full span stands for; 0: as weight_range says")
    ] = 0.0
    cells_per_weight: Annotated[
        float, Field("cells", 1, 2, "2: g+ - g-, a differential pair; 1: g - (g_min + g_max) / 2", whole=True)
    ] = 2
    slices: Annotated[
        float, Field("slices", 1, 8, "arrays that share a weight's bits, each read by itself", whole=True)
    ] = 1
    slice_bits: Annotated[
        float, Field("bits", 1, 8, "bits of a weight's magnitude in one of several slices", whole=True)
    ] = 4
    tile_rows: Annotated[float, Field("cells", 1, 1e6, "most inputs of one array; 0 is any", off=0, whole=True)] = 0
    tile_columns: Annotated[float, Field("cells", 1, 1e6, "most outputs of one array; 0 is any", off=0, whole=True)] = 0
    wire_resistance: Annotated[float, Field("Ohm", 0, 1e6, "of a wire between two neighbouring cells")] = 0.0
    nodal: Annotated[float, _switch("1 solves every node of an array with wires exactly; for small arrays")] = 0


class Faults(NamedTuple):
    """Cells and lines that do not work, drawn at fabrication."""

    stuck_low: Annotated[float, Field("share of the cells", 0, 1, "cells stuck at g_min")] = 0.0
    stuck_high: Annotated[float, Field("share of the cells", 0, 1, "cells stuck at g_max")] = 0.0
    stuck_random: Annotated[float, Field("share of the cells", 0, 1, "cells stuck anywhere between the two")] = 0.0
    dead_rows: Annotated[float, Field("share of the rows", 0, 1, "input lines that are cut")] = 0.0
    dead_columns: Annotated[float, Field("share of the columns", 0, 1, "output lines that are cut")] = 0.0


class Clock(NamedTuple):
    """What takes time, and what the periphery does about time's work."""

    read_time: Annotated[float, Field("s", 0, 1, "duration of one array's product")] = 1e-7
    compensation: Annotated[
        float, _switch("1 scales each array's output by what a calibration read says drift has taken")
    ] = 0


class Pulses(NamedTuple):
    """A write controller that changes conductances by pulses."""

    pulse_step: Annotated[
        float, Field("share of g_max - g_min", 1e-9, 1, "change a pulse makes, as the controller reckons it")
    ] = 1e-3
    pulse_limit: Annotated[float, Field("pulses", 1, 65535, "most pulses a cell gets in one update", whole=True)] = 31
    verify_pulses: Annotated[
        float,
        Field(
            "pulses", 1, 65535, "most pulses of a closed-loop write to a stored target; 0: open loop", off=0, whole=True
        ),
    ] = 0
    verify_tolerance: Annotated[
        float, Field("share of g_max - g_min", 0, 1, "miss at which a closed-loop write rests")
    ] = 0.01
    refresh_at: Annotated[
        float, Field("share of g_max - g_min", 0.01, 1, "of a pair written open loop: where both cells are set anew")
    ] = 0.9


class ReadNoise(NamedTuple):
    """Noise of a cell at each read."""

    read_noise: Annotated[
        float, Field("share of the cell's conductance", 0, 1, "std of a cell's conductance, each read", noise="read")
    ] = 0.0


class Steps(NamedTuple):
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
        float, Field("half spans", 0.01, 2, "a cell's highest position", spread=Spread("bounds_spread"))
    ] = 1.0
    lower: Annotated[
        float, Field("half spans", 0.01, 2, "a cell's lowest position, downwards", spread=Spread("bounds_spread"))
    ] = 1.0
    bounds_spread: Annotated[float, Field("relative", 0, 1, "std of the cells' bounds")] = 0.0
    write_noise: Annotated[
        float, Field("of the step", 0, 100, "std of a pulse's change, from pulse to pulse", noise="write")
    ] = 0.0


def check_span(d: Any) -> None:
    """A device's cells need a range."""
    if not d.g_min < d.g_max:
        name = type(d).__module__.rpartition(".")[2]
        raise ValueError(f"{name}.g_min ({d.g_min:g} uS) must be below {name}.g_max ({d.g_max:g} uS)")


def with_parts(*parts: type, **changed: float) -> Callable[[type], type]:
    """Add the fields of parts, or of whole devices, to a device's own, after them.

    All fields need a default; `changed` gives fields of the parts another one.
    """

    def extend(cls: type) -> type:
        annotations, defaults = dict(cls.__annotations__), dict(cls._field_defaults)  # type: ignore[attr-defined]
        for part in parts:
            for name in part._fields:  # type: ignore[attr-defined]
                if name not in annotations:
                    annotations[name] = part.__annotations__[name]
                    defaults[name] = part._field_defaults[name]  # type: ignore[attr-defined]
        if unknown := set(changed) - set(defaults):
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
        defaults.update(changed)
        made = namedtuple(cls.__name__, annotations, defaults=defaults.values(), module=cls.__module__)  # type: ignore
        made.__doc__, made.__qualname__ = cls.__doc__, cls.__qualname__
        made.__annotations__ = annotations
        return made

    return extend
