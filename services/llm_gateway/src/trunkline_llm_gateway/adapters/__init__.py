"""Adapters: model providers, NATS, and the configuration file."""
