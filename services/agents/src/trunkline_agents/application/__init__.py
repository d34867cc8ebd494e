"""Use cases: state and effects through ports."""
