"""JetStream feeds and the PostgreSQL archive."""
