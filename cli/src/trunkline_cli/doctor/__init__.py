"""`trunkline doctor`: drift of streams, versions, and obstacles to a start."""
