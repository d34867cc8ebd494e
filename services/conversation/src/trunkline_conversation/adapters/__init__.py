"""Concrete outsides of the conversation service."""
