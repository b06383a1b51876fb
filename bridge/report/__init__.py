"""The report: one self-contained HTML page made from nothing but a run folder."""

from bridge.report.build import write_report

__all__ = ["write_report"]
