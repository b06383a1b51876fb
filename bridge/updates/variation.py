"""Networks whose elements differ from their nominal values: spread of parameters, mismatch of transistors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bridge.errors import NetworkError
from bridge.updates.nonidealities import DeviceError, Spread, stream
from circuits.devices.base import Element, ModelCard
from circuits.network import Network

_THRESHOLDS = ("vto", "vth0")
_GAINS = ("kp", "u0")


def spread_parameters(network: Network, spreads: Sequence[Spread], seed: int, chip: int = 0) -> Network:
    """The network with its elements' fixed parameters spread about their nominal values.

    Every element that has one of a spread's parameters gets one factor, which multiplies all of the spread's
    parameters that it has; values are clipped to the device's bounds. The parameter `conductance` stands
    for what a write reaches and is left to `Cells`. Trainable parameters stay.

    Args:
        network: nominal.
        spreads: which parameters, and how much.
        seed: of the experiment.
        chip: another number is another chip.

    Raises:
        DeviceError: no element has a spread's parameter, or learning owns it.
    """
    trained = {(t.element, t.parameter) for t in network.trainable}
    elements = {e.name: e for e in network.elements}
    for number, spread in enumerate(spreads):
        names = [p for p in spread.parameters if p != "conductance"]
        if not names:
            continue
        having = [e.name for e in network.elements if any(_has(e, p) for p in names)]
        factors = spread.factors(len(having), stream(seed, "parameters", chip, number))
        changed = False
        for name, factor in zip(having, factors, strict=True):
            changes = {
                p: _clipped(elements[name], p, elements[name].value(p) * float(factor))
                for p in names
                if _has(elements[name], p) and (name, p) not in trained
            }
            changed |= bool(changes)
            elements[name] = elements[name].replace(**changes)
        if not changed:
            raise DeviceError(
                f"spread of {', '.join(names)}: no element has such a fixed parameter; "
                f"there are: {', '.join(_parameters(network)) or 'none'}"
            )
    return replace(network, elements=tuple(elements.values()))


@dataclass(frozen=True)
class Mismatch:
    """Mismatch of transistors by their area (Pelgrom, Duinmaijer and Welbers, IEEE JSSC 24, 1433 (1989)).

    The difference of two equal transistors has the standard deviations `sigma(dVt) = A_vt / sqrt(W L)` and
    `sigma(dbeta)/beta = A_beta / sqrt(W L)`; each of the two gets a deviation smaller by `sqrt(2)`.

    Attributes:
        threshold: `A_vt` [V m]; 1 mV um is 1e-9 V m.
        gain: `A_beta` [m]; 1 % um is 1e-8 m.
    """

    threshold: float = 0.0
    gain: float = 0.0

    def deviations(self, width: float, length: float) -> tuple[float, float]:
        """Standard deviations of one transistor's threshold [V] and of its relative gain."""
        root = math.sqrt(2.0 * width * length)
        return self.threshold / root, self.gain / root

    def applied(self, network: Network, seed: int, chip: int = 0) -> Network:
        """The network with transistors that differ: each has a model card of its own.

        Transistors in parallel (`m`) count as one of their whole area.

        Raises:
            DeviceError: there is no transistor, or a card without threshold or gain.
        """
        count = 0
        elements = []
        rng = stream(seed, "mismatch", chip)
        for e in network.elements:
            if e.device.kind != "mosfet":
                elements.append(e)
                continue
            sigma = self.deviations(e.value("w") * e.value("m"), e.value("l"))
            shift, factor = sigma[0] * rng.standard_normal(), 1.0 + sigma[1] * rng.standard_normal()
            elements.append(replace(e, model=_card(e, float(shift), float(factor))))
            count += 1
        if not count:
            raise DeviceError("mismatch: the network has no transistor; leave it out")
        return replace(network, elements=tuple(elements))


def at_temperature(network: Network, kelvin: float) -> Network:
    """The network with the temperature around every device whose law has one (`Device.ambient`) set.

    Raises:
        DeviceError: a device does not take this temperature.
    """
    elements = []
    for e in network.elements:
        own = e.device.ambient
        try:
            elements.append(e if own is None else e.replace(**{own.name: kelvin}))
        except NetworkError as error:
            raise DeviceError(f"temperature: {error}") from None
    return replace(network, elements=tuple(elements))


def _card(element: Element, shift: float, factor: float) -> ModelCard:
    card = element.model
    assert card is not None
    numbers = dict(card.parameters)
    keys = {k.lower(): k for k in numbers}
    for names, what in ((_THRESHOLDS, "threshold"), (_GAINS, "gain")):
        if not any(n in keys for n in names):
            raise DeviceError(
                f"{element.name}: model card {card.name} sets no {what} ({' or '.join(names)}); "
                "set it in the card"
            )
    # A threshold is the gate voltage above which an n channel conducts, below which a p channel does.
    for name in _THRESHOLDS:
        if name in keys:
            numbers[keys[name]] += shift
    for name in _GAINS:
        if name in keys:
            numbers[keys[name]] *= max(factor, 1e-3)
    return replace(card, name=f"{card.name}_{element.name}", parameters=tuple(numbers.items()))


def _has(element: Element, parameter: str) -> bool:
    return any(p.name == parameter for p in element.device.parameters)


def _clipped(element: Element, parameter: str, value: float) -> float:
    bounds = element.device.parameters[element.device.index(parameter)]
    return min(max(value, bounds.lower), bounds.upper)


def _parameters(network: Network) -> Iterable[str]:
    trained = {(t.element, t.parameter) for t in network.trainable}
    return dict.fromkeys(
        p.name for e in network.elements for p in e.device.parameters if (e.name, p.name) not in trained
    )
