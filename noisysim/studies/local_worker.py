"""The process of a worker on this machine: it ends, with its children, as soon as the sweep that started it has.

``python -m noisysim.studies.local_worker PARENT ...`` is ``dask ...`` under the eyes of its parent.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import psutil

SECONDS = 0.5
"""Seconds between two checks of the parent."""


def watch(parent: int) -> None:
    """End this process and its children once its parent is gone, and is another process than `parent`."""
    while os.getppid() == parent:
        time.sleep(SECONDS)
    end(os.getpid())


def end(pid: int) -> None:
    """Kill a process and its children, but for multiprocessing's resource trackers.

    A tracker ends by itself after the processes that it serves, and unlinks semaphores that they had: killed with them,
    or before them, it would leave these in the system, or be started anew by one that still ends.
    """
    process = psutil.Process(pid)
    for one in (*process.children(recursive=True), process):
        with contextlib.suppress(psutil.NoSuchProcess):
            if not any("resource_tracker" in word for word in one.cmdline()):
                one.kill()


def main() -> None:
    """Watch the parent, and be a worker."""
    parent, *words = sys.argv[1:]
    threading.Thread(target=watch, args=(int(parent),), daemon=True).start()
    sys.argv = ["dask", *words]
    from dask.__main__ import main as dask  # which takes a second: the parent is watched by then

    dask()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
