"""Single writer of conversation state: decides, dispatches, commits."""
