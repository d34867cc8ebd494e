"""Parsing of untrusted files in a process of its own; this package imports nothing, so that the process starts fast."""
