"""Application layer: use cases with state and I/O through ports."""
