"""The command line in the process of the tests, and as a program."""

import subprocess
import sys

import pytest

from noisysim import cli

PROGRAM = [sys.executable, "-c", "from noisysim import cli; cli.main()"]


def program(*words, **options):
    """The command line as a program that ends."""
    return subprocess.run([*PROGRAM, *map(str, words)], capture_output=True, text=True, check=False, **options)


@pytest.fixture(name="call")
def command_line(capsys, monkeypatch):
    """The command line in this process: its exit code, and what it says on standard output and standard error."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["noisysim", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code or 0, *capsys.readouterr()

    return run
