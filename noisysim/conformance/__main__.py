"""``python -m noisysim.conformance DEVICE``."""

import sys

from noisysim.conformance import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
