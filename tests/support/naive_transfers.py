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


def rounded(wanted, number, key):
    """Whole pulses of each, rounded by chance."""
    u = naive.block_draws(naive.uniforms, wanted.shape, number, naive.stream(naive.ROUNDING, 0), key)
    return np.sign(wanted) * np.floor(np.abs(wanted) + u)


def telling_reads(kind, chop_rate, periods=4):
    """Reads in which a change is told of, less those in which its opposite is: of one unit that enters before each read
    of a period in turn, by signs that turn regularly and a reference (agad), or by the mean sign after so many reads.
    """
    if kind == "chopped":
        return sum((1 - 2 * chop_rate) ** k for k in range(10_000))
    n = round(1 / chop_rate)
    told = 0.0
    for entered in range(n):
        held, sign, reference, mean = 0.0, 1, 0.0, 0.0
        for read in range(periods * n):
            held += read == entered
            told += sign * (held - reference)
            mean += min(TAIL / (read % n + 1), 1) * (held - mean)
            if read % n == n - 1:
                sign, reference = -sign, mean
    return told / n


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
    rounding_keys : pair of pairs of uint32
        Of C's writes, and of A's.
    """

    def __init__(self, controller, weights, d, key, rounding_keys):
        self.kind, self.d, self.key, self.rounding_keys = controller, d, key, rounding_keys
        self.largest = 0.0
        self.dw, self.bound = 2 * d.pulse_step, d.weight_bound
        self.slow, self.fast = weights / self.bound, np.zeros(weights.shape)
        self.chi, self.reference, self.mean = (np.zeros(weights.shape) for _ in range(3))
        self.signs, self.reads, self.number = np.ones(weights.shape[1]), np.zeros(weights.shape[1], int), 1

    def update(self, pulses):
        """Changes of so many pulses of every weight: whole ones, if they are not scaled."""
        d, n_in, scale = self.d, pulses.shape[1], 1.0
        if d.fast_pulses:
            largest = np.abs(pulses).max()
            self.largest = 0.99 * self.largest + 0.01 * largest if self.largest else largest
            scale = d.fast_pulses / self.largest
            pulses = rounded(pulses * scale, self.number, self.rounding_keys[1])
        self.fast = pulsed(self.fast, pulses * self.signs, self.dw, d.asymmetry)
        if self.number % d.transfer_every == 0:
            columns = min(d.transfer_columns, n_in)
            turn = self.number // d.transfer_every
            due = (turn * columns + np.arange(columns)) % n_in
            change = np.zeros(pulses.shape)
            for column in due:
                share = d.transfer_rate * d.transfer_every * n_in / columns
                if d.transfer_gain:
                    share = d.transfer_gain / telling_reads(self.kind, d.chop_rate)
                if d.slow_pulses:
                    share *= min(d.slow_pulses / self.largest, 1)
                change[:, column] = share / scale * self.told(column)
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
            counts = rounded(wanted, self.number, self.rounding_keys[0])
        else:
            counts = np.trunc(self.chi + wanted)
            self.chi += wanted - counts
        self.slow = pulsed(self.slow, np.clip(counts, -self.d.pulse_limit, self.d.pulse_limit), self.dw,
                           self.d.asymmetry)  # fmt: skip
