"""``python -m noisysim``: the command line."""

from noisysim.cli import main

main()
