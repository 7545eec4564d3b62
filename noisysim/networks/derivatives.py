"""Derivatives of plain functions of one number, found from their source.

Forward-mode differentiation, written out as source: beside every variable ``x`` of a function goes its derivative, and
every assignment is preceded by that of the derivative (Griewank and Walther, Evaluating Derivatives, 2008, chapter 3).
Branches and loops stay what they are, so the derivative of ``a if a > 0 else b`` is that of the branch taken. What it
gives is a plain function like any other: it is compiled into the loops, for CPU and GPU.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
import types
from typing import Any

import numpy as np

from noisysim.common.plain_functions import cache_by_behaviour
from noisysim.common.source import SOURCE, dependencies, is_current, parsed, source_of
from noisysim.common.user_files import UserError

_RULES: dict[str, str] = {
    "exp": "{f} * {du}",
    "expm1": "({f} + 1.0) * {du}",
    "exp2": f"{math.log(2)!r} * {{f}} * {{du}}",
    "log": "{du} / {u}",
    "log1p": "{du} / (1.0 + {u})",
    "log2": f"{1 / math.log(2)!r} * {{du}} / {{u}}",
    "log10": f"{1 / math.log(10)!r} * {{du}} / {{u}}",
    "sqrt": "0.5 * {du} / {f}",
    "cbrt": "{du} / (3.0 * {f} * {f})",
    "square": "2.0 * {u} * {du}",
    "reciprocal": "-{f} * {f} * {du}",
    "sin": "{m}.cos({u}) * {du}",
    "cos": "-{m}.sin({u}) * {du}",
    "tan": "(1.0 + {f} * {f}) * {du}",
    "sinh": "{m}.cosh({u}) * {du}",
    "cosh": "{m}.sinh({u}) * {du}",
    "tanh": "(1.0 - {f} * {f}) * {du}",
    "arctan": "{du} / (1.0 + {u} * {u})",
    "arcsinh": "{du} / {m}.sqrt(1.0 + {u} * {u})",
    "erf": f"{2 / math.sqrt(math.pi)!r} * {{m}}.exp(-{{u}} * {{u}}) * {{du}}",
    "erfc": f"{-2 / math.sqrt(math.pi)!r} * {{m}}.exp(-{{u}} * {{u}}) * {{du}}",
    "abs": "({du} if {u} > 0 else (-{du} if {u} < 0 else 0.0))",
    "float": "{du}",
    "sign": "0.0",
    "maximum": "({du} if {u} >= {v} else {dv})",
    "minimum": "({du} if {u} <= {v} else {dv})",
    "logaddexp": "{m}.exp({u} - {f}) * {du} + {m}.exp({v} - {f}) * {dv}",
    "negative": "-{du}",
}
"""Derivatives of functions, of arguments u and v with derivatives du and dv; f is the call itself, m its module."""
_SAME = {
    "atan": "arctan", "asinh": "arcsinh", "absolute": "abs", "fabs": "abs", "max": "maximum", "min": "minimum",
    "fmax": "maximum", "fmin": "minimum", "float32": "float", "float64": "float", "positive": "float",
    "floor": "sign", "ceil": "sign", "trunc": "sign", "rint": "sign", "round": "sign", "int": "sign", "bool": "sign",
    "power": "pow",
}  # fmt: skip
"""Other names of these functions, and of such as have the same derivative."""
_MODULES = (np, math)
_FLAT = (ast.Constant, ast.Compare)
"""Expressions that do not change where they have a derivative."""


@cache_by_behaviour
def derivative(function: types.FunctionType) -> types.FunctionType:
    """The derivative of a plain function of one number, a plain function too.

    Parameters
    ----------
    function : function
        Of one number: assignments, branches and loops over arithmetic, functions of `math` and NumPy that take one
        number, and plain functions of the user's own that are made of these.

    Returns
    -------
    function
        Called ``NAME_slope``. Where the function has a kink it gives the slope of the branch that is taken.

    Raises
    ------
    UserError
        Naming the line, and what in it has no derivative here.

    Examples
    --------
    >>> import numpy as np
    >>> def softplus(a):
    ...     return np.log1p(np.exp(a))
    >>> float(derivative(softplus)(0.0))
    0.5
    """
    space: dict[str, Any] = {}
    _Function(function, space, {}).write(f"{function.__name__}_slope", seeded=True)
    made: types.FunctionType = space[f"{function.__name__}_slope"]
    return made


class _Function:
    """One function whose derivative is written.

    Parameters
    ----------
    function : function
    space : dict
        Namespace in which derivatives are made.
    written : dict
        Functions whose derivatives are in it, and their names there.
    """

    def __init__(self, function: types.FunctionType, space: dict[str, Any], written: dict[Any, str]):
        self.function, self.space, self.written = function, space, written
        tree = parsed(textwrap.dedent(self._text())).body[0]
        if not isinstance(tree, ast.FunctionDef):
            raise UserError(f"{self._where()}: {function.__name__} is not written with def: give its derivative")
        self.tree = tree
        self.arguments = [argument.arg for argument in (*tree.args.posonlyargs, *tree.args.args)]
        stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        self.variables = {*self.arguments, *stored}
        closed = inspect.getclosurevars(function).nonlocals
        if walrus := next((node for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)), None):
            raise self._refused(walrus)
        self.globals: dict[str, Any] = {**dependencies(function), **closed}
        for name, value in self.globals.items():
            if space.setdefault(name, value) is not value:
                raise UserError(f"{self._where()}: {name} stands for two things in functions that call each other")

    def write(self, name: str, *, seeded: bool) -> None:
        """Make the function NAME(a, da), or if `seeded` NAME(a) with da = 1, in float64: exp(-a) then has room."""
        self.written[self.function] = name
        arguments = self.arguments if seeded else [*self.arguments, *map(_d, self.arguments)]
        lines = []
        for argument in self.arguments if seeded else []:
            lines += [f"    {argument} = float({argument})", f"    {_d(argument)} = 1.0"]
        lines += textwrap.indent("\n".join(self._block(self.tree.body)), "    ").splitlines()
        text = f"def {name}({', '.join(arguments)}):\n" + "\n".join(lines) + "\n"
        space = {**self.space, SOURCE: text, "__name__": self.function.__module__}
        exec(compile(text, f"<derivative of {self.function.__name__}>", "exec", dont_inherit=True), space)
        self.space[name] = space[name]

    # -- statements ------------------------------------------------------------------------------------------------

    def _block(self, body: list[ast.stmt]) -> list[str]:
        return [line for statement in body for line in self._statement(statement)] or ["pass"]

    def _statement(self, statement: ast.stmt) -> list[str]:
        """The lines that stand for a statement."""
        if isinstance(statement, ast.Return) and statement.value is not None:
            return [f"return {self._of(statement.value) or '0.0'}"]
        if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            return self._assignment(statement)
        if isinstance(statement, (ast.If, ast.While)):
            head = "if" if isinstance(statement, ast.If) else "while"
            lines = [f"{head} {ast.unparse(statement.test)}:", *_indented(self._block(statement.body))]
            return lines + (["else:", *_indented(self._block(statement.orelse))] if statement.orelse else [])
        if isinstance(statement, ast.For) and isinstance(statement.target, ast.Name) and not statement.orelse:
            head = f"for {statement.target.id} in {ast.unparse(statement.iter)}:"
            return [head, *_indented([f"{_d(statement.target.id)} = 0.0", *self._block(statement.body)])]
        if isinstance(statement, (ast.Pass, ast.Break, ast.Continue)):
            return [ast.unparse(statement)]
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):  # a docstring
            return []
        raise self._refused(statement)

    def _assignment(self, statement: ast.Assign | ast.AnnAssign | ast.AugAssign) -> list[str]:
        """The derivative's assignment, which reads what stood before, and then the variable's."""
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        value = statement.value
        if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None:
            raise self._refused(statement)
        name = targets[0].id
        if isinstance(statement, ast.AugAssign):
            value = ast.copy_location(ast.BinOp(ast.Name(name, ast.Load()), statement.op, value), statement)
        return [f"{_d(name)} = {self._of(value) or '0.0'}", f"{name} = {ast.unparse(value)}"]

    # -- expressions -----------------------------------------------------------------------------------------------

    def _of(self, node: ast.expr) -> str:
        """The text of an expression's derivative; "" where it is 0."""
        if isinstance(node, ast.Name):
            return _d(node.id) if node.id in self.variables else ""
        if isinstance(node, ast.IfExp):
            then, other = self._of(node.body), self._of(node.orelse)
            return f"({then or '0.0'} if {ast.unparse(node.test)} else {other or '0.0'})" if then or other else ""
        if isinstance(node, ast.UnaryOp):
            inner = "" if isinstance(node.op, ast.Not) else self._of(node.operand)
            return f"(-{inner})" if inner and isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self._of_operation(node)
        if isinstance(node, ast.Call):
            return self._of_call(node)
        if isinstance(node, ast.BoolOp) and not any(map(self._of, node.values)):
            return ""
        if isinstance(node, _FLAT) or self._is_constant(node):
            return ""
        raise self._refused(node)

    def _is_constant(self, node: ast.expr) -> bool:
        """Whether an expression reads no variable, such as ``np.pi`` or ``TABLE[2]``."""
        read = (name.id for name in ast.walk(node) if isinstance(name, ast.Name))
        return not any(name in self.variables for name in read)

    def _of_operation(self, node: ast.BinOp) -> str:
        u, v = (f"({ast.unparse(side)})" for side in (node.left, node.right))
        du, dv = self._of(node.left), self._of(node.right)
        if not du and not dv:
            return ""
        if isinstance(node.op, (ast.Add, ast.Sub)):
            sign = "+" if isinstance(node.op, ast.Add) else "-"
            return f"({du or '0.0'} {sign} {dv})" if dv else du
        if isinstance(node.op, ast.Mult):
            terms = [f"{du} * {v}"] * bool(du) + [f"{u} * {dv}"] * bool(dv)
        elif isinstance(node.op, ast.Div):
            terms = [f"{du} / {v}"] * bool(du) + [f"-{u} * {dv} / ({v} * {v})"] * bool(dv)
        elif isinstance(node.op, ast.Pow):
            return _of_power(u, v, du, dv, self._module())
        elif isinstance(node.op, ast.FloorDiv):
            return ""
        elif isinstance(node.op, ast.Mod) and not dv:
            return du
        else:
            raise self._refused(node)
        return f"({' + '.join(terms)})"

    def _of_call(self, node: ast.Call) -> str:
        """The derivative of a call: by its rule, or by the derivative of a function of the user's own."""
        called, module = self._called(node)
        arguments = [f"({ast.unparse(argument)})" for argument in node.args]
        moved = [self._of(argument) for argument in node.args]
        if not any(moved):
            return ""
        changes = [change or "0.0" for change in moved]
        if isinstance(called, types.FunctionType):
            return f"{self._helper(node, called)}({', '.join([*arguments, *changes])})"
        name = getattr(called, "__name__", "")
        name = _SAME.get(name, name)
        if name == "pow" and len(arguments) == 2:
            return _of_power(arguments[0], arguments[1], moved[0], moved[1], self._module())
        rule = _RULES.get(name)
        if rule is None or len(arguments) != 1 + ("{v}" in rule) or node.keywords:
            raise self._refused(node)
        u, v, *_ = *arguments, ""
        du, dv, *_ = *changes, ""
        return f"({rule.format(f=f'({ast.unparse(node)})', u=u, v=v, du=du, dv=dv, m=module)})"

    def _called(self, node: ast.Call) -> tuple[Any, str]:
        """What a call calls, and the name of the module that it is taken from."""
        if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            module = self.globals.get(node.func.value.id)
            if module in _MODULES:
                return getattr(module, node.func.attr, None), node.func.value.id
        elif isinstance(node.func, ast.Name) and node.func.id not in self.variables:
            builtin = {"abs": abs, "max": max, "min": min, "float": float, "int": int, "round": round, "pow": pow}
            return self.globals.get(node.func.id, builtin.get(node.func.id)), self._module()
        raise self._refused(node)

    def _module(self) -> str:
        """A name for `math` in the derivative, for what it calls that the function does not."""
        self.space.setdefault("_math", math)
        return "_math"

    def _helper(self, node: ast.Call, function: types.FunctionType) -> str:
        """The name of the derivative of a function that is called."""
        if node.keywords or function.__defaults__ or len(node.args) != function.__code__.co_argcount:
            raise self._refused(node)
        if function not in self.written:
            name = f"_d{len(self.written)}_{function.__name__}"
            _Function(function, self.space, self.written).write(name, seeded=False)
        return self.written[function]

    # -- refusals --------------------------------------------------------------------------------------------------

    def _text(self) -> str:
        """The function's source."""
        name = self.function.__name__
        own = f"or write the derivative yourself, as {name}_slope beside {name}"
        try:
            text = source_of(self.function)
        except OSError:
            raise UserError(
                f"{self._where()}: the source of {name}, of which its derivative is made, is not there: write it in "
                f"a file or a notebook, {own}"
            ) from None
        if not is_current(self.function):
            raise UserError(
                f"{self._where()}: the file was edited since {name} was loaded, and its derivative is made of its "
                f"source: load it anew, {own}"
            )
        return text

    def _where(self, node: ast.stmt | ast.expr | None = None) -> str:
        code = self.function.__code__
        return f"{code.co_filename}:{code.co_firstlineno + (0 if node is None else node.lineno - 1)}"

    def _refused(self, node: ast.stmt | ast.expr) -> UserError:
        text = ast.unparse(node).partition("\n")[0]
        by_arrays = re.match(r"(\w+\.)?where\(", text)
        return UserError(
            f"{self._where(node)}: no derivative is known of {text[:60]!r}: "
            f"{'write x if c else y, or ' if by_arrays else ''}write the derivative yourself, as "
            f"{self.function.__name__}_slope beside {self.function.__name__}"
        )


def _of_power(u: str, v: str, du: str, dv: str, module: str) -> str:
    """The derivative of u ** v."""
    terms = [f"{v} * {u} ** ({v} - 1) * {du}"] * bool(du) + [f"{module}.log({u}) * {u} ** {v} * {dv}"] * bool(dv)
    return f"({' + '.join(terms)})" if terms else ""


def _d(name: str) -> str:
    """The variable that holds the derivative of a variable."""
    return f"_d_{name}_"


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
