"""`trunkline retention`: the plan and the runs of retention, and legal holds."""
