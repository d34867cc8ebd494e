"""The pure part: files become articles, articles become passages, passages become an index that answers queries."""
