"""Devices from a user's own declaration as text: parameters, and equations that are read, never run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from bridge.errors import NetworkError
from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import Behavioural, symbol
from circuits.devices.equations import CONSTANTS, FUNCTIONS, read_equation
from circuits.devices.memristors.base import Memristor, Published

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_TAKEN = frozenset(
    (
        *FUNCTIONS, *CONSTANTS, "u", "uc", "t", "time", "temper", "select", "less", "less_equal", "greater",
        "greater_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_not", "nan", "inf",
        "sign", "heaviside", "Heaviside", "math", "numpy", "and", "or", "not", "if", "else", "lambda", "is",
        "in", "for", "as", "def", "del", "from", "pass", "True", "False", "None",
    )
)  # fmt: skip


class DeclarationError(NetworkError):
    """A declaration that is wrong at one of its keys.

    Attributes:
        key: path of the key in the declaration.
        reason: what is wrong, without the key.
    """

    def __init__(self, key: tuple[str, ...], reason: str) -> None:
        self.key, self.reason = key, reason
        super().__init__(f"{'.'.join(key)}: {reason}")

    def __reduce__(self) -> tuple[type[DeclarationError], tuple[tuple[str, ...], str]]:
        return type(self), (self.key, self.reason)


@dataclass(frozen=True)
class StateText:
    """A state as text; see `State`.

    Attributes:
        name: of the state.
        rate: its rate of change [unit of the state / s].
        initial: the parameter that holds its value at t = 0.
        lower: least value.
        upper: greatest value.
        unit: SI unit.
        scale: a typical size.
    """

    name: str
    rate: str
    initial: str
    lower: float
    upper: float
    unit: str = "1"
    scale: float = 1.0


def own_device(
    kind: str,
    parameters: Sequence[Parameter],
    *,
    current: str | None = None,
    charge: str | None = None,
    states: Sequence[StateText] = (),
    description: str = "",
    source: str = "",
    read_voltage: float = 0.1,
    published: Published | None = None,
) -> Behavioural:
    """A two-terminal from equations as text.

    Args:
        kind: its name.
        parameters: what the equations may name besides `u`, the branch voltage [V], and the states.
        current: of the branch [A].
        charge: of the branch [C], in `u` and the parameters; for devices without states.
        states: of a memristive device.
        description: one line.
        source: where the equations come from.
        read_voltage: at which a memristive device's conductance is quoted [V].
        published: its parameters and the cycle that shows it.

    Returns:
        A `Memristor` where there are states, else a `Behavioural`.

    Raises:
        DeclarationError: with the key, what is wrong, and what to do.
    """
    names = check_names([p.name for p in parameters], [s.name for s in states])
    if current is None and charge is None:
        raise DeclarationError(("law",), "gives neither current nor charge")
    if charge is not None and states:
        raise DeclarationError(("law", "charge"), "beside states there can be no charge; write its current")
    if current is None and states:
        raise DeclarationError(("law", "states"), "need a current that depends on them")
    plain = {n: s for n, s in names.items() if n not in {state.name for state in states}}
    law = None if current is None else _read(("law", "current"), current, names)
    held = None if charge is None else _read(("law", "charge"), charge, plain)
    made = []
    for s in states:
        key = ("law", "states", s.name)
        if s.initial not in plain or s.initial == "u":
            raise DeclarationError(
                (*key, "initial"), f"{s.initial!r} is no parameter; name the one that holds the start"
            )
        if not s.lower < s.upper:
            raise DeclarationError((*key, "lower"), f"{s.lower:g} is not below upper, {s.upper:g}")
        rate = _read((*key, "rate"), s.rate, names)
        made.append(State(s.name, rate, s.initial, s.scale, s.unit))
    for state in made:
        if not any(e.has(state.symbol) for e in (law, *(m.rate for m in made)) if e is not None):
            raise DeclarationError(("law", "states", state.name), "is in no equation; leave it out")
    known = {s.name for e in (law, held, *(m.rate for m in made)) if e is not None for s in e.free_symbols}
    known |= {m.initial for m in made} | ({"initial_voltage"} if held is not None else set())
    for p in parameters:
        if p.name not in known:
            raise DeclarationError(("parameters", p.name), "is in no equation; leave it out")
    if not made:
        return Behavioural(
            kind, ("p", "n"), tuple(parameters), law=law, charge=held, description=description, source=source
        )
    return Memristor(
        kind,
        ("p", "n"),
        tuple(parameters),
        law=law,
        states=tuple(made),
        reciprocal=True,
        description=description,
        source=source,
        read_voltage=read_voltage,
        bounds=tuple((s.lower, s.upper) for s in states),
        published=() if published is None else (published,),
    )


def check_names(parameters: Sequence[str], states: Sequence[str] = ()) -> Mapping[str, sp.Symbol]:
    """The symbols of `u`, parameters and states by name.

    Raises:
        DeclarationError: a name that cannot be one, or is there twice in any case.
    """
    found: dict[str, sp.Symbol] = {"u": U}
    folded: dict[str, str] = {}
    for key, names in ((("parameters",), parameters), (("law", "states"), states)):
        for name in names:
            if not _NAME.fullmatch(name):
                raise DeclarationError((*key, name), "a name is a letter, then letters, digits, underscores")
            if name in _TAKEN:
                raise DeclarationError((*key, name), "the name means something else; choose another one")
            if name.lower() in folded:
                raise DeclarationError(
                    (*key, name), f"is there already as {folded[name.lower()]!r}; ngspice knows no upper case"
                )
            folded[name.lower()] = name
            found[name] = symbol(name)
    return found


def _read(key: tuple[str, ...], text: str, names: Mapping[str, sp.Symbol]) -> sp.Expr:
    try:
        return read_equation(text, names)
    except NetworkError as error:
        raise DeclarationError(key, str(error)) from None
