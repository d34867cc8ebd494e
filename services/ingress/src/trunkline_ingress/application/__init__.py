"""Use cases: state and I/O through ports."""
