"""`trunkline kb`: articles taken in and searched, backups taken and restored."""
