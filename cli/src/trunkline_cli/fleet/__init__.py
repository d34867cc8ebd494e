"""`trunkline fleet`: versions of the fleet, while conversations go on."""
