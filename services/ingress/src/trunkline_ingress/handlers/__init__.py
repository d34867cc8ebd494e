"""Edges in: HTTP and WebSocket."""
