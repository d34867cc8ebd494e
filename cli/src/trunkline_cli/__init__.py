"""The `trunkline` command: what a person types."""
