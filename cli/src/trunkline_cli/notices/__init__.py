"""`trunkline notice` and `trunkline notices`: broadcasts."""
