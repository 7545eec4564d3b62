"""What may be wrong with a device that is not the package's own, said before anything runs on it."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import functools
import inspect
import itertools
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np

from noisysim.common.arguments import argument
from noisysim.common.fields import Field, check, declared, nearest
from noisysim.common.identity import RECORD
from noisysim.common.plain_functions import not_one_number
from noisysim.common.source import parsed, reached, source_of
from noisysim.common.texts import one_line
from noisysim.common.user_files import UserError, line_in
from noisysim.devices import field_groups
from noisysim.devices.contract import Device
from noisysim.devices.physics import ideal
from noisysim.devices.resolved import DeviceNumbers

PARAMETERS = {n: tuple(inspect.signature(f).parameters) for n, f in vars(ideal).items() if inspect.isfunction(f)}
"""The hooks a device may define, in the order in which a signal or a change meets them, and what each takes."""
READ_BY_NAME = frozenset(one.name for one in dataclasses.fields(DeviceNumbers))
"""Fields that the chip reads itself, which may hold a word."""
FURTHER = {"drift": "target", "cell_std": "target"}
"""What a hook may take besides, before the device's numbers, if it names it."""
LAWS = ("program_law", "pulse_law", "appear_law", "readout_law", "read_cell_law")
"""Functions that declare mean and standard deviation of what a hook draws."""
WORDS = ("update",)
"""Fields that hold a word, which the write controller reads; a device's other fields are numbers."""
_TYPICAL: dict[str, tuple[float, ...]] = {
    "v": (-1, 0, 1), "i": (-1, 0, 1), "energy": (0, 1e-4), "z": (-1, 0, 1), "u": (0.1, 0.5, 0.9),
    "t": (1e-3, 1, 1e4), "up": (1, -1), "s": (0, 1),
}  # fmt: skip
"""Values at which a hook is tried."""


class DeviceError(UserError):
    """What is wrong with a device that a user wrote, in one line, with file and line number."""


# --- what may be wrong with it --------------------------------------------------------------------------------------


def usage(hook: str) -> str:
    """What a hook takes and gives, as messages say it."""
    alternative = f", or {hook}({', '.join(_with_further(hook))})," if hook in FURTHER else ""
    return f"{hook}({', '.join(PARAMETERS[hook])}){alternative} takes numbers and returns one number"


def _with_further(hook: str) -> tuple[str, ...]:
    return (*PARAMETERS[hook][:-1], FURTHER[hook], PARAMETERS[hook][-1])


def parameter_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """The arguments that a hook takes, by name: those of `PARAMETERS`, or one of `FURTHER` besides."""
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def takes_target(function: Callable[..., Any]) -> bool:
    """Whether a hook asks what the last write of a cell aimed at."""
    return "target" in parameter_names(function)


def ask(function: Callable[..., Any], d: Any, **values: Any) -> Any:
    """What a hook gives, as plain Python, of those values that it takes."""
    return function(*(values[name] for name in parameter_names(function)[:-1]), d)


def place(function: Callable[..., Any]) -> str:
    """``path:line`` of a function."""
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def mistake(function: Callable[..., Any], error: Exception) -> DeviceError:
    """The error for a function of a device's that raised what it did not mean to."""
    plain: Any = inspect.unwrap(function)
    at = line_in(error, plain.__code__.co_filename) or place(plain)
    return DeviceError(f"{at}: {function.__name__} raised {type(error).__name__}: {one_line(error)}")


def check_spelling(module: types.ModuleType, text: str, path: str) -> None:
    """Refuse a function that is not called and whose name is nearly a hook's."""
    known = (*PARAMETERS, "check", "tables", *LAWS)
    tree = parsed(text)
    called = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    for name, value in vars(module).items():
        if not isinstance(value, types.FunctionType) or value.__module__ != module.__name__:
            continue
        if name in called or name in known:
            continue
        if near := _nearly(name, known):
            hint = f" {usage(near)}" if near in PARAMETERS else ""
            line = value.__code__.co_firstlineno
            raise DeviceError(f"{path}:{line}: {name} is no hook; did you mean {near!r}?{hint}")


def _nearly(name: str, known: tuple[str, ...]) -> str | None:
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.75)), None)


def check_class(cls: type, where: Callable[..., str]) -> None:
    """Refuse fields without a usable default, and declarations that point nowhere."""
    for hook in PARAMETERS:
        if isinstance(vars(cls).get(hook), types.FunctionType):
            raise DeviceError(f"{where(cls)}: {hook} is a method of {cls.__name__}; a hook is a function of the module")
    try:
        specs = declared(cls)
    except Exception as error:
        raise DeviceError(f"{where(cls)}: an annotation of {cls.__name__} cannot be read: {one_line(error)}") from None
    for name, spec in specs.items():
        at = where(cls, name)
        if name in RECORD:
            raise DeviceError(f"{at}: a field cannot be called {name!r}, which the record of a run needs")
        if name not in cls._field_defaults:  # type: ignore[attr-defined]
            raise DeviceError(f"{at}: field {name!r} has no default: write {name}: float = 0.0")
        if spec.choices and name not in READ_BY_NAME and name not in WORDS:
            raise DeviceError(f"{at}: field {name!r} holds a word; a device's fields are numbers")
        try:
            check(cls.__name__, name, cls._field_defaults[name], spec)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            raise DeviceError(f"{at}: as a default {error}") from None
        _check_declaration(at, name, spec, specs)


def _check_declaration(at: str, name: str, spec: Field, specs: Mapping[str, Field]) -> None:
    spread = spec.spread
    declarations = [("noise", spec.noise, ("", "read", "write")), ("hook", spec.hook, ("", *PARAMETERS))]
    if spread:
        declarations += [
            *(("spread.by", size, tuple(specs)) for size in spread.sizes()),
            ("spread.law", spread.law, ("normal", "lognormal", "absolute")),
        ]
        declarations += [("spread.of", spread.of, ("cell", "row", "column"))]
    for keyword, value, allowed in declarations:
        if value not in allowed:
            raise DeviceError(
                f"{at}: {keyword}={value!r} of field {name!r} is unknown{nearest(value, filter(None, allowed))}"
            )


def examine(cls: type) -> None:
    """Refuse a device class whose hooks cannot be hooks: another signature, no plain function, no source."""
    module = sys.modules.get(cls.__module__)
    if module is None:
        raise DeviceError(f"the module of device {cls.__name__} is gone: put the device into a file of its own")
    space = vars(module)
    _examine(cls, tuple((hook, space[hook]) for hook in PARAMETERS if callable(space.get(hook))))


def _file_of(cls: type) -> str:
    return getattr(sys.modules[cls.__module__], "__file__", None) or cls.__module__


@functools.cache
def _examine(cls: type, functions: tuple[tuple[str, Any], ...]) -> None:
    for hook, function in functions:
        if not isinstance(function, types.FunctionType):
            raise DeviceError(
                f"{_file_of(cls)}: {hook} must be a plain function, without decorators (it is compiled for you), "
                f"not {type(function).__name__}"
            )
        code = function.__code__
        signatures = [PARAMETERS[hook], _with_further(hook)] if hook in FURTHER else [PARAMETERS[hook]]
        if (
            parameter_names(function) not in signatures
            or code.co_kwonlyargcount
            or code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
        ):
            parameters = ", ".join(map(str, inspect.signature(function, follow_wrapped=False).parameters.values()))
            raise DeviceError(
                f"{place(function)}: not {hook}({parameters}): {usage(hook)}, with these names in this order"
            )
        try:
            for called in reached(function):
                source_of(called)
        except (OSError, TypeError):
            raise DeviceError(
                f"the source of {hook} is not available (was it typed into Python?): put the device into a file and "
                "give its path, " + argument("device='my_chip.py'")
            ) from None


# --- trying its hooks -----------------------------------------------------------------------------------------------


def scalars(device: Device) -> dict[str, np.float32]:
    """What hooks find in a device's fields where nothing is spread: float32 numbers, 0 for a data file or a word."""
    specs = declared(type(device))
    return {n: np.float32(0 if specs[n].file or specs[n].choices else getattr(device, n)) for n in device._fields}


def typical(device: Device, function: Callable[..., Any]) -> Iterator[tuple[np.float32, ...]]:
    """Arguments of a hook, without the device's numbers, that no device should have trouble with."""
    low, high = getattr(device, "g_min", None), getattr(device, "g_max", None)
    g = (0, 1, 25) if low is None or high is None else (low, (low + high) / 2, high)
    at_once = () if getattr(device, "read_time", 0) > 0 else (0,)  # then cells are read right after a write
    values = {**_TYPICAL, "g": g, "target": g, "t": (*at_once, *_TYPICAL["t"])}
    return itertools.product(*(map(np.float32, values[p]) for p in parameter_names(function)[:-1]))


def try_hooks(device: Device, hooks: Mapping[str, Callable[..., Any]]) -> None:
    """Evaluate hooks, as plain Python, at typical values; refuse what is not one finite number.

    Parameters
    ----------
    device : device
    hooks : mapping
        Those that the device defines, by name.
    """
    fields = scalars(device)
    if "adc_range" in fields and fields["adc_range"] == 0:
        fields["adc_range"] = np.float32(1)  # calibrated: a tile's own in the hooks
    d = types.SimpleNamespace(**fields)  # which lets fields be read by name only
    for hook, function in hooks.items():
        before = _global_draws()
        for arguments in typical(device, function):
            try:
                with np.errstate(all="ignore"):
                    value = function(*arguments, d)
                wrong = _wrong(hook, value)
                at = place(function)
            except Exception as error:
                at = line_in(error, function.__code__.co_filename) or place(function)
                wrong = f"raised {type(error).__name__}: {_hint(error, fields)}"
            if wrong:
                values = ", ".join(f"{p}={a:g}" for p, a in zip(parameter_names(function), arguments, strict=False))
                raise DeviceError(f"{at}: {hook} {wrong} at {values}; {usage(hook)}") from None
        if _global_draws() != before and all(_draws(function, typical(device, function), d) for _ in range(3)):
            raise DeviceError(
                f"{place(function)}: {hook} draws random numbers of its own, which no seed of a run decides; what it "
                f"may use is drawn for it (readout has z, normal, and u, uniform): {usage(hook)}"
            )


def _draws(function: Callable[..., Any], cases: Iterator[tuple[np.float32, ...]], d: Any) -> bool:
    """Whether a hook moves the generators of Python or NumPy; asked more than once, as another thread may have."""
    before = _global_draws()
    with np.errstate(all="ignore"):
        for arguments in cases:
            function(*arguments, d)
    return _global_draws() != before


def _global_draws() -> tuple[Any, ...]:
    """Where Python's and NumPy's own generators stand."""
    state: Any = np.random.get_state(legacy=False)["state"]
    return random.getstate(), state["pos"], state["key"].tobytes()


def _hint(error: Exception, fields: Mapping[str, Any]) -> str:
    if isinstance(error, AttributeError) and isinstance(error.obj, types.SimpleNamespace):
        groups = [n for n, group in vars(field_groups).items() if error.name in getattr(group, "_fields", ())]
        from_group = f"; {groups[0]} of noisysim.devices.field_groups has it" if groups else ""
        return f"d has no field {error.name!r}{from_group or nearest(str(error.name), fields)}"
    return one_line(error).replace("types.SimpleNamespace", "d").replace("SimpleNamespace", "d")


def _wrong(hook: str, value: object) -> str:
    """What is wrong with a value that a hook returned; "" if nothing is."""
    fault = not_one_number(value)
    if fault or hook != "jump":
        return fault
    number = float(cast("float", value))
    whole = number.is_integer() and 0 <= number <= 255
    return "" if whole else f"returned {number:g}, not a whole number from 0 to 255,"
