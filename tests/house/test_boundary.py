"""Who may know what: the layering of the imports, the memory of observations, and what a chip shows of itself."""

import ast
import functools
import gc
import graphlib
import inspect
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import noisysim
from noisysim import Chip, devices, learners
from noisysim.compute import execution, losses, seeding
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Batch, Drive, Observation
from noisysim.compute.series import Lesson
from noisysim.devices import models
from noisysim.learners import optimizers
from noisysim.runs import training

import cell_device as bench
from memory import arrays, reachable, sharing

KINDS = {"ideal": "ideal", "gaussian": "gaussian", "crossbar": "crossbar", "copy": "crossbar:controller=copy"}
KINDS["cells"] = devices.get(bench.__file__, **bench.KINDS["pulsed pairs"])  # every effect that cells can have

ROOT = Path(noisysim.__file__).parent
DEVICES = Path(models.__file__).parent
SEED = 987654321

# --- imports --------------------------------------------------------------------------------------------------------

# part -> the parts of noisysim that it may import besides itself, and packages from outside. The nearest entry counts.
# Whatever isn't listed stands above the straight line (studies, reports, command line): it may import anything, and
# nothing listed may import it. Without an entry of packages any may be imported.
ALLOWED = {
    "common": ((), None),
    "networks": (("common",), ("numpy",)),
    "devices": (("common",), ("numpy", "scipy", "h5py", "typing_extensions")),  # the last: for type checkers
    "compute": (("common", "networks", "devices"), None),
    "compute.observation": (("common.array_types", "common.fields", "common.plain_arrays", "common.types"), ("numpy",)),
    "learners": (
        ("common.arguments", "common.array_types", "common.class_parts", "common.deprecation", "common.fields",
         "common.html_table", "common.registry", "common.texts", "common.types", "common.user_files", "networks",
         "compute.algebra", "compute.backends",
         "compute.compiled_estimate", "compute.factors", "compute.grouping", "compute.layered", "compute.losses",
         "compute.nodes", "compute.observation", "compute.optimizer_step", "compute.periphery", "compute.seeding"),
        ("numpy",),
    ),
    "learners.theory": (("common.fields", "common.types"), ("numpy", "scipy")),
    "tasks": (("common", "compute"), ("numpy", "scipy", "h5py", "platformdirs", "pooch", "PIL", "pyarrow")),
    "chip": (("common", "networks", "devices", "compute"), ("numpy",)),
    "reporting.plot": (
        ("common", "networks", "devices.contract", "chip", "reporting.style", "reporting.device_figure",
         "reporting.network_figure"),
        None,
    ),
    "reporting.network_figure": (("networks", "reporting.style"), None),
    "reporting.style": (("common", "reporting.inline"), None),
    "reporting.inline": ((), ("matplotlib",)),
    "reporting.deployment_figure": (("common", "reporting.style"), None),
    "reporting.device_figure": (("common", "devices", "chip.bench", "reporting.style"), None),
    "runs": (
        ("common", "networks", "devices", "compute", "learners", "tasks", "chip", "reporting.deployment_figure",
         "reporting.plot", "reporting.style"),
        None,
    ),
    "runs.loop": (  # the chip's class is for type checkers
        ("chip.chip.Chip", "common.types", "learners.base", "runs.perturbation_strength", "compute.observation"), (),
    ),
    "runs.perturbation_strength": (
        ("chip.chip.Chip", "common.types", "compute.backends", "compute.observation"), ("numpy",),
    ),
    "conformance": (("common", "devices", "compute", "chip", "runs"), None),
}  # fmt: skip
AROUND = {"ctypes", "gc", "importlib", "inspect", "sys"}  # ways around an import table


def sources():
    """(dotted name inside noisysim, path) of every module of the package, reproductions apart."""
    for root, prefix in ((ROOT, ()), (DEVICES, ("devices", "models"))):
        for path in sorted(root.rglob("*.py")):
            parts = (*prefix, *path.relative_to(root).with_suffix("").parts)
            if prefix or parts[:2] != ("devices", "models"):  # models are found beside the package or in it
                yield ".".join(part for part in parts if part != "__init__"), path


def imported(path):
    """Every name a file imports, in functions too, absolute; ``from a import b`` counts as a.b, a module or not."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: import absolutely"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name, allowed):
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def entry(name):
    """The nearest entry of the table for a module; None if it has none."""
    return max((part for part in ALLOWED if within(name, (part,))), key=len, default=None)


SOURCES = list(sources())
MODULES = [(name, path) for name, path in SOURCES if entry(name)]


def test_the_table_is_of_parts_that_exist():
    assert {entry(name) for name, _ in MODULES} == set(ALLOWED)


@pytest.mark.parametrize(("name", "path"), MODULES, ids=[m[0] for m in MODULES])
def test_imports_follow_the_table(name, path):
    inside, outside = ALLOWED[entry(name)]
    for wanted in imported(path):
        top, _, rest = wanted.partition(".")
        if top == "noisysim":
            assert within(rest, (entry(name), *inside)), f"{name} imports {wanted}"
        elif outside is not None:
            assert top in sys.stdlib_module_names or top in outside, f"{name} imports {wanted}"


def test_no_module_imports_itself_over_others():
    """Imports inside functions count: a circle that they hide is one."""
    names = {name for name, _ in SOURCES if name}
    graph = {}
    for name, path in SOURCES:
        wanted = {w.partition(".")[2] for w in imported(path) if w.partition(".")[0] == "noisysim"}
        graph[name] = {w if w in names else w.rpartition(".")[0] for w in wanted} - {name}
    list(graphlib.TopologicalSorter(graph).static_order())  # CycleError names the modules of a circle


def test_the_package_has_twelve_parts():
    entries = {path.name for path in ROOT.iterdir()} - {"__pycache__", "papers"}
    assert len(entries - {"__init__.py", "__main__.py", "py.typed"}) <= 12


@pytest.mark.parametrize("name", ["learners", "compute.observation", "runs.perturbation_strength", "runs.loop"])
def test_what_meets_observations_has_no_way_around_the_table(name):
    for module, path in MODULES:
        if within(module, (name,)):
            assert not {w.partition(".")[0] for w in imported(path)} & AROUND, module
            names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
            assert not names & {"__import__", "eval", "exec", "globals", "vars"}, module


CHIPS_CLASS = {f"chip.{name}" for name in ("chip", "granted", "kept", "offered", "taught")}
"""The modules that make up the class of chips."""


def test_only_the_modules_of_the_chips_class_read_what_a_chip_hides():
    for name, path in sources():
        read = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
        assert name in CHIPS_CLASS or "_hidden" not in read, f"{name} reads _hidden"


def test_the_definition_of_correct_imports_nothing_but_numpy():
    tops = {wanted.partition(".")[0] for wanted in imported(Path(__file__).parents[1] / "support" / "naive.py")}
    assert tops - sys.stdlib_module_names == {"numpy"}


# --- memory ---------------------------------------------------------------------------------------------------------


def batch(chip, rows=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, chip.sizes[0])).astype(np.float32)
    t = np.eye(chip.sizes[-1], dtype=np.float32)[rng.integers(0, chip.sizes[-1], rows)]
    return Batch(x, t, losses.get("cce"))


def keys_of(chip):
    """Every key of a chip's secrets, as numbers."""
    hidden = chip._hidden
    found = {**hidden.keys, "write": hidden.arrays.write_keys, "fabrication": hidden.arrays.fabrication.keys}
    return {name: tuple(int(w) for w in keys.ravel()) for name, keys in found.items()}


def a_chip(device, seed=SEED, **options):
    return Chip([5, 7, 3], device, decorrelate=True, bias=True, seed=seed, **options)


def test_the_walk_finds_what_a_view_leads_to():
    chip = a_chip("crossbar")
    weights = chip._hidden.arrays.weights
    view = weights[2:5]
    view.flags.writeable = False
    leak = Observation([np.ones(2)], [view], view)
    assert sharing(arrays(reachable(leak)), arrays(reachable(chip)))
    assert any(v is weights for v in reachable(chip))
    assert any(v is weights for v in reachable(lambda: weights))


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_observations_share_no_memory_with_the_chip(device):
    chip = a_chip(device)
    data = batch(chip)
    drives = [Drive(), Drive([np.ones((6, 7), np.float32), None])]
    observed = chip.passes(data, drives)
    chip.decorrelate(observed[0].inputs, 0.01)
    again = chip.passes(data, drives, observed)
    observed = [*again, chip.forward(data), observed]
    inside, work = arrays(reachable(chip)), arrays(reachable(execution._local.__dict__))
    assert inside
    assert work
    for one in observed:
        found = reachable(one)
        assert not sharing(arrays(found), inside)
        assert not sharing(arrays(found), work)  # where lines are before they are digitised
        assert not sharing(arrays(found), [data.inputs, data.targets])
        ours = {type(v).__name__ for v in found if type(v).__module__.startswith("noisysim")}
        assert ours <= {"Observation", "Layered", "Observed"}, ours


def test_the_chip_keeps_nothing_that_it_is_given():
    chip = a_chip("crossbar")
    data = batch(chip)
    drive = Drive([np.ones((6, 7), np.float32), np.ones((6, 3), np.float32)])
    observation = chip.forward(data, drive)
    updates = [np.zeros(s, np.float32) for s in chip.network.shapes]
    chip.program(updates)
    chip.decorrelate(observation.inputs, 0.01)
    given = [data.inputs, data.targets, *drive.perturbations, *updates, *observation.inputs]
    assert not sharing(given, arrays(reachable(chip)))


@pytest.mark.parametrize("rule", ["danp", "inp", "np"])
def test_nor_does_it_keep_or_let_out_more_where_many_updates_are_one_call(rule):
    chip, learner, optimizer = a_chip("crossbar"), learners.get(rule), optimizers.Adam()
    state = learner.init(chip.architecture, seed=SEED, offers=chip.offers, floor=0.1)
    data, moments = batch(chip), optimizer.init(chip.network.shapes)
    one = Batch(data.inputs[:1], data.targets[:1], data.loss)
    observed = chip.passes(one, learner.drives(state, 1), inputs_of="first")
    lesson = Lesson(
        data, "cce", observed, learner.compiled_estimate(state), state.sigmas, state.key, 0,
        optimizer.ahead(moments, 0.01, len(data.inputs)), learner.decorrelation, np.full(1, np.inf),
    )  # fmt: skip
    made, inside = chip.learn(lesson), arrays(reachable(chip))
    assert made.updates == len(data.inputs)
    given = [data.inputs, data.targets, *arrays(reachable(moments)), *arrays(reachable(state)), *lesson.steps[1:]]
    assert not sharing([*given, *arrays(reachable(observed)), *arrays(reachable(made))], inside)


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_scribbling_on_what_a_chip_let_out_changes_nothing_it_does_next(device):
    chip, twin = a_chip(device), a_chip(device)
    for step in range(3):
        seen = []
        for one in (chip, twin):
            data = batch(one, seed=step)
            drives = [Drive(), Drive([None, np.ones((6, 3), np.float32)])]
            updates = [np.full(s, 0.1, np.float32) for s in one.network.shapes]
            observed = one.passes(data, drives)
            one.program(updates)
            one.decorrelate(observed[0].inputs, 0.01)
            seen.append([a.copy() for o in observed for a in (*o.inputs, *o.activities, o.output, o.loss)])
            if one is chip:
                given = [data.inputs, data.targets, drives[1].perturbations[1], *updates]
                for array in [*arrays(reachable(observed)), *given]:
                    array.fill(7 if array.dtype.kind in "iu" else np.nan)
        for a, b in zip(*seen, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", learners.names())
def test_a_learner_holds_nothing_of_the_chip(name):
    chip = a_chip("ideal")
    learner = learners.get(name)
    state = learner.init(chip.sizes, seed=SEED, offers=chip.offers, bias=True)
    data = batch(chip)
    oracle = chip.oracle(data) if "oracle" in learner.needs else None
    gradients, state = learner.update(state, chip.passes(data, learner.drives(state, 6)), oracle=oracle)
    found = reachable(state, learner, gradients)
    assert not sharing(arrays(found), arrays(reachable(chip)))
    assert not any(isinstance(v, (Chip, np.random.Generator, np.random.SeedSequence)) for v in found)
    assert SEED not in [v for v in found if type(v) is int]


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_a_callback_sees_nothing_of_the_chip(device, monkeypatch):
    """At an epoch's end, after an update and before the run, by whatever the event leads to; and nothing of a rule."""
    trainings, seen = [], []
    begin = training.Training.begin

    def kept(self):
        trainings.append(self)
        begin(self)

    class Curious(noisysim.callbacks.Callback):
        every = 1

        def look(self, event):
            inside = [event.history, event.steps] if hasattr(event, "history") else []
            seen.append(reachable(event, inside))
            for one in trainings:
                hidden = (one.chip, one.learner_state, one.optimizer_state, one.task)
                assert not sharing(arrays(seen[-1]), arrays(reachable(*hidden)))
            names = {type(v).__name__ for v in seen[-1] if type(v).__module__.startswith("noisysim")}
            assert names <= {"Event", "History", "Start"}, names
            assert SEED not in [v for v in seen[-1] if type(v) is int]

        begin = on_epoch = on_update = look

    monkeypatch.setattr(training.Training, "begin", kept)
    data = np.eye(7, 5, dtype=np.float32), np.arange(7) % 3
    noisysim.run(data, layers=[7], device=device, learner="danp", epochs=2, batch_size=3, seed=SEED, bias=True,
                 callbacks=[Curious()], validation=0.2, weight_decay=0.1 * (device in (KINDS["ideal"], KINDS["copy"])),
                 progress=False)  # fmt: skip
    assert len(seen) == 1 + 2 + 4


def test_the_oracle_hands_out_copies():
    chip = a_chip("ideal")
    data = batch(chip)
    oracle = chip.oracle(data)
    assert not sharing([*oracle.weights, *oracle.rotations], arrays(reachable(chip)))
    before = chip.forward(data).output.copy()
    for array in [*oracle.weights, *oracle.rotations]:
        array.fill(np.nan)
    np.testing.assert_array_equal(chip.forward(data).output, before)


# --- names and keys -------------------------------------------------------------------------------------------------


def public(value, path="chip", seen=None):
    """Everything that public names lead to, without calling anything: (path, value)."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, (type, types.ModuleType)) or inspect.isroutine(value):
        return
    seen.add(id(value))
    yield path, value
    if isinstance(value, (str, bytes, int, float)):
        return
    if isinstance(value, dict):
        children = [(f"{path}[{k!r}]", v) for k, v in value.items()]
    else:
        children = [(f"{path}.{n}", getattr(value, n, None)) for n in dir(value) if not n.startswith("_")]
        if isinstance(value, (list, tuple, set, frozenset)):
            children += [(f"{path}[{k}]", v) for k, v in enumerate(value)]
    for where, child in children:
        yield from public(child, where, seen)


@pytest.mark.parametrize("options", [{}, {"oracle": True}])
@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_no_public_attribute_of_a_chip_gives_weights_noise_or_keys(device, options):
    chip = a_chip(device, **options)
    chip.forward(batch(chip))
    chip.program([np.full(s, 0.01, np.float32) for s in chip.network.shapes])
    words = {int(word) for key in keys_of(chip).values() for word in key} | {SEED}
    found = dict(public(chip))
    assert "chip.cost" in found
    for path, value in found.items():
        assert not isinstance(value, (np.ndarray, np.random.Generator)), path
        assert not (isinstance(value, (int, np.integer)) and int(value) in words), path
    assert str(SEED) not in repr(chip)


def test_a_device_with_hooks_of_its_own_grants_no_oracle_unless_asked_by_name():
    for device in KINDS.values():
        chip = a_chip(device)
        data = batch(chip)
        exact = not devices.own_hooks(chip.device)
        assert ("oracle" in chip.offers) == exact
        if not exact:
            with pytest.raises(PermissionError, match="oracle=True"):
                chip.oracle(data)
        assert "oracle" in a_chip(device, oracle=True).offers


def test_a_learner_that_needs_more_than_the_chip_offers_says_so_before_the_first_pass():
    chip = a_chip("crossbar")
    for learner in (learners.get("bp"), learners.get("np", baseline="clean")):
        with pytest.raises(ValueError, match=learner.name) as caught:
            learner.init(chip.sizes, offers=chip.offers)
        assert "offers" in str(caught.value)
    assert chip.cost.passes == 0


def test_keys_tell_nothing_of_each_other():
    purposes = ["chip/noise", "chip/write", "chip/weights", "chip/dropout", "learner", "batches"]
    keys = {(seed, p): seeding.key(seed, p) for seed in range(500) for p in purposes}
    words = [int(w) for key in keys.values() for w in key]
    assert len(set(keys.values())) == len(keys)
    # a hash: half of the 64 bits differ between any two keys, whether seed or purpose differ (32 +- 4 each; the mean of
    # 500 pairs within 4.5 standard errors)
    packed = {k: int(v[0]) << 32 | int(v[1]) for k, v in keys.items()}
    for other in ("learner", "chip/write"):
        bits = [(packed[s, "chip/noise"] ^ packed[s, other]).bit_count() for s in range(500)]
        assert abs(np.mean(bits) - 32) < 4.5 * 4 / np.sqrt(500)
    bits = [(packed[s, "learner"] ^ packed[s + 1, "learner"]).bit_count() for s in range(499)]
    assert abs(np.mean(bits) - 32) < 4.5 * 4 / np.sqrt(499)
    assert len(set(words)) > 0.999 * len(words)


def test_a_learners_key_is_none_of_the_chips():
    for seed in (0, SEED):
        chip = a_chip("crossbar", seed)
        state = learners.get("np").init(chip.sizes, seed=seed, offers=chip.offers, floor=0.05)
        theirs = keys_of(chip)
        assert len(set(theirs.values())) == len(theirs) == 5
        assert tuple(state.key.ravel().tolist()) not in theirs.values()
        assert not {int(w) for w in state.key.ravel()} & {int(w) for key in theirs.values() for w in key}


def test_no_key_of_one_of_many_chips_is_another_ones():
    purposes = ["chip/noise", "chip/write", "chip/fabrication", "chip/dropout", "chip/perturbation", "learner"]
    keys = [tuple(k) for s in range(20) for p in purposes for k in seeding.keys(s, p, 30).tolist()]
    assert len(set(keys)) == len(keys)


def test_a_chip_lists_arrays_as_layered_views_of_one_buffer_of_their_own():
    chip = a_chip("ideal")
    observation = chip.forward(batch(chip))
    for values in (observation.inputs, observation.activities):
        assert isinstance(values, Layered)
        assert all(np.shares_memory(v, values.flat) for v in values)
    assert not np.may_share_memory(observation.inputs.flat, observation.activities.flat)


@pytest.mark.parametrize("part", ["noisysim.run", "noisysim.devices", "noisysim.Chip"])
def test_a_source_folder_without_an_install_says_what_to_do(part, tmp_path):
    # after a plain `pip install .` Python in the checkout finds noisysim/ there, and no noisysim.devices
    code = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
        f"import noisysim\ntry:\n    {part}\nexcept ImportError as error:\n    print(error)"
    )
    ignored = shutil.ignore_patterns("models", "papers", "__pycache__")  # as in a fresh clone
    shutil.copytree(ROOT, tmp_path / "noisysim", ignore=ignored)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "pip install -e ." in done.stdout


# --- memory that is freed -------------------------------------------------------------------------------------------

LARGEST = 900  # values: more than any array of the chips below has, and than a block of the loops over cells
EACH = 6
SIZES = [*range(1, 257), *range(257, LARGEST, 4)]
"""Of every kind of block: NumPy keeps those below 1 KiB by size, and malloc has no others than of multiples of 16."""
CALLS = {
    "forward": lambda chip, data, updates: chip.forward(data),
    "passes": lambda chip, data, updates: chip.passes(data, [Drive(), Drive([None, np.ones((6, 3), np.float32)])]),
    "calibrate": lambda chip, data, updates: chip.calibrate(data.inputs),
    "program": lambda chip, data, updates: chip.program(updates),
    "wait": lambda chip, data, updates: chip.wait(10.0),
    "decorrelate": lambda chip, data, updates: chip.decorrelate(chip.forward(data).inputs, 0.01),
    "normalise": lambda chip, data, updates: chip.normalise() if "targets" in chip.offers else None,
    "passes aside": lambda chip, data, updates: passes_aside(chip, data),
    "what it says": lambda chip, data, updates: (chip.cost, chip.converter_steps, chip.offers, repr(chip)),
    "a new chip": lambda chip, data, updates: hidden_chip(chip.device),  # the one that the other was when it was made
}


def hidden_chip(device):
    """A chip of a seed that no other chip of this process has, so that no oracle has copied its weights."""
    return a_chip(device, SEED + 1 + list(KINDS).index(_kind(device)))


def _kind(device):
    return next(kind for kind, one in KINDS.items() if devices.get(one) == devices.get(device))


def passes_aside(chip, data):
    with chip.aside():
        chip.forward(data)


def masked(array):
    """The bits of float32 values, turned into others: what the search itself leaves in memory is none of them."""
    return (np.asarray(array).view(np.uint32) ^ np.uint32(0x5A5A5A5A)).ravel()


def hidden_values(chip):
    """Every weight, target and conductance of a chip, `masked`, but for those that any chip of the device has.

    Such as the conductance of a cell that holds nothing: it is the device's number, of which all memory may be full.
    """
    return np.setdiff1d(every_value(chip), common_values(_kind(chip.device)))


@functools.cache
def common_values(kind):
    """What two chips of other seeds have both."""
    return np.intersect1d(*(every_value(a_chip(KINDS[kind], seed)) for seed in (SEED + 101, SEED + 202)))


def every_value(chip):
    """Every weight, target and conductance of a chip, `masked`."""
    held = chip._hidden.arrays
    wanted = held.wanted_weights() if held.knows_targets else []
    words = [masked(array) for array in (held.weights, held.variances, held.targets, held.now, *wanted)]
    for array in wanted:
        array.fill(0)
    return np.setdiff1d(np.concatenate(words), masked(np.array([0, 1, -1], np.float32)))


def overwrite_free_memory():
    """Fill all of it, which takes more than what `blocks` look into: it may be in larger pieces."""
    kept = [np.full(size, 7, np.float32) for size in range(1, LARGEST) for _ in range(3 * EACH)]
    del kept


def blocks():
    """Arrays in every kind of block that nobody has filled, as a rule may make them."""
    return [np.empty(size, np.float32) for size in SIZES for _ in range(EACH)]


def found(arrays, values):
    """Sizes of the arrays in which some of these values are, and how many different ones.

    Memory is full of one pointer many times over, half of which may be a number that is looked for.
    """
    words = masked(np.concatenate(arrays))
    told = np.flatnonzero((words != masked(np.float32(7))) & (words != masked(np.float32(0))))
    at = told[np.isin(words[told], values)]
    where = np.searchsorted(np.cumsum([a.size for a in arrays]), at, "right")
    different = np.unique(np.stack([where, words[at].astype(np.int64)]), axis=1)
    counts = np.bincount(different[0], minlength=len(arrays))
    return {arrays[k].size: int(counts[k]) for k in np.flatnonzero(counts > 3)}


@pytest.mark.parametrize("size", [42, 254])
def test_the_search_finds_what_is_freed(size):
    secret = np.random.default_rng(size).normal(size=size).astype(np.float32)
    overwrite_free_memory()
    assert not found(blocks(), masked(secret))
    (secret * 1).sum()
    assert size in found(blocks(), masked(secret))


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_arrays_that_nobody_filled_hold_nothing_of_the_chip(device):
    chip = hidden_chip(device)
    data, rng = batch(chip), np.random.default_rng(1)
    first = hidden_values(chip)
    updates = [rng.normal(size=shape).astype(np.float32) for shape in chip.network.shapes]
    chip.program(updates)
    gc.collect()
    gc.freeze()  # of all that other tests keep, which is looked through before each call
    for name, call in CALLS.items():
        before = first if name == "a new chip" else hidden_values(chip)
        gc.collect()
        overwrite_free_memory()
        result = call(chip, data, [np.full_like(u, 0.25) for u in updates])
        arrays = blocks()
        assert not found(arrays, np.union1d(before, hidden_values(chip))), name
        del result


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_what_a_chip_hid_is_overwritten_as_it_is_freed(device):
    chip = a_chip(device)
    chip.forward(batch(chip))
    hidden = chip._hidden
    members = {f"arrays.{name}": array for name, array in vars(hidden.arrays).items() if is_filled_array(array)}
    members |= {name: array for name, array in vars(hidden).items() if is_filled_array(array)}
    members |= {f"keys.{name}": array for name, array in hidden.keys.items()}
    members["fabrication.keys"] = hidden.arrays.fabrication.keys
    kept = {"arrays.table", "arrays.tiles", "arrays.scales", "arrays.units", "arrays.pulsing", "flat_rotations"}
    secret = {name: array for name, array in members.items() if name not in kept}  # the rest is no secret
    assert {"arrays.weights", "arrays.write_keys", "keys.noise", "ranges"} <= secret.keys()
    assert secret["arrays.weights"].any()
    del chip, hidden
    gc.collect()
    assert [name for name, array in secret.items() if np.nan_to_num(array).any()] == []


def is_filled_array(value):
    return isinstance(value, np.ndarray) and value.size > 0


@pytest.mark.parametrize("device", [*KINDS.values(), "pcm", "pulsed"], ids=[*KINDS, "pcm", "pulsed"])
@pytest.mark.parametrize("layers", [[5, 3], [5, 7, 3]], ids=["one layer", "two layers"])
def test_what_the_oracle_shows_shares_no_memory_with_the_chip(device, layers):
    chip = Chip(layers, device, seed=1, oracle=True)
    inside = arrays(reachable(chip))
    assert not sharing(arrays(reachable(chip.cells())), inside)
    assert not sharing(arrays(reachable(chip.oracle(None).weights)), inside)
