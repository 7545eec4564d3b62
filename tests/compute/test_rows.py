"""Products of rows with weights that are transposed: the same numbers in whichever form, as NumPy's."""

import numpy as np
import pytest

from noisysim.compute.cpu.loops import rows


@pytest.mark.parametrize("shape", [(1, 1), (3, 8), (8, 8), (9, 7), (16, 24), (17, 33), (52, 100)])
def test_turn_transposes(shape):
    source = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    target = np.full(shape[::-1], -1, np.float32)
    rows.turn(source, target, np.empty((rows.SIDE, rows.SIDE), np.float32))
    np.testing.assert_array_equal(target, source.T)


@pytest.mark.parametrize("n_in", [1, 8, 64, 200])
@pytest.mark.parametrize("n_out", [1, 7, 64])
@pytest.mark.parametrize("count", [1, 2, 16, 17, 50, 51])
def test_multiply_is_a_product_with_the_transpose(count, n_out, n_in):
    rng = np.random.default_rng(0)
    x, weights = rng.standard_normal((count, n_in), np.float32), rng.standard_normal((n_out, n_in), np.float32)
    out, room = np.empty((count, n_out), np.float32), np.full(count * n_out + rows.SIDE**2, np.nan, np.float32)
    rows.multiply(x, weights, out, room)
    np.testing.assert_allclose(out, x.astype(float) @ weights.T.astype(float), rtol=0, atol=1e-5 * np.sqrt(n_in))
