"""The arguments of a run are declared once: what else has to know them reads the declaration."""

import inspect
import math
import re
import typing

import pytest

import noisysim
from noisysim.common.fields import declared
from noisysim.runs import arguments, config, schema, side_by_side
from noisysim.runs.api import ARGUMENTS
from noisysim.studies import cells

EXECUTION = {"data", "threads", "out", "overwrite", "checkpoint_seconds", "until", "progress"}


def test_every_argument_is_a_setting_or_says_how_the_run_is_executed():
    assert set(ARGUMENTS) == set(config.SETTINGS) | EXECUTION | {"loss"}  # which is recorded as a setting of the task
    assert not set(config.SETTINGS) & EXECUTION


FUNCTIONS = [noisysim.run, noisysim.resume, noisysim.retention]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_docstrings_have_every_argument_in_order(function):
    section = inspect.getdoc(function).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    assert re.findall(r"^(\w+) : ", section, re.MULTILINE) == list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "name", [n for n, hint in typing.get_type_hints(arguments.PlainSettings).items() if hint in (int, float)]
)
def test_every_number_has_limits_which_run_and_result_files_obey(name):
    limits = declared(arguments.PlainSettings)[name]
    assert limits.low > -math.inf
    with pytest.raises(ValueError, match=f"run.{name} must be "):
        noisysim.run(**{name: limits.low - 1})
    stored = schema.TEXTS["config"].get(name) or schema.TEXTS["config"][f"{name}?"]
    assert not stored.allows(limits.low - 1)
    assert stored.allows(limits.low)


FROZEN = {"frozen": [1], "weight_decay": 0.0}  # which shrinks all layers


def test_result_files_store_every_setting():
    usual = {name: p.default for name, p in inspect.signature(noisysim.run).parameters.items()}
    resolved = config.resolve(**{name: usual[name] for name in config.SETTINGS})
    assert set(resolved.plain()) == set(config.SETTINGS) - set(arguments.UNUSED)
    asked = {**arguments.UNUSED, "schedule": "constant", "validation": 0.1, "weight_decay": 0.1, "clip": 1.0}
    asked |= {"calibration": 32}
    asked |= {"weight_scaling": "column", "decorrelate": "updates", "device": "crossbar:controller=copy"}
    all_of_them = {name: usual[name] for name in config.SETTINGS} | asked | {"callbacks": [print]}
    recorded = {*config.resolve(**all_of_them).plain(), *config.resolve(**all_of_them | FROZEN).plain()}
    assert recorded == set(config.SETTINGS)
    stored = {name.removesuffix("?") for name in schema.TEXTS["config"]} - {
        "activations"
    }  # records of users' functions
    assert stored == set(config.SETTINGS)


def test_studies_and_runs_side_by_side_take_what_a_run_takes():
    assert set(cells.DEFAULTS) == set(config.SETTINGS)
    assert set(side_by_side.SHARED) == (set(config.SETTINGS) | {"data"}) - {"seed", "chips"}


@pytest.mark.parametrize("name", config.SETTINGS)
def test_an_unknown_setting_is_refused_with_the_nearest_known_one(name):
    with pytest.raises(ValueError, match=f"run has no field '{name}x'; did you mean '{name}'"):
        config.resolve(**{f"{name}x": 1})
