"""The declared ladder of retries: what is tried, in order, when a run does not converge.

No rung changes the circuit: none adds a conductance or softens a device. ngspice's own gmin and source
stepping come before every rung but the first ones are counted with the rung that used them.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuits.deck import Deck, SolverOptions

_RELTOL, _VNTOL, _ITERATIONS = 1e-13, 1e-15, 200.0


@dataclass(frozen=True)
class Rung:
    """One way to run a circuit again.

    Attributes:
        name: recorded with the result.
        options: solver options that differ from the deck's.
        step_factor: factor on the largest time step of a transient.
    """

    name: str
    options: tuple[tuple[str, object], ...] = ()
    step_factor: float = 1.0

    def deck(self, deck: Deck) -> Deck:
        """The deck with this rung's options."""
        if not self.options:
            return deck
        changes = dict(self.options)
        own: tuple[tuple[str, float], ...] = changes.pop("extra", ())  # type: ignore[assignment]
        kept = {key: value for key, value in deck.options.extra if key not in dict(own)}
        return deck.with_options(**changes, extra=(*kept.items(), *own))


AS_GIVEN = Rung("as given")

OPERATING_POINT = (
    AS_GIVEN,
    Rung("more iterations", (("itl1", 5000), ("extra", (("gminsteps", 100.0), ("srcsteps", 100.0))))),
)
"""Rungs of an operating point."""

IN_SEQUENCE = "operating points in sequence"
"""Name of the rung of operating points that each start from the one before."""

SEPARATE = "operating points apart, not in sequence"
"""Name of the rung that is counted where a sequence was refused."""


def in_sequence(options: SolverOptions) -> Rung:
    """The rung of operating points in sequence, with tolerances of its own.

    An operating point from scratch makes an iteration more than its tolerance asks for, a point of a sweep
    does not: at a tolerance of 1e-6 their errors were measured as 7e-13 V and 4e-7 V. So a sweep needs
    tighter ones.
    """
    return Rung(
        IN_SEQUENCE,
        (
            ("reltol", min(options.reltol, _RELTOL)),
            ("vntol", min(options.vntol, _VNTOL)),
            ("extra", (("itl2", _ITERATIONS),)),
        ),
    )


TRANSIENT = (
    AS_GIVEN,
    Rung("step / 4", step_factor=0.25),
    Rung("gear, step / 4", (("method", "gear"), ("itl4", 200)), 0.25),
    Rung("gear, step / 16", (("method", "gear"), ("itl4", 500)), 1 / 16),
)
"""Rungs of a transient."""
