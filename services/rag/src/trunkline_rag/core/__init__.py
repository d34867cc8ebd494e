"""Pure core: parsing, splitting, ranking, backup format and index state; no I/O, clock or broker."""
