"""Who wrote to a tensor that backward needs."""
