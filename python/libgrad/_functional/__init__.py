"""Derivatives of functions: matrices, linear operators, nests of tensors."""
