"""A DANP step, batch 1000 in dense layers and 100 in a ConvNet, one thread, against the step's own bare products."""

from __future__ import annotations

import statistics

from benchmarks.speed.measure import Row, at_most, interleaved, ratio
from benchmarks.speed.work import CONVNET, DENSE, batch_of, products, stepper
from noisysim import devices
from noisysim.compute import execution


def rows(rounds: int = 11) -> list[Row]:
    """Two networks on three devices."""
    found = []
    for name, device in (
        ("crossbar", devices.get("crossbar")),
        ("crossbar without read noise", devices.get("crossbar", read_noise=0)),
        ("ideal", devices.get("ideal")),
    ):
        for kind, network, data, most in (
            ("step, 784-512-512-512-10, batch 1000", DENSE, batch_of(1000, 784, 10), 1.08),
            ("step, ConvNet, batch 100", CONVNET, batch_of(100, 3072, 10), 1.15),
        ):
            with execution.threads(1):
                bare = products(network, len(data.inputs), name == "crossbar")
                times = interleaved({"step": stepper(network, device, data, 1e-3), "bare": bare}, rounds)
            detail = f"products {1e3 * statistics.median(times['bare']):.0f} ms"
            said = f"DANP {kind}, {name}, against its products"
            found.append(at_most(said, ratio(times, "step", "bare"), most, detail=detail))
    return found
