"""Validation of devices against references that do not share the simulator: `tellegen validate`."""
