"""Knowledge service: import and search of articles."""
