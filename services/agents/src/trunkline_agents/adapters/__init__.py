"""Concrete outsides of the agents."""
