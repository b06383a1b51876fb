"""Model cards of MOSFETs in Verilog-A: from numbers, from a user's files, and those of SG13G2 (PSP103)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bridge.errors import NetworkError, SpecError
from circuits.deck import VerilogModule
from circuits.devices.cards import installed
from circuits.devices.mosfet import KINDS
from circuits.devices.mosfet_veriloga import TERMINALS, CompiledCard
from circuits.devices.veriloga_source import read_sources, without_comments
from circuits.importer.lines import did_you_mean
from circuits.importer.model_file import environment, models_named, read_models
from circuits.importer.models import Cards

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
CORNERS = {"nom": "tt", "ff": "ff", "ss": "ss", "fs": "fs", "sf": "sf"}
"""Corners of SG13G2, and how its sections `mos_*` are called."""
_SG13G2_LIMITS = ((0.13e-6, 10e-6), (0.15e-6, 10e-6))


def sg13g2(
    name: str = "lv_nmos",
    *,
    w: float,
    l: float = 0.13e-6,  # noqa: E741
    corner: str = "nom",
) -> CompiledCard:
    """A card of the 130 nm process SG13G2 (PSP103, compiled from its Verilog-A) for one width and length.

    Instance parameters are those of the process's own subcircuit `sg13_lv_nmos` or `sg13_lv_pmos` with one
    finger: areas and perimeters of source and drain 0.34 um long, two gate contacts.

    Args:
        name: `lv_nmos` or `lv_pmos`, of 1.2 V.
        w: channel width, 0.15 um to 10 um [m].
        l: channel length, 0.13 um to 10 um [m].
        corner: `nom`, `ff`, `ss`, `fs` or `sf`.

    Raises:
        NetworkError: the package `ihp-gdsfactory` is not installed.
        SpecError: no such model or corner, or a size outside of the model's range.
    """
    return _sg13g2(name, w, l, corner)


@lru_cache(maxsize=256)
def _sg13g2(name: str, w: float, l: float, corner: str) -> CompiledCard:  # noqa: E741
    if corner not in CORNERS:
        raise SpecError(f"sg13g2: there is no corner {corner!r}; choose one of: {', '.join(CORNERS)}")
    if name not in ("lv_nmos", "lv_pmos"):
        raise SpecError(f"sg13g2: {name!r} is not read; choose lv_nmos or lv_pmos")
    for what, value, (least, most) in zip("lw", (l, w), _SG13G2_LIMITS, strict=True):
        if not least * (1 - 1e-9) <= value <= most * (1 + 1e-9):
            raise SpecError(f"sg13g2: {what} = {value:g} m is outside the model's {least:g} to {most:g} m")
    package = "ihp-gdsfactory"
    # The folder for ngspice: other simulators' cards have the same file names.
    code = installed(package, "psp103.va")
    models = code.parents[2] / "models"
    corners = read_models(models / "cornerMOSlv.lib", (f"mos_{CORNERS[corner]}",))
    where = environment(corners, {})
    values = {key: where.scope.find(key) or 0.0 for key in corners.root.parameters}
    switches = {"w": w, "l": l, "ng": 1.0, "pre_layout": 1.0, "rfmode": 0.0, "swsoa": 0.0}
    label = f"sg13g2_{name}_{corner}_{w * 1e9:.0f}n_{l * 1e9:.0f}n"
    card = load_compiled(
        models / "sg13g2_moslv_parm.lib", f"sg13g2_{name}_psp", code,
        parameters={**values, **switches}, card_name=label,
    )  # fmt: skip
    side = 0.34e-6
    junction, edge = w * side, 2.0 * (w + side)
    instance = {"as": junction, "ad": junction, "ps": edge, "pd": edge, "ngcon": 2.0}
    return replace(card, instance=tuple(instance.items()))


def compiled_card(
    file: str | Path,
    module: str,
    *,
    channel: str,
    parameters: Mapping[str, float] | None = None,
    name: str | None = None,
    width: str = "w",
    length: str = "l",
) -> CompiledCard:
    """The card of a transistor whose model is a module in a Verilog-A file.

    Args:
        file: the Verilog-A file; files that it includes lie in its folder or below.
        module: name of the module; its terminals are drain, gate, source and bulk, in this order.
        channel: `nmos` or `pmos`.
        parameters: model parameters by name; the module's own defaults for the others.
        name: of the card in netlists; from the module's by default.
        width: the module's instance parameter for the channel width [m].
        length: the same for the channel length [m].

    Raises:
        SpecError: the file cannot be read, or includes what it must not.
        NetworkError: a name that cannot be one, or a channel that is neither.
        What only the compiler can tell is raised when the circuit is loaded.
    """
    given = dict(parameters or {})
    if channel not in KINDS:
        raise NetworkError(f"{module}: the channel {channel!r} is not nmos or pmos")
    if len({key.lower() for key in given}) != len(given):
        raise NetworkError(f"{module}: a parameter is given twice; ngspice does not know upper case")
    for key in (module, width, length, *given):
        if not _NAME.fullmatch(key):
            raise NetworkError(f"{module}: {key!r} is no name in Verilog-A")
    path = Path(file)
    source = VerilogModule(module, _sources(path), str(path), terminals=TERMINALS)
    label = re.sub(r"\W", "_", name or f"{module}_{channel}").lower()
    numbers = tuple((key, float(value)) for key, value in given.items())
    return CompiledCard(label, module, numbers, source, channel, width, length)


def load_compiled(
    file: str | Path,
    name: str,
    verilog_a: str | Path,
    *,
    channel: str | None = None,
    sections: Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    module: str | None = None,
    card_name: str | None = None,
    width: str = "w",
    length: str = "l",
) -> CompiledCard:
    """A transistor's card from a file of model cards whose type is a module in a Verilog-A file.

    Args:
        file: a SPICE file with `.model` lines; it is read as data.
        name: of the model.
        verilog_a: the Verilog-A file of the module that the model's type names.
        channel: `nmos` or `pmos`; by the sign of the card's parameter `type` when left out.
        sections: the file's `.lib` sections to read.
        parameters: values for parameters that the file's expressions use.
        module: how the Verilog-A file spells the module; the one whose name is the model's type by default.
        card_name: name of the card in netlists; the model's own by default.
        width: as in `compiled_card`, like `length`.
        length: see `width`.

    Raises:
        SpecError: a file is wrong, has no such model, or its channel is not told.
    """
    path, code = Path(file), Path(verilog_a)
    spelled = modules_of(code)
    deck = read_models(path, tuple(sections), tuple(m.lower() for m in spelled))
    found = [m for m in models_named(deck, name) if m.kind in {s.lower() for s in spelled}]
    if not found:
        hint = did_you_mean(name, [m.name for m in deck.root.models.values()])
        raise SpecError(f"{path}: there is no model {name!r} of a module in {code.name}{hint}")
    where = environment(deck, {k.lower(): float(v) for k, v in (parameters or {}).items()})
    read = Cards().card(found[0], where)
    if getattr(read, "words", ()):
        raise SpecError(f"{path}: {name}: {read.words[0]!r} is no parameter in Verilog-A")  # type: ignore[attr-defined]
    if channel is None:
        kind = read.get("type", 0.0)
        if kind not in (1.0, -1.0):
            raise SpecError(f"{path}: {name}: the card sets no type=1 or type=-1; tell the channel")
        channel = "nmos" if kind > 0 else "pmos"
    own = module or next(s for s in spelled if s.lower() == found[0].kind)
    return compiled_card(
        code, own, channel=channel, parameters=dict(read.parameters), name=card_name or found[0].name,
        width=width, length=length,
    )  # fmt: skip


_MODULE = re.compile(r"\bmodule\s+([A-Za-z_]\w*)\s*[(;]")


def modules_of(file: Path) -> list[str]:
    """Names of the modules in a Verilog-A file and what it includes, before its conditions are decided."""
    return [m[1] for _, text in _sources(file) for m in _MODULE.finditer(without_comments(text))]


def _sources(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        modified = path.stat().st_mtime_ns
    except OSError:
        modified = 0  # the reader says what is wrong
    return _read(path, modified)


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int) -> tuple[tuple[str, str], ...]:
    return read_sources(path)
