"""Decisions of retention: rules and holds, the plan of a run, the manifest of its archive. Pure."""
