"""How work is shared among threads: rows of a batch, and chips side by side, in bundles where they are small."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from noisysim.compute import execution
from noisysim.networks import tiling

Task: TypeAlias = Callable[[], object]
Some: TypeAlias = Callable[[int, int], object]
Weighed: TypeAlias = tuple[float, Task]
PARTS = 16
"""Into how many bundles the work of small chips is put."""
FLOPS_PER_BYTE = 10.0
"""Work of a pass over memory, as weighed against a product."""


def over_chips(loop: Callable[..., Any], chips: int, flops: float) -> None:
    """loop(first chip, last chip) over all chips, of which each has too little work to be shared."""
    size = chips if chips * flops < execution.SERIAL_FLOPS else -(-chips // PARTS)
    execution.run([partial(loop, *span) for span in execution.spans(chips, size)], chips * flops)


def run(tasks: Sequence[Task], chips: int, flops: float) -> None:
    """Run the tasks of a stack of chips, in bundles where a chip, of `flops`, has too little work to be shared."""
    if tasks and chips > 1 and flops < execution.SERIAL_FLOPS:
        tasks = [partial(_each, tasks[a:b]) for a, b in execution.spans(len(tasks), -(-len(tasks) // PARTS))]
    execution.run(tasks, chips * flops)


def run_weighed(tasks: Sequence[Weighed], chips: int) -> None:
    """`run`, of tasks whose work is known: the longest first, so that threads end at about the same time."""
    flops = sum(work for work, _ in tasks)
    run([task for _, task in sorted(tasks, key=lambda weighed: -weighed[0])], chips, flops / chips)


def in_rows(some: Some, rows: int, flops: float) -> None:
    """some(first, last), compiled loops, over all rows, of which none has to do with another."""
    if flops < execution.SERIAL_FLOPS:
        some(0, rows)
    else:
        execution.run([partial(some, *span) for span in tiling.row_spans(rows, flops / rows)], flops)


def _each(tasks: Sequence[Task]) -> None:
    for task in tasks:
        task()
