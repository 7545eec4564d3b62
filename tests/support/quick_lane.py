"""The quick lane (``make quick``): a test leaves it when it first compiles a loop or starts a process.

No list says which tests those are. Machine code is looked for in an empty folder, so that the lane holds the same tests
whatever other runs have left in the cache.
"""

import multiprocessing.process
import os
import subprocess
import tempfile
import threading

import pytest
from numba.core import event


class Left(RuntimeError):
    """A test is not in the lane, as another thread than the main one is told."""


def chain(error):
    """An error and those that led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class QuickLane(event.Listener):
    """A plugin of pytest, and what Numba tells that it compiles."""

    def __init__(self):
        self.left = None  # why the running test is not in the lane
        self.earlier = set()  # threads that earlier tests have left running: what they do says nothing of this one
        self.errors = []  # of tests that left it: a fixture that failed for one fails again for the next
        self.cache = tempfile.TemporaryDirectory(prefix="noisysim-quick-")
        os.environ["NOISYSIM_CACHE"] = self.cache.name

    def on_start(self, event):
        self.leave("it compiles loops")

    def on_end(self, event):
        pass

    def start_process(self, *arguments, **options):
        self.leave("it starts a process")

    def leave(self, why):
        reason = f"not in the quick lane: {why}"
        if threading.current_thread() not in self.earlier:
            self.left = reason
        if threading.current_thread() is threading.main_thread():
            pytest.skip(reason)
        raise Left(reason)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item, nextitem):
        self.left, self.earlier = None, {*threading.enumerate()} - {threading.main_thread()}
        with pytest.MonkeyPatch.context() as patch, event.install_listener("numba:compile", self):
            patch.setattr(subprocess.Popen, "__init__", self.start_process)
            patch.setattr(multiprocessing.process.BaseProcess, "start", self.start_process)
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        return (yield from self.skip_whoever_left())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        return (yield from self.skip_whoever_left())

    def skip_whoever_left(self):
        """Of what another thread was told, or code that catches every error, a test may hear as another error."""
        try:
            return (yield)
        except BaseException as error:
            if self.left or any(isinstance(one, Left) for one in chain(error)):
                self.errors.append(error)
            if any(error is known for known in self.errors):
                pytest.skip(self.left or "not in the quick lane")
            raise
