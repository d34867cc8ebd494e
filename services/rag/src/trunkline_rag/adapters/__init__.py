"""Concrete stores of the knowledge service."""
