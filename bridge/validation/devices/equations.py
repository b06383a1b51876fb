"""Symbolic laws as MathML, which browsers show without scripts, and as LaTeX for markdown."""

from __future__ import annotations

from typing import Any

import sympy as sp
from markupsafe import Markup, escape
from sympy.printing.mathml import MathMLPresentationPrinter

from bridge.validation.devices.content import Formula

_SUFFIXES = ("off", "min", "max")
_GREEK = ("alpha", "beta", "gamma", "lambda", "mu", "tau", "phi")


class _Printer(MathMLPresentationPrinter):  # type: ignore[misc]
    """Sympy's printer, with cases in braces and subscripts for names such as `vp` or `alphan`."""

    def _print_Piecewise(self, expression: sp.Piecewise) -> Any:  # noqa: N802 (sympy's name)
        table = self.dom.createElement("mtable")
        table.setAttribute("columnalign", "left left")
        for value, condition in expression.args:
            row = self.dom.createElement("mtr")
            last = condition is sp.true or condition == True  # noqa: E712 (sympy's own truth)
            for cell in (self._print(value), self._condition(None if last else condition)):
                entry = self.dom.createElement("mtd")
                entry.appendChild(cell)
                row.appendChild(entry)
            table.appendChild(row)
        whole = self.dom.createElement("mrow")
        brace = self.dom.createElement("mo")
        brace.setAttribute("stretchy", "true")
        brace.appendChild(self.dom.createTextNode("{"))
        whole.appendChild(brace)
        whole.appendChild(table)
        return whole

    def _condition(self, condition: Any) -> Any:
        row = self.dom.createElement("mrow")
        words = self.dom.createElement("mtext")
        words.appendChild(self.dom.createTextNode("otherwise" if condition is None else "for\u00a0"))
        row.appendChild(words)
        if condition is not None:
            row.appendChild(self._print(condition))
        return row


def shown(expression: sp.Expr) -> sp.Expr:
    """The same expression with symbols that print with subscripts."""
    names = {s: sp.Symbol(_subscripted(s.name), real=True) for s in expression.free_symbols}
    return expression.xreplace(names)


def _subscripted(name: str) -> str:
    if "_" in name:
        head, _, tail = name.partition("_")
        return f"{_subscripted(head)}_{tail.replace('_', '')}"
    for greek in _GREEK:
        if name.startswith(greek) and name != greek:
            return f"{greek}_{name[len(greek) :]}"
    short = 1 < len(name) <= 3 or (len(name) == 4 and name[1:] in _SUFFIXES)
    return f"{name[0]}_{name[1:]}" if short and name not in _GREEK else name


def formula(left: str, expression: sp.Expr) -> Formula:
    """The equation `left = expression`.

    Args:
        left: `i`, `q`, or `dx/dt` for the rate of a state.
        expression: symbolic.
    """
    law = shown(sp.sympify(expression))
    body = _Printer().doprint(law).replace("<mo>&InvisibleTimes;</mo>", '<mspace width="0.17em"/>')
    if left.startswith("d") and left.endswith("/dt"):
        name = escape(left[1:-3])
        head = f"<mfrac><mrow><mi>d</mi><mi>{name}</mi></mrow><mrow><mi>d</mi><mi>t</mi></mrow></mfrac>"
        latex_head = rf"\frac{{d\,{left[1:-3]}}}{{dt}}"
    else:
        head, latex_head = f"<mi>{escape(left)}</mi>", left
    mathml = f'<math display="block"><mrow>{head}<mo>=</mo>{body}</mrow></math>'
    return Formula(Markup(mathml), f"{latex_head} = {sp.latex(law)}")
