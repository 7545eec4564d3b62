"""What runs the loops: jobs shared among threads, and how work is cut."""

import itertools
import threading
import time
from functools import partial

import numpy as np
import pytest
import threadpoolctl

from noisysim.compute import execution
from noisysim.networks import tiling

MUCH = 1e12
"""Work that is worth the pool."""


def threads_of_blas():
    """How many each library has; loaded are those that compiled products call too."""
    return {one["num_threads"] for one in execution.blas_libraries()}


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_task_is_done_once_and_by_all_threads(count):
    done, by, meet = [], set(), threading.Barrier(count)

    def task(k):
        if k < count:
            meet.wait(30)  # as many tasks run at the same time as there are threads
        by.add(threading.get_ident())
        done.append(k)

    with execution.threads(count):
        execution.run([partial(task, k) for k in range(20)], MUCH)
    assert sorted(done) == list(range(20))
    assert len(by) == count
    assert threading.get_ident() in by


@pytest.mark.parametrize(("tasks", "flops"), [(0, MUCH), (1, MUCH), (9, 0.0)])
def test_little_work_stays_in_the_calling_thread(tasks, flops):
    by = []
    with execution.threads(3):
        execution.run([lambda: by.append(threading.get_ident())] * tasks, flops)
    assert by == [threading.get_ident()] * tasks


def test_an_error_is_raised_when_no_task_runs_any_more_and_begins_no_others():
    running, begun = [], []

    def fails():
        raise ZeroDivisionError("the first one")

    def lasts():
        running.append(1)
        time.sleep(0.1)
        running.pop()

    with execution.threads(2):
        for order in ([lasts, fails], [fails, lasts]):
            with pytest.raises(ZeroDivisionError, match="the first one"):
                execution.run([*order, *[lambda: begun.append(1) or time.sleep(0.05)] * 50], MUCH)
            assert not running
            assert len(begun) < 50
        execution.run([lambda: begun.clear()] * 3, MUCH)  # the threads are there for the next job
    assert not begun


def test_tasks_may_run_tasks_and_several_threads_may_do_so_at_the_same_time():
    sums = np.zeros((4, 6, 5))

    def inner(k, i, j):
        sums[k, i, j] += 1

    def outer(k, i):
        execution.run([partial(inner, k, i, j) for j in range(5)], MUCH)

    with execution.threads(2):
        users = [
            threading.Thread(target=execution.run, args=([partial(outer, k, i) for i in range(6)], MUCH))
            for k in range(4)
        ]
        for user in users:
            user.start()
        for user in users:
            user.join(30)
    assert (sums == 1).all()


def test_overflows_are_not_warned_of_in_any_thread(recwarn):
    big, meet = np.float32(3e38), threading.Barrier(2)

    def task():
        meet.wait(30)
        assert np.isinf(big * np.ones(3, np.float32) * big).all()

    with execution.threads(2):
        execution.run([task, task], MUCH)
    assert not list(recwarn)


# --- how batches are cut --------------------------------------------------------------------------------------------

BATCHES = [1, 2, 31, 63, 64, 65, 99, 100, 127, 128, 255, 256, 300, 511, 512, 513, 577, 1000, 1024, 1100]


def test_blas_has_one_thread_in_all_of_a_block_and_what_it_had_after_it():
    execution.blas_libraries()
    with threadpoolctl.threadpool_limits(3, user_api="blas"):
        for _ in range(2):
            with execution.single_blas():
                assert threads_of_blas() == {1}
                with execution.single_blas():
                    assert threads_of_blas() == {1}
                assert threads_of_blas() == {1}
            assert threads_of_blas() == {3}


def test_blas_is_held_by_any_thread_and_given_back_by_whichever_leaves_last():
    def in_a_thread(work):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()

    seen, inside, leave = [], threading.Event(), threading.Event()

    def look():
        with execution.single_blas():
            seen.append(threads_of_blas())
        with threadpoolctl.threadpool_limits(2, user_api="blas"):  # of the user's own
            seen.append(threads_of_blas())

    def stay():
        with execution.single_blas():
            inside.set()
            leave.wait(30)

    before = threads_of_blas()
    with execution.single_blas():
        pass
    in_a_thread(look)
    assert seen == [{1}, {2}]
    first, second = threading.Thread(target=stay), execution.single_blas()
    first.start()
    assert inside.wait(30)
    with second:
        leave.set()
        first.join(30)
        assert threads_of_blas() == {1}
    assert threads_of_blas() == before


@pytest.mark.parametrize("positions", [0, 1, 49])
@pytest.mark.parametrize("flops", [1e2, 1e9])
@pytest.mark.parametrize("most", [None, 1, 7, 100])
def test_blocks_are_a_batch_in_even_parts(most, flops, positions):
    unit = 1 if most or positions > 1 else 4
    for batch in BATCHES:
        spans = tiling.row_spans(batch, flops, most, positions, unit)
        assert list(itertools.chain(*(range(*span) for span in spans))) == list(range(batch))
        for start in range(0, batch, tiling.BLOCK_ROWS):
            sizes = [b - a for a, b in spans if start <= a < start + tiling.BLOCK_ROWS]
            rows = min(tiling.BLOCK_ROWS, batch - start)
            shared = positions * rows >= 2 * tiling.LEAST_ROWS and rows * flops >= tiling.LEAST_FLOPS and rows > 1
            assert sum(sizes) == rows
            assert max(sizes) <= (most or tiling.BLOCK_ROWS)
            assert len(set(sizes[:-1])) <= 1  # the last may be shorter
            assert len(sizes) >= (2 if shared else 1)
            if most is None:
                assert len(sizes) == (2 if shared else 1)
                assert max(sizes) - min(sizes) <= 2 * unit
                assert not shared or positions > 1 or min(sizes) >= tiling.LEAST_ROWS - unit


@pytest.mark.parametrize("most", [None, 100, 7])
def test_chunks_of_a_batch_are_cut_as_the_batch(most):
    block = tiling.BLOCK_ROWS
    for batch in BATCHES:
        chunks = [
            (start + a, start + b)
            for start in range(0, batch, block)
            for a, b in tiling.row_spans(min(block, batch - start), 1e6, most)
        ]
        assert chunks == tiling.row_spans(batch, 1e6, most)
