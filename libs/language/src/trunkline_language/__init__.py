"""Words and sentences as search and answers see them: one way to stem, one way to cut, in both."""
