"""Use cases: recording and monitoring of its lag, publication of heads, retention."""
