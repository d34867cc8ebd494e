"""Use cases: recording, and monitoring of its lag."""
