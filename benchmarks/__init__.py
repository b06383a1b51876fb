"""Benchmarks: commands that print a table of ratios measured in one run; never timed tests."""
