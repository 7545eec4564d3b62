"""The definition of controllers with a second array, in slow, plain NumPy float64: one layer, one cell a weight.

Of cells with soft bounds +-1 (positions in half spans), whose steps up and down are `dw (1 + a)` and `dw (1 - a)` in
the middle, without noise of pulses. Weights are positions times `bound`.
"""

import numpy as np

import naive

NORMAL, UNIFORM, TAIL = 0, 1, 5


def pulsed(position, counts, dw, a):
    """Positions after so many pulses each, one after another."""
    position = position.copy()
    for turn in range(int(np.abs(counts).max(initial=0))):
        up = (counts > turn) * dw * (1 + a) * (1 - position)
        down = (-counts > turn) * dw * (1 - a) * (1 + position)
        position += up - down
    return position


class Second:
    """A and C, and what a controller keeps of them.

    Parameters
    ----------
    controller : str
    weights : (n_out, n_in) array
        What C begins with.
    d : device
    key : pair of uint32
        Of noise of reads, and of signs that turn by chance.
    rounding_key : pair of uint32
        Of C's writes.
    """

    def __init__(self, controller, weights, d, key, rounding_key):
        self.kind, self.d, self.key, self.rounding_key = controller, d, key, rounding_key
        self.dw, self.bound = 2 * d.pulse_step, d.weight_bound
        self.slow, self.fast = weights / self.bound, np.zeros(weights.shape)
        self.chi, self.reference, self.mean = (np.zeros(weights.shape) for _ in range(3))
        self.signs, self.reads, self.number = np.ones(weights.shape[1]), np.zeros(weights.shape[1], int), 1

    def update(self, pulses):
        """Changes of so many whole pulses of every weight."""
        d, n_in = self.d, pulses.shape[1]
        self.fast = pulsed(self.fast, pulses * self.signs, self.dw, d.asymmetry)
        if self.number % d.transfer_every == 0:
            columns = min(d.transfer_columns, n_in)
            turn = self.number // d.transfer_every
            due = (turn * columns + np.arange(columns)) % n_in
            change = np.zeros(pulses.shape)
            for column in due:
                share = d.transfer_rate * d.transfer_every * n_in / columns
                change[:, column] = share * self.told(column)
            self.moved(change)
        self.number += 1

    def told(self, column):
        """What a read of a column tells of the changes that entered it; signs and references move on."""
        z = naive.normals(self.fast.shape[0], column, self.number, naive.stream(NORMAL, 0), self.key)
        read = self.fast[:, column] * self.bound + self.d.line_noise * 2 * self.bound * z
        read = np.clip(read, -self.bound, self.bound)
        if self.kind in ("tiki_taka", "tiki_taka_v2"):
            return read
        told = self.signs[column] * (read - self.reference[:, column])
        if self.kind == "chopped":
            u = naive.uniforms(len(self.signs), 0, self.number, naive.stream(UNIFORM, 0), self.key)[column]
            if u < self.d.chop_rate:
                self.signs[column] *= -1
            return told
        self.reads[column] += 1
        share = min(TAIL / self.reads[column], 1)
        self.mean[:, column] += share * (read - self.mean[:, column])
        if self.reads[column] == round(1 / self.d.chop_rate):
            self.reference[:, column] = self.mean[:, column]
            self.signs[column], self.reads[column] = -self.signs[column], 0
        return told

    def moved(self, change):
        """C after a change, in pulses: of what is due the whole ones, or rounded by chance."""
        wanted = change / (self.bound * self.dw)
        if self.kind == "tiki_taka":
            u = naive.block_draws(naive.uniforms, change.shape, self.number, naive.stream(naive.ROUNDING, 0),
                                  self.rounding_key)  # fmt: skip
            counts = np.sign(wanted) * np.floor(np.abs(wanted) + u)
        else:
            counts = np.trunc(self.chi + wanted)
            self.chi += wanted - counts
        self.slow = pulsed(self.slow, np.clip(counts, -self.d.pulse_limit, self.d.pulse_limit), self.dw,
                           self.d.asymmetry)  # fmt: skip
