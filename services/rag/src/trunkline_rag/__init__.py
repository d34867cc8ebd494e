"""Knowledge: ingest and search."""
