"""Writes and verify reads that take time on the chip's clock, and make cells older."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip
from noisysim.runs import side_by_side

LAYERS, W, V = [5, 4, 3], 1e-6, 3e-7
CELLS = 5 * 4 + 4 * 3
TIMES = f"write_time={W},verify_time={V}"


def change(size=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return [size * rng.standard_normal(shape).astype(np.float32) for shape in ((4, 5), (3, 4))]


def programmed(device, updates=None, **settings):
    """A chip, what its clock moved by in one update, and what that update counted."""
    chip = Chip(LAYERS, device, seed=1, **settings)
    before, cost = chip.clock, chip.cost
    chip.program(change() if updates is None else updates)
    after = chip.cost
    names = ("cells_programmed", "pulses", "cells_read")
    return chip, chip.clock - before, {n: getattr(after, n) - getattr(cost, n) for n in names}


@pytest.mark.parametrize("parallel", [1, 8])
def test_writes_that_are_verified_take_a_write_and_a_read_of_each_cell(parallel):
    _, passed, counts = programmed(f"crossbar:{TIMES},write_parallel={parallel}")
    assert counts["cells_programmed"] > CELLS / 2
    assert passed == pytest.approx(counts["cells_programmed"] * (W + V) / parallel, rel=1e-12)


def test_loading_the_initial_weights_takes_the_time_of_its_writes():
    chip = Chip(LAYERS, f"crossbar:{TIMES}", seed=1)
    assert chip.clock == pytest.approx(chip.cost.cells_written_at_start * (W + V), rel=1e-12)


def test_pulses_take_a_write_each_and_in_a_closed_loop_a_read():
    _, passed, counts = programmed(f"pulsed:{TIMES},pulse_step=0.01")
    assert counts["pulses"] > CELLS
    assert passed == pytest.approx(counts["pulses"] * W, rel=1e-12)
    _, passed, counts = programmed(f"pulsed:{TIMES},pulse_step=0.01,verify_pulses=100")
    assert counts["pulses"] > CELLS
    assert passed == pytest.approx(counts["pulses"] * (W + V), rel=1e-12)


def test_cells_that_a_controller_reads_take_reads():
    _, passed, counts = programmed(f"crossbar:{TIMES},controller=read_modify_write")
    assert counts["cells_read"] > 0
    assert passed == pytest.approx(counts["cells_programmed"] * (W + V) + counts["cells_read"] * V, rel=1e-12)


def test_pulse_trains_take_their_slots_whatever_coincides():
    device = f"rpu:update=pulse_trains,pulse_slots=10,write_time={W}"
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 5)), np.arange(12) % 3
    settings = {"layers": [4], "learner": "np", "optimizer": "sgd", "batch_size": 4, "epochs": 1, "progress": False}
    with_time, without = (
        noisysim.run((x, y, x[:3], y[:3]), device=d, **settings)
        for d in (device, "rpu:update=pulse_trains,pulse_slots=10")
    )
    loaded = Chip(LAYERS, device, seed=with_time.config["seed"]).clock
    assert with_time.clock - without.clock == pytest.approx(12 * 10 * W + loaded, rel=1e-6)
    np.testing.assert_array_equal(with_time.steps["train_loss"], without.steps["train_loss"])  # nothing ages here


def test_exact_weights_of_a_chip_without_cells_take_no_time():
    chip = Chip(LAYERS, "ideal", seed=1)
    chip.program(change())
    assert chip.clock == 0


@pytest.mark.parametrize(
    "device", ["crossbar:drift_nu=0.05,drift_start=1e-6", "pulsed:leak_time=1e-3,drift_start=1e-6"]
)
def test_cells_grow_older_while_others_are_written_as_they_do_while_it_waits(device):
    slow, fast, untouched = (
        Chip(LAYERS, device + fields, seed=1, oracle=True) for fields in (",write_time=1e-5", "", "")
    )
    fast.wait(slow.clock)  # the time that loading took
    start = slow.clock
    for chip in (slow, fast, untouched):
        chip.program(change())
    passed = slow.clock - start
    fast.wait(passed)
    assert slow.clock == pytest.approx(fast.clock)
    moved = False
    for one, other, early in zip(slow.cells(), fast.cells(), untouched.cells(), strict=True):
        np.testing.assert_allclose(one.age, other.age, rtol=1e-6)
        np.testing.assert_allclose(one.age.min(), passed, rtol=1e-6)
        np.testing.assert_allclose(one.plus, other.plus, rtol=1e-6)
        moved |= bool(np.any(np.abs(one.plus - early.plus) > 1e-4 * early.plus))
    assert moved


def test_no_times_are_no_change_of_clock_or_bits():
    x = np.ones((6, 5), np.float32)
    clocks, seen = [], []
    for fields in ("", ":write_time=0,verify_time=0,write_parallel=7"):
        chip, _, _ = programmed(f"crossbar{fields}")
        seen.append(np.array(chip.forward(x).output))
        clocks.append(chip.clock)
    assert clocks[0] == clocks[1] == pytest.approx(2 * 6 * 2 * 1e-7)  # reads alone, with those of the calibration
    np.testing.assert_array_equal(*seen)


def test_chips_that_share_a_seed_write_at_the_same_time():
    _, time, _ = programmed(f"crossbar:{TIMES}")
    both = Chip(LAYERS, f"crossbar:{TIMES}", seed=1, chips=2)
    before = both.clock
    both.program([np.concatenate([c, c]) for c in change()])
    assert both.clock - before == pytest.approx(time, rel=0.2)
    with pytest.raises(ValueError, match="one clock"):
        Chip(LAYERS, f"crossbar:{TIMES}", seed=(1, 2), chips=2)


# --- runs -----------------------------------------------------------------------------------------------------------


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5))
    return x[:40], np.arange(40) % 3, x[40:], np.arange(20) % 3


DEVICE = "crossbar:drift_nu=0.1,drift_start=1e-6,write_time=1e-4"
SETTINGS = {"device": DEVICE, "layers": [4], "learner": "np", "seed": 3, "progress": False}


@pytest.mark.parametrize("batch", [1, 8])
def test_runs_resume_to_the_same_clock_and_bits(batch, tmp_path):
    out = tmp_path / "run.h5"
    whole = noisysim.run(data(), batch_size=batch, epochs=2, **SETTINGS)
    noisysim.run(data(), batch_size=batch, epochs=1, out=out, **SETTINGS)
    again = noisysim.resume(out, task=data(), epochs=2, progress=False)
    np.testing.assert_array_equal(whole.steps["train_loss"], again.steps["train_loss"])
    assert whole.clock == again.clock == noisysim.load(out).clock
    written = whole.cost["cells_programmed"] + whole.cost["cells_written_at_start"]
    assert whole.clock == pytest.approx(1e-4 * written, rel=0.01)
    assert f"{whole.clock:.3g} s" in dict(whole.rows())["clock"]
    quick = noisysim.run(data(), batch_size=batch, epochs=2, **{**SETTINGS, "device": DEVICE.partition(",write")[0]})
    assert not np.array_equal(whole.steps["train_loss"], quick.steps["train_loss"])  # its cells are younger
    assert "clock" not in dict(quick.rows())


def test_runs_of_several_seeds_go_one_by_one():
    arguments = {name: value for name, value in SETTINGS.items() if name != "seed"}
    with pytest.raises(ValueError, match="writes take time, and chips side by side have one clock"):
        side_by_side.run_side_by_side([1, 2], task=data(), **arguments)


@pytest.mark.gpu
def test_a_gpu_counts_the_same_time():
    cpu, cuda = (programmed(f"crossbar:{TIMES},write_parallel=4", backend=backend)[1] for backend in ("cpu", "cuda"))
    assert cuda == pytest.approx(cpu, rel=1e-12)
