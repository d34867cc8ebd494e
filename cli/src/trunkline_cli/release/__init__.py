"""Roll-out of a release to the agents: blue and green."""
