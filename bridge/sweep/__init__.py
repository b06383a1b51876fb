"""Sweeps: many runs of one experiment, over parameters and seeds, and what they came to."""

from bridge.sweep.results import Sweep

__all__ = ["Sweep"]
