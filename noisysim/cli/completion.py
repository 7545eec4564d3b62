"""The command that prints what makes a shell complete commands, flags and names."""

from __future__ import annotations

import contextlib
import re
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import cyclopts

from noisysim import devices, learners, tasks
from noisysim.chip import diagnostics
from noisysim.cli.app import app
from noisysim.compute import losses
from noisysim.learners import optimizers
from noisysim.networks import activations, layers
from noisysim.runs import callbacks, schedules


def _reproductions() -> list[str]:
    from noisysim import papers

    return list(papers.names())


Known = Callable[[], Iterable[str]]
"""What gives the names that an argument takes."""
BY_ARGUMENT: dict[str, Known] = {
    "device": devices.REGISTRY.known, "learner": learners.names, "task": tasks.names, "layers": layers.names,
    "optimizer": optimizers.names, "activation": activations.names, "loss": losses.names,
    "diagnostics": diagnostics.names, "schedule": schedules.names, "callbacks": callbacks.names,
}  # fmt: skip
"""Names that arguments of these names take, in every command."""
BY_COMMAND: dict[tuple[str, ...], Known] = {
    ("devices",): devices.REGISTRY.known, ("devices", "show"): devices.REGISTRY.known, ("learners",): learners.names,
    ("tasks",): tasks.names, ("optimizers",): optimizers.names, ("activations",): activations.names,
    ("losses",): losses.names, ("diagnostics",): diagnostics.names, ("schedules",): schedules.names,
    ("callbacks",): callbacks.names, ("reproduce",): _reproductions,
}  # fmt: skip
"""Names that these commands take as their first argument, ``name`` or ``names``."""


@app.command(name="completion")
def print_completion(shell: Literal["bash", "zsh", "fish"]) -> None:
    """Print a script that makes a shell complete commands, flags, and the names of devices, learners and other parts.

    For bash ``noisysim completion bash > ~/.local/share/bash-completion/completions/noisysim``, for zsh
    ``noisysim completion zsh > DIRECTORY/_noisysim`` with a directory of ``$fpath``, for fish
    ``noisysim completion fish > ~/.config/fish/completions/noisysim.fish``. The names are those that there are now:
    print it again when packages with parts of their own were installed.

    Parameters
    ----------
    shell : str
        Whose script.
    """
    with _names_declared():
        script = app.generate_completion(shell=shell)
    print(script.rstrip() + _registration(shell, script))


def _registration(shell: str, script: str) -> str:
    """What makes a shell use the script's function, in addition to what the script says."""
    if shell == "bash":  # files where there are no names
        return "\ncomplete -o bashdefault -o default -F _noisysim noisysim"
    if shell == "fish":
        return ""
    function = re.findall(r"^(_\w+)\(\)", script, re.MULTILINE)[-1]
    return f"""
if [[ $funcstack[1] == _noisysim ]]; then  # a file of $fpath
  {function} "$@"
else  # sourced
  compdef {function} noisysim
fi"""


@contextlib.contextmanager
def _names_declared() -> Iterator[None]:
    """In this block the arguments of commands declare the names that they take.

    Elsewhere they are any text: a file's path and settings are taken as well, and to look for the names takes time
    that no other command should.
    """
    functions = list(_functions(app, ()))
    before = [dict(function.__annotations__) for _, function in functions]
    try:
        for path, function in functions:
            for argument, hint in get_type_hints(function, include_extras=True).items():
                known = BY_COMMAND.get(path) if argument in ("name", "names") else BY_ARGUMENT.get(argument)
                if known is not None:
                    function.__annotations__[argument] = _with_names(hint, list(known()))
        yield
    finally:
        for (_, function), annotations in zip(functions, before, strict=True):
            function.__annotations__ = annotations


def _functions(command: cyclopts.App, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The functions of a command and of those below it, with the words that call them."""
    if command.default_command is not None:
        yield path, command.default_command
    for name in command:
        if not name.startswith("-"):
            yield from _functions(command[name], (*path, name))


def _with_names(hint: object, names: list[str]) -> Any:
    """The type of an argument of texts, narrowed to names; what it says of itself besides stays."""
    kind: Any = next(one for one in (*get_args(hint), hint) if one is not type(None)) if _is_union(hint) else hint
    metadata = getattr(kind, "__metadata__", ())
    text: Any = Literal[tuple(names)]
    several = metadata and kind.__origin__ == list[str]
    parts = (list[text] if several else text, *metadata, cyclopts.Parameter(show_choices=False))
    return Annotated[parts]


def _is_union(hint: object) -> bool:
    return get_origin(hint) in (Union, types.UnionType)
