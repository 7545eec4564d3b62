"""What plain functions read, found from their source: arguments, globals, attributes.

Used unless proven unused. Opcodes differ from one Python to the next (3.13 fuses them, closures have their own), so
nothing here looks at any, nor at symbol tables (3.12 drops what comprehensions read): names are those of the syntax
tree. A source is believed if it compiles to the function's code; of a function without such a source everything counts
as read. Standard library alone, so that every Python can run it.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import threading
import types
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

SOURCE = "__device_source__"
"""The global under which a module that was made from a user's file keeps its text."""
REFLECTIVE = {"locals", "vars", "eval", "exec", "dir", "f_locals"}
"""What reads names that the source does not show."""


class Reading(NamedTuple):
    """What the source of a function says it reads, functions written inside it included.

    Attributes
    ----------
    variables : frozenset of str
        Names of any kind: arguments among them.
    names : frozenset of str
        Globals and built-ins.
    attributes : frozenset of str
        Attributes of anything.
    """

    variables: frozenset[str]
    names: frozenset[str]
    attributes: frozenset[str]


_parsing = threading.Lock()


def parsed(text: str) -> ast.Module:
    """A syntax tree, one at a time.

    Python's parser may count its depth for all threads together, as that of 3.11.7 does, and then fails where two of
    them parse at once.
    """
    with _parsing:
        return ast.parse(text)


def literal(text: str) -> Any:
    """The value of a text such as ``"[1, 2.5]"``, which is parsed as well."""
    with _parsing:
        return ast.literal_eval(text)


def text_of_class(cls: type) -> str:
    """The text of a class, which is found by parsing its file; OSError of one that has none."""
    with _parsing:
        return inspect.getsource(cls)


def source_of(function: Callable[..., Any]) -> str:
    """The text of a function; of one from a user's device file as it was executed, whatever the file holds by now."""
    if SOURCE not in function.__globals__:
        return inspect.getsource(function.__code__)  # of a function with ``__wrapped__`` inspect takes that one's
    return "".join(inspect.getblock(_lines(function)[function.__code__.co_firstlineno - 1 :]))


def is_current(function: Callable[..., Any]) -> bool:
    """Whether the file where a function stands still holds it: `source_of` may give what was written there since."""
    try:
        codes = _compiled("".join(_lines(function)))[1]
    except (OSError, TypeError, ValueError, SyntaxError, RecursionError):
        return False
    code = function.__code__  # flags differ with the imports from __future__ of other cells of a notebook
    return any(code.replace(co_flags=other.co_flags) == other for other in codes)


def _lines(function: Callable[..., Any]) -> list[str]:
    """The lines of the file that a function stands in."""
    text = function.__globals__.get(SOURCE)
    return inspect.findsource(function.__code__)[0] if text is None else text.splitlines(keepends=True)


def uses(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function may read one of its arguments (where it cannot, nothing is drawn for it)."""
    reading = _reading(function)
    if reading is None or argument in reading.variables:
        return True
    called = {getattr(function.__globals__.get(name), "__name__", name) for name in reading.names}  # under any name
    return bool((called | reading.attributes) & REFLECTIVE)


def names(function: Callable[..., Any]) -> set[str]:
    """Names of the globals and built-ins that a plain function reads (an attribute such as ``np.tanh`` is none)."""
    reading = _reading(function)
    if reading is None:  # attributes too; one of its own name is not taken for the function itself
        found = {name for code in _codes(function.__code__) for name in code.co_names}
        return {name for name in found if function.__globals__.get(name) is not function}
    return set(reading.names)


def dependencies(function: Callable[..., Any]) -> dict[str, Any]:
    """The globals that a plain function reads, by name."""
    return {n: function.__globals__[n] for n in names(function) if n in function.__globals__}


def built_in(function: Callable[..., Any]) -> set[str]:
    """Names of the built-in functions that a plain function calls."""
    return {n for n in names(function) if n not in function.__globals__ and hasattr(builtins, n)}


def attributes(*functions: Callable[..., Any]) -> set[str]:
    """Names of all attributes that plain functions, and the plain functions they call, read of anything.

    Strings count too: they may be names for ``getattr``.
    """
    read: set[str] = set()
    for function in reached(*functions):
        reading = _reading(function)
        for code in _codes(function.__code__):
            read.update(_strings(code.co_consts))  # as the compiler has put them together
            read.update(code.co_names if reading is None else ())
        read.update(reading.attributes if reading else ())
    return read


def attributes_of(function: Callable[..., Any]) -> list[str]:
    """Names of all attributes that a plain function itself reads of anything, in order."""
    reading = _reading(function)
    if reading is None:
        return sorted({name for code in _codes(function.__code__) for name in code.co_names})
    return sorted(reading.attributes)


def reached(*functions: Callable[..., Any]) -> set[Callable[..., Any]]:
    """Plain functions, and the plain functions that they may call."""
    seen: set[Callable[..., Any]] = set()
    pending = list(functions)
    while pending:
        function = pending.pop()
        if function not in seen:
            seen.add(function)
            pending += [value for value in _within_reach(function) if isinstance(value, types.FunctionType)]
    return seen


def _within_reach(function: Callable[..., Any]) -> Iterator[Any]:
    """What a function finds in its globals, its closure and its defaults."""
    yield from dependencies(function).values()
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        yield cell.cell_contents


def _strings(value: object) -> Iterator[str]:
    """The strings in a constant."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (tuple, frozenset)):
        for item in value:
            yield from _strings(item)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code, and that of the functions written inside it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _codes(inner)


# --- from source to reading -----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _reading(function: Callable[..., Any]) -> Reading | None:
    """What the source of a function says; None where there is none, or none that is this function's."""
    code = function.__code__
    try:
        lines = _lines(function)
        nodes, codes = _compiled("".join(lines))
    except (OSError, TypeError, ValueError, SyntaxError, RecursionError):
        return None
    if code not in codes:  # the file was edited since, or is not what was compiled
        return None
    kind = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    readings = [_understood(n) for n in nodes if isinstance(n, kind) and _first_line(n) == code.co_firstlineno]
    if not readings:
        return None
    return Reading(*(frozenset().union(*parts) for parts in zip(*readings, strict=True)))  # of lambdas on one line: all


@lru_cache(maxsize=64)
def _compiled(text: str) -> tuple[list[ast.FunctionDef | ast.Lambda], frozenset[types.CodeType]]:
    """The functions of a file, as syntax trees and as codes; two codes are equal wherever their files are."""
    nodes = [node for node in ast.walk(parsed(text)) if isinstance(node, (ast.FunctionDef, ast.Lambda))]
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as cells of a notebook have it
    code = compile(text, "<source>", "exec", flags, dont_inherit=True)
    return nodes, frozenset(_codes(code))


def _first_line(node: ast.FunctionDef | ast.Lambda) -> int:
    """Where the code of a function begins: at its first decorator."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _understood(node: ast.FunctionDef | ast.Lambda) -> Reading:
    """What a function of a syntax tree reads; a name that something inside it binds anew counts all the same."""
    variables, read = set(), set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
            variables.add(inner.id)
        elif isinstance(inner, ast.AugAssign) and isinstance(inner.target, ast.Name):
            variables.add(inner.target.id)
        elif isinstance(inner, ast.Attribute):
            read.add(inner.attr)
    return Reading(frozenset(variables), frozenset(variables - _bound(node)), frozenset(read))


def _bound(node: ast.FunctionDef | ast.Lambda) -> set[str]:
    """Names that are local to a function: its arguments, and what its own statements assign to."""
    arguments = node.args
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    bound, open_names = {argument.arg for argument in plain if argument}, set()
    pending: list[ast.AST] = list(node.body) if isinstance(node, ast.FunctionDef) else []
    while pending:
        inner = pending.pop()
        if isinstance(inner, ast.Global):
            open_names.update(inner.names)
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            bound.add(inner.id)
        if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
            bound.add(inner.name)
        elif not isinstance(inner, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            pending += ast.iter_child_nodes(inner)  # those have names of their own
    return bound - open_names
