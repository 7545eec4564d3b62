"""Memory of a run beyond its data, in processes of their own."""

from __future__ import annotations

from benchmarks.speed.measure import Row, at_most
from benchmarks.speed.starts import python

# Peak of what NumPy allocates, against the weights, the decorrelation matrices and one pass's activities; a small run
# before has compiled what is needed.
_PEAK = """
import resource, sys, tracemalloc, numpy as np, noisysim
from noisysim.compute import execution
n_in, *layers, batch = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
x, y = rng.standard_normal((2 * batch, n_in), dtype=np.float32), np.arange(2 * batch) % 10
task = noisysim.tasks.get((x, y, x[:batch], y[:batch]))

class Peak(noisysim.callbacks.Callback):
    every = 1

    def on_update(self, event):
        self.bytes = tracemalloc.get_traced_memory()[1]

while_learning = Peak()

def run(layers):
    noisysim.run(
        task, layers=layers, batch_size=batch, epochs=1, device="crossbar", progress=False, callbacks=[while_learning]
    )

run([16])
execution._local.__dict__.clear()
tracemalloc.start()
run(layers)
peak = tracemalloc.get_traced_memory()[1]
sizes = [n_in, *layers, 10]
weights = sum(a * b for a, b in zip(sizes, sizes[1:])) + sum(n * n for n in sizes[:-1])
activities = batch * (sum(sizes[:-1]) + sum(sizes[1:]))
unit = 4 * (weights + activities)
print(peak / unit, while_learning.bytes / unit, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def rows() -> list[Row]:
    """Peak of arrays of a network with a large batch, and of one with large layers."""
    found = []
    for sizes, batch in (([784, 512, 512, 512], 1000), ([4096, 4096, 4096], 100)):
        peak, learning, resident = map(float, python(_PEAK, *map(str, [*sizes, batch])).split())
        what = f"peak of a run's arrays, {'-'.join(map(str, sizes))}-10, batch {batch}, over weights, R and activities"
        found.append(at_most(what, peak, 3, detail=f"{learning:.2f} while it learns; {resident:.2f} GB resident"))
    return found
