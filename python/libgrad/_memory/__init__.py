"""Saved tensors: hooks, checkpoints, names."""
