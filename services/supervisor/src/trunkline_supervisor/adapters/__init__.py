"""Concrete servers that the supervisor can start."""
