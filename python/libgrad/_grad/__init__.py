"""Gradients and the modes around them."""
