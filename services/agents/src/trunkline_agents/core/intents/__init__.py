"""Intents of messages that need no article: danger, a wish for a person, small talk, a vague request."""
