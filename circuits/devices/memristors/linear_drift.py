"""Linear drift of dopants, with the windows of Joglekar and of Biolek.

Strukov, Snider, Stewart and Williams, "The missing memristor found", Nature 453, 80 (2008): with the doped
share `x = w / d`,

    i = u / (ron x + roff (1 - x)),   dx/dt = mobility ron / d^2 i f(x).

The window `f` is that of Joglekar and Wolf, Eur. J. Phys. 30, 661 (2009), or that of Biolek, Biolek and
Biolkova, Radioengineering 18(2), 210 (2009); see `windows` for both.

Joglekar's window vanishes at both bounds in both directions (the terminal-state problem). Near a bound the
distance to it shrinks exponentially while the voltage lasts and grows as it did when the voltage turns: below
about 1e-12 rounding decides whether and when the state returns. A transient in which that happens is refused
(`bridge.errors.TerminalStateError`).
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from circuits.devices.base import Parameter, State, U
from circuits.devices.behavioural import symbol
from circuits.devices.memristors.base import Memristor, Published, Stimulus, values
from circuits.devices.memristors.windows import biolek, by_sign, held, joglekar

SOURCE = "Strukov et al., Nature 453, 80 (2008)"
LISTING = "Biolek, Biolek and Biolkova, Radioengineering 18(2), 210 (2009), SPICE listing"

_X, _WINDOW, _D = symbol("x"), symbol("window"), symbol("d")
_RON, _ROFF, _MU = (symbol(s) for s in ("ron", "roff", "mobility"))
_HELD = held(_X, 0.0, 1.0)
LAW = U / (_RON * _HELD + _ROFF * (1 - _HELD))

Window = Callable[[sp.Expr, sp.Expr], tuple[sp.Expr, sp.Expr]]


def _rate(window: Window) -> sp.Expr:
    rising, falling = window(_X, _WINDOW)
    return _MU * _RON / _D**2 * LAW * by_sign(rising, falling)


BIOLEK = Published(
    "biolek",
    values(ron=100.0, roff=16e3, mobility=1e-14, d=1e-8, window=1.0, x0=(16e3 - 11e3) / (16e3 - 100.0)),
    f"{LISTING}: 11 kOhm at the start",
    Stimulus("sine", 1.2, 1.2, 1.0),
)
KNOWM = Published(
    "knowm",
    values(ron=100.0, roff=1e3, mobility=4e-14, d=1.6e-8, window=7.0, x0=0.076),
    "Knowm's SPICE subcircuit of Biolek's model (memristor-models-4-all, 2017)",
    Stimulus("sine", 1.2, 1.2, 0.1),
)


def _device(kind: str, window: Window, name: str, published: Published, source: str) -> Memristor:
    return Memristor(
        kind,
        ("p", "n"),
        (
            Parameter("ron", "Ohm", 100.0, lower=1e-3, description="resistance at x = 1", typical=100.0),
            Parameter("roff", "Ohm", 16e3, lower=1e-3, description="resistance at x = 0", typical=1e4),
            Parameter("mobility", "m^2/Vs", 1e-14, lower=0.0, description="of the dopants", typical=1e-14),
            Parameter("d", "m", 1e-8, lower=1e-12, description="thickness of the device", typical=1e-8),
            Parameter(
                "window", "1", published.values["window"], lower=1.0, description="exponent of the window"
            ),
            Parameter("x0", "1", published.values["x0"], 0.0, 1.0, description="state at t = 0"),
        ),
        law=LAW,
        states=(State("x", _rate(window), "x0"),),
        reciprocal=True,
        description=f"linear drift of dopants with {name} window",
        source=f"{SOURCE}; {source}",
        read_voltage=0.1,
        bounds=((0.0, 1.0),),
        published=(published,),
        holding=window is joglekar,
    )


LINEAR_DRIFT = _device(
    "linear_drift", joglekar, "Joglekar's", BIOLEK, "Joglekar and Wolf, Eur. J. Phys. 30, 661 (2009)"
)
LINEAR_DRIFT_BIOLEK = _device("linear_drift_biolek", biolek, "Biolek's", KNOWM, LISTING)
