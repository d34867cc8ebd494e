"""Adapters of the conversation service: its ports on NATS."""
