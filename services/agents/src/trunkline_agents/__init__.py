"""Agent workers: each process serves one specialty or several."""
