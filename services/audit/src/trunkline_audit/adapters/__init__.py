"""Concrete stream and archive."""
