"""The definition of write controllers, in slow, plain NumPy float64: what each makes of a change of the weights.

Of the device in cell_device.py, whose cells take pulses where `gain` is set. Every function says how near to another
decision float32 may come.
"""

import numpy as np

import naive

READ = 11  # the noise stream of a controller's reads of cells
MOST = 2**20  # steps of a cell in one update, where it takes no pulses


def least_change(d):
    """One step, as a share of the span."""
    if d.gain and not d.verify_pulses:
        return d.pulse_step
    if d.slices > 1:
        return 1 / (2 ** (d.slices * d.slice_bits) - 1)
    return d.write_step or (2 * d.verify_tolerance if d.verify_pulses else 1 / 255)


def wanted_steps(change, n_in, d):
    """Steps that a change of weights amounts to."""
    return change / naive.bound(n_in, d) / (least_change(d) * (2 if d.cells_per_weight == 1 else 1))


def chance(change, layer, number, key):
    """What decides how a change is rounded."""
    return naive.block_draws(naive.uniforms, change.shape, number, naive.stream(naive.ROUNDING, layer), key)


def rounded(wanted, u, most):
    """Signed whole steps, rounded by chance; and how near each is to another count."""
    exact = np.abs(wanted) + u
    return np.sign(wanted) * np.minimum(np.floor(exact), most), np.abs(exact - np.rint(exact))


def asked_steps(change, chi, n_in, layer, number, key, d):
    """Signed steps of every weight, how near each is to another count, and what an accumulator keeps."""
    most = d.pulse_limit if d.gain and not d.verify_pulses else MOST
    wanted = wanted_steps(change, n_in, d)
    if d.controller != "accumulate":
        asked, edge = rounded(wanted, chance(change, layer, number, key), most)
        return asked, edge, chi
    due = chi + wanted
    asked = np.sign(due) * np.minimum(np.floor(np.abs(due)), most)
    return asked, np.where(np.rint(due) == 0, 1.0, np.abs(due - np.rint(due))), due - asked


def fixed_point(targets, change, n_in, layer, number, key, d):
    """Targets of so many bits after a change; and how near each is to another."""
    step = 1 / (2 ** (d.target_bits - 1) - 1)
    steps, edge = rounded(change / naive.bound(n_in, d) / step, chance(change, layer, number, key), MOST)
    return np.clip((np.rint(targets / step) + steps) * step, -1, 1), edge


def read(cells, own, layer, number, key, d):
    """One read of all cells by the ADC, µS; and how near each is to another code, in codes."""
    span = d.g_max - d.g_min
    step = span / (2 ** (d.slice_bits if d.slices > 1 else d.adc_bits) - 1)
    seen = np.empty(cells.shape)
    for k, g in enumerate(cells):
        # of closed loops both sides have draws, even that of a reference
        parts = 2 * d.slices if d.cells_per_weight == 2 or d.verify_pulses else 1
        z = naive.block_draws(naive.normals, g.shape, number, naive.stream(READ, layer), key, k, parts)
        std = np.hypot(naive.cell_std(g, naive.with_own(d, own, k)), d.line_noise * span)
        seen[k] = np.clip(g + std * z, d.g_min, d.g_max)
    codes = (seen - d.g_min) / step
    return d.g_min + np.rint(codes) * step, np.abs(codes - np.floor(codes) - 0.5)


def seen_targets(cells, own, n_in, layer, number, key, d):
    """What reads tell of the weights, as targets; and how near each is to something else, in codes."""
    seen, edge = read(cells, own, layer, number, key, d)
    if d.cells_per_weight == 1:
        return 2 * (seen[0] - d.g_min) / (d.g_max - d.g_min) - 1, edge[0]
    worth = np.array(naive.slice_worth(n_in, d))[:, None, None] / naive.bound(n_in, d)
    plus, minus = (((seen[side::2] - d.g_min) * worth).sum(axis=0) for side in (0, 1))
    return np.where(plus >= minus - 1e-9, plus, -minus), edge.min(axis=0)


def stepped(asked, cells, stuck, own, layer, number, key, d):
    """Cells after their steps, and which pairs were set anew.

    A step up raises g+, a step down g-, or lowers the only cell; its error is what a write to that place leaves beside
    what it means. A pair that was moved, of which a cell has passed refresh_at and the other a tenth, is read, and
    programmed to its difference.
    """
    span, new = d.g_max - d.g_min, cells.copy()
    for k in range(len(cells)):
        live = asked != 0 if len(cells) == 1 else (asked if k == 0 else -asked) > 0
        up = asked if len(cells) == 1 else np.abs(asked)
        z = naive.block_draws(naive.normals, asked.shape, number, naive.stream(naive.WRITE, layer), key, k, len(cells))
        goal, own_d = np.clip(cells[k] + up * least_change(d) * span, d.g_min, d.g_max), naive.with_own(d, own, k)
        written, meant = (np.maximum(naive.cell_program(goal, noise, own_d), 0) for noise in (z, 0.0))
        new[k] = np.where(live, np.maximum(goal + written - meant, 0), new[k])
    new, anew = naive.held(new, stuck), np.zeros(asked.shape, bool)
    if len(cells) == 2:
        low, high = np.sort((new - d.g_min) / span, axis=0)
        anew = (asked != 0) & (high > d.refresh_at) & (low > 0.1)
        plus, minus = read(new, own, layer, number, key, d)[0]
        for k, wanted in enumerate((plus - minus, minus - plus)):
            z = naive.block_draws(naive.normals, asked.shape, number, naive.stream(naive.REFRESH, layer), key, k, 2)
            goal = d.g_min + np.clip(wanted, 0, span)
            new[k] = np.where(anew, np.maximum(naive.cell_program(goal, z, naive.with_own(d, own, k)), 0), new[k])
        new = naive.held(new, stuck)
    return new, anew
