"""Adapters of the knowledge service, one vendor each."""
