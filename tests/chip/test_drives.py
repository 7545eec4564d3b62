"""What the drives of a call add to its passes, and where passes part."""

import numpy as np
import pytest

from noisysim import Drive, devices
from noisysim.chip.checking import Checks, check_seeds
from noisysim.chip.drives import Drives, as_drives
from noisysim.common.plain_arrays import NonFiniteError
from noisysim.compute.layout import ON_LINE, ON_OUTPUT, ON_WEIGHTS
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import network

ROWS = 4
NET = network([6, 5, 3], "relu", False, resolve(devices.get("crossbar", tile_rows=3, tile_columns=2)))


def drives(noisy=False, chips=1):
    return Drives(Checks(NET, chips, "cpu"), noisy)


def ones(*shape):
    return np.ones(shape, np.float32)


def test_undriven_passes_are_the_same_to_the_end_unless_there_is_noise():
    assert drives().nothing(3).fork.tolist() == [2, 2, 2]
    assert drives(noisy=True).nothing(2).fork.tolist() == [0, 0]
    assert drives().added([Drive(), Drive()], ROWS).parts == []


def test_parts_and_forks_of_each_kind_of_drive():
    line, weights = ones(ROWS, 3), ones(5, 6)
    added = drives().added([Drive(), Drive([None, line]), Drive(weights=[weights, None])], ROWS)
    kinds = [(p, kind, layer, array.shape) for p, kind, layer, array in added.parts]
    assert kinds == [(1, ON_LINE, 1, (ROWS, 3)), (2, ON_WEIGHTS, 0, (5, 6))]
    assert added.fork.tolist() == [2, 1, 0]
    output = drives().added([Drive(outputs=[ones(ROWS, 5), None])], ROWS)
    assert [part[1] for part in output.parts] == [ON_OUTPUT]
    # the first pass is what the others are compared with: none parts from it above where it is driven itself
    assert drives().added([Drive([ones(ROWS, 5), None]), Drive()], ROWS).fork.tolist() == [0, 0]
    assert drives(noisy=True).added([Drive(), Drive([None, line])], ROWS).fork.tolist() == [0, 0]


def test_a_call_does_not_change_what_undriven_passes_share():
    taken = drives()
    taken.added([Drive(), Drive([ones(ROWS, 5), None])], ROWS)
    assert taken.nothing(2).fork.tolist() == [2, 2]


def test_drives_of_weights_cost_the_products_of_their_layers_arrays():
    taken = drives()
    added = taken.added([Drive(weights=[ones(5, 6), None]), Drive([ones(ROWS, 5), None])], ROWS)
    assert taken.second_products(added.parts, ROWS) == ROWS * 2 * 3  # 6 inputs in 2 tiles, 5 outputs in 3
    assert taken.second_products([], ROWS) == 0


@pytest.mark.parametrize(
    ("drive", "said"),
    [
        (Drive([ones(ROWS, 5)]), "a drive needs a perturbation or None for each of 2 layers, not 1"),
        (Drive([ones(ROWS, 4), None]), r"the perturbation of layer 0 must have the shape \(4, 5\), not \(4, 4\)"),
        (Drive(outputs=[None, ones(ROWS, 3)]), "the last layer's output feeds no layer"),
        (Drive([ones(ROWS, 5), None], weights=[ones(5, 6), None]), "of its lines or of its weights, not both"),
    ],
)
def test_drives_that_do_not_fit_are_refused(drive, said):
    with pytest.raises(ValueError, match=said):
        drives().added([drive], ROWS)


def test_drives_are_a_list_of_drives():
    assert as_drives([Drive()]) == (Drive(),)
    for wrong, error in ((Drive(), TypeError), ("drive", TypeError), ([], ValueError), ([None], TypeError)):
        with pytest.raises(error, match="drive"):
            as_drives(wrong)


def test_arrays_are_checked_before_they_are_used():
    checks = Checks(NET, 2, "cpu")
    assert checks.weight_shapes == [(10, 6), (6, 5)]
    assert checks.inputs([[1] * 6] * 4).dtype == np.float32
    with pytest.raises(ValueError, match="2 chips need as many samples each: 3"):
        checks.inputs(ones(3, 6))
    with pytest.raises(NonFiniteError, match="no cell was changed"):
        checks.updates([ones(10, 6), np.full((6, 5), np.nan)])
    with pytest.raises(ValueError, match="inputs must have the shapes"):
        checks.observed("inputs", [ones(4, 6), ones(4, 6)], NET.driven_shape)
    assert [a.shape for a in checks.observed("inputs", [ones(4, 6), ones(4, 5)], NET.driven_shape)] == [(4, 6), (4, 5)]


def test_a_call_is_resumed_only_where_one_was_begun():
    checks = Checks(NET, 1, "cpu")
    assert checks.first_sample(512, 100, 2, passes_before=2) == 512
    with pytest.raises(ValueError, match="there is none"):
        checks.first_sample(512, 100, 2, passes_before=1)
    with pytest.raises(ValueError, match="noise would repeat"):
        checks.first_sample(2**32 - 50, 100, 2, passes_before=2)


def test_seeds_are_one_or_one_each():
    assert check_seeds(np.int64(3), 2) == 3
    assert check_seeds(np.array([3, 4]), 2) == (3, 4)
    with pytest.raises(ValueError, match="one for each of 2 chips, not 3"):
        check_seeds([1, 2, 3], 2)
