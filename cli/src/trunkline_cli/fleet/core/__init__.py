"""Pure core: findings of a fleet folder, differences of two fleets, and the reach of their tools, without I/O."""
