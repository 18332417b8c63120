"""Functions with a derivative of their own, in Python and in C++."""
