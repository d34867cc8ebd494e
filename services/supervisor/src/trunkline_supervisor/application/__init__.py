"""Use cases: start sequence, pools, health monitoring, scaling, shutdown order."""
