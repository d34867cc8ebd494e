"""Roll-out of a fleet version: what is counted, the evidence against the candidate, and the decision."""
