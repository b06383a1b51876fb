"""Parameters as the publications print them, in SI units, by `kind:set`.

They are typed in a second time: a report compares them with the declared ones. Values that no publication has
because they belong to this implementation (smooth thresholds and ends, free starts of states) are in `_OWN`.
"""

from __future__ import annotations

from collections.abc import Mapping

PUBLISHED: Mapping[str, Mapping[str, float]] = {
    # Yakopcic et al. 2013: tables of the fits to Oblea, Miao and Jo.
    "yakopcic:oblea": {
        "a1": 0.17, "a2": 0.17, "b": 0.05, "vp": 0.16, "vn": 0.15, "ap": 4e3, "an": 4e3, "xp": 0.3,
        "xn": 0.5, "alphap": 1.0, "alphan": 5.0, "x0": 0.11,
    },
    "yakopcic:miao": {
        "a1": 0.11, "a2": 0.11, "b": 0.5, "vp": 0.09, "vn": 0.75, "ap": 7.5, "an": 2.0, "xp": 0.3,
        "xn": 0.5, "alphap": 1.0, "alphan": 5.0, "x0": 0.11,
    },
    "yakopcic:jo": {
        "a1": 3.7e-7, "a2": 4.35e-7, "b": 0.7, "vp": 1.5, "vn": 0.5, "ap": 5e-3, "an": 8e-2, "xp": 0.2,
        "xn": 0.5, "alphap": 1.2, "alphan": 3.0, "x0": 0.1,
    },
    # MemTorch's defaults: r_on, r_off in ohms, k_on = -10 m/s, k_off = 5e-4 m/s, d = 3 nm.
    "vteam:memtorch": {
        "ron": 50.0, "roff": 1e3, "kon": -10.0, "koff": 5e-4, "aon": 3.0, "aoff": 1.0, "von": -0.2,
        "voff": 0.02, "d": 3e-9,
    },
    "vteam_exponential:memtorch": {
        "ron": 50.0, "roff": 1e3, "kon": -10.0, "koff": 5e-4, "aon": 3.0, "aoff": 1.0, "von": -0.2,
        "voff": 0.02, "d": 3e-9,
    },
    # Kvatinsky et al. 2013, table I; speeds and thresholds of Xyce's memristorTEAM_test.cir.
    "team:xyce": {
        "ron": 50.0, "roff": 1e3, "kon": -4.68e-22, "koff": 1.46e-18, "aon": 10.0, "aoff": 10.0,
        "ion": -8.9e-6, "ioff": 1.15e-4, "d": 3e-9,
    },
    # Biolek et al. 2009, listing: RON=100 ROFF=16k D=10n uv=10f p=1, RINIT=11k:
    # x0 = (ROFF - RINIT) / (ROFF - RON).
    "linear_drift:biolek": {
        "ron": 100.0, "roff": 1.6e4, "mobility": 1e-14, "d": 1e-8, "window": 1.0, "x0": 5000.0 / 15900.0,
    },
    # Knowm's subcircuit MEM_BIOLEK: Ron=100 Roff=1K x0=.076 D=16N uv=40F p=7.
    "linear_drift_biolek:knowm": {
        "ron": 100.0, "roff": 1e3, "mobility": 4e-14, "d": 1.6e-8, "window": 7.0, "x0": 0.076,
    },
    # Stanford RRAM 1.0.0: g0, a0 = 0.25 nm, tox = 12 nm, F_min = 1.4e9 V/m, Rth = 2.1e3 K/W, 25 degC.
    "stanford_pku:version-1.0.0": {
        "g0": 2.5e-10, "v0": 0.25, "i0": 1e-3, "vel0": 10.0, "ea": 0.6, "a0": 2.5e-10, "tox": 1.2e-8,
        "gamma0": 16.0, "beta": 0.8, "fmin": 1.4e9, "rth": 2.1e3, "ambient": 298.0,
    },
    "stanford_pku:dc-sweep": {
        "g0": 2.5e-10, "v0": 0.25, "i0": 1e-3, "vel0": 10.0, "ea": 0.6, "a0": 2.5e-10, "tox": 1.2e-8,
        "gamma0": 16.0, "beta": 0.8, "fmin": 1.4e9, "rth": 2.1e3, "ambient": 298.0, "gap0": 1.7e-9,
    },
    # The Verilog-A code of Chen and Yu 2015.
    "filament:chen": {
        "g0": 2.7505e-10, "v0": 0.43, "i0": 6.14e-5, "vel0": 150.0, "eag": 1.501, "ear": 1.5,
        "a0": 2.5e-10, "thickness": 5e-9, "gamma0": 16.5, "beta": 1.25, "cth": 3.1825e-16,
        "tau_th": 2.3e-10, "ambient": 298.0, "gap0": 1e-10,
    },
    # Knowm's subcircuit MEM_KNOWM: Ron=500 Roff=1500 Voff=0.27 Von=0.27 TAU=0.0001 T=298.5 x0=0.
    "knowm_mms:knowm": {
        "ron": 500.0, "roff": 1500.0, "von": 0.27, "voff": 0.27, "tau": 1e-4, "temperature": 298.5,
        "x0": 0.0,
    },
}  # fmt: skip
"""Published values."""

_WINDOW = {"window": 10.0}
_OWN: Mapping[str, Mapping[str, float]] = {
    "vteam:memtorch": {**_WINDOW, "x0": 0.0},
    "vteam_exponential:memtorch": {**_WINDOW, "x0": 0.0},
    "team:xyce": {**_WINDOW, "x0": 0.5},
    "stanford_pku:version-1.0.0": {"smoothing": 0.01, "stop": 1e-11, "gap0": 2e-10},
    "stanford_pku:dc-sweep": {"smoothing": 0.01, "stop": 1e-11},
    "filament:chen": {"stop": 1e-11, "rise0": 0.0},
}


def expected(name: str) -> tuple[dict[str, float], frozenset[str]]:
    """What the parameters of a shipped set must be.

    Args:
        name: `kind:set`.

    Returns:
        Every parameter by name, and the names of those that are this implementation's own; both empty for a
        set that does not ship.
    """
    own = _OWN.get(name, {})
    return {**PUBLISHED.get(name, {}), **own}, frozenset(own)
