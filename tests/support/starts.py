"""Starts of a process that needs compiled code, each in a fork of this one, which has everything imported.

Reads a start a line (JSON: the arguments of `start`), and answers each with a line: what it computed, with how many
functions that were found in the cache and how many that were compiled; or how it died.
"""

import errno
import json
import os
import pickle
import resource
import sys

import numba
import numpy as np

from noisysim.compute.cpu import bring
from noisysim.compute.jit import cache
from noisysim.networks import activations

CALLS = ("open", "mkdir", "fsync", "replace", "listdir", "stat", "fstat", "utime")
"""What the cache asks of the system, but for writing, which a limit of a file's size makes fail."""
ASKING = ("noisysim.compute.jit.cache", "os")
"""Modules whose calls are counted."""


def failing(at, how):
    """Count `CALLS`, and let the one of number `at` raise the error `how`, or end the process ("die")."""
    count = 0

    def counted(call):
        def wrapped(*args, **kwargs):
            nonlocal count
            if sys._getframe(1).f_globals["__name__"] not in ASKING:
                return call(*args, **kwargs)
            count += 1
            if count - 1 == at and how == "die":
                os._exit(9)
            if count - 1 == at:
                raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)))
            return call(*args, **kwargs)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    return lambda: count


def start(at=None, how="EIO", largest=None, unfit=False, **environment):
    """Load a row and call it.

    Parameters
    ----------
    at, how : int, str
        See `failing`.
    largest : int
        A limit of the size of files.
    unfit : bool
        Whether what is saved is nothing that Numba knows.
    environment : str
        Variables.
    """
    os.environ.update(environment)
    calls = failing(at, how)
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    if unfit:
        cache.dumps = lambda pair: pickle.dumps((pair[0], "nothing"))
    row, values = bring.slope(activations.get("tanh")), np.linspace(-2, 1, 5, dtype=np.float32)
    out = np.ones(5, np.float32)
    row(out, values)
    stats = row.stats
    hits, misses = sum(stats.cache_hits.values()), sum(stats.cache_misses.values())
    return {"out": out.tolist(), "found": hits, "compiled": misses, "calls": calls()}


if __name__ == "__main__":
    numba.njit(lambda x: np.tanh(x[0]))(np.ones(2, np.float32))  # what the first compilation of a process sets up
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                answer = start(**json.loads(line))
            except OSError as error:
                answer = {"error": str(error), "kind": type(error).__name__}
            except BaseException as error:
                answer = {"died": repr(error)}
            os.write(1, (json.dumps(answer) + "\n").encode())
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status:
            os.write(1, (json.dumps({"died": status}) + "\n").encode())
