"""Use cases of the conversation service: state and I/O through ports."""
