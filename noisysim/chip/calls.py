"""Calls of passes from outside: checked, run on calibrated converters, and judged by the batch's loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from noisysim.chip.calibration import calibrate
from noisysim.chip.checking import Checks
from noisysim.chip.decorrelation import turn_change, turn_inputs
from noisysim.chip.drives import Drives, as_drives
from noisysim.chip.passes import observation_buffers, run_passes
from noisysim.chip.state import State
from noisysim.common.fields import check_switch, shown
from noisysim.common.types import Floats
from noisysim.compute import losses
from noisysim.compute.layout import ON_LINE, ON_WEIGHTS
from noisysim.compute.observation import Batch, Drive, Gathered, LossFunction, Observation
from noisysim.compute.observation_buffers import Observed
from noisysim.compute.protocols import Addition


class Calls:
    """Takes the calls of some chips.

    Parameters
    ----------
    state : State
    checks : Checks
    digital : bool
        Whether perturbations of lines enter after the ADC.
    """

    def __init__(self, state: State, checks: Checks, digital: bool):
        self._state, self._checks, self._digital = state, checks, digital
        self._drives = Drives(checks, state.noisy)

    def observe(
        self, batch: Batch | ArrayLike, drives: Sequence[Drive], out: Any, first_sample: int, training: bool,
        inputs_of: str,
    ) -> Sequence[Observation]:  # fmt: skip
        """One pass for each drive (`noisysim.chip.chip.Chip.passes`)."""
        state, checks = self._state, self._checks
        x, targets, loss = batch if type(batch) is Gathered else self._taken(batch)
        rows, drives = len(x), as_drives(drives)
        if any(drive.output_error for drive in drives) and getattr(loss, "error", None) is None:
            raise ValueError("a drive asks for the output error: give a task's batch, whose loss has a derivative")
        if type(first_sample) is not int or first_sample:
            first_sample = checks.first_sample(first_sample, rows // state.chips, len(drives), state.next_pass)
        if type(training) is not bool:
            training = check_switch("training", training)
        if inputs_of not in ("all", "first"):
            raise ValueError(f"inputs_of must be 'all' or 'first', not {shown(inputs_of)}")
        added = self._drives.added(drives, rows)
        if state.turns_updates:
            added = added._replace(parts=[_on_cells(state, *part) for part in added.parts])
        drops, all_inputs = training and any(state.net.drops), inputs_of == "all"
        observed = observation_buffers(state, out, rows, len(drives), drops=drops, all_inputs=all_inputs)
        if not state.calibrated:
            self._calibrate(x)
        given = added
        if state.perturbation_dacs and added.parts and not self._digital:
            number = state.next_pass - (len(drives) if first_sample else 0)
            given = state.perturbation_dacs.convert(added, number, first_sample)
        run_passes(
            state, x, observed, given, first_sample=first_sample, digital=self._digital,
            training=training and rows > state.chips,
        )  # fmt: skip
        if added.parts:
            self._count(added.parts, rows)
        if state.turns_updates:
            state.meter.cost.decorrelation_macs += turn_inputs(state.rotations, observed, state.chips, state.net)
        _judge(loss, targets, drives, observed)
        return observed

    def _count(self, parts: Sequence[Addition], rows: int) -> None:
        """Count what drives add to the cost of passes: values converted, and the products of second arrays."""
        cost, net = self._state.meter.cost, self._state.net
        cost.mvms += self._drives.second_products(parts, rows)
        for _, kind, layer, array in parts:
            if kind == ON_WEIGHTS:
                cost.count_products(net, layer, rows)
            at_line = kind == ON_LINE and not self._digital
            if (kind == ON_WEIGHTS or at_line) and not net.digital[layer]:
                cost.perturbation_conversions += array.size

    def _taken(self, batch: Batch | ArrayLike) -> tuple[Floats, Floats | None, LossFunction | None]:
        """Inputs, targets and loss of what a call was given, checked."""
        x = self._checks.inputs(batch)
        return (x, self._checks.targets(batch, len(x)), batch.loss) if isinstance(batch, Batch) else (x, None, None)

    def calibrate(self, x: Batch | ArrayLike) -> None:
        """Calibrate the converters by inputs."""
        self._calibrate(self._checks.inputs(x))

    def analog(self, x: ArrayLike, count: int) -> Sequence[Observation]:
        """Undriven passes that are not digitised."""
        x = self._checks.inputs(x)
        observed = observation_buffers(self._state, None, len(x), count)
        if not self._state.calibrated:
            self._calibrate(x)
        run_passes(self._state, x, observed, self._drives.nothing(count), convert=False)
        return observed

    def _calibrate(self, x: Floats) -> None:
        """Calibrate by checked inputs: a chip that was not asked to does so by those of its first pass."""
        calibrate(self._state, x, self._drives.nothing(1))


def _on_cells(state: State, p: int, kind: int, layer: int, array: Floats) -> Addition:
    """What a drive adds, weights as those that the inputs drive before they are turned."""
    if kind == ON_WEIGHTS:
        array = turn_change(state.rotations[layer], array, state.chips)
    return p, kind, layer, array


def _judge(loss: Any, targets: Floats | None, drives: Sequence[Drive], observed: Observed) -> None:
    """Give the observations their losses, and the output errors that were asked for."""
    judged = [None] * len(observed) if targets is None else losses.of_passes(loss, observed.every_output, targets)
    for observation, drive, value in zip(observed, drives, judged, strict=True):
        output = observation.output
        observation.loss = value
        observation.output_error = loss.output_error(output, targets) if drive.output_error else None
