"""Roll-out of a fleet version or a release: the counts, the evidence against the candidate, and the decision."""
