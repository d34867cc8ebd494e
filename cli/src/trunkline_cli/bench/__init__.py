"""`trunkline bench`: measurements of a running suite, of routing and of search; figures without a verdict."""
