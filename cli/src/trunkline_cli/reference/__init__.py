"""Generators of the reference documentation: docs/messages.md for readers, docs/asyncapi.json for programs."""
