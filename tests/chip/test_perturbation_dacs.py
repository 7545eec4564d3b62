"""DACs of perturbations: what lines get, what the learner believes, and that runs keep their promises."""

import numpy as np
import pytest

import noisysim
from noisysim import Chip, Drive, conv, learners
from noisysim.compute import backends
from noisysim.devices.physics.converters import quantise

EXACT = "crossbar:adc_bits=0,dac_bits=0,line_noise=0,read_noise=0,program_noise=0,levels=0,controller=copy"
LAYERS, ROWS = [4, 6, 3], 50
ERRORS = ",perturbation_bits=4,perturbation_gain_error=0.1,perturbation_noise=0.02"


def chip_of(fields, **settings):
    """A chip whose weights are zero: its lines show what is added to them, and nothing else."""
    return Chip(settings.pop("layers", LAYERS), EXACT + fields, init="zero", seed=settings.pop("seed", 1), **settings)


def drawn(rows=ROWS, seed=0, layers=LAYERS):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((rows, n)).astype(np.float32) for n in layers[1:]]


def lines(chip, added, rows=ROWS, **settings):
    x = np.ones((rows, chip.sizes[0]), np.float32)
    return [np.array(a) for a in chip.passes(x, [Drive(), Drive(added)], **settings)[1].activities]


def test_without_errors_lines_get_what_was_asked_for():
    added = drawn()
    for one, asked in zip(lines(chip_of(""), added), added, strict=True):
        np.testing.assert_array_equal(one, asked)


@pytest.mark.parametrize("bits", [2, 3, 8])
@pytest.mark.parametrize("full", [0, 1.5])
def test_perturbations_are_rounded_to_codes_number_by_number(bits, full):
    """Beside the converters' own scalar law, of each sample's vector on its own scale or of a fixed one."""
    added = drawn()
    before = [a.copy() for a in added]
    found = lines(chip_of(f",perturbation_bits={bits},perturbation_range={full}"), added)
    for layer, asked in enumerate(before):
        np.testing.assert_array_equal(added[layer], asked)  # what the rule believes stays what it is
        for row, seen in zip(asked, found[layer], strict=True):
            scale = full or np.max(np.abs(row))
            expected = [quantise(v, scale, bits) for v in row]
            np.testing.assert_allclose(seen, expected, rtol=1e-6, atol=1e-7)
        assert not full or np.max(np.abs(found[layer])) <= np.float32(full) < np.max(np.abs(asked))


def test_a_range_alone_clips_and_vectors_of_zeros_stay_zeros():
    added = drawn()
    added[0][3] = 0
    for one, asked in zip(lines(chip_of(",perturbation_range=0.5"), added), added, strict=True):
        np.testing.assert_array_equal(one, np.clip(asked, -0.5, 0.5))
    found = lines(chip_of(ERRORS), added)
    assert not found[0][3].any()
    assert np.isfinite(found[0]).all()


def test_gains_are_of_lines_fixed_for_a_chip_and_their_spread_is_the_stated_one():
    wide = [4, 2000, 3]
    chip, added = chip_of(",perturbation_gain_error=0.1", layers=wide), drawn(5, layers=wide)
    first, again = lines(chip, added, 5), lines(chip, drawn(5, 1, wide), 5)
    gains = first[0] / added[0]
    np.testing.assert_allclose(gains, np.tile(gains[0], (5, 1)), rtol=1e-5)
    np.testing.assert_allclose(again[0] / drawn(5, 1, wide)[0], gains, rtol=1e-5)
    assert np.mean(gains[0]) == pytest.approx(1, abs=0.01)
    assert np.std(gains[0]) == pytest.approx(0.1, rel=0.05)
    other = lines(chip_of(",perturbation_gain_error=0.1", layers=wide, seed=2), added, 5)[0] / added[0]
    assert abs(np.corrcoef(gains[0], other[0])[0, 1]) < 0.1


def test_noise_is_new_in_each_pass_sample_and_line_and_of_the_stated_size():
    rows, chip = 4000, chip_of(",perturbation_noise=0.02,perturbation_range=2")
    added = [np.full((rows, n), 0.5, np.float32) for n in LAYERS[1:]]
    first, second = (lines(chip, added, rows) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        noise, later = one - 0.5, other - 0.5
        assert np.std(noise) == pytest.approx(0.04, rel=0.03)
        assert abs(np.mean(noise)) < 0.002
        assert abs(np.corrcoef(noise.ravel(), later.ravel())[0, 1]) < 0.05
        assert np.max(np.abs(np.corrcoef(noise.T) - np.eye(noise.shape[1]))) < 0.08
    assert np.corrcoef(first[0][:, 0], first[1][:, 0])[0, 1] < 0.08


def test_what_is_not_driven_gets_nothing_and_baselines_stay_clean():
    chip = chip_of(ERRORS)
    x = np.ones((ROWS, 4), np.float32)
    baseline, _, partly = chip.passes(x, [Drive(), Drive(drawn()), Drive([None, drawn()[1]])])
    assert not any(np.any(a) for a in baseline.activities)
    assert not np.any(partly.activities[0])
    assert "clean" in chip.offers


def test_what_enters_digitally_has_no_dac():
    added = drawn()
    for one, asked in zip(lines(chip_of(ERRORS, inject="digital"), added), added, strict=True):
        np.testing.assert_array_equal(one, asked)


def test_positions_of_a_convolution_share_the_gain_of_their_line():
    chip = chip_of(",perturbation_gain_error=0.1", layers=[(1, 4, 4), conv(3, 2), 2])
    added = [np.ones(chip.network.line_shape(layer, 2), np.float32) for layer in range(2)]
    gains = lines(chip, added, 2)[0]
    assert gains.shape == (2, 9, 3)
    np.testing.assert_array_equal(gains, np.broadcast_to(gains[0, 0], gains.shape))
    assert len(set(gains[0, 0].tolist())) == 3


def test_chunks_of_a_batch_get_what_the_whole_gets():
    rows = 1024
    x, added = np.ones((rows, 4), np.float32), drawn(rows)
    whole = chip_of(ERRORS).passes(x, [Drive(), Drive(added)])[1]
    chip, parts = chip_of(ERRORS), []
    for first in (0, 512):
        here = slice(first, first + 512)
        seen = chip.passes(x[here], [Drive(), Drive([a[here] for a in added])], first_sample=first)[1]
        parts.append(np.array(seen.activities[0]))
    np.testing.assert_array_equal(np.concatenate(parts), whole.activities[0])


def test_chips_side_by_side_get_what_each_gets_alone():
    both = chip_of(ERRORS, chips=2, seed=(1, 2))
    together = lines(both, drawn(2 * ROWS), 2 * ROWS)
    for m, seed in enumerate((1, 2)):
        part = slice(m * ROWS, (m + 1) * ROWS)
        alone = lines(chip_of(ERRORS, seed=seed), [a[part] for a in drawn(2 * ROWS)])
        for one, several in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, several[part])


def test_passes_aside_leave_no_trace_and_forks_draw_other_noise():
    chip, twin = chip_of(ERRORS), chip_of(ERRORS)
    with chip.aside():
        lines(chip, drawn())
    np.testing.assert_array_equal(lines(chip, drawn())[0], lines(twin, drawn())[0])
    alike, forked = chip.copy(), chip.copy(fork=1)
    expected = lines(chip, drawn())[0]
    np.testing.assert_array_equal(lines(alike, drawn())[0], expected)
    assert not np.array_equal(lines(forked, drawn())[0], expected)


def test_conditions_may_change_and_gains_may_not():
    chip = chip_of(ERRORS)
    ideal = chip.with_device(perturbation_bits=0, perturbation_noise=0)
    gains = lines(ideal, drawn())[0] / drawn()[0]
    np.testing.assert_allclose(gains, np.tile(gains[0], (ROWS, 1)), rtol=1e-5)
    with pytest.raises(ValueError, match="perturbation_gain_error says what the cells are"):
        chip.with_device(perturbation_gain_error=0.2)


# --- runs -----------------------------------------------------------------------------------------------------------

RULES = ["np", "dnp", "inp", "anp", "danp", "canp", "fg-a:error=scalar", "dfa:error=scalar", "np:baseline=noisy"]


def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 6))
    return x[:40], np.arange(40) % 3, x[40:], np.arange(20) % 3


def run(device, learner="np:sigma=0.1", **settings):
    given = {"layers": [5], "batch_size": 8, "epochs": 2, "seed": 3, "progress": False, **settings}
    return noisysim.run(data(), device=device, learner=learner, **given)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_that_perturbs_lines_learns_from_what_these_got(rule):
    spec = learners.get(rule, sigma=0.1)
    exact, coarse = (run(EXACT + fields, spec) for fields in ("", ",perturbation_bits=2"))
    assert not np.array_equal(exact.steps["train_loss"], coarse.steps["train_loss"])
    assert np.isfinite(coarse.steps["train_loss"]).all()


@pytest.mark.parametrize("rule", ["fg-w", "fg-a", "dfa", "np"])
def test_rules_that_perturb_no_line_see_none_of_it(rule):
    inject = "digital" if rule == "np" else "line"
    exact, coarse = (run(EXACT + fields, rule, inject=inject) for fields in ("", ERRORS))
    np.testing.assert_array_equal(exact.steps["train_loss"], coarse.steps["train_loss"])


def test_np_trusts_what_it_asked_for_and_anp_measures_what_came():
    """Lines that get half of what is injected halve NP's estimate; ANP's stays."""
    norms = {}
    for rule in ("np", "anp"):
        for full in (0, 0.001):
            chip = Chip(LAYERS, f"{EXACT},perturbation_range={full}", seed=1)
            task_batch = noisysim.Batch(
                np.random.default_rng(1).standard_normal((4000, 4)).astype(np.float32),
                np.tile(np.eye(3, dtype=np.float32)[1], (4000, 1)), noisysim.losses.get("cce"),
            )  # fmt: skip
            learner = learners.get(rule, sigma=0.01)  # clipped to a tenth of its size
            state = noisysim.prepare(learner, chip, task_batch, seed=2)
            seen = chip.passes(task_batch, learner.drives(state, 4000))
            gradients, _ = learner.update(state, seen)
            norms[rule, full] = np.linalg.norm(gradients[1])
    assert norms["np", 0.001] < 0.3 * norms["np", 0]
    assert norms["anp", 0.001] == pytest.approx(norms["anp", 0], rel=0.3)


@pytest.mark.parametrize("batch", [1, 8])
def test_runs_resume_to_the_same_bits_and_do_not_depend_on_threads(batch, tmp_path):
    """Also updates of one sample, which exact DACs leave to one compiled call."""
    out = tmp_path / "run.h5"
    whole = run(EXACT + ERRORS, batch_size=batch)
    run(EXACT + ERRORS, batch_size=batch, epochs=1, out=out)
    again = noisysim.resume(out, task=data(), epochs=2, progress=False)
    np.testing.assert_array_equal(whole.steps["train_loss"], again.steps["train_loss"])
    one, two = (run(EXACT + ERRORS, batch_size=40, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.steps["train_loss"], two.steps["train_loss"])


def test_series_step_aside():
    assert Chip(LAYERS, EXACT).learns_in_series(1, 2) is False  # before calibration
    for fields, takes in (("", True), (ERRORS, False)):
        chip = Chip(LAYERS, EXACT + fields)
        chip.calibrate(np.ones((4, 4)))
        assert chip.learns_in_series(1, 2) is takes


@pytest.mark.gpu
def test_a_gpu_gives_lines_the_same():
    added, x = drawn(), np.ones((ROWS, 4), np.float32)
    cpu, cuda = (chip_of(ERRORS, backend=backend) for backend in ("cpu", "cuda"))
    expected, place = lines(cpu, added), backends.get("cuda")
    found = cuda.passes(place.put(x), [Drive(), Drive([place.put(a) for a in added])])[1].activities
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(place.take(other), one, atol=2e-6)
