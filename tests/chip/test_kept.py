"""Chips that are kept: copies, pickles and files are the same to the bit; other conditions leave cells alone."""

import copy
import json
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices
from noisysim.chip import conditions
from noisysim.common.fields import declared
from noisysim.compute import gpu
from noisysim.networks import layers

import cell_device as bench

BACKENDS = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
DENSE = [7, 5, 3]
CONV = [(2, 6, 6), layers.conv(3, 3), layers.batch_norm(), layers.pool(2), layers.dropout(0.3), 5, 4]
KINDS = {
    **{name: (name, {}) for name in ("ideal", "gaussian", "crossbar", "pcm", "rpu", "measured")},
    **{kind: (bench.__file__, fields) for kind, fields in bench.KINDS.items()},
}


def to_disk(chip, folder):
    chip.save(folder / "chip.h5")
    return Chip.load(folder / "chip.h5")


WAYS = {
    "copy": lambda chip, folder: chip.copy(),
    "deepcopy": lambda chip, folder: copy.deepcopy({"chip": chip})["chip"],
    "pickle": lambda chip, folder: pickle.loads(pickle.dumps(chip)),
    "file": to_disk,
    "same conditions": lambda chip, folder: chip.with_device(),
}


WRITTEN = 0.02
"""A change of all weights; of a few pulses a cell where each is simulated in Python."""


def life(chip, steps=2, seed=0):
    """What a chip shows in a life: passes, writes, waiting, decorrelation, statistics."""
    rng, put, take = np.random.default_rng(seed), chip._hidden.backend.put, chip._hidden.backend.take
    seen, change = [], WRITTEN / 5 if gpu.SIMULATED else WRITTEN
    for _ in range(steps):
        x = put(rng.standard_normal((chip.chips * 5, chip.sizes[0])).astype(np.float32))
        observation = chip.passes(x, [noisysim.Drive()], training=True)[0]
        seen.append(np.array(take(observation.output)))
        chip.program([put(np.full((chip.chips * a, b), change, np.float32)) for a, b in chip.network.shapes])
        chip.decorrelate(observation.inputs, 1e-3)
        chip.track(observation.activities)
        chip.wait(50.0)
    return seen


def same(one, other):
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_the_same_chip_from_then_on(kind, backend, tmp_path):
    spec, fields = KINDS[kind]
    net = CONV if kind == "crossbar" else DENSE
    chip = Chip(net, devices.get(spec, **fields), seed=4, bias=True, decorrelate=True, backend=backend, chips=2)
    life(chip)
    ways = ["copy", "file"] if backend == "cuda" else WAYS
    copies = {way: WAYS[way](chip, tmp_path) for way in ways}
    before, seen = chip.cost.as_dict(), life(chip, seed=1)
    for way, other in copies.items():
        assert other.cost.as_dict() == before, way
        assert same(life(other, seed=1), seen), way
        assert (other.cost, other.clock, repr(other)) == (chip.cost, chip.clock, repr(chip)), way


@pytest.mark.parametrize("form", ["inputs", "updates"])
@pytest.mark.parametrize("scaling", ["array", "column"])
def test_scales_and_forms_of_given_weights_are_kept(scaling, form, tmp_path):
    rng = np.random.default_rng(0)
    given = [rng.normal(0, 0.1, shape) for shape in ((5, 7), (3, 5))]
    chip = Chip(DENSE, "crossbar", seed=4, decorrelate=form, oracle=True, init=given, weight_scaling=scaling)
    life(chip)
    copies = {way: make(chip, tmp_path) for way, make in WAYS.items()}
    other = chip.with_device(line_noise=0.0)
    assert same(other.weights().values(), chip.weights().values())
    seen = life(chip, seed=1)
    for way, one in copies.items():
        assert same(life(one, seed=1), seen), way
        assert same(one.weights().values(), chip.weights().values()), way
        assert (one.init, one.clipped) == (chip.init, chip.clipped), way


def test_chips_with_seeds_of_their_own_keep_their_own_costs(tmp_path):
    chip = Chip(DENSE, "crossbar", seed=[3, 8], chips=2, decorrelate=True)
    life(chip)
    for way, make in WAYS.items():
        assert make(chip, tmp_path).cost_by_chip() == chip.cost_by_chip(), way


@pytest.mark.parametrize("kind", ["gaussian", "crossbar", "pulsed pairs"])
def test_a_fork_has_the_same_cells_and_other_noise(kind, tmp_path):
    spec, fields = KINDS[kind]
    chip = Chip(DENSE, devices.get(spec, **fields), seed=4, decorrelate=True, oracle=True)
    life(chip)
    chip.save(tmp_path / "chip.h5")
    one, again, loaded = chip.copy(fork=1), chip.copy(fork=1), Chip.load(tmp_path / "chip.h5", fork=1)
    two, twice = chip.copy(fork=2), chip.copy(fork=1).copy(fork=1)
    for fork in (one, two):
        assert same(fork.weights().values(), chip.weights().values())
    lives = [life(each) for each in (chip, one, two, twice)]
    assert same(lives[1], life(again))
    assert same(lives[1], life(loaded))
    for k, mine in enumerate(lives):
        assert not any(same(mine, other) for other in lives[k + 1 :])
    reloaded = pickle.loads(pickle.dumps(one))  # what it was forked by is kept
    assert same(life(one, seed=3), life(reloaded, seed=3))


DEVICE = '''
from typing import NamedTuple


class TwoLevel(NamedTuple):
    """Two levels."""

    amplitude: float = 0.05


def readout(i, energy, z, u, d):
    return i + d.amplitude * (u < 0.1)
'''
SWISH = '''
import numpy as np


def swish(a):
    """a / (1 + exp(-a))."""
    return a / (np.float32(1) + np.exp(-a))


def swish_slope(a):
    """Its derivative."""
    s = np.float32(1) / (np.float32(1) + np.exp(-a))
    return s + a * s * (np.float32(1) - s)
'''
CHILD = """
import pickle, sys, numpy as np
chip = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[2], chip.predict(np.ones((3, 7))))
"""


@pytest.fixture
def own_parts(tmp_path):
    """Paths of a device file and of a file with an activation function."""
    (tmp_path / "two_level.py").write_text(DEVICE)
    (tmp_path / "swish.py").write_text(SWISH)
    return tmp_path / "two_level.py", tmp_path / "swish.py"


@pytest.mark.parametrize("there", [True, False])
def test_a_process_of_its_own_unpickles_a_chip_of_parts_from_files(own_parts, tmp_path, there):
    device, activation = own_parts
    chip = Chip(DENSE, f"{device}:amplitude=0.2", str(activation), seed=1)
    assert pickle.loads(pickle.dumps(chip.device)) == chip.device
    (tmp_path / "chip.pickle").write_bytes(pickle.dumps(chip))
    if not there:
        device.unlink()
        activation.unlink()
    answer = tmp_path / "answer.npy"
    subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "chip.pickle"), str(answer)], check=True)
    np.testing.assert_array_equal(np.load(answer), chip.predict(np.ones((3, 7))))


def test_a_file_names_the_parts_that_it_needs_by_their_hash(own_parts, tmp_path):
    device, activation = own_parts
    chip = Chip(DENSE, device, str(activation), seed=1)
    chip.save(tmp_path / "chip.h5")
    moved = [part.rename(part.with_name(f"moved_{part.name}")) for part in own_parts]
    with pytest.raises(FileNotFoundError, match=r"two_level\.py"):
        Chip.load(tmp_path / "chip.h5", activation=moved[1])
    with pytest.raises(FileNotFoundError, match=r"swish\.py"):
        Chip.load(tmp_path / "chip.h5", device=moved[0])
    with pytest.raises(ValueError, match=r"activation is .*swish\.py', another one than given: 'relu'"):
        Chip.load(tmp_path / "chip.h5", device=moved[0], activation="relu")
    other = Chip.load(tmp_path / "chip.h5", device=moved[0], activation=moved[1])
    np.testing.assert_array_equal(other.predict(np.ones((3, 7))), chip.predict(np.ones((3, 7))))
    moved[0].write_text(DEVICE.replace("0.05", "0.06"))
    with pytest.raises(ValueError, match="is not the one recorded"):
        Chip.load(tmp_path / "chip.h5", device=moved[0], activation=moved[1])


def softsign(a):
    return a / (np.float32(1) + abs(a))


def test_an_activation_function_of_a_script_is_pickled_by_its_name_and_given_again_to_a_file(tmp_path):
    chip, x = Chip(DENSE, "crossbar", softsign, seed=1), np.ones((3, 7))
    chip.save(tmp_path / "chip.h5")
    copies = copy.deepcopy(chip), pickle.loads(pickle.dumps(chip)), Chip.load(tmp_path / "chip.h5", activation=softsign)
    expected = chip.predict(x)
    for other in copies:
        np.testing.assert_array_equal(other.predict(x), expected)
    with pytest.raises(ValueError, match=r"activation 'softsign' was an object of class .*: give it again"):
        Chip.load(tmp_path / "chip.h5")


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("chip") / "chip.h5"
    Chip(DENSE, "crossbar", seed=1).save(path)
    return path


def edited(change):
    """A change of the record, as a change of the file."""

    def apply(file):
        record = json.loads(file["chip"][()])
        change(record)
        del file["chip"]
        file["chip"] = json.dumps(record)

    return apply


DAMAGE = {
    "no-array": (lambda f: f.__delitem__("state/weights"), "holds no whole chip.*'weights'"),
    "shape": (lambda f: (f.__delitem__("state/ranges"), f.create_dataset("state/ranges", data=[1.0])), "ranges have"),
    "text": (lambda f: (f.__delitem__("state/ranges"), f.create_dataset("state/ranges", data="x")), "array of numbers"),
    "no-record": (lambda f: f.__delitem__("chip"), "chip"),
    "no-seed": (edited(lambda r: r.pop("seed")), "does not say its 'seed'"),
    "version": (lambda f: f.attrs.__setitem__("version", 9), "layout version 9; this noisysim reads 1"),
    "format": (lambda f: f.attrs.__setitem__("format", "cake"), "it is cake"),
    "newer": (edited(lambda r: r.update(colour=1)), "chip has no field 'colour'"),
    "device": (edited(lambda r: r["device"].update(name="crosbar")), "unknown device 'crosbar'"),
    "file": (edited(lambda r: r["device"].update(name="/tmp/evil.py")), "without its SHA-256"),
    "activation": (edited(lambda r: r.update(activation="evil.py")), "without its SHA-256"),
    "layer": (edited(lambda r: r["layers"].insert(1, "dense(3, activation='evil.py')")), "without its SHA-256"),
    "named layer": (edited(lambda r: r["layers"].insert(1, "a = dense(3, 'evil.py')(input)")), "without its SHA-256"),
}


@pytest.mark.parametrize(("change", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_is_not_what_it_says_is_one_clear_error(saved, tmp_path, change, said):
    path = tmp_path / "chip.h5"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ValueError, match=said) as caught:
        Chip.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_chip_is_refused(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="no chip file"):
        Chip.load(tmp_path / "none.h5")
    with pytest.raises(FileExistsError, match=r"exists: give another path, or say overwrite=True$"):
        Chip.load(saved).save(saved)
    content = bytearray(saved.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.h5").write_bytes(content)
    with pytest.raises(ValueError, match="it was damaged"):
        Chip.load(tmp_path / "flipped.h5")
    noisysim.run("student-teacher:n_in=6,n_train=40,n_test=10", layers=[5], epochs=1, out=tmp_path / "run.h5",
                 progress=False)  # fmt: skip
    with pytest.raises(ValueError, match=r"the result of a run: noisysim.load\(path\).chip\(\)"):
        Chip.load(tmp_path / "run.h5")
    with pytest.raises(ValueError, match=r"noisysim\.Chip\.load"):
        noisysim.load(saved)


ARGUMENTS = {
    "fork-text": (lambda c: c.copy(fork="new"), TypeError, "fork must be a whole number"),
    "fork-negative": (lambda c: c.copy(fork=-1), ValueError, "fork must be a whole number from 0"),
    "overwrite": (lambda c: c.save("x.h5", overwrite="yes"), TypeError, "overwrite must be True or False"),
    "oracle": (lambda c: Chip.load(c.saved, oracle="yes"), TypeError, "oracle must be True or False"),
    "backend": (lambda c: Chip.load(c.saved, backend="gpu"), ValueError, "unknown backend 'gpu'; did you mean 'cpu'"),
    "other-device": (lambda c: Chip.load(c.saved, device="pcm"), ValueError, "has no field"),
    "unknown": (lambda c: c.with_device(reed_noise=1), ValueError, "no field 'reed_noise'; did you mean 'read_noise'"),
    "range": (lambda c: c.with_device(read_noise=-1), ValueError, r"crossbar\.read_noise must be .* not -1"),
    "together": (lambda c: c.with_device(telegraph=0.1), ValueError, "tau_"),
    "archive": (lambda c: c.save("x.npz"), ValueError, r"its file ends in \.h5 or \.hdf5, not 'x\.npz'"),
    "no-ending": (lambda c: c.save("chip"), ValueError, r"its file ends in \.h5 or \.hdf5, not 'chip'"),
    "no-path": (lambda c: c.save(3), TypeError, "a chip is saved under a path, not 3"),
    "cells": (lambda c: c.with_device(g_max=30), ValueError, r"crossbar\.g_max says what the cells are.*may change: .*"
              "read_noise.*temperature"),
    "written": (lambda c: c.with_device(program_noise=0), ValueError, "how they were written"),
    "reads": (lambda c: c.predict(np.ones((2, 7)), n_reads=0), ValueError, "n_reads must be a whole number from 1"),
    "width": (lambda c: c.predict(np.ones((2, 6))), ValueError, r"x must have the shape \(batch, 7\).*not \(2, 6\)"),
    "none": (lambda c: c.predict(np.ones((0, 7))), ValueError, "one sample or more"),
    "nan": (lambda c: c.predict(np.full((2, 7), np.nan)), ValueError, "x hold NaN"),
    "ragged": (lambda c: c.predict([[1.0] * 7, [2.0]]), ValueError, "x is no array: its parts differ in shape$"),
    "words": (lambda c: c.predict([["a"] * 7]), TypeError, "x must hold real numbers"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "said"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_bad_arguments_are_one_clear_error_and_change_nothing(saved, call, kind, said):
    chip = Chip.load(saved)
    chip.saved = saved
    with pytest.raises(kind, match=said) as caught:
        call(chip)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000
    assert chip.cost.passes == 0


# --- predictions ------------------------------------------------------------------------------------------------------


def test_predictions_are_the_outputs_of_passes_in_parts(monkeypatch):
    chip = Chip(DENSE, "crossbar", seed=1)
    x = np.random.default_rng(1).standard_normal((1100, 7))
    chip.calibrate(x)
    whole, in_parts, images = chip.copy(), chip.copy(), Chip(CONV, "crossbar", seed=1)
    expected = chip.forward(x).output
    np.testing.assert_array_equal(whole.predict(x), expected)
    monkeypatch.setattr(noisysim.chip.prediction, "MOST_VALUES", 1 << 13)
    np.testing.assert_array_equal(in_parts.predict(x), expected)
    assert in_parts.cost == chip.cost
    of_images = images.predict(np.ones((3, 2, 6, 6)))
    np.testing.assert_array_equal(of_images, Chip(CONV, "crossbar", seed=1).predict(np.ones((3, 72))))


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_of_several_chips_sees_every_sample(backend):
    chips = Chip(DENSE, "crossbar", seed=[3, 8], chips=2, backend=backend)
    x = np.random.default_rng(1).standard_normal((6, 7)).astype(np.float32)
    outputs = chips.predict(x)
    assert outputs.shape == (2, 6, 3)
    for seed, of_chip in zip((3, 8), outputs, strict=True):
        np.testing.assert_allclose(of_chip, Chip(DENSE, "crossbar", seed=seed, backend=backend).predict(x), atol=0.05)


def test_reads_average_the_noise_out():
    chip = Chip(DENSE, "gaussian:sigma=0.1", seed=1)
    x = np.zeros((400, 7))
    one, many = chip.predict(x), chip.predict(x, n_reads=25)
    assert one.dtype == many.dtype == np.float32
    np.testing.assert_allclose(many.std(axis=0), one.std(axis=0) / 5, rtol=0.2)
    assert chip.cost.passes == 26


# --- other conditions -------------------------------------------------------------------------------------------------

CASES = {
    "on": ("crossbar", {}, {"drift_nu": 0.1, "adc_bits": 6, "read_noise": 0.03, "temperature": 350.0}),
    "off": (
        "crossbar", {"drift_nu": 0.1, "drift_nu_spread": 0.3, "stuck_low": 0.1, "dead_rows": 0.1}, {"drift_nu": 0.0}
    ),
    "single": (
        "crossbar", {"drift_nu": 0.1, "drift_nu_spread": 0.3, "stuck_low": 0.1, "cells_per_weight": 1},
        {"drift_nu": 0.05, "read_noise": 0.0},
    ),
    "jumps": (
        "crossbar", {"telegraph_spread": 0.2}, {"telegraph": 0.3, "tau_capture": 1e-6, "tau_emission": 1e-6}
    ),
    "lines": (
        "crossbar:controller=copy", {"adc_gain_spread": 0.1, "slices": 2, "tile_rows": 4},
        {"adc_gain": 0.1, "dac_bits": 6},
    ),
    "wires": ("crossbar", {"wire_resistance": 20.0}, {"read_noise": 0.0}),
    "scale": ("crossbar", {}, {"adc_range": 3.0}),
    "pcm": ("pcm", {}, {"drift": 0.0, "read_noise": 0.5}),
    "pcm-from-none": ("pcm", {"drift": 0.0, "read_noise": 0.0}, {"drift": 1.0, "read_noise": 1.0}),
    "leak": ("pulsed", {}, {"leak_time": 1e3, "leak_rest": 0.2}),
    "gaussian": ("gaussian", {}, {"sigma": 0.1}),
    "pulses": (bench.__file__, bench.KINDS["pulses"], {"cell_noise": 0.1, "read_time": 0.01}),
}  # fmt: skip


def written(device, backend):
    """A chip that was written to once, and not read."""
    chip = Chip(DENSE, device, seed=4, bias=True, backend=backend, oracle=True)
    put = chip._hidden.backend.put
    chip.program([put(np.full((a, b), 0.02, np.float32)) for a, b in chip.network.shapes])
    return chip


def looked_into(chip):
    """All that a chip holds and shows after a while."""
    take, put = chip._hidden.backend.take, chip._hidden.backend.put
    chip.wait(100.0)
    held = [array for cells in chip.cells() for array in cells]
    x = put(np.random.default_rng(2).standard_normal((6, 7)).astype(np.float32))
    shown = [np.array(take(chip.forward(x).output)) for _ in range(2)]
    return [*held, *chip.weights().values(), np.array(take(chip._hidden.ranges)), *shown]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_under_other_conditions_a_chip_is_as_if_they_had_held_since_it_was_written(case, backend):
    """Conditions do not act on writes, so a chip made under them and written alike has the same cells."""
    spec, fields, others = CASES[case]
    device = devices.get(spec, **fields)
    chip = written(device, backend)
    kept = looked_into(chip.copy())
    moved, made = chip.with_device(**others), written(devices.get(device, **others), backend)
    assert moved.device == made.device
    for ours, theirs in zip(looked_into(moved), looked_into(made), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert same(kept, looked_into(chip))  # which stays what it is


def test_ranges_of_converters_are_calibrated_anew_only_where_a_converter_changes():
    x = np.random.default_rng(2).standard_normal((50, 7))
    chip = Chip(DENSE, "crossbar", seed=4)
    chip.calibrate(x)
    hidden = [chip.with_device(**changes)._hidden for changes in ({"read_noise": 0.1}, {"adc_bits": 4})]
    assert [one.calibrated for one in hidden] == [True, False]
    np.testing.assert_array_equal(hidden[0].ranges, chip._hidden.ranges)
    other = chip.with_device(adc_bits=4)
    other.forward(3 * x)
    assert (other._hidden.ranges > 2 * chip._hidden.ranges).all()


def test_running_statistics_survive_a_change_of_converters():
    chip = Chip(CONV, "crossbar", seed=4, oracle=True)
    x = np.random.default_rng(2).standard_normal((50, 72))
    chip.calibrate(x)
    other = chip.with_device(adc_bits=6)
    other.forward(5 * x + 1)
    for name in ("0.running_mean", "0.running_var"):
        np.testing.assert_array_equal(other.weights()[name], chip.weights()[name])


CONDITIONS = {
    "converters": {"dac_bits", "dac_range", "dac_gain", "dac_offset", "dac_curve", "adc_bits", "adc_range", "adc_gain",
                   "adc_offset", "adc_curve", "line_noise", "read_time", "write_time", "verify_time", "write_parallel",
                   "compensation", "perturbation_bits", "perturbation_range", "perturbation_noise"},
    "crossbar": {"read_noise", "read_floor", "bandwidth", "fano", "read_voltage", "temperature", "flicker_noise",
                 "telegraph", "tau_capture", "tau_emission", "drift_nu", "drift_start", "retention",
                 "activation_energy", "temperature_coefficient"},
    "gaussian": {"sigma"}, "ideal": set(), "measured": {"read_noise"},
    "sonos": {"read_noise", "drift", "drift_deviation"},
    "pcm": {"read_noise", "drift", "drift_deviation", "drift_start"},
    "pcm_hermes": {"read_noise", "drift", "drift_deviation", "drift_start"},
    "pulsed": {"read_noise", "leak_time", "leak_rest", "drift_start"},
    "rpu": {"read_noise", "leak_time", "leak_rest", "drift_start"},
    "rram_gong": {"read_noise"}, "rram_milo": {"read_noise", "read_voltage", "iv_conductance"},
    "rram_wan": {"read_noise", "drift", "drift_deviation"}, "pulsed_exponential": {"read_noise"},
    "pulsed_power": {"read_noise"}, "pulsed_piecewise": {"read_noise"},
}  # fmt: skip
CELLS = {
    "shared": {"dac_gain_spread", "dac_offset_spread", "dac_curve_spread", "adc_gain_spread", "adc_offset_spread",
               "adc_curve_spread", "perturbation_gain_error", "weight_range", "weight_bound",
               "cells_per_weight", "slices", "slice_bits",
               "tile_rows", "tile_columns", "wire_resistance", "nodal", "stuck_low", "stuck_high", "stuck_random",
               "dead_rows", "dead_columns", "max_cycles", "max_cycles_spread",
               "g_min", "g_max", "program_noise", "controller", "target_bits",
               "write_step"},
    "pulses": {"pulse_step", "pulse_limit", "verify_pulses", "verify_tolerance", "refresh_at", "write_noise", "update",
               "pulse_slots", "update_management", "update_bl_management", "transfer_every", "transfer_columns",
               "transfer_rate", "transfer_gain", "fast_pulses", "slow_pulses", "transfer_gamma", "chop_rate",
               "zero_shift_pulses"},
    "steps": {"pulse_gain", "pulse_gain_spread", "asymmetry", "asymmetry_spread", "upper", "lower", "bounds_spread",
               "upper_spread", "lower_spread", "write_noise_floor", "apparent_noise", "pulse_scale",
               "pulse_scale_spread"},
    "linear": {"gamma_up", "gamma_down", "gamma_up_own", "gamma_down_own", "gamma_up_spread", "gamma_down_spread",
               "gamma_of_bound", "reference", "reference_spread", "zero_shift", "leak_time_spread"},
    "exponential": {"up_down", "a_up", "a_down", "gamma_up", "gamma_down", "scale", "shift", "origin",
                    "write_noise_slope"},
    "crossbar": {"telegraph_spread", "program_noise_share", "levels", "iv_curve", "drift_nu_spread",
                 "write_temperature"},
    "pcm": {"drift_spread"}, "pcm_hermes": {"drift_spread", "devices"}, "sonos": {"read_voltage", "drift_spread"},
    "rram_wan": {"drift_spread"}, "pulsed_power": {"gamma_up", "gamma_down", "gamma_spread"},
    "pulsed_piecewise": {"steps"},
    "measured": {"table", "write_noise_share"},
}  # fmt: skip
CELLS |= {"pulsed": CELLS["linear"], "rpu": CELLS["linear"]}
CELLS |= {"pulsed_exponential": CELLS["exponential"], "rram_gong": CELLS["exponential"]}


@pytest.mark.parametrize("name", devices.BUILT_IN)
def test_every_field_is_a_condition_or_says_what_cells_are(name):
    """A new field has to be put on one side: with ``condition=True`` where it is declared, and here."""
    fields = set(declared(devices.kind(name)))
    known = {*CONDITIONS["converters"], *CONDITIONS[name]} & fields
    cells = {*CELLS["shared"], *CELLS["pulses"], *CELLS["steps"], *CELLS.get(name, ())} & fields
    assert set(conditions.allowed(devices.get(name))) == known
    assert fields - known == cells


OWN_FIELDS = """
from typing import NamedTuple


class Own(NamedTuple):
    amplitude: float = 0.05  # of lines alone
    duty: float = 0.1
    both: float = 0.2  # of lines and of writes
    miss: float = 0.01
    unread: float = 1.0
    g_max: float = 25.0


def share(d):
    return d.duty


def program(g, z, d):
    return g + (d.miss + d.both) * z


def readout(i, energy, z, u, d):
    return i + d.amplitude * (u < share(d)) * d.both + 0.0 * d.g_max
"""


def test_what_only_hooks_of_lines_read_may_change_on_a_device_of_a_users_own(tmp_path):
    place = tmp_path / "own.py"
    place.write_text(OWN_FIELDS)
    chip = Chip([4, 3], str(place), seed=1, oracle=True)
    assert conditions.allowed(chip.device) == ["amplitude", "duty"]
    other = chip.with_device(amplitude=0.5, duty=0.4)
    assert (other.device.amplitude, other.device.duty) == (0.5, 0.4)
    np.testing.assert_array_equal(other.weights()["0.weight"], chip.weights()["0.weight"])
    for name in ("both", "miss", "unread", "g_max"):
        said = rf"{name} says what the cells are.*may change: amplitude, duty; .*by Field\(\.\.\., condition=True\)"
        with pytest.raises(ValueError, match=said):
            chip.with_device(**{name: 0.3})
