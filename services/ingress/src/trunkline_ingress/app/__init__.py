"""Wiring of the ingress."""
