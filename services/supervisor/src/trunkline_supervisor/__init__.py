"""The supervision tree on one machine."""
