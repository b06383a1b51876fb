"""Experiments: the file, the training loop, the run folder."""
