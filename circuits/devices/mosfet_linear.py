"""The small-signal parameters that ngspice reports for a MOSFET, as matrices of the adjoint network.

Matrices are 3 x 3 in the order d, g, b of terminals, with voltages taken against the source terminal; the
remaining row and column follow from Kirchhoff's laws. A positive current or charge flows into the terminal.

ngspice reports `gm`, `gds`, `gmbs` and BSIM's intrinsic capacitances for the channel: where `v(d) < v(s)` (n
channel), drain and source have changed places. All other capacitances it reports at their own terminals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bridge.errors import NetworkError, UnsupportedElementError
from circuits.devices.base import Element, FloatArray, ModelCard
from circuits.devices.mosfet import Mosfet
from circuits.devices.mosfet_veriloga import CompiledCard

COMPILED = 0
"""What stands for the LEVEL of a model in Verilog-A."""
LEVEL_1 = frozenset({1})
MEYER = frozenset({1, 2, 3})
BSIM3 = frozenset({8, 49})
BSIM4 = frozenset({14, 54})
OXIDE = 3.453133e-11
"""Permittivity of silicon dioxide [F/m] as BSIM3 has it."""
TERMINALS = ("d", "g", "b")
"""Terminals of the matrices' rows and columns."""


def level(element: Element) -> int:
    """LEVEL of a transistor's card; 1 where it sets none, `COMPILED` for a model in Verilog-A."""
    card = _card(element)
    return COMPILED if isinstance(card, CompiledCard) else int(card.get("level", 1.0))


_GM = ("gm", "gds", "gmbs", "gbd", "gbs")
_MEYER = ("cgs", "cgd", "cgb", "cbd", "cbs")
_INTRINSIC = ("cgg", "cgd", "cgs", "cdg", "cdd", "cds", "cbg", "cbd", "cbs", "capbd", "capbs")
_OVERLAP = ("cgso", "cgdo", "cgbo")
_WIDTH = ("id", "ibd")


def reported(element: Element) -> tuple[str, ...]:
    """Names of the small-signal parameters that ngspice reports for a transistor and that are used here."""
    number = level(element)
    if number in LEVEL_1:
        return (*_GM, *_MEYER, *_WIDTH)
    if number in MEYER:
        return (*_GM, *_MEYER)
    if number in BSIM3:
        return (*_GM, *_INTRINSIC)
    if number in BSIM4:
        return (*_GM, *_INTRINSIC, *_OVERLAP)
    return ()


def vector(element: Element, name: str) -> str:
    """The saved vector of one reported parameter."""
    return f"@m{element.name}[{name}]".lower()


def vectors(element: Element) -> tuple[str, ...]:
    """Vectors to save for the linearisation."""
    return tuple(vector(element, name) for name in reported(element))


def unreported(element: Element) -> str:
    """Why the reported conductances are not all of the terminal currents' derivative; empty where they are.

    Level 3's Jacobian differs from its derivative by about 1e-2; BSIM4 reports neither the derivatives of
    the gate's tunnelling currents nor those of the substrate current; behind series resistances the
    reported ones are those of inner nodes.
    """
    card = _card(element)
    number = level(element)
    if number == COMPILED:
        return "its model is compiled Verilog-A, of which no report is known"
    if any(card.get(key, 0.0) != 0.0 for key in ("rd", "rs")):
        return "the card has series resistances (RD, RS)"
    if number in LEVEL_1:
        return "the card has a sheet resistance (RSH)" if card.get("rsh", 0.0) != 0.0 else ""
    if number in BSIM3:
        return "the card has a substrate current (ALPHA0)" if _any(card, "alpha0", "alpha1") else ""
    if number in BSIM4:
        if _any(card, "igcmod", "igbmod"):
            return "the card has gate currents (IGCMOD, IGBMOD)"
        if _any(card, "alpha0", "alpha1", "agidl", "agisl", "rdsmod"):
            return "the card has substrate currents or series resistances (ALPHA0, AGIDL, RDSMOD)"
        return ""
    return f"ngspice's Jacobian of level {number} is not known to be its derivative"


def _any(card: ModelCard, *keys: str) -> bool:
    return any(card.get(key, 0.0) != 0.0 for key in keys)


def _card(element: Element) -> ModelCard:
    if element.model is None:
        raise NetworkError(f"{element.name}: a MOSFET needs a model card")
    return element.model


def polarity(element: Element) -> float:
    """1 for n channel, -1 for p channel; ngspice reports currents times this."""
    card = _card(element)
    channel = card.channel if isinstance(card, CompiledCard) else card.kind.lower()
    return 1.0 if channel == "nmos" else -1.0


def reverse(elements: Sequence[Element], u_ds: FloatArray) -> NDArray[np.bool_]:
    """Whether drain and source have changed places, `(n_points, n)` as the voltages `u_ds` [V]."""
    return np.asarray(np.array([polarity(e) for e in elements]) * u_ds < 0.0)


def conductances(swapped: NDArray[np.bool_], here: Mapping[str, FloatArray]) -> FloatArray:
    """Derivatives of the terminal currents, `(n_points, n, 3, 3)` [S], from reported parameters.

    The channel current is one of `v(g)`, `v(d)`, `v(b)` against the source's terminal. Where drain and
    source have changed places, it is `-f(v(g, d), v(s, d), v(b, d))`.

    Args:
        swapped: whether drain and source have changed places, `(n_points, n)`.
        here: reported parameters by name, `(n_points, n)` each.
    """
    gm, gds, gmbs = here["gm"], here["gds"], here["gmbs"]
    found = np.zeros((*gm.shape, 3, 3))
    found[..., 0, 0] = np.where(swapped, gm + gds + gmbs, gds) + here["gbd"]
    found[..., 0, 1] = np.where(swapped, -gm, gm)
    found[..., 0, 2] = np.where(swapped, -gmbs, gmbs) - here["gbd"]
    found[..., 2, 0] = -here["gbd"]
    found[..., 2, 2] = here["gbd"] + here["gbs"]
    return found


_PLACE = {"d": 0, "g": 1, "b": 2, "s": 3}


def capacitances(
    elements: Sequence[Element], swapped: NDArray[np.bool_], here: Mapping[str, FloatArray]
) -> FloatArray:
    """Derivatives of the terminal charges, `(n_points, n, 3, 3)` [F], from reported parameters.

    BSIM reports the intrinsic matrix with drain and source in the channel's places, the junctions' and (4
    only) the overlaps' capacitances at their terminals. Level 1 has Meyer's three capacitances (RCA Review
    32, 42, 1971), which are no derivatives of charges: the matrix is what ngspice integrates, and gradients
    in which Meyer's capacitances weigh are approximate, by up to a fifth.

    Not modelled: BSIM4's gate and bulk resistances, and the delay of charges (NQS).

    Args:
        elements: transistors whose models report the same parameters.
        swapped: whether drain and source have changed places, `(n_points, n)`.
        here: reported parameters by name, `(n_points, n)` each.

    Raises:
        UnsupportedElementError: the model's capacitances are not known.
    """
    full = np.zeros((*here["gm"].shape, 4, 4))
    if "cgg" not in here:
        pairs = {"gs": here["cgs"], "gd": here["cgd"], "gb": here["cgb"]}
        pairs |= {"bd": here["cbd"], "bs": here["cbs"]}
    else:
        for end in "dgb":
            for by in "dgs":
                full[..., _PLACE[end], _PLACE[by]] = here[f"c{end}{by}"]
        full[..., :3, 2] = -full.sum(axis=-1)[..., :3]
        full[..., 3, :] = -full.sum(axis=-2)
        order = [3, 1, 2, 0]
        full = np.where(swapped[..., None, None], full[..., order, :][..., order], full)
        pairs = {"bd": here["capbd"], "bs": here["capbs"], **_overlaps(elements, here)}
    for ends, value in pairs.items():
        i, j = _PLACE[ends[0]], _PLACE[ends[1]]
        for row, column in ((i, j), (j, i)):
            full[..., row, row] += value
            full[..., row, column] -= value
    return np.asarray(full[..., :3, :3])


def _overlaps(elements: Sequence[Element], here: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Overlap capacitances [F]: reported by BSIM4, computed from the card for BSIM3."""
    if "cgso" in here:
        return {"gs": here["cgso"], "gd": here["cgdo"], "gb": here["cgbo"]}
    constant = np.array([_bsim3_overlaps(e) for e in elements])
    return {pair: constant[:, k] for k, pair in enumerate(("gs", "gd", "gb"))}


def _bsim3_overlaps(element: Element) -> tuple[float, float, float]:
    card = _card(element)
    if _any(card, "cgsl", "cgdl") or not {"cgso", "cgdo", "tox"} <= {k for k, _ in card.parameters}:
        raise UnsupportedElementError(
            element.name,
            "its BSIM3 card lacks CGSO, CGDO or TOX, or has overlap capacitances that depend on the voltage",
            "use finite_difference",
        )
    fringe = 2.0 * OXIDE / math.pi * math.log1p(4e-7 / card.get("tox", 1e-8))
    fringe = card.get("cf", fringe)
    number = element.value("m")
    width = number * (element.value("w") - 2.0 * card.get("dwc", card.get("wint", 0.0)))
    length = number * (element.value("l") - 2.0 * card.get("dlc", card.get("lint", 0.0)))
    return (
        (card.get("cgso", 0.0) + fringe) * width,
        (card.get("cgdo", 0.0) + fringe) * width,
        card.get("cgbo", 0.0) * length,
    )


def mosfets(elements: tuple[Element, ...]) -> list[Element]:
    """The transistors among elements."""
    return [e for e in elements if isinstance(e.device, Mosfet)]
