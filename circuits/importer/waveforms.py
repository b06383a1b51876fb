"""Independent sources of a netlist: their constant value, or their waveform written anew."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.importer.cards import Item, Token
from circuits.importer.flatten import Instance
from circuits.importer.lines import shown
from circuits.importer.models import is_number
from circuits.numbers import spice_number

_LENGTHS = {"pulse": (2, 8), "sin": (2, 6), "exp": (2, 6), "sffm": (2, 7), "am": (3, 7), "pwl": (2, 100_000)}
_RISE, _FALL, _WIDTH, _PERIOD = 3, 4, 5, 6


def read_source(instance: Instance, transient: Item | None) -> tuple[float | None, str]:
    """What a V or I source plays.

    Args:
        instance: its line.
        transient: the netlist's `.tran`, from which ngspice takes what a pulse leaves out.

    Returns:
        Its constant value [V or A], `None` where it has none; and its waveform as the body of a line of
        SPICE, empty where it is constant.

    Raises:
        SpecError: another form of source.
    """
    place, name, number = instance.place, instance.name, instance.where.scope.number
    rest = list(instance.item.tokens[2:])
    dc: float | None = None
    body = ""
    if rest and is_number(rest[0]):
        dc = number(rest.pop(0), place, name)
    while rest:
        word = rest.pop(0).lower
        if word == "dc":
            if rest and rest[0] == Token("="):
                rest.pop(0)
            if not rest:
                place.fail(f"{name}: dc needs a value")
            dc = number(rest.pop(0), place, f"{name}: dc")
        elif word == "ac":  # magnitude and phase of an analysis that is not run
            for _ in range(2):
                if rest and is_number(rest[0]):
                    rest.pop(0)
        elif word in _LENGTHS and not body:
            body, rest = _waveform(word, rest, instance, transient)
        elif not body and dc is None:
            dc = number(Token(word), place, name)
        else:
            place.fail(
                f"{name}: {shown(word)} is not read here; sources are a value, dc, or one of "
                f"{', '.join(_LENGTHS)}"
            )
    if body and dc is not None:
        body = f"dc {spice_number(dc)} {body}"
    return dc, body


def _waveform(
    word: str, rest: list[Token], instance: Instance, transient: Item | None
) -> tuple[str, list[Token]]:
    place, name = instance.place, instance.name
    number = instance.where.scope.number
    values: list[float] = []
    while rest and rest[0].lower not in ("dc", "ac", "r", "td"):
        values.append(number(rest.pop(0), place, f"{name}: {word}"))
    extra = ""
    while rest and rest[0].lower in ("r", "td"):
        if word != "pwl" or len(rest) < 3 or rest[1] != Token("="):
            place.fail(f"{name}: {shown(rest[0].text)} is not read here")
        extra += f" {rest[0].lower}={spice_number(number(rest[2], place, f'{name}: {rest[0].lower}'))}"
        del rest[:3]
    least, most = _LENGTHS[word]
    if not least <= len(values) <= most or (word == "pwl" and len(values) % 2):
        wanted = "pairs of time and value" if word == "pwl" else f"{least} to {most} values"
        place.fail(f"{name}: {word} takes {wanted}, not {len(values)}")
    if word == "pwl" and any(b <= a for a, b in zip(values[::2], values[2::2], strict=False)):
        place.fail(f"{name}: the times of pwl must increase")
    if word == "pulse":
        values = _pulse(values, instance, transient)
    return f"{word}({' '.join(map(spice_number, values))}){extra}", rest


def _pulse(values: Sequence[float], instance: Instance, transient: Item | None) -> list[float]:
    """A pulse with the times that ngspice would take from the netlist's `.tran` line."""
    filled = [*values, *[0.0] * (7 - len(values))]
    if all(filled[_RISE : _PERIOD + 1]):
        return filled
    times = []
    if transient is not None:
        times = [
            instance.where.scope.number(t, transient.place, ".tran")
            for t in transient.tokens[:2]
            if is_number(t)
        ]
    if len(times) < 2:
        instance.place.fail(
            f"{instance.name}: a pulse needs its rise, fall, width and period here, as ngspice takes what is "
            "left out from a .tran line and there is none"
        )
    step, stop = times
    for place, default in ((_RISE, step), (_FALL, step), (_WIDTH, stop), (_PERIOD, stop)):
        filled[place] = filled[place] or default
    return filled
