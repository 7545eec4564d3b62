"""Running out of memory: what to shrink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from noisysim.common.arguments import argument
from noisysim.runs.config import Config


@contextmanager
def explaining(config: Config, on_host: bool, side_by_side: bool) -> Iterator[None]:
    """In this block running out of memory says what to shrink."""
    try:
        yield
    except MemoryError as error:
        where, stack = "" if on_host else " on the GPU", "runs side by side" if side_by_side else "chips"
        of_many = [
            argument(f"batch_size={config.batch_size}"),
            argument(f"{stack}={config.chips}") if config.chips > 1 else "",
        ]
        if (samples := getattr(config.learner, "samples", 1)) > 1:
            of_many.append(f"the learner's samples={samples}")
        smaller = ", ".join(filter(None, of_many))
        raise MemoryError(f"out of memory{where}: make {smaller} or layers smaller ({error})") from error
