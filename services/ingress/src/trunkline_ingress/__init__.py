"""WebSocket and HTTP edge of the suite for customers and operators."""
