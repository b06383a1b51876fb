"""Tellegen: analog networks that learn in ngspice from gradients local to each device."""
