"""`trunkline audit`: verification, proofs and exports of the audit trail, read from its PostgreSQL."""
