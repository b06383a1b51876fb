"""Memristive devices from their publications, by kind."""

from __future__ import annotations

from circuits.devices.memristors.base import Memristor
from circuits.devices.memristors.filament import FILAMENT
from circuits.devices.memristors.knowm import KNOWM_MMS
from circuits.devices.memristors.linear_drift import LINEAR_DRIFT, LINEAR_DRIFT_BIOLEK
from circuits.devices.memristors.stanford_pku import STANFORD_PKU
from circuits.devices.memristors.team import TEAM
from circuits.devices.memristors.vteam import VTEAM, VTEAM_EXPONENTIAL
from circuits.devices.memristors.yakopcic import YAKOPCIC

MEMRISTORS: dict[str, Memristor] = {
    device.kind: device
    for device in (
        YAKOPCIC,
        VTEAM,
        VTEAM_EXPONENTIAL,
        TEAM,
        LINEAR_DRIFT,
        LINEAR_DRIFT_BIOLEK,
        STANFORD_PKU,
        FILAMENT,
        KNOWM_MMS,
    )
}

__all__ = ["MEMRISTORS", "Memristor"]
