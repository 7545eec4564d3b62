"""How messages name an argument: as Python writes it, or as the flag that it is on the command line.

Messages write arguments for Python, ``f"say {argument('overwrite=True')}"``. While a command of the command line is
carried out (`as_flags`), those of them that are flags of this command become flags: ``"say --overwrite"``.
"""

from __future__ import annotations

import contextlib
import shlex
import types
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import NamedTuple

from noisysim.common.source import literal

FUNCTIONS = ("run", "resume", "retention", "sweep", "tune", "deploy", "reproduce")
"""Functions whose arguments messages name with the function, ``run.epochs``."""


class Flag(NamedTuple):
    """What an argument is on the command line: ``--bias``, and where it is a switch ``--no-bias``, or ``""``."""

    name: str
    negative: str = ""


_flags: ContextVar[Mapping[str, Flag]] = ContextVar("flags", default=types.MappingProxyType({}))


@contextlib.contextmanager
def as_flags(flags: Mapping[str, Flag]) -> Iterator[None]:
    """In this block messages name these arguments by their flags."""
    token = _flags.set(flags)
    try:
        yield
    finally:
        _flags.reset(token)


def argument(text: str) -> str:
    """An argument as the reader of a message writes it.

    Parameters
    ----------
    text : str
        As Python writes it: a name, perhaps with the function (`FUNCTIONS`), perhaps with a value.

    Returns
    -------
    str
        The same text, or a flag with its value as words of a shell; without one where only Python has it, as arrays.

    Examples
    --------
    >>> argument("run.layers=[8, 4]")
    'run.layers=[8, 4]'
    >>> with as_flags({"layers": Flag("--layers"), "bias": Flag("--bias", "--no-bias")}):
    ...     argument("run.layers=[8, 4]"), argument("bias=False"), argument("seed=1")
    ('--layers 8 4', '--no-bias', 'seed=1')
    """
    name, _, value = text.partition("=")
    function, _, bare = name.rpartition(".")
    flag = _flags.get().get(bare) if function in ("", *FUNCTIONS) else None
    if flag is None:
        return text
    return " ".join([flag.name, *_words(value)]) if value != "False" else flag.negative or f"{flag.name} False"


def _words(value: str) -> list[str]:
    """A value as words; none for True, which a flag alone says, and for what no words can say."""
    try:
        read = literal(value)
    except (ValueError, SyntaxError):
        return []
    if read is True or read is ...:
        return []
    return [shlex.quote(str(one)) for one in (read if isinstance(read, list) else [read])]
