"""The message about a hook or an activation function that a compiler refuses: one line, with its file and line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numba

from noisysim import devices
from noisysim.common.user_files import UserError
from noisysim.compute import backends
from noisysim.compute.jit.compiling import scalar
from noisysim.devices.contract import Device
from noisysim.devices.files import DeviceError, parameter_names, place, scalars, usage
from noisysim.networks import activations


def compiled(device: Device, hook: str, function: Callable[..., Any]) -> Any:
    """A hook compiled by itself, for float32 numbers.

    Raises
    ------
    DeviceError
        If numba cannot, or what it returns is not a number: with file, line and the first thing that numba says.
    """
    numbers_type = numba.typeof(type(device)(**scalars(device)))  # type: ignore[no-untyped-call]
    try:
        return _alone(function, (numba.float32,) * (len(parameter_names(function)) - 1) + (numbers_type,), hook)
    except UserError as refusal:
        raise DeviceError(f"{refusal}; {usage(hook)}") from None


def explain(
    device: Device, error: BaseException, backend: str = "cpu", kinds: Iterable[activations.Activation] = ()
) -> BaseException:
    """What to raise where the loops of a device, and of activation functions of these kinds, failed with `error`.

    Returns
    -------
    BaseException
        A `DeviceError` for the first of the device's hooks that cannot be compiled by itself, with file, line and what
        a hook takes, or a `UserError` for the first such activation function; where everything can, `error` itself, or
        for a GPU what its compiler says.
    """
    if isinstance(error, UserError):
        return error
    functions, defined = devices.hooks(device), devices.own_hooks(device)
    own_functions = {hook: functions[hook] for hook in devices.HOOKS if hook in defined}
    for hook, function in own_functions.items():
        try:
            compiled(device, hook, function)
        except DeviceError as refusal:
            return refusal
    for kind in kinds:
        if (refused := explain_activation(kind, error)) is not error:
            return refused
    expected = isinstance(error, (numba.core.errors.NumbaError, KeyError))  # a key: of a function that CUDA lacks
    expected = expected or type(error).__name__ == "NvvmError"
    if own_functions and expected and not backends.get(backend).HOST_MEMORY:
        path, _, reason = _useful(next(iter(own_functions.values())), str(error))
        return DeviceError(f"{path}: a hook cannot be compiled for a GPU, though it can for the CPU: {reason}")
    return error


def explain_activation(spec: str | activations.Activation, error: BaseException) -> BaseException:
    """What to raise where loops over an activation function, or its slope, failed with `error`: see `explain`."""
    kind = activations.get(spec)
    for function in (kind.value, kind.slope):
        try:
            _alone(function, (numba.float32,), f"activation {kind.name!r}")
        except UserError as refusal:
            return refusal
    return error


def _alone(function: Callable[..., Any], types: tuple[Any, ...], name: str) -> Any:
    """A user's function compiled by itself; a `UserError` if it cannot be, or does not return a number."""
    try:
        dispatcher: Any = scalar(function)
        if not hasattr(dispatcher, "compile"):  # NUMBA_DISABLE_JIT
            return dispatcher
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dispatcher.compile(types)
    except Exception as error:
        path, line, reason = _useful(function, str(error))
        raise UserError(f"{path}:{line}: {name} cannot be compiled: {reason}") from None
    returned = dispatcher.nopython_signatures[0].return_type
    if not isinstance(returned, (numba.types.Number, numba.types.Boolean)):
        raise UserError(f"{place(function)}: {name} returns {returned} when compiled")
    return dispatcher


_NOISE = re.compile(r"Failed in|Internal error|- Resolution failure|During|File |Overload|There are|\^|def |$")


def _useful(function: Callable[..., Any], message: str) -> tuple[str, int, str]:
    """File, line and the first line that tells something of a compiler's message."""
    path, line = function.__code__.co_filename, function.__code__.co_firstlineno
    lines = [re.sub("\x1b\\[[0-9;]*m", "", text).strip() for text in message.splitlines()]
    for match in re.finditer(r'File "([^"]+)", line (\d+)', "\n".join(lines)):
        if Path(match[1]).name == Path(path).name:
            line = int(match[2])
            break
    at = next((k for k, text in enumerate(lines) if not _NOISE.match(text)), None)
    if at is None:
        return path, line, "numba gives no reason"
    reason = lines[at]
    if reason.endswith(":"):
        reason += " " + next((text.removeprefix(">>> ") for text in lines[at + 1 :] if text), "")
    return path, line, reason
