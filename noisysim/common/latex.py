"""Plain text as LaTeX."""

from __future__ import annotations

_SIGNS = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "µ": r"\textmu{}", "±": r"$\pm$", "×": r"$\times$", "–": "--",
    "\N{NO-BREAK SPACE}": "~",
}  # fmt: skip


def escaped(text: object) -> str:
    r"""A text in which LaTeX finds no commands; what its fonts lack is written as a command.

    Examples
    --------
    >>> escaped("danp:samples=4, 5 % of g_max")
    'danp:samples=4, 5 \\% of g\\_max'
    """
    return "".join(_SIGNS.get(sign, sign) for sign in str(text))
