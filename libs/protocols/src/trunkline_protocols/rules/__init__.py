"""Rules that several processes must compute alike: pure functions over messages."""
