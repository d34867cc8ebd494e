"""The pure part: how text becomes features, how a classifier learns from examples, and what routing decides."""
