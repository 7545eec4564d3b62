"""The rows that hooks and activation functions make: each a loop over a row of numbers with the function in it.

A factory takes compiled scalar functions and gives the row, a function of this file, where a debugger and a profiler
find it; `noisysim.compute.cpu.bring` compiles it, and keeps its machine code. The types are in `row_types`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from noisysim.compute.jit.numbers import Access
from noisysim.compute.jit.views import part

Function = Callable[..., Any]
ZERO, ONE = np.float32(0.0), np.float32(1.0)


def shared(share: Function) -> Function:
    """A rule's share of loss changes, of samples each with a size of its own (`noisysim.compute.compiled_estimate`)."""

    def share_row(changes, sizes, units, out):
        for b in range(changes.size):
            out[b] = share(changes[b], sizes[b], units)

    return share_row


def driven(access: Access, dac: Function) -> Function:
    """What a DAC makes of a row of inputs, at a full scale."""
    read, with_own = access

    def dac_row(inputs, out, full_scale, own, numbers):
        d, inverse = read(numbers), ONE / full_scale
        for j in range(inputs.size):
            out[j] = np.float32(dac(inputs[j] * inverse, with_own(d, own, j))) * full_scale

    return dac_row


def bent(access: Access, current: Function) -> Function:
    """What drives the cells behind their I-V curve, at a full scale."""
    read = access.read

    def current_row(inputs, out, full_scale, numbers):
        d, inverse = read(numbers), ONE / full_scale
        for j in range(inputs.size):
            out[j] = np.float32(current(inputs[j] * inverse, d)) * full_scale

    return current_row


def digitised(
    access: Access, readout: Function, adc: Function, converts: bool, energetic: bool, normal: bool, uniform: bool
) -> Function:
    """What the periphery reads of a sample's lines, `units` at each position; which draws it takes is compiled in."""
    read, with_own = access

    def read_row(line, energy, z, u, units, convert, own, out, numbers):
        d = read(numbers)
        for j in range(line.size):
            e = energy[j] if energetic else ZERO
            zj = z[j] if normal else ZERO
            uj = u[j] if uniform else ZERO
            out[j] = np.float32(readout(line[j], e, zj, uj, d))
        if converts and convert:
            for first in range(0, line.size, units):
                lines = part(out, first, units)  # a loop over out[first + j] does not vectorise
                for j in range(units):
                    lines[j] = np.float32(adc(lines[j], with_own(d, own, j)))

    return read_row


def summed(access: Access, read_cell: Function, jumps: bool, normal: bool, uniform: bool) -> Function:
    """sum_j x_j G_j over one line's cells, each as one read sees it."""
    read, with_own = access

    def cell_row(x, now, states, own, z, u, numbers):
        d, total = read(numbers), ZERO
        for j in range(x.size):
            s = np.float32(states[j]) if jumps else ZERO
            zj = z[j] if normal else ZERO
            uj = u[j] if uniform else ZERO
            seen = np.float32(read_cell(now[j], s, zj, uj, with_own(d, own, j)))
            total += x[j] * (seen if now[j] >= ZERO else ZERO)  # below it the line is cut
        return total

    return cell_row


def moved_on(access: Access, jump: Function) -> Function:
    """The discrete states of a line's cells after some time, in place."""
    read, with_own = access

    def jump_row(states, own, u, seconds, numbers):
        d = read(numbers)
        for j in range(states.size):
            states[j] = np.uint8(np.float32(jump(np.float32(states[j]), u[j], seconds, with_own(d, own, j))))

    return jump_row


def levelled(access: Access, program: Function) -> Function:
    """What noiseless writes of goals would leave."""
    read = access.read

    def level_row(goals, out, numbers):
        d = read(numbers)
        for j in range(goals.size):
            out[j] = np.float32(program(goals[j], ZERO, d))

    return level_row


def programmed(access: Access, program: Function) -> Function:
    """The conductances that writes of goals leave."""
    read, with_own = access

    def program_row(goals, z, own, out, numbers):
        d = read(numbers)
        for j in range(goals.size):
            out[j] = max(np.float32(program(goals[j], z[j], with_own(d, own, j))), ZERO)

    return program_row


def pulsed(access: Access, pulse: Function) -> Function:
    """The conductances after a pulse each, up (1) or down (-1)."""
    read, with_own = access

    def pulse_row(g, up, z, own, out, numbers):
        d = read(numbers)
        for j in range(g.size):
            out[j] = max(np.float32(pulse(g[j], up[j], z[j], with_own(d, own, j))), ZERO)

    return pulse_row


def appearing(access: Access, appear: Function) -> Function:
    """The conductances that cells show, of those that writes and pulses left."""
    read, with_own = access

    def appear_row(g, z, own, out, numbers):
        d = read(numbers)
        for j in range(g.size):
            out[j] = max(np.float32(appear(g[j], z[j], with_own(d, own, j))), ZERO)

    return appear_row


def drifted(access: Access, drift: Function, aims: bool) -> Function:
    """What some seconds leave of cells that were written as `fresh`, by writes that aimed at `aims`."""
    read, with_own = access

    def drift_row(fresh, ages, targets, own, out, numbers):
        d = read(numbers)
        for j in range(fresh.size):
            mine = with_own(d, own, j)
            left = drift(fresh[j], ages[j], targets[j], mine) if aims else drift(fresh[j], ages[j], mine)
            out[j] = max(np.float32(left), ZERO)

    return drift_row


def deviating(access: Access, cell_std: Function, aims: bool) -> Function:
    """Standard deviations of one read of cells, µS."""
    read, with_own = access

    def std_row(g, ages, targets, own, out, numbers):
        d = read(numbers)
        for j in range(g.size):
            mine = with_own(d, own, j)
            std = cell_std(g[j], ages[j], targets[j], mine) if aims else cell_std(g[j], ages[j], mine)
            out[j] = np.float32(std)

    return std_row


def activated(activation: Function) -> Function:
    """What hidden units give for their pre-activations: a step of a plan (`noisysim.compute.cpu.loops.steps`)."""

    def activation_step(g, units, values, out, more):
        for r in range(values.shape[0]):
            for j in range(values.shape[1]):
                out[r, j] = np.float32(activation(values[r, j]))

    return activation_step


def operated(forward: Function) -> Function:
    """An operation of the periphery: a step of a plan, whose numbers are `g`."""

    def operation_step(g, units, values, out, more):
        for r in range(values.shape[0]):
            for k in range(g[0]):
                forward(r, k, values, more, out, g)

    return operation_step


def pushed(push: Function) -> Function:
    """Changes of an operation's values along changes of its sources."""

    def push_rows(g, a, b, da, db, out):
        for r in range(out.shape[0]):
            for k in range(g[0]):
                push(r, k, a, b, da, db, out, g)

    return push_rows


def pulled(pull: Function) -> Function:
    """Signals at an operation's values, brought back to a source of so many parts."""

    def pull_rows(g, parts, a, b, signal, out):
        for r in range(out.shape[0]):
            for k in range(parts):
                pull(r, k, a, b, signal, out, g)

    return pull_rows


def sloped(slope: Function) -> Function:
    """A signal times the derivative at pre-activations, in place, flat."""

    def slope_row(signal, values):
        for j in range(values.size):
            signal[j] *= np.float32(slope(values[j]))

    return slope_row
