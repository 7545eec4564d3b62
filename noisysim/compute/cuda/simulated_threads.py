"""How the threads of a block run in Numba's simulator: in turn, each until it waits for the others or ends.

The simulator itself starts them all and looks without a pause whether they have ended, which keeps them from running
for most of a kernel's time. Their order turns with every block, so that one that reads what another writes, and does
not wait for it, reads it too early in one of two blocks. Kernels get NumPy's arrays themselves: the simulator's look
through all that an array has for every ``shape``.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

kernel: Any = importlib.import_module("numba.cuda.simulator.kernel")  # Numba has no types
_backwards = itertools.cycle([False, True])


class Block(Protocol):
    """What is used of the simulator's ``BlockManager``."""

    stands: threading.Semaphore  # put there by `run`: released when a thread stands still
    _f: Callable[..., object]
    _block_dim: tuple[int, ...]
    _debug: bool


class Turn(kernel.BlockThread):  # type: ignore[misc]
    """A thread that says when it stands still."""

    def __init__(self, *arguments: object):
        super().__init__(*arguments)
        self.go, self.ended = threading.Semaphore(0), False

    def advance(self) -> None:
        """Let it run until it waits for the others or ends."""
        if self.ident is None:
            self.start()
        else:
            self.go.release()
        self._manager.stands.acquire()

    def run(self) -> None:
        """Run the kernel; called by `start`."""
        try:
            super().run()
        finally:
            self.ended = True
            self._manager.stands.release()

    def syncthreads(self) -> None:
        """Wait for the others; called by the kernel."""
        self._manager.stands.release()
        self.go.acquire()
        if self.abort:
            raise RuntimeError("another thread of the block failed")


class Running:
    """What the kernel that runs calls ``cuda``: the simulator tells it to the kernel's own module alone."""

    def __getattr__(self, name: str) -> Any:
        return getattr(kernel._get_kernel_context(), name)


def _plain(value: object) -> object:
    """An argument of a kernel without what the simulator puts around arrays."""
    return value._item._ary if isinstance(value, kernel.FakeWithinKernelCUDAArray) else value


def run(manager: Block, grid_point: tuple[int, ...], *arguments: object) -> None:
    """Run a block, in the place of the simulator's own ``BlockManager.run``."""
    manager.stands, function = threading.Semaphore(0), functools.partial(manager._f, *map(_plain, arguments))
    points = list(np.ndindex(*manager._block_dim))[:: -1 if next(_backwards) else 1]
    threads = [Turn(function, manager, grid_point, point, manager._debug) for point in points]
    while left := [thread for thread in threads if not thread.ended]:
        for thread in left:
            thread.advance()
        if failed := next((thread.exception for thread in threads if thread.exception), None):
            for thread in threads:
                thread.abort = True
            for thread in [thread for thread in left if not thread.ended]:
                thread.advance()
            raise failed[0].with_traceback(failed[1])


kernel.BlockManager.run = run
