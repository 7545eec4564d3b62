"""Same seed, same bits: whatever the threads, the chunks, a restart; and nothing is compiled twice.

Bits are compared, not numbers. The nets are large enough that the pool is really used (`execution.SERIAL_FLOPS`).
"""

import ast
import importlib.util
import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numba
import numpy as np
import pytest
import threadpoolctl

from noisysim import Chip, learners
from noisysim.chip.chip import restore, snapshot
from noisysim.compute import execution, losses
from noisysim.compute.cpu import bring
from noisysim.compute.observation import Batch, Drive
from noisysim.learners import optimizers
from noisysim.networks import activations

import cell_device as bench

# every effect that cells can have, with one exact device and one whose lines are noisy
CELLS = f"{bench.__file__}:" + ",".join(f"{name}={value}" for name, value in bench.KINDS["pulsed pairs"].items())
KINDS = {"ideal": "ideal", "gaussian": "gaussian", "crossbar": "crossbar", "cells": CELLS}

LARGE = (96, 256, 64)
ROWS = 2 * execution.BLOCK_ROWS + 77


def batch(sizes, rows, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, sizes[0])).astype(np.float32)
    return Batch(x, np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], rows)], losses.get("cce"))


class Run:
    """The straight line, a step at a time; every bit that comes by is kept."""

    def __init__(self, learner, device, sizes, seed=5, optimizer="adam"):
        self.learner, self.optimizer = learners.get(learner), optimizers.get(optimizer)
        self.oracle = "oracle" in self.learner.requires()
        self.chip = Chip(
            sizes, device, decorrelate=self.learner.decorrelation > 0, seed=seed, bias=True, oracle=self.oracle
        )
        self.state = self.learner.init(sizes, seed=seed, offers=self.chip.offers, floor=0.05, bias=True)
        self.momenta = self.optimizer.init(self.chip.network.shapes)
        self.bits = []

    def step(self, data):
        chip, learner = self.chip, self.learner
        observed = chip.passes(data, learner.drives(self.state, len(data.inputs)))
        oracle = chip.oracle(data) if self.oracle else None
        gradients, self.state = learner.update(self.state, observed, oracle=oracle)
        self.keep(*(a for o in observed for a in (*o.inputs, *o.activities, o.loss)), *gradients)
        change, self.momenta = self.optimizer.update(gradients, self.momenta, 1e-2)
        chip.program(change)
        if learner.decorrelation:
            chip.decorrelate(observed[0].inputs, learner.decorrelation)
        if learner.normalise:
            chip.normalise()
        self.keep(*change, *snapshot(chip).values(), *self.state.memory.values())

    def keep(self, *arrays):
        self.bits += [np.ascontiguousarray(a).tobytes() for a in arrays]

    def checkpoint(self):
        """What a file would hold of it: copies."""
        return {
            "chip": {k: v.copy() for k, v in snapshot(self.chip).items()},
            "momenta": {k: v.copy() for k, v in self.momenta.items()},
            "memory": {k: v.copy() for k, v in self.state.memory.items()},
            "step": self.state.step,
        }

    def resume(self, saved):
        restore(self.chip, saved["chip"])
        self.momenta = {k: v.copy() for k, v in saved["momenta"].items()}
        self.state.memory.update({k: v.copy() for k, v in saved["memory"].items()})
        self.state.step = saved["step"]


PAIRS = [(name, "ideal") for name in learners.names()] + [
    (name, device) for device in ("gaussian", "crossbar") for name in ("np", "dinp", "danp")
]
# other passes, drives and memories than those that a rule has by default
PAIRS += [
    ("fg-w:derivative=exact,samples=2", "gaussian"), ("fg-a:error=scalar,samples=2", "crossbar"),
    ("lg-fg-a:derivative=exact,baseline=noisy", "ideal"), ("fdfa:error=scalar,samples=2", "gaussian"),
    ("learned-fa:fit=least_squares,samples=2", "crossbar"), ("learned-dfa:error=scalar,baseline=noisy", "ideal"),
    ("dkp:feedback_optimizer=sgd,normalise=True", "crossbar:controller=copy"),
    ("dcanp:samples=2,normalise=True", "gaussian"),
]  # fmt: skip


@pytest.mark.parametrize(("learner", "device"), PAIRS)
def test_the_bits_do_not_depend_on_the_threads(learner, device):
    bits = []
    for count in (1, 2, 3):
        with execution.threads(count):
            run = Run(learner, device, LARGE)
            for step in range(2):
                run.step(batch(LARGE, ROWS, step))
            bits.append(run.bits)
    assert bits[0] == bits[1] == bits[2]


@pytest.mark.parametrize("device", ["ideal", "crossbar"])
def test_the_bits_do_not_depend_on_the_threads_that_blas_was_given(device):
    bits = []
    for count in (1, 2):
        with threadpoolctl.threadpool_limits(count, user_api="blas"):
            run = Run("danp" if device == "crossbar" else "dbp", device, (300, 256, 64))
            run.step(batch((300, 256, 64), ROWS))
        bits.append(run.bits)
    assert bits[0] == bits[1]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_pool_is_used_where_the_bits_are_compared(count, monkeypatch):
    """All threads, this one among them: the first tasks of a job wait until each has one."""
    real, seen, jobs = execution.run, set(), []

    def watched(tasks, flops):
        pooled = count <= len(tasks) and flops >= execution.SERIAL_FLOPS
        meet = threading.Barrier(count)

        def one(k, task):
            if pooled and k < count:
                meet.wait(30)
            seen.add(threading.get_ident())
            task()

        jobs.append(pooled)
        real([partial(one, k, task) for k, task in enumerate(tasks)], flops)

    monkeypatch.setattr(execution, "run", watched)
    with execution.threads(count):
        Run("danp", "ideal", LARGE).step(batch(LARGE, ROWS))
    assert any(jobs)
    assert threading.get_ident() in seen
    assert len(seen) == count


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_a_batch_in_chunks_is_the_batch(device):
    sizes = (70, 133, 9)
    data = batch(sizes, ROWS)
    p = [np.random.default_rng(1).standard_normal((ROWS, n)).astype(np.float32) for n in sizes[1:]]
    whole, parts = (Chip(sizes, device, decorrelate=True, seed=2) for _ in range(2))
    for _ in range(2):  # the second time the pass counter isn't at its start
        expected = whole.passes(data, [Drive(), Drive(p)])
        block = execution.BLOCK_ROWS
        found = [
            parts.passes(
                Batch(data.inputs[at : at + block], data.targets[at : at + block], data.loss),
                [Drive(), Drive([v[at : at + block] for v in p])],
                first_sample=at,
            )
            for at in range(0, ROWS, block)
        ]
        for k, observation in enumerate(expected):
            pieces = [f[k] for f in found]
            for layer in range(2):
                for name in ("inputs", "activities"):
                    chunks = np.concatenate([getattr(o, name)[layer] for o in pieces])
                    np.testing.assert_array_equal(getattr(observation, name)[layer], chunks)
            np.testing.assert_array_equal(observation.loss, np.concatenate([o.loss for o in pieces]))
    assert whole.cost == parts.cost


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_a_sample_does_not_see_what_else_is_in_its_block(device):
    # rows of one block share a product: only its height decides its bits
    sizes, rows = (7, 33, 5), 32
    data = batch(sizes, rows).inputs
    other = data.copy()
    other[5:] *= -1
    chips = [Chip(sizes, device, seed=2) for _ in range(2)]
    for chip in chips:
        chip.calibrate(data)
    a, b = (chip.forward(x).output for chip, x in zip(chips, (data, other), strict=True))
    np.testing.assert_array_equal(a[:5], b[:5])


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize(("learner", "device"), [*PAIRS, ("np", CELLS)])
def test_a_restart_goes_on_with_the_same_bits(learner, device, used):
    sizes = (6, 9, 4)
    through, stopped = Run(learner, device, sizes), Run(learner, device, sizes)
    for step in range(3):
        through.step(batch(sizes, 8, step))
        stopped.step(batch(sizes, 8, step))
    saved = stopped.checkpoint()
    resumed = Run(learner, device, sizes)
    if used:  # what it did before must not matter
        resumed.chip.forward(batch(sizes, 3))
    resumed.resume(saved)
    through.bits.clear()
    for step in range(3, 6):
        through.step(batch(sizes, 8, step))
        resumed.step(batch(sizes, 8, step))
    assert resumed.bits == through.bits


def test_a_snapshot_does_not_follow_the_chip():
    run = Run("danp", "crossbar", (6, 9, 4))
    run.step(batch((6, 9, 4), 8))
    taken = snapshot(run.chip)
    before = {k: v.copy() for k, v in taken.items()}
    run.step(batch((6, 9, 4), 8))
    for name, array in taken.items():
        np.testing.assert_array_equal(array, before[name], name)


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_seeds_make_chips(device):
    x = batch((6, 9, 4), 8).inputs
    a, b, c = (Chip((6, 9, 4), device, seed=s).forward(x).output for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def environment(**settings):
    """For other processes: the noisysim of this one."""
    path = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **settings}


# --- compiling ------------------------------------------------------------------------------------------------------


def signatures():
    """How many compiled versions there are of every compiled function of the package, and of every row."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("noisysim"):
            for value in list(vars(module).values()):
                if isinstance(value, numba.core.registry.CPUDispatcher):
                    found[id(value)] = (value.__name__, len(value.signatures))
    rows = {name: (name, len(row.signatures)) for name, row in bring._rows.items()}
    return {**found, **rows}


def recompiled():
    """What a second update compiles, for pairs of learner and device and for small, single and large batches."""
    found, pairs = [], [*PAIRS, ("np", CELLS)]
    for rows in (6, 1, ROWS):
        for learner, device in (
            pairs[::3] if rows == ROWS else pairs
        ):  # a third of the large: they take most of the time
            sizes = LARGE if rows == ROWS else (6, 9, 4)
            run = Run(learner, device, sizes)
            run.step(batch(sizes, rows))
            before = signatures()
            run.step(batch(sizes, rows, 1))
            after = signatures()
            found += [(learner, device, rows, after[k][0]) for k in after if after[k] != before.get(k)]
    return len(before), found


def compiled_for_others():
    """What an update of a like chip compiles, and then one of a chip whose reads are free of noise."""
    run, like, shapes = Run("anp", "crossbar", (6, 9, 4)), batch((8, 5, 5, 2), 6), (8, 5, 5, 2)
    run.step(batch((6, 9, 4), 6))
    before, settings = signatures(), "adc_bits=4,tile_rows=3,line_noise=0.1,levels=0,program_noise=1"
    Run("anp", f"crossbar:read_noise=0.03,{settings}", shapes).step(like)
    of_a_like_one = signatures()
    Run("anp", f"crossbar:read_noise=0,{settings}", shapes).step(like)
    after = signatures()
    pairs = ((before, of_a_like_one), (of_a_like_one, after))
    return [[new[k][0].split("-")[0] for k in new if new[k] != old.get(k)] for old, new in pairs]


def in_a_process_of_its_own(function):
    """What a function of this module returns there: in this process, other tests may have compiled anything before."""
    code = f"import runpy; print(runpy.run_path({__file__!r})[{function.__name__!r}]())"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_a_second_update_compiles_nothing():
    functions, found = in_a_process_of_its_own(recompiled)
    assert functions > 20
    assert not found


def test_another_chip_of_the_same_kind_compiles_nothing():
    assert in_a_process_of_its_own(compiled_for_others) == [[], ["noisysim_digitised"]]  # a row


def test_devices_whose_lines_differ_share_their_rows_whatever_it_is_that_differs():
    def rows(device):
        Chip((6, 4), device, seed=1).forward(batch((6, 4), 2))
        return set(bring._rows)

    spreads = (
        "dac_gain_spread=0.1",
        "dac_offset_spread=0.1",
        "dac_offset_spread=0.02,dac_curve=0.5,dac_curve_spread=0.1",
    )
    first, second, third = (rows(f"crossbar:{some},adc_gain_spread=0.1") for some in spreads)
    assert first == second == third
    assert rows("crossbar:dac_offset_spread=0.02,adc_gain_spread=0.1,temperature=310") == first  # nothing but numbers


# --- hooks and the cache of compiled code ---------------------------------------------------------------------------

HOOK = """
GAIN, SHIFT = 2.0, 1

def helper(a):
    return a * GAIN

def activation(a, shift=SHIFT):
    return helper(a) + shift
"""


def row_of(folder, source):
    """The row that multiplies by a function from a file of the user's."""
    path = folder / f"hook_{abs(hash(source))}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return row_with(module.activation)


def row_with(function):
    return bring.slope(activations.Activation("own", function, function))


def values(row):
    out = np.ones(2, np.float32)
    row(out, np.array([1.0, -2.0], np.float32))
    return out.tolist()


@pytest.mark.pythons
def test_hooks_make_rows_by_their_source(tmp_path, monkeypatch):
    monkeypatch.setenv("NOISYSIM_CACHE", str(tmp_path / "cache"))
    first = row_of(tmp_path, HOOK)
    assert values(first) == [3.0, -3.0]
    assert row_of(tmp_path, HOOK) is first
    edits = {
        "the hook": (HOOK.replace("+ shift", "+ 3 * shift"), [5.0, -1.0]),
        "a function it calls": (HOOK.replace("a * GAIN", "a * GAIN * GAIN"), [5.0, -7.0]),
        "a constant": (HOOK.replace("2.0", "3.0"), [4.0, -5.0]),
        "a default": (HOOK.replace("2.0, 1", "2.0, 5"), [7.0, 1.0]),
    }
    before = len(bring._rows)
    for what, (source, expected) in edits.items():
        assert values(row_of(tmp_path, source)) == expected, what
    assert len(bring._rows) == before + len(edits)


def test_a_hook_that_shares_its_name_with_what_it_calls():
    # np.tanh inside a function called tanh: an attribute's name is no global of the function
    np.testing.assert_allclose(values(bring.slope(activations.get("tanh"))), 1 - np.tanh([1, -2]) ** 2, rtol=1e-6)


def test_threads_that_need_the_same_row_at_once_get_one(tmp_path, monkeypatch):
    """Of two, the one that is dropped would take the machine code along whose address another thread has."""
    monkeypatch.setenv("NOISYSIM_CACHE", str(tmp_path))
    compiled, meet = bring.scalar, threading.Barrier(4)

    def together(function, **named):
        meet.wait(300)  # no thread has put a row there yet; the machine may be busy
        return compiled(function, **named)

    monkeypatch.setattr(bring, "scalar", together)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: row_with(abs_of), range(4)))
    assert all(row is made[0] for row in made)
    assert values(made[0]) == [1.0, 2.0]


def abs_of(a):
    return -a if a < 0 else a


PROCESS = """
    import sys
    sys.path.insert(0, {folder!r})
    import numpy as np
    import hook
    from noisysim.compute.cpu import bring
    from noisysim.networks.activations import Activation
    row, out = bring.slope(Activation("own", hook.activation, hook.activation)), np.ones(2, np.float32)
    row(out, np.array([1.0, -2.0], np.float32))
    print(out.tolist(), sum(row.stats.cache_hits.values()), sum(row.stats.cache_misses.values()))
"""


def files(folder):
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.name}


@pytest.mark.pythons
def test_a_second_process_finds_the_compiled_code(tmp_path):
    (tmp_path / "hook.py").write_text(HOOK)
    cache = tmp_path / "cache"

    def process():
        code, space = textwrap.dedent(PROCESS.format(folder=str(tmp_path))), environment(NOISYSIM_CACHE=str(cache))
        done = subprocess.run([sys.executable, "-c", code], env=space, capture_output=True, text=True, check=True)
        return done.stdout.strip(), files(cache)

    first, made = process()
    assert first == "[3.0, -3.0] 0 1"
    assert made
    second, after = process()
    assert second == "[3.0, -3.0] 1 0"
    assert after == made
    (tmp_path / "hook.py").write_text(HOOK.replace("+ shift", "+ 3 * shift"))
    third, more = process()
    assert third == "[5.0, -1.0] 0 1"
    assert len(more) > len(after)
