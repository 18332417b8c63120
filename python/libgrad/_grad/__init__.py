"""Gradients and the modes around them."""

from . import compiled as compiled  # which prepares torch.compile
