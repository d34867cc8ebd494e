"""Generators of the reference documentation: messages and AsyncAPI document, configuration, telemetry."""
