"""Rules that two processes must compute alike; pure functions over messages."""
