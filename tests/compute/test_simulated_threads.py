"""How Numba's simulator runs the threads of a block, and draws noise."""

import numpy as np
import pytest
from numba import cuda

from noisysim.compute import backends, gpu, noise

pytestmark = pytest.mark.gpu
THREADS = 4


@pytest.fixture(autouse=True)
def simulator():
    if not gpu.SIMULATED:
        pytest.skip("a GPU runs threads of its own: simulate one with NUMBA_ENABLE_CUDASIM=1")
    assert backends.get("cuda")


@pytest.mark.parametrize("waits", [True, False])
def test_a_thread_reads_what_others_wrote_if_it_waited_for_them(waits):
    """Without that it reads too early where threads take turns in one order or in the other."""

    @cuda.jit
    def neighbours(out):
        written = cuda.shared.array(THREADS, np.int32)
        for number in range(2):
            written[cuda.threadIdx.x] = 0
            cuda.syncthreads()
            written[cuda.threadIdx.x] = 1 + cuda.threadIdx.x
            if waits:
                cuda.syncthreads()
            out[cuda.blockIdx.x, number, cuda.threadIdx.x] = written[(cuda.threadIdx.x + 1) % THREADS]
            cuda.syncthreads()

    out = np.zeros((2, 2, THREADS), np.int32)
    neighbours[2, THREADS](out)
    expected = np.roll(np.arange(1, 1 + THREADS), -1)
    for block in out:
        for found in block:
            assert np.array_equal(found, expected) == waits


def test_threads_that_end_early_are_not_waited_for():
    @cuda.jit
    def half(out):
        if cuda.threadIdx.x % 2:
            return
        cuda.syncthreads()
        out[cuda.threadIdx.x] = 1

    out = np.zeros(THREADS, np.int32)
    half[1, THREADS](out)
    assert out.tolist() == [1, 0, 1, 0]


def test_the_error_of_a_thread_is_the_kernels():
    @cuda.jit
    def wrong(out):
        cuda.syncthreads()
        if cuda.threadIdx.x == 1:
            out[THREADS] = 1
        cuda.syncthreads()

    with pytest.raises(IndexError, match=r"tid=\[1, 0, 0\]"):
        wrong[1, THREADS](np.zeros(THREADS, np.int32))


def test_functions_of_other_modules_know_the_threads_of_the_kernel():
    from noisysim.compute.cuda.kernels import blocks

    @cuda.jit
    def count(out):
        tally = cuda.shared.array(THREADS, np.int32)
        before, total = blocks.ranks(tally, np.int32(cuda.threadIdx.x + 1))
        out[cuda.blockIdx.x, cuda.threadIdx.x, 0] = before
        out[cuda.blockIdx.x, cuda.threadIdx.x, 1] = total

    out = np.zeros((2, THREADS, 2), np.int32)
    count[2, THREADS](out)
    assert out.tolist() == [[[0, 10], [1, 10], [3, 10], [6, 10]]] * 2


def test_draws_are_those_of_the_plain_functions():
    """Compiled, whose sums and products may be fused: to rounding, and of the same types."""
    from noisysim.compute.cuda import simulated_draws

    for words in np.random.default_rng(1).integers(0, 2**32, (20, 6), dtype=np.uint32):
        bits, plain = simulated_draws.philox(*words), noise.philox(*words)
        assert bits == plain
        assert {type(one) for one in bits} == {np.uint32}
        pair = simulated_draws.normal_pair(*bits[:2])
        np.testing.assert_allclose(pair, noise.normal_pair(*plain[:2]), rtol=1e-5, atol=1e-6)
        assert {type(one) for one in pair} == {np.float32}
