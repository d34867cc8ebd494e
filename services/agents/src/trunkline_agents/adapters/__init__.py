"""Adapters: NATS, HTTP and MCP implementations of the ports."""
