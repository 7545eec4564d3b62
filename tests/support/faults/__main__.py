"""Faults of all kinds, at random, for hours."""

import argparse
import functools
import itertools
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from . import __doc__ as about
from . import disk, files, processes


def one(kind, chance, folder):
    """One random fault of a kind, in a folder of its own; what came of it, counted."""
    path = Path(folder, "file.h5")
    if kind == "disk":
        seconds = chance.choice((0, 30))
        failing = disk.Disk(chance.randrange(operations(seconds)), chance.choice(disk.ERRORS), chance.random() < 0.5)
        return Counter([disk.run(failing, folder, seconds)])
    if kind == "short writes":
        return Counter([disk.run(disk.Disk(short=True), folder, 30)])
    if kind in processes.SIGNALS:
        return Counter({"before the end": processes.cut_short(folder, chance, processes.SIGNALS[kind])})
    if kind == "rivals":
        return Counter({"refused": processes.rivals(folder, chance)})
    if kind == "crowd":
        return Counter({"held": processes.crowd(folder, chance)})
    if kind == "hostile":
        return files.hostile(path, chance)
    return files.damaged(path, chance, sealed=kind == "damaged")


KINDS = ("disk", "short writes", *processes.SIGNALS, "rivals", "crowd", "damaged", "damaged, seal cut off", "hostile")
operations = functools.cache(disk.operations)


def main():
    """Faults of all kinds in turn, for some time."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.faults", description=about)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of the first fault; each has the next one")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only such faults")
    given = parser.parse_args()
    end, done, found = time.monotonic() + 3600 * given.hours, Counter(), {}
    for seed, kind in zip(itertools.count(given.seed), itertools.cycle(given.kind or KINDS), strict=False):
        if time.monotonic() > end:
            break
        folder = tempfile.mkdtemp(prefix="noisysim-faults-")
        try:
            found.setdefault(kind, Counter()).update(one(kind, random.Random(seed), folder))
        except BaseException:
            print(f"not survived: {kind}, in {folder}; again: --kind '{kind}' --seed {seed}", flush=True)
            raise
        shutil.rmtree(folder)
        done[kind] += 1
    for kind, count in done.items():
        print(f"{kind:>22}  {count:>7,}  {', '.join(f'{n:,} {what}' for what, n in sorted(found[kind].items()))}")


if __name__ == "__main__":
    main()
