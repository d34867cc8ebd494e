"""Agent workers: each process answers for one specialty."""
