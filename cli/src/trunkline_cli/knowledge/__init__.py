"""`trunkline kb`: articles taken in and searched, snapshots taken and restored."""
