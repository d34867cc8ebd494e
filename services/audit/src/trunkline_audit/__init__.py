"""The audit service: records every protocol message in PostgreSQL, exactly once."""
