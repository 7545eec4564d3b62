"""The process of a worker on this machine: it ends, with its children, as soon as the sweep that started it has.

``python -m noisysim.studies.local_worker PARENT ...`` is ``dask ...`` under the eyes of its parent.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

SECONDS = 0.5
"""Seconds between two checks of the parent."""


def watch(parent: int) -> None:
    """End this process and its group once its parent is gone, and is another process than `parent`."""
    while os.getppid() == parent:
        time.sleep(SECONDS)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def main() -> None:
    """Watch the parent, and be a worker."""
    parent, *words = sys.argv[1:]
    threading.Thread(target=watch, args=(int(parent),), daemon=True).start()
    sys.argv = ["dask", *words]
    from dask.__main__ import main as dask  # which takes a second: the parent is watched by then

    dask()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
