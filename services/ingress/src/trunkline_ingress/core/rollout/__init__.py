"""Roll-out of a fleet version: the counts, the evidence against the candidate, and the decision."""
