"""The commands of ``python -m libgrad``."""
