"""What the tests of the supervisor share."""

from __future__ import annotations

from tests.support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
