"""Concrete outsides of the ingress."""
