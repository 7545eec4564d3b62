"""Device classes from groups of fields: what Python makes of them, and what a type checker sees."""

import sys
import types
from typing import Annotated, NamedTuple, get_type_hints

import pytest

from noisysim import devices
from noisysim.common.fields import Field, declared
from noisysim.devices.field_groups import Array, Clock, FieldGroup, device_fields, with_parts

import type_checks


@device_fields
class Cell(Array, Clock):
    """Cells."""

    g_max: Annotated[float, Field("µS", 0, 50, "highest")] = 25.0
    weight_range: Annotated[float, Field("own", 0, 1, "in place of the group's")] = 0.5
    slices = 2


@device_fields
class Finer(Cell):
    """The same, with other numbers."""

    slice_bits = 3
    slices = 4


def test_own_fields_come_first_and_then_those_of_the_groups_in_their_order():
    own = ("g_max", "weight_range")
    groups = [name for group in (Array, Clock) for name in group._fields if name not in own]
    assert Cell._fields == (*own, *groups)
    assert Finer._fields == Cell._fields
    assert issubclass(Cell, tuple)
    assert not issubclass(Cell, FieldGroup)  # a plain NamedTuple, like a device without groups


def test_defaults_are_the_nearest_ones():
    assert Array._field_defaults["slices"] == 1
    assert (Cell().slices, Cell().slice_bits, Cell().weight_range) == (2, 4, 0.5)
    assert (Finer().slices, Finer().slice_bits, Finer().weight_range) == (4, 3, 0.5)
    assert Finer(slices=1)._replace(slice_bits=2)[:2] == (25.0, 0.5)
    assert Finer.__doc__ == "The same, with other numbers."
    assert Finer.__module__ == __name__


def test_declarations_are_inherited():
    assert declared(Finer)["weight_range"].unit == "own"
    assert declared(Finer)["read_time"] == declared(Clock)["read_time"]
    assert get_type_hints(Finer)["slices"] is float


def test_annotations_that_are_texts_mean_what_they_do_where_they_were_written(monkeypatch):
    other = types.ModuleType("other_groups")
    monkeypatch.setitem(sys.modules, "other_groups", other)
    code = (
        "from __future__ import annotations\n"
        "from typing import Annotated\n"
        "from noisysim.common.fields import Field as F\n"
        "from noisysim.devices.field_groups import FieldGroup, device_fields\n"
        "@device_fields\nclass Theirs(FieldGroup):\n    width: Annotated[float, F('mm', 0, 1)] = 0.5\n"
    )
    exec(code, vars(other))

    @device_fields
    class Ours(other.Theirs):
        width = 0.25

    assert declared(Ours)["width"].unit == "mm"
    assert Ours().width == 0.25


def test_names_that_are_no_field_are_refused():
    with pytest.raises(TypeError, match="Wrong has no field slises"):

        @device_fields
        class Wrong(Array):
            slises = 2

    with pytest.raises(TypeError, match="field 'bare' has no default: write bare: float"):

        @device_fields
        class Bare(Array):
            bare: float


def test_parts_of_earlier_versions_give_the_same_class_and_a_warning():
    with pytest.warns(FutureWarning, match="device_fields") as caught:

        @with_parts(Array, Clock, slices=2)
        class Older(NamedTuple):
            g_max: Annotated[float, Field("µS", 0, 50, "highest")] = 25.0
            weight_range: Annotated[float, Field("own", 0, 1, "in place of the group's")] = 0.5

    assert caught[0].filename == __file__
    assert Older._fields == Cell._fields
    assert Older._field_defaults == Cell._field_defaults
    assert declared(Older) == declared(Cell)
    with pytest.warns(FutureWarning), pytest.raises(TypeError, match="has no field slises"):
        with_parts(Array, slises=2)(Older)


# --- what a type checker sees ---------------------------------------------------------------------------------------

SCRIPT = """
from typing import NamedTuple
from noisysim.devices.contract import Device
from noisysim.devices.field_groups import Array, device_fields
from noisysim.devices.models.crossbar import Crossbar
from noisysim.devices.models.gaussian import Gaussian
from noisysim.devices.models.rpu import Rpu

class Plain(NamedTuple):
    sigma: float = 0.1

@device_fields
class Mine(Array):
    g_max: float = 25.0
    slices = 2

def carried_by(device: Device) -> list[str]:
    return list(device._replace(g_max=3.0)._asdict())

Crossbar(adc_bits=8, read_noise=0.02, tile_rows=64)
Rpu(weight_bound=0.5, gamma_up=0.1)
Mine(g_max=3, slices=4)
for one in (Crossbar(), Rpu(), Gaussian(sigma=0.1), Plain(), Mine()):
    carried_by(one)
bits: float = Crossbar().adc_bits
other: Crossbar = Crossbar()._replace(adc_bits=4)
Crossbar(adc_bit=8)  # wrong
Crossbar(adc_bits="8")  # wrong
Rpu(weight_bounds=0.5)  # wrong
Mine(g_min=3)  # wrong
Crossbar().adc_bit  # wrong
Crossbar().adc_bits = 4  # wrong
carried_by("crossbar")  # wrong
"""


def test_a_type_checker_knows_the_fields_of_devices(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    errors = [(line, message) for line, kind, message in type_checks.mypy(script)[script.name] if kind == "error"]
    wrong = {n for n, line in enumerate(SCRIPT.splitlines(), 1) if line.endswith("# wrong")}
    assert {line for line, _ in errors} == wrong, errors


@pytest.mark.parametrize("name", devices.names())
def test_a_built_in_device_is_named_after_its_module_and_all_its_fields_have_defaults(name):
    cls = devices.kind(name)
    assert cls.__doc__
    assert set(cls._field_defaults) == set(cls._fields)
    assert cls.__name__.lower() == name.replace("_", "")
