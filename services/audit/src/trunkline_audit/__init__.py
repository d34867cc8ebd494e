"""Every protocol message into PostgreSQL, exactly once."""
