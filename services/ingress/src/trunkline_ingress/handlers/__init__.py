"""Inbound edges: WebSocket, HTTP and NATS subscriptions."""
