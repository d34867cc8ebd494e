"""Fixtures of the supervisor's tests."""

from __future__ import annotations

from tests.support.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
