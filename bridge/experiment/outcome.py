"""What a run found, in sentences: spikes on time, parameters recovered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.units import format_quantity


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Lines for the terminal about what loss and accuracy do not tell.

    Args:
        results: content of a run's `results.json`.
    """
    lines = []
    if "test_spikes_on_time" in results:
        shift = results["test_worst_shift"]
        worst = "a target without a spike" if shift is None else f"{format_quantity(shift, 's', 3)} off"
        lines.append(
            f"spikes: {results['test_spikes_on_time']:.0%} of the targets on time, worst {worst}, "
            f"{results['test_missing_spikes']:.0f} missing, {results['test_extra_spikes']:.0f} extra"
        )
    for label, row in (results.get("recovered") or {}).items():
        lines.append(
            f"{label}: found {row['found']:.5g} {row['unit']}, true {row['true']:.5g}, "
            f"started at {row['initial']:.5g}; {row['relative_error']:+.2%}"
        )
    return lines
