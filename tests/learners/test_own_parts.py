"""Parts that users write themselves: a resumed run is the same run, or is refused with the reason."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

import noisysim
from noisysim import cli
from noisysim.common import identity
from noisysim.learners import LearnerError, memory
from noisysim.runs import environment, storage

import own_rules

SOURCE = Path(own_rules.__file__)
TASK = "student-teacher:n_in=6,n_train=44,n_test=9,n_out=3"
GIVEN = {"layers": [5, 4], "batch_size": 11, "epochs": 2, "learning_rate": 1e-3, "progress": False}


def module(path, name):
    """A Python file as a module of its own."""
    spec = importlib.util.spec_from_file_location(name, path)
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def cut_short(tmp_path, monkeypatch):
    """What runs to the end, and gives its file and a copy of the checkpoint in the middle."""
    write = storage.write

    def run(name="run", **given):
        whole, copy = tmp_path / f"{name}.h5", tmp_path / f"{name}-cut.h5"

        def keep(path, content):
            write(path, content)
            if content["status"] == "running" and len(content["arrays"]["history/epoch"]["train_loss"]) == 1:
                shutil.copy(path, copy)

        monkeypatch.setattr(storage, "write", keep)
        noisysim.run(**{"task": TASK, **GIVEN, **given}, out=whole)
        monkeypatch.setattr(storage, "write", write)
        return whole, copy

    return run


def differences(first, second):
    """Names of what two files hold otherwise, the time that was taken apart."""
    found = []
    for path in (first, second):
        with h5py.File(path, "r") as file:
            arrays = {}
            file.visititems(arrays.__setitem__)
            kept = {n: i[()] for n, i in arrays.items() if isinstance(i, h5py.Dataset) and n != "environment"}
        found.append({n: v if isinstance(v, bytes) else (v.dtype.str, v.shape, v.tobytes()) for n, v in kept.items()})
    return sorted(n for n in {**found[0], **found[1]} if found[0].get(n) != found[1].get(n))


def command(monkeypatch, *words):
    """The exit status of the command line."""
    monkeypatch.setattr(sys, "argv", ["noisysim", *words])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


AGAIN = """
import json, sys
import own_rules
import noisysim
for path, kind, name in json.loads(sys.argv[1]):
    made = {
        "learner": lambda: own_rules.RULES[name](), "optimizer": own_rules.Heavy, "task": own_rules.task,
        "diagnostics": lambda: [own_rules.LossNow()],
    }[kind]()
    noisysim.resume(path, progress=False, **{kind: made})
"""


def test_everybodys_parts_resume_to_the_same_bits_in_another_process(cut_short):
    runs = []
    for name, rule in own_rules.RULES.items():
        device = "ideal" if name in ("bp", "dbp") else "gaussian"
        runs.append((*cut_short(name, learner=rule(), device=device), "learner", name))
    runs.append((*cut_short("chips", learner=own_rules.Twin(), device="gaussian", chips=2), "learner", "twin"))
    runs.append((*cut_short("heavy", optimizer=own_rules.Heavy(), device="gaussian"), "optimizer", ""))
    watched = {"learner": "np", "diagnostics": [own_rules.LossNow(), "passed_share"], "every": 2}
    runs.append((*cut_short("watched", **watched, device="gaussian"), "diagnostics", ""))
    runs.append((*cut_short("task", task=own_rules.task(), device="gaussian"), "task", ""))
    asked = json.dumps([(str(copy), kind, name) for _, copy, kind, name in runs])
    done = subprocess.run([sys.executable, "-c", AGAIN, asked], cwd=SOURCE.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for whole, copy, kind, name in runs:
        assert noisysim.load(whole).status == "finished"
        assert differences(whole, copy) == [], (kind, name)


def test_a_built_in_never_stands_for_a_rule_of_its_name(cut_short):
    _, copy = cut_short(learner=own_rules.RULES["np"](), device="gaussian")
    with pytest.raises(ValueError, match=r"learner 'np' was an object of class own_rules\.MyNP, which no name finds"):
        noisysim.resume(copy)
    with pytest.raises(ValueError, match="which no name finds"):
        noisysim.run(**noisysim.runs.config.read(copy, noisysim.runs.api.ARGUMENTS))
    for other in ("np", noisysim.learners.get("np")):
        with pytest.raises(ValueError, match=r"another: noisysim's own 'np' \(recorded: class own_rules\.MyNP"):
            noisysim.resume(copy, learner=other)
    with pytest.raises(ValueError, match=r"learner is another: 'danp' \(recorded: 'np'\)"):
        noisysim.resume(copy, learner="danp")
    with pytest.raises(ValueError, match=r"learner is another: sigma=0\.5 \(recorded: 0\.0\)"):
        noisysim.resume(copy, learner=own_rules.RULES["np"](sigma=0.5))
    with pytest.raises(ValueError, match="which no name finds"):
        noisysim.retention(copy, [0])
    assert len(noisysim.retention(copy, [0], learner=own_rules.RULES["np"]())["test_loss"]) == 1


def test_a_rule_never_stands_for_the_built_in_of_its_name(cut_short):
    whole, copy = cut_short(learner="np", device="gaussian")
    with pytest.raises(ValueError, match=r"another: class own_rules\.MyNP \(recorded: noisysim's own 'np'\)"):
        noisysim.resume(copy, learner=own_rules.RULES["np"]())
    noisysim.resume(copy, learner="np:samples=1", progress=False)
    assert differences(whole, copy) == []


def test_other_parts_are_compared_as_well(cut_short, tmp_path):
    given = {"optimizer": own_rules.Heavy(), "diagnostics": [own_rules.LossNow()], "task": own_rules.task()}
    _, copy = cut_short(learner="np", device="gaussian", **given)
    for kind in given:
        others = {name: part for name, part in given.items() if name != kind}
        with pytest.raises(ValueError, match=f"{kind.removesuffix('s')}.* was an object of class own_rules"):
            noisysim.resume(copy, **others)
    with pytest.raises(ValueError, match=r"optimizer is another: mass=0\.7 \(recorded: 0\.8\)"):
        noisysim.resume(copy, **{**given, "optimizer": own_rules.Heavy(mass=0.7)})
    with pytest.raises(ValueError, match=r"the run has no diagnostic 'angle': it has loss_now"):
        noisysim.resume(copy, **{**given, "diagnostics": ["angle"]})
    with pytest.raises(ValueError, match=r"learner 'np' suggests none for optimizer 'heavy': give one"):
        noisysim.run(TASK, learner="np", optimizer=own_rules.Heavy())


def test_a_class_that_is_registered_is_found_by_its_name(cut_short, monkeypatch):
    monkeypatch.setitem(noisysim.diagnostics.DIAGNOSTICS, "loss_now", own_rules.LossNow)
    whole, copy = cut_short(learner="np", device="gaussian", diagnostics=["loss_now"])
    noisysim.resume(copy, progress=False)
    assert differences(whole, copy) == []


# --- what is other code ---------------------------------------------------------------------------------------------

EDITS = {
    "a constant": ("SCALE = 1.25", "SCALE = 1.5", "SCALE"),
    "an array in a global": ("np.array([1.0, -1.0])", "np.array([1.0, -2.0])", "SIGNS"),
    "deep in a global": ('("b", 3)', '("b", 4)', "SIGNS"),
    "a function that it calls": ("(by * g *", "(1 * by * g *", "scaled"),
    "an inherited method": ("1.0)) * 1.1", "1.0)) * 1.2", r"Scaling\.update"),
    "a class it inherits from": ("(Scaling, cls)", "(Scaling, Scaled, cls)", r"MyNP, Scaled"),
}


@pytest.mark.parametrize(("text", "other", "named"), EDITS.values(), ids=EDITS)
def test_other_code_is_named_and_needs_a_flag(text, other, named, tmp_path):
    source = SOURCE.read_text()
    assert text in source
    edited = source.replace(text, other).replace("\ndef of_a_family", "\nclass Scaled:\n    pass\n\n\ndef of_a_family")
    (tmp_path / "edited.py").write_text(edited)
    made = module(tmp_path / "edited.py", "edited_rules").RULES["np"]
    before, now = ({"name": "np", **identity.of_part(rule())} for rule in (own_rules.RULES["np"], made))
    asked, code = identity.differences(before, now)
    assert asked == []
    assert ", ".join(code) == named.replace("\\", "")


def test_the_same_code_elsewhere_is_the_same_rule(tmp_path):
    source = "# a comment\n" + SOURCE.read_text()
    (tmp_path / "same.py").write_text(source)
    made = module(tmp_path / "same.py", "same_rules")
    for name, rule in own_rules.RULES.items():
        assert identity.code_of(rule) == identity.code_of(made.RULES[name])


HELPED = """
import helper
from dataclasses import dataclass
from typing import ClassVar
from noisysim.learners import NP

LIMIT = 3
def made(by):
    @dataclass(frozen=True)
    class Helped(NP):
        name: ClassVar[str] = "helped"
        def update(self, state, observations, *, oracle=None, out=None):
            gradient, state = super().update(state, observations, oracle=oracle)
            return [helper.scaled(g) * by for g in gradient], state
    return Helped
"""


def test_closures_and_imported_modules_are_part_of_the_code(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def code(by, helper):
        (tmp_path / "helper.py").write_text(f"def scaled(g):\n    return g * {helper}\n")
        (tmp_path / "helped.py").write_text(HELPED)
        sys.modules.pop("helper", None)
        return identity.code_of(module(tmp_path / "helped.py", "helped").made(by))

    first = code(2, 1)
    assert "numpy" not in first
    assert code(2, 1) == first
    assert {n for n, digest in code(3, 1).items() if first[n] != digest} == {"by"}
    assert {n for n, digest in code(2, 4).items() if first[n] != digest} == {"helper"}


def test_a_rule_of_other_code_resumes_with_the_flag_and_says_so(cut_short, tmp_path):
    whole, copy = cut_short(learner=own_rules.RULES["np"](), device="gaussian")
    (tmp_path / "edited.py").write_text(SOURCE.read_text().replace("SCALE = 1.25", "SCALE = 1.5"))
    edited = module(tmp_path / "edited.py", "edited_rules").RULES["np"]()
    with pytest.raises(ValueError, match=r"learner has other code than the run's, in SCALE; allow_other_source=True"):
        noisysim.resume(copy, learner=edited)
    result = noisysim.resume(copy, learner=edited, allow_other_source=True, progress=False)
    assert result.warnings[-1] == "resumed with a learner of other code, in SCALE"
    assert "history/step/train_loss" in differences(whole, copy)


# --- memory ---------------------------------------------------------------------------------------------------------

KEPT = {
    "types": {t.__name__: np.arange(5).astype(t) for t in (
        bool, np.int8, np.uint8, np.int64, np.uint64, np.float16, np.float32, np.float64)},
    "other byte order": {"a": np.arange(4, dtype=">f4")},
    "shapes": {"zero": np.array(3.5), "empty": np.zeros((0, 3), np.float32), "cube": np.ones((2, 1, 3))},
    "names": {"a/b": np.ones(2), "step": np.zeros(1), "sigma": np.ones(1), "structure": np.ones(3), ".": np.ones(1),
              "..": np.ones(2), "a.b": np.ones(4), "ü x": np.ones(2), "%41": np.ones(1)},
    "nested": {"a": [np.ones(2), (np.zeros(3), {"b/c": [np.ones(1)]})], "e": [], "t": (), "d": {}},
    "values": {"n": None, "i": 2**70, "f": 0.1, "nan": float("nan"), "inf": -float("inf"), "s": "text", "b": True},
    "scalars": {"f": np.float32(0.1), "i": np.int16(3), "b": np.bool_(True)},
    "turned": {"f": np.asfortranarray(np.arange(6.0).reshape(2, 3))},
    "nothing": {},
}  # fmt: skip


def told_apart(value):
    """A value in a form that is equal only for what is exactly the same."""
    if isinstance(value, dict):
        return {name: told_apart(one) for name, one in value.items()}, list(value)
    if type(value) in (list, tuple):
        return type(value), [told_apart(one) for one in value]
    if isinstance(value, (np.ndarray, np.generic)):
        flags = value.flags.c_contiguous, value.flags.f_contiguous
        return type(value), value.dtype.str, value.shape, flags, value.tobytes()
    return type(value), repr(value)


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_a_memory_comes_back_exactly(kept, tmp_path):
    memory.check("memory", kept)
    with h5py.File(tmp_path / "memory.h5", "w") as file:
        for name, array in memory.encoded(kept, lambda a: a, ("step", "sigma")).items():
            assert "/" not in name
            assert array.dtype.kind in "biuf"
            file[f"state/learner/{name}"] = array
        file.require_group("state/learner")
        read = {name: item[()] for name, item in file["state/learner"].items()}
    assert not {"step", "sigma"} & set(read)
    back = memory.decoded(read, lambda a: a)
    assert told_apart(back)[0] == told_apart(kept)[0]
    assert list(back) == list(kept) or memory.STRUCTURE not in read


def test_plain_names_and_arrays_are_stored_as_they_are():
    kept = {"feedback": np.ones(3), "0.trace": np.zeros((2, 2))}
    assert memory.encoded(kept, lambda a: a) == kept


RULE = """
import random
from dataclasses import dataclass, field
from typing import ClassVar
import numpy as np
import noisysim
from noisysim.learners import NP

COUNT = 0
SEEN = []
RNG = np.random.default_rng(0)

@dataclass(frozen=True)
class Mine(NP):
    name: ClassVar[str] = "mine"
    counts: ClassVar[dict] = {}
    total: ClassVar[int] = 0

    def update(self, state, observations, *, oracle=None, out=None, cache={}):
        gradient, state = super().update(state, observations, oracle=oracle)
        BODY
        return gradient, state
"""
IMPURE = {
    "a global": ("global COUNT; COUNT += 1", "learner 'mine' changes COUNT in update, which no checkpoint holds"),
    "a list in a global": ("SEEN.append(1)", "changes SEEN in update"),
    "a generator in a global": ("gradient[0] *= RNG.random()", "changes RNG in update"),
    "a class attribute": ("type(self).total += 1", "changes Mine.total in update"),
    "a dict of the class": ("self.counts['n'] = 1", "changes Mine.counts in update"),
    "an attribute": ("object.__setattr__(self, 'n', getattr(self, 'n', 0) + 1)", "changes self.n in update"),
    "a default": ("cache['n'] = 1", "changes Mine.update in update"),
    "a function's attribute": ("Mine.update.n = getattr(Mine.update, 'n', 0) + 1", "changes Mine.update in update"),
    "NumPy's generator": ("gradient[0] *= np.random.rand()", "draws from Python's or NumPy's global generator"),
    "Python's generator": ("random.random()", r"np\.random\.default_rng\(\[\*state\.key\.ravel"),
    "no seed": ("gradient[0] *= np.random.default_rng().random()", "gives something else when update is called once"),
    "work": ("v = state.work['v'] = state.work.get('v', 0) + gradient[0]; gradient[0][:] = v", r"\(state\.work, a f"),
    "a whole number as a key": ("state.memory[3] = np.ones(2)", r"state\.memory of learner 'mine' has the key 3: keys"),
    "no name": ("state.memory[''] = np.ones(2)", "has the key '': keys are texts of 1 to 255"),
    "a key within": ("state.memory['a'] = [{1: 2}]", r"state\.memory of learner 'mine'\['a'\]\[0\] has the key 1"),
    "objects": ("state.memory['o'] = np.array([1, None])", r"\['o'\] has the type object: an array holds bool"),
    "complex numbers": ("state.memory['z'] = np.ones(2, complex)", r"\['z'\] has the type complex128"),
    "texts in an array": ("state.memory['t'] = np.array(['a'])", r"\['t'\] has the type <U1"),
    "an object": ("state.memory['r'] = RNG", r"\['r'\] must be an array, or .*, not numpy\.random"),
    "a set": ("state.memory['s'] = {1}", r"\['s'\] must be an array, or .*, not set"),
    "a subclass": ("state.memory['m'] = np.ma.ones(2)", r"\['m'\] must be an array, or .*, not numpy\.ma"),
    "a gradient": ("state.memory['g'] = gradient", r"\['g'\] must be an array, or .*, not noisysim\..*\.Layered"),
    "a view": ("state.memory['v'] = gradient[0][:, ::2]", r"\['v'\] is a view of another array, with gaps"),
    "shared": (
        "state.memory['a'] = a = np.ones(4); state.memory['b'] = [a[1:]]", r"\['b'\]\[0\] shares memory with .*\['a'\]",
    ),
    "no dict": ("state.memory = [1]", r"state\.memory of learner 'mine' must be a dict, not list"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "said"), IMPURE.values(), ids=IMPURE)
def test_what_no_checkpoint_would_hold_is_refused_at_the_first_updates(body, said, tmp_path):
    (tmp_path / "mine.py").write_text(RULE.replace("BODY", body))
    with pytest.raises((ValueError, TypeError), match=said) as caught:
        noisysim.run(TASK, **GIVEN, device="gaussian", learner=str(tmp_path / "mine.py"))
    assert len(str(caught.value).splitlines()) == 1


PURE = {
    "a generator of the state": "r = np.random.default_rng([*state.key.ravel().tolist(), state.step]); r.random()",
    "buffers": "state.work['buffer'] = gradient[0].copy()",
    "globals that are read": "gradient[0] *= 1 + len(SEEN) + COUNT",
    "inputs overwritten": "observations[0].inputs[0][:] = 0; observations[0].loss[:] = 0",
    "a local": "n = 0; n += 1",
}


@pytest.mark.parametrize("body", PURE.values(), ids=PURE)
def test_what_resumes_is_not_refused(body, tmp_path):
    (tmp_path / "mine.py").write_text(RULE.replace("BODY", body))
    result = noisysim.run(TASK, **GIVEN, device="gaussian", learner=str(tmp_path / "mine.py"))
    assert result.status == "finished"


def test_memory_that_goes_bad_later_fails_at_the_checkpoint_that_would_lose_it(tmp_path):
    body = "n = state.memory['n'] = state.memory.get('n', 0) + 1; state.memory.update({5: 1} if n == 6 else {})"
    (tmp_path / "mine.py").write_text(RULE.replace("BODY", body))
    with pytest.raises(TypeError, match="has the key 5"):
        noisysim.run(TASK, **GIVEN, device="gaussian", learner=str(tmp_path / "mine.py"), out=tmp_path / "run.h5")


def test_draws_of_other_threads_are_not_held_against_a_rule(tmp_path, monkeypatch):
    from noisysim.runs import watched

    (tmp_path / "mine.py").write_text(RULE.replace("BODY", "pass"))
    real, calls = watched._draws, []
    moments = {2, 7}  # between the two looks at a call, now and then

    def drawn():
        calls.append(1)
        return real(), len([m for m in moments if m <= len(calls)])

    monkeypatch.setattr(watched, "_draws", drawn)
    assert noisysim.run(TASK, **GIVEN, device="gaussian", learner=str(tmp_path / "mine.py")).status == "finished"
    assert len(calls) > 10


def test_the_packages_own_rules_are_not_looked_at(monkeypatch):
    monkeypatch.setattr("noisysim.runs.watched.Watched", None)
    assert noisysim.run(TASK, **GIVEN, device="gaussian", diagnostics=["angle"]).status == "finished"


# --- other source of noisysim ---------------------------------------------------------------------------------------


def begun_with(copy, **changes):
    """Change what a file says of where its run began."""
    with h5py.File(copy, "r+") as file:
        said = {**json.loads(file["environment"][()]), **changes}
        del file["environment"]
        file["environment"] = json.dumps({name: value for name, value in said.items() if value is not None})


def test_other_source_needs_a_flag_and_other_hosts_are_noted(cut_short, capsys, monkeypatch):
    whole, copy = cut_short(learner="np", device="gaussian")
    assert noisysim.load(whole).environment["source"] == environment.source_hash()
    begun_with(copy, source="0" * 64, noisysim="0.0.9", python="3.1.4", blas="other")
    before = copy.read_bytes()
    said = r"other source than this, .*noisysim 0\.0\.9 \(source 0{12}\) -> .*allow_other_source=True"
    with pytest.raises(ValueError, match=said):
        noisysim.resume(copy)
    with pytest.raises(ValueError, match=said):
        noisysim.retention(copy, [0])
    assert copy.read_bytes() == before
    assert command(monkeypatch, "resume", str(copy), "--allow-other-source") == 0
    warnings = noisysim.load(copy).warnings
    assert any("resumed with other source, whose bits may differ: noisysim 0.0.9" in one for one in warnings)
    assert any("python 3.1.4 -> " in one and "blas other -> " in one for one in warnings)
    assert differences(whole, copy) == ["warnings"]


def test_a_file_without_a_hash_of_the_source_is_resumed_with_a_warning(cut_short):
    whole, copy = cut_short(learner="np", device="gaussian")
    begun_with(copy, source=None, blas=None)
    result = noisysim.resume(copy, progress=False)
    assert [one for one in result.warnings if "recorded no hash of its source" in one]
    assert differences(whole, copy) == ["warnings"]


# --- learner files --------------------------------------------------------------------------------------------------


@pytest.fixture
def rule_file(tmp_path, monkeypatch):
    """A learner file in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.py"
    path.write_text(RULE.replace("BODY", "pass"))
    return path


def test_a_learner_file_resumes_by_itself_and_wherever_it_was_moved(rule_file, cut_short, capsys, monkeypatch):
    whole, copy = cut_short(learner="mine.py:sigma=0.01", device="gaussian")
    second = Path(shutil.copy(copy, "second.h5"))
    third = Path(shutil.copy(copy, "third.h5"))
    noisysim.resume(copy, progress=False)
    assert differences(whole, copy) == []
    rule_file.rename("moved.py")
    with pytest.raises(FileNotFoundError, match=r"no learner file 'mine\.py'.*learner='new/place\.py'"):
        noisysim.resume(second)
    with pytest.raises(ValueError, match=r"learner is another: sigma=0\.02 \(recorded: 0\.01\)"):
        noisysim.resume(second, learner="moved.py:sigma=0.02")
    assert command(monkeypatch, "resume", "second.h5", "--learner", "moved.py") == 0
    assert set(differences(whole, second)) == {"config"}  # where the file is
    Path("moved.py").write_text(RULE.replace("BODY", "raise SystemExit('executed')"))
    with pytest.raises(ValueError, match="is not the one recorded: it was changed since"):
        noisysim.resume(third, learner="moved.py")


def test_a_run_of_an_object_resumes_with_the_file_of_its_class(rule_file, cut_short):
    whole, copy = cut_short(learner=module(rule_file, "mine").Mine(sigma=0.01), device="gaussian")
    noisysim.resume(copy, learner="mine.py", progress=False)
    assert set(differences(whole, copy)) == {"config"}
    assert np.array_equal(noisysim.load(whole).steps["train_loss"], noisysim.load(copy).steps["train_loss"])


HEAD = "from dataclasses import dataclass\nfrom typing import ClassVar\nfrom noisysim.learners import NP, Learner\n"
CLASS = HEAD + '@dataclass(frozen=True)\nclass Mine(NP):\n    name: ClassVar[str] = "mine"\n'
WRONG = {
    "syntax": ("def f(:\n", r"mine\.py:1: "),
    "bytes": (b"\xff\xfe", r"mine\.py is not Python text|mine\.py:1: "),
    "a null byte": (b"x = 1\x00", r"mine\.py"),
    "raises": (HEAD + "x = 1 / 0\n", r"mine\.py:4: ZeroDivisionError: division by zero"),
    "exits": (HEAD + "raise SystemExit('bye')\n", r"mine\.py:4: SystemExit: bye"),
    "imports what is missing": ("import no_such_thing\n", r"mine\.py:1: ModuleNotFoundError: .*a learner file is"),
    "no class": ("x = 1\n", r"mine\.py defines no noisysim\.learners\.Learner: write class MyRule"),
    "another class": ("class A:\n    pass\n", r"mine\.py defines no .*; class A is none"),
    "two": (CLASS + CLASS.replace("Mine", "Other"), r"mine\.py defines the learners Mine and Other"),
    "no name": (CLASS.replace("NP):", "Learner):").replace('"mine"', '""'), r"mine\.py:5: Mine has no name: "),
    "no methods": (CLASS.replace("(NP)", "(Learner)"), r"mine\.py:5: Mine does not define drives\(self, state, batch"),
    "no update": (
        CLASS.replace("(NP)", "(Learner)") + "    def drives(self, state, batch_size):\n        return []\n",
        r"mine\.py:5: Mine does not define update\(self, state, observations",
    ),
    "another signature": (CLASS + "    def drives(self, state):\n        return []\n", r"mine\.py:7: drives must be"),
    "update without oracle": (CLASS + "    def update(self, state, seen):\n        pass\n", r"mine\.py:7: update"),
    "fields without dataclass": (
        CLASS.replace("@dataclass(frozen=True)\n", "") + "    much: float = 1.0\n", r"mine\.py:4: Mine has fields: ",
    ),
    "not frozen": (CLASS.replace("(frozen=True)", ""), r"mine\.py:4: TypeError: cannot inherit non-frozen"),
    "a field of the record": (CLASS + "    source: float = 1.0\n", r"mine\.py:7: a field cannot be called 'source'"),
    "a default that is none": (CLASS + "    much: float = 'x'\n", r"mine\.py: TypeError: .*'mine'\.much must be"),
    "an annotation": (CLASS + "    much: 'Much' = 1.0\n", r"mine\.py:5: an annotation of Mine cannot be read: na"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_learner_file_is_one_line(text, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LearnerError, match=said) as caught:
        noisysim.run(TASK, learner="mine.py")
    assert len(str(caught.value).splitlines()) == 1
    assert caught.value.__cause__ is None
    assert not [name for name in sys.modules if name.startswith("noisysim_learner_") and not sys.modules[name].__dict__]
    assert command(monkeypatch, "run", TASK, "--learner", "mine.py") == 2
    err = capsys.readouterr().err
    assert err.startswith("noisysim: mine.py")
    assert len(err.splitlines()) == 1


def test_settings_of_a_learner_file_are_checked(rule_file):
    with pytest.raises(ValueError, match=r"learner 'mine' has no field 'sampels'; did you mean 'samples'"):
        noisysim.run(TASK, learner="mine.py:sampels=3")
    with pytest.raises(ValueError, match=r"learner 'mine'\.samples must be a whole number from 1"):
        noisysim.run(TASK, learner="mine.py:samples=0")
    with pytest.raises(ValueError, match=r"a learner file's name ends in \.py, not 'mine'"):
        noisysim.run(TASK, learner=Path("mine"))


def test_a_class_given_as_an_object_is_checked_alike():
    from noisysim.learners import Learner

    class Lazy(Learner):
        name = "lazy"

    with pytest.raises(LearnerError, match=r"test_own_parts.*Lazy does not define drives"):
        noisysim.run(TASK, learner=Lazy())


class _Nameless(noisysim.learners.Learner):
    """Without a name."""

    def drives(self, state, batch_size):
        return [noisysim.Drive()]

    def update(self, state, observations, *, oracle=None, out=None):
        return [], state


class _Plain:
    """An optimizer whose class is no dataclass."""

    name = "plain"

    def init(self, shapes, xp=np):
        return {}

    def update(self, gradients, state, rate):
        return gradients, state


class _Half:
    """Part of an optimizer."""

    def update(self, gradients, state, rate):
        return gradients, state


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"learner": _Nameless()}, r'_Nameless has no name: write name: ClassVar\[str\] = "my_learner"'),
        ({"optimizer": _Plain()}, r"_Plain is no dataclass: write @dataclass\(frozen=True\) above it"),
        ({"optimizer": _Half()}, r"_Half does not define init\(self, shapes, xp\)"),
        ({"optimizer": 3}, r"or an optimizer, not 3$"),
    ],
)
def test_an_object_that_is_nearly_a_part_is_told_what_it_lacks(given, said):
    with pytest.raises(TypeError, match=said):
        noisysim.run(**given)


RETURNED = ["None", "changes", "(changes, None, {})"]


@pytest.mark.parametrize("returned", RETURNED)
def test_an_update_that_forgets_the_state_is_told_what_it_returns(returned, tmp_path):
    rule = RULE.replace("BODY", f"changes = gradient; return {returned}")
    (tmp_path / "mine.py").write_text(rule)
    with pytest.raises(TypeError, match="update of learner 'mine' must end with: return gradients, state"):
        noisysim.run(TASK, **GIVEN, device="gaussian", learner=str(tmp_path / "mine.py"))
    (tmp_path / "steps.py").write_text(
        "from dataclasses import dataclass\n\n\n@dataclass(frozen=True)\nclass Steps:\n    name = 'steps'\n\n"
        "    def init(self, shapes, xp=None):\n        return {}\n\n    def update(self, gradients, state, rate):\n"
        f"        changes = [-rate * g for g in gradients]\n        return {returned}\n"
    )
    with pytest.raises(TypeError, match="update of optimizer 'steps' must end with: return changes, state"):
        noisysim.run(TASK, **GIVEN, device="gaussian", optimizer=str(tmp_path / "steps.py"))


def test_an_object_beside_hooks_is_told_what_a_device_is(tmp_path):
    path = tmp_path / "no_device.py"
    path.write_text("class Chip:\n    pass\n\n\ndef adc(i, d):\n    return i\n")
    with pytest.raises(TypeError, match=r"device must be a name .*: write class Chip\(NamedTuple\)$"):
        noisysim.run(device=module(path, "no_device").Chip())
