"""WebSocket and HTTP edge: what customers and operators talk to."""
