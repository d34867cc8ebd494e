"""Ports on NATS: streams and key-value buckets on JetStream, requests and announcements on core NATS."""
