"""Text analysis shared by search and answers: one stemmer and one sentence splitter for both."""
