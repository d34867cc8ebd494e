"""Pure part of capacity planning: measurements, their fit, the load of a workload, and the plan that carries it."""
