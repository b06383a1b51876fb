"""The ALD1106 array of matched n-channel transistors, as a level-1 card fitted to its data sheet.

No citable SPICE card of this part is known. The card is a fit of three of its parameters to three typical
values of the data sheet ("ALD1106/ALD1116 Quad/Dual N-Channel Matched Pair MOSFET Array", Advanced Linear
Devices, Inc.), solved for in closed form with the equations of level 1 (Shichman and Hodges, IEEE J.
Solid-State Circuits 3, 285 (1968)):

- the threshold voltage is VTO;
- the on-resistance at a stated gate and drain voltage gives the transconductance parameter `KP W/L`;
- the output conductance at a stated current gives LAMBDA.

The fit holds in the ohmic regime, which a network of adjustable resistors uses. At `VGS = VDS = 5 V` it gives
6.9 mA where the data sheet has 4.8 mA: level 1 has neither the bulk charge nor the loss of mobility. At
`VDS = 5 V` and 10 mA it is at the edge of saturation, so that its output conductance is 0.34 mS; the fitted
ratio to the current is that in saturation. The true
geometry is not published; width and length are equal here, so that KP is the transconductance parameter of
the whole device.

Not modelled: capacitances, subthreshold current, mismatch, temperature. The body effect is not in the data
sheet and 0 by default; GAMMA = 0.85 V^0.5 with PHI = 0.9 V is in use for this part in the device library of
course ECE 343 of the University of Maine.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuits.devices.base import ModelCard
from circuits.devices.cards import level1


@dataclass(frozen=True)
class DataSheet:
    """Values of a transistor's data sheet that the fit uses.

    Attributes:
        threshold: gate-source voltage at which the transistor begins to conduct [V].
        on_resistance: drain-source resistance [Ohm] ...
        on_gate: ... at this gate-source voltage [V]
        on_drain: ... and this drain-source voltage [V].
        output_conductance: derivative of the drain current by the drain voltage [S] ...
        output_current: ... at this drain current [A]
        output_drain: ... and this drain-source voltage [V].
    """

    threshold: float = 0.7
    on_resistance: float = 350.0
    on_gate: float = 5.0
    on_drain: float = 0.1
    output_conductance: float = 200e-6
    output_current: float = 10e-3
    output_drain: float = 5.0

    @property
    def channel_modulation(self) -> float:
        """LAMBDA [1/V]: in saturation `di/dv = LAMBDA i / (1 + LAMBDA v)`."""
        g, i, v = self.output_conductance, self.output_current, self.output_drain
        return g / (i - g * v)

    @property
    def transconductance(self) -> float:
        """KP W/L [A/V^2]: ohmic, `i = KP W/L (1 + LAMBDA v) (vgs - VTO - v / 2) v`."""
        drive = self.on_gate - self.threshold - 0.5 * self.on_drain
        return 1.0 / (self.on_resistance * drive * (1.0 + self.channel_modulation * self.on_drain))


TYPICAL = DataSheet()
"""Typical values at 25 degC."""

SIDE = 10e-6
"""Width and length [m] that stand for the unknown geometry."""


def ald1106(
    *,
    threshold: float = TYPICAL.threshold,
    transconductance: float = TYPICAL.transconductance,
    channel_modulation: float = TYPICAL.channel_modulation,
    body_effect: float = 0.0,
    surface_potential: float = 0.9,
) -> ModelCard:
    """The fitted card; place it with equal width and length (`SIDE`).

    Args:
        threshold: VTO [V].
        transconductance: KP W/L [A/V^2].
        channel_modulation: LAMBDA [1/V].
        body_effect: GAMMA [V^0.5].
        surface_potential: PHI [V], of no effect where `body_effect` is 0.
    """
    return level1(
        "ald1106",
        vto=threshold,
        kp=transconductance,
        gamma=body_effect,
        phi=surface_potential,
        lambda_=channel_modulation,
    )
