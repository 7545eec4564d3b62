"""Cells that wear out: counted one by one, stuck where they are, the same after a restart."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip
from noisysim.chip import chip as chips
from noisysim.runs.side_by_side import run_side_by_side

LAYERS = [5, 4, 3]
SHAPES = ((4, 5), (3, 4))
DEVICES = {
    "write": "crossbar:levels=0",
    "levels": "crossbar:levels=32,program_noise=0",
    "increment": "crossbar:controller=increment,write_step=0.02",
    "modify": "crossbar:controller=read_modify_write",
    "pulses": "pulsed:pulse_step=0.02",
    "verified": "pulsed:pulse_step=0.02,verify_pulses=50",
    "apparent": "pulsed:pulse_step=0.02,apparent_noise=0.5",
    "drift": "crossbar:levels=0,drift_nu=0.05,drift_start=1e-7",
    "leak": "pulsed:pulse_step=0.02,leak_time=1e-3,drift_start=1e-6",
    "slices": "crossbar:slices=2,controller=copy",
}


def made(kind, cycles=4, spread=0.0, **settings):
    fields = f",max_cycles={cycles},max_cycles_spread={spread}"
    device = DEVICES[kind] + (fields if ":" in DEVICES[kind] else ":" + fields[1:])
    return Chip(LAYERS, device, seed=settings.pop("seed", 1), oracle=True, **settings)


def change(rng, size=0.4, copies=1):
    each = [size * rng.standard_normal(shape).astype(np.float32) for shape in SHAPES]
    return [np.concatenate([c] * copies) for c in each]


def written(chip):
    """What writes left in each cell, whatever time and reads made of it, (sides, cells)."""
    arrays = chip._hidden.arrays
    return np.array(arrays.fresh if arrays.fresh.size else arrays.now)


def stuck(chip):
    return ~np.isnan(np.array(chip._hidden.arrays.stuck))


@pytest.mark.parametrize("kind", DEVICES)
def test_each_cell_answers_to_as_many_writes_as_it_endures_and_then_to_none(kind):
    """Beside a plain count, cell by cell, of how often it held something else behind an update than before."""
    chip, rng, most = made(kind), np.random.default_rng(0), 4
    sides = slice(None) if chip._hidden.arrays.paired else slice(0, 1)
    counts = np.ones(written(chip).shape, int)  # the loading
    for _ in range(12):
        held, stands, over = written(chip), np.array(chip._hidden.arrays.now), counts >= most
        chip.program(change(rng))
        np.testing.assert_array_equal(np.array(chip._hidden.arrays.now)[sides][over[sides]], stands[sides][over[sides]])
        counts += (written(chip) != held) & ~over
        np.testing.assert_array_equal(stuck(chip)[sides], counts[sides] >= most)
    assert counts.max() == most
    assert 0.2 < chip.worn <= 1
    assert chip.worn == pytest.approx(np.mean(counts[sides] >= most))
    assert chip.worn_by_chip == [chip.worn]


@pytest.mark.parametrize("kind", ["write", "pulses"])
def test_cells_that_are_not_worn_behave_as_those_of_an_endless_device(kind):
    worn, endless = made(kind, 10_000), Chip(LAYERS, DEVICES[kind], seed=1, oracle=True)
    rng, twin = np.random.default_rng(0), np.random.default_rng(0)
    for _ in range(3):
        worn.program(change(rng))
        endless.program(change(twin))
    x = np.ones((3, 5), np.float32)
    np.testing.assert_array_equal(worn.forward(x).output, endless.forward(x).output)
    assert worn.worn == endless.worn == 0


def test_worn_cells_do_not_age():
    chip, rng = made("drift", 1), np.random.default_rng(0)
    before = chip.cells()
    chip.program(change(rng))
    chip.wait(1e6)
    for one, other in zip(before, chip.cells(), strict=True):
        assert other.stuck.all()
        np.testing.assert_allclose(one.plus, other.plus, rtol=1e-6)
    assert chip.worn == 1


def test_endurances_are_lognormal_with_the_stated_mean_and_fixed_for_a_chip():
    device = "crossbar:max_cycles=1000,max_cycles_spread=0.5"
    chips = [Chip([60, 50], device, seed=seed) for seed in (1, 1, 2)]  # kept: a chip that ends wipes its memory
    first, again, other = (chip._hidden.arrays.wear._endurances for chip in chips)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.mean(first) == pytest.approx(1000, rel=0.03)
    assert np.std(np.log(first)) == pytest.approx(0.5, rel=0.03)
    assert len(set(first.ravel().tolist())) > 0.99 * first.size


def test_chips_side_by_side_wear_as_each_does_alone():
    both, rng = made("write", 4, 0.5, chips=2, seed=(1, 2)), np.random.default_rng(0)
    updates = [change(rng) for _ in range(8)]
    for update in updates:
        both.program([np.concatenate([c, c]) for c in update])
    for m, seed in enumerate((1, 2)):
        alone = made("write", 4, 0.5, seed=seed)
        for update in updates:
            alone.program(update)
        assert alone.worn == pytest.approx(both.worn_by_chip[m])
        assert 0 < alone.worn < 1
        for one, several in zip(alone.cells(), both.cells(), strict=True):
            part = slice(m * one.plus.shape[1], (m + 1) * one.plus.shape[1])
            np.testing.assert_array_equal(one.plus, several.plus[:, part])


@pytest.mark.parametrize("kind", ["write", "pulses", "drift", "apparent"])
def test_copies_files_and_other_conditions_keep_what_is_worn(kind, tmp_path):
    chip, rng = made(kind, 3, 0.3), np.random.default_rng(0)
    for _ in range(4):
        chip.program(change(rng))
    chip.save(tmp_path / "chip.h5")
    others = [chip.copy(), Chip.load(tmp_path / "chip.h5", oracle=True), chip.with_device(adc_bits=7)]
    later = [change(rng) for _ in range(4)]
    for one in (chip, *others):
        for update in later:
            one.program(update)
    for other in others:
        assert other.worn == chip.worn > 0
        np.testing.assert_array_equal(stuck(other), stuck(chip))
        for one, twin in zip(other.cells(), chip.cells(), strict=True):
            np.testing.assert_array_equal(one.plus, twin.plus)


# --- runs -----------------------------------------------------------------------------------------------------------


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 5))
    return x[:40], np.arange(40) % 3, x[40:], np.arange(20) % 3


SETTINGS = {"layers": [4], "learner": "np", "seed": 3, "progress": False, "learning_rate": 0.05}


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("kind", ["write", "pulses"])
def test_runs_resume_to_the_same_worn_cells_and_bits(kind, batch, tmp_path):
    endless, most = ("pulsed:pulse_step=0.0005", 150) if kind == "pulses" else (DEVICES[kind], 60)
    device = f"{endless},max_cycles={most / batch:.0f},max_cycles_spread=0.5"
    out = tmp_path / "run.h5"
    settings = {**SETTINGS, "device": device, "batch_size": batch}
    whole = noisysim.run(data(), epochs=4, **settings)
    noisysim.run(data(), epochs=2, out=out, **settings)
    again = noisysim.resume(out, task=data(), epochs=4, progress=False)
    np.testing.assert_array_equal(whole.steps["train_loss"], again.steps["train_loss"])
    for name in ("now", "cycles"):
        arrays = (one.content["arrays"]["state/chip"][name] for one in (whole, again))
        np.testing.assert_array_equal(*arrays)
    worn = whole.chip().worn
    assert 0 < worn < 1
    (warning,) = [text for text in whole.warnings if "worn out" in text]
    assert warning.startswith(f"{100 * worn:.3g} % of the cells are worn out")
    assert warning in again.warnings
    other = noisysim.run(data(), epochs=4, **{**settings, "device": endless})
    assert not np.array_equal(whole.steps["train_loss"], other.steps["train_loss"])
    assert not any("worn out" in text for text in other.warnings)


def test_threads_change_no_bit_and_seeds_side_by_side_are_what_each_is_alone():
    device = f"{DEVICES['write']},max_cycles=5,max_cycles_spread=0.5"
    settings = {**SETTINGS, "device": device, "batch_size": 8, "epochs": 3}
    one, two = (noisysim.run(data(), threads=threads, **settings) for threads in (1, 2))
    np.testing.assert_array_equal(one.steps["train_loss"], two.steps["train_loss"])
    settings.pop("seed")
    together = run_side_by_side([3, 4], task=data(), **settings)
    np.testing.assert_array_equal(together[0].steps["train_loss"], one.steps["train_loss"])
    assert together[0].warnings == one.warnings
    assert together[0].cost == one.cost


def test_what_wears_out_is_hidden_with_the_cells():
    hidden = made("write")._hidden.arrays
    assert hidden.held["cycles"] is hidden.wear.cycles
    assert any(array is hidden.wear._endurances for array in hidden._secrets)
    assert chips.snapshot(made("write"))["cycles"].sum() > 0


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["write", "pulses"])
def test_a_gpu_wears_out_the_same_cells(kind):
    found = []
    for backend in ("cpu", "cuda"):
        chip, rng = made(kind, 3, 0.3, backend=backend), np.random.default_rng(0)
        for _ in range(5):
            chip.program([chip._hidden.backend.put(c) for c in change(rng)])
        found.append((chip.worn, [np.array(cells.stuck) for cells in chip.cells()]))
    assert found[0][0] == pytest.approx(found[1][0])
    assert 0 < found[0][0] < 1
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)
