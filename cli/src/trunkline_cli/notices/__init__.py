"""`trunkline notice` and `trunkline notices`: broadcasts to agents and customers."""
