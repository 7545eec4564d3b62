"""Compiling ahead: who compiles what, and that a helper that does not deliver costs time alone."""

import json
import os
import pickle
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

import noisysim
from noisysim import devices
from noisysim.chip.state import State
from noisysim.compute.cpu import ops
from noisysim.compute.cpu.loops import cell_writes, passes, steps, sweeps
from noisysim.compute.jit import ahead, cache
from noisysim.compute.jit.calls import JIT
from noisysim.devices.resolved import resolve
from noisysim.networks.tiling import network

import cell_device

SECONDS = 60
"""That a test waits at most."""
START = """
import json, sys
import numpy as np
from noisysim import Chip, Drive
from noisysim.compute.jit import ahead
from numba.core import event
from numba.core.registry import cpu_target

class Compilations(event.Listener):
    count = 0
    def on_start(self, told):
        self.count += 1
    def on_end(self, told):
        pass

compilations, started = Compilations(), []
event.register("numba:compile", compilations)
popen = ahead.subprocess.Popen
ahead.subprocess.Popen = lambda *args, **more: started.append(1) or popen(*args, **more)
out = Chip([6, 4, 3], "gaussian").passes(np.ones((2, 6)), [Drive(), Drive()])[1].output
from noisysim.compute.cpu.loops import driving, line_reads
found = sum(sum(f.stats.cache_hits.values()) for f in (driving.drive_layer, line_reads.read_tile, line_reads.read_rows))
types = len(cpu_target.typing_context._registries)
said = {"compiled": compilations.count, "started": len(started), "found": found, "types": types, "out": out.tolist()}
print(json.dumps(said))
"""
jit = pytest.mark.skipif(not JIT, reason="nothing is compiled")


class Job:
    """A job that helpers are given: nothing, in a process that answers, ends or hangs."""

    def __init__(self, key, found=False):
        self.key, self.found = key, found

    def packed(self):
        return b"job"


class Expecting:
    """What a chip is to `expect`."""

    def __init__(self, jobs):
        self.jobs = jobs

    def expected(self):
        return self.jobs


def said(jobs):
    """What gives these jobs, as long as a chip is there."""
    return lambda: lambda: jobs


ANSWERS = "import os; [os.write(1, b'.') for _ in iter(lambda: os.read(0, 3), b'')]"
ENDS = "raise SystemExit(1)"
HANGS = "import time; time.sleep(600)"


@pytest.fixture
def jobs(monkeypatch, tmp_path):
    """What is expected of a process that has nothing compiled, whose cache is empty."""
    monkeypatch.setenv("NOISYSIM_CACHE", str(tmp_path))
    monkeypatch.setattr(ahead, "_START", ANSWERS)
    monkeypatch.setattr(ahead, "_jobs", ahead._Jobs())
    yield ahead._jobs
    for helper in list(ahead._jobs.helpers):
        helper.kill()
        helper.join(SECONDS)


def wait_for(happened):
    until = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_helpers_take_what_is_needed_last_and_this_process_what_it_arrives_at(jobs, monkeypatch):
    taken, take = [], jobs.take
    monkeypatch.setattr(jobs, "take", lambda helper: taken.append(take(helper)) or taken[-1])
    jobs.expect(said([Job(k) for k in range(6)]), 1)
    assert not jobs.delivered(0)  # nothing was missing before: only now helpers are started
    wait_for(lambda: not jobs.helpers)
    assert [job and job.key for job in taken] == [5, 4, 3, 2, 1, None]
    assert not jobs.delivered(3)  # it is done: no wait
    assert not jobs.failed


def test_no_helper_is_started_as_long_as_nothing_is_missing(jobs):
    jobs.expect(said([Job(k) for k in range(6)]), 2)
    jobs.expect(said([Job(k) for k in range(6, 12)]), 2)
    assert jobs.helpers == []


def test_no_helper_is_started_for_few_functions(jobs):
    jobs.expect(said([Job(k, found=k >= ahead.FEW) for k in range(9)]), 1)
    jobs.delivered("another")
    (helper,) = jobs.helpers
    helper.join(SECONDS)
    jobs.expect(said([Job(k, found=k >= ahead.FEW - 1) for k in range(9)]), 1)
    jobs.delivered("another")
    assert jobs.helpers == []


def test_who_waits_is_told_once_that_more_than_a_few_functions_are_missing(jobs):
    told = []
    with ahead.announced(lambda: told.append(True)):
        jobs.expect(said([Job(k) for k in range(ahead.FEW - 1)]), 1)
        jobs.delivered("another")
        assert told == []
        for first in (10, 30):
            jobs.expect(said([Job(first + k) for k in range(ahead.FEW)]), 1)
            jobs.delivered("another")
            wait_for(lambda: not jobs.helpers)
        assert told == [True]
    jobs.expect(said([Job(50 + k) for k in range(ahead.FEW)]), 1)
    jobs.delivered("another")
    assert told == [True]


@pytest.mark.parametrize("place", ["nowhere", "read-only"])
def test_no_helper_is_started_for_a_cache_that_cannot_be_written(place, jobs, monkeypatch):
    if place == "nowhere":
        monkeypatch.setattr(cache, "folder", lambda: None)
    else:  # by any user, whom root is none of
        monkeypatch.setattr(ahead.os, "access", lambda path, how: how != os.W_OK)
    jobs.expect(said([Job(k) for k in range(9)]), 1)
    assert not jobs.delivered(0)
    assert jobs.helpers == []


@pytest.mark.parametrize(("process", "patience"), [(ENDS, 60.0), (HANGS, 0.2)], ids=["ends", "hangs"])
def test_what_a_helper_does_not_deliver_is_compiled_here(process, patience, jobs, monkeypatch):
    monkeypatch.setattr(ahead, "_START", process)
    monkeypatch.setattr(ahead, "PATIENCE", patience)
    jobs.expect(said([Job(k) for k in range(6)]), 1)
    jobs.delivered(0)
    wait_for(lambda: jobs.at_work or jobs.failed)
    jobs.delivered(5)  # returns
    wait_for(lambda: jobs.failed)
    assert jobs.helpers == []
    assert not jobs.delivered(4)  # and no other is started
    assert jobs.helpers == []


def test_an_interpreter_that_cannot_be_started_is_no_error(jobs, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    jobs.expect(said([Job(k) for k in range(6)]), 1)
    jobs.delivered(0)
    wait_for(lambda: jobs.failed)
    assert not jobs.delivered(5)


@pytest.mark.parametrize("why", ["switched off", "one core", "without JIT", "in another program", "frozen"])
def test_nothing_is_expected_where_helpers_are_no_use(why, jobs, monkeypatch):
    monkeypatch.setenv(ahead.SWITCH, "0" if why == "switched off" else "1")
    monkeypatch.setattr(ahead, "JIT", why != "without JIT")
    if why == "in another program":
        monkeypatch.setattr(sys, "executable", "/usr/bin/editor")
    if why == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    chip = Expecting([Job(1)])
    ahead.expect(chip.expected, 1 if why == "one core" else 8)
    assert not jobs.said


def test_what_is_gone_is_not_expected_and_not_kept(jobs, monkeypatch):
    monkeypatch.setenv(ahead.SWITCH, "1")
    chips = [Expecting([Job(k)]) for k in range(2)]
    for chip in chips:
        ahead.expect(chip.expected, 8)
    del chips[0], chip
    jobs.delivered("another")
    assert list(jobs.waiting) == [1]


def test_jobs_that_cannot_be_told_are_no_error(jobs):
    jobs.expect(said(None), 1)
    jobs.expect(said([Job(1)]), 1)
    jobs.delivered("another")
    assert list(jobs.waiting) == [1]


TYPES = steps.TYPE.arguments
NEVER = TYPES + TYPES
"""Types for which no other test compiles anything."""


@jit
def test_jobs_are_told_apart_and_packed_for_another_process(jobs, monkeypatch):
    monkeypatch.setenv(ahead.SWITCH, "1")
    expected = [ahead.Job(steps.perturb, NEVER), ahead.Job(steps.drop, NEVER), ahead.Job(steps.drop, NEVER[1:])]
    chip = Expecting(expected)
    ahead.expect(chip.expected, 2)
    jobs.start()
    assert list(jobs.waiting.values()) == expected
    assert not any(job.found for job in expected)
    (make, arguments), types = pickle.loads(expected[0].packed()[4:])
    assert make(*arguments) is steps.perturb
    assert types == NEVER


class Unknown:
    """Cannot be pickled: it is found under another name."""

    __qualname__ = "nowhere"


@jit
def test_a_job_that_cannot_be_packed_is_done_here(jobs):
    jobs.expect(said([ahead.Job(steps.perturb, (k, Unknown)) for k in range(9)]), 1)
    jobs.delivered("another")
    wait_for(lambda: jobs.failed)
    assert jobs.at_work == {}


@pytest.fixture
def rows(monkeypatch):
    """What a device brings to the jobs that a chip expects."""
    expected = []
    monkeypatch.setattr(ahead, "expect", lambda jobs, cores: expected.extend(jobs()))

    def find(device):
        expected.clear()
        State(network([4, 3], "linear", False, resolve(device)), device, 0, 1, "cpu", "", "fixed")
        assert [job for job in expected if not job.made]
        return [job for job in expected if job.made]

    return find


@jit
@pytest.mark.parametrize("name", devices.names())
def test_rows_of_built_in_devices_are_made_again_from_their_jobs(name, rows):
    for job in rows(devices.get(name)):
        (make, arguments), types = pickle.loads(job.packed()[4:])
        assert make(*arguments) is job.function
        assert types == job.types


@jit
def test_rows_of_other_devices_are_left_to_this_process(rows):
    assert rows(devices.get("crossbar"))
    assert not rows(devices.get(cell_device.Bench()))


@jit
def test_loops_are_called_with_the_types_that_are_declared():
    noisysim.run(layers=[8], device="crossbar", learner="danp", epochs=1, progress=False)
    for loop, types in (
        (passes.forward, passes.FORWARD), (passes.follow_peaks, passes.FOLLOW),
        (cell_writes.write_chips, cell_writes.WRITE), (sweeps.sweep, sweeps.SWEEP),
        *((job.function, job.types) for job in ops.OFTEN),
    ):  # fmt: skip
        assert types in loop.overloads, loop.py_func.__name__


# --- whole processes --------------------------------------------------------------------------------------------------


def helper(folder):
    return subprocess.Popen(
        [sys.executable, "-c", ahead._START, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "NOISYSIM_CACHE": str(folder)},
    )  # fmt: skip


@jit
def test_a_helper_fills_the_cache_answers_each_job_and_ends_with_who_asks(tmp_path):
    with helper(tmp_path) as process:
        for name in ("no_such_step", "perturb"):
            content = pickle.dumps(((ahead._of_module, (steps.__name__, name)), TYPES))
            process.stdin.write(struct.pack("!I", len(content)) + content)
            process.stdin.flush()
            assert process.stdout.read(1) == b"."
        process.stdin.close()  # as when this process ends
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == b""
    names = [file.name for file in (tmp_path / "kernels").iterdir()]
    assert len(names) == 1
    assert "steps_perturb" in names[0]


@jit
def test_a_first_start_is_helped_and_the_second_finds_all_that_both_compiled(tmp_path):
    def start():
        environment = {**os.environ, "NOISYSIM_CACHE": str(tmp_path), ahead.SWITCH: "1", "NOISYSIM_THREADS": "2"}
        environment["NUMBA_OPT"] = "1"  # which compiles faster
        command = [sys.executable, "-c", START]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return json.loads(done.stdout)

    first, second = start(), start()
    assert first["started"] == 1
    assert first["found"] > 0
    assert (second["compiled"], second["started"]) == (0, 0)
    assert first["types"] > 0
    assert second["types"] == 0  # what Numba can compile is not set up where nothing is
    assert np.array_equal(first["out"], second["out"])


FORKED = """
import os, threading
from noisysim.compute.jit import ahead
ahead._jobs.at_work["a function"] = "a helper of the parent's"
child = os.fork()
if child == 0:
    os._exit(int(ahead._jobs.delivered("a function")))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_does_not_wait_for_helpers_of_its_parent():
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=SECONDS).returncode == 0
