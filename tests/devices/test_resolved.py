"""The numbers of a device that the chip reads, resolved once."""

import dataclasses
from typing import NamedTuple

import pytest

from noisysim import devices
from noisysim.devices import field_groups
from noisysim.devices.resolved import DeviceNumbers, resolve
from noisysim.devices.transfer_fields import Transfers

GROUPS = (
    field_groups.Converters, field_groups.Array, field_groups.Faults, field_groups.Clock, field_groups.Controller,
    field_groups.Pulses, Transfers,
)  # fmt: skip
RENAMED = {
    "cells_per_weight": "paired", "compensation": "compensated", "line_noise": "line_deviation", "update": "in_array",
}  # fmt: skip


def test_a_device_that_states_nothing_has_the_documented_defaults():
    assert resolve(devices.get("ideal")) == DeviceNumbers()
    documented = DeviceNumbers.__doc__
    for field in dataclasses.fields(DeviceNumbers):
        assert field.name in documented


@pytest.mark.parametrize("name", devices.names())
def test_what_a_device_states_is_what_the_chip_reads(name):
    device = devices.get(name)
    numbers = dataclasses.asdict(resolve(device))
    for field, value in device._asdict().items():
        if field in numbers and not (field == "drift_start" and value == 0):
            assert numbers[field] == value, field


def test_every_number_is_a_field_of_a_group_or_one_that_devices_declare_themselves():
    known = {RENAMED.get(field, field) for group in GROUPS for field in group._fields}
    own = {field.name for field in dataclasses.fields(DeviceNumbers)} - known
    assert own == {"calibrates", "drift_start", "g_min", "g_max", "level_count"}


def test_switches_and_what_follows_from_the_numbers():
    class Cells(NamedTuple):
        cells_per_weight: float = 1
        compensation: float = 1
        nodal: float = 1
        adc_range: float = 0.0
        drift_start: float = 0.0
        g_min: float = 2.0
        g_max: float = 5.0
        verify_pulses: float = 7
        dead_rows: float = 0.5
        weight_range: float = 6.0

    numbers = resolve(Cells())
    assert not numbers.paired
    assert numbers.compensated
    assert numbers.nodal
    assert numbers.calibrates
    assert not resolve(Cells(adc_range=2.0)).calibrates
    assert not resolve(devices.get("ideal")).calibrates
    assert numbers.drift_start == 1.0
    assert resolve(Cells(drift_start=20.0)).drift_start == 20.0
    assert numbers.span == 3.0
    assert numbers.least_change == 0.02  # twice the tolerance of verified writes
    assert resolve(devices.get("crossbar")).least_change == 1 / 255
    assert resolve(devices.get("crossbar", levels=16)).least_change == 1 / 15
    assert resolve(devices.get("pcm", write_step=0.05)).least_change == 0.05
    assert (numbers.read_quantum, resolve(devices.get("pcm", adc_bits=4)).read_quantum) == (0.0, 1 / 15)
    assert numbers.verified
    assert numbers.faulty
    assert not DeviceNumbers().faulty
    assert numbers.full_span_weight(9) == 2.0
    assert dataclasses.replace(numbers, weight_bound=0.6).full_span_weight(9) == 0.6
    with pytest.raises(dataclasses.FrozenInstanceError):
        numbers.span_of = 1
