"""Values of parameters, in ngspice's scopes: an instance sees its own, then those of what contains it."""

from __future__ import annotations

from dataclasses import dataclass, field

from circuits.importer.arithmetic import evaluate
from circuits.importer.cards import Token
from circuits.importer.expressions import ExpressionError, Name, Node, parse, spice_value
from circuits.importer.lines import Place, did_you_mean, shown

_MAX_CHAIN = 60


@dataclass
class Scope:
    """Parameters of one instance of a subcircuit.

    Attributes:
        given: values that the instance sets.
        formulas: its other parameters, evaluated when asked for.
        outer: the scope of what contains the instance.
    """

    given: dict[str, float] = field(default_factory=dict)
    formulas: dict[str, tuple[Node, Place]] = field(default_factory=dict)
    outer: Scope | None = None
    _open: list[str] = field(default_factory=list)

    def find(self, name: str) -> float | None:
        """The value of a parameter, `None` where it has no definition.

        Raises:
            SpecError: its definition cannot be evaluated.
        """
        at: Scope | None = self
        while at is not None:
            if name in at.given:
                return at.given[name]
            if name in at.formulas:
                return at._evaluate(name)
            at = at.outer
        return None

    def _evaluate(self, name: str) -> float:
        node, place = self.formulas[name]
        if name in self._open:
            place.fail(f"the parameter {shown(name)} depends on itself")
        if len(self._open) >= _MAX_CHAIN:
            place.fail(f"the parameter {shown(name)} depends on more than {_MAX_CHAIN} others in a chain")
        self._open.append(name)
        self.given[name] = value = self.value(node, place, name)
        self._open.pop()
        return value

    def value(self, node: Node, place: Place, what: str) -> float:
        """The value of an expression.

        Raises:
            SpecError: with the place and `what`.
        """

        def lookup(name: str) -> float:
            value = self.find(name)
            if value is None:
                place.fail(f"{what}: there is no parameter {shown(name)}{self._near(name)}")
            return value

        try:
            return evaluate(node, lookup)
        except ExpressionError as error:
            place.fail(f"{what}: {error}")
        except RecursionError:
            place.fail(f"{what}: parameters depend on each other in too long a chain")

    def number(self, token: Token, place: Place, what: str) -> float:
        """The value of a word or expression."""
        if not token.braced:
            try:
                return spice_value(token.text)
            except ExpressionError as error:
                if token.text[:1].isdigit() and str(error) != "expected a number":
                    place.fail(f"{what} {shown(token.text)}: {error}")
        try:
            node = parse(token.text)
        except ExpressionError as error:
            place.fail(f"{what}: {shown(token.text)} is no value: {error}")
        if isinstance(node, Name) and self.find(node.name) is None:
            place.fail(
                f"{what}: {shown(token.text)} is neither a number nor a parameter{self._near(node.name)}"
            )
        return self.value(node, place, what)

    def _near(self, name: str) -> str:
        known: set[str] = set()
        at: Scope | None = self
        while at is not None:
            known |= {*at.given, *at.formulas}
            at = at.outer
        return did_you_mean(name, known)
