"""`trunkline bench`: load on a running suite, and what it does to it. Figures, never pass or fail."""
