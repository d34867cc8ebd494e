"""Pure functions: the archived row of a message, retry delays."""
