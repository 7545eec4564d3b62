"""What recurrent cells make of their gates, written once: of numbers in compiled loops, of arrays where rules learn.

Gates are the sums of what the two arrays of a cell give, one driven by the input and one by the cell's own last output.
Only the candidate of a gated recurrent unit takes the two apart.

- RNN (Elman 1990): h' = tanh(a).
- LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000): c' = sigmoid(f) c + sigmoid(i)
  tanh(g), h' = sigmoid(o) tanh(c'); gates in the order i, f, g, o.
- GRU (Cho et al. 2014, with the reset gate behind the product): n = tanh(a_n + sigmoid(r) b_n),
  h' = (1 - sigmoid(z)) n + sigmoid(z) h; gates in the order r, z, n.
- The same with the reset gate before the product, as published: b_n are the lines of a second read, driven with
  sigmoid(r) h, so that n = tanh(a_n + b_n).

A ``_pull`` takes dL/dh' and dL/dc', and gives dL/d(gates) and dL/d(h or c) of the step before; a ``_push`` takes small
changes of all that a step reads, and gives those of what it makes.
"""

from typing import Any, TypeAlias

import numpy as np

Values: TypeAlias = Any
"""A number, or an array of them."""
ONE = np.float32(1.0)


def sigmoid(a: Values) -> Values:
    """1 / (1 + exp(-a))."""
    return ONE / (ONE + np.exp(-a))


def lstm(i: Values, f: Values, g: Values, o: Values, c: Values) -> Values:
    """The next output and state of a long short-term memory."""
    state = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(state), state


def lstm_pull(i: Values, f: Values, g: Values, o: Values, c: Values, dh: Values, dc: Values) -> Values:
    """Signals at the gates i, f, g, o, and at the state before."""
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    t = np.tanh(f * c + i * g)
    dc = dc + dh * o * (ONE - t * t)
    return dc * g * i * (ONE - i), dc * c * f * (ONE - f), dc * i * (ONE - g * g), dh * t * o * (ONE - o), dc * f


def lstm_push(
    i: Values, f: Values, g: Values, o: Values, c: Values, di: Values, df: Values, dg: Values, do: Values, dc: Values
) -> Values:
    """Changes of output and state."""
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    t = np.tanh(f * c + i * g)
    moved = df * f * (ONE - f) * c + f * dc + di * i * (ONE - i) * g + i * dg * (ONE - g * g)
    return do * o * (ONE - o) * t + o * (ONE - t * t) * moved, moved


def gated(z: Values, a: Values, h: Values) -> Values:
    """The next output of a gated recurrent unit, of its update gate and its candidate."""
    z = sigmoid(z)
    return (ONE - z) * np.tanh(a) + z * h


def gated_pull(z: Values, a: Values, h: Values, dh: Values) -> Values:
    """Signals at z, the candidate, and the output before."""
    z, n = sigmoid(z), np.tanh(a)
    return dh * (h - n) * z * (ONE - z), dh * (ONE - z) * (ONE - n * n), dh * z


def gated_push(z: Values, a: Values, h: Values, dz: Values, da: Values, dh: Values) -> Values:
    """The change of the output."""
    z, n = sigmoid(z), np.tanh(a)
    return (ONE - z) * ((ONE - n * n) * da) + z * dh + dz * z * (ONE - z) * (h - n)


def gru(r: Values, z: Values, a: Values, b: Values, h: Values) -> Values:
    """The same with the reset gate behind the product; `a` and `b` are the two parts of its candidate."""
    return gated(z, a + sigmoid(r) * b, h)


def gru_pull(r: Values, z: Values, a: Values, b: Values, h: Values, dh: Values) -> Values:
    """Signals at r, z, both parts of the candidate, and at the output before."""
    r = sigmoid(r)
    dz, da, before = gated_pull(z, a + r * b, h, dh)
    return da * b * r * (ONE - r), dz, da, da * r, before


def gru_push(
    r: Values, z: Values, a: Values, b: Values, h: Values, dr: Values, dz: Values, da: Values, db: Values, dh: Values
) -> Values:
    """The change of the output."""
    r = sigmoid(r)
    return gated_push(z, a + r * b, h, dz, da + dr * r * (ONE - r) * b + r * db, dh)


def reset(r: Values, h: Values) -> Values:
    """What drives the second read of a gated recurrent unit whose reset gate stands before the product."""
    return sigmoid(r) * h


def reset_pull(r: Values, h: Values, d: Values) -> Values:
    """Signals at r and h, of that at what drives the second read."""
    r = sigmoid(r)
    return d * h * r * (ONE - r), d * r


def reset_push(r: Values, h: Values, dr: Values, dh: Values) -> Values:
    """The change of what drives the second read."""
    r = sigmoid(r)
    return dr * r * (ONE - r) * h + r * dh
