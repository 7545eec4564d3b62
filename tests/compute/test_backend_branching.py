"""Networks that branch, on a GPU or in Numba's simulator of one, against the CPU: passes, gradients, learning.

Stated before looking: where nothing rounds, all that is computed agrees to `CLOSE`.
"""

import numpy as np
import pytest

import noisysim
from noisysim import Batch, Chip, Drive, learners
from noisysim.compute import backends, losses

import branching

pytestmark = pytest.mark.gpu

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def batch(chip, rows=2):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((rows, chip.network.sizes[0])).astype(np.float32)
    t = np.eye(chip.network.n_out, dtype=np.float32)[np.arange(rows) % chip.network.n_out]
    return x, t


def both(name, learner, device):
    """What each backend gives: lines and outputs of clean and perturbed passes, the oracle's gradient, an update."""
    rule, results = learners.get(learner), []
    for backend in ("cpu", "cuda"):
        place = backends.get(backend)
        chip = Chip(branching.NETS[name], device, "tanh", bias=True, seed=4, oracle=True, backend=backend)
        data = Batch(*map(place.put, batch(chip)), losses.get("cce"))
        rng, net = np.random.default_rng(5), chip.network
        lines = [
            place.put(0.1 * rng.standard_normal(net.line_shape(k, 2)).astype(np.float32)) for k in range(net.depth)
        ]
        beside = [place.put(0.1 * rng.standard_normal(shape).astype(np.float32)) for shape in net.shapes]
        observed = chip.passes(data, [Drive(), Drive(lines), Drive(weights=beside)], training=True)
        state = noisysim.prepare(rule, chip, data)
        passes = chip.passes(data, rule.drives(state, 2), training=True)
        update, _ = rule.update(state, passes)
        arrays = [a for one in observed for a in (*one.activities, *one.inputs, one.output)]
        arrays += [*chip.oracle(data).gradient(observed[0]), *update]
        results.append([np.asarray(place.take(a)) for a in arrays])
    return results


@pytest.mark.parametrize("name", branching.NETS)
def test_a_gpu_gives_what_the_cpu_gives(name):
    device = "ideal" if name in ("residual", "wired") else "gaussian"
    for one, other in zip(*both(name, "fg-w:sigma=0.01", device), strict=True):
        scale = max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(one / scale, other / scale, **CLOSE)


@pytest.mark.parametrize(("name", "rule"), [("residual, normalised", "anp"), ("gate", "dfa")])
def test_a_run_on_a_gpu_learns_the_same(name, rule):
    layers = branching.NETS[name]
    x = np.random.default_rng(1).standard_normal((16, *layers[0])).astype(np.float32)
    found = []
    for backend in ("cpu", "cuda"):
        result = noisysim.run(
            (x, np.arange(16) % 3), layers=layers[1:-1], activation="tanh", learner=rule, epochs=1, batch_size=8,
            device="crossbar:adc_bits=0,dac_bits=0,levels=0", backend=backend, progress=False, seed=2,
        )  # fmt: skip
        found.append(result.steps["train_loss"])
    np.testing.assert_allclose(*found, **CLOSE)
