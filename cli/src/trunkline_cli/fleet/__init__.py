"""`trunkline fleet`: versions of the fleet, changed while conversations continue."""
