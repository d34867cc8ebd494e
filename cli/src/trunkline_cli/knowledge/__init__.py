"""`trunkline kb`: import, search, back up and restore the knowledge base."""
