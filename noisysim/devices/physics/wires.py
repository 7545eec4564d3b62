"""IR drop in a crossbar array: the exact solution of its nodal equations.

Word line j crosses bit lines 0 to n_out - 1 and is driven at the end next to bit line 0. Bit line i crosses word lines
0 to n_in - 1 and is held at virtual ground at the end next to word line n_in - 1, where its current is sensed. A wire
segment of the same resistance lies between neighbouring crosspoints, between a driver and its first crosspoint, and
between the last crosspoint and the sense amplifier. Cell (i, j) joins the two lines at their crosspoint
(A. Chen, IEEE Trans. Electron Devices 60:1318, 2013).

Cells are linear, so an array with wires is again a matrix of conductances, though not one of non-negative shares of the
cells: current also finds its way over other cells (sneak paths), even where a cell is open. The fast approximation, for
arrays of any size, is `noisysim.compute.cpu.loops.wires.attenuate`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

Array = npt.NDArray[np.float64]

LARGEST = 256 * 256
"""Cells of the largest array that is solved exactly, in 4 s on a core and 200 MB; four times the cells take eight
times as long."""

_TOGETHER = 32  # right-hand sides solved at once: dense columns of 2 numbers a cell each

# The matrix is symmetric and diagonally dominant: no pivoting, and an ordering that keeps the symmetry.
_SYMMETRIC: dict[str, Any] = {
    "permc_spec": "MMD_AT_PLUS_A",
    "diag_pivot_thresh": 0.0,
    "options": {"SymmetricMode": True},
}


def transfer(g: npt.ArrayLike, resistance: float) -> Array:
    """Conductance matrix of an array with wires: output currents are ``transfer(g, resistance) @ voltages``.

    One sparse factorisation, and one solution for each line of the fewer kind (reciprocity gives the others).

    Parameters
    ----------
    g : (n_out, n_in), µS
        Conductances of the cells; 0 is an open cell.
    resistance : float, Ohm
        Resistance of one wire segment; 0 returns `g`.

    Returns
    -------
    (n_out, n_in) float64, µS
    """
    g = _checked(g, resistance)
    if resistance == 0:
        return g.copy()
    n_out, n_in = g.shape
    rows, columns = np.divmod(np.arange(g.size), n_in)
    driven, sensed = _currents(g, columns, n_in), _currents(g, rows, n_out)
    few, many = (driven, sensed) if n_in <= n_out else (sensed, driven)
    solver = splu(_nodal(g, 1e6 / resistance), **_SYMMETRIC)
    lost = np.empty((few.shape[1], many.shape[1]))
    for first in range(0, len(lost), _TOGETHER):
        some = slice(first, first + _TOGETHER)
        lost[some] = (many.T @ solver.solve(few[:, some].toarray())).T
    return g - (lost.T if few is driven else lost)


def voltages(g: npt.ArrayLike, resistance: float, inputs: npt.ArrayLike) -> tuple[Array, Array]:
    """Voltages of the word lines and of the bit lines at every crosspoint, for one vector of inputs.

    Parameters
    ----------
    g : (n_out, n_in), µS
        Conductances of the cells.
    resistance : float, Ohm
        Resistance of one wire segment.
    inputs : (n_in,), V
        Voltages of the drivers.

    Returns
    -------
    word, bit : (n_out, n_in) float64, V
    """
    g = _checked(g, resistance)
    applied = np.broadcast_to(np.asarray(inputs, np.float64), g.shape)
    if resistance == 0:
        return applied.copy(), np.zeros_like(g)
    current = (g * applied).ravel()
    shift = splu(_nodal(g, 1e6 / resistance), **_SYMMETRIC).solve(np.concatenate([-current, current]))
    word, bit = shift.reshape(2, *g.shape)
    return applied + word, bit


def _checked(g: npt.ArrayLike, resistance: float) -> Array:
    g = np.asarray(g, np.float64)
    if g.ndim != 2 or g.size == 0:
        raise ValueError(f"conductances have shape {g.shape}: expected (n_out, n_in)")
    if not np.all(np.isfinite(g) & (g >= 0)):
        raise ValueError("conductances must be finite and not negative")
    if not (np.isfinite(resistance) and resistance >= 0):
        raise ValueError(f"wire resistance is {resistance} Ohm: must be finite and not negative")
    if resistance and g.size > LARGEST:
        raise ValueError(
            f"an array of {g.shape[0]} x {g.shape[1]} cells is too large for the exact solution of its wires (at most "
            f"{LARGEST} cells): cut it into smaller tiles, or use the fast approximation"
        )
    return g


def _nodal(g: Array, wire: float) -> Any:
    """Matrix of the nodal equations, (2 cells, 2 cells) sparse, µS: word-line nodes first, then bit-line nodes.

    The unknowns are the differences from the voltages with ideal wires: then rounding is relative to what the wires
    change, however little that is.
    """
    n_out, n_in = g.shape
    cells = sparse.diags_array(g.ravel())
    word = wire * sparse.kron(_ladder(n_out)[::-1, ::-1], sparse.eye_array(n_in))
    bit = wire * sparse.kron(sparse.eye_array(n_out), _ladder(n_in))
    return sparse.block_array([[word + cells, -cells], [-cells, bit + cells]], format="csc")


def _ladder(n: int) -> Any:
    """Laplacian of a chain of n nodes whose last one is tied to a fixed voltage: (n, n) sparse."""
    diagonal = np.full(n, 2.0)
    diagonal[0] = 1.0
    return sparse.diags_array([-np.ones(n - 1), diagonal, -np.ones(n - 1)], offsets=[-1, 0, 1], format="csr")


def _currents(g: Array, lines: npt.NDArray[np.intp], n: int) -> Any:
    """Currents of the cells of each of n lines at 1 V, into the nodes they join: (2 cells, n) sparse, µS."""
    values = np.concatenate([-g.ravel(), g.ravel()])
    return sparse.csc_array((values, (np.arange(2 * g.size), np.tile(lines, 2))), shape=(2 * g.size, n))
