"""What the threads of a block make together: sums, maxima, ranks, and counts of what all of them did.

Kernels of all modules call these functions, so ``cuda`` is what knows the threads in each of them.
"""

import numpy as np

from noisysim.compute.cuda.kernels.target import device, larger
from noisysim.compute.cuda.kernels.target import in_kernels as cuda


@device
def plus(a, b):
    """The sum of two."""
    return a + b


def over_block(combine):
    """What the threads of a block, a power of two of them, make of a number that each has: all get the same.

    ``combine(a, b)`` takes two of them; ``parts`` is shared memory with a place for each thread.
    """

    @device
    def combined(parts, value):
        t, step = cuda.threadIdx.x, cuda.blockDim.x // 2
        cuda.syncthreads()  # what was made before is read
        parts[t] = value
        cuda.syncthreads()
        while step > 0:
            if t < step:
                parts[t] = combine(parts[t], parts[t + step])
            cuda.syncthreads()
            step //= 2
        return parts[0]

    return combined


added, highest = over_block(plus), over_block(larger)


@device
def largest(row, tops):
    """The largest |value| of a row, NaN where one is NaN; ``tops`` is shared int32 with a place for each thread."""
    top = np.int32(0)
    for j in range(cuda.threadIdx.x, row.shape[0], cuda.blockDim.x):
        top = max(top, np.float32(row[j]).view(np.int32) & np.int32(0x7FFFFFFF))  # bits order as sizes do
    return np.int32(highest(tops, top)).view(np.float32)


@device
def ranks(tally, mine):
    """Over the threads of a block: the sum of `mine` of those before this one, and of all."""
    t, step = cuda.threadIdx.x, 1
    cuda.syncthreads()  # the last sums are read
    tally[t] = mine
    while step < cuda.blockDim.x:
        cuda.syncthreads()
        before = tally[t - step] if t >= step else np.int32(0)
        cuda.syncthreads()
        tally[t] += before
        step *= 2
    cuda.syncthreads()
    return tally[t] - mine, tally[cuda.blockDim.x - 1]


@device
def counted(counts, chip, which, mine):
    """Count for a chip where each has a row of its own; returns what is left for a thread to `add_up`."""
    if counts.shape[0] == 1:
        return mine
    if mine > 0:
        cuda.atomic.add(counts, (chip, which), np.int64(mine))
    return 0


@device
def add_up(counts, which, mine):
    """Add what the threads of a block counted to one of the counts of all chips, in one atomic operation."""
    total = cuda.shared.array(1, np.int32)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        total[0] = 0
    cuda.syncthreads()
    if mine > 0:
        cuda.atomic.add(total, 0, mine)
    cuda.syncthreads()
    if cuda.threadIdx.x == 0 and total[0] > 0:
        cuda.atomic.add(counts, (0, which), np.int64(total[0]))
