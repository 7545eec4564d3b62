"""The definition of correct: every rule and device in slow, plain NumPy float64, with no import of the project.

Written from the papers and the design, to be read against them; the fast code is compared with it. Arrays of samples
are (batch, units), or (batch, positions, channels) of a convolution, weights (n_out, n_in), and a list holds one array
a layer. Random keys are passed in. Where a network's `activation` is asked for, a list of layers (`conv`, `dense`) may
stand in the place of the name.
"""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np

# --- random numbers -------------------------------------------------------------------------------------------------

MASK = np.uint64(0xFFFFFFFF)
NORMAL, UNIFORM, WRITE, OWN, ROUNDING, CELL, CELL_UNIFORM, STATE, REFRESH, VERIFY, DROP = range(11)  # noise streams
COLUMN, ROW = 12, 13


def philox(counter, key):
    """Philox4x32-10 (Salmon et al., SC'11): four words of 32 bits from a counter of four and a key of two."""
    c0, c1, c2, c3 = (np.asarray(c, np.uint64) for c in counter)
    k0, k1 = (np.uint64(k) for k in key)
    for _ in range(10):
        product0, product1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        high0, low0 = product0 >> np.uint64(32), product0 & MASK
        high1, low1 = product1 >> np.uint64(32), product1 & MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & MASK, (k1 + np.uint64(0xBB67AE85)) & MASK
    return c0, c1, c2, c3


def stream(kind, layer, index=0):
    """The counter's last word: kind of noise, layer, and tile (or number of a learner's draw)."""
    return kind << 28 | layer << 16 | index


def words(n, sample, number, stream, key, base=0):
    """Random words of units 0..n-1: unit u is word u // q of counter (base + u % q, sample, number, stream).

    q = ceil(n / 4). As (4, q); or (rows, 4, q) for an array of so many samples.
    """
    index, sample = base + np.arange(-(-n // 4)), np.asarray(sample)[..., None]
    ones = np.ones_like(index + sample)
    return np.stack(philox((ones * index, ones * sample, ones * number, ones * stream), key), axis=-2)


def in_order(drawn, n):
    """Words or draws in the order of units, the rest of the last counter left out."""
    return drawn.reshape(*drawn.shape[:-2], -1)[..., :n]


def uniforms(n, sample, number, stream, key, base=0):
    """n draws strictly inside (0, 1), for each sample: midpoints of 2^23 equal parts, which float32 holds exactly."""
    top = words(n, sample, number, stream, key, base) >> np.uint64(9)
    return in_order((top.astype(float) + 0.5) * 2.0**-23, n)


def normals(n, sample, number, stream, key, base=0):
    """n draws of N(0, 1), for each sample, by Box and Muller: of two words one is the radius, the other the angle."""
    bits = words(n, sample, number, stream, key, base)
    z = np.empty(bits.shape)
    for pair in (0, 2):
        radius = np.sqrt(-2 * np.log((bits[..., pair, :].astype(float) + 0.5) * 2.0**-32))
        angle = np.pi * bits[..., pair + 1, :].astype(np.uint32).view(np.int32) * 2.0**-31
        z[..., pair, :], z[..., pair + 1, :] = radius * np.sin(angle), radius * np.cos(angle)
    return in_order(z, n)


def normal_rows(rows, n, number, stream, key):
    """(rows, n) draws of samples 0, 1, ..."""
    return normals(n, np.arange(rows), number, stream, key)


def normal_samples(shape, number, stream, key):
    """Draws of an array (batch, ...): those of one sample in a row, whatever their shape."""
    return normal_rows(shape[0], int(np.prod(shape[1:])), number, stream, key).reshape(shape)


def uniform_rows(rows, n, bound, number, stream, key):
    """(rows, n) draws between -bound and bound."""
    return bound * (2 * uniforms(n, np.arange(rows), number, stream, key) - 1)


# --- initial weights ------------------------------------------------------------------------------------------------


def initial_law(name, n_in, n_out):
    """Kind of a law of initial weights, and its standard deviation or half width."""
    return {
        "he": ("normal", np.sqrt(2 / n_in)),  # He et al. 2015
        "he-uniform": ("uniform", np.sqrt(6 / n_in)),  # the same variance, 2 / n_in
        "uniform": ("uniform", 1 / np.sqrt(n_in)),
        "glorot": ("normal", np.sqrt(2 / (n_in + n_out))),  # Glorot & Bengio 2010
        "zero": ("uniform", 0.0),
    }[name]


def initial_weights(name, n_in, n_out, layer, key):
    """The weights that a chip starts with, biases left out."""
    kind, width = initial_law(name, n_in, n_out)
    if kind == "normal":
        return width * normal_rows(n_out, n_in, 0, stream(OWN, layer), key)
    return uniform_rows(n_out, n_in, width, 0, stream(OWN, layer), key)


# --- units and losses -----------------------------------------------------------------------------------------------


def activate(name, a):
    """Outputs of hidden units."""
    if name == "linear":
        return a
    if name == "relu":
        return np.where(a > 0, a, 0)
    if name == "leaky_relu":
        return np.where(a > 0, a, 0.01 * a)
    if name == "tanh":
        return np.tanh(a)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-a))
    if name == "bell":  # no part of the project: it falls where a > 0
        return np.exp(-(a**2))
    if name == "relu6":
        return np.clip(a, 0, 6)
    if name == "hard_sigmoid":
        return np.clip(a / 6 + 0.5, 0, 1)
    if name == "hard_swish":
        return a * np.clip(a / 6 + 0.5, 0, 1)
    if name == "gelu":
        return a * normal_distribution(a)
    if name == "silu":
        return a / (1 + np.exp(-a))
    if name == "softplus":
        return np.logaddexp(0, a)
    if name == "elu":
        return np.where(a > 0, a, np.exp(np.minimum(a, 0)) - 1)
    raise ValueError(name)


def normal_distribution(a):
    return 0.5 + 0.5 * np.vectorize(math.erf, otypes=[float])(np.asarray(a) / math.sqrt(2))


def slope(name, a):
    """Derivative of `activate`."""
    if name == "linear":
        return np.ones_like(a)
    if name == "relu":
        return np.where(a > 0, 1.0, 0.0)
    if name == "leaky_relu":
        return np.where(a > 0, 1.0, 0.01)
    if name == "tanh":
        return 1 - np.tanh(a) ** 2
    if name == "sigmoid":
        return activate(name, a) * (1 - activate(name, a))
    if name == "bell":
        return -2 * a * activate(name, a)
    if name == "relu6":
        return np.where((a > 0) & (a < 6), 1.0, 0.0)
    if name == "hard_sigmoid":
        return np.where(abs(a) < 3, 1 / 6, 0.0)
    if name == "hard_swish":
        return np.where(abs(a) < 3, a / 3 + 0.5, np.where(a > 0, 1.0, 0.0))
    if name == "gelu":
        return normal_distribution(a) + a * np.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)
    if name == "silu":
        return activate("sigmoid", a) * (1 + a * (1 - activate("sigmoid", a)))
    if name == "softplus":
        return activate("sigmoid", a)
    if name == "elu":
        return np.where(a > 0, 1.0, np.exp(np.minimum(a, 0)))
    raise ValueError(name)


def softmax(y):
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(name, y, t):
    """One value a sample: softmax cross-entropy ("cce") or half the sum of squares ("mse")."""
    if name == "cce":
        return -np.sum(t * np.log(softmax(y)), axis=1)
    if name == "mse":
        return 0.5 * np.sum((y - t) ** 2, axis=1)
    raise ValueError(name)


def error(name, y, t):
    """dL/dy of each sample."""
    return softmax(y) - t if name == "cce" else y - t


# --- layers: a product at one position or many, and the block that makes hidden outputs of its lines ---------------

# A layer's lines a become hidden outputs y = mask max f((a - shift) scale): batch norm, the activation, max pooling,
# dropout. Of equal outputs of a window the first counts. Images are (height, width, channels), read row by row.


def dense(activation="linear", norm=None, of_batch=False, mask=None):
    """A layer with one position.

    `norm` is (shift, scale) of each unit, `of_batch` whether these are the batch's own statistics, `mask` what dropout
    multiplies outputs with.
    """
    return SimpleNamespace(kernel=None, activation=activation, norm=norm, of_batch=of_batch, pool=None, mask=mask)


def conv(image, kernel, stride=1, padding=0, activation="linear", pool=None, **block):
    """A layer that sees square patches of an image of this shape; `pool` is (size, stride), the rest as in `dense`."""
    given = {"image": image, "kernel": kernel, "stride": stride, "padding": padding, "pool": pool}
    return SimpleNamespace(**{**vars(dense(activation, **block)), **given})


def layer_of(net, layer):
    """One layer of a list of them, or of a network of dense layers with one activation."""
    return dense(net) if isinstance(net, str) else net[layer]


def windows(height, width, size, stride):
    """Where windows of this size lie, row by row: top and left edges."""
    return [(i, j) for i in range(0, height - size + 1, stride) for j in range(0, width - size + 1, stride)]


def patches(layer):
    """Where the patches lie in the padded image: as many positions."""
    height, width, _ = layer.image
    return windows(height + 2 * layer.padding, width + 2 * layer.padding, layer.kernel, layer.stride)


def channel_last(layer, x):
    """A network's inputs, which come channel first, as the images that a convolution sees."""
    if not layer.kernel:
        return x
    height, width, channels = layer.image
    return x.reshape(len(x), channels, height, width).transpose(0, 2, 3, 1)


def unfold(layer, y):
    """What a layer makes of the outputs below: patches (batch, positions, ky kx channel), zeros beyond the edges."""
    if not layer.kernel:
        return y.reshape(len(y), -1)
    k, p = layer.kernel, layer.padding
    padded = np.pad(y.reshape(len(y), *layer.image), ((0, 0), (p, p), (p, p), (0, 0)))
    return np.stack([padded[:, i : i + k, j : j + k].reshape(len(y), -1) for i, j in patches(layer)], axis=1)


def fold(layer, parts):
    """The transpose of `unfold`: every patch is added where it was taken from; a bias's column is left out."""
    if not layer.kernel:
        return parts
    k, p = layer.kernel, layer.padding
    height, width, channels = layer.image
    padded = np.zeros((len(parts), height + 2 * p, width + 2 * p, channels))
    for at, (i, j) in enumerate(patches(layer)):
        padded[:, i : i + k, j : j + k] += parts[:, at, : k * k * channels].reshape(-1, k, k, channels)
    return padded[:, p : p + height, p : p + width]


def kept(layer, a):
    """Positions of the lines whose outputs max pooling lets through, (batch, positions left, channels)."""
    y = activate(layer.activation, normed(layer, a))
    height, width, _ = layer.image
    down, across = (
        len(range(0, n + 2 * layer.padding - layer.kernel + 1, layer.stride)) for n in (height, width)
    )  # of the lines' own image
    size, stride = layer.pool
    grid, found = np.arange(down * across).reshape(down, across), []
    for i, j in windows(down, across, size, stride):
        inside = grid[i : i + size, j : j + size].ravel()
        found.append(inside[np.argmax(y[:, inside], axis=1)])
    return np.stack(found, axis=1)


def normed(layer, a):
    """Lines after batch norm."""
    return a if layer.norm is None else (a - layer.norm[0]) * layer.norm[1]


def masked(layer, y):
    """Outputs after dropout."""
    return y if layer.mask is None else y * layer.mask


def pooled(layer, values, a):
    """What max pooling leaves of values, one for each of the lines a."""
    return np.take_along_axis(values, kept(layer, a), axis=1) if layer.pool else values


def block(layer, a):
    """Hidden outputs of a layer's lines."""
    return masked(layer, pooled(layer, activate(layer.activation, normed(layer, a)), a))


def block_slope(layer, a):
    """Derivative of each output with respect to the line that it was made of."""
    slopes = masked(layer, pooled(layer, slope(layer.activation, normed(layer, a)), a))
    return slopes if layer.norm is None else slopes * layer.norm[1]


def pull_back(layer, signal, a):
    """dL/da of dL/dy: nothing where the maximum was not."""
    slopes = block_slope(layer, a)
    signal = signal.reshape(slopes.shape) * slopes
    if not layer.pool:
        return signal
    back, at = np.zeros(a.shape), kept(layer, a)
    for b, p, c in np.ndindex(at.shape):
        back[b, at[b, p, c], c] += signal[b, p, c]
    return back


def through_statistics(layer, signal, a):
    """dL/da of the batch's loss, of a signal that takes statistics for constants, where they are the batch's own.

    s - <s> - n <s n>, n the normalised lines, means over samples and positions (Ioffe & Szegedy 2015).
    """
    if not layer.of_batch:
        return signal
    n, over = normed(layer, a), tuple(range(a.ndim - 1))
    return signal - signal.mean(axis=over) - n * np.mean(signal * n, axis=over)


def push(layer, change, a):
    """How the outputs change where the lines do by `change`, at constant statistics."""
    return block_slope(layer, a) * pooled(layer, change, a)


def flat(y):
    """Outputs in one row a sample: row by row, channel fastest."""
    return y.reshape(len(y), -1)


def per_sample(values, array):
    """A number a sample, to be multiplied with an array of samples."""
    return values.reshape(-1, *[1] * (array.ndim - 1))


def dropout_mask(shape, rate, layer, number, key, first=0):
    """Zero with probability `rate`, else 1 / (1 - rate), for outputs (batch, ...); of samples from `first` on."""
    u = uniforms(int(np.prod(shape[1:])), first + np.arange(shape[0]), number, stream(DROP, layer), key)
    return np.where(u < rate, 0, 1 / (1 - rate)).reshape(shape)


def statistics(a):
    """Mean and variance of each unit over samples and positions."""
    rows = a.reshape(-1, a.shape[-1])
    return rows.mean(axis=0), rows.var(axis=0)


def running_statistics(batches, rate, variance=1.0, least=32, few=4):
    """Running mean and variance after these batches of activities, oldest first, in the order in which they came.

    Every value weighs 1 when it comes; a batch of m samples leaves the weights before it (1 - rate)^(m / M) of what
    they were, M the largest batch so far, at least `least`. With fewer than `few` degrees of freedom each unit gets
    the mean variance of the layer's (of a single value the mean square); where nothing varied `variance` stays.
    """
    values, weights, largest = np.empty((0, batches[0].shape[-1])), np.empty(0), least
    for a in batches:
        rows = a.astype(np.float64).reshape(-1, a.shape[-1])
        largest = max(largest, len(a))
        weights = np.concatenate([weights * (1 - rate) ** (len(a) / largest), np.ones(len(rows))])
        values = np.concatenate([values, rows])
    whole = weights.sum()
    mean = weights @ values / whole
    freedom = whole - (weights**2).sum() / whole
    found = weights @ (values - mean) ** 2 / freedom if freedom else mean**2
    if freedom < few:
        found = np.full(len(mean), found.mean())
    return mean, found if found.any() else np.full(len(mean), variance)


def norm_of(mean, variance, epsilon):
    """Shift and scale."""
    return mean, 1 / np.sqrt(variance + epsilon)


# --- converters -----------------------------------------------------------------------------------------------------


def step(full_scale, bits):
    """Distance of two codes of a converter with 2^bits - 1 codes, symmetric about zero."""
    return full_scale / (2 ** (bits - 1) - 1)


def quantise(v, full_scale, bits):
    """Clip to the full scale, round to the nearest code."""
    return np.rint(np.clip(v, -full_scale, full_scale) / step(full_scale, bits)) * step(full_scale, bits)


def dac(x, bits, full_scale=0):
    """Rows driven on the lines; full scale 0 scales every row to its own largest value."""
    driven = np.array(x, float)
    for b, row in enumerate(driven):
        scale = full_scale or np.abs(row).max()
        if bits and scale:
            driven[b] = quantise(row, scale, bits)
    return driven


def adc(line, bits, full_scale):
    """What the periphery reads of a line; 0 bits is ideal."""
    return quantise(line, full_scale, bits) if bits else line


# --- a pass ---------------------------------------------------------------------------------------------------------


def tiles(n, limit):
    """Ranges of inputs that a layer's arrays hold: as few as fit, of equal size as near as may be."""
    count = -(-n // limit) if limit else 1
    edges = [round(k * n / count) for k in range(count + 1)]
    return list(pairwise(edges))


def exact(line, energy, layer, tile):
    """The ideal device's read: nothing happens."""
    return line


def turned(matrix, x):
    """Every row of x, in its last axis, turned by a matrix."""
    return np.array([matrix @ row for row in x.reshape(-1, x.shape[-1])]).reshape(*x.shape[:-1], -1)


def drive(x, rotation=None, bias=False, convert=None):
    """What an array is driven with: inputs decorrelated (x* = R x), converted, and a constant 1 for the bias."""
    v = x if rotation is None else turned(rotation, x)
    v = v if convert is None else convert(v)
    return np.hstack([v, np.ones((len(v), 1))]) if bias else v


def hidden_output(x, activities, activation, outputs=None):
    """What the layer after `activities` gets: the network's input, or perturbed outputs of the layer below."""
    if not activities:
        return channel_last(layer_of(activation, 0), x)
    below = len(activities) - 1
    y = block(layer_of(activation, below), activities[-1])
    return y if not outputs or outputs[below] is None else y + outputs[below]


def read_layer(driven, weights, layer, cut, read, variances=None, perturbation=None, inject="line"):
    """Pre-activations of one layer: the sum of its tiles' lines, each read (noise, ADC) on its own.

    A perturbation enters on the first tile's line before it is read, or is added to the digital sum. `energy` is the
    variance that the cells' read noise adds to a line: independent draws of variance v_ij on each cell add x_j^2 v_ij.
    """
    total = 0
    for k, (start, stop) in enumerate(cut):
        x = driven[:, start:stop]
        line = x @ weights[:, start:stop].T
        energy = np.zeros_like(line) if variances is None else x**2 @ variances[:, start:stop].T
        if perturbation is not None and inject == "line" and k == 0:
            line = line + perturbation
        total = total + read(line, energy, layer, k)
    if perturbation is not None and inject == "digital":
        total = total + perturbation
    return total


def forward(
    x, weights, activation="linear", *, rotations=None, bias=False, convert=None, cuts=None, read=exact, variances=None,
    perturbations=None, outputs=None, beside=None, inject="line",
):  # fmt: skip
    """A pass: (inputs, activities) of every layer. The last layer is linear: activities[-1] is the output.

    Of a convolution every position is a row, as every sample is of a dense layer; rows lie sample by sample.

    Of what perturbs it each list has an array or None a layer: `perturbations` are added to the lines; `outputs` to
    what hidden units give, after f and before decorrelation and DAC; `beside` are arrays beside the layers' own, whose
    products with what the layer is driven with are added to the lines.
    """
    inputs, activities = [], []
    for layer, w in enumerate(weights):
        source = unfold(layer_of(activation, layer), hidden_output(x, activities, activation, outputs))
        rows, samples = source.reshape(-1, source.shape[-1]), source.shape[:-1]
        driven = drive(rows, rotations[layer] if rotations else None, bias, convert)
        cut = cuts[layer] if cuts else [(0, w.shape[1])]
        v = variances[layer] if variances else None
        p = perturbations[layer] if perturbations else None
        if beside and beside[layer] is not None:
            p = driven @ beside[layer].T
        p = None if p is None else p.reshape(len(rows), -1)
        inputs.append(driven.reshape(*samples, -1))
        activities.append(read_layer(driven, w, layer, cut, read, v, p, inject).reshape(*samples, -1))
    return inputs, activities


def settled(x, weights, net, epsilons, **given):
    """The layers of a network that learns: normalised, from the lowest up, by the statistics of this pass's own lines.

    An epsilon a layer, None where there is no batch norm; `given` as in `forward`.
    """
    net = list(net)
    for layer, epsilon in enumerate(epsilons):
        if epsilon is not None:
            norm = norm_of(*statistics(forward(x, weights, net, **given)[1][layer]), epsilon)
            net[layer] = SimpleNamespace(**{**vars(net[layer]), "norm": norm, "of_batch": True})
    return net


def gaussian_read(line, z, sigma):
    """Additive noise on the line."""
    return line + sigma * z


def crossbar_read(line, energy, z, line_noise, bits, full_scale):
    """The cells' read noise and the line's own, one draw for both; then the ADC."""
    return adc(line + np.sqrt(energy + (line_noise * full_scale) ** 2) * z, bits, full_scale)


def crossbar_read_cells(x, plus, minus, unit, read_noise, rng):
    """The same read noise cell by cell: a conductance is G (1 + s xi), a fresh xi for each cell, sample and read."""
    lines = np.empty((len(x), len(plus)))
    for i in range(len(plus)):
        g = [c[i] * (1 + read_noise * rng.standard_normal(x.shape)) for c in (plus, minus)]
        lines[:, i] = unit * np.sum(x * (g[0] - g[1]), axis=1)
    return lines


def calibrated(lines):
    """Full scale of a converter that calibrates itself on unquantised lines: the largest, and a quarter to spare."""
    return 1.25 * np.abs(lines).max()


def followed(full_scale, peak):
    """Full scale after an update: wider if something saturated, narrower while half of it is idle."""
    if peak >= 0.999 * full_scale:
        return 1.25 * full_scale
    return 0.99 * full_scale if 0 < peak < 0.5 * full_scale else full_scale


# --- a crossbar's cells ---------------------------------------------------------------------------------------------


def nearest_level(goal, d):
    """The conductance a noiseless write leaves: the nearest of d.levels from g_min to g_max."""
    if d.levels:
        gap = (d.g_max - d.g_min) / (d.levels - 1)
        goal = d.g_min + gap * np.rint((goal - d.g_min) / gap)
    return np.clip(goal, d.g_min, d.g_max)


def written(goal, z, d):
    """The conductance a write leaves: the nearest level, missed by program_noise of the range, never out of range."""
    return np.clip(nearest_level(goal, d) + d.program_noise * (d.g_max - d.g_min) * z, d.g_min, d.g_max)


def goals(targets, d):
    """Conductances of a differential pair: one cell carries the target (a share of the range), the other rests."""
    span = d.g_max - d.g_min
    return d.g_min + span * np.maximum(targets, 0), d.g_min + span * np.maximum(-targets, 0)


def unit(n_in, d):
    """Weight a conductance difference of 1 stands for: g_max - g_min is weight_range / sqrt(n_in)."""
    return d.weight_range / np.sqrt(n_in) / (d.g_max - d.g_min)


def write(change, targets, cells, z, n_in, d, first=False):
    """Add a change to the digital targets and rewrite the cells whose level moves (at first: every cell).

    Returns targets, cells (g+, g-) and how many cells were written.
    """
    span = d.g_max - d.g_min
    moved = np.clip(targets + change / (unit(n_in, d) * span), -1, 1)
    count, new = 0, []
    for old_goal, goal, g, noise in zip(goals(targets, d), goals(moved, d), cells, z, strict=True):
        rewrite = (nearest_level(goal, d) != nearest_level(old_goal, d)) | first
        new.append(np.where(rewrite, written(goal, noise, d), g))
        count += int(rewrite.sum())
    return moved, new, count


def normalised(weights, n_in):
    """Neuron-wise weight normalisation (Hiratani et al. 2022, appendix C.1): the RMS of each neuron's incoming weights
    becomes sqrt(2 / (n_in + n_out)). Biases, beyond n_in, stay; so does a neuron without weights."""
    new = np.array(weights, float)
    for row in new:
        rms = np.sqrt(np.mean(row[:n_in] ** 2))
        if rms > 0:
            row[:n_in] *= np.sqrt(2 / (n_in + len(new))) / rms
    return new


def weights_of(cells, n_in, d):
    """The weights that pairs of cells hold."""
    return unit(n_in, d) * (cells[0] - cells[1])


def variances_of(cells, n_in, d):
    """Variance of each weight in one read, cells read as G (1 + s xi)."""
    return unit(n_in, d) ** 2 * d.read_noise**2 * (cells[0] ** 2 + cells[1] ** 2)


# --- cells of any kind ----------------------------------------------------------------------------------------------
# A layer's cells are (sides, n_out, n_in): g+ and g- of each slice, the most significant slice first; or one side,
# whose reference is the middle of the range. `own` maps names of fields to the cells' own values, of the same shape.

CELL_BLOCK = 1024  # weights of a layer that are written together
OWN_NUMBERS = {"cell": 0, "row": 1 << 12, "column": 2 << 12}  # numbers of the draws of the first field of each part
FAULT_NUMBERS = range(1 << 16, (1 << 16) + 4)  # which fault; stuck where; cut rows; cut columns


def block_draws(draw, shape, number, word, key, part=0, parts=1):
    """One draw for each weight: those of a block have a counter of their own, whose draws come in so many parts."""
    count = int(np.prod(shape))
    drawn = draw(parts * CELL_BLOCK, np.arange(-(-count // CELL_BLOCK)), number, word, key)
    return drawn[:, part * CELL_BLOCK :][:, :CELL_BLOCK].ravel()[:count].reshape(shape)


def with_own(d, own, side):
    """The device as it is at the cells of one side."""
    return SimpleNamespace(**{**d._asdict(), **{name: values[side] for name, values in own.items()}})


def own_values(value, size, law, low, high, z):
    """A number of which every part of a chip has its own, held within the field's range."""
    values = {"normal": value * (1 + size * z), "absolute": value + size * z}.get(law)
    return np.clip(value * np.exp(size * z - size**2 / 2) if law == "lognormal" else values, low, high)


def own_draws(shape, part, field, layer, index, key):
    """Normal draws at fabrication: of the field-th spread field of cells (index: side), rows or columns (tile)."""
    return normal_rows(*shape, OWN_NUMBERS[part] + field, stream(OWN, layer, index), key)


def faults(shape, layer, side, d, key):
    """Where cells of one side are stuck, µS; NaN for sound cells."""

    def share(shape, number, index):
        return uniforms(shape[1], np.arange(shape[0]), number, stream(OWN, layer, index), key)

    u, anywhere = (share(shape, FAULT_NUMBERS[k], side) for k in (0, 1))
    span = d.g_max - d.g_min
    stuck = np.where(u < d.stuck_low + d.stuck_high + d.stuck_random, d.g_min + span * anywhere, np.nan)
    stuck[u < d.stuck_low + d.stuck_high] = d.g_max
    stuck[u < d.stuck_low] = d.g_min
    stuck[:, share((1, shape[1]), FAULT_NUMBERS[2], 0)[0] < d.dead_rows] = 0
    stuck[share((1, shape[0]), FAULT_NUMBERS[3], 0)[0] < d.dead_columns] = 0
    return stuck


def reference(shape, layer, d, key):
    """What one cell a weight is compared with: the middle of the range, nothing on lines that are cut."""
    cut = faults(
        shape, layer, 0, SimpleNamespace(**{**d._asdict(), "stuck_low": 0, "stuck_high": 0, "stuck_random": 0}), key
    )
    return np.where(np.isnan(cut), (d.g_min + d.g_max) / 2, 0.0)


def held(cells, stuck):
    """Cells after something tried to change them."""
    return np.where(np.isnan(stuck), cells, stuck)


def bound(n_in, d):
    """Weight that the full span stands for; n_in without the bias."""
    return d.weight_bound or d.weight_range / np.sqrt(n_in)


def digits(magnitude, d):
    """The shares of the span that slices hold of a magnitude, (slices, ...)."""
    if d.slices == 1:
        return magnitude[None]
    left, most, found = np.rint(magnitude * (2 ** (d.slices * d.slice_bits) - 1)), 2**d.slice_bits, []
    for _ in range(d.slices):
        found.insert(0, np.mod(left, most) / (most - 1))
        left = np.floor(left / most)
    return np.array(found)


def cell_goals(targets, d):
    """Conductances that the cells of a layer should have for targets (shares) from -1 to 1, (sides, ...)."""
    span = d.g_max - d.g_min
    if d.cells_per_weight == 1:
        return (d.g_min + span * (1 + targets) / 2)[None]
    plus, minus = digits(np.maximum(targets, 0), d), digits(np.maximum(-targets, 0), d)
    return d.g_min + span * np.stack([plus, minus], axis=1).reshape(-1, *targets.shape)


def slice_worth(n_in, d):
    """Weight that a conductance difference of 1 µS stands for, by slice."""
    full = bound(n_in, d) * (2 if d.cells_per_weight == 1 else 1) / (d.g_max - d.g_min)
    if d.slices == 1:
        return [full]
    most = 2**d.slice_bits
    return [full * (most - 1) * most ** (d.slices - 1 - s) / (most**d.slices - 1) for s in range(d.slices)]


def slice_weights(cells, n_in, d, middle=None):
    """What each slice's cells amount to as weights, (slices, n_out, n_in)."""
    pairs = [(cells[0], middle)] if d.cells_per_weight == 1 else zip(cells[::2], cells[1::2], strict=True)
    return np.array([(p - m) * w for (p, m), w in zip(pairs, slice_worth(n_in, d), strict=True)])


def slice_variances(stds, n_in, d):
    """Variance of each slice's weights in one read, from the standard deviations of its cells."""
    sides = 1 if d.cells_per_weight == 1 else 2
    return np.array([w**2 * np.sum(stds[sides * s : sides * s + sides] ** 2, axis=0)
                     for s, w in enumerate(slice_worth(n_in, d))])  # fmt: skip


def programmed(goals, moved, cells, own, layer, number, key, d):
    """Cells after a program write of those that moved, each with its own draw."""
    new = cells.copy()
    for k, goal in enumerate(goals):
        z = block_draws(normals, goal.shape, number, stream(WRITE, layer), key, k, len(goals))
        new[k] = np.where(moved[k], np.maximum(cell_program(goal, z, with_own(d, own, k)), 0), cells[k])
    return new


def verified(goals, moved, cells, stuck, own, layer, number, key, d):
    """Closed loop: pulses towards the goal, each after a read, until one read is within the tolerance.

    Returns cells, how many pulses each got, and the least distance of a decision from its edge, in spans.
    """
    span, new = d.g_max - d.g_min, cells.copy()
    given, edge = np.zeros(cells.shape, int), np.full(cells.shape, np.inf)
    for k, goal in enumerate(goals):
        own_d, going = with_own(d, own, k), moved[k].copy()
        for turn in range(d.verify_pulses):
            read, z = (block_draws(normals, goal.shape, number, stream(kind, layer, turn), key, k, len(goals))
                       for kind in (VERIFY, WRITE))  # fmt: skip
            miss = goal - new[k] - cell_std(new[k], own_d) * read
            near = np.minimum(np.abs(np.abs(miss) / span - d.verify_tolerance), np.abs(miss) / span)
            edge[k] = np.where(going, np.minimum(edge[k], near), edge[k])
            going &= np.abs(miss) > d.verify_tolerance * span
            pulsed = np.maximum(cell_pulse(new[k], np.where(miss > 0, 1.0, -1.0), z, own_d), 0)
            new[k] = held(np.where(going, pulsed, new[k]), stuck[k])
            given[k] += going
    return new, given, edge


def pulses_asked(change, n_in, layer, number, key, d):
    """Signed pulses that a change of weights asks for, rounded by chance; and how near each is to another count."""
    wanted = change / bound(n_in, d) / (d.pulse_step * (2 if d.cells_per_weight == 1 else 1))
    exact = np.abs(wanted) + block_draws(uniforms, change.shape, number, stream(ROUNDING, layer), key)
    return np.sign(wanted) * np.minimum(np.floor(exact), d.pulse_limit), np.abs(exact - np.rint(exact))


def train_slots(gain, values, slots, kind, layer, sample, number, key):
    """In which slots the train of each line is on, (lines, slots): each with probability min(1, gain |value|).

    A slot's random number of 32 bits must be below 2^32 times that. Its bits, from the highest down, are the bit of the
    slot in words 0..3 of counters 0..7; after 31 slots the next counters follow.
    """
    limits, lines = np.rint(np.minimum(gain * np.abs(np.asarray(values, float)), 1) * 2.0**32), np.arange(len(values))
    on = np.zeros((len(values), slots), bool)
    for word in range(-(-slots // 31)):
        counters = ((lines, sample, number, stream(kind, layer, 8 * word + counter)) for counter in range(8))
        drawn = [random for counter in counters for random in philox(counter, key)]
        for slot in range(31 * word, min(31 * word + 31, slots)):
            bits = [(random >> np.uint64(slot % 31)) & np.uint64(1) for random in drawn]
            on[:, slot] = np.ldexp(1.0, np.arange(31, -1, -1)) @ np.array(bits, float) < limits
    return on


def train_pulses(x, s, asked, d, layer, sample, number, key):
    """Signed pulses of each weight from one sample: the slots in which its row and its column are both on.

    `asked` is the learning rate of a sample over the step of a pulse, x drives the columns, s = dL/da the rows.
    """
    x_most, s_most = np.abs(x).max(), np.abs(s).max()
    strongest = asked * float(x_most) * float(s_most)
    if strongest == 0:
        return np.zeros((len(s), len(x)))
    slots = min(d.pulse_slots, max(1, int(np.ceil(strongest)))) if d.update_bl_management else d.pulse_slots
    balanced = d.update_management or d.update_bl_management
    balance = float(s_most) / float(x_most) if balanced else 1.0
    columns = train_slots(np.sqrt(asked / slots * balance), x, slots, COLUMN, layer, sample, number, key)
    rows = train_slots(np.sqrt(asked / slots / balance), s, slots, ROW, layer, sample, number, key)
    return -np.sign(np.outer(s, x)) * (rows.astype(int) @ columns.T.astype(int))


def pulse_draws(asked, turn, layer, number, key, sample=None):
    """Draws of pulse number `turn` of every weight that has as many coming.

    In a block's first turn, if half of it or more takes part, weight j takes draw j of CELL_BLOCK; otherwise the i-th
    of the m weights that have the pulse coming takes draw i of m. Of a sample's pulse trains any turn may be the first,
    and the counters go on from sample to sample.
    """
    counts, word = np.abs(asked.ravel()), stream(WRITE, layer, turn)
    base, whole = (0, turn == 0) if sample is None else (sample * CELL_BLOCK // 4, True)
    z = np.zeros(counts.size)
    for block in range(-(-counts.size // CELL_BLOCK)):
        here = slice(block * CELL_BLOCK, (block + 1) * CELL_BLOCK)
        live = counts[here] > turn
        if whole and live.sum() >= live.size // 2:
            z[here] = normals(CELL_BLOCK, block, number, word, key, base)[: live.size]
        elif live.any():
            z[here][live] = normals(int(live.sum()), block, number, word, key, base)
    return z.reshape(asked.shape)


def open_loop(asked, cells, stuck, own, layer, number, key, d):
    """Cells after the pulses asked of each weight, and which pairs were set anew."""
    new = held(pulsed(asked, cells, own, layer, number, key, d), stuck)
    return reset(asked != 0, new, stuck, own, layer, number, key, d)


def in_array(pulses, cells, stuck, own, layer, number, key, d):
    """Cells after the pulses that trains give each weight, sample by sample, and which pairs were set anew."""
    new = cells
    for sample, given in enumerate(pulses):
        new = held(pulsed(given, new, own, layer, number, key, d, sample), stuck)
    return reset(np.any(pulses, axis=0), new, stuck, own, layer, number, key, d)


def pulsed(asked, cells, own, layer, number, key, d, sample=None):
    """Cells after pulses: an increase potentiates g+, a decrease g-, or depresses the only cell; each has a draw."""
    new = cells.copy()
    for turn in range(int(np.abs(asked).max(initial=0))):
        z = pulse_draws(asked, turn, layer, number, key, sample)
        for k in range(len(cells)):
            if len(cells) == 1:
                live, up = np.abs(asked) > turn, np.sign(asked)
            else:
                live, up = (asked if k == 0 else -asked) > turn, 1.0
            new[k] = np.where(live, np.maximum(cell_pulse(new[k], up, z, with_own(d, own, k)), 0), new[k])
    return new


def reset(reached, cells, stuck, own, layer, number, key, d):
    """Cells after pairs that were pulsed are set anew, where one cell has passed refresh_at and the other a tenth.

    They are programmed to their difference. Returns the cells, and which pairs.
    """
    new, anew = cells.copy(), np.zeros(reached.shape, bool)
    if len(cells) == 2:
        low, high = (new - d.g_min) / (d.g_max - d.g_min)  # shares, sorted below
        low, high = np.minimum(low, high), np.maximum(low, high)
        anew = reached & (high > d.refresh_at) & (low > 0.1)
        difference = new[0] - new[1]
        for k, wanted in enumerate((difference, -difference)):
            z = block_draws(normals, reached.shape, number, stream(REFRESH, layer), key, k, 2)
            goal = d.g_min + np.clip(wanted, 0, d.g_max - d.g_min)
            new[k] = np.where(anew, np.maximum(cell_program(goal, z, with_own(d, own, k)), 0), new[k])
        new = held(new, stuck)
    return new, anew


def level(goal, d):
    """Where this differs between an old and a new goal, a closed-loop write is worth its while."""
    return goal / (2 * max(d.verify_tolerance, 1e-4) * (d.g_max - d.g_min))


# the hooks of cell_device.py


def cell_program(g, z, d):
    return g + (d.miss + d.program_noise * z) * (d.g_max - d.g_min)


def cell_pulse(g, up, z, d):
    step = d.gain * d.pulse_step * (d.g_max - d.g_min) * (1 + d.step_noise * z)
    return np.clip(g + up * step, d.g_min, d.g_max)


def cell_drift(g, t, d):
    return g * np.maximum(t / d.drift_start, 1) ** -d.nu


def age_of_reads(first, last, read_time, points=100_000):
    """The age that stands for reads between two ages: that of the mean of ln(max(age, t_read) + t_read)."""
    ages = first + (last - first) * (np.arange(points) + 0.5) / points
    return np.clip(np.exp(np.log(np.maximum(ages, read_time) + read_time).mean()) - read_time, first, last)


def cell_std(g, d):
    return d.read_noise * g + d.floor * (d.g_max - d.g_min)


def cell_jump(s, u, t, d):
    rate = 1 / d.tau_up + 1 / d.tau_down
    rest = 1 / d.tau_up / rate
    return np.where(u < rest + (s - rest) * np.exp(-t * rate), 1.0, 0.0)


def cell_read(g, s, z, u, d):
    return g * (1 + d.cell_noise * z + d.jitter * (2 * u - 1) + d.amplitude * s)


def bent(driven, d):
    """What cells of unit conductance carry: their I-V curve, of full scale."""
    scale = d.dac_range or np.maximum(np.abs(driven).max(axis=1, keepdims=True), 1e-300)
    v = driven / scale
    return scale * v * (1 - d.bend + d.bend * v**2)


def driven_by(x, d, gain, offset):
    """Rows that DACs with gains and offsets of their own drive; full scale 0 is the row's largest value."""
    scale = d.dac_range or np.abs(x).max(axis=1, keepdims=True)
    return scale * (x / np.where(scale == 0, 1, scale) * (1 + gain) + offset * (scale != 0))


def cell_by_cell(x, cells, states, own, middle, worth, where, counter, seconds, d):
    """Lines of one tile of one slice, every cell read by itself, sample after sample; and the states afterwards.

    `cells`, `states`: (1 or 2, n_out, n_in of the tile); `where`: layer, tile; `counter`: first sample, number, key;
    `seconds`: before each sample.
    """
    (layer, tile), (first, number, key) = where, counter
    states, (sides, n_out, n), lines = states.copy(), cells.shape, np.zeros((len(x), cells.shape[1]))
    at = (n, first + np.arange(len(x))[:, None, None], number)  # draws of each sample, line and side
    base = (2 * np.arange(n_out)[:, None] + np.arange(sides))[..., None] * -(-n // 4)
    u, jitter = (uniforms(*at, stream(kind, layer, tile), key, base) for kind in (STATE, CELL_UNIFORM))
    z = normals(*at, stream(CELL, layer, tile), key, base)
    for k in range(sides):
        mine = SimpleNamespace(**{**d._asdict(), **{f: v[k] for f, v in own.items()}})
        for r, row in enumerate(x):
            if d.tau_up:
                states[k] = cell_jump(states[k], u[r, :, k], seconds[r], mine)
            lines[r] += (1, -1)[k] * cell_read(cells[k], states[k], z[r, :, k], jitter[r, :, k], mine) @ row
    if sides == 1:
        lines -= x @ middle.T
    return lines * worth, states


def calibration_vectors(columns, widest):
    """What a read that measures drift drives an array with: 16 vectors of +-1."""
    return (np.random.default_rng(0).integers(0, 2, (16, widest)) * 2 - 1)[:, :columns].astype(float)


def strength(lines, wanted=None):
    """Of a tile's lines in a calibration read: their projection on what they should be; without that, their mean size.

    A gain is the strength of reference over that of now.
    """
    return np.abs(lines).mean() if wanted is None else (lines * wanted).sum() / (wanted**2).sum()


# --- learning rules: signals s_l, an estimate of dL/da_l for each sample --------------------------------------------


def gradient(signals, inputs):
    """Batch mean of s_l x*_l^T, summed over positions, to be descended."""
    gradients = []
    for ss, xx in zip(signals, inputs, strict=True):
        pairs = [(np.atleast_2d(s), np.atleast_2d(x)) for s, x in zip(ss, xx, strict=True)]
        gradients.append(np.mean([s.T @ x for s, x in pairs], axis=0))
    return gradients


def backprop(activities, output_error, weights, activation, rotations=None):
    """Exact dL/da_l; through R^T where the inputs are decorrelated. A bias's weights pass nothing back."""
    signals = [output_error]
    for layer in range(len(weights) - 1, 0, -1):
        back = signals[0] @ weights[layer]
        if rotations:
            back = turned(rotations[layer].T, back[..., : len(rotations[layer])])
        signals.insert(0, brought_below(activation, layer, back, activities))
    return signals


def brought_below(net, layer, back, activities):
    """dL/da of the layer below from dL/d(what this layer was driven with), before any decorrelation and bias."""
    below, a = layer_of(net, layer - 1), activities[layer - 1]
    back = flat(fold(layer_of(net, layer), back))[:, : block(below, a)[0].size]
    return through_statistics(below, pull_back(below, back, a), a)


def told(losses, per_batch=False):
    """dL of each perturbed pass, (K, batch): of each sample, or the sum over the batch for everyone."""
    changes = np.array([np.asarray(one, float) - losses[0] for one in losses[1:]])
    return np.repeat(changes.sum(axis=1, keepdims=True), changes.shape[1], axis=1) if per_batch else changes


def node_perturbation(changes, perturbations, sigma):
    """NP: mean over K of dL_k eps_k / sigma^2, with perturbations[k][layer]."""
    signals = [np.zeros_like(p, dtype=float) for p in perturbations[0]]
    for change, drawn in zip(changes, perturbations, strict=True):
        for layer, eps in enumerate(drawn):
            signals[layer] += per_sample(change, eps) * eps / sigma**2 / len(changes)
    return signals


def iterative(changes, perturbations):
    """INP: mean over K of N_l dL^(l) v_l / |v_l|^2; changes come draw by draw, layer by layer."""
    depth = len(perturbations[0])
    signals = [np.zeros_like(p, dtype=float) for p in perturbations[0]]
    for k, drawn in enumerate(perturbations):
        for layer, v in enumerate(drawn):
            for b in range(len(v)):
                share = v[b].size * changes[k * depth + layer][b] / np.sum(v[b] ** 2)
                signals[layer][b] += share * v[b] / len(perturbations)
    return signals


def activity_based(changes, activities):
    """ANP against a clean first pass: mean over K of N dL_k da_k / |da_k|^2, the norm over all layers."""
    depth, batch = len(activities[0]), len(activities[0][0])
    units = sum(a[0].size for a in activities[0])
    signals = [np.zeros(a.shape) for a in activities[0]]
    for change, noisy in zip(changes, activities[1:], strict=True):
        for b in range(batch):
            da = [noisy[layer][b] - activities[0][layer][b] for layer in range(depth)]
            square = sum(np.sum(d**2) for d in da)
            for layer in range(depth):
                if square > 0:
                    signals[layer][b] += units * change[b] * da[layer] / square / len(changes)
    return signals


def activity_based_centred(losses, activities, per_batch=False):
    """ANP over K + 1 noisy passes, all alike: N sum_k (L_k - <L>) (a_k - <a>) over sum_k |a_k - a_0|^2 / 2.

    For K = 1 this is the rule with a noisy baseline: N dL da / |da|^2.
    """
    depth, batch = len(activities[0]), len(activities[0][0])
    units = sum(a[0].size for a in activities[0])
    losses = np.array(losses, float)
    if per_batch:
        losses = np.repeat(losses.sum(axis=1, keepdims=True), batch, axis=1)
    signals = [np.zeros(a.shape) for a in activities[0]]
    for b in range(batch):
        deviations = losses[:, b] - losses[:, b].mean()
        square = sum(np.sum((a[i][b] - activities[0][i][b]) ** 2) for a in activities[1:] for i in range(depth))
        for layer in range(depth):
            mean = np.mean([a[layer][b] for a in activities], axis=0)
            moved = sum(d * (a[layer][b] - mean) for d, a in zip(deviations, activities, strict=True))
            if square > 0:
                signals[layer][b] = units * moved / (square / 2)
    return signals


# --- forward gradients ----------------------------------------------------------------------------------------------


def tangent(inputs, activities, weights, activation, rotations=None, lines=None, outputs=None, beside=None):
    """Forward-mode derivative of a pass's output along what would perturb it (Bacho & Chu 2024, algorithms 1 to 3).

    d_l = W_l R_l (f'(a_{l-1}) d_{l-1} + outputs_{l-1}) + lines_l + beside_l x*_l, for each sample and position.
    """
    moved = None
    for layer, w in enumerate(weights):
        d = np.zeros(activities[layer].shape)
        if layer:
            moved = push(layer_of(activation, layer - 1), moved, activities[layer - 1])
            if outputs and outputs[layer - 1] is not None:
                moved = moved + outputs[layer - 1]
            parts = unfold(layer_of(activation, layer), moved)
            d = (turned(rotations[layer], parts) if rotations else parts) @ w[:, : parts.shape[-1]].T
        if lines and lines[layer] is not None:
            d = d + lines[layer]
        if beside and beside[layer] is not None:
            d = d + inputs[layer] @ beside[layer].T
        moved = d
    return moved


def told_exactly(output_error, tangents, per_batch=False):
    """dL along each direction from the outputs' derivatives, in the form that `told` gives it of passes."""
    return told([np.zeros(len(output_error)), *[np.sum(output_error * t, axis=1) for t in tangents]], per_batch)


def weight_forward_gradient(changes, directions, sigma):
    """FG-W, the weights' gradients: mean over K of d V_l, d the derivative of the batch's mean loss along V.

    `directions` are sigma V, `changes` (K, batch) the losses' changes along them.
    """
    gradients = [np.zeros(v.shape) for v in directions[0]]
    for change, drawn in zip(changes, directions, strict=True):
        for layer, v in enumerate(drawn):
            gradients[layer] += np.mean(change) / sigma * (v / sigma) / len(changes)
    return gradients


def directional(changes, drawn, sigma):
    """Mean over K of d_k u_k: what the loss's changes say of dL/d(what was perturbed), of one layer."""
    estimate = 0
    for change, u in zip(changes, drawn, strict=True):
        estimate = estimate + per_sample(change / sigma, u) * (u / sigma) / len(changes)
    return estimate


def activity_forward_gradient(changes, directions, activities, activation, sigma, output_error=None):
    """FG-A: (d u_l) f'(a_l) in hidden layers; the output layer has its error, told or estimated in the same way."""
    signals = []
    for layer, a in enumerate(activities):
        estimate = directional(changes, [u[layer] for u in directions], sigma)
        hidden = layer < len(activities) - 1
        signals.append(pull_back(layer_of(activation, layer), estimate, a) if hidden else estimate)
    if output_error is not None:
        signals[-1] = output_error
    return signals


def local_signal(a, drawn, activation, sigma, readout, targets, loss_name, layer=0):
    """A hidden layer with a loss of its own (LG-FG-A): its signal, and the gradient of its linear readout.

    The readout H gives z = H y, y the layer's outputs in one row, whose loss has the derivative e (H u) along u.
    """
    own = layer_of(activation, layer)
    y = flat(block(own, a))
    e = error(loss_name, y @ readout.T, targets)
    changes = [np.sum(e * (flat(u) @ readout.T), axis=1) for u in drawn]
    signal = pull_back(own, directional(np.array(changes), drawn, sigma), a)
    return signal, gradient([e], [y])[0]


# --- feedback -------------------------------------------------------------------------------------------------------


def brought_back(output_error, feedback, activities, activation, direct):
    """FA: s_l = (s_{l+1} B_l) f'(a_l) (Lillicrap et al. 2016); direct, DFA: s_l = (e B_l) f'(a_l) (Noekland 2016).

    B has the shape of the weights above, whose patches are folded; or, direct, (outputs, the layer's outputs).
    """
    signals = [output_error]
    for layer in range(len(activities) - 2, -1, -1):
        back = fed_back(output_error if direct else signals[0], feedback[layer], activation, layer, direct)
        signals.insert(0, pull_back(layer_of(activation, layer), back, activities[layer]))
    return signals


def fed_back(source, b, net, layer, direct):
    """What feedback says of dL/dy of a hidden layer, in one row a sample."""
    return source @ b if direct else flat(fold(layer_of(net, layer + 1), source @ b))


def kolen_pollack(output_error, activities, activation, feedback, decay):
    """DKP, the gradients of B (Webster et al. 2021): those of direct weights, mean e f(a_l)^T, and a decay."""
    outputs = [flat(block(layer_of(activation, layer), a)) for layer, a in enumerate(activities[:-1])]
    found = gradient([output_error] * len(feedback), outputs)
    return [g + decay * b for g, b in zip(found, feedback, strict=True)]


def forward_direct(output_changes, directions, feedback, sigma):
    """FDFA, the gradients of B (Bacho & Chu 2024, Eq. 10): B - d u^T, over K directions and the batch."""
    gradients = [b.copy() for b in feedback]
    for d, drawn in zip(output_changes, directions, strict=True):
        for layer, g in enumerate(gradients):
            g -= gradient([d / sigma], [flat(drawn[layer]) / sigma])[0] / len(directions)
    return gradients


def residual_gradient(sources, wanted, b, net="linear", layer=0, direct=True):
    """Learned feedback, one gradient step: that of the batch mean of |fold(s B) - lambda|^2 / 2."""
    residual = fed_back(sources, b, net, layer, direct) - flat(wanted)
    return gradient([sources], [residual if direct else unfold(layer_of(net, layer + 1), residual)])[0]


def ridge_regression(sources, wanted, ridge):
    """Learned feedback, exactly: B that minimises sum |s B - lambda|^2 + ridge |B|^2 (Lansdell et al. 2020, Eq. 18)."""
    s, w = np.concatenate(sources), np.concatenate(wanted)
    return np.linalg.solve(s.T @ s + ridge * np.eye(s.shape[1]), s.T @ w)


# --- covariance correction ------------------------------------------------------------------------------------------


def direction_covariance(activities, layer, rows, centred=False):
    """What E[dL da / |da|^2] is to the gradient, of one layer, over the batch's first rows: <da da^T / |da|^2>.

    Against a clean first pass, over the K others. Centred, for K + 1 noisy passes, all alike: the scatter about their
    mean, sum_k (a_k - <a>) (a_k - <a>)^T over sum_k |a_k - a_0|^2 / 2, as in `activity_based_centred`. Positions are
    summed over; the norm is over all of them.
    """
    total = 0
    for b in range(rows):
        passes = np.array([np.atleast_2d(a[layer][b]) for a in activities])
        da = passes[1:] - passes[0]
        squares = np.sum(da**2, axis=(1, 2))
        if centred:
            about = passes - passes.mean(axis=0)
            total = total + sum(v.T @ v for v in about) / max(squares.sum() / 2, 1e-300)
        else:
            total = total + np.mean([d.T @ d / max(s, 1e-300) for d, s in zip(da, squares, strict=True)], axis=0)
    return total / rows


def running_mean(old, new, step, window):
    """The average of all there were, and from `window` on one that forgets: a share of 1 / window is new."""
    share = 1 / min(step + 1, window)
    return (1 - share) * old + share * new


def shrunk_inverse(covariance, shrinkage, seen):
    """Inverse of the covariance moved towards a multiple of I of the same trace, at least by `shrinkage`.

    So few samples that chance alone spreads the eigenvalues ask for more: with S the covariance at trace 1,
    (tr S^2 + 1) / (seen (tr S^2 - 1 / n)), the shrinkage of Ledoit and Wolf for normal samples (Chen et al. 2010)
    where `seen` is large.
    """
    trace, n = np.trace(covariance), len(covariance)
    square = np.trace(covariance @ covariance) / trace**2
    chance = (square + 1) / (seen * max(square - 1 / n, 1e-12))
    share = min(1.0, max(shrinkage, chance))
    return np.linalg.inv((1 - share) * covariance + share * trace * np.eye(n) / n)


def covariance_corrected(changes, activities, inverses):
    """Mean over K of M_l^-1 dL_k da_k / |da_k|^2, layer by layer, against a clean first pass.

    A convolution's M_l is summed over positions, so P_l times as large as that of any one of them: there it is (M_l /
    P_l)^-1. In white noise this is ANP with a norm a layer.
    """
    signals = []
    for layer, inverse in enumerate(inverses):
        signal = np.zeros(activities[0][layer].shape)
        for change, noisy in zip(changes, activities[1:], strict=True):
            for b, (a, rest) in enumerate(zip(noisy[layer], activities[0][layer], strict=True)):
                square = np.sum((a - rest) ** 2)
                if square > 0:
                    positions = len(np.atleast_2d(a))
                    signal[b] += positions * turned(inverse, change[b] * (a - rest)) / square / len(changes)
        signals.append(signal)
    return signals


def covariance_corrected_centred(losses, activities, inverses, per_batch=False):
    """The same over K + 1 noisy passes, all alike: M^-1 sum_k (L_k - <L>) (a_k - <a>) over sum_k |a_k - a_0|^2 / 2."""
    signals = []
    for layer, inverse in enumerate(inverses):
        own = [[passed[layer]] for passed in activities]  # a network of this layer alone: its norm, its units
        (signal,) = activity_based_centred(losses, own, per_batch)
        signals.append(signal / signal.shape[-1] @ inverse.T)
    return signals


# --- what the rules are on average ----------------------------------------------------------------------------------


def anp_direction(signals, slopes, weights, rotations=None):
    """E[dL da_l] / sigma^2 of one sample, for small noise on every unit.

    da_l = eps_l + W_l R_l (f' da_{l-1}) and dL = sum_l g_l eps_l, so c_l = g_l + W_l R_l (f' c_{l-1}), c_1 = g_1.
    """
    c = [signals[0]]
    for layer in range(1, len(weights)):
        below = slopes[layer - 1] * c[-1]
        below = below if not rotations else rotations[layer] @ below
        c.append(signals[layer] + weights[layer][:, : len(below)] @ below)
    return c


def anp_expectation(signals, slopes, weights, rotations=None):
    """E[N dL da / |da|^2] of one sample, exactly, for small noise: what the random norm does is in it.

    With da = J eps of covariance C = J J^T = U diag(v) U^T, and dL = g_L . da_L, this is
    N U diag(m) U^T (0, ..., 0, g_L) with m_i = E[v_i z_i^2 / sum_j v_j z_j^2]
    = integral over t > 0 of v_i / (1 + 2 v_i t) prod_j (1 + 2 v_j t)^-1/2.
    """
    sizes = [len(s) for s in signals]
    ends = np.cumsum(sizes)
    n = ends[-1]
    jacobian = np.eye(n)
    for layer in range(1, len(weights)):
        here, below = slice(ends[layer - 1], ends[layer]), slice(ends[layer - 1] - sizes[layer - 1], ends[layer - 1])
        turn = np.eye(sizes[layer - 1]) if not rotations else rotations[layer]
        jacobian[here] += weights[layer][:, : sizes[layer - 1]] @ turn @ (slopes[layer - 1][:, None] * jacobian[below])
    v, u = np.linalg.eigh(jacobian @ jacobian.T)
    nodes, shares = np.polynomial.legendre.leggauss(400)
    s = (nodes + 1) / 2  # t = s / (1 - s) maps (0, 1) to (0, infinity)
    t, dt = s / (1 - s), shares / 2 / (1 - s) ** 2
    rest = np.prod((1 + 2 * v[:, None] * t) ** -0.5, axis=0)
    m = np.sum(v[:, None] / (1 + 2 * v[:, None] * t) * rest * dt, axis=1)
    last = np.zeros(n)
    last[-sizes[-1] :] = signals[-1]
    return np.split(n * u @ (m * (u.T @ last)), ends[:-1])


# --- decorrelation and optimizers -----------------------------------------------------------------------------------


def decorrelated(rotation, x, rate):
    """R - rate (<x* x*^T> - diag<x*^2>) R, averages over the batch and positions."""
    correlation = np.mean([np.outer(row, row) for row in x.reshape(-1, x.shape[-1])], axis=0)
    return rotation - rate * (correlation - np.diag(np.diag(correlation))) @ rotation


def sgd(gradients, rate, momentum=0.0):
    """The changes that a sequence of gradients of one weight array asks for: v <- m v + g, change = -rate v."""
    velocity, changes = 0.0, []
    for g in gradients:
        velocity = momentum * velocity + g
        changes.append(-rate * velocity)
    return changes


def adam(gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-7):
    """The same for Adam (Kingma & Ba 2015, Algorithm 1)."""
    moments, changes = (0.0, 0.0, 0), []
    for g in gradients:
        change, moments = adam_step(g, moments, rate, beta1, beta2, epsilon)
        changes.append(change)
    return changes


def adam_step(gradient, moments, rate, beta1=0.9, beta2=0.999, epsilon=1e-7):
    """One step of it: the change, and the moments (mean, mean square, steps), at first (0, 0, 0)."""
    m, v, t = moments
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    t = t + 1
    return -rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon), (m, v, t)
