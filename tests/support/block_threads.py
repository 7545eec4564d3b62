"""Threads of a simulated block take turns: Numba's simulator of a GPU looks at them without a pause until they end,
which keeps them from running for most of a kernel's time.

A thread runs until it waits for the others of its block, or ends; then the next does. Their order turns with every
block, so that one that reads what another writes, and does not wait for it, reads it too early in one of two blocks.
"""

import functools
import itertools
import threading

import numpy as np
from numba.cuda.simulator import kernel

_backwards = itertools.cycle([False, True])


class Turn(kernel.BlockThread):
    """A thread that says when it stands still."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.go, self.ended = threading.Semaphore(0), False

    def advance(self):
        """Let it run until it waits for the others or ends."""
        if self.ident is None:
            self.start()
        else:
            self.go.release()
        self._manager.stands.acquire()

    def run(self):
        try:
            super().run()
        finally:
            self.ended = True
            self._manager.stands.release()

    def syncthreads(self):
        self._manager.stands.release()
        self.go.acquire()
        if self.abort:
            raise RuntimeError("another thread of the block failed")


def run(manager, grid_point, *arguments):
    """Every thread of a block, in the place of the simulator's own ``BlockManager.run``."""
    manager.stands, function = threading.Semaphore(0), functools.partial(manager._f, *arguments)
    points = list(np.ndindex(*manager._block_dim))[:: -1 if next(_backwards) else 1]
    threads = [Turn(function, manager, grid_point, point, manager._debug) for point in points]
    while waiting := [thread for thread in threads if not thread.ended]:
        for thread in waiting:
            thread.advance()
        if failed := next((thread.exception for thread in threads if thread.exception), None):
            for thread in threads:
                thread.abort = True
            for thread in (one for one in threads if not one.ended):
                thread.advance()
            raise failed[0].with_traceback(failed[1])


def install():
    """For every kernel of this process."""
    kernel.BlockManager.run = run
