"""`loss=` of a run: the package's own, a user's pair of functions, and a score without a derivative."""

from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import learners
from noisysim.common.user_files import UserError
from noisysim.losses import Loss

GIVEN = {
    "task": "student-teacher:n_in=6,n_train=64,n_test=8", "layers": [5], "device": "ideal", "batch_size": 8,
    "epochs": 2, "seed": 3, "progress": False,
}  # fmt: skip
PAIR = """
import numpy as np

def absolute(output, targets):
    return np.abs(output - targets).sum(axis=1, dtype=np.float64)

def absolute_error(output, targets):
    return np.sign(output - targets)
"""


def score(output, targets):
    """What another program says of each sample: it takes one at a time, and returns a number."""
    told = [-1.0 / (1.0 + float(abs(y - t).sum())) for y, t in zip(output, targets, strict=True)]
    return np.array(told)


def absolute(output, targets):
    return np.abs(output - targets).sum(axis=1, dtype=np.float64)


def absolute_error(output, targets):
    return np.sign(output - targets)


def same(first, second):
    for name, values in first.history.items():
        np.testing.assert_array_equal(second.history[name], values)


def test_every_way_to_name_a_loss_gives_the_same_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("absolute.py").write_text(PAIR)
    in_task = noisysim.run(**{**GIVEN, "task": f"{GIVEN['task']},loss=absolute.py"}, learner="bp")
    assert in_task.config["task"]["loss"] == "absolute.py"
    for loss in ("absolute.py", absolute, Loss("absolute", absolute, absolute_error)):
        same(in_task, noisysim.run(**GIVEN, learner="bp", loss=loss))
    task = noisysim.tasks.get(GIVEN["task"], seed=3)
    same(in_task, noisysim.run(**{**GIVEN, "task": task}, learner="bp", loss=absolute))
    ours = noisysim.run(**GIVEN, learner="bp", loss="mse")
    same(ours, noisysim.run(**GIVEN, learner="bp"))
    assert ours.config["task"]["loss"] == "mse"


NEED_ERROR = [name for name in learners.names() if "output_error" in learners.get(name).requires()]


@pytest.mark.parametrize("learner", [name for name in learners.names() if name not in NEED_ERROR])
def test_rules_of_the_scalar_loss_learn_a_score(learner):
    result = noisysim.run(**GIVEN, learner=learner, loss=score, oracle=True)
    assert result.status == "finished"
    assert np.isfinite(result.history["train_loss"]).all()
    assert result.config["task"]["loss_part"]["identity"]["code"]


def test_a_score_is_learned():
    given = {**GIVEN, "epochs": 12, "learning_rate": 0.02}
    losses = noisysim.run(**given, learner="anp:samples=4", loss=score).history["train_loss"]
    assert losses[-3:].mean() < losses[:3].mean() - 0.02


@pytest.mark.parametrize("learner", NEED_ERROR)
def test_other_rules_refuse_it_by_name(learner):
    with pytest.raises(ValueError, match=f"learner '{learner}' needs the derivative of the loss, and 'score' has none"):
        noisysim.run(**GIVEN, learner=learner, loss=score)


def test_only_diagnostics_of_the_true_gradient_refuse_it():
    assert "bp" in NEED_ERROR
    assert not {"np", "anp", "inp"} & set(NEED_ERROR)
    with pytest.raises(ValueError, match="diagnostic 'angle' needs the derivative of the loss"):
        noisysim.run(**GIVEN, learner="anp", loss=score, diagnostics=["weight_norm", "angle"])
    result = noisysim.run(**GIVEN, learner="anp", loss=score, diagnostics=["weight_norm"], every=4)
    assert result.status == "finished"


def test_chips_side_by_side_are_scored_apart():
    alone = noisysim.run(**GIVEN, learner="np", loss=score)
    several = noisysim.run(**GIVEN, learner="np", loss=score, chips=2)
    np.testing.assert_array_equal(several.history["train_loss"][:, 0], alone.history["train_loss"])


def of_the_batch(output, targets):
    return np.float64(abs(output - targets).sum())


def fails(output, targets):
    raise RuntimeError("the simulator\nis not running")


def undefined(output, targets):
    return np.full(len(output), np.nan)


def too_short(output, targets):
    return absolute(output, targets)[:3]


def stops(output, targets):
    if len(output) > 3:
        raise RuntimeError("the simulator\nis not running")
    return absolute(output, targets)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (too_short, r"loss 'too_short': the value of outputs \(8, 10\) must be float64 of shape \(8,\), not .* \(3,\)"),
        (stops, "loss 'stops': the value raised RuntimeError: the simulator is not running"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_goes_wrong_later_is_one_error_and_the_run_is_kept(loss, said, tmp_path):
    with pytest.raises(UserError, match=said) as caught:
        noisysim.run(**GIVEN, learner="np", loss=loss, out=tmp_path / "run.h5")
    assert "\n" not in str(caught.value)
    assert noisysim.load(tmp_path / "run.h5").status == "running"


def in_place(output, targets):
    output -= targets
    targets[:] = 0
    return np.abs(output).sum(axis=1, dtype=np.float64)


def in_place_error(output, targets):
    output -= targets
    return np.sign(output, out=output)


def as_list(output, targets):
    return absolute(output, targets).tolist()


@pytest.mark.parametrize("learner", ["np", "fdfa", "bp"])
def test_a_loss_cannot_change_the_run_beside_it(learner):
    same(noisysim.run(**GIVEN, learner=learner, loss=absolute), noisysim.run(**GIVEN, learner=learner, loss=in_place))


def test_a_score_may_give_a_list():
    same(noisysim.run(**GIVEN, learner="np", loss=absolute), noisysim.run(**GIVEN, learner="np", loss=as_list))


WRONG = {
    of_the_batch: r"the value of outputs \(3, 10\) must be finite float64 of shape \(3,\), not float64 \(\)",
    fails: r"the value raised RuntimeError: the simulator is not running",
    undefined: r"with NaN or infinite values",
}


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
def test_what_is_no_loss_is_refused_before_any_work(loss):
    with pytest.raises(ValueError, match=WRONG[loss]) as caught:
        noisysim.run(**GIVEN, learner="np", loss=loss)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("loss", "said"), [("cee", "did you mean 'cce'"), (3, "loss must be a name"),
                                            ("no.py", "no loss file 'no.py'")])  # fmt: skip
def test_what_names_no_loss_is_refused(loss, said):
    with pytest.raises((ValueError, TypeError, OSError), match=said):
        noisysim.run(**GIVEN, loss=loss)


def test_a_run_is_resumed_with_its_score(tmp_path):
    path = tmp_path / "run.h5"
    whole = noisysim.run(**GIVEN, learner="np", loss=score)
    noisysim.run(**GIVEN, learner="np", loss=score, out=path, until=1e-9)
    with pytest.raises(ValueError, match=r"loss 'score' was an object of class .*: give it again, loss=score$"):
        noisysim.resume(path)
    with pytest.raises(ValueError, match="loss"):
        noisysim.resume(path, loss=absolute)
    same(whole, noisysim.resume(path, loss=score))
    noisysim.retention(path, [0], loss=score)
