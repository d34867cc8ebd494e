"""Processes, servers, probes, ports, files and the NATS connection of one machine."""
