"""The records that the loops over cells take: filled from the cells of a chip, the device's rows, and work arrays."""

from __future__ import annotations

import operator
import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from noisysim.common.types import Array
from noisysim.compute.behaviour import Behaviour, takes_target
from noisysim.compute.cell_state import CellState
from noisysim.compute.cpu.bring import DeviceRows
from noisysim.compute.cpu.cell_types import ARRAYS, BLOCK, COUNT, FLAGS, KIT, OWN, STAGE, TABLES, TARGETS
from noisysim.compute.cpu.loops import (
    cell_ageing,
    cell_appearance,
    cell_moves,
    cell_pulses,
    cell_verify,
    cell_weights,
    cell_writes,
    draws,
)
from noisysim.compute.cpu.row_types import APPEAR, DRIFT, LEVEL, PROGRAM, PULSE, SIZED, STD
from noisysim.compute.jit import ahead
from noisysim.compute.jit.calls import JIT, RowType
from noisysim.compute.jit.places import address
from noisysim.compute.layout import CELL_BLOCK

_PULSED: Mapping[ModuleType, tuple[str, ...]] = {
    cell_writes: ("draw_listed", "program_listed"), cell_ageing: ("settle", "date_listed", "bring_up"),
    cell_weights: ("refresh", "refresh_few", "add_side", "add_listed"), cell_appearance: ("appear_listed",),
}  # fmt: skip
STAGES: Mapping[str, Mapping[ModuleType, tuple[str, ...]]] = {
    "write": {
        cell_writes: (
            "draw_listed", "program_listed", "draw_sides", "program_side", "retarget", "round_targets", "write_block",
        ),
        cell_ageing: ("settle", "date_listed", "date_side"), cell_appearance: ("appear_listed",),
        cell_weights: ("refresh", "refresh_few", "add_side", "add_listed"),
    },
    "verify": {
        cell_writes: ("draw_listed", "retarget", "round_targets"), cell_verify: ("verify_side", "verify_block"),
        cell_weights: ("refresh_few", "add_listed"), cell_ageing: ("bring_up",),
    },
    "pulse": {**_PULSED, cell_pulses: ("round_pulses", "give_pulses", "reset_pairs", "pulse_block")},
    "train": {**_PULSED, cell_pulses: ("give_pulses", "reset_pairs")},
    "mean": {**_PULSED, cell_pulses: ("reset_pairs", "mean_block")},
    "step": {
        **_PULSED, cell_pulses: ("round_pulses", "reset_pairs", "pulse_block"), cell_moves: ("give_steps", "read_side"),
    },
    "modify": {  # and what the write needs
        cell_pulses: ("round_pulses",), cell_moves: ("read_side", "read_targets", "modify_block"),
        cell_ageing: ("bring_up",),
    },
    "age": {cell_ageing: ("age_block",), cell_weights: ("refresh", "add_side")},
    "read": {cell_weights: ("add_side",)},
    "add": {cell_weights: ("add_block",)},
}  # fmt: skip
"""Which stages each kind of work calls: they are compiled when a chip first does it, but for `_ONLY`."""
_CHANGING = (
    "retarget", "round_targets", "write_block", "verify_block", "round_pulses", "pulse_block", "mean_block",
    "modify_block", "add_block",
)  # fmt: skip
"""The stages that take a change (`noisysim.compute.cpu.cell_types.BLOCK`)."""
_COUNTING = ("verify_side", "give_pulses", "give_steps", "reset_pairs")
"""Those of the others that return a count."""
_ONLY = {
    **dict.fromkeys(("date_listed", "date_side"), "dated"), **dict.fromkeys(("add_side", "add_listed"), "varies"),
    "bring_up": "drifts", "round_targets": "rounds", "appear_listed": "apparent",
}  # fmt: skip
"""Stages that are called where a flag is set alone."""
_OPEN_LOOP = ("pulse", "train", "mean", "step")
_RESETS = ("program_listed", "settle", "date_listed", "reset_pairs")
"""Those that pulses call where pairs are programmed anew alone."""
_OF_STATE = ("paired", "verified", "faulty", "timed", "aims", "at_once", "apparent", "knows_targets")
"""Flags that `CellState` has."""
_HELD = operator.attrgetter(*ARRAYS)
_work: dict[tuple[int, int], Array] = {}
"""By thread and number of fields with own values: work arrays in one piece. None is freed: it would tell of cells."""


class Kits:
    """The records for the cells of some chips of one device.

    Parameters
    ----------
    state : CellState
    behaviour : Behaviour
    """

    def __init__(self, state: CellState, behaviour: Behaviour):
        self._state = state
        spreads = {**behaviour.spreads, "sized": (*behaviour.spreads["cell"], "pulse_step")}
        self._rows = DeviceRows(behaviour.hooks, behaviour.numbers, spreads, _places(state, behaviour))
        self._own = behaviour.own
        self._made: dict[tuple[str, int], tuple[tuple[Array, ...], Any]] = {}

    def of(self, kind: str) -> Any:
        """This thread's record for one kind of work, (1,), with work arrays of its own."""
        held, key = _HELD(self._state), (kind, threading.get_ident())
        known, kits = self._made.get(key, ((), None))
        if kits is None or not all(map(operator.is_, held, known)):
            kits = self._fill(kind, held)
            work = work_of(len(self._state.own))
            kits[0]["work"] = address(work)
            if not self._state.knows_targets:
                kits[0]["targets"] = address(work[TARGETS:OWN])
            self._made[key] = held, kits
        return kits

    def _fill(self, kind: str, held: Sequence[Array]) -> Any:
        """A record without work arrays."""
        kits: Any = np.zeros(1, KIT) if JIT else np.recarray(1, KIT)
        kit, state = kits[0], self._state
        for name, array in zip(ARRAYS, held, strict=True):
            kit[name] = address(array)
        for name in TABLES:
            kit[name] = address(getattr(state, name))
        flags = self._flags(kind)
        for name, (kind_of, stage) in self._stages(kind).items():
            kit[name] = kind_of.address(stage)
        rows, verifies = self._rows.compiled, kind == "verify" or (kind == "modify" and state.verified)
        for name, place in _ROWS.items():
            place = SIZED if place == PULSE and state.exact else place
            kit[name], kit[f"{name}_numbers"] = rows.functions[place], address(rows.numbers[place])
        for name, value in {
            **{name: flag for name, flag in flags.items() if name in FLAGS},
            "cells": state.now.shape[1], "sides": len(state.now),
            "drawn_sides": len(state.now) if state.paired or verifies else 1, "fields": len(state.own),
            "layers": len(state.table), "columns": state.table.shape[1],
            "tile_count": len(state.tiles), "tile_columns": state.tiles.shape[1],
            "slices": state.span.slices, "bits": state.span.bits, "g_min": state.span.g_min, "width": state.span.width,
            "verify_pulses": state.verify_limits.pulses, "tolerance": state.verify_limits.tolerance,
            "pulse_limit": state.pulse_limits.pulses, "reset_at": state.pulse_limits.reset_at,
            "numbers_size": rows.numbers.shape[1], "step": state.step, "target_step": state.target_step,
            "line_std": state.reading.noise, "quantum": state.reading.quantum,
        }.items():  # fmt: skip
            kit[name] = value
        return kits

    def _stages(self, kind: str) -> dict[str, tuple[RowType, Any]]:
        """The stages that a kind of work calls, by name."""
        flags, called, moves = self._flags(kind), dict[str, tuple[RowType, Any]](), kind in _OPEN_LOOP
        kinds = [kind, *(["verify" if self._state.verified else "write"] if kind == "modify" else [])]
        for module, name in ((m, n) for one in kinds for m, names in STAGES[one].items() for n in names):
            if flags.get(_ONLY.get(name, ""), True) and (flags["paired"] or not moves or name not in _RESETS):
                kind_of = BLOCK if name in _CHANGING else COUNT if name in _COUNTING else STAGE
                called[name] = kind_of, getattr(module, name)
        if kind in ("write", "verify", "modify") or moves:
            called["fill_normals"] = draws.FILL, draws.fill_normals_from
        if kind in ("pulse", "step", "modify") or flags["rounds"]:
            called["fill_uniforms"] = draws.FILL, draws.fill_uniforms_from
        return called

    def expected(self, kind: str) -> list[ahead.Job]:
        """What this kind of work will call, in the order of need."""
        stages = [ahead.Job(stage, kind_of.arguments) for kind_of, stage in self._stages(kind).values()]
        return [*stages, *self._rows.expected()]

    def _flags(self, kind: str) -> dict[str, bool]:
        """What is true of the cells; whether variances are up to date is left to the next read by lazy ones."""
        state, own = self._state, self._own
        drifts = "drift" in own
        return {
            **{name: getattr(state, name) for name in _OF_STATE},
            "drifts": drifts, "deviates": "cell_std" in own, "dated": state.timed or state.aims,
            "trained": kind == "train",
            "varies": state.variances.size > 0 and (kind in ("age", "read") or not state.lazy),
            "steps": kind == "step", "accumulates": state.chi.size > 0, "rounds": state.target_step > 0,
        }  # fmt: skip


_ROWS = {"program": PROGRAM, "level": LEVEL, "pulse": PULSE, "drift": DRIFT, "deviation": STD, "appearing": APPEAR}


def _places(state: CellState, behaviour: Behaviour) -> dict[int, dict[str, bool]]:
    """The rows that a device needs, and what their factories are told."""
    places: dict[int, dict[str, bool]] = {PROGRAM: {}} if state.cell_count else {}
    if state.cell_count and not state.verified:
        places[LEVEL] = {}
    if "pulse" in behaviour.own:
        places[SIZED if state.exact else PULSE] = {}
    if "appear" in behaviour.own:
        places[APPEAR] = {}
    for hook, place in (("drift", DRIFT), ("cell_std", STD)):
        if hook in behaviour.own:
            places[place] = {"aims": takes_target(behaviour.hooks[hook])}
    return places


def work_of(fields: int) -> Array:
    """This thread's work arrays; they may be those of one that has ended and had the same number."""
    key = (threading.get_ident(), fields)
    if key not in _work:
        _work[key] = np.zeros(OWN + (fields + 1) * CELL_BLOCK, np.float32)
    return _work[key]


def block_of(kind: str) -> str:
    """What a kind of work does to a block of cells."""
    return "pulse_block" if kind == "step" else f"{kind}_block"


def counted(kind: str, count: int, verified: bool) -> tuple[int, int, int]:
    """Cells written, pulses given and cells read, of what the stages of a kind count."""
    upper, lower = count >> 32, count & 0xFFFFFFFF
    if kind in ("pulse", "mean"):  # pulses, and cells that were set anew
        return upper, lower, 0
    if kind == "step":  # cells that were moved, and those that were read and set anew
        return upper + lower, 0, upper
    if kind == "modify":  # reads, and what the write counts
        return (0, upper, lower) if verified else (upper, 0, lower)
    return (0, count, 0) if kind == "verify" else (count, 0, 0)
