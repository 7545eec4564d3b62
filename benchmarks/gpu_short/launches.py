"""Launches of kernels counted, and on a GPU timed one by one, while a function runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from noisysim.compute import backends
from noisysim.compute.gpu import SIMULATED

PRODUCT = "product (cuBLAS)"
ARRAY = "array function (CuPy)"


class Spent(NamedTuple):
    """What one kernel took.

    Attributes
    ----------
    launches : int
    ms : float
        Time on the GPU; 0 in the simulator.
    """

    launches: int
    ms: float


def counted(function: Callable[[], object]) -> dict[str, Spent]:
    """Launches of a call, by kernel, the most time first.

    Kernels and products are seen everywhere. What CuPy's functions and operators ask of the GPU is seen in the
    simulator alone, where each counts as one launch: also copies from array to array, from and to the host, and memory
    that is set. Views and empty arrays launch nothing, and do not count.
    """
    events: list[tuple[str, Any]] = []
    with _seen(events):
        function()
    totals: dict[str, list[float]] = {}
    for name, taken in events:
        total = totals.setdefault(name, [0, 0.0])
        total[0] += 1
        total[1] += taken()
    spent = {name: Spent(int(count), ms) for name, (count, ms) in totals.items()}
    return dict(sorted(spent.items(), key=lambda item: (-item[1].ms, -item[1].launches)))


@contextmanager
def _seen(events: list[tuple[str, Any]]) -> Iterator[None]:
    """In this block every launch is noted, with a function that says how many milliseconds it took."""
    place: Any = backends.get("cuda")  # which loads what launches
    from noisysim.compute.cuda import simulated
    from noisysim.compute.cuda.kernels import target

    def noting(call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def noted(*arguments: Any, **named: Any) -> Any:
            stop = _started()
            value = call(*arguments, **named)
            events.append((name(*arguments), stop()))
            return value

        return noted

    start = noting(target.start, lambda kernel, *_: getattr(kernel, "__name__", None) or kernel.fn.__name__)
    replaced: list[tuple[Any, str, Any]] = [(target, "start", start)]
    if SIMULATED:

        def launched(name: str) -> None:
            events.append((PRODUCT if name == "matmul" else ARRAY, lambda: 0.0))

        replaced.append((simulated, "launched", launched))
    else:
        replaced.append((place.xp, "matmul", noting(place.xp.matmul, lambda *_: PRODUCT)))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    try:
        for owner, name, value in replaced:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def _started() -> Callable[[], Callable[[], float]]:
    """Begin to time what is launched next; what is returned ends it, and returns what says how long it took."""
    if SIMULATED:
        return lambda: lambda: 0.0
    xp: Any = backends.get("cuda").xp
    start, end = xp.cuda.Event(), xp.cuda.Event()
    start.record()

    def stop() -> Callable[[], float]:
        end.record()

        def taken() -> float:
            end.synchronize()
            return float(xp.cuda.get_elapsed_time(start, end))

        return taken

    return stop
