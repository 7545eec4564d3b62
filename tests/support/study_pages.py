"""A study whose runs are made up, and a text that a page must not take for markup."""

import pytest

HOSTILE = "<script>alert(1)<\\script> \"'&amp; $x_$ {{ 7 * 7 }} {% raw %} %s ü]]>--><svg onload=x>"


def study_of(arguments, record, path=None):
    """A study whose runs found what `record(index, plain)` says, none of them run."""
    pytest.importorskip("xarray")
    from noisysim.studies import cells, grids, table
    from noisysim.studies.study import Study

    plan = grids.Plan(arguments)
    asked = cells.Cells(plan).cells
    settings = cells.split_shared([c.plain for c in asked])
    found = table.Table(plan.axes, plan.described(), [c.key for c in asked], *settings)
    for number, cell in enumerate(asked):
        if said := record(number, cell.plain):
            found.put({"key": cell.key, "error": "", "warnings": "", "environment": {"cpu": "a <b>"}, **said})
    return Study(found, path)


def finished(accuracy, **more):
    loss = 2 * (1 - accuracy)
    values = {"test_accuracy": accuracy, "test_loss": loss, "train_accuracy": accuracy, "train_loss": loss,
              "test_accuracy_by_epoch": [accuracy / 2, accuracy], "passes": 10, "mvms": 100, "adc_conversions": 1000,
              "cells_programmed": 7, "pulses": 0, "updates": 5, "elapsed": 1.5}  # fmt: skip
    return {"status": "finished", "values": values, **more}


def accuracy_of(plain):
    """Rises with the bits (3 % each), falls with the noise, is higher for BP; seeds differ by 2 %."""
    bits, noise = plain["device"]["adc_bits"], plain["device"]["read_noise"]
    return 0.4 + 0.03 * bits - noise + 0.1 * (plain["learner"]["name"] == "bp") + 0.02 * plain["seed"]


AXES = {"task": "digits", "layers": [16], "learner": ["danp", "bp"],
        "device": {"name": "crossbar", "adc_bits": [4, 6, 8], "read_noise": [0.0, 0.05]}, "seed": [0, 1]}  # fmt: skip


def small(index, plain):
    if index == 3:
        return {"status": "failed", "error": f"ValueError: {HOSTILE}", "values": {}, "warnings": "Traceback"}
    if index == 5:
        return {"status": "diverged", "error": "the loss grew", "values": {"elapsed": 1.0}}
    return None if index == 7 else finished(accuracy_of(plain), warnings=f"only {index + 1} % passed")
