"""Updates one after another in one call: draws, passes, losses, a rule's estimate, writes, decorrelation.

Every part is the loop that an update made from Python calls too, so both give the same bits.
"""

import numpy as np

from noisysim.compute.cpu.loops.draws import FIRST, normals, stream_word
from noisysim.compute.cpu.loops.passes import follow_peaks, forward
from noisysim.compute.cpu.loops.rows import largest
from noisysim.compute.cpu.loops.sums import LOSS, decorrelate_few, squared_distances
from noisysim.compute.cpu.loops.sweeps import sweep
from noisysim.compute.cpu.row_types import SHARE
from noisysim.compute.jit.compiling import loop
from noisysim.compute.jit.places import floats_at, longs_at
from noisysim.compute.jit.views import part, view
from noisysim.compute.layout import ACTIVITIES_AT, OWN_STREAM, TABLE

call_loss, call_share = LOSS.call, SHARE.call
VARIANCE, LENGTH, DISTANCE = range(3)
"""What the size of a perturbation is (`noisysim.compute.compiled_estimate.CompiledEstimate`)."""


@loop()
def perturb(perturbations, sets, lines, batch, sigmas, keys, number):
    """Draw the sets of an update, each layer by layer and in these chip by chip."""
    at = 0
    for k in range(sets):
        for layer in range(lines.size):
            word = stream_word(OWN_STREAM, layer, k)
            for m in range(sigmas.size):
                rows = view(perturbations, at, lines[layer], batch)
                normals(rows, sigmas[m], FIRST, number, word, keys[m, 0], keys[m, 1])
                at += batch * lines[layer]


@loop()
def judge(call, lines_at, targets, loss, bounds, losses, hits):
    """The losses of all passes, and the hits of the first; says whether no chip's goes beyond its bound."""
    samples, n_out = targets.shape
    chips = bounds.size
    batch = samples // chips
    for p in range(losses.shape[0]):
        output = view(call.activities, p * call.values + samples * lines_at, n_out, samples)
        call_loss(loss, (output, targets, losses[p]))
    output = view(call.activities, samples * lines_at, n_out, samples)
    for m in range(chips):
        total, hits[m] = 0.0, 0
        for b in range(m * batch, (m + 1) * batch):
            total += losses[0, b]
            best, wanted = 0, 0
            for k in range(1, n_out):
                best = k if output[b, k] > output[b, best] else best
                wanted = k if targets[b, k] > targets[b, wanted] else wanted
            hits[m] += best == wanted
        if not total <= bounds[m] * batch:
            return False
    return True


@loop()
def estimate(call, losses, perturbations, lines, rule, factors):
    """The rule: its factors of every term, layer and sample."""
    share, kind, units, divisor, changes, sizes = rule
    samples = losses.shape[1]
    for k in range(changes.shape[0]):
        for b in range(samples):
            changes[k, b] = (losses[1 + k, b] - losses[0, b]) / divisor
    baseline = floats_at(call.activities, 0, call.values)
    nothing, at, layers = part(baseline, 0, 0), 0, factors.shape[1]
    for k in range(factors.shape[0]):
        if kind == DISTANCE:
            moved = floats_at(call.activities, (k + 1) * call.values, call.values)
            squared_distances(moved, baseline, lines, 0, samples, sizes[k])
        for layer in range(layers):
            row = k * layers + layer
            if kind == LENGTH:
                drawn = part(perturbations, at, samples * lines[layer])
                squared_distances(drawn, nothing, part(lines, layer, 1), 0, samples, sizes[row])
                at += samples * lines[layer]
            call_share(share, (changes[row], sizes[row], units[layer], factors[k, layer]))


@loop()
def learn(count, records, data, drawing, judging, rule, sweeping, periphery, made):
    """Make updates one after another; returns how many, and what their writes count.

    It ends before an update whose losses are beyond bounds or whose inputs are not finite, and behind one whose change
    is not finite: of that the decorrelation is left.

    Parameters
    ----------
    count : int
    records : tuple
        The network, the chips, the call of passes and the room of this thread, (1,) arrays each
        (`noisysim.compute.cpu.loops.records`): the call's inputs are those of all updates.
    data : tuple
        Targets of all updates, (samples, n_out); and the values of a sample in each layer, (layers,) int64.
    drawing : tuple
        Perturbations, flat, set by set; how many sets there are; of each chip the standard deviation and the key, and
        the learner's number of the first update.
    judging : tuple
        Address of the loss; the chips' bounds; room for the losses of each pass, (passes, samples) float64.
    rule : tuple
        Address of its share, kind of size, units, divisor; room for changes and sizes, (rows, samples) float64.
    sweeping : tuple
        What `sweep` takes: tasks, layers, terms, inputs; address, numbers (updates, n) and moments of the optimizer;
        the stages; number of the first write, keys and time; work, kits.
    periphery : tuple
        Whether converters follow; their ranges and peaks; the decorrelation's rate (0: none), matrices, their sizes and
        those of inputs.
    made : tuple
        Losses of the first pass, (updates, samples); hits, (updates, chips); refused chips, (chips,).
    """
    nets, stacks, calls, rooms = records
    targets, lines = data
    perturbations, sets, sigmas, learner_keys, number = drawing
    loss, bounds, losses = judging
    tasks, layers, terms, inputs, step, stages, counter, work, kits = sweeping
    address, numbers, first, second = step
    write, keys, clock = counter
    follows, ranges, peaks, rate, rotations, squares, columns = periphery
    first_losses, hits, refused = made
    net, call = nets[0], calls[0]
    samples, chips, depth = call.samples, bounds.size, net.layers
    batch, start, total = samples // chips, call.first_pass, 0
    lines_at = longs_at(net.table, (depth - 1) * TABLE, TABLE)[ACTIVITIES_AT]
    for u in range(count):
        perturb(perturbations, sets, lines, batch, sigmas, learner_keys, number + u)
        call.x_at, call.first_pass = u * samples, start + u * call.passes
        forward((0, batch), (0, chips), (0, depth), nets, stacks, calls, rooms)
        wanted = targets[u * samples : (u + 1) * samples]
        if not judge(call, lines_at, wanted, loss, bounds, losses, hits[u]) or not largest(inputs) < np.inf:
            return u, total
        for b in range(samples):
            first_losses[u, b] = losses[0, b]
        estimate(call, losses, perturbations, lines, rule, terms[0])
        taken, at = (address, numbers[u], first, second), (write + u, keys, clock)
        total += sweep(tasks, layers, terms, inputs, taken, stages, at, work, kits, refused)
        if follows:
            follow_peaks(ranges, peaks)
        for m in range(chips):
            if refused[m]:
                return u + 1, total
        if rate > 0.0:
            decorrelate_few(rotations, inputs, squares, columns, batch, rate, chips, 0, chips)
    return count, total
