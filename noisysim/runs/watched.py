"""Parts of a run that a user wrote, checked during their first calls: a resumed run must be the same run.

What such a part learns, or draws, has to be where a checkpoint finds it. Each of the first updates is therefore done
once more, from copies of its arguments with memory as a checkpoint gives it back: the same bits must come out, and
nothing outside of the state may have changed. The package's own parts are not checked.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from noisysim.common import identity
from noisysim.common.array_types import is_array
from noisysim.common.types import Array
from noisysim.compute import backends, layered
from noisysim.compute.layered import Layered
from noisysim.compute.observation import Drive, Observation
from noisysim.learners import State, memory

UPDATES = 3
"""Calls that are checked: the first fills memory, the second finds what is left in ``state.work``."""
LARGEST = 1 << 30
"""Bytes of observations above which an update is not done twice."""
_WHERE = {
    "learner": "what an update leaves behind belongs in state.memory",
    "optimizer": "what an update leaves behind belongs in the state that init and update return",
    "diagnostic": "a diagnostic keeps nothing from one look to the next",
}
_SEEDED = {
    "learner": ": make a generator of the state, np.random.default_rng([*state.key.ravel().tolist(), state.step])",
    "optimizer": ": keep the state of a generator of its own in what init and update return",
    "diagnostic": "",
}
_CALLS = ("init", "drives", "update", "measure")


def watched(kind: str, part: Any, stand_in: Any = None) -> Any:
    """A part of a run, checked if a user wrote it.

    Parameters
    ----------
    kind : {"learner", "optimizer", "diagnostic"}
    part : object
    stand_in : object, optional
        What stands for the part in the run, such as `noisysim.learners.apart.Apart` of it.
    """
    used = part if stand_in is None else stand_in
    return Watched(kind, part, used) if identity.is_outside(type(part).__module__) else used


class Watched:
    """Stands for a part until its first updates are over, and hands its calls on after that (`watched`)."""

    def __init__(self, kind: str, part: Any, used: Any):
        self._kind, self._part, self._used = kind, part, used
        self._title, self._checks_left = f"{kind} {part.name!r}", UPDATES
        self._begun: Callable[[], tuple[Any, State]] | None = None  # what gives a learner's drives and state again

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._used, name)
        if name not in _CALLS or not self._checks_left:
            return value
        return lambda *arguments, **named: self._call(name, value, arguments, named)

    def _call(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        repeat = self._repetition(name, function, arguments, named)
        before, draws = self._stands(), _draws()
        result = function(*arguments, **named)
        moved = _draws() != draws
        if (self._kind, name) == ("optimizer", "update") and not (isinstance(result, tuple) and len(result) == 2):
            raise TypeError(f"update of {self._title} must end with: return changes, state")
        self._check_changes(name, before)
        self._check_memory(name, result)
        if repeat is not None:
            self._check_repetition(name, repeat, _plain(result), moved)
        if name in ("update", "measure"):
            self._checks_left -= 1
        return result

    def _repetition(
        self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> Callable[[], Any] | None:
        """What repeats a call, with its arguments as they are now; ``None`` where they are too large to be kept."""
        if _size(arguments) > LARGEST:
            return None
        copies = [_copied(a) for a in arguments]
        named_copies = {n: _copied(a) for n, a in named.items() if n != "out"}
        if name == "drives":
            self._begun = lambda: _with_state(function, copies)
            return lambda: _with_state(function, copies)[0]
        if name == "update" and self._begun is not None:  # what drives leave in state.work is there in update
            begun, self._begun = self._begun, None
            return lambda: function(begun()[1], *map(_copied, copies[1:]), **named_copies)
        return lambda: function(*map(_copied, copies), **named_copies)

    def _stands(self) -> dict[str, str]:
        """What the part's code reads, and its attributes, by name."""
        attributes = {f"self.{name}": digest for name, digest in identity.attributes_of(self._part).items()}
        return {**identity.code_of(type(self._part)), **attributes}

    def _check_changes(self, name: str, before: dict[str, str]) -> None:
        after = self._stands()
        if changed := [n for n in {**before, **after} if before.get(n) != after.get(n)]:
            raise ValueError(
                f"{self._title} changes {', '.join(sorted(changed))} in {name}, which no checkpoint holds: "
                f"{_WHERE[self._kind]}"
            )

    def _check_memory(self, name: str, result: object) -> None:
        state = result if name == "init" else result[1] if name == "update" and isinstance(result, tuple) else None
        if isinstance(state, State):
            memory.check(f"state.memory of {self._title}", state.memory)
        elif state is not None:
            memory.check(f"the state of {self._title}", state)

    def _check_repetition(self, name: str, repeat: Callable[[], Any], result: object, moved: bool) -> None:
        """Call it again; more than once if a generator moved, which another thread may have done."""
        for _ in range(3):
            draws = _draws()
            repeated = _plain(repeat())
            moved = moved and _draws() != draws
            if not moved:
                break
        if moved:
            raise ValueError(
                f"{self._title} draws from Python's or NumPy's global generator in {name}, which no seed of a run "
                f"decides{_SEEDED[self._kind]}"
            )
        if repeated != result:
            raise ValueError(
                f"{self._title} gives something else when {name} is called once more with the same arguments, its "
                "memory as a checkpoint gives it back and state.work empty: it depends on what no checkpoint holds "
                f"(state.work, a file, the time, numbers drawn without a seed); {_WHERE[self._kind]}"
            )


def _draws() -> tuple[Any, ...]:
    """Where Python's and NumPy's own generators stand."""
    state: Any = np.random.get_state(legacy=False)
    return random.getstate(), state["state"]["pos"], state["state"]["key"].tobytes()


# --- once more ------------------------------------------------------------------------------------------------------


def _with_state(function: Callable[..., Any], arguments: list[Any]) -> tuple[Any, Any]:
    """A learner's drives from copies of a state and what else it is given, and that state after them."""
    state, *further = map(_copied, arguments)
    return function(state, *further), state


def _copied(value: Any) -> Any:
    """An argument, with arrays of its own; of a state the memory as a checkpoint gives it back."""
    if isinstance(value, State):
        return dataclasses.replace(value, memory=_restored(value.memory, value.xp), work={})
    if isinstance(value, Layered):
        copy = layered.empty(value.shapes, backends.backend_of(value.flat).xp)
        copy.flat[...] = value.flat
        return copy
    if isinstance(value, Observation):
        copies = {f.name: _copied(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if value.output is value.activities[-1]:
            copies["output"] = copies["activities"][-1]
        return dataclasses.replace(value, **copies)
    if isinstance(value, dict):
        return _restored(value, next((backends.backend_of(a).xp for a in value.values() if is_array(a)), np))
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # such as a loss, which stays one
        return type(value)(*map(_copied, value))
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value.copy(order="K") if is_array(value) else value


def _restored(remembered: Any, xp: Any) -> Any:
    """A memory after its way through a file; one that a file cannot hold, which is refused elsewhere, as it is."""
    try:
        memory.check("", remembered)
    except (TypeError, ValueError):
        return remembered
    return memory.decoded(memory.encoded(remembered, _on_host), xp.asarray, remembered)


def _on_host(array: Array) -> Array:
    copy: Array = backends.backend_of(array).take(array).copy(order="K")
    return copy


def _plain(value: object) -> Any:
    """A result in values that are equal if all bits are."""
    if isinstance(value, State):
        return _plain([value.memory, value.sigmas, value.step])
    if isinstance(value, Drive):
        return [_plain(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if is_array(value):
        array = backends.backend_of(value).take(value)
        return array.dtype.str, array.shape, array.tobytes()
    return repr(value)


def _size(value: object) -> int:
    """Bytes of the arrays in an argument."""
    if isinstance(value, Observation):
        return sum(_size(getattr(value, f.name)) for f in dataclasses.fields(value))
    if isinstance(value, (list, tuple)):
        return sum(map(_size, value))
    return getattr(value, "nbytes", 0)
