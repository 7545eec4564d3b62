"""The defaults of a device file, read from its source: nothing of a record is executed to show it."""

from __future__ import annotations

import ast
from typing import Any

from noisysim.common.source import parsed
from noisysim.devices import field_groups


def read(source: str) -> dict[str, Any]:
    """The values that fields of a device have unless they are set, as far as the source says them as literals.

    Parameters
    ----------
    source : str
        Of a device file, as a run records it.

    Returns
    -------
    dict
        By name of the field. What is computed, or comes from elsewhere than the package's groups of fields, is not in
        it.

    Examples
    --------
    >>> read("class My(NamedTuple):\\n    duty: float = 0.1\\n    amplitude: float = 2 * pi")
    {'duty': 0.1}
    """
    try:
        body = parsed(source).body
    except (SyntaxError, ValueError):  # of a device that was no file the record is no source
        return {}
    classes = {one.name: one for one in body if isinstance(one, ast.ClassDef)}
    found: dict[str, Any] = {}
    for one in classes.values():
        for base in reversed([_name(base) for base in one.bases]):
            group = None if base in classes else getattr(field_groups, base, None)
            found.update(getattr(group, "_field_defaults", {}))
        for statement in one.body:
            found.update(_set(statement))
    return found


def _name(node: ast.expr) -> str:
    """The last name of a dotted one."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _set(statement: ast.stmt) -> dict[str, Any]:
    """The field that a line of a class gives a value, if that is a literal."""
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
        return {}
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    try:
        value = ast.literal_eval(statement.value)
    except ValueError:
        return {}
    return {target.id: value for target in targets if isinstance(target, ast.Name)}
