"""A loop of one's own is a run: the contract's page as printed, for every rule, and rules that forget to count."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import noisysim
from noisysim import learners
from noisysim.chip.chip import snapshot
from noisysim.compute import algebra, layered
from noisysim.learners import NP, Learner

PAGE = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
(LOOP,) = (text for text in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S) if "noisysim.prepare(" in text)
NOISY = frozenset({"perturbation", "output_error", "targets"})


def edited(text, **changes):
    """The page's loop with other settings, each of which it has once."""
    for old, new in changes.values():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def as_printed(**changes):
    """What the page's loop leaves behind."""
    found = {}
    exec(compile(edited(LOOP, **changes), "contract.md", "exec"), found)
    return found


def same_as_a_run(found, **arguments):
    result = noisysim.run(seed=1, layers=[32], progress=False, **arguments)
    theirs, own = result.content["arrays"]["state/chip"], snapshot(found["chip"])
    assert set(theirs) == set(own)
    for name, array in own.items():
        np.testing.assert_array_equal(theirs[name], array, err_msg=name)
    assert found["state"].step == result.cost["updates"]
    assert found["test"].loss.mean() == pytest.approx(result.history["test_loss"][-1], rel=1e-12)
    return result


def test_the_contracts_loop_as_printed_is_the_run(capsys):
    result = same_as_a_run(as_printed(), learner="dnp", epochs=5)
    assert result.history["test_accuracy"][-1] > 0.6
    printed = [float(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    np.testing.assert_allclose(printed, result.history["test_loss"], rtol=1e-12)


@pytest.mark.parametrize("name", learners.names())
def test_the_contracts_loop_is_the_run_for_every_rule(name):
    spec, device = (f"{name}:normalise=True", "crossbar:controller=copy") if name == "dnp" else (name, "crossbar")
    found = as_printed(
        learner=('get("dnp")', f'get("{spec}")'), epochs=("range(5)", "range(1)"), device=('"crossbar"', f'"{device}"')
    )
    same_as_a_run(found, learner=spec, device=device, epochs=1)


def test_the_contracts_loop_is_the_run_with_batch_norm_and_dropout():
    hidden = [32, noisysim.batch_norm(), noisysim.dropout(0.1)]
    found = as_printed(
        net=("32, task", "32, noisysim.batch_norm(), noisysim.dropout(0.1), task"), epochs=("range(5)", "range(1)"),
        learner=('get("dnp")', 'get("danp")'), first=("batches(32, seed=1))", "batches(50, seed=1))"),
        size=("batches(32, seed=1, epoch", "batches(50, seed=1, epoch"),
    )  # fmt: skip
    result = noisysim.run(seed=1, layers=hidden, learner="danp", batch_size=50, epochs=1, progress=False)
    for name, array in snapshot(found["chip"]).items():
        np.testing.assert_array_equal(result.content["arrays"]["state/chip"][name], array, err_msg=name)


# --- the strength of a perturbation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", learners.names())
@pytest.mark.parametrize("device", ["crossbar", "gaussian", "crossbar:read_noise=0,line_noise=0"])
def test_a_strength_that_nobody_chose_is_an_error_and_prepare_chooses(name, device):
    """A chip without noise but with converters is as little exact as a noisy one."""
    learner = learners.get(name)
    chip = noisysim.Chip([6, 5, 3], device, decorrelate=True, oracle="oracle" in learner.requires())
    offers = chip.offers - {"oracle"} if "oracle" not in learner.requires() else chip.offers
    quiet, loud = (learner.injects(offers, floor, chip.architecture) for floor in (0.0, 0.1))
    if quiet == loud or {"clean", "oracle"} <= offers:
        assert learner.init(chip.architecture, offers=offers).sigma == quiet
    else:
        with pytest.raises(ValueError, match=rf"^learner '{name}' has no perturbation strength: .*noisysim\.prepare"):
            learner.init(chip.architecture, offers=offers)
        assert learners.get(name, sigma=0.02).init(chip.architecture, offers=offers).sigma == 0.02
        assert learner.init(chip.architecture, offers=offers, floor=0.1).sigma == loud
    task = noisysim.tasks.get((np.random.default_rng(0).standard_normal((40, 6)), np.arange(40) % 3))
    state = noisysim.prepare(learner, chip, task.batch("train", slice(0, 32)))
    assert (state.sigma > 1e-3) == (quiet != loud)


def test_observations_made_by_hand_need_no_strength():
    assert learners.get("np").init([4, 3, 2]).sigma == 1e-3


def test_prepare_takes_a_learner_and_a_batch():
    chip = noisysim.Chip([6, 5, 3], "crossbar")
    batch = noisysim.tasks.get((np.eye(6), np.arange(6) % 3)).batch("train", slice(0, 4))
    with pytest.raises(TypeError, match=r"learner must be a Learner, .*not 'np'"):
        noisysim.prepare("np", chip, batch)
    with pytest.raises(TypeError, match="batch must be a task's batch"):
        noisysim.prepare(learners.get("np"), chip, batch.inputs)
    with pytest.raises(ValueError, match="needs oracle"):
        noisysim.prepare(learners.get("bp"), chip, batch)
    state = noisysim.prepare(learners.get("danp"), chip, batch)
    observations = chip.passes(batch, learners.get("danp").drives(state, 4))
    with pytest.raises(ValueError, match="make it with decorrelate=True"):
        noisysim.adapt(learners.get("danp"), chip, observations[0])


# --- steps are counted for every rule -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forgetful(Learner):
    """Node perturbation that draws by key and step, and leaves the step alone."""

    name: ClassVar[str] = "forgetful"

    def drives(self, state, batch_size):
        drawn = layered.empty([(batch_size, n) for n in state.net.units])
        algebra.normals(drawn, 0.05, 0, state.step, 0, state.key)
        state.work["drawn"] = drawn
        return [noisysim.Drive(), noisysim.Drive(drawn)]

    def update(self, state, observations, *, oracle=None, out=None):
        first, second = observations
        change = (second.loss - first.loss) / 0.05**2
        drawn = state.work["drawn"]
        return [(change[:, None] * v).T @ x / len(x) for v, x in zip(drawn, first.inputs, strict=True)], state


@dataclass(frozen=True)
class Counting(Forgetful):
    """The same with a count of its own."""

    name: ClassVar[str] = "counting"

    def update(self, state, observations, *, oracle=None, out=None):
        state.step += 1
        gradients, state = super().update(state, observations)
        state.step += 1
        return gradients, state


class _Mixed:
    """Not a learner, but its `update` is one's."""

    update = vars(Forgetful)["update"].__wrapped__


@dataclass(frozen=True)
class Mixed(_Mixed, Forgetful):
    """A rule whose update comes from elsewhere."""

    name: ClassVar[str] = "mixed"


@dataclass(frozen=True, slots=True)
class Slotted(Forgetful):
    """A rule whose class is made twice."""

    name: ClassVar[str] = "slotted"

    def update(self, state, observations, *, oracle=None, out=None):
        return Forgetful.update(self, state, observations)


@dataclass(frozen=True)
class Inherits(NP):
    """A built-in rule's heir with an update of its own."""

    name: ClassVar[str] = "inherits"

    def update(self, state, observations, *, oracle=None, out=None):
        return super().update(state, observations, oracle=oracle, out=out)


@pytest.mark.parametrize("rule", [Forgetful, Counting, Mixed, Slotted, Inherits, NP])
def test_every_update_counts_one_step_and_draws_anew(rule):
    learner, chip = rule(), noisysim.Chip([6, 5, 3], "ideal")
    batch = noisysim.tasks.get((np.eye(6), np.arange(6) % 3)).batch("train", slice(0, 4))
    state, seen = noisysim.prepare(learner, chip, batch), []
    for step in range(3):
        assert state.step == step
        drives = learner.drives(state, 4)
        seen.append(drives[1].perturbations[0].copy())
        observations = chip.passes(batch, drives)
        _, state = learner.update(state=state, observations=observations)
    assert not any(np.array_equal(a, b) for k, a in enumerate(seen) for b in seen[:k])


def test_a_rule_that_forgets_to_count_learns_in_a_run_with_one_chip_or_several(tmp_path):
    """6.9 % without the count; the same bits as a rule that counts, and from a checkpoint."""
    given = {"device": "ideal", "layers": [16], "epochs": 3, "learning_rate": 3e-3, "progress": False}
    forgets, counts = (noisysim.run(learner=rule, **given) for rule in (Forgetful(), Counting()))
    assert forgets.history["test_accuracy"][-1] > 0.4
    np.testing.assert_array_equal(forgets.steps["train_loss"], counts.steps["train_loss"])
    assert int(forgets.content["arrays"]["state/learner"]["step"]) == forgets.cost["updates"]
    both = noisysim.run(learner=Forgetful(), chips=2, **given)
    np.testing.assert_array_equal(both.steps["train_loss"][:, 0], forgets.steps["train_loss"])


def test_an_update_that_fails_does_not_count():
    learner = learners.get("np")
    state = learner.init([4, 3, 2])
    with pytest.raises(ValueError, match="observations"):
        learner.update(state, [])
    assert state.step == 0


OWN_LOOP = (Path(__file__).parents[2] / "docs" / "your-own-loop.md").read_text()


def test_the_page_on_own_loops_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", OWN_LOOP, re.M | re.S)
    found = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"your-own-loop.md, block {number}", "exec"), found)
    assert found["accuracy"] > 0.6
    assert found["after"] < found["before"]  # the loss that the chip has learned after the task's own
    np.testing.assert_array_equal(found["later"].weights()["0.weight"].shape, (32, 64))
    assert found["later"].clock == found["chip"].clock + 86400
    assert found["state"].step > len(found["inverted"])
