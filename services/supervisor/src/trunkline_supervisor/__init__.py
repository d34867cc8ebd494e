"""The supervision tree of one machine: starts, monitors, restarts and scales the processes of a suite."""
